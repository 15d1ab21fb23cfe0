//! The signature schemes, and the ones that are refused by name.

use core::fmt;
use core::str::FromStr;

use crate::error::KeyError;

/// A signature scheme: kind of key, hash and encoding together, so that no signature has two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, RFC 8032, pure form.
    Ed25519,
    /// ECDSA on NIST P-256 with SHA-256, FIPS 186-5; signatures in ASN.1 DER.
    EcdsaP256Sha256,
    /// ECDSA on NIST P-384 with SHA-384, FIPS 186-5; signatures in ASN.1 DER.
    EcdsaP384Sha384,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a 32-byte salt, RFC 8017. Verified only, never signed with.
    RsaPssSha256,
    /// ML-DSA-44, FIPS 204, pure form with empty context.
    MlDsa44,
    /// ML-DSA-65, FIPS 204, pure form with empty context.
    MlDsa65,
}

impl Algorithm {
    /// Every scheme, in the order of preference.
    pub const ALL: [Self; 6] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPssSha256,
        Self::MlDsa44,
        Self::MlDsa65,
    ];

    /// The name in front of the colon of a public key's text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256",
            Self::EcdsaP384Sha384 => "ecdsa-p384",
            Self::RsaPssSha256 => "rsa-pss",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }

    /// Whether Countersign makes signatures of this kind; RSA is there for keys of others only.
    pub const fn can_sign(self) -> bool {
        !matches!(self, Self::RsaPssSha256)
    }

    /// Bytes of a raw public key; `None` for RSA, whose keys have no fixed length.
    pub const fn public_key_len(self) -> Option<usize> {
        match self {
            Self::Ed25519 => Some(32),
            Self::EcdsaP256Sha256 => Some(65),
            Self::EcdsaP384Sha384 => Some(97),
            Self::RsaPssSha256 => None,
            Self::MlDsa44 => Some(1312),
            Self::MlDsa65 => Some(1952),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    /// Reads [`Algorithm::name`].
    ///
    /// # Errors
    /// `key-weak` for a known algorithm that is too weak, `key-malformed` for an unknown one.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        if let Some(found) = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name) {
            return Ok(found);
        }
        let shown: String = name.chars().take(40).collect();
        Err(if is_weak(&shown) { KeyError::Weak(shown) } else { KeyError::Unsupported(shown) })
    }
}

/// Whether a name of an algorithm contains one that is broken or too short.
fn is_weak(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let digest = ["md2", "md4", "md5", "sha1"].iter().any(|weak| plain.contains(weak));
    let short_rsa = ["rsa512", "rsa768", "rsa1024"].iter().any(|weak| plain.starts_with(weak));
    // `ecdsa`, `eddsa` and `mldsa` end in `dsa` too; DSA itself is retired by FIPS 186-5.
    digest || short_rsa || plain.starts_with("dsa") || plain == "sshdss"
}
