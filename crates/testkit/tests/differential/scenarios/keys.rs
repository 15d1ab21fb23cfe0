//! Key types, key ids and thresholds: sections 4.2, 4.3.

use countersign_base::json::Json;
use countersign_testkit::hostile::{Delegation, Kind, TufKey};
use countersign_testkit::sim::{member, object};

use super::scenarios;
use crate::run::{OK, Run};

/// A root that needs a key of this kind: good, then with a signature of another message.
fn kind(run: &mut Run<'_>, kind: Kind) {
    run.repo.add_key("root", "other", kind);
    run.repo.threshold("root", 2);
    run.repo.publish(&["root"]);
    run.refresh(OK);
    run.trusts([2, 1, 1, 1]);
    let old = run.repo.signature(&run.repo.signed["root"].clone(), "other");
    run.repo.publish(&["root"]);
    run.repo.tamper_json("root", |json| {
        let Some(Json::Array(signatures)) = object(json).get_mut("signatures") else { return };
        signatures[1] = old.clone();
    });
    run.refresh("tuf-threshold");
    run.trusts([2, 1, 1, 1]);
}

/// A key that peers cannot use, beside one that is enough.
fn beside(run: &mut Run<'_>, kind: Kind) {
    run.repo.add_key("timestamp", "other", kind);
    run.repo.publish(&["root", "timestamp"]);
    run.refresh(OK);
}

/// The timestamp's entry in a new root has this threshold.
fn threshold(run: &mut Run<'_>, value: Json, expected: &str) {
    object(run.repo.entry("timestamp")).insert("threshold".to_owned(), value);
    run.repo.publish(&["root"]);
    run.refresh(expected);
}

/// Lists the timestamp's key a second time under another id, made by `edit` of its object, and needs two.
fn twice(run: &mut Run<'_>, edit: impl Fn(&mut TufKey)) {
    let mut copy = TufKey::new("timestamp", Kind::Ed25519);
    edit(&mut copy);
    run.repo.keys.insert("copy".to_owned(), copy);
    run.repo.list_key("timestamp", "copy");
    run.repo.threshold("timestamp", 2);
    run.repo.signers.insert("timestamp".to_owned(), vec!["timestamp".to_owned(), "copy".to_owned()]);
    run.repo.publish(&["root", "timestamp"]);
    run.refresh("tuf-key-duplicate");
}

