//! 5.4 and 5.5: timestamp and snapshot.

use countersign_base::Json;
use countersign_tuf::limits::{MAX_SNAPSHOT_BYTES, MAX_TIMESTAMP_BYTES};
use countersign_tuf::{Role as _, TrustedSet, Update};

use super::{with_signatures, with_snapshot, with_timestamp};
use crate::world::{ROOT, SNAPSHOT, TIMESTAMP, World, at, change, code, now, public, root_editor, sign};

/// A world in which timestamp and snapshot need two signatures each, and have those of these keys.
fn two_of_two(timestamp: &[u8], snapshot: &[u8]) -> World {
    let mut world = World::new();
    let mut root = root_editor();
    root.set_role("timestamp", &public(&[31, 32]), 2).unwrap();
    root.set_role("snapshot", &public(&[21, 22]), 2).unwrap();
    world.root = sign(root.finish().unwrap(), &ROOT[..2]);
    world.snapshot = change(&world.snapshot, snapshot, |_| {});
    world.stamp(1);
    world.timestamp = change(&world.timestamp, timestamp, |_| {});
    world
}

fn expires(when: &str) -> impl Fn(&mut Json) + use<> {
    let when = Json::from(when);
    move |signed| *at(signed, &["expires"]) = when.clone()
}

/// 5.4.1: at most so many bytes.
#[test]
fn s5_4_1_a_timestamp_has_a_largest_size() {
    let mut world = World::new();
    world.timestamp.resize(MAX_TIMESTAMP_BYTES, b' ');
    assert_eq!(code(world.refresh()), "ok");
    world.timestamp.push(b' ');
    assert_eq!(code(world.refresh()), "limit-exceeded");
}

/// 5.4.2: the threshold of the trusted root's keys, each counted once.
#[test]
fn s5_4_2_the_threshold_signs_the_timestamp() {
    assert_eq!(code(two_of_two(&[31, 32], &[21, 22]).refresh()), "ok");
    assert_eq!(code(two_of_two(&[31], &[21, 22]).refresh()), "tuf-threshold");
    assert_eq!(code(two_of_two(&[31, 33], &[21, 22]).refresh()), "tuf-threshold");
    let mut twice = two_of_two(&[31], &[21, 22]);
    twice.timestamp = with_signatures(&twice.timestamp, |list| list.push(list[0].clone()));
    assert_eq!(code(twice.refresh()), "tuf-threshold");
}

/// 5.4.3.1: a lower version is a rollback, the same is no news and no error, whatever it says.
#[test]
fn s5_4_3_1_the_version_does_not_go_down() {
    let mut world = World::new();
    world.stamp(5);
    let mut set = world.refresh().unwrap();
    let before = set.timestamp().cloned();
    let mut older = world.clone();
    older.stamp(4);
    assert_eq!(code(set.update_timestamp(&older.timestamp)), "tuf-rollback");
    let same = change(&world.timestamp, TIMESTAMP, |signed| {
        *at(signed, &["meta", "snapshot.json", "version"]) = Json::from(100);
    });
    assert_eq!(set.update_timestamp(&same), Ok(Update::Unchanged));
    assert_eq!(set.timestamp(), before.as_ref());
    let mut newer = world.clone();
    newer.stamp(6);
    assert_eq!(set.update_timestamp(&newer.timestamp), Ok(Update::New));
}

/// 5.4.3.2: the snapshot version that it lists does not go down.
#[test]
fn s5_4_3_2_the_listed_snapshot_does_not_go_back() {
    let mut world = World::new();
    world.list(5);
    let mut set = world.refresh().unwrap();
    for (listed, want) in [(4, "tuf-rollback"), (5, "ok"), (6, "ok")] {
        let next = change(&world.timestamp, TIMESTAMP, |signed| {
            *at(signed, &["version"]) = Json::from(6 + listed);
            *at(signed, &["meta", "snapshot.json", "version"]) = Json::from(listed);
        });
        assert_eq!(code(set.update_timestamp(&next)), want, "{listed}");
    }
}

/// 5.4.4: its expiry is later than the start.
#[test]
fn s5_4_4_the_timestamp_is_fresh() {
    assert_eq!(with_timestamp(TIMESTAMP, expires("2026-11-21T14:00:00Z")), "tuf-expired");
    assert_eq!(with_timestamp(TIMESTAMP, expires("2026-11-21T14:00:01Z")), "ok");
    // A refused one does not become trusted.
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    let stale = change(&world.timestamp, TIMESTAMP, expires("2020-01-01T00:00:00Z"));
    assert_eq!(code(set.update_timestamp(&stale)), "tuf-expired");
    assert!(set.timestamp().is_none());
}

