//! Rows L08, L10, L12 and L14: proofs of something else, and of nothing.

use countersign_base::code;
use countersign_base::json::Json;
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{leaf_hash, node_hash, to_base64};
use countersign_testkit::sim::{ORIGIN, object};

use super::refuse_update;
use crate::lab::{Lab, first_release};

/// A checkpoint text with any size and root.
fn text(size: u64, root: &[u8; 32]) -> String {
    format!("{ORIGIN}\n{size}\n{}\n", to_base64(root))
}

#[test]
fn l08_a_a_proof_of_another_leaf() {
    // The place and path of a leaf that is there.
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        sim.publish_next(&["node"]);
        let (at, size) = (sim.log.size() - 4, sim.log.size());
        let path = sim.log.inclusion(at, size);
        sim.serve_proof("node", |proof| {
            proof.index = at.to_string();
            proof.set_hashes(&path);
        });
    });
    // Another entry stands where this leaf should be.
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        sim.publish_next(&["node"]);
        let (at, size) = (sim.log.size() - 2, sim.log.size());
        let leaf = std::mem::replace(&mut sim.log.entries[usize::try_from(at).unwrap()], b"another".to_vec());
        let checkpoint = sim.checkpoint(&sim.log, size);
        let mut proof = sim.log.proof_file(at, size, &checkpoint);
        proof.set_entry(&leaf);
        sim.serve("node", Some(proof.encode()));
        sim.serve_proof("snapshot", |_| {});
        sim.serve_log(size, &checkpoint);
    });
}

#[test]
fn l08_b_a_proof_of_another_index() {
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        sim.publish_next(&["node"]);
        // The neighbour's path has as many hashes.
        let neighbour = sim.log.size() - 1;
        sim.serve_proof("node", |proof| proof.index = neighbour.to_string());
    });
}

#[test]
fn l08_c_a_proof_in_another_tree() {
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        sim.publish_next(&["node"]);
        // The trees of 10 and 11 leaves have paths of one length for this leaf.
        while sim.log.size() < 11 {
            sim.log.entries.push(b"somebody else's".to_vec());
        }
        let at = sim.log.size() - 5;
        let (path, size) = (sim.log.inclusion(at, 10), sim.log.size());
        sim.serve_log(size, &sim.checkpoint(&sim.log, size));
        sim.serve_proof("snapshot", |_| {});
        sim.serve_proof("node", |proof| {
            assert_eq!((proof.index.as_str(), proof.hashes.len()), (at.to_string().as_str(), path.len()));
            proof.set_hashes(&path);
        });
    });
}

#[test]
fn l08_d_the_checkpoint_of_an_older_tree() {
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        let (log, size) = (sim.log.clone(), sim.log.size());
        let older = sim.checkpoint(&log, size);
        sim.publish_next(&["node"]);
        // A place in that tree whose path is as long.
        let length = sim.proof_of("node").hashes.len();
        let at = (0..size).rev().find(|at| log.inclusion(*at, size).len() == length).unwrap();
        sim.serve_proof("node", |proof| {
            proof.checkpoint = older;
            proof.index = at.to_string();
        });
    });
}

/// An entry that is the preimage of an inner node, if leaves and nodes were hashed alike.
///
/// Its two children are the leaves of metadata that was never logged.
#[test]
fn l10_a_an_entry_made_of_two_hashes() {
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        let logged = sim.log.clone();
        sim.publish_next(&["node"]);
        let size = sim.log.size();
        let [left, right] =
            [size - 2, size - 1].map(|at| leaf_hash(&sim.log.entries[usize::try_from(at).unwrap()]));
        let mut real = logged;
        real.entries.push([&[1], &left.as_bytes()[..], right.as_bytes()].concat());
        assert_eq!(size, 8, "the last two leaves of a full tree are one node of its last but one level");
        let note = sim.sign_checkpoint(&text(size, real.root(size - 1).as_bytes()));
        sim.serve_proof("snapshot", |proof| proof.checkpoint.clone_from(&note));
        sim.serve_proof("node", |proof| proof.checkpoint = note);
    });
}

