//! Proposals: a change that people look at, sign and publish, each where they are and in any order.
//!
//! A proposal is a directory ([`folder`]) that travels by git, by stick or by mail. It has the old metadata with its
//! proofs, the new metadata without signatures, and an [`Intent`] in words. Whoever opens it needs nothing else:
//!
//! 1. the old metadata is verified from the first root on, as a publisher reads its own repository;
//! 2. the new metadata is made once more from the old and the intent, and must be the same to the byte, so that intent,
//!    summary and what is signed cannot disagree;
//! 3. each new file carries the digest of `proposal.json`, so a signature on it is on this proposal and no other;
//! 4. files that it publishes have the digests that the new metadata lists;
//! 5. signatures are checked one by one; a bad one is reported and counts for nothing.
//!
//! A signature is a file of its own, so two people can sign copies at once, and copies merge. Which repository it is
//! for, [`Proposal::repository`], only the person can know: whoever makes up a repository can make up a proposal for it.
//!
//! ADR 0014 has the reasons.

mod approval;
mod at_once;
mod authority;
mod diff;
mod folder;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod holders;
mod intent;
mod plan;
mod publish;
mod sign;
mod statement;
mod summary;
mod text;
mod write;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use countersign_base::code::LOG_COSIGNATURE_TIME;
use countersign_base::text::escape;
use countersign_base::{Anchor, Explain as _, Sha256Digest, Timestamp};
use countersign_crypto::{PublicKey, sha256};
use countersign_store::{Disk, RealDisk};
use countersign_tuf::editor::Draft;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, key_id};
use countersign_tuf::{Role as _, Root, Targets};
use countersign_verify::{MAX_CLOCK_SKEW_SECONDS, extension};

use self::approval::{Approval, MAX_APPROVAL_BYTES};
use self::authority::{Authority, parsed};
use self::folder::{Folder, check_exactly, files, malformed};
use self::plan::{make, touched};
use self::statement::{Base, MAX_STATEMENT_BYTES, Statement};
use crate::current::Current;
use crate::error::{GET_IT_AGAIN, PublishError};
use crate::expiry::Expiries;
use crate::layout::{Layout, proof_path};
use crate::staging::digest_file;
use crate::trust;

pub use approval::BadApproval;
pub use authority::{GroupStatus, Person, RoleStatus};
pub use intent::{
    AdvisoryIntent, FileIntent, Intent, Member, ProductIntent, ReleaseIntent, RenewIntent, RevokeIntent,
    RevokeReason, RoleChange, RootChange, RotateIntent, YankIntent,
};
pub use sign::SignerOf;
pub use statement::{DEFAULT_VALID_DAYS, MAX_VALID_DAYS, MAX_WHY_BYTES, ProposedBy};
pub use summary::{RoleSummary, Summary};

pub(crate) use at_once::AtOnce;
pub(crate) use authority::short;
pub(crate) use holders::set_holders;
pub(crate) use plan::{Plan, PlannedFile, Planning};

/// Most version numbers that a proposal skips: those that interrupted runs have used up. Else who proposes could use up
/// all that there are.
const MAX_SKIPPED: u64 = 100;

/// A proposal that was read and verified.
#[derive(Debug)]
pub struct Proposal {
    folder: Folder,
    disk: Arc<dyn Disk>,
    now: Timestamp,
    statement: Statement,
    digest: Sha256Digest,
    old: Current,
    /// With the good signatures.
    drafts: Vec<Draft>,
    files: Vec<PlannedFile>,
    /// All that were found, good and bad.
    approvals: Vec<Approval>,
}

