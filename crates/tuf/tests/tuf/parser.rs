//! Shape of files, before any signature is looked at (attacks M16, M18).

use countersign_base::{Json, json};
use countersign_tuf::limits::{
    MAX_DELEGATIONS, MAX_ROLE_KEYS, MAX_ROOT_BYTES, MAX_SIGNATURES, MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES,
    MAX_TIMESTAMP_BYTES,
};
use countersign_tuf::{Envelope, Root, Snapshot, Targets, Timestamp, TrustedSet};

use crate::world::{ROOT, TARGETS, World, at, change, code, now, remove};

fn parse_root(bytes: &[u8]) -> &'static str {
    code(TrustedSet::new(bytes, now()))
}

#[test]
fn m18_what_is_not_strict_json_is_refused() {
    let world = World::new();
    let text = String::from_utf8(world.root.clone()).unwrap();
    assert_eq!(parse_root(text.as_bytes()), "ok");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let with = |value: &str| text.replacen("\"version\":1", &format!("\"version\":1,\"x\":{value}"), 1);
    for bad in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        format!("{text}{text}"),
        format!("{text}x"),
        format!("\u{feff}{text}"),
        text[..text.len() - 1].to_owned(),
        text.replacen("\"version\":1", "\"version\":1,\"version\":1", 1),
        text.replacen("\"version\":1", "\"version\":1,\"\\u0076ersion\":1", 1),
        text.replacen("\"signed\"", "\"signed\":{},\"signed\"", 1),
        with("\"\\ud800\""),
        with("1e400"),
        with("1.0"),
        with("-0"),
        with("18446744073709551616"),
        with(&deep),
    ] {
        assert_eq!(parse_root(bad.as_bytes()), "tuf-malformed", "{}", &bad[..bad.len().min(60)]);
    }
    let mut bad_utf8 = with("\"?\"").into_bytes();
    let place = bad_utf8.iter().position(|&byte| byte == b'?').unwrap();
    bad_utf8[place] = 0xff;
    assert_eq!(parse_root(&bad_utf8), "tuf-malformed");
}

#[test]
fn m18_members_have_the_type_that_they_must_have() {
    let world = World::new();
    let root = |edit: &dyn Fn(&mut Json)| parse_root(&change(&world.root, &ROOT[..2], edit));
    assert_eq!(root(&|_| {}), "ok");
    assert_eq!(root(&|s| remove(s, &[], "consistent_snapshot")), "ok");
    assert_eq!(root(&|s| *at(s, &["unknown"]) = Json::Null), "ok");
    for (member, value) in [
        ("consistent_snapshot", Json::Null),
        ("consistent_snapshot", Json::from("true")),
        ("consistent_snapshot", Json::from(1)),
        ("version", Json::from(0)),
        ("version", Json::from(-1)),
        ("version", Json::from("1")),
        ("version", Json::from(i64::MAX)),
        ("expires", Json::from("2030-01-01")),
        ("expires", Json::from("2030-01-01T00:00:00+00:00")),
        ("expires", Json::from("2030-01-01T00:00:00.5Z")),
        ("expires", Json::from(1)),
        ("spec_version", Json::from("one")),
        ("spec_version", Json::from("1")),
        ("spec_version", Json::from("1.0.x")),
        ("spec_version", Json::from(1)),
        ("keys", Json::Null),
        ("roles", Json::Null),
        ("roles", Json::Array(vec![])),
        ("_type", Json::Null),
    ] {
        assert_eq!(root(&|s| *at(s, &[member]) = value.clone()), "tuf-malformed", "{member} {value:?}");
    }
    for member in ["version", "expires", "spec_version", "keys", "roles", "_type"] {
        assert_eq!(root(&|s| remove(s, &[], member)), "tuf-malformed", "{member}");
    }
    for version in ["2.0.0", "0.9.0", "10.0"] {
        assert_eq!(
            root(&|s| *at(s, &["spec_version"]) = Json::from(version)),
            "tuf-spec-unsupported",
            "{version}"
        );
    }
    for version in ["1.0", "1.0.0", "1.99.7"] {
        assert_eq!(root(&|s| *at(s, &["spec_version"]) = Json::from(version)), "ok", "{version}");
    }
    assert_eq!(root(&|s| *at(s, &["roles", "node"]) = s_role()), "tuf-malformed");
}

fn s_role() -> Json {
    Json::object([("keyids", Json::Array(vec![])), ("threshold", Json::from(1))])
}

#[test]
fn m18_signatures_have_the_shape_that_they_must_have() {
    let world = World::new();
    let value = json::parse(&world.root).unwrap();
    let with = |path: &[&str], new: Json| {
        let mut value = value.clone();
        *at(&mut value, path) = new;
        parse_root(&countersign_base::canonical::rfc8785(&value))
    };
    for (path, new) in [
        (&["signatures"][..], Json::Null),
        (&["signatures"], Json::object::<String>([])),
        (&["signatures", "0"], Json::Null),
        (&["signatures", "0", "keyid"], Json::Null),
        (&["signatures", "0", "keyid"], Json::from("")),
        (&["signatures", "0", "sig"], Json::Null),
        (&["signatures", "0", "sig"], Json::from("xy")),
        (&["signatures", "0", "sig"], Json::from("abc")),
        (&["signed"], Json::Null),
        (&["signed"], Json::Array(vec![])),
    ] {
        assert_eq!(with(path, new.clone()), "tuf-malformed", "{path:?} {new:?}");
    }
    assert_eq!(with(&["unknown"], Json::from(1)), "ok");
    // Files with a wrong shape are refused for it, whoever signed them.
    let unsigned = with(&["signatures"], Json::Array(vec![]));
    assert_eq!(unsigned, "tuf-threshold");
}

