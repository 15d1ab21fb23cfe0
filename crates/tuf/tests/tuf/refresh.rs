//! Timestamp, snapshot and targets: rollback, freeze, mix and match (attacks M01, M03, M04, M06, M20).

use countersign_base::{Explain as _, Json, Timestamp};
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::{Envelope, Held, Root, Search, Targets, TrustedSet, Update};

use crate::world::{
    NODE, NODE_PATH, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, World, at, change, code, now, public, root_editor,
    sign, target, version_of,
};

/// The repository one release later.
fn later(world: &World) -> World {
    let mut later = world.clone();
    let node = Envelope::<Targets>::parse("node", &world.node).unwrap().signed;
    let mut node = TargetsEditor::next("node", &node);
    node.set_target("node/1.1.0/linux-amd64/node", &target(b"node 1.1.0")).unwrap();
    later.node = sign(node.finish().unwrap(), &NODE[..2]);
    let targets = Envelope::<Targets>::parse("targets", &world.targets).unwrap().signed;
    later.targets = sign(TargetsEditor::next("targets", &targets).finish().unwrap(), TARGETS);
    later.list(2);
    later
}

#[test]
fn an_honest_refresh_finds_the_target() {
    let world = World::new();
    let set = world.refresh().unwrap();
    let Ok(Search::Found(found)) = set.find_target(NODE_PATH) else { panic!("not found") };
    assert_eq!(found.role, "node");
    found.file.check_bytes(NODE_PATH, b"node 1.0.0").unwrap();
    assert_eq!(set.signers("node").unwrap().signed.len(), 2);
    assert_eq!(set.signers("root").unwrap().signed.len(), 2);
    assert_eq!(set.signers("root").unwrap().unsigned.len(), 1);
    assert_eq!(set.version_and_expiry("node").unwrap().0, 1);
    assert_eq!(set.wanted_targets("node").unwrap().path, "1.node.json");
    assert_eq!(set.wanted_snapshot().unwrap().limit, world.snapshot.len() as u64);
    assert_eq!(set.next_root().path, "2.root.json");
}

#[test]
fn m01_an_older_timestamp_is_a_rollback_also_after_restart() {
    let (old, new) = (World::new(), later(&World::new()));
    let mut set = new.refresh().unwrap();
    assert_eq!(set.update_timestamp(&new.timestamp), Ok(Update::Unchanged));
    assert_eq!(code(set.update_timestamp(&old.timestamp)), "tuf-rollback");
    let mut restarted = TrustedSet::new(&new.root, now()).unwrap();
    restarted.restore_timestamp(&new.timestamp).unwrap();
    assert_eq!(code(restarted.update_timestamp(&old.timestamp)), "tuf-rollback");
    assert_eq!(restarted.timestamp(), set.timestamp(), "a refusal changes nothing");
}

#[test]
fn m01_an_older_snapshot_in_place_of_the_newest_is_a_rollback() {
    let (one, two) = (World::new(), later(&World::new()));
    let mut three = two.clone();
    three.list(3);
    let mut set = two.refresh().unwrap();
    set.update_timestamp(&three.timestamp).unwrap();
    assert_eq!(code(set.update_snapshot(&one.snapshot)), "tuf-rollback");
    assert_eq!(code(set.update_snapshot(&three.snapshot)), "ok");
    // After a restart, with the copies that were kept.
    let mut set = TrustedSet::new(&two.root, now()).unwrap();
    set.restore_timestamp(&three.timestamp).unwrap();
    assert_eq!(set.restore_snapshot(&two.snapshot), Ok(Held::Outdated));
    assert_eq!(code(set.update_snapshot(&one.snapshot)), "tuf-rollback");
    assert_eq!(code(set.update_snapshot(&three.snapshot)), "ok");
}

#[test]
fn m01_a_snapshot_that_lists_older_targets_is_a_rollback() {
    let (one, two) = (World::new(), later(&World::new()));
    for (targets, node) in [(&one.targets, &two.node), (&two.targets, &one.node)] {
        let mut three = World { targets: targets.clone(), node: node.clone(), ..two.clone() };
        three.list(3);
        let mut set = two.refresh().unwrap();
        set.update_timestamp(&three.timestamp).unwrap();
        assert_eq!(code(set.update_snapshot(&three.snapshot)), "tuf-rollback");
        assert_eq!(version_of(&two.snapshot), 2);
        assert!(!set.snapshot_is_current());
    }
}

