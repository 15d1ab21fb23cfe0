//! Opening keys to sign with: which passphrases are tried, and who is asked.

use countersign_base::Timestamp;
use countersign_base::name::KeyName;
use countersign_crypto::{SecretKey, Signer};
use zeroize::Zeroizing;

use super::KeyDir;
use crate::ask::Asker;
use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::KeyInfo;
use crate::place::{self, Place};
use crate::{seal, secret};

impl KeyDir {
    /// Opens the key that `info` describes, for signing at `now`.
    ///
    /// For a sealed one, the passphrases that `ask` knows are tried, then it is asked, as often as it allows.
    ///
    /// # Errors
    /// `key-expired`, `key-revoked`: nobody is asked. `key-not-found`, `key-malformed` (also where the secret is not
    /// the one that `info` describes), `key-passphrase-wrong`, `key-storage-failed` (also where others can change the
    /// directory or the key's `.pub` file), and what `ask` returns. For a key
    /// elsewhere, those of [`place::open`].
    pub fn signer(
        &self,
        info: &KeyInfo,
        ask: &mut dyn Asker,
        now: Timestamp,
    ) -> Result<Box<dyn Signer>, KeysError> {
        self.check_signs(info, now)?;
        // Whoever can change these decides which key signs, and what it is taken to be for.
        files::check_unchangeable(&self.path)?;
        let public = self.public_path(&info.name);
        // It may be gone again: the secret says the same.
        if files::exists(&public)? {
            files::check_unchangeable(&public)?;
        }
        match &info.place {
            Place::File => Ok(Box::new(self.secret(info, ask)?)),
            elsewhere => place::open(elsewhere, Some(&info.public), ask),
        }
    }

    /// The secret of a key in a file. It may have expired: a recovery must be able to read it.
    pub(crate) fn secret(&self, info: &KeyInfo, ask: &mut dyn Asker) -> Result<SecretKey, KeysError> {
        let (held, key) = self.open_secret(info, ask)?;
        if held != *info {
            let reason = "it is not the key that its .pub file describes";
            return Err(KeysError::Malformed { path: self.secret_path(&info.name), reason });
        }
        Ok(key)
    }

    /// Whether opening the key takes a passphrase.
    ///
    /// # Errors
    /// `key-not-found`, `key-malformed`, `key-storage-failed`.
    pub fn is_sealed(&self, info: &KeyInfo) -> Result<bool, KeysError> {
        if info.place != Place::File {
            return Ok(false);
        }
        Ok(seal::is_sealed(&self.read_secret(&info.name)?))
    }

    fn open_secret(&self, info: &KeyInfo, ask: &mut dyn Asker) -> Result<(KeyInfo, SecretKey), KeysError> {
        let path = self.secret_path(&info.name);
        let bytes = self.read_secret(&info.name)?;
        if !seal::is_sealed(&bytes) {
            return secret::decode(&bytes, &path);
        }
        let known = ask.known();
        for passphrase in &known {
            match seal::open(&bytes, &info.name, passphrase, &path) {
                Err(KeysError::PassphraseWrong { .. }) => {}
                outcome => {
                    let plain = outcome?;
                    ask.opened(passphrase);
                    return secret::decode(&plain, &path);
                }
            }
        }
        let mut left = ask.tries().max(1);
        loop {
            left -= 1;
            let passphrase = ask.passphrase(info)?;
            // Trying again what was just tried costs time and gives nothing.
            let tried = known.iter().any(|known| known.is(&passphrase));
            let outcome = if tried {
                Err(KeysError::PassphraseWrong { name: info.name.clone() })
            } else {
                seal::open(&bytes, &info.name, &passphrase, &path)
            };
            match outcome {
                Err(KeysError::PassphraseWrong { .. }) if left > 0 => {}
                outcome => {
                    let plain = outcome?;
                    ask.opened(&passphrase);
                    return secret::decode(&plain, &path);
                }
            }
        }
    }

    pub(super) fn read_secret(&self, name: &KeyName) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let bytes = files::read(&self.secret_path(name), Access::Owner)?;
        bytes.ok_or_else(|| KeysError::NotFound { key: name.to_string(), dir: self.path.clone() })
    }
}
