//! The sequencer: one process, one log, on a private and a public folder.
//!
//! Specs: <https://c2sp.org/tlog-tiles> for the files, <https://c2sp.org/tlog-checkpoint> for the checkpoint.
//!
//! The private folder holds the lock, the write-ahead log and the signed checkpoint; the public one holds what
//! readers fetch. An entry goes through five steps. After each comes what a crash there leaves behind:
//!
//! 1. [`Sequencer::append`] writes the batch to the write-ahead log (one write, one fsync) and only then tells
//!    the indices. *A crash before the fsync ends:* nobody was told an index; the torn record is dropped at
//!    reopening. *After:* the batch is read back and goes through steps 2 and 3 at reopening.
//! 2. [`Sequencer::integrate`] writes entry bundles and tiles, full and partial, never replacing any. Their bytes
//!    follow from the entries alone, whose order the write-ahead log has fixed. *A crash in between:* some files
//!    exist for which no checkpoint was signed; reopening makes the same bytes, finds them there, and goes on.
//! 3. It signs the checkpoint and puts it into the private cell, by compare-and-swap. This is the moment that
//!    binds: from now on this tree is the log. *A crash before:* as in step 2. *After:* all files of the signed
//!    tree are durable, so the checkpoint can be published at any time.
//! 4. [`Sequencer::publish`] has witnesses cosign it. *A crash after some of them did:* they have seen a tree that
//!    is signed and complete, and the next call offers them the same tree or one that extends it.
//! 5. It replaces the public checkpoint, atomically. *A crash before:* readers see the checkpoint before, whose
//!    tree is a part of this one, and none of whose files has changed.
//!
//! Recovery is steps 2 and 3 by the same functions, so they run every day. Before them, opening proves the whole
//! stored tree against the signed checkpoint ([`Sequencer::open`]) and makes the write-ahead log durable once
//! more, because the fsync of the process before may have failed. After a failure of storage the value refuses
//! all further work: only reopening knows what is on disk.
//!
//! What this does not notice: both folders restored together from an older copy. Witnesses do: they hold a larger
//! size, and publishing then stops with `log-storage-rollback`.

mod key;
mod open;
mod publish;
mod wal;

use std::collections::HashMap;

use countersign_base::Timestamp;
use countersign_crypto::Signer;
use countersign_store::{Cell as _, Dir, DirCell, Held, Lock, Objects as _};
use countersign_tlog::merkle::{self, Hash, MAX_TREE_SIZE, leaf_hash};
use countersign_tlog::tile::{RightEdge, append_to_bundles};
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use crate::error::LogError;
use crate::tree::{Fault, Files};
pub use key::LogKey;
use wal::{Batch, RESET_BYTES, Wal};

/// Longest entry, in bytes: its length is written in two.
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Most entries in one [`Sequencer::append`].
pub const MAX_BATCH_ENTRIES: usize = 65_536;
/// Most bytes of acknowledged entries that wait in memory for their tiles; then `append` makes tiles first.
const MAX_PENDING_BYTES: usize = 64 * 1024 * 1024;

/// A log, open for appending. There is one at a time.
#[derive(Debug)]
pub struct Sequencer {
    key: LogKey,
    public: Dir,
    cell: DirCell,
    /// The signed checkpoint; `None` only after a failed replacement.
    held: Option<Held>,
    signed: SignedCheckpoint,
    wal: Wal,
    /// The tree that is in tiles, and signed.
    edge: RightEdge,
    /// The bytes of its partial entry bundle.
    partial: Vec<u8>,
    /// Acknowledged entries that are not in tiles yet, with their leaf hashes.
    pending: Vec<(Vec<u8>, Hash)>,
    pending_bytes: usize,
    /// Index of the first entry with a leaf hash. Grows with the log, by some 50 bytes an entry.
    indices: HashMap<Hash, u64>,
    /// What opening found, for a message to the operator.
    recovered: usize,
    /// Storage failed; nothing more is written.
    stopped: bool,
    _lock: Lock,
}

