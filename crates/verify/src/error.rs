//! Why evidence was refused.

use countersign_base::text::escape;
use countersign_base::{Anchor, Class, Code, Explain, Timestamp, code};
use countersign_tlog::{policy::PolicyError, proof::ProofError};
use countersign_tuf::TufError;

/// Why a repository's metadata, its transparency or a file was not accepted; a variant a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The first root is not the one that the anchor names.
    #[error("the repository's first root does not match the trust anchor {expected}")]
    AnchorMismatch {
        /// The anchor that the user trusts.
        expected: Anchor,
        /// The anchor of the root that was offered.
        found: Anchor,
    },
    /// A rule of TUF was broken.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// The file was signed for another repository, by keys that sign for this one as well, or for none.
    #[error(
        "{} version {version} is signed for {}, not for this repository",
        escape(.role),
        .found.map_or_else(|| "no repository".to_owned(), |found| format!("the repository {found}"))
    )]
    OtherRepository {
        /// The role.
        role: String,
        /// Its version.
        version: u64,
        /// The repository that it names.
        found: Option<Anchor>,
    },
    /// No proof beside the metadata, or a proof of something else.
    #[error("{} version {version} is signed but has no proof that it was logged", escape(.role))]
    ProofMissing {
        /// The role.
        role: String,
        /// Its version.
        version: u64,
        /// What is there instead.
        reason: &'static str,
    },
    /// The proof beside the metadata does not hold.
    #[error("the log proof of {} version {version} is refused", escape(.role))]
    Proof {
        /// The role.
        role: String,
        /// Its version.
        version: u64,
        /// Which rule of the log or of the transparency policy it breaks.
        #[source]
        source: ProofError,
    },
    /// A root without a usable transparency policy.
    #[error("root version {version} carries no valid transparency policy")]
    PolicyInvalid {
        /// The root's version.
        version: u64,
        /// What is wrong, if there is one.
        #[source]
        source: Option<PolicyError>,
    },
    /// The log signed two trees of one size.
    #[error("log {} showed two different trees of size {size}", escape(.origin))]
    SplitView {
        /// The log.
        origin: String,
        /// The size of both.
        size: u64,
    },
    /// A new snapshot is proven only by a tree smaller than one accepted before.
    #[error("log {} went back from size {held} to {got}", escape(.origin))]
    LogRollback {
        /// The log.
        origin: String,
        /// Size of the newest checkpoint accepted before.
        held: u64,
        /// Size offered now.
        got: u64,
    },
    /// Two checkpoints are not shown to be of one tree.
    #[error("log {}: tree {new_size} is not shown to extend tree {old_size}", escape(.origin))]
    Inconsistent {
        /// The log.
        origin: String,
        /// Size of the smaller tree.
        old_size: u64,
        /// Size of the larger tree.
        new_size: u64,
    },
    /// Another file of the same role and version was accepted before.
    #[error("{} version {version} differs from the version {version} seen before", escape(.role))]
    DuplicateVersion {
        /// The role.
        role: String,
        /// The version.
        version: u64,
    },
    /// The clock is behind a time that witnesses have proven.
    #[error("this machine's clock says {now}, but witnesses have proven {proven}")]
    ClockBehind {
        /// The machine's time.
        now: Timestamp,
        /// A time that is certainly past.
        proven: Timestamp,
    },
    /// The client's own record of checkpoints does not read.
    #[error("the record of accepted checkpoints is damaged")]
    LineageDamaged,
    /// The repository has no role for that product.
    #[error("the repository has no product `{}`", escape(.product))]
    ProductUnknown {
        /// The product asked for.
        product: String,
    },
    /// The product has no such version for the platform and channel.
    #[error("{product} has no {wanted} for {platform}", product = escape(.product))]
    VersionUnknown {
        /// The product.
        product: String,
        /// `version 1.2.3`, or `release in channel stable`.
        wanted: String,
        /// The platform.
        platform: String,
    },
    /// Another role comes first and speaks for a path that a product lists, or could not be heard.
    #[error("`{}` lists `{}`, for which `{}` is asked first", escape(.role), escape(.path), escape(.other))]
    SpokenFor {
        /// The product's role.
        role: String,
        /// The path.
        path: String,
        /// The role that comes first.
        other: String,
    },
    /// The file is another writing of the one that is logged.
    #[error("{} version {version} is written otherwise than the file that is logged", escape(.role))]
    Noncanonical {
        /// The role.
        role: String,
        /// Its version.
        version: u64,
    },
    /// A release's entry lacks what ours always have.
    #[error("the entry of `{}` is not that of a release: {reason}", escape(.path))]
    ReleaseMalformed {
        /// The target path.
        path: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The publisher has taken back the version that is asked for, or all that there are.
    #[error("{} {version} has been yanked by its publisher: {}", escape(.product), escape(.reason))]
    Yanked {
        /// The product.
        product: String,
        /// The version.
        version: String,
        /// The publisher's reason.
        reason: String,
    },
    /// Something in `x-countersign` is not understood.
    #[error("the {} metadata has a `{member}` that is not understood", escape(.role))]
    Extension {
        /// The role.
        role: String,
        /// The member of `x-countersign`.
        member: &'static str,
    },
    /// A product's file breaks the rule that top-level targets set for it.
    #[error("`{}` is not approved by another person than its proposer: {rule}", escape(.product))]
    Separation {
        /// The product.
        product: String,
        /// The rule.
        rule: &'static str,
    },
    /// No trusted role lists a file of this digest.
    #[error("no trusted repository lists this file (SHA-256 {sha256})")]
    FileUnknown {
        /// The file's digest.
        sha256: countersign_base::Sha256Digest,
    },
}

