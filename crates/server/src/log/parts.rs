//! What a log's server is made of, and why it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_base::code::{Code, Explain};
use countersign_log::witness::Rate;
use countersign_log::{Admission, Candidate, LogError, Publication, Sequencer, Settings};
use countersign_store::Objects;
use countersign_tlog::VerifierKey;

use super::told::Tell;
use crate::ServeError;
use crate::witness::Clock;

/// A log that is open in this process.
pub struct LogParts {
    /// The log, open.
    pub log: Sequencer,
    /// Its public folder.
    pub public: PathBuf,
    /// What it has admitted, for a log that takes metadata.
    pub admission: Option<Admission>,
    /// The rest.
    pub service: LogService,
}

/// A log on storage that other processes use as well: one of them leads it.
pub struct SharedLogParts {
    /// This process, which may lead it.
    pub candidate: Candidate,
    /// How often it looks whether it can.
    pub look: Duration,
    /// The log's public files.
    pub public: Arc<dyn Objects>,
    /// The log's key.
    pub key: VerifierKey,
    /// Where this process says that it takes submissions while it leads.
    pub url: Option<String>,
    /// What the processes of this log alone know. It goes to the leader with a submission that is passed on, and stands
    /// in a header.
    pub secret: String,
    /// The rest.
    pub service: LogService,
}

/// What a log takes, and how it is published.
pub struct LogService {
    /// What it takes.
    pub admits: Admits,
    /// Who must cosign.
    pub publication: Publication,
    /// Bounds and intervals.
    pub settings: Settings,
    /// How much one address (one /64 of IPv6) may submit; `None` is without a bound, as behind a proxy.
    pub address_rate: Option<Rate>,
    /// The clock.
    pub clock: Clock,
    /// Told what an operator wants to know.
    pub tell: Tell,
}

/// What a log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// Metadata of one repository, whose entries the log computes.
    Metadata,
    /// Hashed records whose signature verifies.
    Rekor,
    /// Any bytes, and hashed records.
    Anything,
}

/// Why a log's server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeLogError {
    /// It could not listen, or the system refused something.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The log could not be started.
    #[error(transparent)]
    Start(#[from] LogError),
    /// The log failed; nothing was acknowledged after that.
    #[error(transparent)]
    Log(Arc<LogError>),
}

impl Explain for ServeLogError {
    fn code(&self) -> Code {
        match self {
            Self::Serve(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Serve(error) => error.fix(),
            Self::Start(error) => error.fix(),
            Self::Log(error) => error.fix(),
        }
    }
}
