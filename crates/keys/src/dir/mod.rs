//! The keys directory: which keys it has.

mod make;
mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_base::name::KeyName;
use countersign_crypto::{Algorithm, PublicKey};
use countersign_store::{Disk, RealDisk};

use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::{Document, DocumentError, KeyInfo};

/// Most keys in one directory.
pub const MAX_KEYS: usize = 1000;

const SECRET: &str = ".key";
const PUBLIC: &str = ".pub";
/// The folder of the log of key usage.
const USAGE: &str = "usage";
/// What the name of a hybrid pair's second half ends with.
const PQ: &str = "-pq";

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
