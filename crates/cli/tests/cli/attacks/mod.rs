//! Rows of the attack catalogue, one test each, named by its id.
//!
//! Each case has the same shape (see [`refuse_update`]): an honest machine, the attack, the refusal with exactly
//! its code, nothing changed, and the honest operation right after.

mod metadata;

use countersign_base::Code;
use countersign_testkit::sim::Sim;

use crate::lab::{Lab, first_release, second_release};

/// One attack on an update: honest 1.0.0 installed, `attack` serves something else than an honest 1.1.0.
///
/// `attack` gets the repository with 1.1.0 added but not published; the honest twin publishes the same.
#[track_caller]
fn refuse_update(code: Code, attack: impl Fn(&mut Sim)) {
    let (lab, first) = installed();
    let before = lab.state();
    let mut evil = second_release(&first);
    attack(&mut evil);
    lab.serve(&evil);
    lab.node("update").refused(code);
    assert_eq!(lab.state(), before, "a refused update changes nothing");
    assert_eq!(lab.installed(), "node 1.0.0\n");
    honest_update(&lab, &first);
}

/// A machine that trusts an honest repository and runs its release 1.0.0.
#[track_caller]
fn installed() -> (Lab, Sim) {
    let (lab, first) = (Lab::new(), first_release());
    lab.serve(&first);
    lab.trust(&first).ok();
    lab.node("install").ok();
    assert_eq!(lab.installed(), "node 1.0.0\n");
    (lab, first)
}

/// The honest operation succeeds, without any cleaning.
#[track_caller]
fn honest_update(lab: &Lab, first: &Sim) {
    let mut honest = second_release(first);
    honest.publish_next(&["node"]);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}
