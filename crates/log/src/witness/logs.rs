//! The list of logs that a witness knows: a verifier key a line.
//!
//! Empty lines and lines that begin with `#` are skipped. A log's origin is its key's name; keys of one name are
//! keys of one log.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::code::{self, Code, Explain};
use countersign_store::{StoreError, durable};
use countersign_tlog::VerifierKey;
use countersign_tlog::note::VkeyError;
use countersign_tlog::witness::KnownLog;

/// Longest list that is read, in bytes.
pub const MAX_LOG_LIST_BYTES: usize = 16 * 1024 * 1024;
/// Most keys in a list.
pub const MAX_WITNESSED_LOGS: usize = 100_000;

/// The logs that a witness cosigns for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogList {
    logs: BTreeMap<String, KnownLog>,
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
    /// More than [`MAX_LOG_LIST_BYTES`] or [`MAX_WITNESSED_LOGS`].
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
}

impl Explain for LogListError {
    fn code(&self) -> Code {
        match self {
            Self::Store(_) => code::FILE_UNREADABLE,
            Self::Missing(_) => code::FILE_NOT_FOUND,
            Self::TooLarge => code::LIMIT_EXCEEDED,
            Self::NotText => code::LOG_POLICY_INVALID,
            Self::Line { source, .. } => source.as_ref().map_or(code::LOG_POLICY_INVALID, Explain::code),
        }
    }
}

impl LogList {
    /// Reads a list.
    ///
    /// # Errors
    /// A line that is neither empty, a comment nor the verifier key of a log.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogListError> {
        if bytes.len() > MAX_LOG_LIST_BYTES {
            return Err(LogListError::TooLarge);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| LogListError::NotText)?;
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if keys.len() == MAX_WITNESSED_LOGS {
                return Err(LogListError::TooLarge);
            }
            let key: VerifierKey = line
                .parse()
                .map_err(|source| LogListError::Line { line: number + 1, source: Some(source) })?;
            if !key.kind().is_for_logs() {
                return Err(LogListError::Line { line: number + 1, source: None });
            }
            keys.push(key);
        }
        Ok(Self::new(keys))
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
        let mut logs = BTreeMap::new();
        for key in keys {
            let log = logs
                .entry(key.name().to_owned())
                .or_insert_with(|| KnownLog { origin: key.name().to_owned(), keys: Vec::new() });
            if !log.keys.contains(&key) {
                log.keys.push(key);
            }
        }
        Self { logs }
    }

    /// The log of that origin.
    pub fn find(&self, origin: &str) -> Option<&KnownLog> {
        self.logs.get(origin)
    }

    /// All logs, by origin.
    pub fn iter(&self) -> impl Iterator<Item = &KnownLog> {
        self.logs.values()
    }
}
