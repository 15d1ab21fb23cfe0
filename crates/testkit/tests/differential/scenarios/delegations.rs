//! The search for a target: section 5.6.7, hash prefixes and TAP 15's bins.

use countersign_base::json::Json;
use countersign_crypto::sha256;
use countersign_testkit::hostile::Delegation;
use countersign_testkit::sim::object;

use super::scenarios;
use crate::run::{OK, Run};

/// A delegation: from, to, for which paths, terminating.
type Edge<'a> = (&'a str, &'a str, &'a [&'a str], bool);

const ALL: &[&str] = &["*"];

/// Publishes this graph; then nobody lists `missing`, and our client asks for `visits` in that order.
fn graph(run: &mut Run<'_>, edges: &[Edge<'_>], visits: &[&str]) {
    delegate(run, edges);
    run.download("missing", "tuf-target-not-found");
    run.visits(visits);
}

fn delegate(run: &mut Run<'_>, edges: &[Edge<'_>]) {
    let mut roles = vec!["targets"];
    for (parent, name, paths, terminating) in edges {
        let delegation = Delegation { terminating: *terminating, ..Delegation::of(paths) };
        run.repo.delegate(parent, name, &delegation);
        if !roles.contains(name) {
            roles.push(name);
        }
    }
    run.repo.release(&roles);
}

/// One delegated role for `paths` lists `target`; it is found or it is not.
fn paths(run: &mut Run<'_>, paths: &[&str], target: &str, expected: &str) {
    run.repo.delegate("targets", "a", &Delegation::of(paths));
    run.repo.add_target("a", target, b"one");
    run.repo.release(&["targets", "a"]);
    run.download(target, expected);
    run.visits(if expected == OK { &["a"] } else { &[] });
}

/// The first digits of the hash that bins and prefixes go by.
fn digits(target: &str, count: usize) -> String {
    sha256(target.as_bytes()).to_string()[..count].to_owned()
}

/// A chain of so many roles below targets, the last of which lists `deep`.
fn chain(run: &mut Run<'_>, length: usize, expected: &str) {
    let names: Vec<String> = (0..length).map(|at| format!("role-{at}")).collect();
    let mut parent = "targets";
    for name in &names {
        run.repo.delegate(parent, name, &Delegation::default());
        parent = name;
    }
    run.repo.add_target(parent, "deep", b"one");
    let mut roles = vec!["targets"];
    roles.extend(names.iter().map(String::as_str));
    run.repo.release(&roles);
    run.download("deep", expected);
}

/// 16 bins; the right one lists `target`.
fn bins(run: &mut Run<'_>, target: &str) -> String {
    let names = run.repo.succinct("targets", "bin", 4);
    let bin = format!("bin-{}", digits(target, 1));
    run.repo.add_target(&bin, target, b"one");
    let mut roles = vec!["targets"];
    roles.extend(names.iter().map(String::as_str));
    run.repo.release(&roles);
    bin
}

/// Changes the number of bits that choose a bin.
fn bit_length(run: &mut Run<'_>, bits: i64) {
    let entry = run.repo.delegations("targets").get_mut("succinct_roles").unwrap();
    object(entry).insert("bit_length".to_owned(), Json::Integer(bits));
}

