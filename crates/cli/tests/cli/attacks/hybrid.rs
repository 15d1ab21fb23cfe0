//! Row V22 in TUF roles: holders of two keys, both of which must sign (ADR 0009). Bundles have it when they are there,
//! so no test here has the row's name. What M10 and M12 say of keys holds for second keys too.

use countersign_base::json::Json;
use countersign_base::{canonical, code};
use countersign_testkit::mldsa::{self, Form};
use countersign_testkit::sim::{Sim, member, object};
use countersign_tuf::metadata::payload;

use super::forge::{Case, case, envelope, hex, publish_edited, publish_sealed, refuse_all_of, set};
use super::{honest_update, installed_from};
use crate::lab::{now, program, second_release};

/// The second key of each holder.
const PAIRS: [(&str, &str); 5] = [
    ("root-1", "mldsa65-root-1"),
    ("root-2", "mldsa-root-2"),
    ("timestamp", "mldsa-timestamp"),
    ("node-1", "mldsa-node-1"),
    ("node-2", "mldsa65-node-2"),
];

/// A repository whose holders have two keys each, but for root-3 and the snapshot's; 1.0.0 is released.
pub(crate) fn hybrid() -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        for (first, second) in PAIRS {
            sim.add_key(second);
            sim.set_pair(if first.starts_with("node") { "targets" } else { "root" }, first, second);
        }
        for signers in sim.signers.values_mut() {
            let seconds = PAIRS.iter().filter(|(first, _)| signers.iter().any(|name| name == first));
            signers.extend(seconds.map(|(_, second)| (*second).to_owned()).collect::<Vec<_>>());
        }
    });
    sim.add_release("1.0.0", "node", &program("1.0.0"));
    sim.publish_next(&["node"]);
    sim
}

/// Publishes 1.1.0 with `role` signed by its keys but one.
fn without<'a>(role: &'a str, name: &'a str) -> impl Fn(&mut Sim) + 'a {
    move |sim| {
        publish_sealed(sim, role, |sim| {
            let left: Vec<&str> =
                sim.signers[role].iter().map(String::as_str).filter(|one| *one != name).collect();
            assert_eq!(left.len() + 1, sim.signers[role].len());
            sim.envelope_by(role, &left)
        });
    }
}

#[test]
fn hybrid_holders_count_only_with_both_signatures() {
    refuse_all_of(
        &hybrid(),
        code::SIGNATURE_ALGORITHM_DOWNGRADE,
        &[
            case("(a) ML-DSA-44 stripped", without("node", "mldsa-node-1")),
            case("(a) ML-DSA-65 stripped", without("node", "mldsa65-node-2")),
            case("(a) all ML-DSA stripped", |sim| {
                publish_sealed(sim, "node", |sim| sim.envelope_by("node", &["node-1", "node-2"]));
            }),
            case("(a) in targets", without("targets", "mldsa-root-2")),
            case("(a) in root", without("root", "mldsa65-root-1")),
            case("(a) in the timestamp", without("timestamp", "mldsa-timestamp")),
            case("(b) Ed25519 stripped", without("node", "node-1")),
            case("(b) all Ed25519 stripped", |sim| {
                publish_sealed(sim, "node", |sim| {
                    sim.envelope_by("node", &["mldsa-node-1", "mldsa65-node-2"])
                });
            }),
            case("(b) in root", without("root", "root-2")),
            case("(a) and (b): halves of two holders", |sim| {
                publish_sealed(sim, "node", |sim| sim.envelope_by("node", &["node-1", "mldsa65-node-2"]));
            }),
        ],
    );
}

/// Publishes 1.1.0 where node's second keys sign in this form.
fn in_form(form: Form<'static>) -> impl Fn(&mut Sim) {
    move |sim| {
        publish_sealed(sim, "node", |sim| {
            let signed = &sim.signed["node"];
            let signatures = sim.signers["node"].iter().map(|name| {
                let mut signature = sim.signature(signed, name);
                let key = &sim.keys[name.as_str()];
                if name.starts_with("mldsa") {
                    let message = canonical::olpc(signed);
                    let bytes = mldsa::sign(key, &payload(key.public_key(), &message), form);
                    set(&mut signature, "sig", hex(&bytes));
                }
                signature
            });
            envelope(signed, signatures.collect())
        });
    }
}

