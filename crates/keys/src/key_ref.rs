//! How a person names one key: a file, or a place elsewhere.

use std::path::{Path, PathBuf};

use countersign_base::Timestamp;
use countersign_base::name::KeyName;
use countersign_base::text::without_password;
use countersign_crypto::Signer;

use crate::ask::Asker;
use crate::dir::KeyDir;
use crate::error::KeysError;
use crate::info::KeyInfo;
use crate::place::{self, Place};

/// A key as the command line names it: the path of a `NAME.key` or `NAME.pub` file, or a place such as `pkcs11:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// A key that a keys directory describes.
    Described {
        /// The keys directory.
        dir: PathBuf,
        /// The key's name.
        name: KeyName,
    },
    /// A key of which only its place is known.
    Elsewhere(Place),
}

/// A key that is ready to sign.
pub struct OpenedKey {
    /// What is known about it; `None` if it was named by its place alone.
    pub info: Option<KeyInfo>,
    /// Signs with it.
    pub signer: Box<dyn Signer>,
    /// Where its use is recorded; `None` if it was named by its place alone.
    pub usage_dir: Option<PathBuf>,
}

impl core::fmt::Debug for OpenedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OpenedKey").field("public", self.signer.public_key()).finish_non_exhaustive()
    }
}

impl KeyRef {
    /// Reads a reference; a path is relative to the current folder.
    ///
    /// # Errors
    /// `usage` for what is neither a place nor the path of a `.key` or `.pub` file; those of a place.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        if Place::is_named_by(text) {
            return Ok(Self::Elsewhere(text.parse()?));
        }
        let path = Path::new(text);
        let unclear = || KeysError::Reference { text: without_password(text).chars().take(200).collect() };
        let is_key = path.extension().is_some_and(|extension| extension == "key" || extension == "pub");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_key).ok_or_else(unclear)?;
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self::Described { dir, name: stem.parse()? })
    }

    /// Opens the key for signing at `now`.
    ///
    /// # Errors
    /// As [`KeyDir::signer`] and [`place::open`].
    pub fn open(&self, ask: &mut dyn Asker, now: Timestamp) -> Result<OpenedKey, KeysError> {
        match self {
            Self::Described { dir, name } => {
                let dir = KeyDir::open(dir)?;
                let info = dir.find(name.as_str())?;
                let signer = dir.signer(&info, ask, now)?;
                Ok(OpenedKey { info: Some(info), signer, usage_dir: Some(dir.usage_path()) })
            }
            Self::Elsewhere(place) => {
                let signer = place::open(place, None, ask)?;
                Ok(OpenedKey { info: None, signer, usage_dir: None })
            }
        }
    }
}
