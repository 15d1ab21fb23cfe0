//! Rows L05 and L06: how many witnesses are enough, and policies that do not say so.

use countersign_base::code;
use countersign_testkit::sim::{ORIGIN, Sim, member};

use super::{honest_update, installed_from, refuse_served, refuse_update_of};
use crate::lab::{Lab, first_release, now, program, second_release};

/// The keys of witnesses in these tests, beside the first one's.
const WITNESSES: [&str; 4] = ["w1", "w2", "w3", "w4"];

fn witness_name(key: &str) -> String {
    format!("witness.example/{key}")
}

/// A repository whose policy has four witnesses and these lines about them; all four cosign.
fn witnessed_by(rule: &str) -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        let mut policy = format!("log {}\n", sim.named(ORIGIN, "log").vkey(1));
        for key in WITNESSES {
            sim.add_key(key);
            policy += &format!("witness {key} {}\n", sim.named(&witness_name(key), key).vkey(4));
        }
        sim.set_policy(&(policy + rule));
        cosigned_by(sim, &WITNESSES);
    });
    sim.add_release("1.0.0", "node", &program("1.0.0"));
    sim.publish_next(&["node"]);
    sim
}

fn cosigned_by(sim: &mut Sim, keys: &[&str]) {
    sim.witnesses = keys.iter().map(|key| (witness_name(key), (*key).to_owned())).collect();
}

/// An update that these witnesses cosign is refused, and `missing` are named.
#[track_caller]
fn too_few(rule: &str, keys: &[&str], missing: &[&str]) {
    let run = refuse_update_of(&witnessed_by(rule), code::LOG_QUORUM_NOT_MET, |sim| {
        cosigned_by(sim, keys);
        sim.publish_next(&["node"]);
    });
    for name in missing {
        assert!(run.text().contains(&format!("`{name}`")), "{name} is missing: {}", run.text());
    }
}

