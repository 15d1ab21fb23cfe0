//! `Verified<T>`: the type is the permission.

use countersign_base::{Anchor, Timestamp};

/// A `T` whose checks passed, with the report of what they established.
///
/// Only this crate's checks build one. No `Deserialize`, no `Default`, no public field.
///
/// ```compile_fail,E0451
/// fn forge(report: countersign_verify::Report) -> countersign_verify::Verified<u8> {
///     countersign_verify::Verified { value: 1, report }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    report: Report,
}

impl<T> Verified<T> {
    pub(crate) const fn new(value: T, report: Report) -> Self {
        Self { value, report }
    }

    /// What was verified.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// What the checks established, by whom and when.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}

/// What was established, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which repository.
    pub repository: Anchor,
    /// The chain of roles that leads to the target: root, timestamp, snapshot, targets, the product's role.
    pub roles: Vec<RoleReport>,
    /// The instant at which expiry was judged.
    pub checked_at: Timestamp,
}

/// One role's metadata: who signed it and where it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleReport {
    /// Role name.
    pub role: String,
    /// Version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// How many distinct keys must sign.
    pub threshold: u32,
    /// How many keys may sign.
    pub keys: usize,
    /// Key ids whose signatures were good, distinct by public key.
    pub signers: Vec<String>,
    /// Where it is logged; `None` for the timestamp role, which is not.
    pub logged: Option<Logged>,
}

/// Where a metadata version stands in a log, and who cosigned the checkpoint that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The log.
    pub origin: String,
    /// The leaf's index.
    pub index: u64,
    /// Size of the tree whose checkpoint proves it.
    pub tree_size: u64,
    /// Witnesses of the policy whose cosignatures are good, with their times.
    pub cosigners: Vec<(String, Timestamp)>,
}
