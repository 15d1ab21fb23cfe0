//! The one verification pipeline: evidence, policy and time in, a verified release out.
//!
//! ```text
//! anchor, roots, timestamp, snapshot, targets, product role    each with its .tlog-proof
//!     -> TransparentSet      TUF, then inclusion, quorum, lineage
//!     -> select / find       the product's release for a platform, or whatever has a file's digest
//!     -> Verified<Release>   what the installer accepts and `verify` reports
//! ```
//!
//! Invariants: this crate opens no file and no socket and reads no clock; [`Verified`] has no public
//! constructor; there is no way to leave a check out. Design sections 2 and 4.
#![forbid(unsafe_code)]

mod agreement;
mod catalogue;
mod error;
pub mod extension;
pub mod leaf;
mod lineage;
mod policy;
mod release;
mod transparent;
mod verified;

pub use countersign_tuf::metadata::EXTENSION;

pub use agreement::{Agreed, AgreementError, Answer, Claim, MAX_MAP_BYTES, Mapping, RepositoryMap, Unmapped};
pub use catalogue::{DEFAULT_CHANNEL, Wanted};
pub use error::VerifyError;
pub use leaf::Leaf;
pub use lineage::{Lineage, Link, MAX_CLOCK_SKEW_SECONDS, MAX_LINEAGE_BYTES};
pub use policy::{policy_extension, root_policy};
pub use release::{FileMode, MAX_ARTIFACT_BYTES, Release, ReleaseInfo};
pub use transparent::{Document, TransparentSet};
pub use verified::{Logged, Report, RoleReport, Verified};
