//! Rows L01 and L02: a log that shows different people different trees, or an older tree.

use countersign_base::code;
use countersign_testkit::sim::Sim;

use super::{honest_update, installed, refuse_served, refuse_update};
use crate::lab::second_release;

/// The same repository with a log that goes on from an earlier size as if what came later had never been.
fn rewound(sim: &Sim, entries: u64) -> Sim {
    let mut evil = sim.clone();
    evil.log.entries.truncate(usize::try_from(entries).unwrap());
    evil
}

#[test]
fn l01_a_split_view_is_not_witnessed() {
    // (a) the log's key alone signs the tree that only this client sees
    refuse_update(code::LOG_QUORUM_NOT_MET, |sim| {
        sim.witnesses.clear();
        sim.publish_next(&["node"]);
    });
    // (b) and a witness that is not enough, or not ours
    refuse_update(code::LOG_QUORUM_NOT_MET, |sim| {
        sim.add_key("stranger");
        sim.witnesses = vec![("witness.example/w2".to_owned(), "stranger".to_owned())];
        sim.publish_next(&["node"]);
    });
}

/// Witnesses that cosign a split view for the log do not help it against a client that saw the other tree.
///
/// (c) The monitor, which collects both notes as evidence, is not there yet.
#[test]
fn l01_a_client_that_saw_the_other_tree_tells_them_apart() {
    let (lab, first) = installed();
    let mut seen = second_release(&first);
    seen.publish_next(&["node"]);
    lab.serve(&seen);
    lab.node("update").ok();
    // Same size, another root, all signatures good, and version numbers above those of the honest tree.
    let mut evil = rewound(&seen, first.log.size());
    evil.publish_next(&["node"]);
    assert_eq!(evil.log.size(), seen.log.size());
    refuse_served(&lab, &evil, code::LOG_SPLIT_VIEW);
    lab.serve(&seen);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn l02_a_log_that_went_back_is_refused() {
    // Everything is signed and cosigned; only the tree is smaller than the one seen in an earlier run.
    for fewer in [3, 5] {
        let (lab, first) = installed();
        let mut evil = rewound(&second_release(&first), first.log.size() - fewer);
        evil.publish_next(&["node"]);
        assert!(evil.log.size() < first.log.size());
        refuse_served(&lab, &evil, code::LOG_ROLLBACK);
        // The checkpoint kept before is still there: the same again is refused again.
        refuse_served(&lab, &evil, code::LOG_ROLLBACK);
        honest_update(&lab, &first);
    }
}

/// A tree that was cut and has grown again beyond the one seen before is a fork: its tiles cannot show otherwise.
#[test]
fn l02_a_truncated_log_that_grew_again_is_refused() {
    refuse_update(code::LOG_CONSISTENCY_INVALID, |sim| {
        *sim = rewound(sim, sim.log.size() - 1);
        sim.publish_next(&["node"]);
    });
}
