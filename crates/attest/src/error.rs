//! Why a hashed record is not one.

use countersign_base::code::{self, Code, Explain};
use countersign_base::json::JsonError;
use countersign_base::text::escape;
use countersign_crypto::{KeyError, SignatureError};

use crate::hashedrekord::MAX_REQUEST_BYTES;

/// What is wrong with a request to log a hashed record, a variant a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekorError {
    /// More bytes than [`MAX_REQUEST_BYTES`].
    #[error("a request of {0} bytes is more than the {MAX_REQUEST_BYTES} that are read")]
    TooLarge(usize),
    /// Not JSON, or JSON that two readers would read in two ways.
    #[error("the request is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// A request for something that Rekor v2 does not log.
    #[error("the request is not for a hashed record: it has no `hashedRekordRequestV002`")]
    Kind,
    /// A member that must be there is not, or is empty.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member of the wrong type.
    #[error("`{0}` is not what it must be")]
    Member(&'static str),
    /// One field under its two names, or two members of which only one may be set.
    #[error("`{0}` is given twice or in two forms")]
    Twice(&'static str),
    /// A field that is not base64.
    #[error("`{0}` is not base64")]
    Base64(&'static str),
    /// A scheme that signs no digest, or that is not supported.
    #[error("`{}` is not a scheme for hashed records that is supported", escape(.0))]
    Scheme(String),
    /// The certificate has no public key that can be read.
    #[error("the certificate is not X.509 in DER")]
    Certificate,
    /// The public key is not one of the scheme.
    #[error("the public key cannot be used")]
    Key(#[source] KeyError),
    /// An RSA key of another length than the scheme's name says.
    #[error("the RSA key has {bits} bits, and `{scheme}` says another length")]
    KeyLength {
        /// Length of its modulus, in bits.
        bits: usize,
        /// The name of the scheme.
        scheme: &'static str,
    },
    /// A digest that is not one of the scheme's hash function.
    #[error("the digest has {got} bytes, and `{scheme}` signs one of {want}")]
    DigestLength {
        /// Its length in bytes.
        got: usize,
        /// The hash function's output in bytes.
        want: usize,
        /// The name of the scheme.
        scheme: &'static str,
    },
    /// The signature is not one of the digest by the key.
    #[error("the signature does not verify")]
    Signature(#[source] SignatureError),
}

impl Explain for RekorError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge(_) => code::LOG_ENTRY_TOO_LARGE,
            Self::Key(error) => error.code(),
            Self::Signature(_) => code::LOG_ENTRY_UNAUTHORISED,
            _ => code::LOG_ENTRY_MALFORMED,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Scheme(_) => {
                Some("sign with ECDSA on P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits".to_owned())
            }
            _ => None,
        }
    }
}
