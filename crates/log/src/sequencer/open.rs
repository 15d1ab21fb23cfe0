//! Opening a log: prove what is stored, then finish what was interrupted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_store::{Cell as _, Dir, Disk, Lock, Objects as _, RealDisk};
use countersign_tlog::merkle::{CompactRange, EMPTY_ROOT, Hash, leaf_hash};
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use super::wal::{Batch, Wal, WalError};
use super::{LogKey, Sequencer};
use crate::error::LogError;
use crate::tree::{self, CHECKPOINT, Fault, FaultKind, Proven, TILES};

const LOCK: &str = "lock";
const WAL: &str = "wal";
const SIGNED: &str = "checkpoint";

impl Sequencer {
    /// Opens the log, creating it if there is none, and finishes what a crash interrupted.
    ///
    /// The whole stored tree is read and proven against the checkpoint that was signed last: a log that has lost
    /// or changed anything signs nothing more.
    ///
    /// # Errors
    /// `log-writer-conflict`: another process has it open. `log-storage-rollback`: files of the signed tree are
    /// missing, or the public checkpoint is newer than the signed one. `log-storage-corrupt`: they differ.
    /// `log-storage-failed`. `log-origin-mismatch`, `log-key-unknown`: it is another log, or has another key.
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
        let (proven, indices) = prove_storage(&public, &key, &signed)?;
        let path = private.root().join(WAL);
        let (wal, batches) = Wal::open(disk, &path).map_err(|error| match error {
            WalError::Store(error) => LogError::from(error),
            WalError::Damaged(at) => LogError::StorageCorrupt(format!("`{}` at byte {at}", path.display())),
        })?;
        let mut log = Self {
            key,
            public,
            cell,
            held: Some(held),
            signed,
            wal,
            edge: proven.edge,
            partial: proven.partial,
            pending: Vec::new(),
            pending_bytes: 0,
            indices,
            recovered: 0,
            stopped: false,
            _lock: lock,
        };
        log.replay(batches)?;
        log.recovered = log.pending.len();
        log.integrate(now)?;
        log.sign_with_all(now)?;
        Ok(log)
    }

    /// Takes the acknowledged entries that no signed checkpoint covers.
    fn replay(&mut self, batches: Vec<Batch>) -> Result<(), LogError> {
        for batch in batches {
            let end = batch.first + batch.entries.len() as u64;
            if end <= self.edge.size() {
                continue;
            }
            // Batches are signed whole, so one that is not signed begins where the others end. A gap means that
            // the checkpoint and tiles are older than the write-ahead log has seen them.
            if batch.first != self.size() {
                return Err(LogError::StorageRollback(format!(
                    "the signed checkpoint covers {} entries, and the write-ahead log goes on with entry {}",
                    self.size(),
                    batch.first
                )));
            }
            for entry in batch.entries {
                let leaf = leaf_hash(&entry);
                let index = self.size();
                self.indices.entry(leaf).or_insert(index);
                self.pending_bytes += entry.len();
                self.pending.push((entry, leaf));
            }
        }
        Ok(())
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

type Index = HashMap<Hash, u64>;

/// Proves all tiles and bundles against the signed checkpoint, and that the public checkpoint is part of it.
fn prove_storage(public: &Dir, key: &LogKey, signed: &SignedCheckpoint) -> Result<(Proven, Index), LogError> {
    let current = signed.checkpoint();
    let published = match public.get(CHECKPOINT)? {
        Some(bytes) => Some(key.open(CHECKPOINT, &bytes)?),
        None => None,
    };
    let published = published.as_ref().map(SignedCheckpoint::checkpoint);
    if let Some(newer) = published.filter(|published| published.size() > current.size()) {
        return Err(LogError::StorageRollback(format!(
            "size {} is published, and the signed checkpoint has size {}",
            newer.size(),
            current.size()
        )));
    }
    let mut indices = Index::new();
    // The tree as it was at the published size.
    let mut past = CompactRange::new();
    let past_size = published.map_or(0, Checkpoint::size);
    let proven = tree::prove(public, current.size(), current.root(), &mut |bundle, hashes| {
        for (index, hash) in (bundle.first_leaf()..).zip(hashes) {
            indices.entry(*hash).or_insert(index);
            if index < past_size {
                // Cannot fail: a tree that was just proven is not too large.
                let _ = past.push(*hash);
            }
        }
    })
    .map_err(storage_fault)?;
    if published.is_some_and(|published| past.root() != *published.root()) {
        return Err(LogError::StorageCorrupt("the published checkpoint is of another tree".to_owned()));
    }
    Ok((proven, indices))
}

/// What a wrong file means to the log that wrote it.
pub(super) fn storage_fault(fault: Fault) -> LogError {
    match fault.kind {
        FaultKind::Missing => LogError::StorageRollback(format!("`{}` is missing", fault.path)),
        FaultKind::Wrong(what) => LogError::StorageCorrupt(format!("`{}`: {what}", fault.path)),
        FaultKind::Store(error) => error.into(),
        FaultKind::Range(error) => LogError::StorageCorrupt(error.to_string()),
    }
}
