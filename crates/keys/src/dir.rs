//! The keys directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_base::name::KeyName;
use countersign_crypto::{Algorithm, KeyError, PublicKey, SEED_BYTES, SecretKey, Signer};
use countersign_store::{Disk, RealDisk};
use zeroize::Zeroizing;

use crate::ask::Asker;
use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::{Document, DocumentError, KeyInfo, NewKey};
use crate::passphrase::Protection;
use crate::place::{self, Place};
use crate::{seal, secret};

/// Most keys in one directory.
pub const MAX_KEYS: usize = 1000;

const SECRET: &str = ".key";
const PUBLIC: &str = ".pub";
/// The folder of the log of key usage.
const USAGE: &str = "usage";
/// What the name of a hybrid pair's second half ends with.
const PQ: &str = "-pq";
/// Seeds drawn before giving up; one in 2^32 gives no P-256 key.
const MAX_SEED_TRIES: u32 = 4;

/// A directory of keys.
#[derive(Debug, Clone)]
pub struct KeyDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl KeyDir {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// `key-not-found` if it does not or is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        Self::open_on(Arc::new(RealDisk), path)
    }

    /// As [`KeyDir::open`], on a given disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let path = path.into();
        if path.is_dir() { Ok(Self { path, disk }) } else { Err(KeysError::NoDirectory { path }) }
    }

    /// The directory at `path`, made with mode 0700 if it is not there, with its parents.
    ///
    /// # Errors
    /// `key-storage-failed`.
    pub fn open_or_create(path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        Self::open_or_create_on(Arc::new(RealDisk), path)
    }

    /// As [`KeyDir::open_or_create`], on a given disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create_on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let path = path.into();
        files::create_folder(&*disk, &path)?;
        Self::open_on(disk, path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the use of its keys is recorded.
    pub fn usage_path(&self) -> PathBuf {
        self.path.join(USAGE)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
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

    /// The other half of a hybrid pair: the ML-DSA key of the same stage, product and holder that is named `NAME-pq`.
    ///
    /// # Errors
    /// As [`KeyDir::find`], but `None` if there is none.
    pub fn find_pair(&self, info: &KeyInfo) -> Result<Option<KeyInfo>, KeysError> {
        let Ok(name) = format!("{}{PQ}", info.name).parse() else { return Ok(None) };
        Ok(self.read_info(&name)?.filter(|half| {
            is_post_quantum(half.public.algorithm())
                && half.stage == info.stage
                && half.product == info.product
                && half.holder == info.holder
        }))
    }

    /// Writes down a key that is elsewhere: `NAME.pub` alone. Nothing is opened: that `public` is the key at `place`
    /// is checked whenever it signs.
    ///
    /// # Errors
    /// `key-exists`, `name-invalid`, `usage` (also for [`Place::File`] and a key of another scheme than `new` says),
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
    /// `key-not-found` if one of its files is not there, `key-malformed`.
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

    /// Opens the key that `info` describes, for signing at `now`.
    ///
    /// For a sealed one, the passphrases that `ask` knows are tried, then it is asked, as often as it allows.
    ///
    /// # Errors
    /// `key-expired`, `key-revoked`: nobody is asked. `key-not-found`, `key-malformed` (also where the secret is not
    /// the one that `info` describes), `key-passphrase-wrong`, `key-storage-failed`, and what `ask` returns. For a key
    /// elsewhere, those of [`place::open`].
    pub fn signer(
        &self,
        info: &KeyInfo,
        ask: &mut dyn Asker,
        now: Timestamp,
    ) -> Result<Box<dyn Signer>, KeysError> {
        self.check_signs(info, now)?;
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
        let path = self.secret_path(name);
        let bytes = self.read_secret(name)?;
        let (info, _) = match passphrase {
            Some(passphrase) => secret::decode(&seal::open(&bytes, name, &passphrase, &path)?, &path)?,
            None => secret::decode(&bytes, &path)?,
        };
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
        files::create(self.disk(), &path, &bytes, Access::Everyone)
    }

    /// What the `.pub` says, `None` unless the key is complete.
    fn read_info(&self, name: &KeyName) -> Result<Option<KeyInfo>, KeysError> {
        if files::exists(&self.secret_path(name))? {
            return self.read_public(name);
        }
        let Some(bytes) = files::read(&self.public_path(name), Access::Everyone)? else { return Ok(None) };
        // Without a secret it is a key that is elsewhere, or somebody else's file and not ours to judge.
        if !says_place(&bytes) {
            return Ok(None);
        }
        self.read_public(name)
    }

    /// What the `.pub` says.
    fn read_public(&self, name: &KeyName) -> Result<Option<KeyInfo>, KeysError> {
        let path = self.public_path(name);
        let malformed = |reason| KeysError::Malformed { path: path.clone(), reason };
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

/// Whether a `.pub` says that its key is elsewhere.
fn says_place(bytes: &[u8]) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    document.is_some_and(|document| document.get("place").is_some())
}

fn is_post_quantum(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::MlDsa44 | Algorithm::MlDsa65)
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