#[test]
fn m01_older_targets_in_place_of_the_newest_are_a_rollback() {
    let (one, two) = (World::new(), later(&World::new()));
    let mut three = later(&two);
    three.list(3);
    for role in ["targets", "node"] {
        let mut set = two.refresh().unwrap();
        set.update_timestamp(&three.timestamp).unwrap();
        set.update_snapshot(&three.snapshot).unwrap();
        let served = if role == "targets" {
            World { targets: one.targets.clone(), ..three.clone() }
        } else {
            World { node: one.node.clone(), ..three.clone() }
        };
        assert_eq!(code(served.update(&mut set)), "tuf-rollback", "{role}");
        // After a restart: the kept copy is offered first, is not current, and counts as seen.
        let mut set = TrustedSet::new(&two.root, now()).unwrap();
        set.restore_timestamp(&three.timestamp).unwrap();
        assert_eq!(set.restore_snapshot(&three.snapshot), Ok(Held::Current));
        assert_eq!(code(set.update_targets(&two.targets)), "tuf-meta-mismatch");
        assert_eq!(code(set.update_targets(&one.targets)), "tuf-rollback");
        assert_eq!(code(set.update_targets(&three.targets)), "ok");
    }
}

#[test]
fn m03_rotated_online_keys_drop_the_copies_that_an_attacker_drove_up() {
    let world = World::new();
    let mut driven = world.clone();
    driven.list(2_147_483_647);
    let mut set = driven.refresh().unwrap();
    let mut recovered = world.clone();
    recovered.list(2);
    assert_eq!(code(set.update_timestamp(&recovered.timestamp)), "tuf-rollback");
    // A new root that changes nothing keeps the copies.
    let root = Envelope::<Root>::parse("root", &world.root).unwrap().signed;
    let mut same = countersign_tuf::editor::RootEditor::next(&root);
    same.set_expires(now().plus_days(400));
    let mut held = set.clone();
    held.update_root(&sign(same.finish().unwrap(), &ROOT[..2])).unwrap();
    assert_eq!(held.online_keys_since(), 1);
    assert_eq!(code(held.update_timestamp(&recovered.timestamp)), "tuf-rollback");
    // One that rotates the snapshot's key drops both.
    let mut rotated = countersign_tuf::editor::RootEditor::next(&root);
    rotated.set_role("snapshot", &public(&[22]), 1).unwrap();
    set.update_root(&sign(rotated.finish().unwrap(), &ROOT[..2])).unwrap();
    assert!(set.timestamp().is_none() && set.snapshot().is_none() && set.targets().is_none());
    assert_eq!(set.online_keys_since(), 2);
    let snapshot = change(&recovered.snapshot, &[22], |_| {});
    recovered.snapshot = snapshot;
    recovered.stamp(2);
    recovered.update(&mut set).unwrap();
    assert_eq!(set.timestamp().map(countersign_tuf::Role::version), Some(2));
}

#[test]
fn m04_what_has_expired_is_refused_by_role_and_age() {
    let expired = |bytes: &[u8], seeds: &[u8], at_time: Timestamp| {
        change(bytes, seeds, |signed| *at(signed, &["expires"]) = Json::from(at_time.to_string()))
    };
    let second_ago = Timestamp::from_unix(now().as_unix() - 1).unwrap();
    // (f) Expiring this very second counts as expired; one second later does not.
    for (when, want) in [(second_ago, "tuf-expired"), (now(), "tuf-expired"), (now().plus_seconds(1), "ok")] {
        let world = World::new();
        let timestamp = World { timestamp: expired(&world.timestamp, TIMESTAMP, when), ..world.clone() };
        let mut snapshot = World { snapshot: expired(&world.snapshot, SNAPSHOT, when), ..world.clone() };
        snapshot.stamp(1);
        let mut targets = World { targets: expired(&world.targets, TARGETS, when), ..world.clone() };
        targets.list(1);
        let mut node = World { node: expired(&world.node, &NODE[..2], when), ..world.clone() };
        node.list(1);
        let root = World { root: expired(&world.root, &ROOT[..2], when), ..world };
        let cases = [
            ("timestamp", timestamp),
            ("snapshot", snapshot),
            ("targets", targets),
            ("node", node),
            ("root", root),
        ];
        for (role, world) in cases {
            let result = world.refresh();
            assert_eq!(code(result.clone()), want, "{role} {when}");
            if let Err(error) = result {
                assert!(error.to_string().starts_with(&format!("`{role}` expired ")), "{error}");
            }
        }
    }
}

