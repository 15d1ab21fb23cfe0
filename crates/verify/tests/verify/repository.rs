//! Two repositories whose people use the same keys: what was signed for one is nothing to the other (ADR 0028).

use countersign_base::{Anchor, Explain, Json, Sha256Digest};
use countersign_testkit::sim::{PRODUCT, Sim, object};
use countersign_tuf::Role as _;
use countersign_verify::{Document, Lineage, TransparentSet, VerifyError};

use crate::transparency::{document, load, now};

/// A repository of the same people with the same keys, and a newer version of every role.
fn other() -> Sim {
    let mut other = Sim::prepared(now(), |sim| {
        object(sim.role("root")).insert("x-of".to_owned(), Json::from("the others"));
    });
    other.add_release("6.6.6", "node", b"theirs");
    other.publish_next(&["root", "targets", PRODUCT]);
    other.publish_next(&["targets", PRODUCT]);
    other
}

/// Puts a role's file of another repository in the place of this one's, with all that the online keys and the log's key
/// can do for it.
fn replace(sim: &mut Sim, role: &str, other: &Sim) {
    sim.signed.insert(role.to_owned(), other.signed[role].clone());
    sim.bytes.insert(role.to_owned(), other.bytes[role].clone());
    match role {
        "timestamp" => {}
        "snapshot" => {
            sim.log_and_serve(&["snapshot"]);
            sim.point_timestamp();
        }
        _ => {
            sim.point_snapshot();
            sim.log_and_serve(&[role, "snapshot"]);
            sim.point_timestamp();
        }
    }
    sim.serve_timestamp();
}

fn code(result: Result<TransparentSet, VerifyError>) -> &'static str {
    result.map_or_else(|error| error.code().name(), |_| "ok")
}

#[test]
fn metadata_of_a_repository_with_the_same_keys_is_refused() {
    let other = other();
    assert_ne!(other.anchor(), Sim::new(now()).anchor());
    assert_eq!(code(load_newest(&other)), "ok");
    for role in ["targets", PRODUCT, "snapshot", "timestamp"] {
        let mut sim = Sim::new(now());
        replace(&mut sim, role, &other);
        assert_eq!(code(load(&sim)), "tuf-other-repository", "{role}");
    }
}

#[test]
fn a_next_root_of_a_repository_with_the_same_keys_is_refused() {
    let (other, mut sim) = (other(), Sim::new(now()));
    let mut set = first(&sim);
    let before = set.tuf().root().version();
    replace(&mut sim, "root", &other);
    let error = set.update_root(&document(&sim, "root")).unwrap_err();
    assert_eq!(error.code().name(), "tuf-other-repository", "{error}");
    assert!(error.to_string().contains(&other.anchor().to_string()), "{error}");
    assert_eq!(set.tuf().root().version(), before);
    // The twin: its own.
    let mut sim = Sim::new(now());
    let mut set = first(&sim);
    sim.publish_next(&["root"]);
    set.update_root(&document(&sim, "root")).unwrap();
}

#[test]
fn metadata_that_names_no_repository_is_refused() {
    let none = [Json::Null, Json::from("trust"), Json::from(Anchor(Sha256Digest([0; 32])).0.to_string())];
    for (role, named) in ["targets", PRODUCT, "snapshot", "timestamp"]
        .into_iter()
        .flat_map(|role| none.iter().map(move |named| (role, named)))
    {
        let mut sim = Sim::new(now());
        let extension = Json::object([("repository", named.clone())]);
        object(sim.role(role)).insert("x-countersign".to_owned(), extension);
        let next = [role];
        let is_online = ["snapshot", "timestamp"].contains(&role);
        sim.publish_next(if is_online { &[] } else { &next });
        assert_eq!(code(load(&sim)), "tuf-other-repository", "{role} {named:?}");
    }
}

/// A failed timestamp changes nothing.
#[test]
fn a_timestamp_of_another_repository_is_not_kept() {
    let (other, sim) = (other(), Sim::new(now()));
    let mut set = first(&sim);
    set.update_timestamp(&sim.bytes["timestamp"]).unwrap();
    let before = set.tuf().timestamp().cloned();
    let theirs = &other.bytes["timestamp"];
    assert_eq!(set.update_timestamp(theirs).unwrap_err().code().name(), "tuf-other-repository");
    assert_eq!(first(&sim).restore_timestamp(theirs).unwrap_err().code().name(), "tuf-other-repository");
    assert_eq!(set.tuf().timestamp().cloned(), before);
}

/// What a client has that knows the first root.
fn first(sim: &Sim) -> TransparentSet {
    TransparentSet::new(sim.anchor(), &document(sim, "root"), Lineage::default(), now()).unwrap()
}

/// What a client does that knows the first root, in a repository with a second one.
fn load_newest(sim: &Sim) -> Result<TransparentSet, VerifyError> {
    let root = |version: u64| {
        let name = format!("metadata/{version}.root.json");
        let proof = sim.files.get(&format!("{name}.tlog-proof")).cloned();
        Document { bytes: sim.files[&name].clone(), proof }
    };
    let mut set = TransparentSet::new(sim.anchor(), &root(1), Lineage::default(), now())?;
    set.update_root(&root(2))?;
    set.update_timestamp(&sim.files["metadata/timestamp.json"])?;
    set.update_snapshot(&document(sim, "snapshot"))?;
    set.update_targets(&document(sim, "targets"))?;
    set.update_role(PRODUCT, "targets", &document(sim, PRODUCT))?;
    Ok(set)
}
