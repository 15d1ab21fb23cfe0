//! `TransparentSet`: TUF's trusted set, where nothing is trusted that was not logged and witnessed.
//!
//! Order of rules for each document: TUF first (signatures, versions, hashes, expiry), then that it was signed for this
//! repository, then transparency (its leaf is in a log whose checkpoint meets the policy), then the lineage of checkpoints. A document that fails
//! any of them leaves the set as it was. Design section 2; C2SP tlog-proof "Verifying a tlog proof".

use std::collections::BTreeMap;

use countersign_base::json;
use countersign_base::{Anchor, Sha256Digest, Timestamp, canonical};
use countersign_crypto::sha256;
use countersign_tlog::policy::Policy;
use countersign_tlog::proof::TlogProof;
use countersign_tuf::{Held, TrustedSet, Update};

use crate::error::VerifyError;
use crate::extension::check_repository;
use crate::leaf::Leaf;
use crate::lineage::Lineage;
use crate::policy::root_policy;
use crate::verified::{Logged, Report, RoleReport};

/// A metadata file and the `.tlog-proof` beside it, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The metadata file's bytes.
    pub bytes: Vec<u8>,
    /// The proof file's bytes; `None` if there is none, which is an error in its own right.
    pub proof: Option<Vec<u8>>,
}

/// A repository's metadata as far as it is verified: signed by enough people, fresh, logged, witnessed.
///
/// Feed it the documents in TUF's order: roots, timestamp, snapshot, targets, delegated roles. After an error
/// it is what it was before the call.
#[derive(Debug, Clone)]
pub struct TransparentSet {
    anchor: Anchor,
    now: Timestamp,
    tuf: TrustedSet,
    policy: Policy,
    lineage: Lineage,
    /// The lineage as this run found it: what a new snapshot must not fall behind.
    before: Lineage,
    logged: BTreeMap<String, Logged>,
    seen: BTreeMap<(String, u64), Sha256Digest>,
}

