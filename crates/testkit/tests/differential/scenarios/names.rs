//! Legal but odd names of roles and targets, and those that lead astray.

use countersign_testkit::hostile::Delegation;

use super::scenarios;
use crate::run::{OK, Run};

/// A delegated role of this name is fetched, and what it lists is downloaded.
fn role(run: &mut Run<'_>, name: &str, expected: &str) {
    run.repo.delegate("targets", name, &Delegation::default());
    run.repo.add_target(name, "one", b"one");
    run.repo.release(&["targets", name]);
    run.download("one", expected);
}

/// A target of this name is downloaded.
fn target(run: &mut Run<'_>, name: &str, expected: &str) {
    run.repo.add_target("targets", name, b"one");
    run.repo.release(&["targets"]);
    run.download(name, expected);
}

scenarios! {
    fn a_role_with_a_space(run) { role(run, "a b", OK); }
    fn a_role_with_a_slash(run) { role(run, "a/b", OK); }
    fn a_role_with_a_backslash(run) { role(run, "a\\b", OK); }
    fn a_role_of_two_dots(run) { role(run, "..", OK); }
    fn a_role_of_one_dot(run) { role(run, ".", OK); }
    fn a_role_above_the_folder(run) { role(run, "../../a", OK); }
    fn a_role_with_a_percent_sign(run) { role(run, "a%2fb", OK); }
    fn a_role_with_a_question_mark(run) { role(run, "a?b#c", OK); }
    fn a_role_in_another_alphabet(run) { role(run, "über-αβγ", OK); }
    fn a_role_that_begins_with_a_version(run) { role(run, "1.a", "tuf-name-unsafe"); }
    fn a_role_called_like_a_file(run) { role(run, "targets.json", OK); }
    fn a_role_with_a_colon(run) { role(run, "c:a", OK); }
    fn a_role_with_a_line_break(run) { role(run, "a\nb", "tuf-name-unsafe"); }
    fn a_role_without_a_name(run) { role(run, "", "tuf-name-unsafe"); }

    fn a_target_in_a_folder(run) { target(run, "a/b/c.txt", OK); }
    fn a_target_with_a_plus(run) { target(run, "a+b", OK); }
    fn a_target_with_a_space(run) { target(run, "a b", OK); }
    fn a_target_in_another_alphabet(run) { target(run, "über", OK); }
    fn a_target_with_a_percent_sign(run) { target(run, "a%2fb", OK); }
    fn a_target_with_a_question_mark(run) { target(run, "a?b", OK); }
    fn a_target_above_the_folder(run) { target(run, "../../a", "tuf-name-unsafe"); }
    fn a_target_with_two_dots_inside(run) { target(run, "a/../b", "tuf-name-unsafe"); }
    fn a_target_at_the_root_of_the_disk(run) { target(run, "/a", "tuf-name-unsafe"); }
    fn a_target_that_is_a_folder(run) { target(run, "a/", "tuf-name-unsafe"); }
    fn a_target_with_two_slashes(run) { target(run, "a//b", "tuf-name-unsafe"); }
    fn a_target_that_begins_with_a_dot(run) { target(run, ".a", OK); }
}
