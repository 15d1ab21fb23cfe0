//! `SubjectPublicKeyInfo` in DER and PEM.
//!
//! Spec: RFC 5280 section 4.1, RFC 5480 (EC), RFC 8410 (Ed25519), RFC 9881 (ML-DSA), RFC 7468 (PEM).
//! Except for RSA each key has exactly one DER form, a constant followed by the raw key, so reading is comparing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::algorithm::Algorithm;
use crate::error::KeyError;
use crate::rsa;

/// Largest DER form; ML-DSA-65 has 1974 bytes, RSA with 8192 bits 1062.
const MAX_SPKI_BYTES: usize = 4096;
/// Largest PEM text that is looked at, with room for line breaks.
const MAX_PEM_BYTES: usize = 8192;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const LINE_CHARS: usize = 64;

/// Everything of the DER form that stands before the raw key; `None` for RSA.
const fn prefix(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::Ed25519 => Some(&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]),
        Algorithm::EcdsaP256Sha256 => Some(&[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ]),
        Algorithm::EcdsaP384Sha384 => Some(&[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
            0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
        ]),
        Algorithm::RsaPssSha256 => None,
        Algorithm::MlDsa44 => Some(&[
            0x30, 0x82, 0x05, 0x32, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03,
            0x11, 0x03, 0x82, 0x05, 0x21, 0x00,
        ]),
        Algorithm::MlDsa65 => Some(&[
            0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03,
            0x12, 0x03, 0x82, 0x07, 0xa1, 0x00,
        ]),
    }
}

/// The identifier of DSA keys, recognised only to be refused by name.
const DSA: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
/// The identifier of elliptic-curve keys, and those of the two curves, for a telling error.
const EC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// Which scheme a DER form is of, and the raw key (for RSA all of it). The raw key is not checked yet.
pub(crate) fn parse(der: &[u8]) -> Result<(Algorithm, &[u8]), KeyError> {
    if der.len() > MAX_SPKI_BYTES {
        return Err(KeyError::TooLong);
    }
    for algorithm in Algorithm::ALL {
        if let Some(raw) = prefix(algorithm).and_then(|prefix| der.strip_prefix(prefix)) {
            return Ok((algorithm, raw));
        }
    }
    if rsa::is_rsa_spki(der) {
        return Ok((Algorithm::RsaPssSha256, der));
    }
    Err(why_unknown(der))
}

/// The DER form of a raw key.
pub(crate) fn encode(algorithm: Algorithm, raw: &[u8]) -> Vec<u8> {
    let mut der = prefix(algorithm).unwrap_or_default().to_vec();
    der.extend_from_slice(raw);
    der
}

/// The DER inside a PEM `PUBLIC KEY`.
///
/// Line ends and lengths are free, as writers differ (and the DER inside is compared, not the text); text around
/// the block, other labels and non-canonical base64 are refused.
pub(crate) fn decode_pem(text: &str) -> Result<Vec<u8>, KeyError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(KeyError::TooLong);
    }
    let text = text.trim_ascii();
    if text.starts_with("-----BEGIN") && text.contains("PRIVATE KEY") {
        return Err(KeyError::Pem("it is a private key"));
    }
    let body = text.strip_prefix(BEGIN).ok_or(KeyError::Pem("it does not begin with BEGIN PUBLIC KEY"))?;
    let body = body.strip_suffix(END).ok_or(KeyError::Pem("it does not end with END PUBLIC KEY"))?;
    let packed: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| KeyError::Pem("it is not base64"))
}

/// The PEM text of a DER form, with a line break at the end.
pub(crate) fn encode_pem(der: &[u8]) -> String {
    let packed = STANDARD.encode(der);
    let mut text = String::with_capacity(packed.len() + packed.len() / LINE_CHARS + 64);
    text.push_str(BEGIN);
    for (index, character) in packed.chars().enumerate() {
        if index % LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

/// The most telling error for a DER form that is none of ours.
fn why_unknown(der: &[u8]) -> KeyError {
    // The algorithm identifier is in the first bytes whatever the lengths in front of it are.
    let head = &der[..der.len().min(40)];
    let has = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    if has(&DSA) {
        return KeyError::Weak("DSA".to_owned());
    }
    if !has(&EC_KEY) {
        return KeyError::Der;
    }
    if has(&P256) {
        KeyError::NotUncompressed(Algorithm::EcdsaP256Sha256)
    } else if has(&P384) {
        KeyError::NotUncompressed(Algorithm::EcdsaP384Sha384)
    } else {
        KeyError::Unsupported("another elliptic curve than P-256 or P-384".to_owned())
    }
}