scenarios! {
    fn ed25519(run) { kind(run, Kind::Ed25519); }
    fn ecdsa_p256(run) { kind(run, Kind::P256); }
    fn ecdsa_p256_as_old_repositories_spell_it(run) { kind(run, Kind::P256Old); }
    fn ecdsa_p384(run) { kind(run, Kind::P384); }
    fn rsassa_pss(run) { kind(run, Kind::RsaPss); }
    fn rsa_pkcs1_beside_another(run) { beside(run, Kind::RsaPkcs1); }
    fn ml_dsa_beside_another(run) { beside(run, Kind::MlDsa44); }
    fn a_type_that_nobody_knows_beside_another(run) { beside(run, Kind::Unknown); }

    /// The specification names no such scheme.
    fn rsa_pkcs1_alone(run) {
        run.repo.add_key("root", "other", Kind::RsaPkcs1);
        run.repo.threshold("root", 2);
        run.repo.publish(&["root"]);
        run.refresh("tuf-root-chain");
    }

    fn a_type_that_nobody_knows_alone(run) {
        object(run.repo.entry("timestamp")).insert("keyids".to_owned(), Json::Array(Vec::new()));
        run.repo.signers.insert("timestamp".to_owned(), Vec::new());
        run.repo.add_key("timestamp", "other", Kind::Unknown);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-threshold");
    }

    /// A scheme of one type under the name of another.
    fn an_ed25519_key_with_the_scheme_of_rsa(run) {
        let mut key = TufKey::new("other", Kind::Ed25519);
        object(&mut key.json).insert("scheme".to_owned(), Json::from("rsassa-pss-sha256"));
        run.repo.keys.insert("other".to_owned(), key);
        run.repo.list_key("timestamp", "other");
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-key-invalid");
    }

    fn a_key_of_31_bytes(run) {
        let mut key = TufKey::new("other", Kind::Ed25519);
        member(&mut key.json, "keyval").insert("public".to_owned(), Json::from("ab".repeat(31)));
        run.repo.keys.insert("other".to_owned(), key);
        run.repo.list_key("timestamp", "other");
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-key-invalid");
    }

    /// TAP 12: an id need not be the digest of its key.
    fn key_ids_are_opaque(run) {
        let mut key = TufKey::new("other", Kind::Ed25519);
        key.id = "alice's key of 2026".to_owned();
        run.repo.keys.insert("other".to_owned(), key);
        object(run.repo.entry("timestamp")).insert("keyids".to_owned(), Json::Array(Vec::new()));
        run.repo.list_key("timestamp", "other");
        run.repo.signers.insert("timestamp".to_owned(), vec!["other".to_owned()]);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 1, 1]);
    }

    fn one_key_under_two_ids(run) {
        twice(run, |key| key.id = "0".repeat(64));
    }

    fn one_key_with_another_member(run) {
        twice(run, |key| {
            object(&mut key.json).insert("x".to_owned(), Json::Bool(true));
            key.id = countersign_crypto::sha256(&countersign_base::canonical::olpc(&key.json)).to_string();
        });
    }

    fn one_key_in_upper_case(run) {
        twice(run, |key| {
            let public = key.json.get("keyval").and_then(|keyval| keyval.get("public")).unwrap().clone();
            let public = public.as_str().unwrap().to_uppercase();
            member(&mut key.json, "keyval").insert("public".to_owned(), Json::from(public));
            key.id = countersign_crypto::sha256(&countersign_base::canonical::olpc(&key.json)).to_string();
        });
    }

    fn one_key_under_two_ids_in_a_delegation(run) {
        let mut copy = TufKey::new("a", Kind::Ed25519);
        copy.id = "0".repeat(64);
        run.repo.keys.insert("copy".to_owned(), copy);
        run.repo.delegate_with("targets", "a", &Delegation::default(), &["a", "copy"]);
        run.repo.delegation("targets", "a").insert("threshold".to_owned(), Json::Integer(2));
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-key-duplicate");
    }

    fn one_key_id_twice_in_a_role(run) {
        run.repo.list_key("timestamp", "timestamp");
        run.repo.threshold("timestamp", 2);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-key-duplicate");
    }

    /// Nothing says that a role's keys must all be there, as long as enough are.
    fn a_key_id_without_a_key(run) {
        run.repo.keys.insert("gone".to_owned(), TufKey::new("gone", Kind::Ed25519));
        run.repo.list_key("timestamp", "gone");
        let id = run.repo.keys["gone"].id.clone();
        member(run.repo.role("root"), "keys").remove(&id);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh(OK);
    }

    fn a_key_that_no_role_has(run) {
        let key = TufKey::new("spare", Kind::Ed25519);
        member(run.repo.role("root"), "keys").insert(key.id.clone(), key.json);
        run.repo.publish(&["root"]);
        run.refresh(OK);
    }

    fn one_key_for_every_role(run) {
        for role in ["targets", "snapshot", "timestamp"] {
            object(run.repo.entry(role)).insert("keyids".to_owned(), Json::Array(Vec::new()));
            run.repo.list_key(role, "root");
            run.repo.signers.insert(role.to_owned(), vec!["root".to_owned()]);
        }
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
    }

    fn a_threshold_of_0(run) { threshold(run, Json::Integer(0), "tuf-threshold-invalid"); }
    fn a_threshold_below_0(run) { threshold(run, Json::Integer(-1), "tuf-threshold-invalid"); }
    fn a_threshold_of_2_to_the_53(run) { threshold(run, Json::Integer(1 << 53), "tuf-threshold-invalid"); }
    fn a_threshold_as_text(run) { threshold(run, Json::from("1"), "tuf-threshold-invalid"); }
    fn a_threshold_of_nothing(run) { threshold(run, Json::Null, "tuf-threshold-invalid"); }

    /// No number of signatures can ever be enough.
    fn a_threshold_above_the_keys(run) {
        threshold(run, Json::Integer(2), "tuf-threshold-invalid");
    }

    fn a_threshold_of_one_and_a_half(run) {
        run.repo.publish(&["root"]);
        run.repo.tamper_text("root", "\"threshold\":1", "\"threshold\":1.5");
        run.refresh("tuf-threshold-invalid");
    }

    fn a_threshold_of_0_in_a_delegation(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.delegation("targets", "a").insert("threshold".to_owned(), Json::Integer(0));
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-threshold-invalid");
    }

    fn a_threshold_above_the_keys_in_a_delegation(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.delegation("targets", "a").insert("threshold".to_owned(), Json::Integer(2));
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-threshold-invalid");
    }

    fn a_role_without_keys(run) {
        object(run.repo.entry("timestamp")).insert("keyids".to_owned(), Json::Array(Vec::new()));
        run.repo.publish(&["root"]);
        run.refresh("tuf-key-invalid");
    }
}
