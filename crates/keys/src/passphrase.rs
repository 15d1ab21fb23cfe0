//! Passphrases, and whether a key is sealed with one.

use core::fmt;

use age::secrecy::{ExposeSecret as _, SecretString};

use crate::error::KeysError;
use crate::info::KeyInfo;

/// Longest passphrase, in bytes.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;

/// Where a passphrase comes from when a key needs one: told which key, it prompts, reads a file, or remembers.
///
/// It returns [`KeysError::PassphraseMissing`] where none can be had. A wrong one is not asked for again.
pub type AskPassphrase<'a> = dyn FnMut(&KeyInfo) -> Result<Passphrase, KeysError> + 'a;

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
