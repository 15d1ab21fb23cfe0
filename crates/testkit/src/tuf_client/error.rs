//! Why a plain TUF client stops.

use countersign_base::code::{self, Code, Explain};
use countersign_client::FetchError;
use countersign_store::StoreError;
use countersign_tuf::TufError;

/// Why metadata or a target could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something is refused.
    #[error(transparent)]
    Refused(#[from] TufError),
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Something could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds no root.
    #[error("there is no trusted root in the metadata folder")]
    NoRoot,
}

impl Explain for ClientError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::NoRoot => code::STATE_DAMAGED,
        }
    }
}
