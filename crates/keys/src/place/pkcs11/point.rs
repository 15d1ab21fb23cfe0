//! Public keys as tokens show them: `CKA_EC_PARAMS` and `CKA_EC_POINT`.
//!
//! Spec: PKCS#11 3.1, current mechanisms, sections 6.3.3 (EC) and 6.3.5 (Edwards). The point is specified as the DER
//! of an OCTET STRING; some modules give the bytes alone, and 3.0 had a BIT STRING for Edwards keys. Lengths tell
//! which it is.

use countersign_crypto::{Algorithm, KeyError, PublicKey};

/// `prime256v1`, 1.2.840.10045.3.1.7.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `secp384r1`, 1.3.132.0.34.
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// `id-Ed25519`, 1.3.101.112.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The PrintableString `edwards25519`, PKCS#11 3.0's name of the curve.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;

/// The scheme that a curve stands for; `None` for other curves.
pub(super) fn algorithm(params: &[u8]) -> Option<Algorithm> {
    match params {
        P256 => Some(Algorithm::EcdsaP256Sha256),
        P384 => Some(Algorithm::EcdsaP384Sha384),
        ED25519 | EDWARDS25519 => Some(Algorithm::Ed25519),
        _ => None,
    }
}

/// The curve's forms, in the order in which they are offered to a token that makes a key; `None` for schemes that are
/// not of a curve.
pub(super) const fn params(algorithm: Algorithm) -> Option<&'static [&'static [u8]]> {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => Some(&[P256]),
        Algorithm::EcdsaP384Sha384 => Some(&[P384]),
        // SoftHSM2 knows the name only, newer modules rather the OID.
        Algorithm::Ed25519 => Some(&[EDWARDS25519, ED25519]),
        _ => None,
    }
}

/// The key of that scheme whose point is `point`, in any of the forms in use.
pub(super) fn public_key(algorithm: Algorithm, point: &[u8]) -> Result<PublicKey, KeyError> {
    let length = algorithm.public_key_len().ok_or(KeyError::Unsupported(algorithm.to_string()))?;
    // Both lengths are below 128, so one byte of length.
    let raw = match point {
        [OCTET_STRING, inner, raw @ ..] if raw.len() == length && usize::from(*inner) == length => raw,
        [BIT_STRING, inner, 0, raw @ ..] if raw.len() == length && usize::from(*inner) == length + 1 => raw,
        raw => raw,
    };
    PublicKey::from_raw(algorithm, raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_crypto::SecretKey;

    #[test]
    fn every_form_of_a_point_is_the_same_key() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::Ed25519] {
            let key = SecretKey::from_seed(algorithm, &[7; 32]).unwrap();
            let raw = key.public_key().as_raw();
            let length = u8::try_from(raw.len()).unwrap();
            let octets = [&[OCTET_STRING, length], raw].concat();
            let bits = [&[BIT_STRING, length + 1, 0], raw].concat();
            for point in [raw, &octets, &bits] {
                assert_eq!(public_key(algorithm, point).as_ref(), Ok(key.public_key()));
            }
            let wrong = [&[OCTET_STRING, length - 1], raw].concat();
            assert!(public_key(algorithm, &wrong).is_err());
            assert!(public_key(algorithm, &octets[..octets.len() - 1]).is_err());
            for form in params(algorithm).unwrap() {
                assert_eq!(super::algorithm(form), Some(algorithm));
            }
        }
    }

    #[test]
    fn other_curves_have_no_scheme() {
        // secp256k1
        assert_eq!(algorithm(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]), None);
        assert_eq!(algorithm(&[]), None);
        assert!(params(Algorithm::MlDsa44).is_none());
    }
}
