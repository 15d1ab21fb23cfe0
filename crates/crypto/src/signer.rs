//! The contract of whatever can sign: a key in memory, a token, a key service.

use countersign_base::code::{Code, Explain};

use crate::error::KeyError;
use crate::public::PublicKey;
use crate::secret::SecretKey;

/// Something that signs with one key. Signatures have the form that [`PublicKey::verify`] reads.
pub trait Signer: Send + Sync {
    /// The public half of the key that signs.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`.
    ///
    /// # Errors
    /// When the key cannot be used; says nothing about the message.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Why a signer did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// A key in memory failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Explain for SignerError {
    fn code(&self) -> Code {
        match self {
            Self::Key(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Key(error) => error.fix(),
        }
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> &PublicKey {
        self.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.sign(message)?)
    }
}
