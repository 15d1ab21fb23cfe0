//! Passphrases and PINs, and whether a key is sealed with one.

use core::fmt;

use age::secrecy::{ExposeSecret as _, SecretString};

use crate::error::KeysError;

/// Longest passphrase, in bytes.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;

/// A passphrase. It is wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes `text` as it is, to the last space; a caller that reads a line removes the line break first.
    ///
    /// # Errors
    /// `key-passphrase-missing` if it is empty or longer than [`MAX_PASSPHRASE_BYTES`].
    pub fn new(text: String) -> Result<Self, KeysError> {
        // Wrapped first, so that a refused one is wiped as well.
        let held = SecretString::from(text);
        match held.expose_secret().len() {
            1..=MAX_PASSPHRASE_BYTES => Ok(Self(held)),
            _ => Err(KeysError::PassphraseLength),
        }
    }

    pub(crate) fn secret(&self) -> SecretString {
        self.0.clone()
    }

    /// Whether both are the same; for passphrases of one run, so the time it takes tells nobody anything.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// How a new secret key is kept.
#[derive(Debug, Clone, Copy)]
pub enum Protection<'a> {
    /// As plain text that only its owner can read: for tests, and for machines that no one types at.
    Unencrypted,
    /// Sealed with a passphrase.
    Passphrase(&'a Passphrase),
}
