//! 5.6 and 5.7: targets, delegations, the target itself; 6.2: names with consistent snapshots.

use countersign_base::Json;
use countersign_crypto::{sha256, sha512};
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::metadata::{Hashes, TargetFile};
use countersign_tuf::{Search, TrustedSet};

use super::{with_signatures, with_targets};
use crate::world::{
    NODE, NODE_PATH, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, World, at, change, code, now, root_editor, sign,
};

/// A refresh in which node's file is changed so and listed again.
fn with_node(seeds: &[u8], edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.node = change(&world.node, seeds, edit);
    world.list(1);
    code(world.refresh())
}

/// A refresh in which the snapshot says this of `role`.
fn listed(role: &str, entry: Json) -> &'static str {
    super::with_snapshot(SNAPSHOT, |signed| *at(signed, &["meta", role]) = entry)
}

/// 5.6.1: at most the listed length, else a limit; its version is in the name.
#[test]
fn s5_6_1_targets_have_a_largest_size() {
    let mut world = World::new();
    let set = world.refresh().unwrap();
    for (role, bytes) in [("targets", &world.targets), ("node", &world.node)] {
        let wanted = set.wanted_targets(role).unwrap();
        assert_eq!((wanted.path, wanted.limit), (format!("1.{role}.json"), bytes.len() as u64));
    }
    world.targets.resize(MAX_TARGETS_BYTES, b' ');
    world.list(1);
    assert_eq!(code(world.refresh()), "ok");
    world.targets.push(b' ');
    world.list(1);
    assert_eq!(code(world.refresh()), "limit-exceeded");
}

/// 5.6.2: every listed hash, top-level and delegated.
#[test]
fn s5_6_2_the_listed_hashes_match() {
    for role in ["targets.json", "node.json"] {
        for (algorithm, digest) in [("sha256", "0".repeat(64)), ("sha512", "0".repeat(128))] {
            let hashes = Json::object([(algorithm, Json::from(digest))]);
            let entry = Json::object([("version", Json::from(1)), ("hashes", hashes)]);
            assert_eq!(listed(role, entry), "tuf-meta-mismatch", "{role} {algorithm}");
        }
    }
}

/// 5.6.3: the threshold of the delegator's keys, each counted once; root delegates to the top-level role.
#[test]
fn s5_6_3_the_threshold_signs_targets() {
    for (seeds, want) in [
        (&[11, 12][..], "ok"),
        (&[11], "tuf-threshold"),
        (&[11, 41], "tuf-threshold"),
        (&[], "tuf-threshold"),
    ] {
        assert_eq!(with_targets(seeds, |_| {}), want, "{seeds:?}");
    }
    for (seeds, want) in [
        (&[41, 43][..], "ok"),
        (&[42], "tuf-threshold"),
        (&[42, 11], "tuf-threshold"),
        (&[], "tuf-threshold"),
    ] {
        assert_eq!(with_node(seeds, |_| {}), want, "{seeds:?}");
    }
    let mut world = World::new();
    world.node = with_signatures(&change(&world.node, &[41], |_| {}), |list| list.push(list[0].clone()));
    world.list(1);
    assert_eq!(code(world.refresh()), "tuf-threshold");
}

/// 5.6.4: the version that the snapshot lists.
#[test]
fn s5_6_4_the_version_is_the_listed_one() {
    for role in ["targets.json", "node.json"] {
        for (version, want) in [(1, "ok"), (2, "tuf-meta-mismatch")] {
            assert_eq!(listed(role, Json::object([("version", Json::from(version))])), want, "{role}");
        }
    }
}

/// 5.6.5: its expiry is later than the start.
#[test]
fn s5_6_5_targets_are_fresh() {
    for (when, want) in [("2026-11-21T14:00:00Z", "tuf-expired"), ("2026-11-21T14:00:01Z", "ok")] {
        let edit = |signed: &mut Json| *at(signed, &["expires"]) = Json::from(when);
        assert_eq!(with_targets(TARGETS, edit), want, "{when}");
        assert_eq!(with_node(&NODE[..2], edit), want, "{when}");
    }
}

