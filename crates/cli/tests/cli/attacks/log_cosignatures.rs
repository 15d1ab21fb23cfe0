//! Row L07: cosignatures of something else, or of a time that cannot be.

use countersign_base::code;
use countersign_testkit::sim::log::{signature_line, signature_of, to_base64};
use countersign_testkit::sim::{ORIGIN, Sim, WITNESS};

use super::{honest_update, installed_from, refuse_update, refuse_update_of};
use crate::lab::{first_release, now, program};

/// Publishes 1.1.0 with a checkpoint that the log signs and that has this cosignature.
fn publish_with(sim: &mut Sim, cosignature: impl Fn(&Sim, &str) -> String) {
    sim.publish_next(&["node"]);
    let text = sim.log.text(sim.log.size());
    let note = format!("{text}\n{}{}", sim.named(ORIGIN, "log").log_line(&text), cosignature(sim, &text));
    sim.serve_proof("snapshot", |proof| proof.checkpoint.clone_from(&note));
    sim.serve_proof("node", |proof| proof.checkpoint = note);
}

#[test]
fn l07_a_a_cosignature_of_another_tree() {
    // Of another log, of another size, of another root.
    let root = to_base64(&[7; 32]);
    for (line, other) in [(0, "log.example/other"), (1, "9"), (2, &root)] {
        refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
            publish_with(sim, |sim, text| {
                let mut lines: Vec<&str> = text.lines().collect();
                assert_ne!(std::mem::replace(&mut lines[line], other), other);
                sim.named(WITNESS, "witness").cosignature_line(&(lines.join("\n") + "\n"), sim.now)
            });
        });
    }
    // Its cosignature of the tree before.
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        let before = sim.log.text(sim.log.size());
        publish_with(sim, |sim, _| sim.named(WITNESS, "witness").cosignature_line(&before, sim.now));
    });
}

#[test]
fn l07_b_a_cosignature_without_a_time() {
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_with(sim, |sim, text| sim.named(WITNESS, "witness").cosignature_line_at(text, 0));
    });
    // One that is shorter than a time.
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_with(sim, |sim, _| sim.named(WITNESS, "witness").line(4, &[0; 7]));
    });
}

/// (d) has no case: a checkpoint's age is not limited here, since a root is proven by the checkpoint of its day.
/// How old a view may be is bounded by the expiry of the timestamp (attack M04).
#[test]
fn l07_c_a_cosignature_of_the_future() {
    for ahead in [3600, 400 * 86_400, 10_000 * 365 * 86_400] {
        refuse_update(code::LOG_COSIGNATURE_TIME, |sim| {
            publish_with(sim, |sim, text| {
                sim.named(WITNESS, "witness").cosignature_line_at(text, sim.now.as_unix() + ahead)
            });
        });
    }
    // A witness's clock may be a little ahead.
    let first = first_release();
    let lab = installed_from(&first);
    let mut honest = crate::lab::second_release(&first);
    publish_with(&mut honest, |sim, text| {
        sim.named(WITNESS, "witness").cosignature_line_at(text, sim.now.as_unix() + 60)
    });
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn l07_f_a_time_that_no_number_can_be() {
    for seconds in [1 << 63, u64::MAX] {
        refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
            publish_with(sim, |sim, text| sim.named(WITNESS, "witness").cosignature_line_at(text, seconds));
        });
    }
}

/// A repository whose only witness has an ML-DSA-44 key.
fn post_quantum() -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        sim.add_key("mldsa-witness");
        let log = sim.named(ORIGIN, "log").vkey(1);
        let witness = sim.named(WITNESS, "mldsa-witness").vkey(6);
        sim.set_policy(&format!("log {log}\nwitness w1 {witness}\nquorum w1\n"));
        sim.witnesses = vec![(WITNESS.to_owned(), "mldsa-witness".to_owned())];
    });
    sim.add_release("1.0.0", "node", &program("1.0.0"));
    sim.publish_next(&["node"]);
    sim
}

#[test]
fn l07_e_a_cosigned_subtree_is_no_cosigned_checkpoint() {
    let first = post_quantum();
    // Undated and dated, of leaves that do not begin with the first.
    for seconds in [0, now().as_unix()] {
        refuse_update_of(&first, code::LOG_COSIGNATURE_INVALID, |sim| {
            publish_with(sim, |sim, _| {
                let end = sim.log.size();
                let root = sim.log.root(end);
                sim.named(WITNESS, "mldsa-witness").subtree_line(
                    ORIGIN,
                    (end - 1, end),
                    root.as_bytes(),
                    seconds,
                )
            });
        });
    }
    // Of all leaves, and undated: it does not say that this is the newest tree.
    refuse_update_of(&first, code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_with(sim, |sim, text| sim.named(WITNESS, "mldsa-witness").cosignature_line_at(text, 0));
    });
    // Its bytes under the witness's other key type.
    refuse_update_of(&first, code::LOG_QUORUM_NOT_MET, |sim| {
        publish_with(sim, |sim, text| {
            let witness = sim.named(WITNESS, "mldsa-witness");
            let line = witness.cosignature_line(text, sim.now);
            let mut id = witness.key_id(6);
            id[0] ^= 1;
            signature_line(WITNESS, id, &signature_of(&line))
        });
    });
    let lab = installed_from(&first);
    honest_update(&lab, &first);
}