#[test]
fn sizes_have_limits() {
    fn size<T: countersign_tuf::Role>(role: &str, max: usize) {
        for (len, want) in [(max, "tuf-malformed"), (max + 1, "limit-exceeded")] {
            assert_eq!(code(Envelope::<T>::parse(role, &vec![b' '; len])), want, "{role}");
        }
    }
    size::<Root>("root", MAX_ROOT_BYTES);
    size::<Timestamp>("timestamp", MAX_TIMESTAMP_BYTES);
    size::<Snapshot>("snapshot", MAX_SNAPSHOT_BYTES);
    size::<Targets>("targets", MAX_TARGETS_BYTES);
    let world = World::new();
    let mut value = json::parse(&world.root).unwrap();
    let signature =
        |index: usize| Json::object([("keyid", Json::from(format!("{index}"))), ("sig", Json::from(""))]);
    for (count, want) in [(MAX_SIGNATURES, "tuf-threshold"), (MAX_SIGNATURES + 1, "limit-exceeded")] {
        *at(&mut value, &["signatures"]) = Json::Array((0..count).map(signature).collect());
        assert_eq!(parse_root(&countersign_base::canonical::rfc8785(&value)), want);
    }
    for (count, want) in [(MAX_ROLE_KEYS, "tuf-threshold"), (MAX_ROLE_KEYS + 1, "limit-exceeded")] {
        let root = change(&world.root, &ROOT[..2], |s| {
            let ids: Vec<Json> = (0..count - 1).map(|id| Json::from(format!("{id}"))).collect();
            let known = at(s, &["roles", "root", "keyids", "0"]).clone();
            *at(s, &["roles", "root", "keyids"]) = Json::Array(ids.into_iter().chain([known]).collect());
        });
        assert_eq!(parse_root(&root), want);
    }
}

#[test]
fn m14_delegations_have_a_limit() {
    let world = World::new();
    for (count, want) in [(MAX_DELEGATIONS, "ok"), (MAX_DELEGATIONS + 1, "tuf-delegation-limit")] {
        let targets = change(&world.targets, TARGETS, |s| {
            let role = |index: usize| {
                Json::object([
                    ("name", Json::from(format!("r{index}"))),
                    ("keyids", Json::from(vec!["k"])),
                    ("threshold", Json::from(1)),
                    ("terminating", Json::from(false)),
                    ("paths", Json::from(vec!["*"])),
                ])
            };
            *at(s, &["delegations", "roles"]) = Json::Array((0..count).map(role).collect());
        });
        assert_eq!(code(Envelope::<Targets>::parse("targets", &targets)), want);
    }
}

#[test]
fn delegations_of_unknown_form_are_refused() {
    let world = World::new();
    let parse = |edit: &dyn Fn(&mut Json)| {
        let targets = change(&world.targets, TARGETS, |s| edit(at(s, &["delegations"])));
        code(Envelope::<Targets>::parse("targets", &targets))
    };
    let role = |path: &'static [&'static str], value: Json| {
        move |all: &mut Json| *at(at(all, &["roles", "0"]), path) = value.clone()
    };
    let prefixes = |prefixes: &[&str]| {
        let value = Json::from(prefixes.to_vec());
        move |all: &mut Json| {
            remove(all, &["roles", "0"], "paths");
            *at(all, &["roles", "0", "path_hash_prefixes"]) = value.clone();
        }
    };
    assert_eq!(parse(&|_| {}), "ok");
    assert_eq!(parse(&prefixes(&["0", "ab"])), "ok");
    assert_eq!(parse(&role(&["paths"], Json::Array(vec![]))), "ok");
    assert_eq!(parse(&|all| remove(all, &["roles", "0"], "paths")), "tuf-delegation-path");
    assert_eq!(parse(&role(&["path_hash_prefixes"], Json::from(vec!["0"]))), "tuf-delegation-path");
    for bad in ["", "A", "g", &"0".repeat(65)] {
        assert_eq!(parse(&prefixes(&[bad])), "tuf-delegation-path", "{bad}");
    }
    assert_eq!(parse(&role(&["terminating"], Json::from("yes"))), "tuf-malformed");
    assert_eq!(parse(&|all| remove(all, &["roles", "0"], "terminating")), "tuf-malformed");
    assert_eq!(parse(&role(&["paths"], Json::from(vec![Json::from(1)]))), "tuf-malformed");
    assert_eq!(parse(&|all| remove(all, &[], "roles")), "tuf-malformed");
    assert_eq!(parse(&|all| *all = Json::Null), "tuf-malformed");
    let twice = |all: &mut Json| {
        let role = at(all, &["roles", "0"]).clone();
        *at(all, &["roles"]) = Json::Array(vec![role.clone(), role]);
    };
    assert_eq!(parse(&twice), "tuf-malformed");
}

#[test]
fn m16_role_names_that_name_other_files_are_refused() {
    let world = World::new();
    let named = |name: &str| {
        let targets = change(&world.targets, TARGETS, |s| {
            *at(s, &["delegations", "roles", "0", "name"]) = Json::from(name);
        });
        code(Envelope::<Targets>::parse("targets", &targets))
    };
    for name in ["node", "../x", "/x", "..%2f", "a\\b", "c:x", "?", "#", "é", "a b"] {
        assert_eq!(named(name), "ok", "{name}: odd, but percent-encoded");
    }
    for name in ["", "1.root", "7.snapshot", "a\0", "a\nb"] {
        assert_eq!(named(name), "tuf-name-unsafe", "{name:?}");
    }
    for name in ["root", "timestamp", "snapshot", "targets", "Root"] {
        assert_eq!(named(name), "tuf-role-confusion", "{name}");
    }
}
