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
    /// A signer outside this process's memory did not sign, or what stands before it did not let it.
    #[error("{what}")]
    External {
        /// The code of what went wrong.
        code: Code,
        /// What happened, in one line, foreign text escaped.
        what: String,
        /// What to do about it.
        fix: Option<String>,
    },
}

impl SignerError {
    /// Takes over what another error says, its causes included.
    pub fn external(error: &dyn Explain) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            what = format!("{what}: {error}");
            cause = error.source();
        }
        Self::External { code: error.code(), what, fix: error.fix() }
    }
}

impl Explain for SignerError {
    fn code(&self) -> Code {
        match self {
            Self::Key(error) => error.code(),
            Self::External { code, .. } => *code,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Key(error) => error.fix(),
            Self::External { fix, .. } => fix.clone(),
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
