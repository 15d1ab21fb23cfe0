//! The only HTTP client: refreshes trust in a repository and downloads what it lists.
//!
//! An edge crate: files and sockets are here, the checks are in `countersign-verify`. [`transport`] brings
//! bytes from a directory or a server and bounds how many and how slowly; [`home`] keeps what was verified;
//! [`refresh`] walks from one to the other, one verified and persisted step at a time; [`cosigner`] asks
//! witnesses for cosignatures.
#![forbid(unsafe_code)]

pub mod transport;

pub use transport::{FetchError, FileTransport, HttpTransport, Location, Transport};
