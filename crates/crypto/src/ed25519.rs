//! The strict reading of Ed25519: what the provider leaves to its caller.
//!
//! Spec: RFC 8032 section 5.1; the case for one verdict everywhere is "Taming the many EdDSAs" (Chalkias et al., 2020).
//! Our verdict: `S < L`; `A` and `R` canonical; `A` not of small order; then the equation without cofactor, on the
//! bytes as they stand. A key or `R` with a small-order *component* is judged by the equation alone, as RFC 8032 does.

use crate::algorithm::Algorithm;
use crate::error::{KeyError, SignatureError};

/// Bytes of an Ed25519 signature: `R`, then `S`.
const SIGNATURE_BYTES: usize = 64;

/// The field's prime, 2^255 - 19, little-endian.
const P: [u8; 32] = little_endian_prime();

/// The group order, 2^252 + 27742317777372353535851937790883648493, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The y coordinates of the eight points of small order, little-endian: 0, 1, -1 and the two of order 8.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    small_number(0),
    small_number(1),
    minus_one(),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Refuses a public key that is not canonical or of small order.
pub(crate) fn check_public_key(key: &[u8; 32]) -> Result<(), KeyError> {
    if !is_canonical(key) {
        return Err(KeyError::NotCanonical(Algorithm::Ed25519));
    }
    if SMALL_ORDER_Y.contains(&without_sign(key)) {
        return Err(KeyError::SmallOrder);
    }
    Ok(())
}

/// Refuses a signature of the wrong length, with `S >= L`, or with an `R` that is not canonical.
pub(crate) fn check_signature(signature: &[u8]) -> Result<(), SignatureError> {
    let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| SignatureError::Length)?;
    let (r, s) = halves(signature);
    if !less_than(&s, &L) {
        return Err(SignatureError::ScalarRange);
    }
    if !is_canonical(&r) {
        return Err(SignatureError::NotCanonical);
    }
    Ok(())
}

/// Whether a point has the one encoding that RFC 8032 section 5.1.3 decodes: `y < p`, and no sign where x is 0.
fn is_canonical(point: &[u8; 32]) -> bool {
    let y = without_sign(point);
    let x_is_zero = y == small_number(1) || y == minus_one();
    let negative = y != *point;
    less_than(&y, &P) && !(x_is_zero && negative)
}

fn halves(signature: &[u8; SIGNATURE_BYTES]) -> ([u8; 32], [u8; 32]) {
    let (mut r, mut s) = ([0; 32], [0; 32]);
    r.copy_from_slice(&signature[..32]);
    s.copy_from_slice(&signature[32..]);
    (r, s)
}

/// An encoded point's y coordinate: all but the top bit, which is the sign of x.
fn without_sign(point: &[u8; 32]) -> [u8; 32] {
    let mut y = *point;
    y[31] &= 0x7f;
    y
}

/// Compares two little-endian numbers. Not in constant time: keys and signatures are public.
fn less_than(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

const fn small_number(value: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = value;
    bytes
}

const fn little_endian_prime() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
}

const fn minus_one() -> [u8; 32] {
    let mut bytes = little_endian_prime();
    bytes[0] -= 1;
    bytes
}
