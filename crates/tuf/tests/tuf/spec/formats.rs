//! Section 4: what a file must say.

use countersign_base::Json;
use countersign_tuf::editor::RootEditor;
use countersign_tuf::limits::{MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES};
use countersign_tuf::metadata::{MetaFile, key_id, key_json};
use countersign_tuf::{Role as _, TrustedSet};

use super::{with_signatures, with_snapshot, with_targets, with_timestamp};
use crate::world::{
    ROOT, SNAPSHOT, TARGETS, TIMESTAMP, World, at, change, code, key, now, public, remove, sign,
};

fn with_root(edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.root = change(&world.root, &ROOT[..2], edit);
    code(world.refresh())
}

/// 4: members that are not defined are part of what is signed, and stay when the file is written again.
#[test]
fn s4_undefined_members_are_signed_and_preserved() {
    let mut world = World::new();
    world.root = change(&world.root, &ROOT[..2], |signed| {
        *at(signed, &["x"]) = Json::from("y");
        *at(signed, &["roles", "root", "x"]) = Json::from(1);
        *at(signed, &["keys", &key_id(key(1).public_key()), "x"]) = Json::from(vec!["z"]);
    });
    let mut set = world.refresh().unwrap();
    let mut next = RootEditor::next(set.root());
    next.set_role("timestamp", &public(&[31, 32]), 1).unwrap();
    set.update_root(&sign_under_old_ids(&set, next)).unwrap();
    assert_eq!(set.root().extension("x"), Some(&Json::from("y")));
    assert_eq!(set.root().signed().get("roles").unwrap().get("root").unwrap().get("x"), Some(&Json::from(1)));
    let keys = set.root().signed().get("keys").unwrap();
    assert_eq!(keys.get(&key_id(key(1).public_key())).unwrap().get("x"), Some(&Json::from(vec!["z"])));
    // Without the signature over them, they are a change like any other.
    let text = String::from_utf8(world.root.clone()).unwrap();
    let changed = text.replace("\"x\":\"y\"", "\"x\":\"q\"");
    assert_eq!(code(TrustedSet::new(changed.as_bytes(), now())), "tuf-threshold");
}

fn sign_under_old_ids(set: &TrustedSet, next: RootEditor) -> Vec<u8> {
    let mut draft = next.finish().unwrap();
    for seed in &ROOT[..2] {
        let ids = set.root().keys().iter();
        let id = ids.clone().find(|(_, listed)| listed.usable() == Some(key(*seed).public_key())).unwrap().0;
        draft.sign_as(id, &key(*seed)).unwrap();
    }
    draft.to_bytes().unwrap()
}

/// 4.2.1: the keyid is unique in the `signatures` array, for each of the roles.
#[test]
fn s4_2_1_key_ids_are_unique_among_signatures() {
    let twice = |bytes: &[u8]| with_signatures(bytes, |list| list.push(list[0].clone()));
    let world = World::new();
    let mut root = world.clone();
    root.root = twice(&world.root);
    let mut timestamp = world.clone();
    timestamp.timestamp = twice(&world.timestamp);
    let mut snapshot = world.clone();
    snapshot.snapshot = twice(&world.snapshot);
    snapshot.stamp(1);
    let mut targets = world.clone();
    targets.targets = twice(&world.targets);
    targets.list(1);
    let mut node = world.clone();
    node.node = twice(&world.node);
    node.list(1);
    for other in [root, timestamp, snapshot, targets, node] {
        assert_eq!(code(other.refresh()), "tuf-threshold");
    }
    assert_eq!(code(world.refresh()), "ok");
}

/// 4.2.1: a signature is hex.
#[test]
fn s4_2_1_signatures_are_hex() {
    let world = World::new();
    for (sig, want) in
        [("", "ok"), ("00", "ok"), ("0", "tuf-malformed"), ("0x00", "tuf-malformed"), ("zz", "tuf-malformed")]
    {
        let mut other = world.clone();
        other.timestamp = with_signatures(&world.timestamp, |list| {
            list.push(Json::object([("keyid", Json::from("another")), ("sig", Json::from(sig))]));
        });
        assert_eq!(code(other.refresh()), want, "{sig}");
    }
}

