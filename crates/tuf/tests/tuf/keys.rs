//! Key tables and thresholds (attacks M10, M11, M12).

use countersign_base::canonical::olpc;
use countersign_base::{Json, json};
use countersign_crypto::{Algorithm, SecretKey, Signer, sha256};
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::metadata::{Key, key_id, key_json};
use countersign_tuf::{Envelope, Role as _, Root, Targets, TrustedSet};

use crate::world::{
    NODE, ROOT, TARGETS, World, at, change, code, key, now, public, remove, root_editor, target,
};

/// Root changed so, otherwise honest; the whole refresh.
fn with_root(edit: impl FnOnce(&mut Json)) -> &'static str {
    let world = World::new();
    let root = change(&world.root, &ROOT[..2], edit);
    code(World { root, ..world }.refresh())
}

/// The delegation changed so, otherwise honest; the whole refresh.
fn with_delegations(edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.targets = change(&world.targets, TARGETS, |signed| edit(at(signed, &["delegations"])));
    world.list(1);
    code(world.refresh())
}

fn push(list: &mut Json, item: &str) {
    match list {
        Json::Array(items) => items.push(Json::from(item)),
        _ => panic!("no array"),
    }
}

fn id(seed: u8) -> String {
    key_id(key(seed).public_key())
}

#[test]
fn ids_are_the_digest_that_python_tuf_computes() {
    // The specification's example root, 4.3: ids of three of its keys.
    for (public, id) in [
        (
            "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c",
            "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3",
        ),
        (
            "68ead6e54a43f8f36f9717b10669d1ef0ebb38cee6b05317669341309f1069cb",
            "135c2f50e57ff11e744d234a62cebad8c38daf399604a7655661cc9199c69164",
        ),
    ] {
        let json = Json::object([
            ("keytype", Json::from("ed25519")),
            ("scheme", Json::from("ed25519")),
            ("keyval", Json::object([("public", Json::from(public))])),
        ]);
        let key = Key::read(id, &json).unwrap();
        assert!(key.id_is_digest());
        assert_eq!(key_id(key.usable().unwrap()), id);
        assert_eq!(key_json(key.usable().unwrap()), json);
    }
}

#[test]
fn m10_one_key_under_two_ids_is_refused_in_any_writing() {
    let plain = key_json(key(1).public_key());
    let hex = plain.get("keyval").unwrap().get("public").unwrap().as_str().unwrap().to_owned();
    let written = |public: String| {
        let mut json = plain.clone();
        *at(&mut json, &["keyval", "public"]) = Json::from(public);
        json
    };
    let mut extra = plain.clone();
    *at(&mut extra, &["x"]) = Json::from("y");
    let mut scheme = plain.clone();
    *at(&mut scheme, &["scheme"]) = Json::from("ed25519-other");
    let copies = [
        ("extra field", extra),
        ("other scheme", scheme),
        ("upper case", written(hex.to_uppercase())),
        ("white space", written(format!("{} {}\n", &hex[..32], &hex[32..]))),
        ("PEM", written(key(1).public_key().to_spki_pem())),
    ];
    for (what, copy) in copies {
        let copy_id = sha256(&olpc(&copy)).to_string();
        let list = |table: &mut Json| *at(table, &[&copy_id]) = copy.clone();
        let in_root = with_root(|signed| {
            list(at(signed, &["keys"]));
            push(at(signed, &["roles", "root", "keyids"]), &copy_id);
        });
        assert_eq!(in_root, "tuf-key-duplicate", "{what}");
        let in_delegation = with_delegations(|delegations| {
            list(at(delegations, &["keys"]));
            *at(delegations, &["keys", &id(1)]) = plain.clone();
            *at(delegations, &["roles", "0", "keyids"]) = Json::from(vec![id(1), copy_id.clone()]);
        });
        assert_eq!(in_delegation, "tuf-key-duplicate", "{what}");
        // In the table for nobody, it does no harm.
        assert_eq!(with_root(|signed| list(at(signed, &["keys"]))), "ok", "{what}");
    }
    let twice = with_root(|signed| push(at(signed, &["roles", "root", "keyids"]), &id(1)));
    assert_eq!(twice, "tuf-key-duplicate");
}

