//! The end of a key: what is due, and the mark `NAME.end` of a key that was retired or revoked.
//!
//! The mark keeps this directory's own hands off the key. It tells nobody else: what makes clients refuse a key is
//! metadata that no longer lists it. Nor does it stop who can write here. A lifetime stands in the sealed `NAME.key` as
//! well, so that it cannot be put off in the `.pub`; that of a key elsewhere stands in its `.pub` alone.

use core::fmt;

use countersign_base::Timestamp;
use countersign_base::name::KeyName;
use countersign_crypto::PublicKey;
use serde::{Deserialize, Serialize};

use crate::dir::{KeyDir, MAX_KEYS};
use crate::error::KeysError;
use crate::files::{self, Access};
use crate::info::{KeyInfo, is_line};

/// Longest reason, in bytes.
pub const MAX_WHY_BYTES: usize = 512;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "keyend";
const SUFFIX: &str = ".end";

/// How a key ended. The later one is the stronger: a retired key can be revoked, and nothing is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// Another key followed it.
    Retired,
    /// It must not be trusted: exposed or lost.
    Revoked,
}

impl MarkKind {
    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// That a key ended, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How.
    pub kind: MarkKind,
    /// Since when.
    pub at: Timestamp,
    /// Why, in the words of whoever did it.
    pub why: String,
}

/// What a key is good for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It signs.
    Active,
    /// Its time is over.
    Expired,
    /// It was retired or revoked.
    Ended(Mark),
}

/// One key, as [`KeyDir::due`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The key.
    pub info: KeyInfo,
    /// What it is good for.
    pub state: KeyState,
    /// Its rotation is late.
    pub overdue: bool,
    /// When it has to be seen to: the earlier of its expiry and its rotation. `None`: never.
    pub by: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    public: String,
    state: String,
    at: String,
    why: String,
}

impl KeyDir {
    /// Marks the key as ended, durably. A key that is marked already keeps its mark unless this one is stronger.
    ///
    /// # Errors
    /// `usage` for a reason that is no line of 1 to [`MAX_WHY_BYTES`] bytes; `key-storage-failed`, `key-malformed`.
    pub fn mark(&self, info: &KeyInfo, mark: &Mark) -> Result<Mark, KeysError> {
        if !is_line(&mark.why, MAX_WHY_BYTES) {
            return Err(KeysError::Reason);
        }
        if let Some(held) = self.read_mark(info)?
            && held.kind >= mark.kind
        {
            return Ok(held);
        }
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            public: info.public.to_string(),
            state: mark.kind.name().to_owned(),
            at: mark.at.to_string(),
            why: mark.why.clone(),
        };
        let path = files::path_in(self.path(), info.name.as_str(), SUFFIX);
        files::replace(self.disk(), &path, &files::json(&document, &path)?, Access::Everyone)?;
        Ok(mark.clone())
    }

    /// What the key is good for at `now`.
    ///
    /// # Errors
    /// `key-malformed` if its mark is damaged, `key-storage-failed`.
    pub fn state(&self, info: &KeyInfo, now: Timestamp) -> Result<KeyState, KeysError> {
        Ok(match self.read_mark(info)? {
            Some(mark) => KeyState::Ended(mark),
            None if info.is_expired(now) => KeyState::Expired,
            None => KeyState::Active,
        })
    }

    /// Refuses a key that signs nothing more.
    ///
    /// # Errors
    /// `key-expired`, `key-revoked`, and those of [`KeyDir::state`].
    pub fn check_signs(&self, info: &KeyInfo, now: Timestamp) -> Result<(), KeysError> {
        match self.state(info, now)? {
            KeyState::Active => Ok(()),
            KeyState::Ended(mark) => Err(KeysError::Marked { name: info.name.clone(), mark: Box::new(mark) }),
            KeyState::Expired => {
                Err(KeysError::Expired { name: info.name.clone(), expired: info.expires.unwrap_or(now) })
            }
        }
    }

    /// Refuses a public key that this folder has marked, under whatever name: it must not come back as somebody's new
    /// key.
    ///
    /// # Errors
    /// `key-revoked`, `key-malformed` for a damaged mark, `limit-exceeded`, `key-storage-failed`.
    pub fn check_unmarked(&self, public: &PublicKey) -> Result<(), KeysError> {
        for stem in files::stems(self.path(), SUFFIX, MAX_KEYS)? {
            // A file that this program cannot have made.
            let Ok(name) = stem.parse::<KeyName>() else { continue };
            let Some((marked, mark)) = self.read_end(&name)? else { continue };
            if marked == public.to_string() {
                return Err(KeysError::Marked { name, mark: Box::new(mark) });
            }
        }
        Ok(())
    }

    /// All keys by what has to be seen to first; ended ones and those without a date come last, by name.
    ///
    /// # Errors
    /// As [`KeyDir::list`] and [`KeyDir::state`].
    pub fn due(&self, now: Timestamp) -> Result<Vec<Due>, KeysError> {
        let mut all = Vec::new();
        for info in self.list()? {
            let state = self.state(&info, now)?;
            let rotate_by = info.rotate_by();
            let ended = matches!(state, KeyState::Ended(_));
            let by = [info.expires, rotate_by].into_iter().flatten().min().filter(|_| !ended);
            let overdue = !ended && rotate_by.is_some_and(|by| now >= by);
            all.push(Due { info, state, overdue, by });
        }
        all.sort_by(|a, b| (a.by.is_none(), a.by, &a.info.name).cmp(&(b.by.is_none(), b.by, &b.info.name)));
        Ok(all)
    }

    /// The mark of a key. A mark of another key of this name is an error, so that none is lifted by a mix-up.
    fn read_mark(&self, info: &KeyInfo) -> Result<Option<Mark>, KeysError> {
        let Some((public, mark)) = self.read_end(&info.name)? else { return Ok(None) };
        if public != info.public.to_string() {
            let path = files::path_in(self.path(), info.name.as_str(), SUFFIX);
            return Err(KeysError::Malformed { path, reason: "it is of another key of this name" });
        }
        Ok(Some(mark))
    }

    /// The mark in the file of that name, and the public key that it is about.
    fn read_end(&self, name: &KeyName) -> Result<Option<(String, Mark)>, KeysError> {
        let path = files::path_in(self.path(), name.as_str(), SUFFIX);
        let malformed = |reason| KeysError::Malformed { path: path.clone(), reason };
        let Some(bytes) = files::read(&path, Access::Everyone)? else { return Ok(None) };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| malformed("it is not the JSON of a key's end"))?;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(malformed("it is of another kind or version"));
        }
        let kind =
            [MarkKind::Retired, MarkKind::Revoked].into_iter().find(|kind| kind.name() == document.state);
        let kind = kind.ok_or_else(|| malformed("it neither says retired nor revoked"))?;
        let at = document.at.parse().map_err(|_| malformed("its time is not valid"))?;
        if !is_line(&document.why, MAX_WHY_BYTES) {
            return Err(malformed("its reason is not valid"));
        }
        Ok(Some((document.public, Mark { kind, at, why: document.why })))
    }

    /// Whether anything is known of a key of that name, so that no new one can inherit its mark.
    pub(crate) fn has_mark(&self, name: &KeyName) -> Result<bool, KeysError> {
        files::exists(&files::path_in(self.path(), name.as_str(), SUFFIX))
    }
}