impl Sequencer {
    /// Makes entries durable and returns the index of each. An entry that is in the log already gets its first
    /// index and is not written again.
    ///
    /// # Errors
    /// `log-entry-malformed` for an empty entry, `log-entry-too-large` above [`MAX_ENTRY_BYTES`],
    /// `limit-exceeded` above [`MAX_BATCH_ENTRIES`]: then nothing was written. `log-storage-failed`: nothing was
    /// acknowledged, and the log must be opened again.
    pub fn append(&mut self, entries: &[Vec<u8>], now: Timestamp) -> Result<Vec<u64>, LogError> {
        self.check_running()?;
        check_entries(entries)?;
        if self.pending_bytes > MAX_PENDING_BYTES {
            self.integrate(now)?;
        }
        let first = self.size();
        let mut fresh: HashMap<Hash, u64> = HashMap::new();
        let (mut indices, mut accepted) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            let leaf = leaf_hash(entry);
            if let Some(known) = self.indices.get(&leaf).or_else(|| fresh.get(&leaf)) {
                indices.push(*known);
                continue;
            }
            let index = first + accepted.len() as u64;
            fresh.insert(leaf, index);
            accepted.push((entry.clone(), leaf));
            indices.push(index);
        }
        if accepted.is_empty() {
            return Ok(indices);
        }
        if first > MAX_TREE_SIZE - accepted.len() as u64 {
            return Err(LogError::BatchTooLarge { count: entries.len() });
        }
        let batch = Batch { first, entries: accepted.iter().map(|(entry, _)| entry.clone()).collect() };
        let written = self.wal.append(&batch);
        self.or_stop(written.map_err(LogError::from))?;
        self.pending_bytes += batch.entries.iter().map(Vec::len).sum::<usize>();
        self.pending.extend(accepted);
        self.indices.extend(fresh);
        Ok(indices)
    }

    /// Puts acknowledged entries into tiles and signs the checkpoint, which stays private. Returns it.
    ///
    /// # Errors
    /// `log-storage-failed`, `log-storage-corrupt`, `log-writer-conflict` or the signer's: open the log again.
    pub fn integrate(&mut self, now: Timestamp) -> Result<&SignedCheckpoint, LogError> {
        self.check_running()?;
        let outcome = self.integrate_pending(now);
        self.or_stop(outcome)?;
        Ok(&self.signed)
    }

    fn integrate_pending(&mut self, now: Timestamp) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (entries, leaves): (Vec<Vec<u8>>, Vec<Hash>) =
            core::mem::take(&mut self.pending).into_iter().unzip();
        let bundles = append_to_bundles(self.edge.size(), &self.partial, &entries).map_err(broken)?;
        let tiles = self.edge.append(&leaves).map_err(broken)?;
        let partial = match bundles.last() {
            Some((id, bytes)) if !id.is_full() => bytes.clone(),
            _ => Vec::new(),
        };
        let bundles = bundles.into_iter().map(|(id, bytes)| (id.path(), bytes));
        let tiles = tiles.into_iter().map(|tile| (tile.id.path(), tile.bytes));
        let files: Vec<_> = bundles.chain(tiles).collect();
        self.public.put_all_if_absent(&files)?;
        self.partial = partial;
        self.pending_bytes = 0;

        let next = Checkpoint::new(self.key.origin(), self.edge.size(), self.edge.root())
            .map_err(|source| self.key.not_ours("new checkpoint", source))?;
        self.keep_signed(next, now)?;

        if self.wal.len() > RESET_BYTES {
            self.wal.reset()?;
        }
        Ok(())
    }

    /// Signs a checkpoint with all keys and keeps it in the cell.
    fn keep_signed(&mut self, checkpoint: Checkpoint, now: Timestamp) -> Result<(), LogError> {
        let signed = self.key.sign(checkpoint, now)?;
        let held = self.held.take().ok_or(LogError::Stopped)?;
        self.held = Some(self.cell.replace(held, &signed.encode())?);
        self.signed = signed;
        Ok(())
    }

    /// Takes another key of the log beside those it has: from now on checkpoints carry its signature as well, and the
    /// present one is signed again. A key that it has already changes nothing.
    ///
    /// This is how a log changes its key: what is published in between is good for those who know the old key and for
    /// those who know the new one.
    ///
    /// # Errors
    /// The key is not one for logs, or does not sign; `log-storage-failed`: open the log again.
    pub fn add_key(&mut self, signer: Box<dyn Signer>, now: Timestamp) -> Result<(), LogError> {
        self.check_running()?;
        self.key.add(signer)?;
        let outcome = self.sign_with_all(now);
        self.or_stop(outcome)
    }

    /// Signs the present checkpoint again if a key has not signed it.
    fn sign_with_all(&mut self, now: Timestamp) -> Result<(), LogError> {
        if self.key.all_signed(&self.signed) {
            return Ok(());
        }
        self.keep_signed(self.signed.checkpoint().clone(), now)
    }

    /// The log's key.
    pub const fn key(&self) -> &LogKey {
        &self.key
    }

    /// The latest signed checkpoint, without cosignatures. Its tiles are durable.
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Number of acknowledged entries, in tiles or not.
    pub fn size(&self) -> u64 {
        self.edge.size() + self.pending.len() as u64
    }

    /// Acknowledged entries that opening found without tiles, and has put into tiles.
    pub const fn recovered(&self) -> usize {
        self.recovered
    }

    /// The index of an entry with exactly these bytes.
    pub fn find(&self, entry: &[u8]) -> Option<u64> {
        self.indices.get(&leaf_hash(entry)).copied()
    }

    /// The entry with this index, in tiles or not.
    ///
    /// # Errors
    /// `usage` if there is none; `log-storage-corrupt` or `log-storage-rollback` if its bundle is not as it was.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        self.check_acknowledged(index)?;
        let size = self.edge.size();
        if let Some((entry, _)) = index.checked_sub(size).and_then(|place| self.pending.get(place as usize)) {
            return Ok(entry.clone());
        }
        let entry = Files::new(&self.public, size).entry(index).map_err(open::storage_fault)?;
        // What is given out is checked: the bundle may have changed since the log was opened.
        if self.indices.get(&leaf_hash(&entry)) != Some(&index) {
            return Err(LogError::StorageCorrupt(format!(
                "entry {index} has changed since the log was opened"
            )));
        }
        Ok(entry)
    }

    /// Shows every entry to `visit`, with its index, in order.
    ///
    /// # Errors
    /// `log-storage-corrupt` or `log-storage-rollback` if a bundle is not as it was when the log was opened.
    pub fn for_each_entry(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let size = self.edge.size();
        Files::new(&self.public, size)
            .for_each_entry(|index, entry| visit(index, entry).map_err(Stop::Caller))
            .map_err(|stop| match stop {
                Stop::Caller(error) => error,
                Stop::Fault(fault) => open::storage_fault(fault),
            })?;
        for (index, (entry, _)) in (size..).zip(&self.pending) {
            visit(index, entry)?;
        }
        Ok(())
    }

    /// The inclusion proof of entry `index` in the tree of `size` entries.
    ///
    /// # Errors
    /// `usage` if there is no such tree or no such entry in it.
    pub fn proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        self.check_range(index, size, index < size)?;
        let files = Files::new(&self.public, self.edge.size());
        let proof = merkle::inclusion_proof(index, size, &files).map_err(open::storage_fault)?;
        // What is given out is checked: tiles may have changed since the log was opened.
        let root = merkle::tree_root(size, &files).map_err(open::storage_fault)?;
        let leaf = merkle::HashReader::node(&files, merkle::Node { level: 0, index })
            .map_err(open::storage_fault)?;
        let good = merkle::verify_inclusion(index, size, &leaf, &root, &proof).is_ok();
        self.check_proof(size, &root, good)?;
        Ok(proof)
    }

    /// The consistency proof from the tree of `old` to the tree of `new` entries; empty if `old` is 0.
    ///
    /// # Errors
    /// `usage` if there are no such trees.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        self.check_range(old, new, old <= new)?;
        if old == 0 {
            return Ok(Vec::new());
        }
        let files = Files::new(&self.public, self.edge.size());
        let proof = merkle::consistency_proof(old, new, &files).map_err(open::storage_fault)?;
        let old_root = merkle::tree_root(old, &files).map_err(open::storage_fault)?;
        let new_root = merkle::tree_root(new, &files).map_err(open::storage_fault)?;
        let good = merkle::verify_consistency(old, new, &old_root, &new_root, &proof).is_ok();
        self.check_proof(new, &new_root, good)?;
        Ok(proof)
    }

    fn check_acknowledged(&self, index: u64) -> Result<(), LogError> {
        let held = self.size();
        if index < held { Ok(()) } else { Err(LogError::ProofRange { from: index, size: held, held }) }
    }

    fn check_range(&self, from: u64, size: u64, sensible: bool) -> Result<(), LogError> {
        let held = self.edge.size();
        if sensible && size <= held { Ok(()) } else { Err(LogError::ProofRange { from, size, held }) }
    }

    fn check_proof(&self, size: u64, root: &Hash, good: bool) -> Result<(), LogError> {
        let current = self.signed.checkpoint();
        if good && (size != current.size() || root == current.root()) {
            return Ok(());
        }
        Err(LogError::StorageCorrupt("its tiles have changed since it was opened".to_owned()))
    }

    fn check_running(&self) -> Result<(), LogError> {
        if self.stopped { Err(LogError::Stopped) } else { Ok(()) }
    }

    /// After any failure in the middle of a step the state in memory may be ahead of the disk, or behind.
    fn or_stop<T>(&mut self, outcome: Result<T, LogError>) -> Result<T, LogError> {
        self.stopped |= outcome.is_err();
        outcome
    }
}

/// Why a walk over entries ended early.
enum Stop {
    Caller(LogError),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Our own tiles are not what they must be: memory, since the disk was proven at opening.
fn broken(error: countersign_tlog::tile::TileError) -> LogError {
    LogError::StorageCorrupt(error.to_string())
}

fn check_entries(entries: &[Vec<u8>]) -> Result<(), LogError> {
    if entries.len() > MAX_BATCH_ENTRIES {
        return Err(LogError::BatchTooLarge { count: entries.len() });
    }
    for (place, entry) in entries.iter().enumerate() {
        match entry.len() {
            0 => return Err(LogError::EntryEmpty { place }),
            length if length > MAX_ENTRY_BYTES => return Err(LogError::EntryTooLarge { place, length }),
            _ => {}
        }
    }
    Ok(())
}