impl Proposal {
    /// Reads and verifies the proposal in the directory `dir`, at the time `now`. Its expiry is judged when it is
    /// signed or published.
    ///
    /// # Errors
    /// `proposal-malformed` for a directory that is no whole proposal; `approval-invalid` for anything in it that does
    /// not verify or that differs from what its own intent makes; `log-cosignature-time` if this machine's clock is
    /// behind the witnesses'.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, PublishError> {
        Self::open_on(Arc::new(RealDisk), dir, now)
    }

    /// As [`Proposal::open`]; what is signed or merged later is written through `disk`.
    ///
    /// # Errors
    /// As [`Proposal::open`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, now: Timestamp) -> Result<Self, PublishError> {
        let folder = Folder::new(dir);
        folder.check_top()?;
        let bytes = folder.read(&folder.statement(), MAX_STATEMENT_BYTES)?;
        let path = folder.statement();
        let statement = Statement::parse(&bytes).map_err(|reason| malformed(&path, &reason))?;
        if statement.created > now.plus_seconds(MAX_CLOCK_SKEW_SECONDS) {
            let made = statement.created;
            let what =
                format!("the proposal says it was made on {made}, and this machine's clock says {now}");
            let fix = "set the clock right, of this machine or of the one that made the proposal";
            return Err(PublishError::ApprovalInvalid { what, fix });
        }
        let old = read_old(&folder, &statement, now)?;
        let plan = make(&statement, &old, &Expiries::default()).map_err(|error| does_not_follow(&error))?;
        check_base(&statement, &old, &plan.drafts)?;
        check_drafts(&folder, &old, &plan.drafts)?;
        check_files(&folder, &plan.files)?;
        let mut proposal = Self {
            digest: sha256(&bytes),
            approvals: read_approvals(&folder)?,
            folder,
            disk,
            now,
            statement,
            old,
            drafts: plan.drafts,
            files: plan.files,
        };
        proposal.count()?;
        Ok(proposal)
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Which repository it is for. Compare it with the anchor that you trust.
    pub const fn repository(&self) -> Anchor {
        self.statement.repository
    }

    /// SHA-256 of its statement, which all its signatures are on: which proposal it is.
    pub const fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// What it is for.
    pub const fn intent(&self) -> &Intent {
        &self.statement.intent
    }

    /// Who proposes it.
    pub fn proposer(&self) -> &str {
        &self.statement.proposer
    }

    /// Why; untrusted text.
    pub fn why(&self) -> &str {
        &self.statement.why
    }

    /// When it was made.
    pub const fn created(&self) -> Timestamp {
        self.statement.created
    }

    /// When it can no longer be signed or published.
    pub const fn expires(&self) -> Timestamp {
        self.statement.expires
    }

    /// Who has signed what, and who may, by the old metadata that it has. What counts is the metadata of the day on
    /// which it is published.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn status(&self) -> Result<Vec<RoleStatus>, PublishError> {
        let authority = Authority::new(&self.old, &self.drafts)?;
        Ok(self.drafts.iter().map(|draft| authority.status(draft)).collect())
    }

    /// Signatures in the directory that do not count.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn bad(&self) -> Result<Vec<BadApproval>, PublishError> {
        let authority = Authority::new(&self.old, &self.drafts)?;
        let check = |approval: &Approval| approval.check(self.digest, &self.drafts, &authority).err();
        Ok(self.approvals.iter().filter_map(check).collect())
    }

    /// The public keys that have a say in it and have not signed yet.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn awaited(&self) -> Result<Vec<PublicKey>, PublishError> {
        let authority = Authority::new(&self.old, &self.drafts)?;
        let mut found = Vec::new();
        for draft in &self.drafts {
            for key in authority.keys(draft.role()) {
                let keyid = authority.keyid(draft.role(), &key);
                let signed = draft.signatures().any(|(id, _)| keyid.as_deref() == Some(id));
                if !signed && !found.contains(&key) {
                    found.push(key);
                }
            }
        }
        Ok(found)
    }

    /// Whether a key has a say in it.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn has_say(&self, key: &PublicKey) -> Result<bool, PublishError> {
        let authority = Authority::new(&self.old, &self.drafts)?;
        Ok(self.drafts.iter().any(|draft| authority.keyid(draft.role(), key).is_some()))
    }

    /// Whether it ends this key for good: the key is rotated or revoked, or was the second one of a key that is.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn ends(&self, key: &PublicKey) -> Result<bool, PublishError> {
        let keyid = key_id(key);
        for draft in &self.drafts {
            let ended = match draft.role() {
                ROOT => extension::ended(ROOT, &parsed::<Root>(draft)?, &keyid).map(|why| why.is_some()),
                TARGETS => {
                    extension::ended(TARGETS, &parsed::<Targets>(draft)?, &keyid).map(|why| why.is_some())
                }
                _ => continue,
            };
            if ended.map_err(PublishError::Extension)? {
                // What had ended before is not ended by this.
                return Ok(trust::check_not_ended(&self.old, key).is_ok());
            }
        }
        Ok(false)
    }

    /// What it changes, computed from the old and the new metadata.
    ///
    /// # Errors
    /// None for a proposal that was opened.
    pub fn summary(&self, now: Timestamp) -> Result<Summary, PublishError> {
        Summary::of(self, now)
    }

    /// Refuses a proposal whose time is over.
    ///
    /// # Errors
    /// `proposal-expired`.
    pub fn check_time(&self, now: Timestamp) -> Result<(), PublishError> {
        if self.statement.expires <= now {
            return Err(PublishError::ProposalExpired { expires: self.statement.expires });
        }
        Ok(())
    }

    /// Role and key id of each good signature.
    fn signatures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.drafts.iter().flat_map(|draft| draft.signatures().map(|(keyid, _)| (draft.role(), keyid)))
    }

    /// Puts the good signatures on the drafts.
    fn count(&mut self) -> Result<(), PublishError> {
        let authority = Authority::new(&self.old, &self.drafts)?;
        let check = |approval: &Approval| {
            let signature = approval.check(self.digest, &self.drafts, &authority).ok()?;
            Some((approval.role.clone(), approval.keyid.clone(), signature))
        };
        let good: Vec<_> = self.approvals.iter().filter_map(check).collect();
        drop(authority);
        for (role, keyid, signature) in good {
            if let Some(draft) = self.drafts.iter_mut().find(|draft| draft.role() == role) {
                draft.add_signature(&keyid, signature);
            }
        }
        Ok(())
    }
}

