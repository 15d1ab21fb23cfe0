//! Opening a log: prove what is stored, then finish what was interrupted.

use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_store::{Cell as _, Dir, Disk, Lock, Objects as _, RealDisk};
use countersign_tlog::merkle::EMPTY_ROOT;
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use super::batch::Batch;
use super::place::{Hold, Journal, Public, newer};
use super::signing::{Keeper, Signing};
use super::tiles::Growing;
use super::wal::{Wal, WalError};
use super::{LogKey, Sequencer};
use crate::dedup::{Dedup, Opening};
use crate::error::LogError;
use crate::lease::{Leader, ObjectJournal, SharedPlace, Tenure, follow};
use crate::tree::{self, CHECKPOINT, Edge, Fault, FaultKind, TILES};

const LOCK: &str = "lock";
const SIGNED: &str = "checkpoint";
/// Processes of one machine that lead one log, one after the other: only one of them is not stopped.
const MAX_CACHES: usize = 64;

impl Sequencer {
    /// Opens the log, creating it if there is none, and finishes what a crash interrupted.
    ///
    /// Every hash tile and the last entry bundle are read and proven against the checkpoint that was signed
    /// last: a log that has lost or changed any of them signs nothing more. Other entries are checked when
    /// they are read.
    ///
    /// # Errors
    /// `log-writer-conflict`: another process has it open. `log-storage-rollback`: files of the signed tree
    /// are missing, or the public checkpoint is newer than the signed one. `log-storage-corrupt`: they
    /// differ. `log-storage-failed`. `log-origin-mismatch`, `log-key-unknown`: it is another log, or has
    /// another key.
    pub fn open(private: &Path, public: &Path, key: LogKey, now: Timestamp) -> Result<Self, LogError> {
        Self::open_on(Arc::new(RealDisk), private, public, key, now)
    }

    /// As [`Sequencer::open`], on a given disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        private: &Path,
        public: &Path,
        key: LogKey,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let private = Dir::open_on(Arc::clone(&disk), private, 0o600)?;
        let lock = Lock::try_acquire(&private.root().join(LOCK))?;
        let public = Dir::open_on(Arc::clone(&disk), public, 0o644)?;
        private.remove_stale()?;
        public.remove_stale()?;
        let cell = private.cell(SIGNED)?;
        let held = match cell.load()? {
            Some(held) => held,
            None => {
                check_new(&public)?;
                let empty = Checkpoint::new(key.origin(), 0, EMPTY_ROOT)
                    .map_err(|source| key.not_ours("new checkpoint", source))?;
                cell.create(&key.sign(empty, now)?.encode())?
            }
        };
        let signed = key.open("the signed checkpoint", held.bytes())?;
        let public = Public::folder(public);
        let (edge, dedup) = prove_storage(&private, &public, &key, &signed)?;
        let size = signed.checkpoint().size();
        let (wal, batches) = Wal::open(disk, private.root(), size).map_err(wal_fault)?;
        let signing = Signing::new(key, Keeper::File { cell, held: Some(held) }, signed);
        Self::finish(
            signing,
            public,
            Journal::Files(Box::new(wal)),
            (edge, dedup),
            Hold::Lock(lock),
            batches,
            now,
        )
    }

    /// Opens a log on shared storage, whose leader this process has just become, and finishes what the one
    /// before has left.
    pub(crate) fn open_shared(
        place: &SharedPlace,
        key: LogKey,
        tenure: Tenure,
        leader: &Leader,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let lease = tenure.lease().clone();
        Self::open_leading(place, key, tenure, leader, now).map_err(|error| {
            // Given back, it would be taken by the next one at once, which meets the same.
            lease.abandon();
            lease.explain(error)
        })
    }

    fn open_leading(
        place: &SharedPlace,
        key: LogKey,
        tenure: Tenure,
        leader: &Leader,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let lease = tenure.lease().clone();
        let signed = key.open(SharedPlace::LEADER, &leader.note)?;
        let (cache, lock) = open_cache(place, leader)?;
        let public = Public::shared(Arc::clone(&place.objects), Arc::clone(&place.checkpoint), lease.clone());
        let proven = prove_storage(&cache, &public, &key, &signed)?;
        let batches = follow(&*place.objects, leader.journal, signed.checkpoint().size())?;
        // What was found is settled by this: whoever takes over from here on finds it as well.
        lease.check()?;
        let journal = Journal::Objects(ObjectJournal::begin(Arc::clone(&place.objects), lease.clone())?);
        let signing = Signing::new(key, Keeper::Lease(lease), signed);
        Self::finish(signing, public, journal, proven, Hold::Tenure(tenure, lock), batches, now)
    }

    /// Puts into tiles and signs what was found in the journal.
    fn finish(
        signing: Signing,
        public: Public,
        journal: Journal,
        (edge, dedup): (Edge, Dedup),
        hold: Hold,
        batches: Vec<Batch>,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let mut log = Self {
            signing,
            public,
            journal,
            growing: Growing::new(edge.tiles, edge.bundle),
            pending: Vec::new(),
            pending_bytes: 0,
            dedup,
            sealed: Vec::new(),
            recovered: 0,
            stopped: false,
            hold,
        };
        for batch in batches {
            log.recovered += batch.len();
            log.take(batch);
        }
        log.integrate(now)?;
        log.sign_with_all(now)?;
        Ok(log)
    }
}

