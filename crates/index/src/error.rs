//! Why an index could not be made, asked or believed.

use countersign_base::code::{self, Class, Code, Explain};
use countersign_log::MirrorError;
use countersign_store::StoreError;

/// A failure of the index; a variant a rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The log could not be read, or not proven.
    #[error(transparent)]
    Log(#[from] MirrorError),
    /// A document could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database refused, or is not there.
    #[error("the index's database failed: {0}")]
    Database(String),
    /// A place that no index can be at.
    #[error("`{place}` is not a place for an index: {why}")]
    Place {
        /// As given, without a password.
        place: String,
        /// Why not.
        why: &'static str,
    },
    /// There is no index, or one of another form.
    #[error("there is no index: {0}")]
    Missing(&'static str),
    /// The index is of another log or another tree.
    #[error("the index is not of this log: {0}")]
    OtherTree(String),
    /// The index says something else about an entry than the log does.
    #[error("the index is wrong about entry {index}: {what}")]
    Wrong {
        /// Which.
        index: u64,
        /// How.
        what: String,
    },
    /// Another process brought the index further meanwhile.
    #[error("another process writes to this index")]
    Conflict,
    /// A question that does not read.
    #[error("`{term}` is not a question: {why}")]
    Term {
        /// How it begins.
        term: String,
        /// Why not.
        why: &'static str,
    },
}

impl Explain for IndexError {
    fn code(&self) -> Code {
        match self {
            Self::Log(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Database(_) | Self::Conflict => code::LOG_INDEX_UNAVAILABLE,
            Self::Place { .. } | Self::Missing(_) | Self::Term { .. } => code::USAGE,
            Self::OtherTree(_) | Self::Wrong { .. } => code::LOG_INDEX_MISMATCH,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Log(error) => error.class(),
            Self::Store(error) => error.class(),
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Log(error) => error.fix(),
            Self::Store(error) => error.fix(),
            Self::Missing(_) => Some("make one with `countersign log index LOG`, and `--to PLACE` if it is not in the log's folder".to_owned()),
            Self::OtherTree(_) | Self::Wrong { .. } => {
                Some("make it anew with `countersign log index LOG --to PLACE --rebuild`".to_owned())
            }
            Self::Place { .. } => Some(
                "an index is at sqlite:PATH or postgres://USER@HOST/DATABASE, with a host of this machine".to_owned(),
            ),
            Self::Term { .. } => Some(
                "ask for digest:HEX, product:NAME[@VERSION], role:NAME[@NUMBER], key:HEX, leaf:HEX, repository:ANCHOR \
                 or time:FROM..TO"
                    .to_owned(),
            ),
            Self::Conflict => Some("wait until the other process has ended and try again".to_owned()),
            Self::Database(_) => None,
        }
    }
}