#[test]
fn m04_an_expired_intermediate_root_is_fine() {
    let world = World::new();
    let old = change(&world.root, &ROOT[..2], |signed| {
        *at(signed, &["expires"]) = Json::from("1999-01-01T00:00:00Z");
    });
    let next = change(&world.root, &ROOT[..2], |signed| *at(signed, &["version"]) = Json::from(2));
    let mut set = TrustedSet::new(&old, now()).unwrap();
    assert_eq!(code(set.update_timestamp(&world.timestamp)), "tuf-expired");
    set.update_root(&next).unwrap();
    world.update(&mut set).unwrap();
}

#[test]
fn m04_kept_copies_that_expired_only_guard_against_rollback() {
    let one = World::new();
    let mut two = later(&one);
    let expires = |bytes: &[u8], seeds: &[u8]| {
        change(bytes, seeds, |signed| *at(signed, &["expires"]) = Json::from("2020-01-01T00:00:00Z"))
    };
    two.snapshot = expires(&two.snapshot, SNAPSHOT);
    two.stamp(2);
    two.timestamp = expires(&two.timestamp, TIMESTAMP);
    let mut set = TrustedSet::new(&two.root, now()).unwrap();
    set.restore_timestamp(&two.timestamp).unwrap();
    assert_eq!(set.restore_snapshot(&two.snapshot), Ok(Held::Current));
    assert_eq!(code(set.update_targets(&two.targets)), "tuf-expired");
    assert_eq!(code(set.update_timestamp(&two.timestamp)), "tuf-expired");
    assert_eq!(code(set.update_timestamp(&one.timestamp)), "tuf-rollback");
    let mut three = later(&one);
    three.list(3);
    three.update(&mut set).unwrap();
}

#[test]
fn m06_files_of_two_releases_do_not_mix() {
    let (one, two) = (World::new(), later(&World::new()));
    let mixed = [
        World { snapshot: one.snapshot.clone(), ..two.clone() },
        World { snapshot: two.snapshot.clone(), ..one.clone() },
        World { targets: one.targets.clone(), ..two.clone() },
        World { targets: two.targets.clone(), ..one.clone() },
        World { node: one.node.clone(), ..two.clone() },
        World { node: two.node.clone(), ..one.clone() },
    ];
    for world in mixed {
        assert_eq!(code(world.refresh()), "tuf-meta-mismatch");
    }
}

#[test]
fn m06_version_length_and_hash_bind_a_child_to_its_parent() {
    let world = World::new();
    let listed: &[(&[&str], Json)] = &[
        (&["version"], Json::from(2)),
        (&["length"], Json::from(1)),
        (&["hashes", "sha256"], Json::from("0".repeat(64))),
        (&["hashes", "sha512"], Json::from("0".repeat(128))),
    ];
    for (path, value) in listed {
        for role in ["targets.json", "node.json"] {
            let mut wrong = world.clone();
            wrong.snapshot = change(&world.snapshot, SNAPSHOT, |signed| {
                *at(at(signed, &["meta", role]), path) = value.clone();
            });
            wrong.stamp(1);
            assert_eq!(code(wrong.refresh()), "tuf-meta-mismatch", "{role} {path:?}");
        }
        let mut wrong = world.clone();
        wrong.timestamp = change(&world.timestamp, TIMESTAMP, |signed| {
            *at(at(signed, &["meta", "snapshot.json"]), path) = value.clone();
        });
        assert_eq!(code(wrong.refresh()), "tuf-meta-mismatch", "snapshot {path:?}");
    }
    // Length and hashes are optional; only hashes of unknown algorithms are not.
    for (hashes, want) in
        [(None, "ok"), (Some(("blake2b", "00")), "tuf-meta-mismatch"), (Some(("", "")), "tuf-malformed")]
    {
        let mut other = world.clone();
        other.snapshot = change(&world.snapshot, SNAPSHOT, |signed| {
            *at(signed, &["meta", "targets.json"]) = Json::object([("version", Json::from(1))]);
            if let Some((name, value)) = hashes {
                let member = (!name.is_empty()).then(|| (name, Json::from(value)));
                *at(signed, &["meta", "targets.json", "hashes"]) = Json::object(member);
            }
        });
        other.stamp(1);
        assert_eq!(code(other.refresh()), want);
    }
}

