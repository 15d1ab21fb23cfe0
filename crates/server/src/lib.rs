//! HTTP: serves a repository, its log included; a log that takes entries, alone or with others on one bucket; and a
//! witness.
//!
//! A repository is static files, so any web server or bucket can serve one; this is the one that needs no
//! set-up. It serves `metadata/ targets/ attestations/ log/` and nothing else, in constant memory, and holds
//! every peer to limits: connections, header time, body size, stalls. It trusts no one and signs nothing;
//! the witness's decisions are in `countersign-log`.
//!
//! Written on `tokio::fs`-like blocking reads rather than with `tower-http`'s `ServeDir`: that one follows
//! symbolic links, serves dotfiles, and knows nothing of which of our files may be cached.
#![forbid(unsafe_code)]

mod body;
mod file;
mod limit;
mod listen;
mod log;
mod metrics;
mod patience;
mod places;
mod range;
mod rekor;
mod repository;
mod resource;
mod watched;
mod witness;

use std::io;
use std::path::PathBuf;

use countersign_base::code::{self, Code, Explain};
use countersign_log::WitnessError;

pub use listen::{Hangup, Listening, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, StopHandle, Until, stop};
pub use log::{
    Admits, LogEvent, LogParts, LogService, ServeLogError, SharedLogParts, Tell, WITNESS_FAILING, serve_log,
    serve_log_files, serve_shared_log,
};
pub use repository::serve_repository;
pub use witness::{Clock, OnFailure, WitnessService, serve_witness};

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is in use, not ours, or not an address.
    #[error("cannot listen on `{}`", countersign_base::text::escape(.address))]
    Listen {
        /// As given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// There is no repository to serve.
    #[error("`{}` is not a repository: it has no metadata folder", .path.display())]
    NoRepository {
        /// As given.
        path: PathBuf,
    },
    /// The witness can do nothing more.
    #[error(transparent)]
    Witness(WitnessError),
    /// The system refused a thread, a signal handler or the like.
    #[error("the server cannot go on")]
    System(#[source] io::Error),
}

impl Explain for ServeError {
    fn code(&self) -> Code {
        match self {
            // No address at all: that is no outage.
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::InvalidInput => code::USAGE,
            Self::Listen { .. } | Self::System(_) => code::SERVE_FAILED,
            Self::NoRepository { .. } => code::PUBLISH_REPO_MISSING,
            Self::Witness(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Listen { .. } => Some("listen on a free port, such as 127.0.0.1:0".to_owned()),
            Self::NoRepository { .. } => Some("make one with `countersign init`".to_owned()),
            Self::Witness(error) => error.fix(),
            Self::System(_) => None,
        }
    }
}
