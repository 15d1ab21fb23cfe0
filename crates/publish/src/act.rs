//! The act of publishing: what was signed becomes what clients see, wholly or not at all.
//!
//! Clients start at `timestamp.json`, and from there look only at files that it names, directly or through others,
//! by version and digest. So everything but the timestamp can be written in any order, and one atomic rename makes
//! it visible. The steps, and what a crash in or after each leaves:
//!
//! 1. Take the lock ([`lock`]). *A crash anywhere:* the kernel frees it.
//! 2. Read and verify the repository ([`crate::current::Current::read`]), open the log, clear what an earlier run left
//!    ([`Act::begin`]).
//!    What the local witness or the keys directory remembers is compared with the log ([`seen`]), so that an older copy
//!    is not built upon.
//!    Before anything is signed, witnesses elsewhere are asked the same.
//! 3. Choose numbers ([`Act::next_version`]): one more than the highest of what clients see and what the log has, so
//!    that none is ever used twice, whatever was interrupted.
//! 4. Copy released files into the private staging folder, and sync them. *A crash:* the next run deletes them.
//! 5. Log all new metadata in one batch; the log keeps a durable copy of each first. *A crash:* the log has entries
//!    that no client is pointed to. The next run goes on with the next numbers. It puts the metadata of those
//!    entries where monitors look for it ([`Act::reveal`]), so that nothing that is logged stays hidden.
//! 6. Have the log's checkpoint cosigned until the policy is met, and publish it. *A crash, or too few witnesses:* as
//!    in 5. The log may be ahead of the repository, never behind.
//!    The keys directory remembers the checkpoint, where no local witness does.
//! 7. Check the result as a client will ([`selfcheck`]). *If it is refused:* as in 5.
//! 8. Move files, proofs and metadata to their places, then sync the folders. Names are new or say their content, so
//!    nothing that clients use is touched. *A crash:* they lie there unused.
//! 9. Replace `timestamp.json`. *A crash before:* clients see the old repository, whole. *After:* the new one.
//!
//! The timestamp is not logged, so its number can be used twice: if the rename of step 9 does not survive a power
//! failure, a client that saw it keeps it until the number after the next one.
//!
//! # A new root
//!
//! Root N+1 is a second file that clients look for, so two renames make such a change visible, and between them
//! clients that know N and clients that know N+1 must both accept what is there ([`crate::trust::handover`]):
//!
//! - One checkpoint carries the signatures of the old and of the new log key and meets both policies. The new documents
//!   are proven by it, and so is anew whatever stays in force, if the policy changes.
//! - Snapshot and timestamp are signed by the new root's keys, and by the old root's as far as they are at hand.
//! - Before step 5 the rules of TUF are run on what is to be logged, and the new policy's witnesses cosign the present
//!   tree under the new log key alone. *If either fails:* nothing is logged, and the change can be dropped.
//!
//! From step 5 on there is no way back: the log has root N+1, and no other root of that number can ever follow. Until
//! the change is complete nothing else is published (`publish-unfinished`). The next renewal completes it from the
//! log's own copies ([`Act::unfinished`]), so nobody has to sign again. Step 7 is run for both kinds of client. Step 8
//! places everything but the root. Then:
//!
//! - Usually clients that know N accept the result too: the timestamp is replaced first, then root N+1 is placed, its
//!   proof before it. *A crash before:* as in step 8. *Between the two:* clients still know N and accept all of it.
//!   *After:* the new root. No client is ever refused.
//! - If they do not, because too few of the old online keys are at hand, root N+1 is placed first and the timestamp
//!   replaced at once. *A crash between the two:* clients wait for the next run (`tuf-threshold` or
//!   `tuf-key-revoked`), unless the old timestamp is good under the new root as well. That is the price of a lost key.
//!
//! Files that are there are never replaced but by the same bytes, and proofs only by proofs that meet the old policy
//! and the new, so a crash between any of these leaves each file with one or the other, both good.

mod prove;
mod unfinished;

use std::path::PathBuf;
use std::sync::Arc;

use countersign_base::code::TUF_EXPIRED;
use countersign_base::{Anchor, Explain as _, Timestamp};
use countersign_log::{Admission, Admitted, LogKey, Sequencer};
use countersign_store::{Disk, Lock, StoreError, durable};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;
use countersign_tuf::Role as _;
use countersign_tuf::metadata::{MetaFile, ROOT, SNAPSHOT};
use countersign_tuf::name::file_name;
use countersign_verify::Leaf;

