//! The metadata model: what the four kinds of files say (specification section 4).
//!
//! Parsing is strict about what is known and keeps what is not: [`Role::signed`] is the whole `signed` object, and
//! signatures are checked over its canonical form.

mod delegation;
mod envelope;
mod fields;
mod file;
mod key;
mod pairs;
mod pattern;
mod role_keys;
mod root;
mod snapshot;
mod targets;
mod timestamp;

use countersign_base::{Json, Timestamp as Time};

use crate::error::TufError;
use fields::Fields;

pub use delegation::{Coverage, DelegatedRole, Delegations, SuccinctRoles};
pub use envelope::{Envelope, Signature};
pub use file::{Hashes, MetaFile, TargetFile};
pub use key::{Key, KeyTable, key_id, key_json, payload};
pub(crate) use pairs::PAIRS;
pub use pairs::{EXTENSION, Pair};
pub use pattern::{is_pattern, matches};
pub use role_keys::RoleKeys;
pub use root::Root;
pub use snapshot::Snapshot;
pub use targets::Targets;
pub use timestamp::Timestamp;

/// Name and type of the root role.
pub const ROOT: &str = "root";
/// Name and type of the timestamp role.
pub const TIMESTAMP: &str = "timestamp";
/// Name and type of the snapshot role.
pub const SNAPSHOT: &str = "snapshot";
/// Name of the top-level targets role, and type of it and of all delegated roles.
pub const TARGETS: &str = "targets";
/// The top-level roles.
pub const TOP_LEVEL: [&str; 4] = [ROOT, TIMESTAMP, SNAPSHOT, TARGETS];
/// The version of the specification that is written; any `1.x` is read.
pub const SPEC_VERSION: &str = "1.0.34";

/// One of the four kinds of metadata.
pub trait Role: Sized {
    /// Value of `_type`.
    const TYPE: &'static str;
    /// Largest file, in bytes.
    const MAX_BYTES: usize;

    /// Reads the `signed` object.
    ///
    /// # Errors
    /// The codes of the rule that is broken; `tuf-malformed` for the shape.
    fn from_signed(signed: Json) -> Result<Self, TufError>;

    /// What all roles have.
    fn common(&self) -> &Common;

    /// The `signed` object, with what is not known here.
    fn signed(&self) -> &Json;

    /// Version, from 1.
    fn version(&self) -> u64 {
        self.common().version
    }

    /// When it stops being valid; at this very second it has.
    fn expires(&self) -> Time {
        self.common().expires
    }

    /// The member `name` of the `signed` object, such as `x-countersign`.
    fn extension(&self, name: &str) -> Option<&Json> {
        self.signed().get(name)
    }
}

/// What all roles have (specification 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Version, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: Time,
    /// Version of the specification it follows, `1.x`.
    pub spec_version: String,
}

impl Common {
    /// Reads the common members; the type is checked by [`Envelope::parse`].
    fn read(fields: &Fields<'_>) -> Result<Self, TufError> {
        let spec_version = fields.text("spec_version")?;
        let mut parts = spec_version.split('.');
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !parts.clone().all(number) || !(2..=3).contains(&parts.clone().count()) {
            return Err(fields.error("spec_version", "is not a version of the specification"));
        }
        if parts.next() != Some("1") {
            return Err(TufError::SpecVersion(spec_version.chars().take(40).collect()));
        }
        let expires = fields.text("expires")?;
        let expires = expires
            .parse()
            .map_err(|_| fields.error("expires", "is not a time of the form 2026-11-21T14:00:00Z"))?;
        Ok(Self { version: fields.version("version")?, expires, spec_version: spec_version.to_owned() })
    }
}
