//! Row V21 as far as metadata and cosignatures reach. Bundles have the row when they are there, so no test here has its
//! name: in metadata a signature that does not verify counts nothing, and the code is the threshold's.
//!
//! There is no batch verification that could differ from single verification, and no RSA but in others' certificates and
//! repositories.

use countersign_base::json::Json;
use countersign_base::{canonical, code};
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{signature_of, to_base64};
use countersign_testkit::sim::{ORIGIN, Sim, WITNESS, member};

use super::forge::{
    Case, case, delegated_keys, delegation, envelope, hex, publish_edited, publish_sealed, refuse_all_of, set,
};
use super::{installed_from, refuse_update};
use crate::lab::{first_release, now, program, second_release};

/// The order of Ed25519's group, little-endian, and of P-256's, big-endian.
const ED25519_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// `SubjectPublicKeyInfo` of a P-256 key, up to the point.
const P256_SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A repository whose node is signed by 2 of three keys: P-256, P-384, Ed25519. 1.0.0 is released.
fn three_kinds() -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        let names = ["p256-node", "p384-node", "node-1"];
        names[..2].iter().for_each(|name| sim.add_key(name));
        let ids: Vec<String> = names.iter().map(|name| sim.key_id(name)).collect();
        let keys: Vec<Json> = names.iter().map(|name| sim.key_json(name)).collect();
        let targets = sim.role("targets");
        *delegated_keys(targets) = ids.iter().cloned().zip(keys).collect();
        set(delegation(targets), "keyids", ids);
        sim.signers.insert("node".to_owned(), names.iter().map(|&name| name.to_owned()).collect());
    });
    sim.add_release("1.0.0", "node", &program("1.0.0"));
    sim.publish_next(&["node"]);
    sim
}

/// A signature of node's file: under the id of `name`, of these bytes.
fn under(sim: &Sim, name: &str, signature: &[u8]) -> Json {
    Json::object([("keyid", Json::from(sim.key_id(name))), ("sig", Json::from(hex(signature)))])
}

/// The honest signature of `name` on node's file.
fn by(sim: &Sim, name: &str) -> Vec<u8> {
    sim.keys[name].sign(&canonical::olpc(&sim.signed["node"])).unwrap()
}

/// Publishes 1.1.0 with node's file signed so.
fn signed_so<'a>(signatures: impl Fn(&Sim) -> Vec<Json> + 'a) -> impl Fn(&mut Sim) + 'a {
    move |sim| publish_sealed(sim, "node", |sim| envelope(&sim.signed["node"], signatures(sim)))
}

/// node-1 signs honestly, and this stands for the signature of the P-256 key.
fn p256_is<'a>(signature: impl Fn(&Sim) -> Vec<u8> + 'a) -> impl Fn(&mut Sim) + 'a {
    signed_so(move |sim| {
        vec![under(sim, "node-1", &by(sim, "node-1")), under(sim, "p256-node", &signature(sim))]
    })
}

/// An ECDSA signature in DER, of big-endian numbers without leading zeros.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
        let length = u8::try_from(sign.len() + number.len()).unwrap();
        [&[2, length], sign, number].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// The two numbers of a DER signature, without leading zeros.
fn numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let integer = |at: usize| {
        let number = &der[at + 2..at + 2 + usize::from(der[at + 1])];
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        (number[zeros..].to_vec(), at + 2 + number.len())
    };
    let (r, next) = integer(2);
    (r, integer(next).0)
}

