//! The only HTTP client: refreshes trust in a repository and downloads what it lists.
//!
//! An edge crate: files and sockets are here, the checks are in `countersign-verify`. [`transport`] brings
//! bytes from a directory or a server and bounds how many and how slowly; [`Home`] keeps what was verified;
//! [`refresh()`] walks from one to the other, one verified and persisted step at a time; [`HttpCosigner`] asks
//! witnesses for cosignatures; [`Mirrors`] asks several places in turn.
#![forbid(unsafe_code)]

mod agreement;
mod cosigner;
mod error;
mod home;
mod mirrors;
mod refresh;
mod state;
mod tiles;
pub mod transport;

pub use agreement::{Hearing, Panel};
pub use cosigner::HttpCosigner;
pub use error::ClientError;
pub use home::{Home, MAX_REPOSITORIES, Repository};
pub use mirrors::{LogSource, MAX_PLACES, Mirrors, Trouble, TurnedAway, in_turn};
pub use refresh::{
    Change, MAX_ROLES_PER_RUN, MAX_ROOTS_PER_RUN, Trusted, Want, load, load_as_proven, refresh,
};
pub use transport::{BaseUrl, FetchError, FileTransport, HttpTransport, Location, Transport};