/// An update that these witnesses cosign passes: the twin of [`too_few`].
#[track_caller]
fn enough(rule: &str, keys: &[&str]) {
    let first = witnessed_by(rule);
    let lab = installed_from(&first);
    let mut next = second_release(&first);
    cosigned_by(&mut next, keys);
    next.publish_next(&["node"]);
    lab.serve(&next);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn l05_a_one_witness_too_few() {
    let rule = "group g 3 w1 w2 w3 w4\nquorum g\n";
    enough(rule, &["w1", "w3", "w4"]);
    too_few(rule, &["w1", "w3"], &["w2", "w4"]);
    too_few("quorum w2\n", &["w1", "w3", "w4"], &["w2"]);
}

#[test]
fn l05_b_a_cosignature_counts_once() {
    too_few("group g 2 w1 w2\nquorum g\n", &["w1", "w1"], &["w2"]);
    // The same witness again, of another second.
    refuse_update_of(&witnessed_by("group g 2 w1 w2\nquorum g\n"), code::LOG_QUORUM_NOT_MET, |sim| {
        cosigned_by(sim, &["w1"]);
        sim.publish_next(&["node"]);
        let (size, name) = (sim.log.size(), witness_name("w1"));
        let later = sim.named(&name, "w1").cosignature_line_at(&sim.log.text(size), sim.now.as_unix() + 1);
        let note = sim.checkpoint(&sim.log, size) + &later;
        sim.serve_proof("snapshot", |proof| proof.checkpoint.clone_from(&note));
        sim.serve_proof("node", |proof| proof.checkpoint = note);
    });
}

#[test]
fn l05_c_one_key_under_two_names() {
    refuse_update_of(&witnessed_by("group g 2 w1 w2\nquorum g\n"), code::LOG_QUORUM_NOT_MET, |sim| {
        // The key of w1 signs again, as w2.
        sim.witnesses = vec![(witness_name("w1"), "w1".to_owned()), (witness_name("w2"), "w1".to_owned())];
        sim.publish_next(&["node"]);
    });
}

#[test]
fn l05_d_a_nested_group_short_by_one() {
    let rule = "group inner 2 w1 w2 w3\ngroup outer all inner w4\nquorum outer\n";
    enough(rule, &["w1", "w2", "w4"]);
    too_few(rule, &["w1", "w4"], &["w2", "w3"]);
    too_few(rule, &["w1", "w2", "w3"], &["w4"]);
}

#[test]
fn l05_e_two_keys_of_one_operator_are_one() {
    let rule = "group alice any w1 w2\ngroup bob any w3 w4\ngroup both all alice bob\nquorum both\n";
    enough(rule, &["w2", "w3"]);
    too_few(rule, &["w1", "w2"], &["w3", "w4"]);
}

/// A root with this policy is refused: as the first root, and as the next one of a root that was good.
#[track_caller]
pub(super) fn refuse_policy(policy: impl Fn(&Sim) -> String) {
    refuse_root(|sim| sim.set_policy(&policy(sim)));
}

/// The same for a root with any change. Exit status 1 and not 2: nobody here wrote that policy.
#[track_caller]
fn refuse_root(change: impl Fn(&mut Sim)) {
    let lab = Lab::new();
    let evil = Sim::prepared(now(), &change);
    lab.serve(&evil);
    let run = lab.trust(&evil);
    assert_eq!(run.json()["code"], code::LOG_POLICY_INVALID.name(), "{}", run.text());
    assert_eq!(run.status(), Some(1), "{}", run.text());
    let kept = std::fs::read_dir(lab.path("home/repos")).unwrap().count();
    assert_eq!(kept, 0, "nothing is kept of a repository that was not trusted");

    let first = first_release();
    lab.serve(&first);
    lab.trust(&first).ok();
    lab.node("install").ok();
    let mut evil = second_release(&first);
    change(&mut evil);
    evil.publish_next(&["root", "node"]);
    let (before, program) = (lab.state(), lab.installed());
    lab.serve(&evil);
    let run = lab.node("update");
    assert_eq!(run.json()["code"], code::LOG_POLICY_INVALID.name(), "{}", run.text());
    assert_eq!(run.status(), Some(1), "{}", run.text());
    assert_eq!((lab.state(), lab.installed()), (before, program));
    honest_update(&lab, &first);
}

#[test]
fn l06_a_root_without_a_policy() {
    refuse_root(|sim| {
        member(sim.role("root"), "x-countersign").remove("policy");
    });
    refuse_root(|sim| {
        countersign_testkit::sim::object(sim.role("root")).remove("x-countersign");
    });
    refuse_policy(|_| String::new());
    refuse_policy(|sim| sim.policy().replace("quorum w1\n", ""));
    // Legal text, under which our clients accept nothing.
    refuse_policy(|sim| sim.policy().replace("quorum w1", "quorum none"));
    refuse_policy(|sim| sim.policy().lines().skip(1).map(|line| format!("{line}\n")).collect());
}

#[test]
fn l06_a_policy_that_breaks_a_rule() {
    let replaced = |from: &'static str, to: &'static str| move |sim: &Sim| sim.policy().replace(from, to);
    for rule in [
        "group g 0 w1\nquorum g",
        "group g 2 w1\nquorum g",
        "group g any\nquorum g",
        "group g 1 w1 w1\nquorum g",
        "quorum w2",
        "group g any w1 h\ngroup h any w1\nquorum g",
        "group w1 any w1\nquorum w1",
        "quorum w1\nquorum w1",
        "quorum w1\nquorum none",
        "threshold 1\nquorum w1",
    ] {
        refuse_policy(replaced("quorum w1", rule));
    }
}

#[test]
fn l06_one_key_twice() {
    // As two witnesses, of one name and of two.
    for name in ["witness.example/w1", "witness.example/w2"] {
        refuse_policy(|sim| {
            let again = sim.named(name, "witness").vkey(4);
            sim.policy().replace("quorum w1", &format!("witness w2 {again}\ngroup g 2 w1 w2\nquorum g"))
        });
    }
    // As the log and its witness: our own rule, its word would count twice.
    refuse_policy(|sim| {
        let again = sim.named("witness.example/w2", "log").vkey(4);
        sim.policy().replace("quorum w1", &format!("witness w2 {again}\ngroup g any w1 w2\nquorum g"))
    });
    // As two logs.
    refuse_policy(|sim| format!("log {}\n{}", sim.named("log.example/other", "log").vkey(1), sim.policy()));
}

/// The twin of the above: another policy that says something passes, as the first root and as the next.
#[test]
fn l06_a_root_with_another_good_policy() {
    let change = |sim: &mut Sim| {
        sim.add_key("w2");
        let more = sim.named("witness.example/w2", "w2").vkey(4);
        let policy = sim
            .policy()
            .replace("quorum w1", &format!("# both\nwitness w2 {more}\ngroup g any w1 w2\nquorum g"));
        sim.set_policy(&policy);
    };
    let lab = Lab::new();
    let sim = Sim::prepared(now(), change);
    lab.serve(&sim);
    lab.trust(&sim).ok();
    let first = first_release();
    let lab = installed_from(&first);
    let mut next = second_release(&first);
    change(&mut next);
    next.publish_next(&["root", "node"]);
    lab.serve(&next);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    // From now on the new policy decides.
    let mut evil = next.clone();
    evil.witnesses.clear();
    evil.publish_next(&["node"]);
    refuse_served(&lab, &evil, code::LOG_QUORUM_NOT_MET);
}
