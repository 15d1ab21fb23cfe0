//! Why a log was not mirrored.

use std::path::PathBuf;

use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::text::escape;
use countersign_store::StoreError;
use countersign_tlog::CheckpointError;
use countersign_tlog::policy::PolicyError;
use countersign_tlog::tile::{BundleId, TileError};

use super::source::SourceError;
use crate::tree::CHECKPOINT;
use crate::trust::TrustError;

/// A failure of mirroring or of reading a log from a source; a variant a rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The checkpoint is malformed, of another log, or not signed by a known key.
    #[error("`{place}` is not a checkpoint of the log")]
    Checkpoint {
        /// Where it was read.
        place: String,
        /// Why not.
        source: CheckpointError,
    },
    /// The checkpoint does not meet the policy.
    #[error("the checkpoint does not meet the policy")]
    Policy(#[source] PolicyError),
    /// A tile or bundle of the source that is not what its checkpoint says.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// A bundle that does not hash to its place in the tree; which entry of it, cannot be told.
    #[error("`{bundle}` does not hash to its place in the tree")]
    Bundle {
        /// Which.
        bundle: BundleId,
    },
    /// A file that the checkpoint requires is not there.
    #[error("`{path}` is missing")]
    Missing {
        /// The file, below the log's prefix.
        path: String,
    },
    /// The source shows an older tree than one that was seen.
    #[error("log {} shows {got} entries, and has shown {held}{}", escape(.origin), kept(.evidence))]
    Rollback {
        /// The log.
        origin: String,
        /// The size that was seen.
        held: u64,
        /// The size that is shown.
        got: u64,
        /// Where both checkpoints were kept.
        evidence: Option<PathBuf>,
    },
    /// The source shows a tree that is not one history with a tree that was seen.
    #[error(
        "log {} has signed two trees that are not one history, of {} and {} entries{}",
        escape(.origin), .sizes.0, .sizes.1, kept(.evidence)
    )]
    SplitView {
        /// The log.
        origin: String,
        /// The sizes, smaller first.
        sizes: (u64, u64),
        /// Where both checkpoints were kept.
        evidence: Option<PathBuf>,
    },
    /// Another process mirrors into the folder.
    #[error("another process writes to this mirror")]
    Locked(#[source] StoreError),
    /// The folder holds something else.
    #[error("`{}` is not a mirror: {what}", .path.display())]
    NotAMirror {
        /// The folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// What this machine has of the log is not what was put there.
    #[error("the mirror is damaged: {0}")]
    Damaged(String),
    /// The system refused a thread.
    #[error("the system refuses a thread")]
    Thread(#[source] std::io::Error),
    /// A thread ended otherwise than it should.
    #[error("a thread failed")]
    Panicked,
    /// The mirror's disk refused.
    #[error("the mirror's storage failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for MirrorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked { .. } => Self::Locked(error),
            StoreError::Different { path } => {
                Self::Damaged(format!("`{}` exists with other content", path.display()))
            }
            other => Self::Store(other),
        }
    }
}

impl From<TrustError> for MirrorError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Checkpoint(source) => Self::Checkpoint { place: CHECKPOINT.to_owned(), source },
            TrustError::Policy(error) => Self::Policy(error),
        }
    }
}

impl Explain for MirrorError {
    fn code(&self) -> Code {
        match self {
            Self::Source(error) => error.code(),
            Self::Checkpoint { source, .. } => source.code(),
            Self::Policy(error) => error.code(),
            Self::Tile(error) => error.code(),
            Self::Bundle { .. } => code::LOG_TILE_MISMATCH,
            Self::Missing { .. } => code::LOG_TILE_MISSING,
            Self::Rollback { .. } => code::LOG_ROLLBACK,
            Self::SplitView { .. } => code::LOG_SPLIT_VIEW,
            Self::Locked(_) => code::LOG_WRITER_CONFLICT,
            Self::NotAMirror { .. } => code::USAGE,
            Self::Damaged(_) => code::LOG_STORAGE_CORRUPT,
            Self::Thread(_) => code::SERVE_FAILED,
            Self::Panicked => code::INTERNAL_ERROR,
            Self::Store(_) => code::LOG_STORAGE_FAILED,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Source(error) => error.class(),
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.fix(),
            Self::Store(error) => error.fix(),
            Self::Locked(_) => Some("wait until the other process has ended and try again".to_owned()),
            Self::NotAMirror { .. } => Some("name an empty folder, or one that `log mirror` made".to_owned()),
            Self::Damaged(_) => Some(
                "`countersign log repair DIR --from SOURCE` puts back what the checkpoint requires"
                    .to_owned(),
            ),
            Self::SplitView { evidence: Some(path), .. } => Some(format!(
                "give `{}` to the log's operator, its witnesses and everyone who relies on it: \
                 `countersign log evidence FILE --vkey VKEY` shows it to anybody",
                path.display()
            )),
            _ => None,
        }
    }
}

fn kept(evidence: &Option<PathBuf>) -> String {
    evidence.as_ref().map_or_else(String::new, |path| format!("; both are kept in `{}`", path.display()))
}