impl Explain for VerifyError {
    fn code(&self) -> Code {
        match self {
            Self::AnchorMismatch { .. } => code::TRUST_ANCHOR_UNTRUSTED,
            Self::Tuf(error) => error.code(),
            Self::OtherRepository { .. } => code::TUF_OTHER_REPOSITORY,
            Self::ProofMissing { .. } => code::LOG_PROOF_MISSING,
            Self::Proof { source, .. } => source.code(),
            Self::PolicyInvalid { .. } => code::LOG_POLICY_INVALID,
            Self::SplitView { .. } => code::LOG_SPLIT_VIEW,
            Self::LogRollback { .. } => code::LOG_ROLLBACK,
            Self::Inconsistent { .. } => code::LOG_CONSISTENCY_INVALID,
            Self::DuplicateVersion { .. } => code::LOG_DUPLICATE_VERSION,
            Self::ClockBehind { .. } => code::CLOCK_BEHIND_EVIDENCE,
            Self::LineageDamaged => code::STATE_DAMAGED,
            Self::ProductUnknown { .. } => code::INSTALL_PRODUCT_UNKNOWN,
            Self::VersionUnknown { .. } => code::INSTALL_VERSION_UNKNOWN,
            Self::SpokenFor { .. } => code::TUF_DELEGATION_PATH,
            Self::Noncanonical { .. } => code::TUF_NONCANONICAL,
            Self::ReleaseMalformed { .. } => code::TUF_TARGET_MISMATCH,
            Self::Yanked { .. } => code::INSTALL_YANKED,
            Self::Extension { .. } => code::TUF_MALFORMED,
            Self::Separation { .. } => code::APPROVAL_SELF,
            Self::FileUnknown { .. } => code::VERIFY_UNKNOWN_FILE,
        }
    }

    fn class(&self) -> Class {
        match self {
            // A policy file of one's own is a usage matter; inside a signed root it is evidence (attack L06).
            Self::PolicyInvalid { .. } => Class::Refused,
            Self::Tuf(error) => error.class(),
            _ => self.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Tuf(error) => error.fix(),
            Self::Proof { source, .. } => source.fix(),
            // The server's own anchor is not named: it would only be pasted.
            Self::AnchorMismatch { .. } => Some(
                "compare URL and anchor with what the publisher gives out, by another way than this server"
                    .to_owned(),
            ),
            Self::ClockBehind { .. } => Some("set this machine's clock and try again".to_owned()),
            _ => None,
        }
    }
}
