//! RSA public keys: a strict DER reader for the one shape that is accepted, and what is too weak.
//!
//! Spec: RFC 8017 appendix A.1.1 (`RSAPublicKey`), RFC 3279 section 2.3.1 (`rsaEncryption` with NULL parameters).

use crate::algorithm::Algorithm;
use crate::error::KeyError;

/// Shortest RSA modulus that is accepted, in bits.
pub const MIN_RSA_BITS: usize = 2048;
/// Longest RSA modulus that is accepted, in bits.
pub const MAX_RSA_BITS: usize = 8192;
/// Longest exponent, in bytes; 65537 has three.
const MAX_EXPONENT_BYTES: usize = 4;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// `AlgorithmIdentifier` with `rsaEncryption` (1.2.840.113549.1.1.1) and NULL.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Whether a `SubjectPublicKeyInfo` is of an RSA key, whatever else is wrong with it.
pub(crate) fn is_rsa_spki(der: &[u8]) -> bool {
    read(der, SEQUENCE).is_some_and(|(spki, _)| spki.starts_with(&RSA_ENCRYPTION))
}

/// Checks a `SubjectPublicKeyInfo` of an RSA key: DER without slack, modulus and exponent in range.
pub(crate) fn check_spki(der: &[u8]) -> Result<(), KeyError> {
    let not_canonical = KeyError::NotCanonical(Algorithm::RsaPssSha256);
    let (modulus, exponent) = components(der).ok_or(not_canonical)?;
    let bits = bits(modulus);
    if bits < MIN_RSA_BITS {
        return Err(KeyError::RsaTooShort { bits });
    }
    if bits > MAX_RSA_BITS {
        return Err(KeyError::RsaTooLong { bits });
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if exponent.len() > MAX_EXPONENT_BYTES || exponent == [1] || !odd(exponent) {
        return Err(KeyError::RsaExponent);
    }
    if !odd(modulus) {
        return Err(KeyError::Invalid(Algorithm::RsaPssSha256));
    }
    Ok(())
}

/// Length of the modulus of a `SubjectPublicKeyInfo`, in bits.
pub(crate) fn modulus_bits(der: &[u8]) -> Option<usize> {
    components(der).map(|(modulus, _)| bits(modulus))
}

fn bits(modulus: &[u8]) -> usize {
    modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

/// Modulus and exponent, big-endian without leading zeros; `None` if anything is not DER or is left over.
fn components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let spki = whole(der, SEQUENCE)?;
    let bits = whole(spki.strip_prefix(&RSA_ENCRYPTION)?, BIT_STRING)?;
    let key = whole(bits.strip_prefix(&[0])?, SEQUENCE)?;
    let (modulus, rest) = read(key, INTEGER)?;
    let exponent = whole(rest, INTEGER)?;
    Some((positive(modulus)?, positive(exponent)?))
}

/// The magnitude of a DER INTEGER above zero.
fn positive(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, rest @ ..] => rest.first().is_some_and(|byte| byte & 0x80 != 0).then_some(rest),
        [first, ..] if first & 0x80 == 0 => Some(content),
        _ => None,
    }
}

/// The content of the one element that `der` is.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    read(der, tag).and_then(|(content, rest)| rest.is_empty().then_some(content))
}

/// One DER element of that tag: its content and what follows. Lengths must be in their shortest form.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (&len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(len)), rest)
        }
        _ => return None,
    };
    let shortest = match first {
        0x81 => len >= 0x80,
        0x82 => len >= 0x100,
        _ => true,
    };
    if !shortest {
        return None;
    }
    rest.split_at_checked(len)
}
