//! Why the log refused, failed or stopped.

use std::io;

use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::SignerError;
use countersign_store::StoreError;
use countersign_tlog::merkle::MAX_TREE_SIZE;
use countersign_tlog::policy::PolicyError;
use countersign_tlog::{CheckpointError, SignError};
use countersign_tuf::TufError;

use crate::cosign::{CosignError, worst};
use crate::sequencer::{MAX_BATCH_ENTRIES, MAX_ENTRY_BYTES};
use crate::tree::CHECKPOINT;
use crate::trust::TrustError;

/// A failure of the sequencer, of admission or of `fsck`; a variant a rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An entry of no bytes.
    #[error("entry {place} of the batch is empty")]
    EntryEmpty {
        /// Its place in the batch, from 0.
        place: usize,
    },
    /// An entry too long for the two length bytes of an entry bundle.
    #[error("entry {place} of the batch has {length} bytes, and the log takes {MAX_ENTRY_BYTES}")]
    EntryTooLarge {
        /// Its place in the batch, from 0.
        place: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// More entries at once than are made durable with one write.
    #[error("a batch of {count} entries is more than the {MAX_BATCH_ENTRIES} that the log takes at once")]
    BatchTooLarge {
        /// Number of entries.
        count: usize,
    },
    /// The tree has as many leaves as one can have.
    #[error("the log is full: a tree has at most {MAX_TREE_SIZE} entries")]
    Full,
    /// Another sequencer holds the log, or has changed the checkpoint under this one.
    #[error("another process writes to this log")]
    WriterConflict(#[source] StoreError),
    /// A setting of a process that may lead a log on shared storage.
    #[error("{0}")]
    Setting(&'static str),
    /// The disk refused. Nothing was acknowledged after that.
    #[error("the log's storage failed")]
    Storage(#[source] StoreError),
    /// The system refused what a log needs beside storage.
    #[error("the system refuses {what}")]
    System {
        /// What it was asked for.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A call after a failure: what is on disk is not known until the log is opened again.
    #[error("the log stopped after an earlier failure of its storage")]
    Stopped,
    /// The queue of entries is full.
    #[error("the log takes no more entries for the moment")]
    Busy,
    /// The log is being stopped.
    #[error("the log is being stopped")]
    Closing,
    /// The storage lacks what was signed or seen by a witness.
    #[error("the log's storage is older than what the log has signed: {0}")]
    StorageRollback(String),
    /// A file of the tree that was signed is missing, and the signed checkpoint is there.
    #[error("the log's storage lacks what the log has signed: `{0}` is missing")]
    StorageIncomplete(String),
    /// The storage holds something else than what was signed.
    #[error("the log's storage is damaged: {0}")]
    StorageCorrupt(String),
    /// A log's checkpoint that is not well-formed, of another log, or not signed by the log.
    #[error("`{place}` is not a checkpoint of the log")]
    Checkpoint {
        /// Where it was read, or what it is.
        place: String,
        /// Why not.
        source: CheckpointError,
    },
    /// The log's key did not sign.
    #[error("the log's key did not sign the checkpoint")]
    Sign(#[source] SignError),
    /// The log's key cannot be used.
    #[error("the log's key cannot be used")]
    Signer(#[source] SignerError),
    /// A proof was asked for leaves that are not in signed tiles.
    #[error("no proof from {from} to {size}: the log's tree has {held} leaves")]
    ProofRange {
        /// The leaf index or the smaller size.
        from: u64,
        /// The tree size asked for.
        size: u64,
        /// The tree size that tiles exist for.
        held: u64,
    },
    /// A published checkpoint that does not meet the policy.
    #[error("the checkpoint does not meet the policy")]
    Policy(#[source] PolicyError),
    /// The checkpoint with the cosignatures that could be had does not meet the policy.
    #[error("the checkpoint cannot be published: {}", failures(.failed, .source))]
    Quorum {
        /// Witnesses that gave no cosignature, and why.
        failed: Vec<(String, CosignError)>,
        /// What the policy lacks.
        source: PolicyError,
    },
    /// A file that the checkpoint requires is not there.
    #[error("`{path}` is missing")]
    TileMissing {
        /// The file, below the log's public folder.
        path: String,
    },
    /// A file that is not what the checkpoint says.
    #[error("`{path}` is wrong: {what}")]
    TileMismatch {
        /// The file, below the log's public folder.
        path: String,
        /// How it differs.
        what: String,
    },
    /// Metadata of a role and version that is in the log with other bytes.
    #[error("{} version {version} is in the log with other content", escape(.role))]
    DuplicateVersion {
        /// The role.
        role: String,
        /// The version.
        version: u64,
    },
    /// Metadata that does not verify under the logged root chain.
    #[error("{} is not authorised by the repository's logged metadata", escape(.role))]
    Unauthorised {
        /// The role.
        role: String,
        /// Which rule it breaks.
        #[source]
        source: TufError,
    },
    /// Metadata of a role that no logged metadata knows of.
    #[error("{} is not a role that the repository's logged metadata knows", escape(.role))]
    UnknownRole {
        /// The role.
        role: String,
    },
    /// Metadata that cannot be a log entry.
    #[error("{} cannot be logged: {what}", escape(.role))]
    NotMetadata {
        /// The role.
        role: String,
        /// Why not.
        what: String,
    },
}

impl LogError {
    /// A thread that could not be started.
    pub(crate) fn thread(source: io::Error) -> Self {
        Self::System { what: "a thread", source }
    }
}

/// `N` bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], LogError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => {
            Err(LogError::System { what: "random bytes", source: io::Error::other(error.to_string()) })
        }
    }
}

/// `Storage` or `WriterConflict`, by what went wrong.
impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked { .. } | StoreError::Conflict { .. } => Self::WriterConflict(error),
            StoreError::Different { path } => {
                Self::StorageCorrupt(format!("`{}` exists with other content", path.display()))
            }
            other => Self::Storage(other),
        }
    }
}

impl From<TrustError> for LogError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Checkpoint(source) => Self::Checkpoint { place: CHECKPOINT.to_owned(), source },
            TrustError::Policy(error) => Self::Policy(error),
        }
    }
}

