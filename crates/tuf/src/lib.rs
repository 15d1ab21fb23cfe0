//! TUF metadata, the client's state machine and the editor. Specification 1.0.34,
//! <https://theupdateframework.github.io/specification/v1.0.34/>.
//!
//! - [`metadata`]: the four roles as strict types that keep what they do not know; bytes in, value out.
//! - [`TrustedSet`]: what a client trusts. It takes bytes in the order of the specification's section 5 and says
//!   which file to load next; it never fetches.
//! - [`editor`]: new and changed metadata, and [`editor::Draft`], which collects signatures.
//!
//! Pure: no file, no socket, no clock, no randomness; `now` is an argument. Signatures are over the canonical JSON
//! of the value that was parsed, so what is signed is what is read.
#![forbid(unsafe_code)]

pub mod editor;
mod error;
pub mod limits;
pub mod metadata;
pub mod name;
mod trusted;

pub use error::TufError;
pub use metadata::{Envelope, Role, Root, Snapshot, Targets, Timestamp};
pub use trusted::{
    Found, Half, HalfSigned, Held, Search, Signers, TrustedSet, Update, Wanted, rotates_online_keys,
};