/// 4.2.2: RSA keys have at least 2048 bits.
#[test]
fn s4_2_2_short_rsa_keys_are_refused() {
    let strong = include_str!("../../../../crypto/tests/data/spki/ok/rsa-2048.pem");
    let weak = include_str!("../../../../crypto/tests/data/spki/key-weak/rsa-1024.pem");
    for (pem, want) in [(strong, "ok"), (weak, "key-weak")] {
        let got = with_root(|signed| {
            let rsa = Json::object([
                ("keytype", Json::from("rsa")),
                ("scheme", Json::from("rsassa-pss-sha256")),
                ("keyval", Json::object([("public", Json::from(pem))])),
            ]);
            *at(signed, &["keys", "rsa"]) = rsa;
            *at(signed, &["roles", "snapshot", "keyids"]) =
                Json::from(vec![key_id(key(21).public_key()), "rsa".to_owned()]);
        });
        assert_eq!(got, want);
    }
}

/// 4.2.3: a time is UTC, to the second, in one form.
#[test]
fn s4_2_3_times_have_one_form() {
    for (text, want) in [
        ("2027-01-01T00:00:00Z", "ok"),
        ("2027-01-01T00:00:00+00:00", "tuf-malformed"),
        ("2027-01-01T00:00:00", "tuf-malformed"),
        ("2027-01-01 00:00:00Z", "tuf-malformed"),
        ("2027-13-01T00:00:00Z", "tuf-malformed"),
        ("2027-02-29T00:00:00Z", "tuf-malformed"),
        ("", "tuf-malformed"),
    ] {
        let edit = |signed: &mut Json| *at(signed, &["expires"]) = Json::from(text);
        assert_eq!(with_root(edit), want, "{text}");
        assert_eq!(with_timestamp(TIMESTAMP, edit), want, "{text}");
    }
}

/// 4.3, `SPEC_VERSION`: it matches the version that is expected, here any 1.x.
#[test]
fn s4_3_spec_version_matches() {
    for (version, want) in [
        ("1.0.34", "ok"),
        ("1.0", "ok"),
        ("1.99.0", "ok"),
        ("2.0.0", "tuf-spec-unsupported"),
        ("0.9", "tuf-spec-unsupported"),
        ("11.0.0", "tuf-spec-unsupported"),
        ("1", "tuf-malformed"),
        ("v1.0", "tuf-malformed"),
        ("", "tuf-malformed"),
    ] {
        let edit = |signed: &mut Json| *at(signed, &["spec_version"]) = Json::from(version);
        assert_eq!(with_root(edit), want, "{version}");
        assert_eq!(with_timestamp(TIMESTAMP, edit), want, "{version}");
        assert_eq!(with_snapshot(SNAPSHOT, edit), want, "{version}");
        assert_eq!(with_targets(TARGETS, edit), want, "{version}");
    }
}

/// 4.3, `VERSION`: an integer that is greater than 0.
#[test]
fn s4_3_a_version_is_greater_than_zero() {
    for version in
        ["0", "-1", "1.0", "9007199254740992", "9223372036854775808", "18446744073709551616", "\"1\"", "null"]
    {
        let world = World::new();
        let file = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let (before, after) = text.rsplit_once("\"version\":1").unwrap();
            format!("{before}\"version\":{version}{after}").into_bytes()
        };
        let mut set = TrustedSet::new(&world.root, now()).unwrap();
        assert_eq!(code(set.clone().update_timestamp(&file(&world.timestamp))), "tuf-malformed", "{version}");
        assert_eq!(code(TrustedSet::new(&file(&world.root), now())), "tuf-malformed", "{version}");
        set.update_timestamp(&world.timestamp).unwrap();
        set.update_snapshot(&world.snapshot).unwrap();
    }
}

/// 4.3, `ROLE`: root, snapshot, timestamp and targets are specified; `mirrors` may be.
#[test]
fn s4_3_the_four_roles_are_specified() {
    for role in ["root", "snapshot", "timestamp", "targets"] {
        assert_eq!(with_root(|signed| remove(signed, &["roles"], role)), "tuf-key-invalid", "{role}");
    }
    let mirrors = Json::object([("keyids", Json::from(Vec::<String>::new())), ("threshold", Json::from(1))]);
    assert_eq!(with_root(|signed| *at(signed, &["roles", "mirrors"]) = mirrors.clone()), "ok");
    assert_eq!(with_root(|signed| *at(signed, &["roles", "others"]) = mirrors), "tuf-malformed");
}

/// 4.3, `KEYID`: one id stands for one key here and in other files. Whether it is the key's digest is checked where
/// we write (TAP 12 leaves it to the repository).
#[test]
fn s4_3_one_id_stands_for_one_key_in_all_files() {
    let other = key_json(key(77).public_key());
    let same = key_json(key(21).public_key());
    let id = key_id(key(21).public_key());
    for (listed, want) in [(same, "ok"), (other, "tuf-key-invalid")] {
        let got = with_targets(TARGETS, |signed| *at(signed, &["delegations", "keys", &id]) = listed.clone());
        assert_eq!(got, want);
    }
}

