//! Before a log is made: that it is meant to be, that its name can be for good, and that its key has made no other.
//!
//! Two histories under one key are what a log must never have, and a mistyped place begins a second one. So a log is
//! made only where `--origin` asks for it, and where it was made stands beside its key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use countersign_attest::trust;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_log::LogError;
use countersign_store::{RealDisk, durable};
use countersign_tlog::note::MAX_KEY_NAME_BYTES;
use countersign_tlog::{Checkpoint, SignedCheckpoint, VerifierKey};
use serde::{Deserialize, Serialize};

use super::local::Admit;
use crate::error::CliError;
use crate::site::Site;

/// What the name of the file ends in that says where the log of the key beside it is.
const MARK: &str = "place";
/// Longest such file, in bytes.
const MAX_MARK_BYTES: u64 = 64 * 1024;
/// Where a log is may be known.
const MARK_MODE: u32 = 0o644;

/// Where a log is, or is to be made.
#[derive(Debug)]
pub(super) struct Spot {
    /// As a message and the mark beside the key name it.
    pub(super) place: String,
    /// Whether there is no log yet.
    pub(super) new: bool,
}

impl Spot {
    /// Refuses to make a log that nobody asked for, or under a name that it could not keep.
    pub(super) fn check_new(&self, origin: Option<&str>, admit: Admit) -> Result<(), CliError> {
        if !self.new {
            return Ok(());
        }
        let Some(origin) = origin else {
            let what = format!("there is no log in {}", self.place);
            return Err(CliError::new(code::USAGE, what).fix(
                "name the log's place as it was when the log was made\n\
                 or make a new log there: --origin log.example.com, a URL without scheme that is yours",
            ));
        };
        check_origin(origin)?;
        if admit == Admit::Rekor {
            trust::check_origin(origin)?;
        }
        Ok(())
    }
}

/// Refuses a name that a log could not have, or not for good.
fn check_origin(origin: &str) -> Result<(), CliError> {
    let why = if origin.is_empty() {
        "it is empty"
    } else if origin.len() > MAX_KEY_NAME_BYTES {
        "it is too long"
    } else if origin.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "it has spaces or control characters"
    } else if origin.contains("://") {
        "it has a scheme"
    } else if origin.starts_with('/') || origin.ends_with('/') {
        "it begins or ends with a slash"
    } else if origin.contains('+') {
        "it has a plus sign"
    } else {
        return Ok(());
    };
    let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest).trim_matches('/');
    let good = if bare != origin && check_origin(bare).is_ok() { bare } else { "log.example.com" };
    let shown: String = origin.chars().take(MAX_KEY_NAME_BYTES).collect();
    let what = format!("`{}` cannot be a log's origin: {why}", escape(&shown));
    Err(CliError::new(code::USAGE, what)
        .fix(format!("--origin {}: a URL without scheme that is yours, for good", escape(good))))
}

/// Refuses a folder whose name begins as that of a bucket does.
pub(super) fn check_spelling(place: &Path) -> Result<(), CliError> {
    let Some(rest) = place.to_str().and_then(|text| text.get(..3).map(|start| (start, &text[3..]))) else {
        return Ok(());
    };
    if !rest.0.eq_ignore_ascii_case("s3:") {
        return Ok(());
    }
    let what = format!("`{}` is neither a bucket nor a folder", escape(&place.to_string_lossy()));
    Err(CliError::new(code::USAGE, what).fix(format!(
        "write s3://{} for a bucket; a folder of that name is ./{}",
        escape(rest.1.trim_start_matches('/')),
        escape(&place.to_string_lossy())
    )))
}

/// Whose log a place holds, where it is not that of the key at hand; `error` if that cannot be said.
pub(super) fn another(
    place: &str,
    note: Option<&[u8]>,
    key: &VerifierKey,
    key_place: &str,
    error: CliError,
) -> CliError {
    if ![code::LOG_KEY_UNKNOWN, code::LOG_ORIGIN_MISMATCH].contains(&error.code) {
        return error;
    }
    let Some(found) = note.and_then(|note| SignedCheckpoint::parse(note).ok()) else { return error };
    let origin = found.checkpoint().origin();
    // Its log signs first, and what witnesses sign has other names.
    let id = found.note().signatures().iter().find(|signature| signature.name() == origin);
    let id = id.map_or_else(String::new, |signature| format!(" (key {:08x})", signature.id()));
    let what = format!("{place} holds the log {}{id}", escape(origin));
    CliError::new(error.code, what)
        .because(format!("the key in {key_place} is that of {} (key {:08x})", escape(key.name()), key.id()))
        .fix("name the folder of that log's key with --keys; another log needs another place")
}

/// What stands beside a log's key: where its log is, so that the key makes no second one.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
}

/// The mark's content.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    place: String,
    /// Entries that the key has signed, as far as it is known here.
    #[serde(default)]
    size: u64,
    /// Root hash of these, in hex.
    #[serde(default)]
    root: String,
}

impl Mark {
    /// Of the key of that name in a keys folder.
    pub(super) fn new(keys: &Path, key: &str) -> Self {
        Self { path: keys.join(format!("{key}.{MARK}")) }
    }

    /// Refuses to make a log at `spot` with a key that has made one. What cannot be read is as good as that.
    pub(super) fn check_new(&self, spot: &Spot) -> Result<(), CliError> {
        let Some(bytes) = durable::read(&self.path, MAX_MARK_BYTES)? else { return Ok(()) };
        let mark = self.path.display();
        let fix = "a key signs one log: name the place of that one\n\
                   for a new log, name another folder with --keys: its key is made there";
        let made: Made = serde_json::from_slice(&bytes).map_err(|_| {
            CliError::new(code::USAGE, format!("`{mark}` does not say which log the key has made")).fix(fix)
        })?;
        if made.place != spot.place {
            let what = format!("the key beside `{mark}` is that of the log in {}", escape(&made.place));
            return Err(CliError::new(code::USAGE, what).fix(fix));
        }
        if made.size > 0 {
            let what = format!("its key has signed {} entries, and {} has no log", made.size, spot.place);
            return Err(LogError::StorageRollback(what).into());
        }
        Ok(())
    }

    /// Writes down where the log is, and what of it is signed. Without it the key is used all the same: that says who
    /// makes a log, once.
    pub(super) fn keep(&self, spot: &Spot, signed: Option<&Checkpoint>, site: &Site) {
        let (size, root) = signed.map_or((0, String::new()), |at| (at.size(), at.root().to_string()));
        let made = Made { place: spot.place.clone(), size, root };
        let Ok(mut text) = serde_json::to_vec_pretty(&made) else { return };
        text.push(b'\n');
        if durable::read(&self.path, MAX_MARK_BYTES).is_ok_and(|found| found.as_ref() == Some(&text)) {
            return;
        }
        let written = durable::write_atomic(&RealDisk, &self.path, &text, MARK_MODE);
        // Keys may lie where nothing can be written. That matters where the log is made, and is nobody's news later.
        if let (Err(error), true) = (written, spot.new) {
            site.out.warn(&format!("{error}, so nothing keeps this key from making another log elsewhere"));
        }
    }
}

/// Whether anything has that name; what cannot be looked at is there.
pub(super) fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}