/// 5.6.7: preorder, depth first, no role twice, a largest number of roles; `delegations.rs` has the graphs.
#[test]
fn s5_6_7_a_role_that_cannot_be_had_ends_the_search() {
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_timestamp(&world.timestamp).unwrap();
    set.update_snapshot(&world.snapshot).unwrap();
    set.update_targets(&world.targets).unwrap();
    let load = Search::Load { role: "node".to_owned(), delegator: "targets".to_owned() };
    assert_eq!(set.find_target(NODE_PATH), Ok(load.clone()));
    let bad = change(&world.node, &[41], |_| {});
    assert_eq!(code(set.update_delegated("node", "targets", &bad)), "tuf-meta-mismatch");
    assert_eq!(set.find_target(NODE_PATH), Ok(load), "nothing was taken from it");
    assert_eq!(code(set.find_target("other/1.0.0/linux-amd64/other")), "tuf-target-not-found");
}

/// 5.7.2: without metadata about it there is no such target.
#[test]
fn s5_7_2_an_unlisted_target_is_reported() {
    let set = World::new().refresh().unwrap();
    assert_eq!(code(set.find_target("node/9.9.9/linux-amd64/node")), "tuf-target-not-found");
}

/// 5.7.3: length and every listed hash of a known algorithm.
#[test]
fn s5_7_3_the_target_is_the_listed_one() {
    let set = World::new().refresh().unwrap();
    let Ok(Search::Found(found)) = set.find_target(NODE_PATH) else { panic!("not found") };
    for (bytes, want) in [
        (&b"node 1.0.0"[..], "ok"),
        (b"node 1.0.1", "tuf-target-mismatch"),
        (b"node 1.0.0 ", "tuf-target-mismatch"),
        (b"", "tuf-target-mismatch"),
    ] {
        assert_eq!(code(found.file.check_bytes(NODE_PATH, bytes)), want);
    }
}

/// 5.7.3 and 6.2: a target's name has one of its listed hashes in front, before the last component.
#[test]
fn s5_7_3_names_of_targets() {
    let mut world = World::new();
    let file = |sha256: Option<_>, sha512: Option<_>| TargetFile {
        length: 3,
        hashes: Hashes { sha256, sha512, others: false },
        custom: None,
    };
    let (short, long) = (sha256(b"abc"), sha512(b"abc"));
    let set = world.refresh().unwrap();
    for (file, name) in [
        (file(Some(short), None), format!("a%20b/{short}.c")),
        (file(Some(short), Some(long)), format!("a%20b/{short}.c")),
        (file(None, Some(long)), format!("a%20b/{long}.c")),
    ] {
        let wanted = set.wanted_target("a b/c", &file).unwrap();
        assert_eq!((wanted.path, wanted.limit), (name, 3));
    }
    assert_eq!(code(set.wanted_target("a b/c", &file(None, None))), "tuf-target-mismatch");
    assert_eq!(code(set.wanted_target("../c", &file(Some(short), None))), "tuf-name-unsafe");
    let mut plain = root_editor();
    plain.set_consistent_snapshot(false);
    world.root = sign(plain.finish().unwrap(), &ROOT[..2]);
    let set = world.refresh().unwrap();
    assert_eq!(set.wanted_target("a b/c", &file(Some(short), None)).unwrap().path, "a%20b/c");
}

/// 6.2: metadata refers to files without the prefix of consistent snapshots; so does what is written here.
#[test]
fn s6_2_metadata_lists_plain_names() {
    let world = World::new();
    for (bytes, seeds) in [(&world.snapshot, SNAPSHOT), (&world.timestamp, TIMESTAMP)] {
        let text = String::from_utf8(change(bytes, seeds, |_| {})).unwrap();
        assert!(!text.contains("1.snapshot.json") && !text.contains("1.node.json"), "{text}");
    }
    let mut editor = TargetsEditor::new("node", now().plus_days(1));
    editor.set_target("a/b", &crate::world::target(b"x")).unwrap();
    let text = String::from_utf8(editor.finish().unwrap().to_bytes().unwrap()).unwrap();
    assert!(text.contains("\"a/b\":{"), "{text}");
    let listed = world.refresh().unwrap();
    let names: Vec<&str> = listed.snapshot().unwrap().files().map(|(role, _)| role).collect();
    assert_eq!(names, ["node", "targets"]);
}