/// 4.3, `THRESHOLD`: a positive integer of keys of that role.
#[test]
fn s4_3_a_threshold_is_positive() {
    for threshold in [Json::from(0), Json::from(-1), Json::from("1"), Json::Null] {
        let got = with_root(|signed| *at(signed, &["roles", "timestamp", "threshold"]) = threshold.clone());
        assert_eq!(got, "tuf-threshold-invalid", "{threshold:?}");
    }
}

/// 4.4: the snapshot lists the version of every targets file; without a length the client has a limit of its own.
#[test]
fn s4_4_versions_are_listed_and_length_is_not_needed() {
    let bare = |signed: &mut Json| {
        for role in ["targets.json", "node.json"] {
            *at(signed, &["meta", role]) = Json::object([("version", Json::from(1))]);
        }
    };
    assert_eq!(with_snapshot(SNAPSHOT, bare), "ok");
    let mut world = World::new();
    world.snapshot = change(&world.snapshot, SNAPSHOT, bare);
    world.timestamp = change(&world.timestamp, TIMESTAMP, |signed| {
        *at(signed, &["meta", "snapshot.json"]) = Json::object([("version", Json::from(1))]);
    });
    let set = world.refresh().unwrap();
    assert_eq!(set.wanted_snapshot().unwrap().limit, MAX_SNAPSHOT_BYTES as u64);
    assert_eq!(set.wanted_targets("node").unwrap().limit, MAX_TARGETS_BYTES as u64);
    for role in ["targets.json", "node.json"] {
        let unlisted = with_snapshot(SNAPSHOT, |signed| remove(signed, &["meta"], role));
        assert_eq!(unlisted, "tuf-meta-mismatch", "{role}");
        let no_version = with_snapshot(SNAPSHOT, |signed| remove(signed, &["meta", role], "version"));
        assert_eq!(no_version, "tuf-malformed", "{role}");
    }
    // A listed length above the limit does not raise it.
    let mut world = World::new();
    world.timestamp = change(&world.timestamp, TIMESTAMP, |signed| {
        *at(signed, &["meta", "snapshot.json", "length"]) = Json::from(1_i64 << 60);
    });
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_timestamp(&world.timestamp).unwrap();
    assert_eq!(set.wanted_snapshot().unwrap().limit, MAX_SNAPSHOT_BYTES as u64);
}

/// 4.5, `ROLENAME`: unique in the delegations object.
#[test]
fn s4_5_role_names_are_unique() {
    let got = with_targets(TARGETS, |signed| match at(signed, &["delegations", "roles"]) {
        Json::Array(roles) => roles.push(roles[0].clone()),
        _ => panic!("no roles"),
    });
    assert_eq!(got, "tuf-malformed");
}

/// 4.5: exactly one of `paths` and `path_hash_prefixes`.
#[test]
fn s4_5_a_delegation_covers_paths_or_hash_prefixes() {
    let edit = |paths: bool, prefixes: bool| {
        with_targets(TARGETS, |signed| {
            let role = at(signed, &["delegations", "roles", "0"]);
            if !paths {
                remove(role, &[], "paths");
            }
            if prefixes {
                *at(role, &["path_hash_prefixes"]) = Json::from(vec!["00".to_owned()]);
            }
        })
    };
    assert_eq!(edit(true, false), "ok");
    assert_eq!(edit(false, true), "ok");
    assert_eq!(edit(true, true), "tuf-delegation-path");
    assert_eq!(edit(false, false), "tuf-delegation-path");
}

/// 4.6: the timestamp describes the snapshot and nothing else.
#[test]
fn s4_6_a_timestamp_describes_the_snapshot_only() {
    let listed = MetaFile { version: 1, length: None, hashes: None }.to_json();
    let more = with_timestamp(TIMESTAMP, |signed| *at(signed, &["meta", "targets.json"]) = listed);
    assert_eq!(more, "tuf-malformed");
    let none = with_timestamp(TIMESTAMP, |signed| remove(signed, &["meta"], "snapshot.json"));
    assert_eq!(none, "tuf-malformed");
    let root = sign(RootEditor::next(World::new().refresh().unwrap().root()).finish().unwrap(), &ROOT[..2]);
    assert_eq!(code(World::new().refresh().unwrap().update_root(&root)), "ok");
}
