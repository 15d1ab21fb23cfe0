//! Public keys: one value a key, its text form, and verification.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::signature::{self as provider, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use crate::algorithm::Algorithm;
use crate::error::{KeyError, SignatureError};
use crate::{ed25519, rsa, spki};

/// Longest text form, in bytes: ML-DSA-65 has 3914.
pub const MAX_PUBLIC_KEY_TEXT_BYTES: usize = 8192;
/// The first byte of an uncompressed point, SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;

/// A public key with its scheme.
///
/// Two values are equal exactly if they are the same key: each kind has one accepted encoding, so a key cannot
/// count twice by being written in two ways (attack M10). Displays as one token, `ed25519:<hex>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    algorithm: Algorithm,
    raw: Box<[u8]>,
}

impl PublicKey {
    /// Reads a raw key: Ed25519 32 bytes (RFC 8032), ECDSA the uncompressed point (SEC 1), ML-DSA the encoding of
    /// FIPS 204, RSA the `SubjectPublicKeyInfo` in DER.
    ///
    /// An Ed25519 point that is not on the curve is accepted here; no signature ever verifies with it.
    ///
    /// # Errors
    /// `key-malformed` for anything else, `key-weak` for a small-order point or a weak RSA key.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<Self, KeyError> {
        if let Some(expected) = algorithm.public_key_len()
            && raw.len() != expected
        {
            return Err(KeyError::Length { algorithm, expected, got: raw.len() });
        }
        match algorithm {
            Algorithm::Ed25519 => {
                let point = raw.try_into().map_err(|_| KeyError::Invalid(algorithm))?;
                ed25519::check_public_key(point)?;
            }
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha384 => {
                if raw.first() != Some(&UNCOMPRESSED) {
                    return Err(KeyError::NotUncompressed(algorithm));
                }
            }
            Algorithm::RsaPssSha256 => rsa::check_spki(raw)?,
            Algorithm::MlDsa44 | Algorithm::MlDsa65 => {}
        }
        ParsedPublicKey::new(verifier(algorithm), raw).map_err(|_| KeyError::Invalid(algorithm))?;
        Ok(Self { algorithm, raw: raw.into() })
    }

    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// As [`PublicKey::from_raw`]; an RSA key is taken for [`Algorithm::RsaPssSha256`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, raw) = spki::parse(der)?;
        Self::from_raw(algorithm, raw)
    }

    /// Reads a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    /// As [`PublicKey::from_spki_der`].
    pub fn from_spki_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_spki_der(&spki::decode_pem(text)?)
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn to_spki_der(&self) -> Vec<u8> {
        spki::encode(self.algorithm, &self.raw)
    }

    /// The PEM `PUBLIC KEY`, with a line break at the end.
    pub fn to_spki_pem(&self) -> String {
        spki::encode_pem(&self.to_spki_der())
    }

    /// The scheme.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw key, as [`PublicKey::from_raw`] reads it.
    pub fn as_raw(&self) -> &[u8] {
        &self.raw
    }

    /// Checks `signature` on `message`. ECDSA signatures are in ASN.1 DER, ML-DSA ones have an empty context.
    ///
    /// # Errors
    /// `signature-invalid`, always.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if self.algorithm == Algorithm::Ed25519 {
            ed25519::check_signature(signature)?;
        }
        self.check(verifier(self.algorithm), message, signature)
    }

    /// Checks an ECDSA signature in its fixed-width form `r || s` (IEEE P1363), which tokens and JWS use.
    ///
    /// # Errors
    /// `signature-invalid`, always; also for schemes other than ECDSA.
    pub fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match self.algorithm {
            Algorithm::EcdsaP256Sha256 => self.check(&provider::ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::EcdsaP384Sha384 => self.check(&provider::ECDSA_P384_SHA384_FIXED, message, signature),
            _ => Err(SignatureError::Form),
        }
    }

    fn check(
        &self,
        verifier: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(verifier, &self.raw)
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

const fn verifier(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::Ed25519 => &provider::ED25519,
        Algorithm::EcdsaP256Sha256 => &provider::ECDSA_P256_SHA256_ASN1,
        Algorithm::EcdsaP384Sha384 => &provider::ECDSA_P384_SHA384_ASN1,
        Algorithm::RsaPssSha256 => &provider::RSA_PSS_2048_8192_SHA256,
        Algorithm::MlDsa44 => &provider::ML_DSA_44,
        Algorithm::MlDsa65 => &provider::ML_DSA_65,
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, hex::encode(&self.raw))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads the one-token form, in lower case.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_PUBLIC_KEY_TEXT_BYTES {
            return Err(KeyError::TooLong);
        }
        let (algorithm, digits) = text.split_once(':').ok_or(KeyError::Text)?;
        let algorithm = algorithm.parse()?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(KeyError::Text);
        }
        let raw = hex::decode(digits).map_err(|_| KeyError::Text)?;
        Self::from_raw(algorithm, &raw)
    }
}
