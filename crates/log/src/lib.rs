//! The log: sequencer, admission of metadata, witness and `fsck`.
//!
//! - [`Sequencer`]: an append-only log in a folder, durable before acknowledged, served as static files.
//! - [`Candidate`]: one of several processes that may have the log, on storage that they share.
//! - [`Log`]: the same log for many writers at once, in threads of its own.
//! - [`admission`]: metadata becomes an entry only if it verifies under the repository's logged root chain.
//! - [`Witness`]: cosigns a log's checkpoints as long as each extends the one before; [`cosign`] asks for
//!   that.
//! - [`fsck`]: proves a whole log from its public files; [`repair()`] puts back what can be.
//! - [`mirror`]: copies and verifies another log; whatever is built from a log's entries reads them there.
//!
//! Formats, hashes and decisions are `tlog`'s; here they meet the disk. Time is an argument or a clock that
//! is given.
//! Not here: HTTP.
#![forbid(unsafe_code)]

pub mod admission;
pub mod cosign;
mod dedup;
mod error;
mod fsck;
mod lease;
pub mod mirror;
mod partial;
pub mod pipeline;
mod read;
pub mod repair;
mod sequencer;
mod tree;
mod trust;
pub mod witness;

pub use admission::{Admission, Admitted, Submission};
pub use cosign::{CosignError, Cosigner, LocalCosigner};
pub use error::LogError;
pub use fsck::{FsckReport, fsck, fsck_source, fsck_watched};
pub use lease::{Candidate, MAX_TAKEOVER, MIN_TAKEOVER, Seen, SharedPlace, Turn};
pub use mirror::{Mirror, MirrorError, Source, SourceError};
pub use partial::Cleaner;
pub use pipeline::{Log, Publication, Settings};
pub use repair::repair;
pub use sequencer::{LogKey, MAX_BATCH_ENTRIES, MAX_ENTRY_BYTES, Sequencer};
pub use trust::{Trust, TrustError, Trusted};
pub use witness::{LogList, LogListError, Response, Witness, WitnessError};
