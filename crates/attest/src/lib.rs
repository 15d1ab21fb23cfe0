//! Sigstore's formats, as far as a log needs them that speaks Rekor v2.
//!
//! - [`hashedrekord`]: what a client asks to have logged, its signature checked, and the entry made of it.
//! - [`LogEntry`]: the answer, `TransparencyLogEntry` in protobuf JSON, with its inclusion proof.
//! - [`trust`]: the trusted root and signing configuration that tell clients of a log.
//!
//! Specs: <https://github.com/sigstore/protobuf-specs>, <https://github.com/sigstore/rekor-tiles>.
//!
//! Pure: bytes and values in, values out. Not here: whether a certificate is to be trusted; a log only holds that
//! whoever has the key signed the digest.
#![forbid(unsafe_code)]

mod certificate;
mod error;
pub mod hashedrekord;
mod log_entry;
mod protojson;
pub mod trust;

pub use error::RekorError;
pub use hashedrekord::HashedRekord;
pub use log_entry::{Inclusion, LogEntry, log_id};
