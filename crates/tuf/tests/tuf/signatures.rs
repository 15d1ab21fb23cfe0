//! Counting signatures (attacks M09, M13, M21, M22).

use countersign_base::canonical::olpc;
use countersign_base::{Json, json};
use countersign_tuf::metadata::key_id;

use crate::world::{NODE, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, World, change, code, envelope, key, signature};

/// Node's file with these signatures, listed anew.
fn signed_so(world: &World, signatures: impl FnOnce(&[u8]) -> Vec<Json>) -> &'static str {
    let signed = json::parse(&world.node).unwrap().get("signed").unwrap().clone();
    let mut other = world.clone();
    other.node = envelope(signatures(&olpc(&signed)), signed);
    other.list(1);
    code(other.refresh())
}

fn by(seed: u8, message: &[u8]) -> Json {
    signature(&key_id(key(seed).public_key()), &key(seed), message)
}

fn broken(seed: u8) -> Json {
    by(seed, b"something else")
}

#[test]
fn m09_two_of_two_means_two_keys() {
    let world = World::new();
    let id = |seed| key_id(key(seed).public_key());
    assert_eq!(signed_so(&world, |m| vec![by(41, m), by(42, m)]), "ok");
    assert_eq!(signed_so(&world, |m| vec![by(43, m), by(41, m)]), "ok");
    // (a), (b) One key twice: the same signature, another one, also beside enough others (specification 4.2.1).
    assert_eq!(signed_so(&world, |m| vec![by(41, m), by(41, m)]), "tuf-threshold");
    assert_eq!(signed_so(&world, |m| vec![by(41, m), broken(41)]), "tuf-threshold");
    assert_eq!(signed_so(&world, |m| vec![by(41, m), by(42, m), by(41, m)]), "tuf-threshold");
    // (c) One good and one bad; a bad one beside enough good ones does no harm, nor does an empty one.
    assert_eq!(signed_so(&world, |m| vec![by(41, m), broken(42)]), "tuf-threshold");
    assert_eq!(signed_so(&world, |m| vec![by(41, m), broken(42), by(43, m)]), "ok");
    let empty = Json::object([("keyid", Json::from(id(42))), ("sig", Json::from(""))]);
    assert_eq!(signed_so(&world, |m| vec![by(41, m), empty, by(43, m)]), "ok");
    // (d) One good and one by a key of another role, under its own id or under ours.
    assert_eq!(signed_so(&world, |m| vec![by(41, m), by(11, m)]), "tuf-threshold");
    assert_eq!(signed_so(&world, |m| vec![by(41, m), signature(&id(42), &key(11), m)]), "tuf-threshold");
    // Unknown ids are ignored.
    assert_eq!(signed_so(&world, |m| vec![by(99, m), by(41, m), by(42, m)]), "ok");
    assert_eq!(signed_so(&world, |m| vec![by(99, m), by(98, m)]), "tuf-threshold");
    assert_eq!(signed_so(&world, |_| vec![]), "tuf-threshold");
}

#[test]
fn m13_keys_of_another_role_are_told_from_too_few() {
    let world = World::new();
    let snapshot_by = |seeds: &[u8]| {
        let mut other = world.clone();
        other.snapshot = change(&world.snapshot, seeds, |_| {});
        other.stamp(1);
        code(other.refresh())
    };
    assert_eq!(snapshot_by(SNAPSHOT), "ok");
    // (a) The timestamp's key signs the snapshot; so does any other role's.
    assert_eq!(snapshot_by(TIMESTAMP), "tuf-role-confusion");
    assert_eq!(snapshot_by(&ROOT[..1]), "tuf-role-confusion");
    assert_eq!(snapshot_by(&[99]), "tuf-threshold");
    let node_by = |seeds: &[u8]| {
        let mut other = world.clone();
        other.node = change(&world.node, seeds, |_| {});
        other.list(1);
        code(other.refresh())
    };
    // (b) All keys of one other role.
    assert_eq!(node_by(TARGETS), "tuf-role-confusion");
    assert_eq!(node_by(&ROOT[..2]), "tuf-role-confusion");
    // M21 (b): the online keys together are a threshold of no role.
    assert_eq!(node_by(&[21, 31]), "tuf-threshold");
    assert_eq!(node_by(&[21]), "tuf-threshold");
    let mut targets = world.clone();
    targets.targets = change(&world.targets, &[21, 31], |_| {});
    targets.list(1);
    assert_eq!(code(targets.refresh()), "tuf-threshold");
    targets.targets = change(&world.targets, &NODE[..2], |_| {});
    targets.list(1);
    // Node's keys are not known before targets are trusted.
    assert_eq!(code(targets.refresh()), "tuf-threshold");
}

#[test]
fn m13_a_file_of_another_type_is_not_taken() {
    let world = World::new();
    let cases = [
        ("root", World { root: world.targets.clone(), ..world.clone() }),
        ("timestamp", World { timestamp: world.snapshot.clone(), ..world.clone() }),
        ("snapshot", {
            let mut other = World { snapshot: world.targets.clone(), ..world.clone() };
            other.stamp(1);
            other
        }),
        ("targets", {
            let mut other = World { targets: world.root.clone(), ..world.clone() };
            other.list(1);
            other
        }),
        ("node", {
            let mut other = World { node: world.timestamp.clone(), ..world.clone() };
            other.list(1);
            other
        }),
    ];
    for (role, world) in cases {
        assert_eq!(code(world.refresh()), "tuf-role-confusion", "{role}");
    }
}

#[test]
fn m22_one_of_three_keys_is_too_few() {
    let world = World::new();
    assert_eq!(signed_so(&world, |m| vec![by(41, m)]), "tuf-threshold");
    let mut other = world.clone();
    other.node = change(&world.node, &[41], |_| {});
    other.list(1);
    let error = other.refresh().unwrap_err();
    assert_eq!(error.to_string(), "`node` is signed by 1 of the 2 keys it needs");
    let fix = countersign_base::Explain::fix(&error).unwrap();
    assert!(fix.contains(&key_id(key(42).public_key())[..8]), "{fix}");
}

#[test]
fn a_signature_is_on_the_value_that_is_read() {
    // Spaces and order of the file do not matter to others' repositories; the values do.
    let world = World::new();
    let value = json::parse(&world.root).unwrap();
    let spaced = String::from_utf8(world.root.clone()).unwrap().replace(",\"", " ,\n  \"");
    assert_eq!(json::parse(spaced.as_bytes()).unwrap(), value);
    let other = World { root: spaced.clone().into_bytes(), ..world.clone() };
    assert_eq!(code(other.refresh()), "ok");
    let other = World { root: spaced.replace("\"version\":1", "\"version\":2").into_bytes(), ..world };
    assert_eq!(code(other.refresh()), "tuf-threshold");
}