#[test]
fn l10_b_an_inner_node_offered_as_a_leaf() {
    // The tree's own root, and a size at which the node above the leaf would be the leaf.
    refuse_update(code::LOG_INCLUSION_INVALID, |sim| {
        sim.publish_next(&["node"]);
        let size = sim.log.size();
        let note = sim.sign_checkpoint(&text(size / 2, sim.log.root(size).as_bytes()));
        for role in ["snapshot", "node"] {
            sim.serve_proof(role, |proof| {
                let at: u64 = proof.index.parse().unwrap();
                proof.index = (at / 2).to_string();
                proof.hashes.remove(0);
                proof.checkpoint.clone_from(&note);
            });
        }
    });
    // With the node's preimage as the entry: that is no metadata, so no path is even looked at.
    refuse_update(code::LOG_PROOF_MISSING, |sim| {
        sim.publish_next(&["node"]);
        sim.serve_proof("node", |proof| proof.set_entry(&[1; 65]));
    });
}

#[test]
fn l10_c_d_trees_of_no_leaf_and_of_one() {
    let empty = *sha256(b"").as_bytes();
    // No leaf: with the leaf's own path, without one, and with another root than that of no leaves.
    for (root, with_path) in [(empty, true), (empty, false), ([7; 32], false)] {
        refuse_update(code::LOG_PROOF_MALFORMED, |sim| {
            sim.publish_next(&["node"]);
            let note = sim.sign_checkpoint(&text(0, &root));
            sim.serve_proof("node", |proof| {
                proof.index = "0".to_owned();
                proof.checkpoint = note;
                if !with_path {
                    proof.hashes.clear();
                }
            });
        });
    }
    // One leaf, with a sibling that leads to the root nevertheless.
    refuse_update(code::LOG_PROOF_MALFORMED, |sim| {
        sim.publish_next(&["node"]);
        let leaf = leaf_hash(&sim.leaf("node", &sim.bytes["node"]));
        let sibling = leaf_hash(b"sibling");
        let note = sim.sign_checkpoint(&text(1, node_hash(&leaf, &sibling).as_bytes()));
        sim.serve_proof("node", |proof| {
            proof.index = "0".to_owned();
            proof.set_hashes(&[sibling]);
            proof.checkpoint = note;
        });
    });
}

#[test]
fn l12_a_signed_but_without_a_proof() {
    for (role, roles) in [
        ("node", &["node"][..]),
        ("snapshot", &["node"]),
        ("targets", &["targets", "node"]),
        ("root", &["root", "node"]),
    ] {
        refuse_update(code::LOG_PROOF_MISSING, |sim| {
            sim.publish_next(roles);
            sim.serve(role, None);
        });
    }
}

#[test]
fn l12_a_without_a_proof_at_first_contact() {
    for role in ["root", "targets", "snapshot", "node"] {
        let (lab, first) = (Lab::new(), first_release());
        let mut evil = first.clone();
        evil.serve(role, None);
        lab.serve(&evil);
        let trusted = lab.trust(&evil);
        if trusted.status() == Some(0) {
            lab.node("install").refused(code::LOG_PROOF_MISSING);
        } else {
            trusted.refused(code::LOG_PROOF_MISSING);
        }
        assert!(!lab.path("root/node").exists(), "nothing is installed");
        lab.serve(&first);
        let _ = lab.trust(&first);
        lab.node("install").ok();
        assert_eq!(lab.installed(), "node 1.0.0\n");
    }
}

