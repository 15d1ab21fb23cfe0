//! Rows M: keys and thresholds.

use countersign_base::json::Json;
use countersign_base::{canonical, code};
use countersign_crypto::sha256;
use countersign_testkit::sim::{Sim, member, object};
use countersign_tuf::metadata::{key_id, key_json, payload};

use super::forge::{
    Case, case, delegated_keys, delegation, delegations, envelope, hex, next_targets, publish_edited,
    publish_forged, publish_sealed, refuse_all, refuse_case, resigned, set,
};
use super::{honest_update, installed_from};
use crate::lab::{first_release, second_release};

#[test]
fn m09_threshold_counts_distinct_keys_of_the_role() {
    let signed_by = |names: &'static [&str]| {
        move |sim: &mut Sim| publish_sealed(sim, "node", |sim| sim.envelope_by("node", names))
    };
    refuse_all(
        code::TUF_THRESHOLD,
        &[
            case("(a) one signature listed twice", signed_by(&["node-1", "node-1"])),
            case("(c) one good and one bad", |sim| {
                publish_sealed(sim, "node", |sim| {
                    let signed = &sim.signed["node"];
                    let mut bad = sim.signature(signed, "node-1");
                    set(&mut bad, "keyid", sim.key_id("node-2"));
                    envelope(signed, vec![sim.signature(signed, "node-1"), bad])
                });
            }),
            case("(d) one good and one by a key of another role", signed_by(&["node-1", "snapshot"])),
            case("(a) in targets", |sim| {
                publish_sealed(sim, "targets", |sim| sim.envelope_by("targets", &["root-1", "root-1"]));
            }),
        ],
    );
}

#[test]
fn m09_two_signatures_of_one_key_count_once() {
    // (b) needs a key whose signatures differ each time: ML-DSA. The honest twin has one by each key.
    let first = first_release();
    let lab = installed_from(&first);
    let with_signers = |names: &[&str]| {
        let mut sim = second_release(&first);
        sim.add_key("mldsa-1");
        mldsa_targets(&mut sim);
        let signed = sim.signed["node"].clone();
        let signatures: Vec<Json> = names.iter().map(|name| signature_of(&sim, &signed, name)).collect();
        assert_ne!(signatures[0], signatures[1]);
        publish_sealed(&mut sim, "node", |sim| {
            let signed = &sim.signed["node"];
            envelope(signed, names.iter().map(|name| signature_of(sim, signed, name)).collect())
        });
        sim
    };
    refuse_case(&lab, &with_signers(&["mldsa-1", "mldsa-1"]), code::TUF_THRESHOLD, "(b)");
    lab.serve(&with_signers(&["mldsa-1", "node-2"]));
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// Targets in which node's first key is the ML-DSA one; listed by whatever is published next.
fn mldsa_targets(sim: &mut Sim) {
    let public = sim.keys["mldsa-1"].public_key().clone();
    let ids = vec![key_id(&public), sim.key_id("node-2")];
    next_targets(sim, |targets| {
        delegated_keys(targets).insert(key_id(&public), key_json(&public));
        set(delegation(targets), "keyids", ids);
    });
}

/// One signature object, also by an ML-DSA key.
fn signature_of(sim: &Sim, signed: &Json, name: &str) -> Json {
    let key = &sim.keys[name];
    let signature = key.sign(&payload(key.public_key(), &canonical::olpc(signed))).unwrap();
    Json::object([("keyid", Json::from(key_id(key.public_key()))), ("sig", Json::from(hex(&signature)))])
}

/// Other descriptions of an honest key, each under the id that is its digest.
fn variants(sim: &Sim, name: &str) -> Vec<(&'static str, Json)> {
    let public = hex(sim.keys[name].public_key().as_raw());
    let with_public = |text: String| {
        let mut key = sim.key_json(name);
        set(&mut key, "keyval", Json::object([("public", Json::from(text))]));
        key
    };
    let mut extra = sim.key_json(name);
    set(&mut extra, "x-note", "the same key");
    let mut scheme = sim.key_json(name);
    set(&mut scheme, "scheme", "ed25519-2");
    let mut spaced = public.clone();
    spaced.insert(32, ' ');
    vec![
        ("extra field", extra),
        ("other scheme", scheme),
        ("PEM", with_public(sim.keys[name].public_key().to_spki_pem())),
        ("white space", with_public(format!("{public}\n"))),
        ("space inside", with_public(spaced)),
        ("hex case", with_public(public.to_uppercase())),
    ]
}

fn digest_id(key: &Json) -> String {
    sha256(&canonical::olpc(key)).to_string()
}

#[test]
fn m10_one_public_key_under_two_ids_is_refused() {
    let sim = first_release();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, key) in variants(&sim, "node-1") {
        cases.push(case(name, move |sim| {
            // Delegation: node's two keys are one key twice, and both "sign".
            let ids = vec![sim.key_id("node-1"), digest_id(&key)];
            let (ids2, key) = (ids.clone(), key.clone());
            next_targets(sim, |targets| {
                delegated_keys(targets).insert(ids[1].clone(), key);
                set(delegation(targets), "keyids", ids);
            });
            publish_sealed(sim, "node", |sim| {
                let signed = &sim.signed["node"];
                let signatures = ids2.iter().map(|id| {
                    let mut signature = sim.signature(signed, "node-1");
                    set(&mut signature, "keyid", id.as_str());
                    signature
                });
                envelope(signed, signatures.collect())
            });
        }));
    }
    for (name, key) in variants(&sim, "root-1") {
        cases.push(case(name, move |sim| {
            publish_edited(sim, "root", |root| {
                let other = digest_id(&key);
                let targets = member(root, "roles").get_mut("targets").unwrap();
                let ids = [
                    targets.get("keyids").and_then(Json::as_array).unwrap()[0].clone(),
                    other.as_str().into(),
                ];
                set(targets, "keyids", Json::Array(ids.to_vec()));
                member(root, "keys").insert(other, key.clone());
            });
        }));
    }
    refuse_all(code::TUF_KEY_DUPLICATE, &cases);
}