#[test]
fn m11_a_threshold_is_a_number_that_can_be_met() {
    let too_many = Json::from(4);
    let wrong = [
        Json::from(0),
        Json::from(-1),
        Json::from("2"),
        Json::Null,
        Json::from(1 << 53),
        Json::from(vec![Json::from(1)]),
        too_many,
    ];
    for threshold in wrong {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            let got = with_root(|signed| *at(signed, &["roles", role, "threshold"]) = threshold.clone());
            assert_eq!(got, "tuf-threshold-invalid", "{role} {threshold:?}");
        }
        let got = with_delegations(|all| *at(all, &["roles", "0", "threshold"]) = threshold.clone());
        assert_eq!(got, "tuf-threshold-invalid", "{threshold:?}");
    }
    assert_eq!(with_root(|signed| *at(signed, &["roles", "root", "threshold"]) = Json::from(1)), "ok");
    // Not JSON of ours at all, yet it is the threshold that is wrong.
    let world = World::new();
    for number in ["1.5", "2e0", "1e400", "18446744073709551616"] {
        let text = String::from_utf8(world.root.clone()).unwrap();
        let text = text.replacen("\"threshold\":2", &format!("\"threshold\":{number}"), 1);
        let want = if number == "1e400" { "tuf-malformed" } else { "tuf-threshold-invalid" };
        assert_eq!(code(TrustedSet::new(text.as_bytes(), now())), want, "{number}");
        let text = String::from_utf8(world.targets.clone()).unwrap();
        let text = text.replacen("\"threshold\":2", &format!("\"threshold\":{number}"), 1);
        assert_eq!(code(Envelope::<Targets>::parse("targets", text.as_bytes())), want, "{number}");
    }
}

#[test]
fn m12_a_key_table_that_does_not_hold_the_keys() {
    // (a) Only the unknown id is ignored; then the threshold decides.
    let swap = |drop: usize, signed: &mut Json| {
        *at(signed, &["roles", "root", "keyids", &drop.to_string()]) = Json::from("ab".repeat(32));
    };
    let world = World::new();
    let place = |seed| {
        let root = Envelope::<Root>::parse("root", &world.root).unwrap().signed;
        root.role_keys("root").unwrap().keyids.iter().position(|keyid| *keyid == id(seed)).unwrap()
    };
    assert_eq!(with_root(|signed| swap(place(3), signed)), "ok");
    assert_eq!(with_root(|signed| swap(place(1), signed)), "tuf-threshold");
    // (b) A role or its keys are missing.
    assert_eq!(with_root(|signed| remove(signed, &["roles"], "snapshot")), "tuf-key-invalid");
    let none = |signed: &mut Json| *at(signed, &["roles", "snapshot", "keyids"]) = Json::Array(vec![]);
    assert_eq!(with_root(none), "tuf-key-invalid");
    assert_eq!(with_root(|signed| remove(signed, &["keys"], &id(21))), "tuf-key-invalid");
    assert_eq!(with_delegations(|all| *at(all, &["keys"]) = Json::object::<String>([])), "tuf-key-invalid");
}

#[test]
fn m12_a_key_whose_bytes_type_and_scheme_do_not_fit() {
    let ecdsa = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[7; 32]).unwrap();
    let ecdsa = ecdsa.public_key().to_spki_pem();
    // (d) bytes of another type, (e) scheme of another type; in root and in a delegation.
    for (path, value) in [
        (&["keyval", "public"][..], Json::from(ecdsa.clone())),
        (&["keyval", "public"], Json::from("00")),
        (&["keyval", "public"], Json::from("not hex")),
        (&["keyval", "public"], Json::from("f".repeat(64))),
        (&["keytype"], Json::from("rsa")),
        (&["scheme"], Json::from("ecdsa-sha2-nistp256")),
        (&["scheme"], Json::from("rsassa-pss-sha256")),
    ] {
        let got = with_root(|signed| *at(at(signed, &["keys", &id(21)]), path) = value.clone());
        assert_eq!(got, "tuf-key-invalid", "{path:?} {value:?}");
        let got = with_delegations(|all| *at(at(all, &["keys", &id(41)]), path) = value.clone());
        assert_eq!(got, "tuf-key-invalid", "{path:?} {value:?}");
    }
    for path in [&["keyval"][..], &["keytype"], &["scheme"], &["keyval", "public"]] {
        let got = with_root(|signed| *at(at(signed, &["keys", &id(21)]), path) = Json::Null);
        assert_eq!(got, "tuf-malformed", "{path:?}");
    }
    // A type that is not known here verifies nothing and harms nobody else.
    let unknown = |signed: &mut Json| *at(signed, &["keys", &id(3), "keytype"]) = Json::from("lattice");
    assert_eq!(with_root(unknown), "ok");
    let unknown = |signed: &mut Json| *at(signed, &["keys", &id(21), "keytype"]) = Json::from("lattice");
    assert_eq!(with_root(unknown), "tuf-threshold");
}

#[test]
fn m12_one_id_stands_for_one_key_in_all_files() {
    let other = key_json(key(77).public_key());
    let got = with_delegations(|all| *at(all, &["keys", &id(21)]) = other.clone());
    assert_eq!(got, "tuf-key-invalid");
    let got = with_delegations(|all| *at(all, &["keys", &id(21)]) = key_json(key(21).public_key()));
    assert_eq!(got, "ok");
}