scenarios! {
    fn no_delegations(run) {
        graph(run, &[], &[]);
    }

    fn one_level(run) {
        graph(run, &[("targets", "A", ALL, false), ("targets", "B", ALL, false)], &["A", "B"]);
    }

    fn depth_first(run) {
        let edges = [
            ("targets", "A", ALL, false),
            ("targets", "B", ALL, false),
            ("A", "C", ALL, false),
            ("A", "D", ALL, false),
            ("C", "E", ALL, false),
        ];
        graph(run, &edges, &["A", "C", "E", "D", "B"]);
    }

    fn a_terminating_role_ends_the_search(run) {
        graph(run, &[("targets", "A", ALL, true), ("targets", "B", ALL, false)], &["A"]);
    }

    fn a_terminating_role_ends_it_below_itself_too(run) {
        let edges = [
            ("targets", "A", ALL, false),
            ("targets", "B", ALL, false),
            ("A", "C", ALL, true),
            ("A", "D", ALL, false),
            ("C", "E", ALL, false),
        ];
        graph(run, &edges, &["A", "C", "E"]);
    }

    fn a_terminating_role_for_other_paths_ends_nothing(run) {
        graph(run, &[("targets", "A", &["other-*"], true), ("targets", "B", ALL, false)], &["B"]);
    }

    fn branches_that_do_not_match(run) {
        let edges = [
            ("targets", "A", &["*.py"] as &[&str], false),
            ("targets", "B", ALL, false),
            ("A", "C", ALL, false),
            ("B", "D", &["*.py"], false),
        ];
        graph(run, &edges, &["B"]);
    }

    fn a_cycle(run) {
        let edges = [("targets", "A", ALL, false), ("A", "B", ALL, false), ("B", "A", ALL, false)];
        graph(run, &edges, &["A", "B"]);
    }

    fn a_role_that_delegates_to_itself(run) {
        graph(run, &[("targets", "A", ALL, false), ("A", "A", ALL, false)], &["A"]);
    }

    fn two_ways_to_one_role(run) {
        let edges = [
            ("targets", "A", ALL, false),
            ("targets", "B", ALL, false),
            ("A", "C", ALL, false),
            ("B", "C", ALL, false),
        ];
        graph(run, &edges, &["A", "C", "B"]);
    }

    fn the_first_of_two_roles_wins(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.delegate("targets", "b", &Delegation::default());
        run.repo.add_target("a", "one", b"from a");
        run.repo.add_target("b", "one", b"from b");
        run.repo.release(&["targets", "a", "b"]);
        run.download("one", OK);
        run.has(&[b"from a"]);
        run.visits(&["a"]);
    }

    fn the_delegating_role_wins(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"from a");
        run.repo.add_target("targets", "one", b"from targets");
        run.repo.release(&["targets", "a"]);
        run.download("one", OK);
        run.has(&[b"from targets"]);
    }

    /// A role may list what it has no say over; nobody asks it.
    fn a_target_outside_of_the_delegation(run) {
        run.repo.delegate("targets", "a", &Delegation::of(&["a/*"]));
        run.repo.add_target("a", "b/one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("b/one", "tuf-target-not-found");
        run.visits(&[]);
    }

    /// A child gets no more than its parent has.
    fn a_child_with_more_than_its_parent(run) {
        run.repo.delegate("targets", "a", &Delegation::of(&["a/*"]));
        run.repo.delegate("a", "b", &Delegation::of(&["*", "*/*"]));
        run.repo.add_target("b", "b/one", b"one");
        run.repo.release(&["targets", "a", "b"]);
        run.download("b/one", "tuf-target-not-found");
    }

    /// Whom a role is delegated to depends on the way there.
    fn a_role_that_only_one_parent_vouches_for(run) {
        run.repo.delegate("targets", "left", &Delegation::of(&["left/*"]));
        run.repo.delegate("targets", "right", &Delegation::of(&["right/*"]));
        run.repo.delegate("left", "shared", &Delegation::of(&["left/*"]));
        run.repo.delegate_with("right", "shared", &Delegation::of(&["right/*"]), &["other"]);
        run.repo.signers.insert("shared".to_owned(), vec!["shared".to_owned()]);
        run.repo.add_target("shared", "left/one", b"one");
        run.repo.add_target("shared", "right/one", b"two");
        run.repo.release(&["targets", "left", "right", "shared"]);
        run.download("left/one", OK);
        run.download("right/one", "tuf-threshold");
    }

    fn a_star_within_a_folder(run) { paths(run, &["a/*.zip"], "a/one.zip", OK); }
    fn a_star_does_not_cross_a_slash(run) { paths(run, &["*.zip"], "a/one.zip", "tuf-target-not-found"); }
    fn a_star_in_each_part(run) { paths(run, &["*/*/x-*"], "a/b/x-1", OK); }
    fn a_star_is_not_an_empty_folder(run) { paths(run, &["a/*"], "a", "tuf-target-not-found"); }
    fn a_question_mark_is_one_letter(run) { paths(run, &["one-?.zip"], "one-1.zip", OK); }
    fn a_question_mark_is_not_two(run) { paths(run, &["one-?.zip"], "one-12.zip", "tuf-target-not-found"); }
    fn a_question_mark_is_no_slash(run) { paths(run, &["a?b"], "a/b", "tuf-target-not-found"); }
    fn case_matters(run) { paths(run, &["*.zip"], "one.ZIP", "tuf-target-not-found"); }
    fn the_second_of_two_patterns(run) { paths(run, &["*.doc", "*.zip"], "one.zip", OK); }
    fn a_pattern_without_wildcards(run) { paths(run, &["a/one.zip"], "a/one.zip", OK); }
    fn a_folder_is_not_what_is_in_it(run) { paths(run, &["a/"], "a/one", "tuf-target-not-found"); }
    fn a_set_of_letters(run) { paths(run, &["[ab]-one"], "b-one", OK); }
    fn the_other_letters(run) { paths(run, &["[!ab]-one"], "c-one", OK); }
    fn a_pattern_that_is_longer(run) { paths(run, &["a/b/c/*"], "a/b/c", "tuf-target-not-found"); }

    fn a_hash_prefix(run) {
        let prefixes = Some(vec!["0000".to_owned(), digits("one", 4)]);
        run.repo.delegate("targets", "a", &Delegation { prefixes, ..Delegation::default() });
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", OK);
    }

    fn a_hash_prefix_of_another_name(run) {
        let prefixes = Some(vec![digits("two", 4)]);
        run.repo.delegate("targets", "a", &Delegation { prefixes, ..Delegation::default() });
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-target-not-found");
        run.visits(&[]);
    }

    /// Section 4.5: one of the two must be there, not both.
    fn paths_and_hash_prefixes(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        let prefixes = Json::Array(vec![Json::from(digits("one", 4))]);
        run.repo.delegation("targets", "a").insert("path_hash_prefixes".to_owned(), prefixes);
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-delegation-path");
    }

    fn neither_paths_nor_hash_prefixes(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.delegation("targets", "a").remove("paths");
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-delegation-path");
    }

    fn an_empty_list_of_paths(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.delegation("targets", "a").insert("paths".to_owned(), Json::Array(Vec::new()));
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-target-not-found");
    }

    fn two_delegations_of_one_name(run) {
        run.repo.delegate("targets", "a", &Delegation::of(&["a-*"]));
        run.repo.delegate("targets", "a", &Delegation::of(&["b-*"]));
        run.repo.add_target("a", "b-one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("b-one", "tuf-malformed");
    }

    fn a_role_called_root(run) {
        run.repo.delegate_key("targets", "x");
        let entry = Json::object([
            ("name", Json::from("root")),
            ("keyids", Json::Array(vec![Json::from(run.repo.keys["x"].id.clone())])),
            ("threshold", Json::Integer(1)),
            ("terminating", Json::Bool(false)),
            ("paths", Json::Array(vec![Json::from("*")])),
        ]);
        run.repo.delegations("targets").insert("roles".to_owned(), Json::Array(vec![entry]));
        run.repo.release(&["targets"]);
        run.download("one", "tuf-role-confusion");
    }

    fn ten_roles_deep(run) { chain(run, 10, OK); }

    /// Section 5.6.7.1: a client has a cap of its own.
    fn forty_roles_deep(run) { chain(run, 40, OK); }

    fn a_hundred_roles_deep(run) { chain(run, 100, "tuf-delegation-limit"); }

    fn a_bin(run) {
        let bin = bins(run, "one");
        run.download("one", OK);
        run.visits(&[bin.as_str()]);
        run.download("two", "tuf-target-not-found");
    }

    /// Only the bin of its name has a say over a target.
    fn a_target_in_another_bin(run) {
        bins(run, "one");
        let wrong = if digits("two", 1) == "0" { "bin-1" } else { "bin-0" };
        run.repo.add_target(wrong, "two", b"two");
        run.repo.release(&[wrong]);
        run.download("two", "tuf-target-not-found");
    }

    fn a_bin_by_another_key(run) {
        let bin = bins(run, "one");
        run.repo.signers.insert(bin.clone(), vec!["targets".to_owned()]);
        run.repo.release(&[bin.as_str()]);
        run.download("one", "tuf-role-confusion");
    }

    fn bins_of_five_bits(run) {
        let names = run.repo.succinct("targets", "bin", 5);
        let digits = u8::from_str_radix(&digits("one", 2), 16).unwrap() >> 3;
        let bin = format!("bin-{digits:02x}");
        run.repo.add_target(&bin, "one", b"one");
        let mut roles = vec!["targets"];
        roles.extend(names.iter().map(String::as_str));
        run.repo.release(&roles);
        run.download("one", OK);
        run.visits(&[bin.as_str()]);
    }

    fn bins_of_no_bits(run) {
        bins(run, "one");
        bit_length(run, 0);
        run.repo.release(&["targets"]);
        run.download("one", "tuf-delegation-path");
    }

    fn bins_of_33_bits(run) {
        bins(run, "one");
        bit_length(run, 33);
        run.repo.release(&["targets"]);
        run.download("one", "tuf-delegation-path");
    }

    fn bins_and_roles(run) {
        bins(run, "one");
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-malformed");
    }
}
