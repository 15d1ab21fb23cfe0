//! Transparency rules of `TransparentSet`.

use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_base::{Explain, Timestamp};
use countersign_crypto::sha256;
use countersign_testkit::sim::{PRODUCT, Sim};
use countersign_verify::{Document, Lineage, TransparentSet, Verified, VerifyError, Wanted};

pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

pub(crate) fn document(sim: &Sim, role: &str) -> Document {
    let name = format!("metadata/{}.{role}.json", sim.version(role));
    let proof = sim.files.get(&format!("{name}.tlog-proof")).cloned();
    Document { bytes: sim.files[&name].clone(), proof }
}

/// What a client does on a first run, without the consistency proofs.
pub(crate) fn load(sim: &Sim) -> Result<TransparentSet, VerifyError> {
    let mut set = TransparentSet::new(sim.anchor(), &document(sim, "root"), Lineage::default(), now())?;
    set.update_timestamp(&sim.files["metadata/timestamp.json"])?;
    set.update_snapshot(&document(sim, "snapshot"))?;
    set.update_targets(&document(sim, "targets"))?;
    set.update_role(PRODUCT, "targets", &document(sim, PRODUCT))?;
    Ok(set)
}

fn code(result: Result<TransparentSet, VerifyError>) -> &'static str {
    result.map_or_else(|error| error.code().name(), |_| "ok")
}

fn select(
    set: &TransparentSet,
    version: Option<&str>,
) -> Result<Vec<countersign_verify::Release>, VerifyError> {
    let product: ProductName = PRODUCT.parse().unwrap();
    let platform: Platform = "linux/amd64".parse().unwrap();
    let channel: Channel = "stable".parse().unwrap();
    let version: Option<Version> = version.map(|text| text.parse().unwrap());
    let wanted =
        Wanted { product: &product, platform: &platform, version: version.as_ref(), channel: &channel };
    Ok(set.select(&wanted)?.iter().map(Verified::value).cloned().collect())
}

#[test]
fn an_honest_repository_is_accepted_and_its_newest_release_found() {
    let mut sim = Sim::new(now());
    let set = load(&sim).unwrap();
    assert_eq!(select(&set, None).unwrap_err().code().name(), "install-version-unknown");
    sim.add_release("1.0.0", "node", b"one");
    sim.add_release("1.1.0", "node", b"two");
    sim.publish_next(&[PRODUCT]);
    let mut set = load(&sim).unwrap();
    // The roots of the first publication and of this one still have to be linked.
    assert_eq!(select(&set, None).unwrap_err().code().name(), "log-consistency-invalid");
    let links = set.lineage().open_links();
    assert_eq!(links.iter().map(|link| (link.old_size, link.new_size)).collect::<Vec<_>>(), [(4, 6)]);
    // RFC 6962 section 2.1.2: the proof from 4 to 6 is the hash of the two new leaves.
    let leaf = |at: usize| countersign_testkit::sim::log::leaf_hash(&sim.log.entries[at]);
    let pair = sha256(&[&[1][..], leaf(4).as_bytes(), leaf(5).as_bytes()].concat());
    set.lineage_mut().prove(&links[0], &[pair]).unwrap();
    let newest = select(&set, None).unwrap();
    assert_eq!(newest[0].path.to_string(), "node/1.1.0/linux-amd64/node");
    assert!(newest[0].is_newest());
    assert!(!select(&set, Some("1.0.0")).unwrap()[0].is_newest());
    let found = set.find(sha256(b"one"), 3).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].report().roles.len(), 5);
    assert!(set.find(sha256(b"other"), 5).unwrap().is_empty());
}

#[test]
fn another_first_root_is_not_the_anchors() {
    let sim = Sim::new(now());
    let mut other = Sim::new(now().plus_days(1));
    other.files.extend(sim.files.iter().map(|(path, bytes)| (path.clone(), bytes.clone())));
    let first = document(&sim, "root");
    let set = TransparentSet::new(other.anchor(), &first, Lineage::default(), now());
    assert_eq!(set.unwrap_err().code().name(), "trust-anchor-untrusted");
}

#[test]
fn signed_but_not_logged_is_refused() {
    for role in ["root", "snapshot", "targets", PRODUCT] {
        let mut sim = Sim::new(now());
        assert_eq!(code(load(&sim)), "ok");
        sim.serve(role, None);
        assert_eq!(code(load(&sim)), "log-proof-missing", "{role}");
    }
}

#[test]
fn a_proof_of_an_earlier_version_is_no_proof() {
    let mut sim = Sim::new(now());
    let old = document(&sim, PRODUCT).proof;
    sim.publish_next(&[PRODUCT]);
    assert_eq!(code(load(&sim)), "ok");
    sim.serve(PRODUCT, old);
    assert_eq!(code(load(&sim)), "log-proof-missing");
}