use crate::current::Current;
use crate::error::PublishError;
use crate::expiry::Expiries;
use crate::keyring::{Keyring, Shared};
use crate::layout::{Layout, proof_path};
use crate::online::Online;
use crate::seen;
use crate::selfcheck::{self, Outcome};
use crate::staging::{Moves, PUBLIC_MODE, Staging};
use crate::trust::Handover;
use crate::witnesses::Connect;

/// The place and time of an act.
#[derive(Debug)]
pub(crate) struct Site {
    /// The repository's directory.
    pub layout: Layout,
    /// The keys directory, which has the local witness's state.
    pub keys: PathBuf,
    /// What writes files.
    pub disk: Arc<dyn Disk>,
    /// How long metadata is good for.
    pub expiries: Expiries,
    /// The one instant of the act.
    pub now: Timestamp,
    /// Whether a person says that this machine's clock is right and was ahead before: then dates may go back.
    pub clock_was_ahead: bool,
}

/// A signed metadata file that no one has seen yet.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// Role.
    pub role: String,
    /// Version.
    pub version: u64,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A released file in staging and its place in the repository.
#[derive(Debug)]
pub(crate) struct StagedTarget {
    /// Its copy.
    pub from: PathBuf,
    /// Where it goes.
    pub to: PathBuf,
}

/// What is to be published.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// New metadata other than snapshot and timestamp, each after what delegates to it.
    pub documents: Vec<Signed>,
    /// New released files.
    pub targets: Vec<StagedTarget>,
    /// Whether there is a new snapshot without any of these, because the old one expires soon.
    pub renew_snapshot: bool,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The new metadata, in the order of the log.
    pub documents: Vec<PublishedDocument>,
    /// Version of the new timestamp.
    pub timestamp_version: u64,
    /// When the new timestamp expires: clients need another by then.
    pub timestamp_expires: Timestamp,
    /// Size of the log's tree that proves the documents; `None` if there was nothing to log.
    pub tree_size: Option<u64>,
    /// Names, in the policy, of the witnesses that cosigned it.
    pub cosigners: Vec<String>,
    /// Entries that an interrupted run had promised and that this one has put into the log (`log-recovered`).
    pub recovered: usize,
}

/// One new metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedDocument {
    /// Role.
    pub role: String,
    /// Version.
    pub version: u64,
    /// Index of its entry in the log.
    pub index: u64,
}

/// A repository under its lock, its log open, without leftovers.
pub(crate) struct Act<'a> {
    site: &'a Site,
    anchor: Anchor,
    policy: Policy,
    log: Sequencer,
    admission: Admission,
    staging: Staging<'a>,
    /// Files whose proofs are made anew because the policy refuses some of them.
    mending: Vec<(String, u64)>,
    /// The policies of older roots that proofs of roots among them must meet.
    older: Vec<Policy>,
    _lock: Lock,
}

/// Takes the repository's lock.
///
/// # Errors
/// `publish-repo-missing`, `publish-locked`, `publish-storage-failed`.
pub(crate) fn lock(layout: &Layout) -> Result<Lock, PublishError> {
    if !layout.private().is_dir() {
        return Err(PublishError::RepoMissing { path: layout.root().to_owned() });
    }
    Lock::try_acquire(&layout.lock()).map_err(|error| match error {
        StoreError::Locked { .. } => PublishError::Locked { path: layout.root().to_owned() },
        other => other.into(),
    })
}

impl<'a> Act<'a> {
    /// As [`Act::begin`], for a repository that is there.
    pub(crate) fn on(
        site: &'a Site,
        lock: Lock,
        current: &Current,
        keyring: &mut Keyring<'_>,
    ) -> Result<Self, PublishError> {
        Self::begin(site, lock, current.anchor, &current.policy, current.version(SNAPSHOT), keyring)
    }

