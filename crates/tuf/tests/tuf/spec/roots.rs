//! 5.2, 5.3 and 6.1: the walk of roots.

use countersign_base::Json;
use countersign_tuf::editor::RootEditor;
use countersign_tuf::limits::MAX_ROOT_BYTES;
use countersign_tuf::{Role as _, TrustedSet};

use super::with_signatures;
use crate::world::{ROOT, World, at, change, code, now, public, sign};

fn start() -> TrustedSet {
    TrustedSet::new(&World::new().root, now()).unwrap()
}

/// The root after the trusted one, with these root keys and threshold, signed by these.
fn next(set: &TrustedSet, keys: &[u8], threshold: u32, signers: &[u8]) -> Vec<u8> {
    let mut next = RootEditor::next(set.root());
    next.set_role("root", &public(keys), threshold).unwrap();
    sign(next.finish().unwrap(), signers)
}

/// 5.1: one time for the whole update, whatever the clock does meanwhile.
#[test]
fn s5_1_time_is_fixed_at_the_start() {
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    assert_eq!(set.now(), now());
    world.update(&mut set).unwrap();
    let mut late = TrustedSet::new(&world.root, now().plus_days(2)).unwrap();
    assert_eq!(code(world.update(&mut late)), "tuf-expired");
}

/// 5.2: the expiry of the trusted root does not matter yet.
#[test]
fn s5_2_an_expired_trusted_root_is_loaded() {
    let expired = change(&World::new().root, &ROOT[..2], |signed| {
        *at(signed, &["expires"]) = Json::from("2001-01-01T00:00:00Z");
    });
    let mut set = TrustedSet::new(&expired, now()).unwrap();
    let fresh = change(&World::new().root, &ROOT[..2], |signed| *at(signed, &["version"]) = Json::from(2));
    set.update_root(&fresh).unwrap();
}

/// 5.3.1 and 6.1: a line of continuity through each root, back from keys that share nothing with the newest.
#[test]
fn s5_3_1_a_client_walks_through_every_root() {
    let mut set = start();
    let mut files = Vec::new();
    for (keys, signers) in
        [(&[4, 5, 6][..], &[1, 2, 4, 5][..]), (&[7, 8, 9], &[4, 5, 7, 8]), (&[1, 2, 3], &[7, 8, 1, 2])]
    {
        let file = next(&set, keys, 2, signers);
        assert_eq!(set.next_root().path, format!("{}.root.json", set.root().version() + 1));
        set.update_root(&file).unwrap();
        files.push(file);
    }
    assert_eq!(set.root().version(), 4);
    // One left out: the rest does not follow.
    let mut set = start();
    set.update_root(&files[0]).unwrap();
    assert_ne!(code(set.update_root(&files[2])), "ok");
}

/// 5.3.3: at most so many bytes.
#[test]
fn s5_3_3_a_root_has_a_largest_size() {
    let mut set = start();
    assert_eq!(set.next_root().limit, MAX_ROOT_BYTES as u64);
    let mut long = next(&set, ROOT, 2, &[1, 2]);
    long.resize(MAX_ROOT_BYTES + 1, b' ');
    assert_eq!(code(set.update_root(&long)), "limit-exceeded");
    long.truncate(MAX_ROOT_BYTES);
    assert_eq!(code(set.update_root(&long)), "ok");
}

/// 5.3.4: (1) the trusted root's threshold, (2) the new root's own.
#[test]
fn s5_3_4_both_thresholds_sign() {
    let set = start();
    for (signers, want) in [
        (&[1, 2, 4, 5, 6][..], "ok"),
        (&[1, 2, 4, 5], "tuf-root-chain"),
        (&[1, 4, 5, 6], "tuf-root-chain"),
        (&[1, 4], "tuf-threshold"),
    ] {
        assert_eq!(code(set.clone().update_root(&next(&set, &[4, 5, 6], 3, signers))), want, "{signers:?}");
    }
}

