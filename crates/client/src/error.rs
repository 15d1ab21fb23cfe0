//! What can go wrong between a repository, this machine's record of it, and the network.

use std::path::PathBuf;

use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::text::escape;
use countersign_store::StoreError;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tlog::tile::TileError;
use countersign_verify::{AgreementError, VerifyError};

use crate::transport::FetchError;

/// Why a repository could not be added, refreshed or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A file could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A log proof longer than any can be; it was not read to its end.
    #[error("{} is longer than any log proof ({MAX_PROOF_BYTES} bytes)", escape(.what))]
    ProofTooLarge {
        /// URL or path.
        what: String,
    },
    /// What was fetched or kept is not trustworthy.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Several repositories must agree and do not, or which ones cannot be read.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// A file kept on this machine is not trustworthy; it was moved aside.
    #[error("{source}, in the copy kept on this machine; it was set aside as `{}`", .moved.display())]
    SetAside {
        /// Where it is now, for inspection.
        moved: PathBuf,
        /// What is wrong with it.
        source: Box<VerifyError>,
    },
    /// The log's tiles do not show that a checkpoint extends the ones before.
    #[error("log {}: {source}", escape(.origin))]
    Tile {
        /// The log.
        origin: String,
        /// Which tile, and what is wrong.
        source: TileError,
    },
    /// This machine's disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine's record of a repository does not read.
    #[error("`{}` is damaged: {reason}", .path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part of this machine's record of a repository is not there.
    #[error("`{}` has no {what} metadata", .path.display())]
    Incomplete {
        /// The repository's folder.
        path: PathBuf,
        /// Whose metadata.
        what: &'static str,
    },
    /// No repository of that name is trusted.
    #[error("no repository `{}` is trusted on this machine", escape(.name))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The map says that the repository must agree: forgotten, its name could be given to another one.
    #[error("repository `{}` must agree on {}", escape(.name), escape(.paths))]
    Mapped {
        /// The name.
        name: String,
        /// On what, as the map's patterns.
        paths: String,
    },
    /// Another repository of that name is trusted.
    #[error("repository `{}` is trusted already, with another address or anchor", escape(.name))]
    Exists {
        /// The name.
        name: String,
    },
    /// More new roots than are taken in one run; those that were verified are kept.
    #[error("the repository has more new roots than are taken in one run ({limit})")]
    ManyRoots {
        /// How many are taken.
        limit: usize,
    },
    /// More products, roles, checkpoints or repositories than any honest one has.
    #[error("there are more {what} than are worked with ({limit})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        limit: usize,
    },
}

impl ClientError {
    /// Whether another place that has the repository might do better: not where this machine is at fault.
    pub(crate) fn is_of_the_place(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Sink(_)) | Self::Verify(VerifyError::ClockBehind { .. }) => false,
            Self::Fetch(_) | Self::ProofTooLarge { .. } | Self::Verify(_) | Self::Tile { .. } => true,
            _ => false,
        }
    }
}

impl Explain for ClientError {
    fn code(&self) -> Code {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Verify(error) => error.code(),
            Self::Agreement(error) => error.code(),
            Self::SetAside { source, .. } => source.code(),
            Self::Tile { source, .. } => source.code(),
            Self::Store(error) => error.code(),
            Self::Damaged { .. } | Self::Incomplete { .. } => code::STATE_DAMAGED,
            Self::Unknown { .. } => code::TRUST_REPO_UNKNOWN,
            Self::Exists { .. } => code::TRUST_REPO_EXISTS,
            Self::Mapped { .. } => code::TRUST_MAP_INVALID,
            Self::ProofTooLarge { .. } | Self::ManyRoots { .. } | Self::TooMany { .. } => {
                code::LIMIT_EXCEEDED
            }
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Verify(error) => error.class(),
            Self::Agreement(error) => error.class(),
            Self::SetAside { source, .. } => source.class(),
            Self::Tile { source, .. } => source.class(),
            Self::Store(error) => error.class(),
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Fetch(error) => error.fix(),
            Self::Verify(error) => error.fix(),
            Self::Agreement(error) => error.fix(),
            Self::SetAside { .. } => {
                Some("run the command again: the next refresh fetches the true file".to_owned())
            }
            Self::Store(error) => error.fix(),
            Self::Damaged { .. } => Some(
                "forget the repository with `countersign trust remove NAME`, then add it again with its anchor"
                    .to_owned(),
            ),
            Self::Incomplete { .. } => {
                Some("run a command that reaches the repository: a refresh fetches what is missing".to_owned())
            }
            Self::Unknown { .. } => Some("add it with `countersign trust add NAME URL ANCHOR`".to_owned()),
            Self::Mapped { .. } => Some(
                "end what it must agree on first, with `countersign trust agree NAME/PRODUCT --forget`, or take over a \
                 map without it with `--map`"
                    .to_owned(),
            ),
            Self::Exists { .. } => {
                Some("choose another name, or forget it first with `countersign trust remove NAME`".to_owned())
            }
            Self::ManyRoots { .. } => {
                Some("run the command again: it goes on from what was verified".to_owned())
            }
            Self::Tile { .. } | Self::ProofTooLarge { .. } | Self::TooMany { .. } => None,
        }
    }
}
