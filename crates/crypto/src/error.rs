//! What can be wrong with a key or a signature.

use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;

use crate::algorithm::Algorithm;
use crate::rsa::{MAX_RSA_BITS, MIN_RSA_BITS};

/// Why bytes or text are not a usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A raw key of the wrong length.
    #[error("an {algorithm} public key has {expected} bytes, not {got}")]
    Length {
        /// The scheme that was asked for.
        algorithm: Algorithm,
        /// Bytes such a key has.
        expected: usize,
        /// Bytes there were.
        got: usize,
    },
    /// A key in another than its one canonical encoding (RFC 8032 section 5.1.3; DER).
    #[error("an {0} public key is not in its canonical encoding")]
    NotCanonical(Algorithm),
    /// An Ed25519 point of order 1, 2, 4 or 8: some signatures by it verify for many messages.
    #[error("an ed25519 public key is a point of small order")]
    SmallOrder,
    /// The bytes have the right length but are no key, such as a point that is not on the curve.
    #[error("the bytes are not an {0} public key")]
    Invalid(Algorithm),
    /// An elliptic-curve point in compressed or hybrid form; only the uncompressed form is read.
    #[error("an {0} public key is not an uncompressed point")]
    NotUncompressed(Algorithm),
    /// An algorithm that must not be used any more, by its name.
    #[error("`{}` is too weak to be used", escape(.0))]
    Weak(String),
    /// An RSA modulus that is too short.
    #[error("an RSA key of {bits} bits is too weak: it must have {MIN_RSA_BITS} or more")]
    RsaTooShort {
        /// Length of the modulus, in bits.
        bits: usize,
    },
    /// An RSA modulus so long that checking a signature would take too much time.
    #[error("an RSA key of {bits} bits is longer than {MAX_RSA_BITS}")]
    RsaTooLong {
        /// Length of the modulus, in bits.
        bits: usize,
    },
    /// An RSA exponent of 1, an even one, or one of more than 32 bits.
    #[error("an RSA key has an exponent that must not be used")]
    RsaExponent,
    /// An algorithm that is unknown here.
    #[error("`{}` is not a supported algorithm", escape(.0))]
    Unsupported(String),
    /// Text that is not `algorithm:hex`.
    #[error("a public key must be written as algorithm:hex, in lower case")]
    Text,
    /// Text that is not a PEM `PUBLIC KEY`.
    #[error("not a PEM public key: {0}")]
    Pem(&'static str),
    /// A DER structure that is not a `SubjectPublicKeyInfo` of a kind that is read here.
    #[error("not a SubjectPublicKeyInfo of a supported kind")]
    Der,
    /// More text or bytes than any key has.
    #[error("a public key is longer than any honest one")]
    TooLong,
    /// A seed that gives no key (an ECDSA scalar of 0 or not below the group order).
    #[error("the seed does not give an {0} key")]
    Seed(Algorithm),
    /// Signing was asked of a scheme that is only verified.
    #[error("{0} keys are only for verifying here")]
    VerifyOnly(Algorithm),
    /// The provider failed, or made a signature that does not verify.
    #[error("signing with an {0} key failed")]
    Signing(Algorithm),
}

impl Explain for KeyError {
    fn code(&self) -> Code {
        match self {
            Self::SmallOrder | Self::Weak(_) | Self::RsaTooShort { .. } | Self::RsaExponent => code::KEY_WEAK,
            Self::TooLong | Self::RsaTooLong { .. } => code::LIMIT_EXCEEDED,
            Self::VerifyOnly(_) => code::USAGE,
            Self::Signing(_) => code::INTERNAL_ERROR,
            _ => code::KEY_MALFORMED,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Weak(_) | Self::RsaTooShort { .. } | Self::VerifyOnly(_) => {
                Some("use an ed25519, ecdsa-p256, ecdsa-p384, ml-dsa-44 or ml-dsa-65 key".to_owned())
            }
            Self::NotUncompressed(_) => Some(
                "write the key with the uncompressed point: openssl ec -pubin -conv_form uncompressed"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Why a signature does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not as long as signatures of the scheme are.
    #[error("a signature has the wrong length")]
    Length,
    /// An Ed25519 `S` that is not below the group order: a second form of the same signature (RFC 8032 section 5.1.7).
    #[error("a signature is malleable: its scalar is not below the group order")]
    ScalarRange,
    /// An Ed25519 `R` in another than its canonical encoding.
    #[error("a signature is not in its canonical encoding")]
    NotCanonical,
    /// The scheme has no signatures of the form that was asked for.
    #[error("signatures of this scheme have no fixed-width form")]
    Form,
    /// It is not a signature of this message by this key.
    #[error("a signature does not verify")]
    Invalid,
}

impl Explain for SignatureError {
    fn code(&self) -> Code {
        code::SIGNATURE_INVALID
    }
}
