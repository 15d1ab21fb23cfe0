//! The keys directory.

use std::io;
use std::path::{Path, PathBuf};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, KeyError, PublicKey, SEED_BYTES, SecretKey, Signer};
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::{Document, DocumentError, KeyInfo, NewKey};
use crate::name::KeyName;
use crate::passphrase::{AskPassphrase, Passphrase, Protection};
use crate::{seal, secret};

/// Most keys in one directory.
pub const MAX_KEYS: usize = 1000;

const SECRET: &str = ".key";
const PUBLIC: &str = ".pub";
/// Seeds drawn before giving up; one in 2^32 gives no P-256 key.
const MAX_SEED_TRIES: u32 = 4;

/// A directory of keys.
#[derive(Debug, Clone)]
pub struct KeyDir {
    path: PathBuf,
}

impl KeyDir {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// `key-not-found` if it does not or is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let path = path.into();
        if path.is_dir() { Ok(Self { path }) } else { Err(KeysError::NoDirectory { path }) }
    }

    /// The directory at `path`, made with mode 0700 (and its parents) if it is not there.
    ///
    /// # Errors
    /// `key-storage-failed`.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let path = path.into();
        files::create_folder(&path)?;
        Self::open(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

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
        let info = KeyInfo::new(new, now, key.public_key().clone())?;
        let exists = || KeysError::Exists { name: info.name.clone(), dir: self.path.clone() };
        if files::exists(&self.public_path(&info.name))? {
            return Err(exists());
        }
        let path = self.secret_path(&info.name);
        if files::exists(&path)? {
            return self.complete(new, &info.name, protection)?.ok_or_else(exists);
        }
        let plain = secret::encode(&info, &key, &path)?;
        let created = match protection {
            Protection::Unencrypted => files::create(&path, &plain, Access::Owner)?,
            Protection::Passphrase(passphrase) => {
                files::create(&path, &seal::seal(&plain, passphrase, &path)?, Access::Owner)?
            }
        };
        if created && self.publish(&info)? { Ok(info) } else { Err(exists()) }
    }

    /// All complete keys, by name. Only `.pub` files are opened.
    ///
    /// # Errors
    /// `key-malformed` for a `.pub` file that is damaged, `limit-exceeded` above [`MAX_KEYS`].
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeysError> {
        let mut keys = Vec::new();
        for stem in files::stems(&self.path, PUBLIC, MAX_KEYS)? {
            // A file that no key of ours can have made, such as `id_RSA.pub`, is not ours to judge.
            let Ok(name) = stem.parse::<KeyName>() else { continue };
            keys.extend(self.read_info(&name)?);
        }
        Ok(keys)
    }

    /// The key of that name.
    ///
    /// # Errors
    /// `key-not-found` if one of its two files is not there, `key-malformed`.
    pub fn find(&self, name: &str) -> Result<KeyInfo, KeysError> {
        let found = self.read_info(&name.parse()?)?;
        found.ok_or_else(|| KeysError::NotFound { key: name.to_owned(), dir: self.path.clone() })
    }

    /// The key with that public half, if this directory can sign with it. To ask about many, use [`KeyDir::list`].
    ///
    /// # Errors
    /// As [`KeyDir::list`].
    pub fn find_public(&self, public: &PublicKey) -> Result<Option<KeyInfo>, KeysError> {
        Ok(self.list()?.into_iter().find(|info| info.public == *public))
    }

    /// Opens the key that `info` describes. `ask` is called if it is sealed, and not otherwise.
    ///
    /// # Errors
    /// `key-not-found`, `key-malformed` (also where the secret is not the one that `info` describes),
    /// `key-passphrase-wrong`, `key-storage-failed`, and what `ask` returns.
    pub fn signer(&self, info: &KeyInfo, ask: &mut AskPassphrase<'_>) -> Result<Box<dyn Signer>, KeysError> {
        let (held, key) = self.open_secret(&info.name, &mut || ask(info))?;
        if held != *info {
            let reason = "it is not the key that its .pub file describes";
            return Err(KeysError::Malformed { path: self.secret_path(&info.name), reason });
        }
        Ok(Box::new(key))
    }

    /// Whether opening the key takes a passphrase.
    ///
    /// # Errors
    /// `key-not-found`, `key-malformed`, `key-storage-failed`.
    pub fn is_sealed(&self, info: &KeyInfo) -> Result<bool, KeysError> {
        Ok(seal::is_sealed(&self.read_secret(&info.name)?))
    }

    /// Writes the `.pub` of a secret whose making was interrupted; `None` if it is not such a one.
    fn complete(
        &self,
        new: &NewKey<'_>,
        name: &KeyName,
        protection: Protection<'_>,
    ) -> Result<Option<KeyInfo>, KeysError> {
        let sealed = seal::is_sealed(&self.read_secret(name)?);
        let passphrase = match protection {
            Protection::Passphrase(passphrase) if sealed => Some(passphrase.clone()),
            Protection::Unencrypted if !sealed => None,
            _ => return Ok(None),
        };
        // Only a sealed one asks.
        let mut ask = || passphrase.clone().ok_or(KeysError::PassphraseLength);
        let (info, _) = self.open_secret(name, &mut ask)?;
        if info.name != *name || !info.is_what(new) {
            return Ok(None);
        }
        Ok(self.publish(&info)?.then_some(info))
    }

    /// Writes the `.pub`, the last step of making a key.
    fn publish(&self, info: &KeyInfo) -> Result<bool, KeysError> {
        let path = self.public_path(&info.name);
        let malformed = |_| KeysError::Malformed { path: path.clone(), reason: "it has no JSON form" };
        let mut bytes = serde_json::to_vec_pretty(&info.to_document()).map_err(malformed)?;
        bytes.push(b'\n');
        files::create(&path, &bytes, Access::Everyone)
    }

    /// What the `.pub` says, `None` unless both files are there.
    fn read_info(&self, name: &KeyName) -> Result<Option<KeyInfo>, KeysError> {
        let path = self.public_path(name);
        let malformed = |reason| KeysError::Malformed { path: path.clone(), reason };
        if !files::exists(&self.secret_path(name))? {
            return Ok(None);
        }
        let Some(bytes) = files::read(&path, Access::Everyone)? else { return Ok(None) };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| malformed("it is not the JSON of a public key"))?;
        let info = KeyInfo::try_from(document).map_err(|error| match error {
            DocumentError::Shape(reason) => malformed(reason),
            DocumentError::Key(source) => KeysError::Key { path: path.clone(), source },
        })?;
        if info.name != *name {
            return Err(malformed("it describes a key of another name"));
        }
        Ok(Some(info))
    }

    fn open_secret(
        &self,
        name: &KeyName,
        ask: &mut dyn FnMut() -> Result<Passphrase, KeysError>,
    ) -> Result<(KeyInfo, SecretKey), KeysError> {
        let path = self.secret_path(name);
        let bytes = self.read_secret(name)?;
        if !seal::is_sealed(&bytes) {
            return secret::decode(&bytes, &path);
        }
        let plain = seal::open(&bytes, name, &ask()?, &path)?;
        secret::decode(&plain, &path)
    }

    fn read_secret(&self, name: &KeyName) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let bytes = files::read(&self.secret_path(name), Access::Owner)?;
        bytes.ok_or_else(|| KeysError::NotFound { key: name.to_string(), dir: self.path.clone() })
    }

    fn secret_path(&self, name: &KeyName) -> PathBuf {
        files::path_in(&self.path, name.as_str(), SECRET)
    }

    fn public_path(&self, name: &KeyName) -> PathBuf {
        files::path_in(&self.path, name.as_str(), PUBLIC)
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
