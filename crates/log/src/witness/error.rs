//! Why a witness cannot work.

use std::path::PathBuf;

use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_store::StoreError;
use countersign_tlog::note::VkeyError;
use countersign_tlog::{CheckpointError, SignError};

/// Why a witness cannot work. A request that it refuses is a [`crate::Response`] and not one of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The state could not be read or written. What could not be written was not answered for.
    #[error("the witness's state could not be kept")]
    Store(#[from] StoreError),
    /// A request after a failure: what is on disk is not known until the witness is opened again.
    #[error("the witness stopped after an earlier failure of its storage")]
    Stopped,
    /// Another witness uses the folder.
    #[error("another process keeps the state of a witness in `{}`", .folder.display())]
    InUse {
        /// The folder of the state.
        folder: PathBuf,
    },
    /// The latest checkpoints of all logs together are more than is kept.
    #[error("the witness keeps as many checkpoints as it can")]
    Full,
    /// The state file is not as this witness wrote it.
    #[error("the witness's state `{path}` is damaged at byte {at}")]
    DamagedState {
        /// The file.
        path: String,
        /// Offset of the record.
        at: usize,
    },
    /// The state of a log is not what this witness signs. It signs nothing for that log.
    #[error("the witness's record of the log `{}` is damaged", escape(.origin))]
    Damaged {
        /// The log.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// The witness's name or a key cannot be used.
    #[error("the witness's name or key cannot be used")]
    Key(#[from] VkeyError),
    /// No key.
    #[error("the witness has no key")]
    NoKey,
    /// A key did not sign.
    #[error("the witness's key did not sign")]
    Sign(#[from] SignError),
}

impl WitnessError {
    /// Whether the witness can do nothing more before it is opened again.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Stopped)
    }
}

impl Explain for WitnessError {
    fn code(&self) -> Code {
        match self {
            Self::Store(_) | Self::Stopped => code::LOG_STORAGE_FAILED,
            Self::InUse { .. } => code::LOG_WRITER_CONFLICT,
            Self::Full => code::LIMIT_EXCEEDED,
            Self::DamagedState { .. } | Self::Damaged { .. } => code::LOG_STORAGE_CORRUPT,
            Self::Key(error) => error.code(),
            Self::NoKey => code::KEY_NOT_FOUND,
            Self::Sign(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.fix(),
            Self::Stopped => Some("start the witness again".to_owned()),
            Self::InUse { .. } => Some("stop the other one; two would not know what the other signs".to_owned()),
            Self::DamagedState { .. } | Self::Damaged { .. } => Some(
                "begin a witness with a new name and key; one that forgets what it signed can be shown two histories"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