#[test]
fn l12_b_with_the_proof_of_an_earlier_version() {
    for (role, roles) in [
        ("node", &["node"][..]),
        ("snapshot", &["node"]),
        ("targets", &["targets", "node"]),
        ("root", &["root", "node"]),
    ] {
        refuse_update(code::LOG_PROOF_MISSING, |sim| {
            let earlier = sim.files[&sim.proof_path(role)].clone();
            sim.publish_next(roles);
            sim.serve(role, Some(earlier));
        });
    }
    // Of a file that differs in one thing that the leaf says: another repository, role, version, length, content.
    for (from, to) in [
        ("\"repository\":\"", "\"repository\":\"0"),
        ("\"role\":\"node\"", "\"role\":\"nodes\""),
        ("\"version\":3", "\"version\":4"),
        ("\"length\":", "\"length\":1"),
        ("\"sha256\":\"", "\"sha256\":\"0"),
    ] {
        refuse_update(code::LOG_PROOF_MISSING, |sim| {
            sim.publish_next(&["node"]);
            let leaf = String::from_utf8(sim.leaf("node", &sim.bytes["node"])).unwrap();
            let mut other = leaf.replacen(from, to, 1);
            assert_ne!(leaf, other);
            if to.ends_with('0') {
                // A digest of the right length, and another one whatever it began with.
                let at = other.find(to).unwrap() + to.len();
                if other.as_bytes()[at] == b'0' {
                    other.replace_range(at - 1..at, "1");
                }
                other.replace_range(at..=at, "");
                assert_ne!(leaf, other);
            }
            let at = sim.log.size() - 2;
            sim.log.entries[usize::try_from(at).unwrap()] = other.clone().into_bytes();
            let size = sim.log.size();
            let checkpoint = sim.checkpoint(&sim.log, size);
            sim.serve_log(size, &checkpoint);
            sim.serve_proof("snapshot", |_| {});
            let proof = sim.log.proof(at, size, &checkpoint);
            sim.serve("node", Some(proof));
        });
    }
}

/// Nothing here gives out or takes submit tickets, so one is a file like any other.
#[test]
fn l12_c_with_a_promise_to_log_it() {
    refuse_update(code::LOG_PROOF_MISSING, |sim| {
        sim.publish_next(&["node"]);
        let leaf = String::from_utf8(sim.leaf("node", &sim.bytes["node"])).unwrap();
        let promise = format!("{ORIGIN}\nwill log {}\n", to_base64(leaf.as_bytes()));
        let ticket = sim.sign_checkpoint(&promise).into_bytes();
        let path = sim.proof_path("node");
        sim.files.insert(path.replace(".tlog-proof", ".tlog-ticket"), ticket);
        sim.serve("node", None);
    });
    // In the proof's place, where it is not one; and in its form, of an entry without a place.
    refuse_update(code::LOG_PROOF_MALFORMED, |sim| {
        sim.publish_next(&["node"]);
        let ticket = sim.sign_checkpoint(&format!("{ORIGIN}\nwill log it\n")).into_bytes();
        sim.serve("node", Some(ticket));
    });
    refuse_update(code::LOG_PROOF_MALFORMED, |sim| {
        sim.publish_next(&["node"]);
        sim.serve_proof("node", |proof| {
            proof.hashes.clear();
            proof.checkpoint.clear();
        });
    });
}

#[test]
fn l12_d_an_unlogged_role_under_a_logged_one() {
    refuse_update(code::LOG_PROOF_MISSING, |sim| {
        let next = sim.version("node") + 1;
        sim.set_version("node", next);
        let bytes = sim.envelope("node");
        sim.bytes.insert("node".to_owned(), bytes);
        sim.serve("node", None);
        sim.set_version("targets", 2);
        sim.publish(&["targets"]);
    });
}

/// (a) and (b): see the publisher's tests, and the monitor, which is not there yet.
#[test]
fn l14_c_another_content_of_a_version_seen_before() {
    // Signed, logged and witnessed, as the first one was.
    refuse_update(code::LOG_DUPLICATE_VERSION, |sim| sim.publish(&["node"]));
    refuse_update(code::LOG_DUPLICATE_VERSION, |sim| {
        let later = Json::from(sim.now.plus_days(60).to_string());
        object(sim.role("targets")).insert("expires".to_owned(), later);
        sim.publish(&["targets"]);
    });
    refuse_update(code::LOG_DUPLICATE_VERSION, |sim| {
        let before = sim.version("snapshot") - 1;
        sim.set_version("snapshot", before);
        sim.publish_next(&["node"]);
    });
}
