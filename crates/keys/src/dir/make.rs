//! Making keys: drawn here, put down for a key elsewhere, or restored. The `.pub` comes last and completes a key.

use std::io;
use std::path::Path;

use countersign_base::Timestamp;
use countersign_base::name::KeyName;
use countersign_crypto::{Algorithm, KeyError, PublicKey, SEED_BYTES, SecretKey};
use zeroize::Zeroizing;

use super::{KeyDir, PQ, is_post_quantum};
use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::{KeyInfo, NewKey};
use crate::passphrase::Protection;
use crate::place::Place;
use crate::{seal, secret};

/// Seeds drawn before giving up; one in 2^32 gives no P-256 key.
const MAX_SEED_TRIES: u32 = 4;

impl KeyDir {
    /// Draws a new key and stores it. When it returns, both files survive a power loss.
    ///
    /// If an earlier call was interrupted after it wrote the secret, and asked for the same kind of key, that key is
    /// completed and returned.
    ///
    /// # Errors
    /// `key-exists`, `name-invalid`, `key-storage-failed`; `key-passphrase-wrong` where an interrupted one is sealed
    /// with another passphrase; `usage` for a scheme that cannot sign.
    pub fn create(
        &self,
        new: &NewKey<'_>,
        now: Timestamp,
        protection: Protection<'_>,
    ) -> Result<KeyInfo, KeysError> {
        let key = draw(new.algorithm, &self.path)?;
        let info = KeyInfo::new(new, now, &Place::File, key.public_key().clone())?;
        self.check_free(&info.name)?;
        if files::exists(&self.secret_path(&info.name))? {
            return self.complete(new, &info.name, protection)?.ok_or_else(|| self.taken(&info.name));
        }
        self.store(&info, &key, protection)?;
        Ok(info)
    }

    /// Draws a hybrid pair: `new`, of a classical scheme, and `NAME-pq` of the scheme `second`, of ML-DSA, alike in
    /// all else.
    ///
    /// The second half is made first. An interrupted call that is repeated keeps it and goes on.
    ///
    /// # Errors
    /// `usage` for other schemes, else as [`KeyDir::create`].
    pub fn create_pair(
        &self,
        new: &NewKey<'_>,
        second: Algorithm,
        now: Timestamp,
        protection: Protection<'_>,
    ) -> Result<(KeyInfo, KeyInfo), KeysError> {
        if is_post_quantum(new.algorithm) || !is_post_quantum(second) {
            return Err(KeysError::Pair);
        }
        let first: KeyName = new.name.parse()?;
        self.check_free(&first)?;
        let name = format!("{first}{PQ}");
        let second = NewKey { name: &name, algorithm: second, ..new.clone() };
        let half = match self.read_info(&name.parse()?)? {
            // Without its first half it was never handed out.
            Some(info) if info.is_what(&second) => info,
            _ => self.create(&second, now, protection)?,
        };
        Ok((self.create(new, now, protection)?, half))
    }

    /// Writes down a key that is elsewhere: `NAME.pub` alone. Nothing is opened: that `public` is the key at `place`
    /// is checked whenever it signs.
    ///
    /// # Errors
    /// `key-exists`, `key-revoked` for a key that ended here under another name, `name-invalid`, `usage` (also for
    /// [`Place::File`] and a key of another scheme than `new` says),
    /// `key-storage-failed`.
    pub fn adopt(
        &self,
        new: &NewKey<'_>,
        place: &Place,
        public: &PublicKey,
        now: Timestamp,
    ) -> Result<KeyInfo, KeysError> {
        if *place == Place::File {
            return Err(KeysError::Reference { text: place.to_string() });
        }
        if public.algorithm() != new.algorithm {
            return Err(KeysError::Scheme { found: public.algorithm(), wanted: new.algorithm });
        }
        let info = KeyInfo::new(new, now, place, public.clone())?;
        self.check_free(&info.name)?;
        self.check_unmarked(public)?;
        // One that lacks only its .pub is somebody's half-made key.
        if files::exists(&self.secret_path(&info.name))? || !self.publish(&info)? {
            return Err(self.taken(&info.name));
        }
        Ok(info)
    }