    /// Opens the log with its key and clears what an earlier run left behind. `seen` is the version of the snapshot
    /// that clients see, 0 for none.
    pub(crate) fn begin(
        site: &'a Site,
        lock: Lock,
        anchor: Anchor,
        policy: &Policy,
        seen: u64,
        keyring: &mut Keyring<'_>,
    ) -> Result<Self, PublishError> {
        let (layout, disk) = (&site.layout, &*site.disk);
        let (key, signer) = log_signer(policy, keyring)?;
        let known = policy.logs().iter().map(|log| log.key.clone());
        let key = LogKey::new(key.name(), Box::new(signer))?.knowing(known);
        let private = layout.private_log();
        let log = Sequencer::open_on(Arc::clone(&site.disk), &private, &layout.log(), key, site.now)?;
        seen::check_seen(site, policy, &log)?;
        let admission = Admission::open_on(Arc::clone(&site.disk), &private, &log, site.now)?;
        let staging = Staging::open(disk, layout.staging())?;
        durable::remove_stale(disk, &layout.metadata())?;
        durable::remove_stale(disk, &layout.private())?;
        if seen > 0 && layout.unfinished().exists() {
            // `init` died after its last step and before it said so.
            durable::remove(disk, &layout.unfinished())?;
        }
        let (policy, mending, older) = (policy.clone(), Vec::new(), Vec::new());
        let act = Self { site, anchor, policy, log, admission, staging, mending, older, _lock: lock };
        act.reveal(seen)?;
        Ok(act)
    }