impl Explain for LogError {
    fn code(&self) -> Code {
        match self {
            Self::EntryEmpty { .. } | Self::NotMetadata { .. } => code::LOG_ENTRY_MALFORMED,
            Self::EntryTooLarge { .. } => code::LOG_ENTRY_TOO_LARGE,
            Self::BatchTooLarge { .. } | Self::Full => code::LIMIT_EXCEEDED,
            Self::WriterConflict(_) => code::LOG_WRITER_CONFLICT,
            Self::Storage(_) | Self::Stopped => code::LOG_STORAGE_FAILED,
            Self::System { .. } => code::SERVE_FAILED,
            Self::Busy | Self::Closing => code::LOG_BUSY,
            Self::StorageRollback(_) | Self::StorageIncomplete(_) => code::LOG_STORAGE_ROLLBACK,
            Self::StorageCorrupt(_) => code::LOG_STORAGE_CORRUPT,
            Self::Checkpoint { source, .. } => source.code(),
            Self::Sign(error) => error.code(),
            Self::Signer(error) => error.code(),
            Self::ProofRange { .. } | Self::Setting(_) => code::USAGE,
            Self::Quorum { failed, source } => worst(failed).unwrap_or_else(|| source.code()),
            Self::Policy(error) => error.code(),
            Self::TileMissing { .. } => code::LOG_TILE_MISSING,
            Self::TileMismatch { .. } => code::LOG_TILE_MISMATCH,
            Self::DuplicateVersion { .. } => code::LOG_DUPLICATE_VERSION,
            Self::Unauthorised { .. } | Self::UnknownRole { .. } => code::LOG_ENTRY_UNAUTHORISED,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::WriterConflict(_) => {
                Some("wait until the other process has ended and try again".to_owned())
            }
            Self::Busy | Self::Closing => Some("try again in a second".to_owned()),
            Self::Storage(error) => error.fix(),
            Self::StorageRollback(_) => Some(
                "restore the newest copy of the log with its `.countersign`, then run `countersign log \
                 fsck`; never delete what is in `.countersign`"
                    .to_owned(),
            ),
            Self::StorageIncomplete(_) => Some(
                "`countersign log repair` makes it again from what there is, or with --from from a mirror"
                    .to_owned(),
            ),
            Self::StorageCorrupt(_) => Some(
                "`countersign log fsck` names the file that is wrong; `countersign log repair` makes it again"
                    .to_owned(),
            ),
            Self::DuplicateVersion { .. } => Some("publish it under the next version number".to_owned()),
            _ => None,
        }
    }
}

/// The witnesses that failed, in one line; what the policy lacks where none did.
fn failures(failed: &[(String, CosignError)], source: &PolicyError) -> String {
    if failed.is_empty() {
        return source.to_string();
    }
    let list: Vec<String> =
        failed.iter().map(|(name, why)| format!("witness `{}`: {why}", escape(name))).collect();
    list.join("; ")
}