#[test]
fn a_checkpoint_without_the_quorum_is_refused() {
    let mut sim = Sim::new(now());
    let witnesses = std::mem::take(&mut sim.witnesses);
    sim.publish_next(&[PRODUCT]);
    assert_eq!(code(load(&sim)), "log-quorum-not-met");
    sim.witnesses = witnesses;
    sim.publish_next(&[PRODUCT]);
    assert_eq!(code(load(&sim)), "ok");
}

#[test]
fn a_proof_of_another_leaf_is_refused() {
    let mut sim = Sim::new(now());
    let size = sim.log.size();
    let checkpoint = sim.checkpoint(&sim.log, size);
    // The leaf of the product's role is at 2; the path is that of the leaf at 1.
    let right = String::from_utf8(sim.log.proof(2, size, &checkpoint)).unwrap();
    let wrong = String::from_utf8(sim.log.proof(1, size, &checkpoint)).unwrap();
    sim.serve(PRODUCT, Some(right.clone().into_bytes()));
    assert_eq!(code(load(&sim)), "ok");
    let extra = right.lines().nth(1).unwrap();
    let mut lines: Vec<&str> = wrong.lines().collect();
    lines[1] = extra;
    sim.serve(PRODUCT, Some((lines.join("\n") + "\n").into_bytes()));
    assert_eq!(code(load(&sim)), "log-inclusion-invalid");
}

#[test]
fn a_second_file_of_a_known_version_is_refused() {
    let sim = Sim::new(now());
    let mut set =
        TransparentSet::new(sim.anchor(), &document(&sim, "root"), Lineage::default(), now()).unwrap();
    set.remember("targets", 1, b"another file of version 1");
    set.update_timestamp(&sim.files["metadata/timestamp.json"]).unwrap();
    set.update_snapshot(&document(&sim, "snapshot")).unwrap();
    let error = set.update_targets(&document(&sim, "targets")).unwrap_err();
    assert_eq!(error.code().name(), "log-duplicate-version");
    assert!(set.tuf().targets().is_none(), "a refused document changes nothing");
}

/// Attack L14 (c): of a kept file that the snapshot does not describe, only what its own proof shows is believed.
#[test]
fn a_kept_file_counts_if_it_proves_that_it_was_logged() {
    let mut sim = Sim::new(now());
    let kept = document(&sim, PRODUCT);
    // Another content of the same version.
    sim.add_release("1.0.0", "node", b"one");
    sim.publish(&[PRODUCT]);
    assert_eq!(code(load(&sim)), "ok");
    let load_beside = |kept: &Document| {
        let mut set =
            TransparentSet::new(sim.anchor(), &document(&sim, "root"), Lineage::default(), now()).unwrap();
        set.update_timestamp(&sim.files["metadata/timestamp.json"])?;
        set.update_snapshot(&document(&sim, "snapshot"))?;
        set.update_targets(&document(&sim, "targets"))?;
        let links = set.lineage().open_links();
        set.remember_logged(PRODUCT, 1, kept);
        assert_eq!(set.lineage().open_links(), links, "what is only remembered is not built upon");
        set.update_role(PRODUCT, "targets", &document(&sim, PRODUCT))?;
        Ok(set)
    };
    assert_eq!(code(load_beside(&kept)), "log-duplicate-version");
    // A damaged copy, with its proof and without, is as if there were none.
    let mut damaged = kept.clone();
    damaged.bytes[20] ^= 1;
    assert_eq!(code(load_beside(&damaged)), "ok");
    assert_eq!(code(load_beside(&Document { proof: None, ..kept })), "ok");
}

#[test]
fn a_newer_snapshot_in_a_smaller_tree_is_a_log_rollback() {
    let mut sim = Sim::new(now());
    sim.publish_next(&[PRODUCT]);
    let held = load(&sim).unwrap();
    let newest = held.lineage().newest_size(countersign_testkit::sim::ORIGIN);
    assert_eq!(newest, 6);
    // The log is cut back to before the last publication, and a newer snapshot is published from there.
    sim.log.entries.truncate(4);
    sim.publish_next(&[]);
    let lineage = held.lineage().clone();
    let mut set = TransparentSet::new(sim.anchor(), &document(&sim, "root"), lineage, now()).unwrap();
    set.update_timestamp(&sim.files["metadata/timestamp.json"]).unwrap();
    let error = set.update_snapshot(&document(&sim, "snapshot")).unwrap_err();
    assert_eq!(error.code().name(), "log-rollback");
}
