//! Rows of the attack catalogue, one test each, named by its id.
//!
//! Each case has the same shape (see [`refuse_update`]): an honest machine, the attack, the refusal with exactly
//! its code, nothing changed, and the honest operation right after.

mod approval;
mod distribution;
mod forge;
mod hardware_keys;
pub(crate) mod hybrid;
mod key_shares;
mod log_cosignatures;
mod log_keys;
mod log_policy;
mod log_proof_files;
mod log_proofs;
mod log_storage;
mod log_tiles;
mod log_views;
mod log_writers;
mod metadata;
mod metadata_delegations;
mod metadata_files;
mod metadata_freshness;
mod metadata_roots;
mod publisher_witness;
mod secrets;
mod signature_maths;
mod slow;
mod swaps;
mod urls;
mod witness;

use countersign_base::Code;
use countersign_testkit::sim::Sim;

use crate::lab::{Lab, Run, first_release, second_release};

/// One attack on an update: honest 1.0.0 installed, `attack` serves something else than an honest 1.1.0.
///
/// `attack` gets the repository with 1.1.0 added but not published; the honest twin publishes the same.
#[track_caller]
fn refuse_update(code: Code, attack: impl Fn(&mut Sim)) {
    refuse_update_of(&first_release(), code, attack);
}

/// The same from an honest repository of one's own making; gives the refused run.
#[track_caller]
fn refuse_update_of(first: &Sim, code: Code, attack: impl FnOnce(&mut Sim)) -> Run {
    let lab = installed_from(first);
    let mut evil = second_release(first);
    attack(&mut evil);
    let run = refuse_served(&lab, &evil, code);
    honest_update(&lab, first);
    run
}

/// `update` is refused when `evil` is served, and changes nothing.
#[track_caller]
fn refuse_served(lab: &Lab, evil: &Sim, code: Code) -> Run {
    let (before, program) = (lab.state(), lab.installed());
    lab.serve(evil);
    let run = lab.node("update").refused(code);
    assert_eq!(lab.state(), before, "a refused update changes nothing");
    assert_eq!(lab.installed(), program);
    run
}

/// A machine that trusts a new honest repository and runs its release 1.0.0.
#[track_caller]
fn installed() -> (Lab, Sim) {
    let first = first_release();
    (installed_from(&first), first)
}

/// A machine that trusts an honest repository and runs its release 1.0.0.
#[track_caller]
pub(crate) fn installed_from(first: &Sim) -> Lab {
    let lab = Lab::new();
    lab.serve(first);
    lab.trust(first).ok();
    lab.node("install").ok();
    assert_eq!(lab.installed(), "node 1.0.0\n");
    lab
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
