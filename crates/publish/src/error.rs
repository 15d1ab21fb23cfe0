//! Why nothing was published. A cause that has a code of its own keeps it.

mod words;

use std::io;
use std::path::PathBuf;

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::name::{NameError, TargetPath};
use countersign_base::text::escape;
use countersign_keys::KeysError;
use countersign_log::{LogError, WitnessError};
use countersign_store::StoreError;
use countersign_tlog::VerifierKey;
use countersign_tlog::note::VkeyError;
use countersign_tlog::policy::PolicyError;
use countersign_tuf::TufError;
use countersign_tuf::editor::EditError;
use countersign_verify::VerifyError;

pub(crate) use self::words::short_of;
use self::words::{
    CLOCK_FIX, blocked_code, blocked_fix, counted, ended, keys_in_words, needing, of_whom, people,
    refused_fix, shown,
};

/// What to do about a proposal that is not what its maker made.
pub(crate) const GET_IT_AGAIN: &str = "get the proposal again from who made it, and compare the digest that \
                                       `countersign proposal show` prints there";

/// A publication that did not happen; a variant a rule. Clients still see what they saw before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// `init` on a repository.
    #[error("there is a repository in {} already", shown(.path))]
    RepoExists {
        /// Its directory.
        path: PathBuf,
    },
    /// A new repository or proposal among files that are not ours.
    #[error("{} is not an empty folder", shown(.path))]
    DirNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// `init` goes on after an interruption, but with other keys, witnesses or thresholds than before.
    #[error("an unfinished `init` of {} was begun with other options", shown(.path))]
    InitDiffers {
        /// The repository's directory.
        path: PathBuf,
    },
    /// No repository, or one whose `init` has not finished.
    #[error("there is no repository in {}", shown(.path))]
    RepoMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file of the repository is missing, or does not verify under the repository's own root.
    #[error("{} is missing or damaged", shown(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; `None` if it is not there.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The proof beside a file is of it, and the policy refuses its checkpoint.
    #[error("clients refuse the proof of {} version {version}", escape(.role))]
    ProofRefused {
        /// The file's role.
        role: String,
        /// Its version.
        version: u64,
        /// What the policy says.
        source: Box<PolicyError>,
    },
    /// Time would go back for clients.
    #[error(
        "this machine's clock says {now}: a timestamp signed now expires on {next}, before the one in force, on {present}"
    )]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the timestamp in force expires.
        present: Timestamp,
        /// When the next one would.
        next: Timestamp,
    },
    /// A key cannot go without another in its place: what it is used for could no longer be met.
    #[error("without that key {} has {} and needs {threshold}", needing(.role), keys_in_words(*.keys))]
    KeyNeeded {
        /// The role, the log or the quorum.
        role: String,
        /// How many it needs.
        threshold: u32,
        /// How many would be left.
        keys: usize,
    },
    /// A key that was rotated or revoked in this repository would come back.
    #[error("the key {} was {} in this repository and cannot come back", escape(.keyid), ended(.why))]
    KeyEnded {
        /// Its id.
        keyid: String,
        /// Why it ended, as the metadata says.
        why: String,
    },
    /// A new root is in the log, or visible, and not all that belongs to it is.
    #[error("the publication of root version {version} was interrupted")]
    Unfinished {
        /// The new root's version.
        version: u64,
    },
    /// A top-level role is not there: a bug in us, since reading a repository loads them all.
    #[error("the {role} metadata was not loaded")]
    Incomplete {
        /// The role.
        role: &'static str,
    },
    /// Someone else publishes.
    #[error("another process publishes to {}", shown(.path))]
    Locked {
        /// The repository's directory.
        path: PathBuf,
    },
    /// A product of that name is there.
    #[error("the product `{}` exists already", escape(.product))]
    ProductExists {
        /// The product.
        product: String,
    },
    /// No product of that name.
    #[error("the repository has no product `{}`", escape(.product))]
    ProductUnknown {
        /// The product.
        product: String,
    },
    /// The file is released: what a version is never changes.
    #[error("`{path}` is released already")]
    VersionExists {
        /// Product, version, platform and file name.
        path: TargetPath,
    },
    /// Two files of one release have one name.
    #[error("two of the files are named `{}`", escape(.name))]
    FileTwice {
        /// The name.
        name: String,
    },
    /// A release of no file.
    #[error("a release needs at least one file")]
    NoFiles,
    /// More files than one release takes.
    #[error("a release has at most {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// The keys directory is the repository's or lies in it.
    #[error("the keys directory {} is inside the repository, which everyone may read", shown(.path))]
    KeysInside {
        /// The keys directory.
        path: PathBuf,
    },
    /// A threshold that the given keys cannot meet, or that asks for nobody.
    #[error("a threshold of {threshold} does not fit {keys} keys")]
    Threshold {
        /// The threshold asked for.
        threshold: u32,
        /// Number of keys.
        keys: usize,
    },
    /// The secret keys at hand are too few for a role.
    #[error("`{}` needs {need} signatures, and {have} of its keys are at hand", escape(.role))]
    ThresholdNotMet {
        /// The role.
        role: String,
        /// How many of its keys are in the keys directory.
        have: usize,
        /// How many must sign.
        need: u32,
        /// The public keys whose secret keys are not at hand.
        missing: Vec<String>,
    },
    /// A key that must be at hand is another than the repository's.
    #[error("the {what} of this repository is not in the keys directory")]
    KeyMissing {
        /// Which key.
        what: String,
    },
    /// Witnesses that clients require did not cosign.
    #[error("nothing was published: {source}")]
    Blocked {
        /// The log's verifier key, for the operators of witnesses.
        log: Box<VerifierKey>,
        /// What the log says.
        source: LogError,
    },
    /// What was signed would not be accepted by a client. Nothing of it is visible.
    #[error("nothing was published: a client would refuse the result")]
    SelfCheck(#[source] VerifyError),
    /// A proposal that cannot be made as it was asked for.
    #[error("{reason}")]
    ProposalUsage {
        /// Why.
        reason: &'static str,
    },
    /// Nobody says who proposes a change that needs another person than its proposer.
    #[error("changes of `{}` need another person than their proposer, and nobody says who proposes this one", escape(.product))]
    ProposerUnnamed {
        /// The product.
        product: String,
        /// Its signers.
        signers: Vec<String>,
    },
    /// A proposal's directory is incomplete, or something in it is not what a proposal has.
    #[error("{} is not part of a whole proposal: {reason}", shown(.path))]
    ProposalMalformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No proposal is where one was named.
    #[error("there is no proposal in {}", shown(.path))]
    ProposalMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The metadata that a proposal builds on does not verify.
    #[error("{} does not verify, which the proposal builds on", shown(.path))]
    ProposalBase {
        /// The file in the proposal.
        path: PathBuf,
        /// Why not; `None` if it is not there.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Something in a proposal, or an approval of it, is not what it says.
    #[error("{what}")]
    ApprovalInvalid {
        /// What is wrong, safe on a terminal.
        what: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// Somebody who signed a proposal has lost their say since, by which it is stale too.
    #[error("{} has signed it and has no say in `{}` any more; {stale}", escape(.name), escape(.role))]
    ApproverRemoved {
        /// Whose signature.
        name: String,
        /// The role.
        role: String,
        /// What else was published.
        stale: Box<PublishError>,
    },
    /// A proposal that can no longer be signed or published.
    #[error("the proposal expired on {expires}")]
    ProposalExpired {
        /// When.
        expires: Timestamp,
    },
    /// The proposal itself was published before.
    #[error("the proposal is stale: it was published already, as version {version} of {}", escape(.role))]
    ProposalPublished {
        /// One of its roles.
        role: String,
        /// The version of it that it became.
        version: u64,
    },
    /// Something else was published since the proposal was made.
    #[error("the proposal is stale: {what}")]
    ProposalStale {
        /// What changed, safe on a terminal.
        what: String,
    },
    /// Too few who have a say have signed a proposal.
    #[error("`{}` needs {need} signatures{}, and has {}", escape(.role), of_whom(.by), counted(.have))]
    ApprovalsMissing {
        /// The role.
        role: String,
        /// Whose signatures: of the root as it stands, or of the new one; empty for other roles.
        by: &'static str,
        /// How many must sign.
        need: u32,
        /// Who has signed.
        have: Vec<String>,
        /// Who has not.
        missing: Vec<String>,
        /// What else is short: `targets: 2 more of root-1, root-2`, safe on a terminal.
        others: Vec<String>,
    },
    /// Only one person stands behind a change that needs two.
    #[error(transparent)]
    Separation(VerifyError),
    /// The repository's own metadata says something in `x-countersign` that is not understood.
    #[error(transparent)]
    Extension(VerifyError),
    /// An advisory is not one.
    #[error("{} is not an OSV advisory: {reason}", shown(.path))]
    AdvisoryMalformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The version is not released, so it cannot be taken back.
    #[error("{} {version} is not released", escape(.product))]
    VersionUnknown {
        /// The product.
        product: String,
        /// The version.
        version: String,
    },
    /// The repository's storage refused.
    #[error("{0}")]
    Storage(#[source] StoreError),
    /// A file to release does not exist.
    #[error("there is no file {}", shown(.path))]
    FileNotFound {
        /// Its path.
        path: PathBuf,
    },
    /// A file to release cannot be read.
    #[error("{} cannot be read", shown(.path))]
    FileUnreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file to release is not a regular file.
    #[error("{} is {kind}, not a regular file", shown(.path))]
    FileNotRegular {
        /// Its path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file to release is larger than any client accepts.
    #[error("{} is larger than {limit} bytes", shown(.path))]
    FileTooLarge {
        /// Its path.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A rule of TUF.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// Metadata could not be made or signed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A witness, a log name or a quorum that cannot be in a policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A name that a log or witness cannot have.
    #[error(transparent)]
    Vkey(#[from] VkeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The local witness.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A key could not be made, found or opened.
    #[error(transparent)]
    Key(#[from] KeysError),
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

impl Explain for PublishError {
    fn code(&self) -> Code {
        match self {
            Self::RepoExists { .. } | Self::InitDiffers { .. } => code::PUBLISH_REPO_EXISTS,
            Self::DirNotEmpty { .. } => code::PUBLISH_DIR_NOT_EMPTY,
            Self::RepoMissing { .. } => code::PUBLISH_REPO_MISSING,
            Self::Damaged { .. } => code::PUBLISH_REPO_DAMAGED,
            Self::ProofRefused { source, .. } => source.code(),
            Self::ClockBehind { .. } => code::CLOCK_BEHIND_EVIDENCE,
            Self::KeyNeeded { .. } => code::USAGE,
            Self::KeyEnded { .. } => code::KEY_REVOKED,
            Self::Unfinished { .. } => code::PUBLISH_UNFINISHED,
            Self::Incomplete { .. } => code::INTERNAL_ERROR,
            Self::Locked { .. } => code::PUBLISH_LOCKED,
            Self::ProductExists { .. } => code::PUBLISH_PRODUCT_EXISTS,
            Self::ProductUnknown { .. } => code::PUBLISH_PRODUCT_UNKNOWN,
            Self::VersionExists { .. } => code::PUBLISH_VERSION_EXISTS,
            Self::FileTwice { .. }
            | Self::NoFiles
            | Self::TooManyFiles { .. }
            | Self::KeysInside { .. }
            | Self::Threshold { .. } => code::USAGE,
            Self::ThresholdNotMet { .. } => code::PUBLISH_THRESHOLD_NOT_MET,
            Self::KeyMissing { .. } => code::KEY_NOT_FOUND,
            Self::Blocked { source, .. } => blocked_code(source),
            Self::SelfCheck(error) => error.code(),
            Self::ProposalUsage { .. } | Self::ProposerUnnamed { .. } | Self::AdvisoryMalformed { .. } => {
                code::USAGE
            }
            Self::VersionUnknown { .. } => code::PUBLISH_VERSION_UNKNOWN,
            Self::ProposalMissing { .. } => code::FILE_NOT_FOUND,
            Self::ProposalMalformed { .. } => code::PROPOSAL_MALFORMED,
            Self::ProposalBase { .. } | Self::ApprovalInvalid { .. } | Self::ApproverRemoved { .. } => {
                code::APPROVAL_INVALID
            }
            Self::ProposalExpired { .. } => code::PROPOSAL_EXPIRED,
            Self::ProposalStale { .. } | Self::ProposalPublished { .. } => code::PROPOSAL_STALE,
            Self::ApprovalsMissing { .. } => code::PUBLISH_THRESHOLD_NOT_MET,
            Self::Separation(error) | Self::Extension(error) => error.code(),
            Self::Storage(_) => code::PUBLISH_STORAGE_FAILED,
            Self::FileNotFound { .. } => code::FILE_NOT_FOUND,
            Self::FileUnreadable { .. } => code::FILE_UNREADABLE,
            Self::FileNotRegular { .. } => code::FILE_NOT_REGULAR,
            Self::FileTooLarge { .. } => code::LIMIT_EXCEEDED,
            Self::Name(error) => error.code(),
            Self::Tuf(error) => error.code(),
            Self::Edit(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Vkey(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Witness(error) => error.code(),
            Self::Key(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::RepoExists { .. } => {
                Some("choose an empty or new folder; `init` never writes over anything".to_owned())
            }
            Self::DirNotEmpty { .. } => {
                Some("choose an empty or new folder; nothing is written over".to_owned())
            }
            Self::InitDiffers { path } => Some(format!(
                "run `init` with the same options and keys as before; or begin anew: nothing of {} was ever \
                 published, so it and its keys can be deleted",
                shown(path)
            )),
            Self::KeysInside { .. } => Some(
                "keep keys outside of the repository, in a folder that is never copied to a server"
                    .to_owned(),
            ),
            Self::RepoMissing { .. } => Some("make one with `countersign init`".to_owned()),
            Self::Damaged { path, .. } => Some(format!(
                "restore {} from a mirror or a copy; published metadata never changes, so any true copy will do",
                shown(path)
            )),
            Self::ProofRefused { source, .. } => Some(refused_fix(source)),
            Self::ClockBehind { .. } => Some(CLOCK_FIX.to_owned()),
            Self::KeyNeeded { .. } => {
                Some("give a replacement, or lower the threshold or quorum first".to_owned())
            }
            Self::KeyEnded { .. } => {
                Some("make a new key with `countersign key new`, and name that one".to_owned())
            }
            Self::Unfinished { .. } => {
                Some("complete it with `countersign renew`; nothing else can be published before".to_owned())
            }
            Self::Locked { .. } => Some("wait until the other process has ended and try again".to_owned()),
            Self::ProductUnknown { product } => {
                Some(format!("add it with `countersign product add REPO {}`", escape(product)))
            }
            Self::VersionExists { .. } => Some("release it under a new version".to_owned()),
            Self::ThresholdNotMet { missing, .. } if !missing.is_empty() => {
                Some(format!("secret keys that are not at hand: {}", missing.join(", ")))
            }
            Self::ApprovalsMissing { role, by, need, have, missing, others } => {
                let this = short_of(role, by, (*need as usize).saturating_sub(have.len()), missing);
                let all = core::iter::once(&this).chain(others).map(String::as_str).collect::<Vec<_>>();
                Some(format!("who must still sign: {}", all.join("; ")))
            }
            Self::ProposerUnnamed { signers, .. } => {
                Some(format!("name them with `--by NAME`; the signers are {}", people(signers)))
            }
            Self::ApprovalInvalid { fix, .. } => Some((*fix).to_owned()),
            Self::ProposalBase { .. } => Some(GET_IT_AGAIN.to_owned()),
            Self::ProposalMissing { .. } => {
                Some("name the folder that `countersign propose` made, or a copy of it".to_owned())
            }
            Self::VersionUnknown { .. } => {
                Some("name a version that the repository lists; `countersign list` shows them".to_owned())
            }
            Self::ApproverRemoved { .. } => Some(
                "make it again with `countersign proposal rebase`, and have those sign it who still have a say"
                    .to_owned(),
            ),
            Self::ProposalStale { .. } => {
                Some("make it again on today's metadata with `countersign proposal rebase`".to_owned())
            }
            Self::ProposalExpired { .. } => {
                Some("if it is still wanted, make it again with `countersign proposal rebase`".to_owned())
            }
            Self::KeyMissing { .. } => {
                Some("name the directory that holds this repository's keys".to_owned())
            }
            Self::Blocked { log, source } => blocked_fix(log, source),
            Self::Storage(error) => error.fix(),
            Self::Tuf(error) => error.fix(),
            Self::Edit(error) => error.fix(),
            Self::Policy(error) => error.fix(),
            Self::Log(error) => error.fix(),
            Self::Witness(error) => error.fix(),
            Self::Key(error) => error.fix(),
            Self::SelfCheck(error) => error.fix(),
            _ => None,
        }
    }
}
