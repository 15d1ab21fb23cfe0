//! The walk of roots (attacks M07, M22).

use countersign_base::Json;
use countersign_tuf::editor::{NewDelegation, RootEditor, TargetsEditor};
use countersign_tuf::{Envelope, Held, Root, Targets, TrustedSet};

use crate::world::{NODE, ROOT, TARGETS, World, at, change, code, now, paths, public, sign};

/// The next root with other root keys, not yet signed.
fn rotated(world: &World, keys: &[u8], threshold: u32) -> RootEditor {
    let root = Envelope::<Root>::parse("root", &world.root).unwrap().signed;
    let mut next = RootEditor::next(&root);
    next.set_role("root", &public(keys), threshold).unwrap();
    next
}

fn step(world: &World, next: &[u8]) -> &'static str {
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    let before = set.root().clone();
    let result = code(set.update_root(next));
    assert_eq!(*set.root() == before, result != "ok");
    result
}

#[test]
fn m07_a_root_follows_by_version_and_by_both_thresholds() {
    let world = World::new();
    let next = |signers: &[u8]| sign(rotated(&world, &[3, 4, 5], 2).finish().unwrap(), signers);
    assert_eq!(step(&world, &next(&[1, 2, 4, 5])), "ok");
    assert_eq!(step(&world, &next(&[1, 3, 4])), "ok", "a key of both counts for both");
    assert_eq!(step(&world, &next(&[4, 5])), "tuf-root-chain", "only the new keys");
    assert_eq!(step(&world, &next(&[1, 2])), "tuf-root-chain", "only the old keys");
    assert_eq!(step(&world, &next(&[1, 4])), "tuf-threshold", "neither");
    assert_eq!(step(&world, &next(&[])), "tuf-threshold");
    for (version, want) in [(1, "tuf-root-chain"), (2, "ok"), (3, "tuf-root-chain")] {
        let root = change(&world.root, &ROOT[..2], |signed| *at(signed, &["version"]) = Json::from(version));
        assert_eq!(step(&world, &root), want, "{version}");
    }
}

#[test]
fn the_first_root_is_signed_by_its_own_threshold() {
    let world = World::new();
    for (seeds, want) in
        [(&[1, 2][..], "ok"), (&[1, 2, 3], "ok"), (&[1], "tuf-threshold"), (&[], "tuf-threshold")]
    {
        assert_eq!(code(TrustedSet::new(&change(&world.root, seeds, |_| {}), now())), want);
    }
}

#[test]
fn m22_a_key_that_root_removed_signs_for_nobody() {
    let world = World::new();
    let root = Envelope::<Root>::parse("root", &world.root).unwrap().signed;
    let mut next = RootEditor::next(&root);
    next.set_role("root", &public(&[2, 3, 4]), 2).unwrap();
    next.set_role("timestamp", &public(&[32]), 1).unwrap();
    next.set_role("targets", &public(&[12, 13]), 2).unwrap();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_root(&sign(next.finish().unwrap(), &[2, 3])).unwrap();

    // Timestamp: the removed key, the new one.
    assert_eq!(code(set.clone().update_timestamp(&world.timestamp)), "tuf-key-revoked");
    let mut renewed = world.clone();
    renewed.timestamp = change(&world.timestamp, &[32], |_| {});
    set.update_timestamp(&renewed.timestamp).unwrap();
    set.update_snapshot(&world.snapshot).unwrap();
    // Targets: the removed key fills up for one that is missing.
    assert_eq!(code(set.update_targets(&world.targets)), "tuf-key-revoked");

    // The next root: with the removed key, with too few, as it should be.
    let third = |seeds: &[u8]| {
        let root = RootEditor::next(set.root());
        sign(root.finish().unwrap(), seeds)
    };
    assert_eq!(code(set.clone().update_root(&third(&[1, 2]))), "tuf-key-revoked");
    assert_eq!(code(set.clone().update_root(&third(&[2]))), "tuf-threshold");
    assert_eq!(code(set.clone().update_root(&third(&[2, 4]))), "ok");
}

