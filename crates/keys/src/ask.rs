//! Where passphrases and PINs come from when a key needs one.

use core::fmt;

use crate::error::KeysError;
use crate::info::KeyInfo;
use crate::passphrase::Passphrase;
use crate::place::{Settings, TokenLabel};

/// Most passphrases of a run that are tried on the next key before asking: each try takes a third of a second.
pub const MAX_KNOWN: usize = 8;

/// Who is asked: it prompts, or reads a file.
///
/// A closure over `&KeyInfo` is one that knows passphrases and no PIN. [`Remembering`] around any of them asks for
/// each passphrase once.
pub trait Asker {
    /// The passphrase of a sealed key file.
    ///
    /// # Errors
    /// [`KeysError::PassphraseMissing`] where none can be had.
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError>;

    /// The PIN of a token. It is never asked for twice in a row: tokens lock after a few wrong ones.
    ///
    /// # Errors
    /// [`KeysError::PinMissing`] where none can be had, which is the default.
    fn pin(&mut self, token: &TokenLabel) -> Result<Passphrase, KeysError> {
        let reason = "there is nobody to ask for the PIN".to_owned();
        Err(KeysError::PinMissing { token: token.label.clone(), reason })
    }

    /// What this machine has for keys that are elsewhere; a program gives [`Settings::from_env`]. By default nothing,
    /// so that none of them opens.
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// Passphrases that opened keys before, to be tried first, in this order.
    fn known(&self) -> Vec<Passphrase> {
        Vec::new()
    }

    /// Told when `passphrase` has opened a key.
    fn opened(&mut self, passphrase: &Passphrase) {
        let _ = passphrase;
    }

    /// How often [`Asker::passphrase`] may be called for one key; more than once only where a person types.
    fn tries(&self) -> u32 {
        1
    }
}

impl<F: FnMut(&KeyInfo) -> Result<Passphrase, KeysError>> Asker for F {
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        self(key)
    }
}

/// Remembers each passphrase that opened a key, and has it tried on the next key before anybody is asked again.
pub struct Remembering<A> {
    inner: A,
    known: Vec<Passphrase>,
}

impl<A: Asker> Remembering<A> {
    /// Knows nothing yet.
    pub const fn new(inner: A) -> Self {
        Self { inner, known: Vec::new() }
    }
}

impl<A: Asker> Asker for Remembering<A> {
    fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
        self.inner.passphrase(key)
    }

    fn pin(&mut self, token: &TokenLabel) -> Result<Passphrase, KeysError> {
        self.inner.pin(token)
    }

    fn settings(&self) -> Settings {
        self.inner.settings()
    }

    fn known(&self) -> Vec<Passphrase> {
        self.known.clone()
    }

    fn opened(&mut self, passphrase: &Passphrase) {
        self.known.retain(|known| !known.is(passphrase));
        // The latest first: keys of one person tend to be opened in a row.
        self.known.insert(0, passphrase.clone());
        self.known.truncate(MAX_KNOWN);
        self.inner.opened(passphrase);
    }

    fn tries(&self) -> u32 {
        self.inner.tries()
    }
}

impl<A> fmt::Debug for Remembering<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembering").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use countersign_base::Explain as _;

    use super::*;

    #[test]
    fn who_has_no_pin_says_that_it_is_a_pin_that_lacks() {
        struct Nobody;
        impl Asker for Nobody {
            fn passphrase(&mut self, key: &KeyInfo) -> Result<Passphrase, KeysError> {
                let reason = "there is nobody".to_owned();
                Err(KeysError::PassphraseMissing { key: key.name.to_string(), reason })
            }
        }
        let label = TokenLabel {
            label: "a\u{1b}b".to_owned(),
            serial: "1".to_owned(),
            count_low: false,
            final_try: false,
        };
        let error = Nobody.pin(&label).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the token `a\\u{1b}b` needs a PIN: there is nobody to ask for the PIN"
        );
        assert_eq!(error.code(), countersign_base::code::KEY_PASSPHRASE_MISSING);
    }
}