#[test]
fn hybrid_holders_sign_in_the_pure_form_without_context() {
    let first = hybrid();
    refuse_all_of(
        &first,
        code::SIGNATURE_ALGORITHM_DOWNGRADE,
        &[
            case("(c) another context", in_form(Form::Pure(b"countersign"))),
            case("(d) prehash", in_form(Form::Prehash(b""))),
            case("(c) and (d)", in_form(Form::Prehash(b"countersign"))),
        ],
    );
    // The twin: the same other implementation, in the form that is meant.
    let lab = installed_from(&first);
    let mut honest = second_release(&first);
    in_form(Form::Pure(b""))(&mut honest);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// Changes the second key of `first` where `role` names it.
fn edit_pair(role: &str, sim: &Sim, signed: &mut Json, first: &str, edit: impl FnOnce(&mut Json)) {
    let extension = member(signed, "x-countersign");
    let pairs = object(extension.get_mut("pairs").unwrap());
    edit(pairs.get_mut(&sim.key_id(first)).unwrap_or_else(|| panic!("{role} has a pair for {first}")));
}

/// (e) A second key of a kind that this build cannot check does not become no second key. Exit status 2: the program
/// does not fit the publisher's configuration.
#[test]
fn hybrid_schemes_that_are_unknown_here_are_not_left_out() {
    let first = hybrid();
    let lab = installed_from(&first);
    for (role, holder) in [("root", "root-2"), ("targets", "node-1")] {
        let mut evil = second_release(&first);
        let names = evil.clone();
        publish_edited(&mut evil, role, |signed| {
            edit_pair(role, &names, signed, holder, |key| set(key, "scheme", "ml-dsa-87/1"));
        });
        let (before, program) = (lab.state(), lab.installed());
        lab.serve(&evil);
        let run = lab.node("update");
        assert_eq!(run.json()["code"], code::SIGNATURE_ALGORITHM_DOWNGRADE.name(), "{}", run.text());
        assert_eq!(run.status(), Some(2), "{}", run.text());
        assert!(run.json()["fix"].as_str().unwrap().contains("install a version"), "{}", run.text());
        assert!(lab.state() == before && lab.installed() == program);
    }
    honest_update(&lab, &first);
}

#[test]
fn m10_a_second_key_makes_one_holder_only() {
    let first = hybrid();
    let cases: &[Case<'_>] = &[
        case("of two holders", |sim| {
            let other = sim.key_json("mldsa-node-1");
            let names = sim.clone();
            publish_edited(sim, "targets", |signed| {
                edit_pair("targets", &names, signed, "node-2", |key| *key = other);
            });
        }),
        case("in another writing", |sim| {
            let mut other = sim.key_json("mldsa-node-1");
            let public = hex(sim.keys["mldsa-node-1"].public_key().as_raw());
            set(&mut other, "keyval", Json::object([("public", Json::from(public))]));
            let names = sim.clone();
            publish_edited(sim, "targets", |signed| {
                edit_pair("targets", &names, signed, "node-2", |key| *key = other);
            });
        }),
        case("a role's own key", |sim| {
            let (id, key) = (sim.key_id("mldsa-root-2"), sim.key_json("mldsa-root-2"));
            publish_edited(sim, "root", |root| {
                member(root, "keys").insert(id.clone(), key);
                let role = member(root, "roles").get_mut("root").unwrap();
                match object(role).get_mut("keyids") {
                    Some(Json::Array(ids)) => ids.push(id.into()),
                    _ => panic!("root has keys"),
                }
            });
        }),
    ];
    refuse_all_of(&first, code::TUF_KEY_DUPLICATE, cases);
}

#[test]
fn m12_second_keys_must_be_whole_and_of_their_kind() {
    let replaced = |holder: &'static str, json: fn(&Sim) -> Json| {
        move |sim: &mut Sim| {
            let (names, key) = (sim.clone(), json(sim));
            publish_edited(sim, "targets", |signed| {
                edit_pair("targets", &names, signed, holder, |old| *old = key);
            });
        }
    };
    refuse_all_of(
        &hybrid(),
        code::TUF_KEY_INVALID,
        &[
            case("the first key is not listed", |sim| {
                let key = sim.key_json("mldsa-timestamp");
                publish_edited(sim, "targets", |signed| {
                    let pairs = member(signed, "x-countersign").get_mut("pairs").unwrap();
                    set(pairs, &"ab".repeat(32), key);
                });
            }),
            case("a classical second key", replaced("node-1", |sim| sim.key_json("log"))),
            case(
                "bytes of another kind",
                replaced("node-1", |sim| {
                    let mut key = sim.key_json("mldsa-node-1");
                    set(&mut key, "scheme", "ml-dsa-65/1");
                    key
                }),
            ),
            case(
                "a scheme of another type",
                replaced("node-1", |sim| {
                    let mut key = sim.key_json("mldsa-node-1");
                    set(&mut key, "scheme", "ed25519");
                    key
                }),
            ),
        ],
    );
}