#[test]
fn m11_threshold_must_be_reachable_and_positive() {
    let odd = ["0", "-1", "1.5", r#""2""#, "null", "9007199254740992", "18446744073709551616"];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for role in ["root", "targets"] {
        // Of root, the first threshold in the text is root's own; targets has one.
        let too_many = if role == "root" { "4" } else { "3" };
        for value in odd.into_iter().chain([too_many]) {
            cases.push(case(value, move |sim| {
                publish_sealed(sim, role, |sim| {
                    resigned(sim, role, |text| {
                        assert!(text.contains(r#""threshold":2"#));
                        text.replacen(r#""threshold":2"#, &format!(r#""threshold":{value}"#), 1)
                    })
                });
            }));
        }
    }
    refuse_all(code::TUF_THRESHOLD_INVALID, &cases);
}

/// Gives node a third key in the delegation: the id, and what stands in the key table.
fn third_key(sim: &mut Sim, id: &str, key: Option<Json>) {
    let ids = vec![sim.key_id("node-1"), sim.key_id("node-2"), id.to_owned()];
    next_targets(sim, |targets| {
        if let Some(key) = key {
            delegated_keys(targets).insert(id.to_owned(), key);
        }
        set(delegation(targets), "keyids", ids);
    });
}

#[test]
fn m12_unknown_key_ids_are_ignored_and_count_nothing() {
    let unknown = "ab".repeat(32);
    let first = first_release();
    let lab = installed_from(&first);
    let mut evil = second_release(&first);
    third_key(&mut evil, &unknown, None);
    let mut honest = second_release(&first);
    third_key(&mut honest, &unknown, None);
    publish_sealed(&mut evil, "node", |sim| {
        let signed = &sim.signed["node"];
        let mut foreign = sim.signature(signed, "root-1");
        set(&mut foreign, "keyid", unknown.as_str());
        envelope(signed, vec![sim.signature(signed, "node-1"), foreign])
    });
    refuse_case(&lab, &evil, code::TUF_THRESHOLD, "(a)");
    honest.publish_next(&["node"]);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m12_key_tables_must_be_whole_and_consistent() {
    let keyed = |key: Json| {
        move |sim: &mut Sim| {
            third_key(sim, &digest_id(&key), Some(key.clone()));
            publish_edited(sim, "node", |_| {});
        }
    };
    let described = |keytype: &str, scheme: &str| {
        let mut key = first_release().key_json("root-3");
        set(&mut key, "keytype", keytype);
        set(&mut key, "scheme", scheme);
        key
    };
    let without = |table: &'static str, member_name: &'static str| {
        move |sim: &mut Sim| {
            publish_edited(sim, "root", |root| {
                member(root, table).remove(member_name).unwrap();
            });
        }
    };
    refuse_all(
        code::TUF_KEY_INVALID,
        &[
            case("(b) root without a role", without("roles", "timestamp")),
            case("(b) a role's only key is not in the table", |sim| {
                let id = sim.key_id("timestamp");
                publish_edited(sim, "root", |root| {
                    member(root, "keys").remove(&id).unwrap();
                });
            }),
            case("(b) none of a delegated role's keys is in the table", |sim| {
                publish_edited(sim, "targets", |targets| {
                    set(object(targets).get_mut("delegations").unwrap(), "keys", Json::object::<String>([]));
                });
            }),
            case("(c) id is not the digest, in a delegation", |sim| {
                let key = sim.key_json("root-3");
                third_key(sim, &"cd".repeat(32), Some(key));
                publish_edited(sim, "node", |_| {});
            }),
            case("(c) in root", |sim| {
                let key = sim.key_json("node-1");
                publish_edited(sim, "root", |root| {
                    member(root, "keys").insert("cd".repeat(32), key);
                });
            }),
            case("(d) Ed25519 bytes as ECDSA", keyed(described("ecdsa", "ecdsa-sha2-nistp256"))),
            case("(d) Ed25519 bytes as ML-DSA", keyed(described("ml-dsa", "ml-dsa-44/1"))),
            case("(d) Ed25519 bytes as RSA", keyed(described("rsa", "rsassa-pss-sha256"))),
            case("(e) scheme of another type", keyed(described("ed25519", "ecdsa-sha2-nistp256"))),
            case("(e) the other way round", keyed(described("ecdsa", "ed25519"))),
        ],
    );
}

/// Stolen online keys, M21 (a) and (b): (a) is M01, where they sign an older view; (c), a frozen view, is seen by a
/// monitor only.
#[test]
fn stolen_online_keys_cannot_sign_targets() {
    refuse_all(
        code::TUF_THRESHOLD,
        &[
            case("node", |sim| {
                publish_sealed(sim, "node", |sim| sim.envelope_by("node", &["snapshot", "timestamp"]));
            }),
            case("targets", |sim| {
                publish_sealed(sim, "targets", |sim| sim.envelope_by("targets", &["snapshot", "timestamp"]));
            }),
        ],
    );
}

#[test]
fn m22_one_of_three_product_keys_is_not_enough() {
    // The log refuses the entry of a file below its threshold: tests of the log's admission. Here it is logged anyway.
    let first = {
        let mut sim = first_release();
        sim.add_key("node-3");
        let (id, key) = (sim.key_id("node-3"), sim.key_json("node-3"));
        third_key(&mut sim, &id, Some(key));
        sim.publish_next(&["node"]);
        sim
    };
    let by_two = |names: &'static [&str]| {
        let mut sim = second_release(&first);
        publish_sealed(&mut sim, "node", |sim| sim.envelope_by("node", names));
        sim
    };
    let lab = installed_from(&first);
    refuse_case(&lab, &by_two(&["node-3"]), code::TUF_THRESHOLD, "(a)");
    lab.serve(&by_two(&["node-3", "node-1"]));
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m22_a_key_removed_by_root_signs_no_more() {
    // Root 2 takes root-2 from targets and gives it root-4 in its place.
    let mut first = first_release();
    first.add_key("root-4");
    let (id, key) = (first.key_id("root-4"), first.key_json("root-4"));
    let ids = vec![first.key_id("root-1"), id.clone()];
    let root = first.role("root");
    member(root, "keys").insert(id, key);
    set(member(root, "roles").get_mut("targets").unwrap(), "keyids", ids);
    first.signers.insert("targets".to_owned(), vec!["root-1".to_owned(), "root-4".to_owned()]);
    first.publish_next(&["root", "targets"]);
    let lab = installed_from(&first);
    let mut evil = second_release(&first);
    publish_sealed(&mut evil, "targets", |sim| sim.envelope_by("targets", &["root-1", "root-2"]));
    refuse_case(&lab, &evil, code::TUF_KEY_REVOKED, "(b)");
    // (c) A client from whom root 2 is hidden: what the removed key signs lasts until it expires (M04).
    honest_update(&lab, &first);
}

#[test]
fn m13_a_role_signs_and_is_served_under_its_own_name_only() {
    let sealed_by = |role: &'static str, names: &'static [&str]| {
        move |sim: &mut Sim| publish_sealed(sim, role, |sim| sim.envelope_by(role, names))
    };
    let of_type = |role: &'static str, kind: &'static str| {
        move |sim: &mut Sim| publish_edited(sim, role, |signed| set(signed, "_type", kind))
    };
    let served_as = |role: &'static str, other: &'static str| {
        move |sim: &mut Sim| publish_forged(sim, role, |_| {}, |sim| sim.bytes[other].clone())
    };
    refuse_all(
        code::TUF_ROLE_CONFUSION,
        &[
            case("(a) timestamp key signs snapshot", sealed_by("snapshot", &["timestamp"])),
            case("(a) snapshot key signs timestamp", sealed_by("timestamp", &["snapshot"])),
            case("(b) root's keys sign node", sealed_by("node", &["root-1", "root-2"])),
            case("(b) another product's keys sign node", |sim| {
                let ids = vec![sim.key_id("root-3"), sim.key_id("log")];
                let keys = [sim.key_json("root-3"), sim.key_json("log")];
                next_targets(sim, |targets| {
                    let mut other = delegation(targets).clone();
                    set(&mut other, "name", "other");
                    set(&mut other, "paths", vec!["other/*/*/*"]);
                    set(&mut other, "keyids", ids.clone());
                    delegations(targets).push(other);
                    delegated_keys(targets).extend(ids.into_iter().zip(keys));
                });
                publish_sealed(sim, "node", |sim| sim.envelope_by("node", &["root-3", "log"]));
            }),
            case("(c) a snapshot as timestamp", served_as("timestamp", "snapshot")),
            case("(c) node's file as snapshot", served_as("snapshot", "node")),
            case("(c) the timestamp as node's", served_as("node", "timestamp")),
            case("(c) targets as root", served_as("root", "targets")),
            case("(c) node signs a file of another type", of_type("node", "root")),
            case("(c) root signs a file of another type", of_type("root", "targets")),
            case("(d) delegated role named root", |sim| {
                publish_edited(sim, "targets", |targets| set(delegation(targets), "name", "root"));
            }),
            case("(d) in other letters", |sim| {
                publish_edited(sim, "targets", |targets| set(delegation(targets), "name", "Targets"));
            }),
        ],
    );
}
