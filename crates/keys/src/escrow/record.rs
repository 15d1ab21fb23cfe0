//! `NAME.escrow`: which splitting of a key is the newest. It holds no secret.

use countersign_base::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::share::Share;
use crate::dir::KeyDir;
use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::KeyInfo;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "keyescrow";
const SUFFIX: &str = ".escrow";

/// The newest splitting of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escrowed {
    /// Its set: [`Share::set_id`] of each of its shares.
    pub set: Sha256Digest,
    /// How many shares recover the key.
    pub needed: u8,
    /// How many there are.
    pub count: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    public: String,
    set: String,
    needed: u8,
    count: u8,
}

impl KeyDir {
    /// The newest splitting of a key that this directory knows of.
    ///
    /// # Errors
    /// `key-malformed` if its record is damaged or of another key of this name, `key-storage-failed`.
    pub fn escrowed(&self, info: &KeyInfo) -> Result<Option<Escrowed>, KeysError> {
        let path = files::path_in(self.path(), info.name.as_str(), SUFFIX);
        let malformed = |reason| KeysError::Malformed { path: path.clone(), reason };
        let Some(bytes) = files::read(&path, Access::Everyone)? else { return Ok(None) };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| malformed("it is not the JSON of a key's escrow"))?;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(malformed("it is of another kind or version"));
        }
        if document.public != info.public.to_string() {
            return Err(malformed("it is of another key of this name"));
        }
        let set = Sha256Digest::from_hex(&document.set).map_err(|_| malformed("its set is not a SHA-256"))?;
        Ok(Some(Escrowed { set, needed: document.needed, count: document.count }))
    }

    /// Makes these shares the newest ones of their key.
    pub(super) fn note_escrow(&self, share: &Share) -> Result<(), KeysError> {
        let info = share.info();
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            public: info.public.to_string(),
            set: share.set_id().to_string(),
            needed: share.needed(),
            count: u8::try_from(share.count()).unwrap_or(u8::MAX),
        };
        let path = files::path_in(self.path(), info.name.as_str(), SUFFIX);
        files::replace(self.disk(), &path, &files::json(&document, &path)?, Access::Everyone)
    }
}
