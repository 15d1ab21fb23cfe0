//! One verdict for every Ed25519 edge case: CCTV's 914 low-order and non-canonical points, and twins of our own.

use countersign_base::{Explain, code};
use countersign_crypto::{Algorithm, KeyError, PublicKey, SecretKey, SignatureError};
use countersign_testkit::vectors;
use serde_json::Value;

/// The properties of a case that make us refuse it; all others are judged acceptable.
///
/// `low_order_A`: small-order key. `non_canonical_*`: RFC 8032 section 5.1.3. `low_order_residue`: the equation
/// without cofactor does not hold. Not here: `low_order_R`, `low_order_component_*` (the equation alone decides), and
/// `reencoded_k`, which only goes with a non-canonical point.
const REFUSED: [&str; 4] = ["low_order_A", "non_canonical_A", "non_canonical_R", "low_order_residue"];

#[test]
fn cctv_edge_cases_have_pinned_verdicts() {
    let Some(dir) = vectors::dir("tlog/ed25519-edge-cases") else { return };
    for (name, path) in vectors::files(&dir, ".json") {
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut accepted = 0;
        for case in &cases {
            let flags = case["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
            let has = |flag: &str| flags.iter().any(|held| held == flag);
            let verdict = judge(case);
            let want = !REFUSED.into_iter().any(has);
            assert_eq!(verdict.is_ok(), want, "{name} {}: {flags:?} gave {verdict:?}", case["number"]);
            if has("low_order_A") && !has("non_canonical_A") {
                assert_eq!(verdict, Err(code::KEY_WEAK), "{name} {}", case["number"]);
            } else if has("non_canonical_A") {
                assert_eq!(verdict, Err(code::KEY_MALFORMED), "{name} {}", case["number"]);
            } else if !want {
                assert_eq!(verdict, Err(code::SIGNATURE_INVALID), "{name} {}", case["number"]);
            }
            accepted += usize::from(verdict.is_ok());
        }
        assert!(accepted > 0 && accepted < cases.len(), "{name} has both verdicts");
    }
}

fn judge(case: &Value) -> Result<(), code::Code> {
    let bytes = |field: &str| hex::decode(case[field].as_str().unwrap()).unwrap();
    let key = PublicKey::from_raw(Algorithm::Ed25519, &bytes("key")).map_err(|error| error.code())?;
    let message = case["msg"].as_str().unwrap().as_bytes();
    key.verify(message, &bytes("sig")).map_err(|error| error.code())
}

#[test]
fn v21_a_scalar_not_below_the_group_order_is_refused() {
    let key = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32]).unwrap();
    let signature = key.sign(b"message").unwrap();
    assert_eq!(key.public_key().verify(b"message", &signature), Ok(()));
    let mut malleable = signature.clone();
    add_group_order(&mut malleable[32..]);
    assert_eq!(key.public_key().verify(b"message", &malleable), Err(SignatureError::ScalarRange));
}

/// Adds L, so that the scalar means the same and is written in another way.
fn add_group_order(scalar: &mut [u8]) {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    for (byte, add) in scalar.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
}

#[test]
fn a_signature_of_another_length_or_message_is_refused() {
    let key = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32]).unwrap();
    let signature = key.sign(b"message").unwrap();
    let public = key.public_key();
    assert_eq!(public.verify(b"messagf", &signature), Err(SignatureError::Invalid));
    assert_eq!(public.verify(b"message", &signature[..63]), Err(SignatureError::Length));
    assert_eq!(public.verify(b"message", &[&signature[..], &[0]].concat()), Err(SignatureError::Length));
    assert_eq!(public.verify(b"message", b""), Err(SignatureError::Length));
}

#[test]
fn a_non_canonical_r_is_refused() {
    let key = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32]).unwrap();
    // y = 2^255 - 1, and y = 1 with the sign of x set though x is 0.
    for (first, last) in [(0xff, 0xff), (0x01, 0x80)] {
        let mut signature = key.sign(b"message").unwrap();
        signature[..32].fill(if first == 0xff { 0xff } else { 0 });
        signature[0] = first;
        signature[31] = last;
        assert_eq!(key.public_key().verify(b"message", &signature), Err(SignatureError::NotCanonical));
    }
}

#[test]
fn v21_small_order_and_non_canonical_keys_are_told_apart() {
    let key = |first: u8, last: u8| {
        let mut raw = [if first >= 0xec { 0xff } else { 0 }; 32];
        (raw[0], raw[31]) = (first, last);
        PublicKey::from_raw(Algorithm::Ed25519, &raw)
    };
    for (first, last) in [(0, 0), (0, 0x80), (1, 0), (0xec, 0x7f)] {
        assert_eq!(key(first, last), Err(KeyError::SmallOrder), "{first:02x}..{last:02x}");
    }
    // p itself is 0 again, p + 1 is 1 again; 1 and -1 have x = 0, which has no sign.
    for (first, last) in [(0xed, 0x7f), (0xed, 0xff), (0xee, 0x7f), (0xff, 0xff), (1, 0x80), (0xec, 0xff)] {
        assert_eq!(
            key(first, last),
            Err(KeyError::NotCanonical(Algorithm::Ed25519)),
            "{first:02x}..{last:02x}"
        );
    }
    // y = 3 is neither.
    assert!(key(3, 0).is_ok());
}
