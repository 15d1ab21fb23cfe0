//! The list of logs that a witness knows.
//!
//! Two forms. A list of one's own is a verifier key a line; empty lines and lines that begin with `#` are
//! skipped; keys of one name are keys of one log, whose origin is that name; a line that is no log's key
//! makes the list unusable.
//!
//! The lists that witness networks give out begin with the line `logs/v0`, then for each log `vkey KEY` and,
//! if needed, `origin ORIGIN` (else the key's name), `qpd N` (requests a day that the log may make) and
//! further lines that say nothing to a witness. Many people write such a list, so a log with a key that
//! cannot be used here is left out and told, and the first log of an origin keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::code::{self, Code, Explain};
use countersign_store::{StoreError, durable};
use countersign_tlog::VerifierKey;
use countersign_tlog::checkpoint::MAX_ORIGIN_BYTES;
use countersign_tlog::note::VkeyError;
use countersign_tlog::witness::KnownLog;

use super::rate::Rate;

/// Longest list that is read, in bytes.
const MAX_LOG_LIST_BYTES: usize = 16 * 1024 * 1024;
/// Most keys in a list.
const MAX_WITNESSED_LOGS: usize = 100_000;

/// First line of a witness network's list.
const HEADER: &str = "logs/v0";

/// The logs that a witness cosigns for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogList {
    logs: BTreeMap<String, Listed>,
    skipped: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    log: KnownLog,
    rate: Option<Rate>,
}

/// Why a list of logs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogListError {
    /// It cannot be read.
    #[error("the list of logs cannot be read")]
    Store(#[from] StoreError),
    /// There is none.
    #[error("there is no list of logs at `{0}`")]
    Missing(String),
    /// More than 16 MiB, or than 100,000 keys.
    #[error("the list of logs is longer than any that is read")]
    TooLarge,
    /// Not UTF-8.
    #[error("the list of logs is not text")]
    NotText,
    /// A line that is no verifier key.
    #[error("line {line} of the list of logs is not a log's verifier key")]
    Line {
        /// 1-based.
        line: usize,
        /// What is wrong with it; `None` for a witness's key.
        #[source]
        source: Option<VkeyError>,
    },
    /// A line of a `logs/v0` list that has no place there or no meaning.
    #[error("line {line} of the list of logs is not as `logs/v0` has it")]
    Entry {
        /// 1-based.
        line: usize,
    },
}

impl Explain for LogListError {
    fn code(&self) -> Code {
        match self {
            Self::Store(_) => code::FILE_UNREADABLE,
            Self::Missing(_) => code::FILE_NOT_FOUND,
            Self::TooLarge => code::LIMIT_EXCEEDED,
            Self::NotText | Self::Entry { .. } => code::LOG_POLICY_INVALID,
            Self::Line { source, .. } => source.as_ref().map_or(code::LOG_POLICY_INVALID, Explain::code),
        }
    }
}

impl LogList {
    /// Reads a list of either form.
    ///
    /// # Errors
    /// A line that has no place in a list of that form.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogListError> {
        if bytes.len() > MAX_LOG_LIST_BYTES {
            return Err(LogListError::TooLarge);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| LogListError::NotText)?;
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
        if lines.next_if(|(_, line)| line.trim_end() == HEADER).is_some() {
            return parse_network(lines);
        }
        let mut list = Self::default();
        for (count, (line, text)) in lines.enumerate() {
            if count == MAX_WITNESSED_LOGS {
                return Err(LogListError::TooLarge);
            }
            list.add(log_key(text).map_err(|source| LogListError::Line { line, source })?);
        }
        Ok(list)
    }

    /// Reads a list from a file; call it again when the file has changed.
    ///
    /// # Errors
    /// As [`LogList::parse`]; the file is missing or cannot be read.
    pub fn read(path: &Path) -> Result<Self, LogListError> {
        let bytes = durable::read(path, MAX_LOG_LIST_BYTES as u64)?;
        Self::parse(&bytes.ok_or_else(|| LogListError::Missing(path.display().to_string()))?)
    }

    /// The logs of these keys.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let mut list = Self::default();
        keys.into_iter().for_each(|key| list.add(key));
        list
    }

    /// Adds a key of the log whose origin is the key's name.
    pub fn add(&mut self, key: VerifierKey) {
        let log = KnownLog { origin: key.name().to_owned(), keys: Vec::new() };
        let listed = self.logs.entry(log.origin.clone()).or_insert(Listed { log, rate: None });
        if !listed.log.keys.contains(&key) {
            listed.log.keys.push(key);
        }
    }

    /// The log of that origin.
    pub fn find(&self, origin: &str) -> Option<&KnownLog> {
        self.logs.get(origin).map(|listed| &listed.log)
    }

    /// How often the list lets that log ask, where it says so.
    pub fn rate(&self, origin: &str) -> Option<Rate> {
        self.logs.get(origin)?.rate
    }

    /// All logs, by origin.
    pub fn iter(&self) -> impl Iterator<Item = &KnownLog> {
        self.logs.values().map(|listed| &listed.log)
    }

    /// The lines with logs that were left out: a key that cannot be used here, or an origin that is taken.
    pub fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    fn add_network_log(&mut self, entry: NetworkLog<'_>) {
        let Ok(key) = log_key(entry.vkey) else { return self.skipped.push(entry.line) };
        let origin = entry.origin.unwrap_or(key.name());
        if self.logs.contains_key(origin) || origin.len() > MAX_ORIGIN_BYTES {
            return self.skipped.push(entry.line);
        }
        let log = KnownLog { origin: origin.to_owned(), keys: vec![key] };
        self.logs.insert(log.origin.clone(), Listed { log, rate: entry.per_day.map(Rate::per_day) });
    }
}

/// An entry of a `logs/v0` list, as far as it was read.
struct NetworkLog<'a> {
    line: usize,
    vkey: &'a str,
    origin: Option<&'a str>,
    per_day: Option<u32>,
}

/// What follows the line `logs/v0`.
fn parse_network<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<LogList, LogListError> {
    let mut list = LogList::default();
    let mut entries: Vec<NetworkLog<'a>> = Vec::new();
    for (line, text) in lines {
        let (word, value) = text.trim_end().split_once(' ').unwrap_or((text, ""));
        let malformed = LogListError::Entry { line };
        if word == "vkey" {
            if entries.len() == MAX_WITNESSED_LOGS {
                return Err(LogListError::TooLarge);
            }
            entries.push(NetworkLog { line, vkey: value, origin: None, per_day: None });
            continue;
        }
        let Some(entry) = entries.last_mut() else { return Err(malformed) };
        match word {
            "origin" if value.is_empty() || entry.origin.is_some() => return Err(malformed),
            "origin" => entry.origin = Some(value),
            "qpd" => entry.per_day = Some(value.parse().map_err(|_| malformed)?),
            _ => {}
        }
    }
    entries.into_iter().for_each(|entry| list.add_network_log(entry));
    Ok(list)
}

/// A verifier key that a log may have.
fn log_key(text: &str) -> Result<VerifierKey, Option<VkeyError>> {
    let key: VerifierKey = text.parse().map_err(Some)?;
    if key.kind().is_for_logs() { Ok(key) } else { Err(None) }
}