    /// Writes both files of a key, the `.pub` last, and only if it is not there or says the same.
    pub(crate) fn restore(
        &self,
        info: &KeyInfo,
        key: &SecretKey,
        protection: Protection<'_>,
    ) -> Result<(), KeysError> {
        let there = files::exists(&self.public_path(&info.name))?;
        if there && self.read_public(&info.name)?.as_ref() != Some(info) {
            return Err(self.taken(&info.name));
        }
        if there { self.store_secret(info, key, protection) } else { self.store(info, key, protection) }
    }

    fn store(&self, info: &KeyInfo, key: &SecretKey, protection: Protection<'_>) -> Result<(), KeysError> {
        self.store_secret(info, key, protection)?;
        if self.publish(info)? { Ok(()) } else { Err(self.taken(&info.name)) }
    }

    fn store_secret(
        &self,
        info: &KeyInfo,
        key: &SecretKey,
        protection: Protection<'_>,
    ) -> Result<(), KeysError> {
        let path = self.secret_path(&info.name);
        let plain = secret::encode(info, key, &path)?;
        let created = match protection {
            Protection::Unencrypted => files::create(self.disk(), &path, &plain, Access::Owner)?,
            Protection::Passphrase(passphrase) => {
                let sealed = seal::seal(&plain, passphrase, &path)?;
                files::create(self.disk(), &path, &sealed, Access::Owner)?
            }
        };
        if created { Ok(()) } else { Err(self.taken(&info.name)) }
    }

    fn check_free(&self, name: &KeyName) -> Result<(), KeysError> {
        if files::exists(&self.public_path(name))? || self.has_mark(name)? {
            return Err(self.taken(name));
        }
        Ok(())
    }

    fn taken(&self, name: &KeyName) -> KeysError {
        KeysError::Exists { name: name.clone(), dir: self.path.clone() }
    }

    /// Writes the `.pub` of a secret whose making was interrupted; `None` if it is not such a one.
    fn complete(
        &self,
        new: &NewKey<'_>,
        name: &KeyName,
        protection: Protection<'_>,
    ) -> Result<Option<KeyInfo>, KeysError> {
        let path = self.secret_path(name);
        let bytes = self.read_secret(name)?;
        let plain = match (protection, seal::is_sealed(&bytes)) {
            (Protection::Passphrase(passphrase), true) => seal::open(&bytes, name, passphrase, &path)?,
            (Protection::Unencrypted, false) => bytes,
            _ => return Ok(None),
        };
        let (info, _) = secret::decode(&plain, &path)?;
        if info.name != *name || !info.is_what(new) {
            return Ok(None);
        }
        Ok(self.publish(&info)?.then_some(info))
    }

    /// Writes the `.pub`, the last step of making a key.
    fn publish(&self, info: &KeyInfo) -> Result<bool, KeysError> {
        let path = self.public_path(&info.name);
        files::create(self.disk(), &path, &files::json(&info.to_document(), &path)?, Access::Everyone)
    }
}

/// A key of a fresh seed.
fn draw(algorithm: Algorithm, dir: &Path) -> Result<SecretKey, KeysError> {
    let mut seed = Zeroizing::new([0u8; SEED_BYTES]);
    let mut tries = 1;
    loop {
        let failed = |error: getrandom::Error| io::Error::other(error.to_string());
        getrandom::fill(seed.as_mut())
            .map_err(|error| KeysError::storage("draw randomness for a key in", dir)(failed(error)))?;
        match SecretKey::from_seed(algorithm, &seed) {
            Err(KeyError::Seed(_)) if tries < MAX_SEED_TRIES => tries += 1,
            made => return Ok(made?),
        }
    }
}
