//! Transparency log formats: one module per C2SP specification.
//!
//! Pure: bytes and values in, bytes, values and decisions out. No file, no socket, no clock, no randomness.
//!
//! | module | specification |
//! |---|---|
//! | [`note`] | <https://c2sp.org/signed-note> |
//! | [`checkpoint`] | <https://c2sp.org/tlog-checkpoint> |
//! | [`cosignature`] | <https://c2sp.org/tlog-cosignature> |
//! | [`tile`] | <https://c2sp.org/tlog-tiles> |
//! | [`proof`] | <https://c2sp.org/tlog-proof> |
//! | [`policy`] | <https://c2sp.org/tlog-policy> |
//! | [`witness`] | <https://c2sp.org/tlog-witness> |
//! | [`merkle`] | RFC 9162 section 2.1 |
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod cosignature;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
mod text;
pub mod tile;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use merkle::Hash;
pub use note::{Note, NoteError, NoteSignature, SignError, VerifierKey};
pub use policy::{Policy, PolicyError, VerifiedCheckpoint};
pub use proof::{ProofError, TlogProof};