/// 5.5.1: at most the listed length, else a limit; its version is in the name.
#[test]
fn s5_5_1_a_snapshot_has_a_largest_size() {
    let mut world = World::new();
    world.list(7);
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_timestamp(&world.timestamp).unwrap();
    let wanted = set.wanted_snapshot().unwrap();
    assert_eq!((wanted.path.as_str(), wanted.limit), ("7.snapshot.json", world.snapshot.len() as u64));
    let listed = |signed: &mut Json| {
        *at(signed, &["meta", "snapshot.json"]) = Json::object([("version", Json::from(7))]);
    };
    world.timestamp = change(&world.timestamp, TIMESTAMP, listed);
    world.snapshot.resize(MAX_SNAPSHOT_BYTES, b' ');
    assert_eq!(code(world.refresh()), "ok");
    world.snapshot.push(b' ');
    assert_eq!(code(world.refresh()), "limit-exceeded");
}

/// 5.5.2: every listed hash, of an algorithm that is known; one that is not known alone is not enough.
#[test]
fn s5_5_2_the_listed_hashes_match() {
    for (algorithm, digest, want) in [
        ("sha256", "0".repeat(64), "tuf-meta-mismatch"),
        ("sha512", "0".repeat(128), "tuf-meta-mismatch"),
        ("blake2b", "0".repeat(64), "ok"),
    ] {
        let got = with_timestamp(TIMESTAMP, |signed| {
            *at(signed, &["meta", "snapshot.json", "hashes", algorithm]) = Json::from(digest);
        });
        assert_eq!(got, want, "{algorithm}");
    }
}

/// 5.5.3: the threshold of the trusted root's keys, each counted once.
#[test]
fn s5_5_3_the_threshold_signs_the_snapshot() {
    assert_eq!(code(two_of_two(&[31, 32], &[22]).refresh()), "tuf-threshold");
    assert_eq!(code(two_of_two(&[31, 32], &[22, 31]).refresh()), "tuf-threshold");
    assert_eq!(code(two_of_two(&[31, 32], &[22, 21]).refresh()), "ok");
    let mut twice = two_of_two(&[31, 32], &[21]);
    twice.snapshot = with_signatures(&twice.snapshot, |list| list.push(list[0].clone()));
    twice.stamp(1);
    twice.timestamp = change(&twice.timestamp, &[31, 32], |_| {});
    assert_eq!(code(twice.refresh()), "tuf-threshold");
}

/// 5.5.4: the version that the timestamp lists.
#[test]
fn s5_5_4_the_version_is_the_listed_one() {
    for (listed, want) in [(1, "ok"), (2, "tuf-meta-mismatch")] {
        let got = with_timestamp(TIMESTAMP, |signed| {
            *at(signed, &["meta", "snapshot.json"]) = Json::object([("version", Json::from(listed))]);
        });
        assert_eq!(got, want, "{listed}");
    }
}

/// 5.5.5: no listed version goes down and no listed file goes away; also against a copy that has expired.
#[test]
fn s5_5_5_listed_files_stay_and_do_not_go_back() {
    let mut world = World::new();
    world.snapshot = change(&world.snapshot, SNAPSHOT, |signed| {
        for role in ["targets.json", "node.json"] {
            *at(signed, &["meta", role]) = Json::object([("version", Json::from(5))]);
        }
        *at(signed, &["expires"]) = Json::from("2020-01-01T00:00:00Z");
    });
    world.stamp(1);
    for (role, listed, want) in [
        ("targets.json", Some(4), "tuf-rollback"),
        ("node.json", Some(4), "tuf-rollback"),
        ("node.json", None, "tuf-meta-mismatch"),
        ("node.json", Some(5), "ok"),
        ("node.json", Some(6), "ok"),
    ] {
        let mut next = world.clone();
        next.snapshot = change(&world.snapshot, SNAPSHOT, |signed| {
            *at(signed, &["version"]) = Json::from(2);
            *at(signed, &["expires"]) = Json::from("2027-01-01T00:00:00Z");
            match listed {
                Some(version) => *at(signed, &["meta", role, "version"]) = Json::from(version),
                None => crate::world::remove(signed, &["meta"], role),
            }
        });
        next.stamp(2);
        let mut set = TrustedSet::new(&world.root, now()).unwrap();
        set.restore_timestamp(&world.timestamp).unwrap();
        set.restore_snapshot(&world.snapshot).unwrap();
        set.update_timestamp(&next.timestamp).unwrap();
        assert_eq!(code(set.update_snapshot(&next.snapshot)), want, "{role} {listed:?}");
        assert_eq!(
            set.snapshot().map(countersign_tuf::Role::version),
            Some(if want == "ok" { 2 } else { 1 })
        );
    }
}

/// 5.5.6: its expiry is later than the start; a refused one does not become trusted.
#[test]
fn s5_5_6_the_snapshot_is_fresh() {
    assert_eq!(with_snapshot(SNAPSHOT, expires("2026-11-21T14:00:00Z")), "tuf-expired");
    assert_eq!(with_snapshot(SNAPSHOT, expires("2026-11-21T14:00:01Z")), "ok");
    let mut world = World::new();
    world.snapshot = change(&world.snapshot, SNAPSHOT, expires("2020-01-01T00:00:00Z"));
    world.stamp(1);
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_timestamp(&world.timestamp).unwrap();
    assert_eq!(code(set.update_snapshot(&world.snapshot)), "tuf-expired");
    assert!(set.snapshot().is_none());
    assert_eq!(set.root().version(), 1);
}