#[test]
fn m12_our_own_repositories_use_digests_as_ids() {
    let world = World::new();
    let root = Envelope::<Root>::parse("root", &world.root).unwrap().signed;
    assert_eq!(root.check_strict(), Ok(()));
    assert_eq!(Envelope::<Targets>::parse("targets", &world.targets).unwrap().signed.check_strict(), Ok(()));
    let renamed = change(&world.root, ROOT, |signed| {
        *at(signed, &["keys", "opaque"]) = key_json(key(21).public_key());
        remove(signed, &["keys"], &id(21));
        *at(signed, &["roles", "snapshot", "keyids"]) = Json::from(vec!["opaque"]);
    });
    // Others may call their keys what they like (TAP 12).
    let root = Envelope::<Root>::parse("root", &renamed).unwrap().signed;
    assert_eq!(code(root.check_strict()), "tuf-key-invalid");
    assert_eq!(code(TrustedSet::new(&renamed, now())), "ok");
    let unreachable =
        change(&world.root, ROOT, |s| *at(s, &["roles", "snapshot", "threshold"]) = Json::from(2));
    let root = Envelope::<Root>::parse("root", &unreachable).unwrap().signed;
    assert_eq!(code(root.check_strict()), "tuf-threshold-invalid");
}

#[test]
fn keys_of_every_kind_sign_and_are_read_back() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign()) {
        let secret = SecretKey::from_seed(algorithm, &[9; 32]).unwrap();
        let mut root = root_editor();
        root.set_role("snapshot", &[secret.public_key().clone()], 1).unwrap();
        root.set_role("root", &[key(1).public_key().clone(), secret.public_key().clone()], 2).unwrap();
        let mut draft = root.finish().unwrap();
        draft.sign(&[&key(1) as &dyn Signer, &secret]).unwrap();
        let bytes = draft.to_bytes().unwrap();
        let set = TrustedSet::new(&bytes, now()).unwrap();
        let (keyid, listed) =
            set.root().keys().iter().find(|(_, key)| key.usable() == Some(secret.public_key())).unwrap();
        assert_eq!(*keyid, key_id(secret.public_key()));
        assert!(listed.id_is_digest(), "{algorithm}");
        assert_eq!(json::parse(&bytes).unwrap().get("signed"), Some(set.root().signed()));
    }
    let mut node = TargetsEditor::new("node", now().plus_days(1));
    node.set_target("a", &target(b"a")).unwrap();
    let draft = node.finish().unwrap();
    assert_eq!(draft.signatures().count(), 0);
    assert_eq!(public(NODE).len(), 3);
}

/// 4.2.2: `ecdsa` as the type, and the scheme's name as the type as securesystemslib once wrote it; one key all the same.
#[test]
fn ecdsa_keys_have_two_spellings() {
    for (algorithm, scheme) in [
        (Algorithm::EcdsaP256Sha256, "ecdsa-sha2-nistp256"),
        (Algorithm::EcdsaP384Sha384, "ecdsa-sha2-nistp384"),
    ] {
        let secret = SecretKey::from_seed(algorithm, &[9; 32]).unwrap();
        let pem = secret.public_key().to_spki_pem();
        let entry = |keytype: &str| {
            Json::object([
                ("keytype", Json::from(keytype)),
                ("scheme", Json::from(scheme)),
                ("keyval", Json::object([("public", Json::from(pem.as_str()))])),
            ])
        };
        let world = World::new();
        for keytype in ["ecdsa", scheme] {
            let root = change(&world.root, &ROOT[..2], |signed| {
                *at(signed, &["keys", "other"]) = entry(keytype);
                *at(signed, &["roles", "timestamp", "keyids"]) = Json::from(vec!["other"]);
            });
            let signed = json::parse(&world.timestamp).unwrap().get("signed").unwrap().clone();
            let by = crate::world::signature("other", &secret, &olpc(&signed));
            let timestamp = crate::world::envelope(vec![by], signed);
            assert_eq!(code(World { root, timestamp, ..world.clone() }.refresh()), "ok", "{keytype}");
        }
        let both = with_root(|signed| {
            *at(signed, &["keys", "one"]) = entry("ecdsa");
            *at(signed, &["keys", "two"]) = entry(scheme);
            *at(signed, &["roles", "timestamp", "keyids"]) = Json::from(vec!["one", "two"]);
        });
        assert_eq!(both, "tuf-key-duplicate");
        // A type of the other curve's name.
        let other = if scheme.ends_with("256") { "ecdsa-sha2-nistp384" } else { "ecdsa-sha2-nistp256" };
        let crossed = with_root(|signed| *at(signed, &["keys", "other"]) = entry(other));
        assert_eq!(crossed, "tuf-key-invalid");
    }
}
