//! Opening a log: prove what is stored, then finish what was interrupted.

use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_store::{Cell as _, Dir, Disk, Lock, Objects as _, RealDisk};
use countersign_tlog::merkle::{self, EMPTY_ROOT};
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use super::signing::Signing;
use super::tiles::Growing;
use super::wal::{Wal, WalError};
use super::{LogKey, Sequencer};
use crate::dedup::{Dedup, Opening};
use crate::error::LogError;
use crate::tree::{self, CHECKPOINT, Edge, Fault, FaultKind, Files, TILES};

const LOCK: &str = "lock";
const SIGNED: &str = "checkpoint";

impl Sequencer {
    /// Opens the log, creating it if there is none, and finishes what a crash interrupted.
    ///
    /// Every hash tile and the last entry bundle are read and proven against the checkpoint that was signed last: a log
    /// that has lost or changed any of them signs nothing more. Other entries are checked when they are read.
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
        let (edge, dedup) = prove_storage(&private, &public, &key, &signed)?;
        let size = signed.checkpoint().size();
        let (wal, batches) = Wal::open(disk, private.root(), size).map_err(wal_fault)?;
        let mut log = Self {
            signing: Signing::new(key, cell, held, signed),
            public,
            wal,
            growing: Growing::new(edge.tiles, edge.bundle),
            pending: Vec::new(),
            pending_bytes: 0,
            dedup,
            sealed: Vec::new(),
            recovered: 0,
            stopped: false,
            lock,
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
    public: &Dir,
    key: &LogKey,
    signed: &SignedCheckpoint,
) -> Result<(Edge, Dedup), LogError> {
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
    let opening = Opening::new(private, current.size())?;
    let visit = |first, leaves: Vec<_>| opening.see(first, &leaves);
    let edge = tree::prove_tiles(public, current.size(), current.root(), &visit).map_err(storage_fault)?;
    if let Some(published) = published {
        // From tiles that were just proven.
        let files = Files::new(public, current.size());
        if merkle::tree_root(published.size(), &files).map_err(storage_fault)? != *published.root() {
            return Err(LogError::StorageCorrupt("the published checkpoint is of another tree".to_owned()));
        }
    }
    Ok((edge, opening.finish()?))
}

fn wal_fault(error: WalError) -> LogError {
    match error {
        WalError::Store(error) => error.into(),
        WalError::Damaged { .. } => LogError::StorageCorrupt(error.to_string()),
        WalError::Gap { .. } => LogError::StorageRollback(error.to_string()),
    }
}

/// What a wrong file means to the log that wrote it.
pub(crate) fn storage_fault(fault: Fault) -> LogError {
    match fault.kind {
        FaultKind::Missing => LogError::StorageRollback(format!("`{}` is missing", fault.path)),
        FaultKind::Wrong(what) => LogError::StorageCorrupt(format!("`{}`: {what}", fault.path)),
        FaultKind::Store(error) => error.into(),
        FaultKind::Range(error) => LogError::StorageCorrupt(error.to_string()),
    }
}