/// Reads the old metadata, from the first root on.
fn read_old(folder: &Folder, statement: &Statement, now: Timestamp) -> Result<Current, PublishError> {
    let layout = Layout::new(&folder.old());
    // Counted and looked at before any of it is read.
    files(&layout.metadata())?;
    let mut old = Current::read_public(&layout, now).map_err(|error| base_error(&layout, error))?;
    if old.anchor != statement.repository {
        return Err(invalid(
            "the metadata in the proposal is of another repository than it names".to_owned(),
        ));
    }
    let products = touched(&statement.intent, &old).map_err(|error| does_not_follow(&error))?;
    for product in &products {
        old.load_public(&layout, now, product).map_err(|error| base_error(&layout, error))?;
    }
    check_exactly(&layout.metadata(), &old_names(&layout, &old, &products))?;
    Ok(old)
}

/// Names of the old files that a proposal has.
fn old_names(layout: &Layout, old: &Current, products: &[String]) -> BTreeSet<String> {
    let mut paths: Vec<_> =
        (1..=old.root().version()).map(|version| layout.role_file(ROOT, version)).collect();
    let roles = [SNAPSHOT, TARGETS].into_iter().chain(products.iter().map(String::as_str));
    paths.extend(roles.map(|role| layout.role_file(role, old.version(role))));
    let proofs: Vec<_> = paths.iter().map(|path| proof_path(path)).collect();
    let all = paths.into_iter().chain(proofs).chain([layout.timestamp()]);
    all.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

/// The statement names what the new files follow, and their numbers.
fn check_base(statement: &Statement, old: &Current, drafts: &[Draft]) -> Result<(), PublishError> {
    if base(old, drafts) != statement.base {
        return Err(invalid("the proposal does not build on the metadata that it has".to_owned()));
    }
    let roles: BTreeSet<_> = drafts.iter().map(Draft::role).collect();
    if !statement.versions.keys().map(String::as_str).eq(roles.iter().copied()) {
        return Err(invalid("the proposal numbers other files than it has".to_owned()));
    }
    for draft in drafts {
        let before = old.version(draft.role());
        let follows = match draft.role() {
            ROOT => draft.version() == before + 1,
            _ => (before + 1..=before + 1 + MAX_SKIPPED).contains(&draft.version()),
        };
        if !follows {
            let (role, version) = (escape(draft.role()), draft.version());
            return Err(invalid(format!("version {version} of {role} does not follow version {before}")));
        }
    }
    Ok(())
}

/// What is there already of the files that `drafts` are to follow.
fn base(old: &Current, drafts: &[Draft]) -> std::collections::BTreeMap<String, Base> {
    let each = |draft: &Draft| {
        let (role, sha256) = (draft.role(), old.digest(draft.role())?);
        Some((role.to_owned(), Base { version: old.version(role), sha256 }))
    };
    drafts.iter().filter_map(each).collect()
}

/// The new files are, byte for byte, what the intent makes; and clients would take them.
fn check_drafts(folder: &Folder, old: &Current, drafts: &[Draft]) -> Result<(), PublishError> {
    let names = drafts.iter().map(|draft| format!("{}.json", draft.role())).collect();
    check_exactly(&folder.new_folder(), &names)?;
    for draft in drafts {
        let path = folder.draft(draft.role());
        if folder.read(&path, MAX_TARGETS_BYTES as u64)? != draft.to_bytes()? {
            let shown = escape(&path.to_string_lossy());
            return Err(invalid(format!("`{shown}` is not what the proposal's intent makes")));
        }
    }
    check_strict(old, drafts)
}

/// What we hold our own metadata to.
fn check_strict(old: &Current, drafts: &[Draft]) -> Result<(), PublishError> {
    for draft in drafts {
        match draft.role() {
            ROOT => parsed::<Root>(draft)?.check_strict()?,
            _ => parsed::<Targets>(draft)?.check_strict()?,
        }
    }
    Authority::new(old, drafts).map(drop)
}

/// The files that it publishes are there, with their lengths and digests.
fn check_files(folder: &Folder, planned: &[PlannedFile]) -> Result<(), PublishError> {
    let names = planned.iter().map(|file| file.sha256.to_string()).collect();
    check_exactly(&folder.files(), &names)?;
    for file in planned {
        let path = folder.files().join(file.sha256.to_string());
        let found = digest_file(&path)?;
        if !found.is(file) {
            let (path, target) = (escape(&path.to_string_lossy()), escape(&file.target));
            return Err(invalid(format!("`{path}` is not the file that `{target}` shall be")));
        }
    }
    Ok(())
}

/// The signatures, as far as their files have the form of one.
fn read_approvals(folder: &Folder) -> Result<Vec<Approval>, PublishError> {
    let mut found = Vec::new();
    for name in files(&folder.signatures())? {
        let path = folder.signatures().join(&name);
        let bytes = folder.read(&path, MAX_APPROVAL_BYTES)?;
        let approval = Approval::parse(&bytes).map_err(|reason| malformed(&path, &reason))?;
        if approval.file_name() != name {
            return Err(malformed(&path, "it has the name of another signature"));
        }
        found.push(approval);
    }
    Ok(found)
}

/// What does not hold in a proposal.
fn invalid(what: String) -> PublishError {
    PublishError::ApprovalInvalid { what, fix: GET_IT_AGAIN }
}

/// The intent cannot be carried out on the metadata that the proposal has.
fn does_not_follow(error: &PublishError) -> PublishError {
    invalid(format!("the proposal's intent cannot be carried out on the metadata that it has: {error}"))
}

/// Damage in a proposal's old metadata is not damage of a repository.
fn base_error(layout: &Layout, error: PublishError) -> PublishError {
    match error {
        PublishError::Damaged { path, source: None } => malformed(&path, "it is missing"),
        PublishError::Damaged { path, source } => PublishError::ProposalBase { path, source },
        // A wrong clock says nothing about the proposal.
        PublishError::ProofRefused { role, version, source } if source.code() != LOG_COSIGNATURE_TIME => {
            let path = proof_path(&layout.role_file(&role, version));
            PublishError::ProposalBase { path, source: Some(source) }
        }
        other => other,
    }
}