/// A folder for the index of duplicates that no other process uses.
fn open_cache(place: &SharedPlace, leader: &Leader) -> Result<(Dir, Lock), LogError> {
    let mut number = 0;
    loop {
        let folder = place.cache.join(format!("{:032x}", leader.log)).join(number.to_string());
        let cache = Dir::open_on(Arc::new(RealDisk), &folder, 0o600)?;
        match Lock::try_acquire(&folder.join(LOCK)) {
            Ok(lock) => {
                cache.remove_stale()?;
                return Ok((cache, lock));
            }
            // Of a process that leads no more, and is not gone.
            Err(error) if error.is_locked() && number + 1 < MAX_CACHES => number += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Refuses to begin a log where there is one whose private folder is lost.
fn check_new(public: &Dir) -> Result<(), LogError> {
    let published = public.get(CHECKPOINT)?.is_some();
    if published || !public.list(TILES)?.is_empty() {
        return Err(LogError::StorageRollback(format!(
            "`{}` holds a log whose signed checkpoint is lost",
            public.root().display()
        )));
    }
    Ok(())
}

/// Proves all hash tiles against the signed checkpoint, and that the public checkpoint is part of it.
fn prove_storage(
    private: &Dir,
    public: &Public,
    key: &LogKey,
    signed: &SignedCheckpoint,
) -> Result<(Edge, Dedup), LogError> {
    let current = signed.checkpoint();
    let published = match public.published()? {
        Some(bytes) => Some(key.open(CHECKPOINT, &bytes)?),
        None => None,
    };
    let published = published.as_ref().map(SignedCheckpoint::checkpoint);
    if let Some(larger) = published.filter(|published| published.size() > current.size()) {
        return Err(newer(larger.size(), current.size()));
    }
    let opening = Opening::new(private, current.size())?;
    let visit = |first, leaves: Vec<_>| opening.see(first, &leaves);
    let edge =
        tree::prove_tiles(public.objects(), current.size(), current.root(), &visit).map_err(storage_fault)?;
    if let Some(published) = published {
        // From tiles that were just proven.
        public.check_root(published, current.size())?;
    }
    Ok((edge, opening.finish()?))
}

fn wal_fault(error: WalError) -> LogError {
    match error {
        WalError::Failed(error) => error,
        WalError::Damaged { .. } => LogError::StorageCorrupt(error.to_string()),
        WalError::Gap { .. } => LogError::StorageRollback(error.to_string()),
    }
}

/// What a wrong file means to the log that wrote it.
pub(crate) fn storage_fault(fault: Fault) -> LogError {
    match fault.kind {
        FaultKind::Missing => LogError::StorageIncomplete(fault.path),
        FaultKind::Wrong(what) => LogError::StorageCorrupt(format!("`{}`: {what}", fault.path)),
        FaultKind::Store(error) => error.into(),
        FaultKind::Range(error) => LogError::StorageCorrupt(error.to_string()),
    }
}
