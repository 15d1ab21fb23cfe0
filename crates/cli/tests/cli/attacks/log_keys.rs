//! Row L04: keys and origins that are taken for others.

use countersign_base::code;
use countersign_testkit::sim::log::{Named, signature_of};
use countersign_testkit::sim::{ORIGIN, Sim, WITNESS};

use super::log_policy::refuse_policy;
use super::refuse_update;

/// Publishes 1.1.0 with a checkpoint that has these signature lines below its text.
fn publish_with_lines(sim: &mut Sim, lines: impl Fn(&Sim, &str) -> String) {
    sim.publish_next(&["node"]);
    let text = sim.log.text(sim.log.size());
    let note = format!("{text}\n{}", lines(sim, &text));
    sim.serve_proof("snapshot", |proof| proof.checkpoint.clone_from(&note));
    sim.serve_proof("node", |proof| proof.checkpoint = note);
}

fn log_line(sim: &Sim, text: &str) -> String {
    sim.named(ORIGIN, "log").log_line(text)
}

fn witness_line(sim: &Sim, text: &str) -> String {
    sim.named(WITNESS, "witness").cosignature_line(text, sim.now)
}

#[test]
fn l04_the_honest_lines_pass_and_unknown_keys_beside_them_are_ignored() {
    let (lab, first) = super::installed();
    let mut honest = crate::lab::second_release(&first);
    honest.add_key("stranger");
    publish_with_lines(&mut honest, |sim, text| {
        let stranger = sim.named("stranger.example/log", "stranger");
        let other_name = sim.named(ORIGIN, "stranger");
        [
            stranger.log_line(text),
            other_name.log_line(text),
            witness_line(sim, text),
            stranger.cosignature_line(text, sim.now),
            log_line(sim, text),
        ]
        .concat()
    });
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn l04_a_checkpoint_of_another_log() {
    // With a key of its own, and with this log's key.
    for (name, key) in [("log.example/other", "other"), ("log.example/other", "log")] {
        refuse_update(code::LOG_ORIGIN_MISMATCH, |sim| {
            sim.add_key("other");
            sim.log.origin = name.to_owned();
            publish_with_lines(sim, |sim, text| {
                sim.named(name, key).log_line(text) + &witness_line(sim, text)
            });
        });
    }
}

#[test]
fn l04_b_an_unknown_log_key() {
    refuse_update(code::LOG_KEY_UNKNOWN, |sim| {
        sim.add_key("other");
        publish_with_lines(sim, |sim, text| {
            sim.named(ORIGIN, "other").log_line(text) + &witness_line(sim, text)
        });
    });
    // No signature by a log at all.
    refuse_update(code::LOG_KEY_UNKNOWN, |sim| publish_with_lines(sim, witness_line));
}

/// On the wire a colliding key is another key under the log's name and id, so that is what is sent.
#[test]
fn l04_c_another_key_under_the_same_name_and_id() {
    for honest_too in [false, true] {
        refuse_update(code::LOG_SIGNATURE_INVALID, |sim| {
            sim.add_key("other");
            publish_with_lines(sim, |sim, text| {
                let (log, other) = (sim.named(ORIGIN, "log"), sim.named(ORIGIN, "other"));
                let own = if honest_too { log.log_line(text) } else { String::new() };
                own + &log.line(1, &other.sign(text.as_bytes())) + &witness_line(sim, text)
            });
        });
    }
}

#[test]
fn l04_d_signature_types_swapped() {
    // The log signs as a witness does: the id is that of a key that nobody knows.
    refuse_update(code::LOG_KEY_UNKNOWN, |sim| {
        publish_with_lines(sim, |sim, text| {
            sim.named(ORIGIN, "log").cosignature_line(text, sim.now) + &witness_line(sim, text)
        });
    });
    // The same bytes under the id of its type 0x01.
    refuse_update(code::LOG_SIGNATURE_INVALID, |sim| {
        publish_with_lines(sim, |sim, text| {
            let log = sim.named(ORIGIN, "log");
            retyped(&log, 1, &log.cosignature_line(text, sim.now)) + &witness_line(sim, text)
        });
    });
    // The witness signs as a log does, and the same bytes under the id of its type 0x04.
    refuse_update(code::LOG_QUORUM_NOT_MET, |sim| {
        publish_with_lines(sim, |sim, text| {
            log_line(sim, text) + &sim.named(WITNESS, "witness").log_line(text)
        });
    });
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_with_lines(sim, |sim, text| {
            let witness = sim.named(WITNESS, "witness");
            log_line(sim, text) + &retyped(&witness, 4, &witness.log_line(text))
        });
    });
    // A cosignature under the id that its key would have with type 0x06.
    refuse_update(code::LOG_QUORUM_NOT_MET, |sim| {
        publish_with_lines(sim, |sim, text| {
            let witness = sim.named(WITNESS, "witness");
            log_line(sim, text) + &retyped(&witness, 6, &witness.cosignature_line(text, sim.now))
        });
    });
    // Keys of the wrong type in the policy itself.
    for (log, witness) in [(4, 4), (1, 1), (6, 4), (1, 6), (2, 4), (1, 5)] {
        refuse_policy(|sim| {
            let log = sim.named(ORIGIN, "log").vkey(log);
            let witness = sim.named(WITNESS, "witness").vkey(witness);
            format!("log {log}\nwitness w1 {witness}\nquorum w1\n")
        });
    }
}

/// The signature of `line` under the id that the key has with signature type `kind`.
fn retyped(key: &Named<'_>, kind: u8, line: &str) -> String {
    key.line(kind, &signature_of(line))
}

#[test]
fn l04_e_the_log_is_not_its_own_witness() {
    for name in [ORIGIN, WITNESS] {
        refuse_update(code::LOG_QUORUM_NOT_MET, |sim| {
            publish_with_lines(sim, |sim, text| {
                log_line(sim, text) + &sim.named(name, "log").cosignature_line(text, sim.now)
            });
        });
    }
}

#[test]
fn l04_f_a_broken_signature_of_a_known_key_beside_a_good_one() {
    refuse_update(code::LOG_SIGNATURE_INVALID, |sim| {
        publish_with_lines(sim, |sim, text| {
            let log = sim.named(ORIGIN, "log");
            let broken = log.line(1, &[7; 64]);
            log.log_line(text) + &broken + &witness_line(sim, text)
        });
    });
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_with_lines(sim, |sim, text| {
            let witness = sim.named(WITNESS, "witness");
            log_line(sim, text) + &witness_line(sim, text) + &witness.line(4, &[7; 72])
        });
    });
}
