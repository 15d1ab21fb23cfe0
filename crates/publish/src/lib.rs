//! Changes to a repository: what is signed, by whom, logged and written.
//!
//! A repository is a directory of static files that any web server, bucket or mirror can serve:
//!
//! ```text
//! metadata/N.root.json  N.targets.json  N.<product>.json  N.snapshot.json      each with <file>.tlog-proof
//! metadata/timestamp.json
//! targets/<product>/<version>/<platform>/<sha256>.<name>
//! log/checkpoint  log/tile/...
//! .countersign/                                                                never served: log state, lock, staging
//! ```
//!
//! [`Publisher`] makes one ([`Publisher::init`]), adds products ([`Publisher::product_add`]), releases files
//! ([`Publisher::release`]) and keeps it fresh ([`Publisher::renew`]). How a change becomes visible wholly or not at
//! all, and what an interruption leaves, is in `act.rs`.
//!
//! Secret keys are only in the keys directory. Not here: HTTP (witnesses are reached through what the caller passes
//! in), the terminal, and the clock.
#![forbid(unsafe_code)]

mod act;
mod advisory;
mod current;
mod due;
mod error;
mod expiry;
mod init;
mod keyring;
pub mod layout;
mod online;
mod product;
pub mod proposal;
mod proven;
mod publisher;
mod release;
mod seen;
mod selfcheck;
mod staging;
mod trust;
mod witnesses;
mod yank;

pub use act::{Publication, PublishedDocument};
pub use advisory::MAX_ADVISORY_BYTES;
pub use due::{Due, RenewedBy};
pub use error::PublishError;
pub use init::{InitOptions, Initialised};
pub use layout::Layout;
pub use product::{ProductAdded, ProductOptions};
pub use proposal::{Intent, Proposal, ProposedBy};
pub use publisher::Publisher;
pub use release::{MAX_FILES, Progress, ReleaseOptions, Released, ReleasedFile};
pub use trust::PolicyEdit;
pub use witnesses::{Connect, LOCAL_WITNESS_DIR, WitnessSpec};
