//! Why metadata is refused: a variant a rule.

use countersign_base::Timestamp;
use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::KeyError;

use crate::trusted::{HalfSigned, one_sided};

/// Metadata that is refused. [`Explain::code`] gives the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TufError {
    /// More bytes or members than any honest file has.
    #[error("{what} has {got}, more than {max}")]
    TooLarge {
        /// What is too large, and its unit.
        what: &'static str,
        /// How large it is.
        got: usize,
        /// How large it may be.
        max: usize,
    },
    /// Not strict JSON.
    #[error("{role} metadata is not well-formed JSON: {}", escape(.reason))]
    Json {
        /// Type of metadata.
        role: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// JSON, but not of the right shape.
    #[error("`{}` {reason}", escape(.at))]
    Malformed {
        /// Where, as a path of member names.
        at: String,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A member that some parsers take for another.
    #[error("`{}` is read by some programs as another member", escape(.at))]
    TwoReadings {
        /// Where, as a path of member names.
        at: String,
    },
    /// Written for another major version of the specification.
    #[error("metadata follows version `{}` of the TUF specification", escape(.0))]
    SpecVersion(String),
    /// A file of one type where another is expected.
    #[error("expected {want} metadata for `{}`, got `{}`", escape(.role), escape(.got))]
    WrongType {
        /// Role whose file this should be.
        role: String,
        /// Type that it must have.
        want: &'static str,
        /// Type that it has.
        got: String,
    },
    /// Enough signatures, but by keys of another role.
    #[error("`{}` is signed by the keys of `{}`, which have no say over it", escape(.role), escape(.other))]
    SignedByOther {
        /// Role that the file is for.
        role: String,
        /// Role whose keys signed it.
        other: String,
    },
    /// A delegation under the name of a top-level role.
    #[error("a delegation takes the name of a top-level role: `{}`", escape(.0))]
    ReservedName(String),
    /// A name that cannot safely be part of a file name.
    #[error("the name `{}` cannot be used: {reason}", escape(.name))]
    UnsafeName {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Too few good signatures by the role's keys.
    #[error("`{}` is signed by {have} of the {need} keys it needs", escape(.role))]
    Threshold {
        /// Role.
        role: String,
        /// Distinct keys of the role with a good signature.
        have: usize,
        /// Threshold.
        need: u32,
        /// Ids of the role's keys without one.
        missing: Vec<String>,
    },
    /// Enough holders signed, but not enough of them with both of their keys (ADR 0009, attack V22).
    #[error("`{}` is signed by {have} of the {need} holders it needs: {}", escape(.role), one_sided(.halves))]
    Downgrade {
        /// Role.
        role: String,
        /// Distinct holders who signed with all of their keys.
        have: usize,
        /// Threshold.
        need: u32,
        /// Who signed with one key of two.
        halves: Vec<HalfSigned>,
    },
    /// Two signatures under one key id (specification 4.2.1: ids are unique there).
    #[error("`{}` has two signatures under key id `{}`; a key signs once", escape(.role), escape(.keyid))]
    DuplicateSignature {
        /// Role.
        role: String,
        /// Key id.
        keyid: String,
    },
    /// A threshold that is not an integer from 1 on.
    #[error("the threshold of `{}` is not a number from 1 to its number of keys", escape(.role))]
    ThresholdInvalid {
        /// Role.
        role: String,
    },
    /// A threshold that no set of signatures can meet.
    #[error("the threshold of `{}` is {threshold}, but it has {keys} keys", escape(.role))]
    ThresholdUnreachable {
        /// Role.
        role: String,
        /// Threshold.
        threshold: u32,
        /// Number of distinct keys.
        keys: usize,
    },
    /// A top-level role is not described by root.
    #[error("root names no keys for `{0}`")]
    RoleMissing(&'static str),
    /// A role without a single known key.
    #[error("none of the keys that `{}` lists is in the key table", escape(.0))]
    NoKeys(String),
    /// A key whose bytes are not a key of its type.
    #[error("key `{}` is not valid", escape(.keyid))]
    Key {
        /// Key id.
        keyid: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A key whose `keyval` is not of the form of its type, or whose scheme belongs to another type.
    #[error("key `{}` {reason}", escape(.keyid))]
    KeyForm {
        /// Key id.
        keyid: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One key id for two keys, in one file or in two (specification 4.3).
    #[error("key id `{}` stands for two different keys", escape(.0))]
    KeyIdReused(String),
    /// One public key under two ids, or one id twice, in a role.
    #[error("`{}` lists one public key twice, as `{}` and `{}`", escape(.role), escape(.first), escape(.second))]
    KeyDuplicate {
        /// Role.
        role: String,
        /// One id.
        first: String,
        /// The other id.
        second: String,
    },
    /// The second key of a holder stands elsewhere in the file too: a holder would count for another.
    #[error("one ML-DSA key belongs to two holders, `{}` and `{}`", escape(.first), escape(.second))]
    PairShared {
        /// Key id of one holder.
        first: String,
        /// Key id of the other.
        second: String,
    },
    /// The second key of a holder is of a kind that this build cannot check; leaving it out would be a downgrade.
    #[error("the second key of `{}` has the scheme `{}`, which cannot be checked here", escape(.keyid), escape(.scheme))]
    PairUnsupported {
        /// Key id of the holder.
        keyid: String,
        /// The scheme.
        scheme: String,
    },
    /// Too few good signatures, and one by a key that was taken from the role.
    #[error("`{}` is signed by key `{}`, which has been removed", escape(.role), escape(.keyid))]
    KeyRevoked {
        /// Role.
        role: String,
        /// Key id.
        keyid: String,
    },
    /// Root with another version than the next.
    #[error("expected root version {want}, got {got}")]
    RootVersion {
        /// The version after the trusted one.
        want: u64,
        /// The version it has.
        got: u64,
    },
    /// Root signed as only one side of the step requires.
    #[error("root {version} is not signed by enough {by} keys")]
    RootChain {
        /// Version of the new root.
        version: u64,
        /// Whose keys are missing: `of the previous root's` or `of its own`.
        by: &'static str,
    },
    /// Older than what was trusted before.
    #[error("`{}` version {got} is older than the trusted version {held}", escape(.role))]
    Rollback {
        /// Role.
        role: String,
        /// Version trusted before.
        held: u64,
        /// Version offered.
        got: u64,
    },
    /// Past its expiry; expiring this very second counts.
    #[error("`{}` expired {} ago, at {expires}", escape(.role), age(*.now, *.expires))]
    Expired {
        /// Role.
        role: String,
        /// When it expired.
        expires: Timestamp,
        /// The fixed time of this run.
        now: Timestamp,
    },
    /// Another version than the parent lists.
    #[error("`{}` has version {got}, but version {listed} is listed", escape(.role))]
    ListedVersion {
        /// Role.
        role: String,
        /// Version in the parent.
        listed: u64,
        /// Version in the file.
        got: u64,
    },
    /// Other bytes than the parent lists.
    #[error("`{}` is not the file that is listed: its {what} differs", escape(.role))]
    ListedBytes {
        /// Role.
        role: String,
        /// `length`, `sha256`, `sha512` or `hash`.
        what: &'static str,
    },
    /// Not in the snapshot.
    #[error("the snapshot does not list `{}`", escape(.0))]
    NotListed(String),
    /// In the trusted snapshot, but not in the new one.
    #[error("the new snapshot no longer lists `{}`", escape(.0))]
    Dropped(String),
    /// A search or a file with more delegations than are followed.
    #[error("{what} are more than the {max} that are followed")]
    DelegationLimit {
        /// What is too many.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A delegation that no target path can be decided by.
    #[error("the delegation of `{}` {reason}", escape(.role))]
    DelegationForm {
        /// Delegated role.
        role: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Only a role without a say over the path lists it.
    #[error("`{}` lists `{}`, but its delegation does not cover that path", escape(.role), escape(.path))]
    DelegationPath {
        /// Role.
        role: String,
        /// Target path.
        path: String,
    },
    /// No role that has a say lists the path.
    #[error("no trusted role lists the target `{}`", escape(.0))]
    TargetNotFound(String),
    /// An entry that does not say what the file is.
    #[error("the entry of target `{}` {reason}", escape(.path))]
    TargetEntry {
        /// Target path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that is not the listed target.
    #[error("target `{}` is not the file that is listed: its {what} differs", escape(.path))]
    TargetBytes {
        /// Target path.
        path: String,
        /// `length`, `sha256` or `sha512`.
        what: &'static str,
    },
    /// A step taken before the one that it needs: a bug in the caller.
    #[error("{0}")]
    Order(&'static str),
}

impl Explain for TufError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => code::LIMIT_EXCEEDED,
            Self::Json { .. } | Self::Malformed { .. } => code::TUF_MALFORMED,
            Self::TwoReadings { .. } => code::TUF_NONCANONICAL,
            Self::SpecVersion(_) => code::TUF_SPEC_UNSUPPORTED,
            Self::WrongType { .. } | Self::SignedByOther { .. } | Self::ReservedName(_) => {
                code::TUF_ROLE_CONFUSION
            }
            Self::UnsafeName { .. } => code::TUF_NAME_UNSAFE,
            Self::Threshold { .. } | Self::DuplicateSignature { .. } => code::TUF_THRESHOLD,
            Self::ThresholdInvalid { .. } | Self::ThresholdUnreachable { .. } => code::TUF_THRESHOLD_INVALID,
            // A weak key is called so wherever it stands (attack V21).
            Self::Key { source, .. } if source.code() == code::KEY_WEAK => code::KEY_WEAK,
            Self::RoleMissing(_)
            | Self::NoKeys(_)
            | Self::Key { .. }
            | Self::KeyForm { .. }
            | Self::KeyIdReused(_) => code::TUF_KEY_INVALID,
            Self::KeyDuplicate { .. } | Self::PairShared { .. } => code::TUF_KEY_DUPLICATE,
            Self::Downgrade { .. } | Self::PairUnsupported { .. } => code::SIGNATURE_ALGORITHM_DOWNGRADE,
            Self::KeyRevoked { .. } => code::TUF_KEY_REVOKED,
            Self::RootVersion { .. } | Self::RootChain { .. } => code::TUF_ROOT_CHAIN,
            Self::Rollback { .. } => code::TUF_ROLLBACK,
            Self::Expired { .. } => code::TUF_EXPIRED,
            Self::ListedVersion { .. } | Self::ListedBytes { .. } | Self::NotListed(_) | Self::Dropped(_) => {
                code::TUF_META_MISMATCH
            }
            Self::DelegationLimit { .. } => code::TUF_DELEGATION_LIMIT,
            Self::DelegationForm { .. } | Self::DelegationPath { .. } => code::TUF_DELEGATION_PATH,
            Self::TargetNotFound(_) => code::TUF_TARGET_NOT_FOUND,
            Self::TargetEntry { .. } | Self::TargetBytes { .. } => code::TUF_TARGET_MISMATCH,
            Self::Order(_) => code::INTERNAL_ERROR,
        }
    }

    fn class(&self) -> Class {
        match self {
            // Not evidence against the file: this program is too old or too small for what the publisher requires.
            Self::PairUnsupported { .. } => Class::Usage,
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::PairUnsupported { .. } => {
                Some("install a version of countersign that knows this scheme".to_owned())
            }
            Self::Threshold { missing, .. } if !missing.is_empty() => {
                let shown: Vec<String> =
                    missing.iter().take(8).map(|id| id.chars().take(8).collect()).collect();
                Some(format!("keys that have not signed: {}", escape(&shown.join(", "))))
            }
            Self::Expired { .. } => Some(
                "check this machine's clock; if it is right, the publisher must renew the metadata"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Time from `expires` to `now` in the largest unit that fits, for people.
fn age(now: Timestamp, expires: Timestamp) -> String {
    let seconds = now.seconds_since(expires);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Refuses `bytes` beyond the limit of `what`.
pub(crate) fn check_size(what: &'static str, bytes: &[u8], max: usize) -> Result<(), TufError> {
    if bytes.len() > max { Err(TufError::TooLarge { what, got: bytes.len(), max }) } else { Ok(()) }
}

/// Refuses a table with more than `max` members.
pub(crate) fn check_count(what: &'static str, got: usize, max: usize) -> Result<(), TufError> {
    if got > max { Err(TufError::TooLarge { what, got, max }) } else { Ok(()) }
}