/// 5.3.4: each key contributes one signature, however often its id stands there.
#[test]
fn s5_3_4_a_key_counts_once() {
    let set = start();
    let one = next(&set, ROOT, 2, &[1]);
    let twice = with_signatures(&one, |list| list.push(list[0].clone()));
    assert_eq!(code(set.clone().update_root(&one)), "tuf-threshold");
    assert_eq!(code(set.clone().update_root(&twice)), "tuf-threshold");
    assert_eq!(code(set.clone().update_root(&next(&set, ROOT, 2, &[1, 2]))), "ok");
}

/// 5.3.4: what is not signed as required is discarded, and the next update begins where this one did.
#[test]
fn s5_3_4_a_refused_root_leaves_the_trusted_one() {
    let mut set = start();
    let before = set.root().clone();
    assert_eq!(code(set.update_root(&next(&set, ROOT, 2, &[1]))), "tuf-threshold");
    assert_eq!(set.root(), &before);
    assert_eq!(set.next_root().path, "2.root.json");
    assert_eq!(code(set.update_root(&next(&set, ROOT, 2, &[1, 2]))), "ok");
}

/// 5.3.5: precisely N+1.
#[test]
fn s5_3_5_the_version_is_the_next_one() {
    let set = start();
    let file = next(&set, ROOT, 2, &[1, 2]);
    for (version, want) in
        [(1, "tuf-root-chain"), (2, "ok"), (3, "tuf-root-chain"), (4_000_000, "tuf-root-chain")]
    {
        let file = change(&file, &[1, 2], |signed| *at(signed, &["version"]) = Json::from(version));
        assert_eq!(code(set.clone().update_root(&file)), want, "{version}");
    }
}

/// 5.3.6: the expiry of an intermediate root does not matter.
#[test]
fn s5_3_6_an_expired_intermediate_root_is_taken() {
    let mut set = start();
    let expired = change(&next(&set, ROOT, 2, &[1, 2]), &[1, 2], |signed| {
        *at(signed, &["expires"]) = Json::from("2001-01-01T00:00:00Z");
    });
    set.update_root(&expired).unwrap();
    let mut fresh = RootEditor::next(set.root());
    fresh.set_expires(now().plus_days(1));
    set.update_root(&sign(fresh.finish().unwrap(), &[1, 2])).unwrap();
    World::new().update(&mut set).unwrap();
}

/// 5.3.10: the last root has not expired, or nothing that follows is looked at.
#[test]
fn s5_3_10_the_last_root_is_fresh() {
    let world = World::new();
    for (expires, want) in [(now(), "tuf-expired"), (now().plus_seconds(1), "ok")] {
        let root = change(&world.root, &ROOT[..2], |signed| {
            *at(signed, &["expires"]) = Json::from(expires.to_string());
        });
        let mut set = TrustedSet::new(&root, now()).unwrap();
        assert_eq!(code(set.update_timestamp(&world.timestamp)), want);
    }
}

/// 5.3.11: rotated timestamp or snapshot keys drop both copies.
#[test]
fn s5_3_11_rotated_online_keys_drop_the_copies() {
    for (role, seed) in [("timestamp", 32), ("snapshot", 22)] {
        let mut set = World::new().refresh().unwrap();
        let mut rotated = RootEditor::next(set.root());
        rotated.set_role(role, &public(&[seed]), 1).unwrap();
        set.update_root(&sign(rotated.finish().unwrap(), &[1, 2])).unwrap();
        assert!(set.timestamp().is_none() && set.snapshot().is_none(), "{role}");
    }
    let mut set = World::new().refresh().unwrap();
    let kept = next(&set, ROOT, 2, &[1, 2]);
    set.update_root(&kept).unwrap();
    assert!(set.timestamp().is_some() && set.snapshot().is_some());
}

/// 5.3.12: names follow the last root's word on consistent snapshots.
#[test]
fn s5_3_12_consistent_snapshots_are_as_the_last_root_says() {
    let mut set = World::new().refresh().unwrap();
    assert_eq!(set.wanted_snapshot().unwrap().path, "1.snapshot.json");
    let mut plain = RootEditor::next(set.root());
    plain.set_consistent_snapshot(false);
    set.update_root(&sign(plain.finish().unwrap(), &[1, 2])).unwrap();
    assert_eq!(set.wanted_snapshot().unwrap().path, "snapshot.json");
    assert_eq!(set.next_root().path, "3.root.json", "roots have their version in front in any case");
}