#[test]
fn a_removed_key_beside_enough_others_does_no_harm() {
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_root(&sign(rotated(&world, &[2, 3, 4], 2).finish().unwrap(), &[2, 3])).unwrap();
    let next = sign(RootEditor::next(set.root()).finish().unwrap(), &[1, 2, 3]);
    assert_eq!(code(set.update_root(&next)), "ok");
    // A key that comes back is a key like any other.
    let mut back = RootEditor::next(set.root());
    back.set_role("root", &public(&[1, 2, 3]), 2).unwrap();
    set.update_root(&sign(back.finish().unwrap(), &[2, 3])).unwrap();
    let next = sign(RootEditor::next(set.root()).finish().unwrap(), &[1, 2]);
    assert_eq!(code(set.update_root(&next)), "ok");
}

#[test]
fn a_new_root_asks_for_targets_anew_and_keeps_the_rest() {
    let world = World::new();
    let mut set = world.refresh().unwrap();
    set.update_root(&sign(rotated(&world, ROOT, 2).finish().unwrap(), &[1, 2])).unwrap();
    assert!(set.targets().is_none());
    assert!(set.snapshot_is_current());
    set.update_targets(&world.targets).unwrap();
}

/// 5.3.11, with ADR 0010: what is a rotation of online keys, and what is none.
#[test]
fn both_copies_go_when_a_key_goes_or_more_must_sign() {
    let world = World::new();
    let mut set = world.refresh().unwrap();
    let mut two = RootEditor::next(set.root());
    two.set_role("timestamp", &public(&[31, 32]), 1).unwrap();
    two.set_role("snapshot", &public(&[21, 22]), 1).unwrap();
    set.update_root(&sign(two.finish().unwrap(), &[1, 2])).unwrap();
    assert!(set.timestamp().is_some() && set.snapshot_is_current(), "keys that join");
    assert_eq!(set.online_keys_since(), 1);
    for (role, keys, threshold, stays) in [
        ("timestamp", &[31, 32, 33][..], 1, true),
        ("timestamp", &[31, 32], 2, false),
        ("timestamp", &[31], 1, false),
        ("timestamp", &[31, 33], 1, false),
        ("snapshot", &[21, 22, 23], 1, true),
        ("snapshot", &[21, 22], 2, false),
        ("snapshot", &[22], 1, false),
        ("targets", &[12, 13], 1, true),
        ("root", &[4, 5], 1, true),
    ] {
        let mut next = RootEditor::next(set.root());
        next.set_role(role, &public(keys), threshold).unwrap();
        let mut set = set.clone();
        set.update_root(&sign(next.finish().unwrap(), &[1, 2, 4])).unwrap();
        assert_eq!(set.timestamp().is_some(), stays, "{role} {keys:?} {threshold}");
        assert_eq!(set.snapshot().is_some(), stays, "{role} {keys:?} {threshold}");
        assert_eq!(set.online_keys_since() == 3, !stays, "{role} {keys:?} {threshold}");
    }
}

#[test]
fn m22_a_key_that_targets_removed_signs_for_nobody() {
    let old = World::new();
    let targets = Envelope::<Targets>::parse("targets", &old.targets).unwrap().signed;
    let mut next = TargetsEditor::next("targets", &targets);
    next.set_delegation(&NewDelegation {
        name: "node",
        keys: &public(&[42, 43, 44]),
        threshold: 2,
        coverage: paths(&["node/*/*/*"]),
        terminating: true,
    })
    .unwrap();
    let mut new = old.clone();
    new.targets = sign(next.finish().unwrap(), TARGETS);
    for (seeds, want) in [(&[41, 42][..], "tuf-key-revoked"), (&[42], "tuf-threshold"), (&[42, 44], "ok")] {
        new.node = change(&old.node, seeds, |_| {});
        new.list(2);
        // The client offers the targets that it kept; they are no longer the listed ones.
        let mut set = TrustedSet::new(&new.root, now()).unwrap();
        set.restore_timestamp(&old.timestamp).unwrap();
        assert_eq!(set.restore_snapshot(&old.snapshot), Ok(Held::Current));
        set.update_timestamp(&new.timestamp).unwrap();
        set.update_snapshot(&new.snapshot).unwrap();
        assert_eq!(code(set.update_targets(&old.targets)), "tuf-meta-mismatch");
        set.update_targets(&new.targets).unwrap();
        assert_eq!(code(set.update_delegated("node", "targets", &new.node)), want);
    }
    assert_eq!(NODE, [41, 42, 43]);
}