    /// The staging folder, for released files.
    pub(crate) const fn staging(&self) -> &Staging<'a> {
        &self.staging
    }

    /// The number of the next version of `role`, of which clients see `seen`.
    ///
    /// A file that is there under the number counts too: after a restore of the log from a copy, the files may know
    /// more than the log does.
    pub(crate) fn next_version(&self, role: &str, seen: u64) -> u64 {
        let mut version = seen.max(self.admission.highest_version(role)) + 1;
        while self.site.layout.role_file(role, version).exists() {
            version += 1;
        }
        version
    }

    /// Has the proofs of all current metadata made anew, if any of them is refused.
    pub(crate) fn mend(&mut self, current: &Current) {
        if current.refused().is_empty() {
            return;
        }
        self.mending = current.files();
        for refused in current.refused().iter().filter(|refused| refused.role == ROOT) {
            self.mending.push((refused.role.clone(), refused.version));
            self.older.push(refused.policy.clone());
        }
    }

    /// Publishes a change with a new snapshot and timestamp. A new root in it comes first among its documents.
    ///
    /// # Errors
    /// `publish-blocked` or a witness's code, codes of the log, of the self-check and `publish-storage-failed`;
    /// clients see what they saw before. `log-storage-rollback` before anything is signed if a witness elsewhere has seen a
    /// larger tree than there is. `publish-unfinished` if another root is logged and not in force.
    pub(crate) fn publish(
        mut self,
        change: Change,
        online: &Online<'_>,
        keyring: &mut Keyring<'_>,
        connect: &mut Connect<'_>,
    ) -> Result<Publication, PublishError> {
        seen::ask_witnesses(&self.policy, &self.log, connect)?;
        let Change { mut documents, targets, renew_snapshot } = change;
        let completes = self.check_finished(&documents, online)?;
        let handover = Handover::of(&documents, online, &self.policy)?;
        let online = handover.as_ref().map_or(*online, |handover| online.under(&handover.root));
        let mut listed = online.listed_snapshot();
        if renew_snapshot || !documents.is_empty() || listed.is_none() {
            let version = self.next_snapshot(&online);
            let snapshot = online.sign_snapshot(version, &documents, keyring)?;
            listed = Some(MetaFile::describe(snapshot.version, &snapshot.bytes));
            documents.push(snapshot);
        }
        let listed = listed.ok_or(PublishError::Incomplete { role: SNAPSHOT })?;
        let (timestamp, timestamp_expires) = online.sign_timestamp(&listed, keyring)?;

        let root = online.root.version();
        // What a run before has logged is completed also if it has expired since: only then can people renew it.
        let as_of = if completes { Timestamp::EPOCH } else { self.site.now };
        selfcheck::rehearse(self.site, &documents, &timestamp.bytes, root, as_of)?;
        // All signatures on metadata are made, and have been in memory alone.
        keyring.settle()?;
        let (admitted, proven) =
            self.log_and_prove(documents, handover.as_ref(), &online, keyring, connect)?;
        let outcome =
            Outcome { documents: &proven.documents, reproofs: &proven.reproofs, timestamp: &timestamp.bytes };
        match selfcheck::check(self.site, self.anchor, outcome, root) {
            Err(error) if completes && error.code() == TUF_EXPIRED => {}
            other => other?,
        }
        // Whether those who know only the root before accept it too: see the head of this file.
        let root_first =
            handover.is_some() && selfcheck::check(self.site, self.anchor, outcome, root - 1).is_err();
        let (roots, others): (Vec<_>, Vec<_>) =
            proven.documents.iter().partition(|(document, _)| handover.is_some() && document.role == ROOT);
        self.place(&others, &proven.reproofs, &targets)?;
        if root_first {
            self.place(&roots, &[], &[])?;
        }
        let path = self.site.layout.timestamp();
        durable::write_atomic(&*self.site.disk, &path, &timestamp.bytes, PUBLIC_MODE)?;
        if !root_first {
            self.place(&roots, &[], &[])?;
        }

        let published = |entry: Admitted| PublishedDocument {
            role: entry.role,
            version: entry.version,
            index: entry.index,
        };
        Ok(Publication {
            documents: admitted.into_iter().map(published).collect(),
            timestamp_version: timestamp.version,
            timestamp_expires,
            tree_size: proven.tree_size,
            cosigners: proven.cosigners,
            recovered: self.log.recovered(),
        })
    }

    /// The number of the next snapshot.
    ///
    /// When clients drop the one that they hold, numbers go on from the last honest one: each snapshot is an entry of
    /// the log, so one with a higher number than the log has entries is not of the publisher's making (attack M03).
    fn next_snapshot(&self, online: &Online<'_>) -> u64 {
        let next = self.next_version(SNAPSHOT, online.snapshot_version());
        if next <= self.log.size() + 1 || !online.rotates() {
            return next;
        }
        let honest = (1..=self.log.size()).rev();
        let mut honest =
            honest.filter(|version| self.admission.next_version(SNAPSHOT, version - 1) != *version);
        let mut next = self.admission.next_version(SNAPSHOT, honest.next().unwrap_or(0));
        while self.site.layout.role_file(SNAPSHOT, next).exists() {
            next += 1;
        }
        next
    }

    /// Moves files to their places: step 8.
    fn place(
        &self,
        documents: &[&(Signed, Vec<u8>)],
        reproofs: &[(String, u64, Vec<u8>)],
        targets: &[StagedTarget],
    ) -> Result<(), PublishError> {
        let layout = &self.site.layout;
        let mut moves = Moves::new(&*self.site.disk);
        for target in targets {
            moves.place_content(&target.from, layout.root(), &target.to)?;
        }
        for (role, version, proof) in reproofs {
            moves.place_proof(&self.staging.put(proof)?, &proof_path(&layout.role_file(role, *version)))?;
        }
        for (document, proof) in documents {
            let path = layout.role_file(&document.role, document.version);
            // A client that walks roots sees a new one at once, so its proof is there before it.
            moves.place_proof(&self.staging.put(proof)?, &proof_path(&path))?;
            moves.place_version(&self.staging.put(&document.bytes)?, &path, &document.bytes)?;
        }
        Ok(moves.settle()?)
    }

    /// Puts metadata that was logged and never published where monitors look for it: the log says that it exists.
    ///
    /// Roots are left out: a client that walks the chain would come upon one without a proof.
    fn reveal(&self, seen: u64) -> Result<(), PublishError> {
        let last = self.admission.find(&self.log, SNAPSHOT, seen)?;
        let first = last.map_or(0, |snapshot| snapshot.index + 1);
        let mut moves = Moves::new(&*self.site.disk);
        for index in first..self.log.size() {
            let Ok(leaf) = Leaf::parse(&self.log.entry(index)?) else { continue };
            let path = self.site.layout.role_file(&leaf.role, leaf.version);
            if leaf.role == ROOT || file_name(&leaf.role, None).is_err() || path.exists() {
                continue;
            }
            if let Some(bytes) = self.admission.document(&leaf.sha256)? {
                moves.place_version(&self.staging.put(&bytes)?, &path, &bytes)?;
            }
        }
        Ok(moves.settle()?)
    }
}

/// The key of the policy's log: the first that is at hand.
fn log_signer(policy: &Policy, keyring: &mut Keyring<'_>) -> Result<(VerifierKey, Shared), PublishError> {
    for log in policy.logs() {
        if let Some(signer) = keyring.signer(log.key.public_key())? {
            return Ok((log.key.clone(), signer));
        }
    }
    let names: Vec<String> = policy.logs().iter().map(|log| log.key.to_string()).collect();
    Err(PublishError::KeyMissing { what: format!("key of the log {}", names.join(" or ")) })
}