/// The other signature of the same message: (r, n - s).
fn twin(signature: &[u8]) -> Vec<u8> {
    let (r, s) = numbers(signature);
    let mut other = bytes(P256_ORDER);
    let padded = [vec![0; 32 - s.len()], s].concat();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(other[at]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let zeros = other.iter().take_while(|&&byte| byte == 0).count();
    der(&r, &other[zeros..])
}

/// The same Ed25519 signature with its scalar written as S + L.
fn malleable(mut signature: Vec<u8>) -> Vec<u8> {
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(bytes(ED25519_ORDER)) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    signature
}

#[test]
fn forged_and_doubled_signatures_count_nothing() {
    let order = || bytes(P256_ORDER);
    refuse_all_of(
        &three_kinds(),
        code::TUF_THRESHOLD,
        &[
            case("r = 0", p256_is(|_| der(&[], &[1]))),
            case("s = 0", p256_is(|_| der(&[1], &[]))),
            case("r = s = 0", p256_is(|_| der(&[], &[]))),
            case("r = n", p256_is(move |_| der(&order(), &[1]))),
            case("r = s = n", p256_is(move |_| der(&order(), &order()))),
            case("s = 0 beside a good r", p256_is(|sim| der(&numbers(&by(sim, "p256-node")).0, &[]))),
            case(
                "not in DER",
                p256_is(|sim| {
                    let (r, s) = numbers(&by(sim, "p256-node"));
                    [vec![0; 32 - r.len()], r, vec![0; 32 - s.len()], s].concat()
                }),
            ),
            case("of another curve", p256_is(|sim| by(sim, "p384-node"))),
            case(
                "the high-s twin beside it",
                signed_so(|sim| {
                    let good = by(sim, "p256-node");
                    vec![under(sim, "p256-node", &good), under(sim, "p256-node", &twin(&good))]
                }),
            ),
            case(
                "the high-s twin as another key's",
                signed_so(|sim| {
                    let good = by(sim, "p256-node");
                    vec![under(sim, "p256-node", &good), under(sim, "p384-node", &twin(&good))]
                }),
            ),
            case(
                "Ed25519 with S >= L",
                signed_so(|sim| {
                    let bad = malleable(by(sim, "node-1"));
                    vec![under(sim, "node-1", &bad), under(sim, "p256-node", &by(sim, "p256-node"))]
                }),
            ),
            case(
                "Ed25519 with S = 0 and the neutral point",
                signed_so(|sim| {
                    let forged = [&[1], &[0; 63][..]].concat();
                    vec![under(sim, "node-1", &forged), under(sim, "p256-node", &by(sim, "p256-node"))]
                }),
            ),
        ],
    );
}

/// A twin alone is the one signature of its key: ECDSA allows both.
#[test]
fn a_high_s_signature_counts_once() {
    let first = three_kinds();
    let lab = installed_from(&first);
    let mut honest = second_release(&first);
    p256_is(|sim| twin(&by(sim, "p256-node")))(&mut honest);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// A key object, listed under its digest.
fn key(keytype: &str, scheme: &str, public: &str) -> Json {
    Json::object([
        ("keytype", Json::from(keytype)),
        ("scheme", Json::from(scheme)),
        ("keyval", Json::object([("public", Json::from(public))])),
    ])
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", wrapped(&to_base64(der)))
}

fn wrapped(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

/// An RSA key: an odd modulus of so many bytes, and the exponent.
fn rsa(length: usize, exponent: u8) -> Json {
    let element = |tag: u8, content: &[u8]| {
        let size = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length = if content.len() < 128 { vec![size[1]] } else { [&[0x82], &size[..]].concat() };
        let length = if (128..256).contains(&content.len()) { vec![0x81, size[1]] } else { length };
        [&[tag], &length[..], content].concat()
    };
    let modulus = [&[0, 0xc5], &vec![0x35; length - 1][..]].concat();
    let numbers = element(0x30, &[element(2, &modulus), element(2, &[exponent])].concat());
    let kind = bytes("300d06092a864886f70d0101010500");
    let spki = element(0x30, &[kind, element(3, &[&[0], &numbers[..]].concat())].concat());
    key("rsa", "rsassa-pss-sha256", &pem(&spki))
}

/// The key stands in the delegation to node, or in root, beside the honest ones.
fn listed(role: &'static str, key: Json) -> impl Fn(&mut Sim) {
    move |sim| {
        let id = sha256(&canonical::olpc(&key)).to_string();
        publish_edited(sim, role, |signed| {
            let table = if role == "root" { member(signed, "keys") } else { delegated_keys(signed) };
            table.insert(id, key.clone());
        });
    }
}

#[test]
fn weak_keys_are_refused_by_name() {
    // Points of order 1, 2, 4 and 8.
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for role in ["root", "targets"] {
        for point in small {
            cases.push(case(point, listed(role, key("ed25519", "ed25519", point))));
        }
        cases.push(case("RSA with exponent 1", listed(role, rsa(256, 1))));
        cases.push(case("RSA with an even exponent", listed(role, rsa(256, 2))));
        cases.push(case("RSA of 1024 bits", listed(role, rsa(128, 3))));
    }
    let first = first_release();
    refuse_all_of(&first, code::KEY_WEAK, &cases);
    // The twin: an RSA key that is long enough and has an odd exponent.
    let lab = installed_from(&first);
    let mut honest = second_release(&first);
    listed("root", rsa(256, 3))(&mut honest);
    lab.serve(&honest);
    lab.node("update").ok();
}

#[test]
fn keys_that_are_no_points_of_their_curve_are_refused() {
    let sim = three_kinds();
    let point = sim.keys["p256-node"].public_key().as_raw().to_vec();
    let spki = |point: &[u8]| pem(&[&bytes(P256_SPKI), point].concat());
    let mut off = point.clone();
    off[64] ^= 1;
    let zero = [&[4], &[0; 64][..]].concat();
    let p256 = "ecdsa-sha2-nistp256";
    refuse_all_of(
        &sim,
        code::TUF_KEY_INVALID,
        &[
            case("off the curve", listed("targets", key("ecdsa", p256, &spki(&off)))),
            case("the point (0, 0)", listed("targets", key("ecdsa", p256, &spki(&zero)))),
            case("of another curve", listed("targets", key("ecdsa", "ecdsa-sha2-nistp384", &spki(&point)))),
            case("off the curve, in root", listed("root", key("ecdsa", p256, &spki(&off)))),
        ],
    );
    // The twin: the same key as it is, listed once more for nobody.
    let lab = installed_from(&sim);
    let mut honest = second_release(&sim);
    listed("root", key("ecdsa", p256, &spki(&point)))(&mut honest);
    lab.serve(&honest);
    lab.node("update").ok();
}

#[test]
fn notes_with_a_malleable_signature_are_refused() {
    // Of the witness, then of the log.
    refuse_update(code::LOG_COSIGNATURE_INVALID, |sim| {
        publish_noted(sim, |sim, text| {
            let witness = sim.named(WITNESS, "witness");
            let line = signature_of(&witness.cosignature_line(text, sim.now));
            let changed = [&line[..8], &malleable(line[8..].to_vec())].concat();
            sim.named(ORIGIN, "log").log_line(text) + &witness.line(4, &changed)
        });
    });
    refuse_update(code::LOG_SIGNATURE_INVALID, |sim| {
        publish_noted(sim, |sim, text| {
            let log = sim.named(ORIGIN, "log");
            let changed = malleable(log.sign(text.as_bytes()));
            log.line(1, &changed) + &sim.named(WITNESS, "witness").cosignature_line(text, sim.now)
        });
    });
}

/// Publishes 1.1.0 under a checkpoint with these signature lines.
fn publish_noted(sim: &mut Sim, lines: impl Fn(&Sim, &str) -> String) {
    sim.publish_next(&["node"]);
    let text = sim.log.text(sim.log.size());
    let note = format!("{text}\n{}", lines(sim, &text));
    sim.serve_proof("snapshot", |proof| proof.checkpoint.clone_from(&note));
    sim.serve_proof("node", |proof| proof.checkpoint = note);
}
