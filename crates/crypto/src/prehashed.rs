//! Signatures that are checked over a digest which somebody else made: all that a log is given of a file.
//!
//! For schemes that sign a digest of the message. Pure Ed25519 and ML-DSA sign the message itself and have no place
//! here; Ed25519ph is not in the provider.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self as provider, ParsedPublicKey, VerificationAlgorithm};

use crate::algorithm::Algorithm;
use crate::error::{KeyError, SignatureError};
use crate::{rsa, spki};

/// Everything of a P-521 key's `SubjectPublicKeyInfo` that stands before the uncompressed point (RFC 5480).
const P521_PREFIX: [u8; 25] = [
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];
/// The first byte of an uncompressed point, SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;
/// Bytes of an uncompressed point on P-521.
const P521_POINT_LEN: usize = 133;

/// A scheme that signs a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prehash {
    /// ECDSA on P-256 over SHA-256, signatures in ASN.1 DER.
    EcdsaP256Sha256,
    /// ECDSA on P-384 over SHA-384, signatures in ASN.1 DER.
    EcdsaP384Sha384,
    /// ECDSA on P-521 over SHA-512, signatures in ASN.1 DER.
    EcdsaP521Sha512,
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    RsaPkcs1Sha256,
}

impl Prehash {
    /// Bytes of the digest that is signed.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 => 32,
            Self::EcdsaP384Sha384 => 48,
            Self::EcdsaP521Sha512 => 64,
        }
    }

    const fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 => &digest::SHA256,
            Self::EcdsaP384Sha384 => &digest::SHA384,
            Self::EcdsaP521Sha512 => &digest::SHA512,
        }
    }

    const fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &provider::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &provider::ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP521Sha512 => &provider::ECDSA_P521_SHA512_ASN1,
            Self::RsaPkcs1Sha256 => &provider::RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A public key of such a scheme.
#[derive(Debug, Clone)]
pub struct PrehashKey {
    scheme: Prehash,
    key: ParsedPublicKey,
    rsa_bits: Option<usize>,
}

impl PrehashKey {
    /// Reads a DER `SubjectPublicKeyInfo` as a key of this scheme.
    ///
    /// # Errors
    /// `key-malformed` if it is a key of another kind or none, `key-weak` for a weak RSA key.
    pub fn from_spki_der(scheme: Prehash, der: &[u8]) -> Result<Self, KeyError> {
        let (raw, rsa_bits) = match scheme {
            Prehash::EcdsaP256Sha256 => (point(Algorithm::EcdsaP256Sha256, der)?, None),
            Prehash::EcdsaP384Sha384 => (point(Algorithm::EcdsaP384Sha384, der)?, None),
            Prehash::EcdsaP521Sha512 => {
                let point = der.strip_prefix(&P521_PREFIX).filter(|point| point.len() == P521_POINT_LEN);
                (point.filter(|point| point[0] == UNCOMPRESSED).ok_or(KeyError::Der)?, None)
            }
            Prehash::RsaPkcs1Sha256 => {
                rsa::check_spki(der)?;
                (der, rsa::modulus_bits(der))
            }
        };
        // Once: it finds out whether a point is on its curve.
        let key = ParsedPublicKey::new(scheme.verifier(), raw).map_err(|_| KeyError::Der)?;
        Ok(Self { scheme, key, rsa_bits })
    }

    /// Length of the modulus in bits, for RSA.
    pub const fn rsa_bits(&self) -> Option<usize> {
        self.rsa_bits
    }

    /// Checks `signature` on the message whose digest this is.
    ///
    /// # Errors
    /// `signature-invalid`, always; also for a digest of the wrong length.
    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        // "Less safe" since whoever hands in the digest says what was signed; that is the point of a hashed record.
        let digest =
            Digest::import_less_safe(digest, self.scheme.digest()).map_err(|_| SignatureError::Length)?;
        self.key.verify_digest_sig(&digest, signature).map_err(|_| SignatureError::Invalid)
    }
}

/// The uncompressed point of a key on this curve.
fn point(algorithm: Algorithm, der: &[u8]) -> Result<&[u8], KeyError> {
    let (found, raw) = spki::parse(der)?;
    let whole = Some(raw.len()) == algorithm.public_key_len() && raw.first() == Some(&UNCOMPRESSED);
    if found == algorithm && whole { Ok(raw) } else { Err(KeyError::Der) }
}