impl TransparentSet {
    /// Starts from the anchor, the first root and the checkpoints accepted in earlier runs.
    ///
    /// # Errors
    /// `trust-anchor-untrusted` if the root is not the anchor's; `clock-behind-evidence`; `log-policy-invalid`;
    /// any code of TUF or of the log proof.
    pub fn new(
        anchor: Anchor,
        first: &Document,
        lineage: Lineage,
        now: Timestamp,
    ) -> Result<Self, VerifyError> {
        let found = Anchor(sha256(&first.bytes));
        if found != anchor {
            return Err(VerifyError::AnchorMismatch { expected: anchor, found });
        }
        lineage.check_clock(now)?;
        let tuf = TrustedSet::new(&first.bytes, now)?;
        tuf.root().check_strict()?;
        let policy = root_policy(tuf.root())?;
        let mut set = Self {
            anchor,
            now,
            tuf,
            policy,
            before: lineage.clone(),
            lineage,
            logged: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        set.accept("root", 1, first, None)?;
        Ok(set)
    }

    /// Root version N+1: signed by the thresholds of N and N+1, proven under the policy of N.
    pub fn update_root(&mut self, document: &Document) -> Result<(), VerifyError> {
        let mut next = self.clone();
        next.tuf.update_root(&document.bytes)?;
        next.tuf.root().check_strict()?;
        check_repository("root", next.tuf.root(), self.anchor)?;
        let version = next.version("root");
        // `next.policy` is still that of the root before.
        next.accept("root", version, document, None)?;
        next.policy = root_policy(next.tuf.root())?;
        *self = next;
        Ok(())
    }

    /// The timestamp, which is not logged: it only points to a snapshot that is.
    pub fn update_timestamp(&mut self, bytes: &[u8]) -> Result<Update, VerifyError> {
        let mut next = self.tuf.clone();
        let update = next.update_timestamp(bytes)?;
        self.take_timestamp(next)?;
        Ok(update)
    }

    /// A timestamp kept from an earlier run: guards against rollback, whether or not it has expired since.
    pub fn restore_timestamp(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let mut next = self.tuf.clone();
        next.restore_timestamp(bytes)?;
        self.take_timestamp(next)
    }

    /// A snapshot kept from an earlier run.
    ///
    /// One that the timestamp still lists is used, after the same checks as a fetched one; an outdated one only
    /// guards against rollback.
    pub fn restore_snapshot(&mut self, document: &Document) -> Result<Held, VerifyError> {
        let mut next = self.clone();
        let held = next.tuf.restore_snapshot(&document.bytes)?;
        next.check_snapshot()?;
        let version = next.version("snapshot");
        match held {
            Held::Current => next.accept("snapshot", version, document, None)?,
            Held::Outdated => {
                next.logged.remove("snapshot");
                next.remember("snapshot", version, &document.bytes);
            }
        }
        *self = next;
        Ok(held)
    }

    /// The snapshot that the timestamp lists.
    ///
    /// # Errors
    /// Also `log-rollback` if a snapshot not seen before is proven only by a tree smaller than one accepted
    /// in an earlier run: every publication logs a snapshot last, so a newer one has a larger tree.
    pub fn update_snapshot(&mut self, document: &Document) -> Result<(), VerifyError> {
        let mut next = self.clone();
        next.tuf.update_snapshot(&document.bytes)?;
        next.check_snapshot()?;
        let version = next.version("snapshot");
        let newest = !self.seen.contains_key(&("snapshot".to_owned(), version));
        next.accept("snapshot", version, document, newest.then_some(&self.before))?;
        *self = next;
        Ok(())
    }

    /// The top-level targets that the snapshot lists.
    pub fn update_targets(&mut self, document: &Document) -> Result<(), VerifyError> {
        let mut next = self.clone();
        next.tuf.update_targets(&document.bytes)?;
        next.check_ours("targets")?;
        let version = next.version("targets");
        next.accept("targets", version, document, None)?;
        *self = next;
        Ok(())
    }

    /// A role that the loaded role `parent` delegates to.
    pub fn update_role(&mut self, role: &str, parent: &str, document: &Document) -> Result<(), VerifyError> {
        let mut next = self.clone();
        next.tuf.update_delegated(role, parent, &document.bytes)?;
        next.check_ours(role)?;
        let version = next.version(role);
        next.accept(role, version, document, None)?;
        *self = next;
        Ok(())
    }

    /// Remembers a document accepted in an earlier run, so that another one of its version is noticed.
    pub fn remember(&mut self, role: &str, version: u64, bytes: &[u8]) {
        self.seen.insert((role.to_owned(), version), sha256(bytes));
    }

    /// Remembers a document kept from an earlier run that the snapshot no longer describes, if its own proof shows
    /// that it was logged as this version (attack L14 c). A damaged copy shows nothing and is not remembered.
    pub fn remember_logged(&mut self, role: &str, version: u64, document: &Document) {
        // On a copy: the checkpoint of a document that is not used is not part of this run's lineage.
        if self.clone().check_logged(role, version, document, sha256(&document.bytes)).is_ok() {
            self.remember(role, version, &document.bytes);
        }
    }

    /// The TUF state: what is loaded, and what it lists.
    pub const fn tuf(&self) -> &TrustedSet {
        &self.tuf
    }

    /// Which repository.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The transparency policy of the newest root.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The instant at which everything is judged.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The checkpoints accepted so far, some perhaps still to be proven consistent.
    pub const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// For discharging [`Lineage::open_links`].
    pub const fn lineage_mut(&mut self) -> &mut Lineage {
        &mut self.lineage
    }

    /// Where the loaded version of `role` is logged.
    pub fn logged(&self, role: &str) -> Option<&Logged> {
        self.logged.get(role)
    }

    /// Fails unless the loaded version of each role was shown to be in the log.
    ///
    /// A snapshot taken up only as a guard against rollback is not: its proof was never looked at.
    pub(crate) fn require_logged(&self, roles: &[&str]) -> Result<(), VerifyError> {
        match roles.iter().find(|role| !self.logged.contains_key(**role)) {
            None => Ok(()),
            Some(role) => Err(VerifyError::ProofMissing {
                role: (*role).to_owned(),
                version: self.version(role),
                reason: "its proof has not been checked",
            }),
        }
    }

    /// What is established about the chain of roles down to `role`.
    pub(crate) fn report(&self, role: Option<&str>) -> Report {
        let chain = ["root", "timestamp", "snapshot", "targets"].into_iter().chain(role);
        let roles = chain.filter_map(|role| self.role_report(role)).collect();
        Report { repository: self.anchor, roles, checked_at: self.now }
    }

    fn role_report(&self, role: &str) -> Option<RoleReport> {
        let (version, expires) = self.tuf.version_and_expiry(role)?;
        let signers = self.tuf.signers(role)?;
        Some(RoleReport {
            role: role.to_owned(),
            version,
            expires,
            threshold: signers.threshold,
            keys: signers.signed.len() + signers.unsigned.len(),
            signers: signers.signed.clone(),
            logged: self.logged.get(role).cloned(),
        })
    }

    /// What we hold our own repositories to beyond TUF: key ids that are digests, thresholds that can be met, and that
    /// the file was signed for this repository.
    fn check_ours(&self, role: &str) -> Result<(), VerifyError> {
        let Some(file) = self.tuf.role(role) else { return Ok(()) };
        file.check_strict()?;
        check_repository(role, file, self.anchor)
    }

    fn check_snapshot(&self) -> Result<(), VerifyError> {
        self.tuf.snapshot().map_or(Ok(()), |file| check_repository("snapshot", file, self.anchor))
    }

    /// Goes on with a set that has taken a timestamp.
    fn take_timestamp(&mut self, next: TrustedSet) -> Result<(), VerifyError> {
        if let Some(file) = next.timestamp() {
            check_repository("timestamp", file, self.anchor)?;
        }
        self.tuf = next;
        Ok(())
    }

    fn version(&self, role: &str) -> u64 {
        self.tuf.version_and_expiry(role).map_or(0, |(version, _)| version)
    }

    /// The transparency rules for one document that TUF accepts.
    fn accept(
        &mut self,
        role: &str,
        version: u64,
        document: &Document,
        not_behind: Option<&Lineage>,
    ) -> Result<(), VerifyError> {
        let sha256 = sha256(&document.bytes);
        let key = (role.to_owned(), version);
        if self.seen.get(&key).is_some_and(|seen| *seen != sha256) {
            return Err(VerifyError::DuplicateVersion { role: role.to_owned(), version });
        }
        let logged = self.check_logged(role, version, document, sha256)?;
        if let Some(before) = not_behind {
            let held = before.newest_size(&logged.origin);
            if logged.tree_size < held {
                return Err(VerifyError::LogRollback { origin: logged.origin, held, got: logged.tree_size });
            }
        }
        self.seen.insert(key, sha256);
        self.logged.insert(role.to_owned(), logged);
        Ok(())
    }

    fn check_logged(
        &mut self,
        role: &str,
        version: u64,
        document: &Document,
        sha256: Sha256Digest,
    ) -> Result<Logged, VerifyError> {
        let missing = |reason| VerifyError::ProofMissing { role: role.to_owned(), version, reason };
        let refused = |source| VerifyError::Proof { role: role.to_owned(), version, source };
        let proof = document.proof.as_deref().ok_or(missing("there is no proof file beside it"))?;
        let proof = TlogProof::parse(proof).map_err(refused)?;
        let entry = proof.extra.as_deref().ok_or(missing("its proof names no log entry"))?;
        let leaf = Leaf::parse(entry)
            .map_err(|_| missing("its proof is of something that is no metadata version"))?;
        if !leaf.is_of(self.anchor, role, version, (document.bytes.len(), sha256)) {
            let of_this = leaf.repository == self.anchor && leaf.role == role && leaf.version == version;
            if of_this && leaf.sha256 != sha256 && is_rewritten(&document.bytes, leaf.sha256) {
                return Err(VerifyError::Noncanonical { role: role.to_owned(), version });
            }
            return Err(missing("the proof beside it is of another file"));
        }
        let checked = proof.check(&self.policy, entry, self.now).map_err(refused)?;
        let checkpoint = checked.checkpoint();
        self.lineage.note(checkpoint.origin(), checkpoint.size(), *checkpoint.root())?;
        self.lineage.note_time(checked.proven_time());
        Ok(Logged {
            origin: checkpoint.origin().to_owned(),
            index: proof.index,
            tree_size: checkpoint.size(),
            cosigners: checked.cosigners().iter().map(|one| (one.key_name.clone(), one.time)).collect(),
        })
    }
}

/// Whether the canonical form of a file, which is how we write all of ours, is the one of this digest: then the file
/// says the same, and its signatures are good, yet it is not the file that was logged (attack M19). Tells two refusals
/// apart.
fn is_rewritten(bytes: &[u8], logged: Sha256Digest) -> bool {
    json::parse(bytes).is_ok_and(|value| sha256(&canonical::rfc8785(&value)) == logged)
}