#[test]
fn m06_a_role_neither_leaves_the_snapshot_nor_stays_out_of_it() {
    let world = World::new();
    let mut dropped = world.clone();
    dropped.list_as(2, &[("targets", 1)]);
    let mut set = world.refresh().unwrap();
    set.update_timestamp(&dropped.timestamp).unwrap();
    assert_eq!(code(set.update_snapshot(&dropped.snapshot)), "tuf-meta-mismatch");
    // For a client that never saw it listed.
    let mut absent = world.clone();
    absent.list_as(1, &[("targets", 1)]);
    assert_eq!(code(absent.refresh()), "tuf-meta-mismatch");
    absent.list_as(1, &[("node", 1)]);
    assert_eq!(code(absent.refresh()), "tuf-meta-mismatch");
}

#[test]
fn m20_a_target_entry_says_what_the_file_is() {
    let world = World::new();
    let entry = |edit: &dyn Fn(&mut Json)| {
        let mut other = world.clone();
        other.node = change(&world.node, &NODE[..2], |signed| edit(at(signed, &["targets", NODE_PATH])));
        other.list(1);
        other.refresh().and_then(|set| match set.find_target(NODE_PATH)? {
            Search::Found(found) => found.file.check_bytes(NODE_PATH, b"node 1.0.0"),
            Search::Load { role, .. } => panic!("{role} is loaded"),
        })
    };
    let set = |path: &'static [&str], value: Json| move |entry: &mut Json| *at(entry, path) = value.clone();
    assert_eq!(code(entry(&|_| {})), "ok");
    assert_eq!(code(entry(&set(&["hashes", "blake2b"], Json::from("00")))), "ok");
    assert_eq!(code(entry(&set(&["custom"], Json::object([("a", Json::Null)])))), "ok");
    for wrong in [
        entry(&set(&["hashes"], Json::object::<String>([]))),
        entry(&set(&["hashes"], Json::Null)),
        entry(&set(&["hashes"], Json::object([("blake2b", Json::from("00"))]))),
        entry(&set(&["hashes", "sha512"], Json::from("0".repeat(128)))),
        entry(&set(&["hashes", "sha256"], Json::from("0".repeat(64)))),
        entry(&set(&["hashes", "sha256"], Json::from("xyz"))),
        entry(&set(&["length"], Json::from(9))),
        entry(&set(&["length"], Json::from(11))),
        entry(&set(&["length"], Json::from(-1))),
        entry(&set(&["length"], Json::Null)),
    ] {
        assert_eq!(code(wrong), "tuf-target-mismatch");
    }
}

#[test]
fn steps_out_of_order_are_a_bug() {
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    assert_eq!(code(set.update_snapshot(&world.snapshot)), "internal-error");
    assert_eq!(code(set.update_targets(&world.targets)), "internal-error");
    set.update_timestamp(&world.timestamp).unwrap();
    assert_eq!(code(set.update_targets(&world.targets)), "internal-error");
    set.update_snapshot(&world.snapshot).unwrap();
    assert_eq!(code(set.update_delegated("node", "targets", &world.node)), "internal-error");
    set.update_targets(&world.targets).unwrap();
    set.update_delegated("node", "targets", &world.node).unwrap();
    assert_eq!(code(set.update_delegated("other", "targets", &world.node)), "internal-error");
}

#[test]
fn a_repository_without_consistent_snapshots_is_read_by_plain_names() {
    let mut world = World::new();
    let mut root = root_editor();
    root.set_consistent_snapshot(false);
    world.root = sign(root.finish().unwrap(), &ROOT[..2]);
    let set = world.refresh().unwrap();
    assert_eq!(set.wanted_snapshot().unwrap().path, "snapshot.json");
    assert_eq!(set.wanted_targets("node").unwrap().path, "node.json");
    assert_eq!(set.wanted_targets("other").unwrap_err().code().name(), "tuf-meta-mismatch");
}
