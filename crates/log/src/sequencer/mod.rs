//! The sequencer: one process, one log, on a private and a public folder.
//!
//! Specs: <https://c2sp.org/tlog-tiles> for the files, <https://c2sp.org/tlog-checkpoint> for the checkpoint.
//!
//! The private folder holds the lock, the write-ahead log and the signed checkpoint; the public one holds
//! what readers fetch. An entry goes through five steps. After each comes what a crash there leaves behind:
//!
//! 1. [`Sequencer::append`] writes the batch to the write-ahead log (one write, one fsync) and only then
//!    tells the indices. *A crash before the fsync ends:* nobody was told an index; the torn record is
//!    dropped at reopening. *After:* the batch is read back and goes through steps 2 and 3 at reopening.
//! 2. [`Sequencer::integrate`] writes entry bundles and tiles, full and partial, never replacing any. Their
//!    bytes follow from the entries alone, whose order the write-ahead log has fixed. *A crash in between:*
//!    some files exist for which no checkpoint was signed; reopening makes the same bytes, finds them there,
//!    and goes on.
//! 3. It signs the checkpoint and puts it into the private cell, by compare-and-swap. This is the moment that
//!    binds: from now on this tree is the log. *A crash before:* as in step 2. *After:* all files of the
//!    signed tree are durable, so the checkpoint can be published at any time.
//! 4. [`Sequencer::publish`] has witnesses cosign it. *A crash after some of them did:* they have seen a tree
//!    that is signed and complete, and the next call offers them the same tree or one that extends it.
//! 5. It replaces the public checkpoint, atomically. *A crash before:* readers see the checkpoint before,
//!    whose tree is a part of this one, and none of whose files has changed.
//!
//! Recovery is steps 2 and 3 by the same functions, so they run every day. Before them, opening proves every
//! hash tile and the last bundle against the signed checkpoint ([`Sequencer::open`]) and makes the
//! write-ahead log durable once more, because the fsync of the process before may have failed. After a
//! failure of storage the value refuses all further work: only reopening knows what is on disk.
//!
//! On storage that several machines share the steps are these, with a leader in the place of the lock:
//! `crates/log/src/lease/mod.rs` says what differs and why a leader that was stopped can do no harm.
//!
//! What this does not notice: both folders restored together from an older copy. Witnesses do: they hold a
//! larger size, and publishing then stops with `log-storage-rollback`.

mod batch;
mod key;
mod open;
mod place;
mod publish;
mod record;
mod signing;
mod tiles;
mod wal;

use std::collections::HashMap;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_crypto::Signer;
use countersign_store::Objects;
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::merkle::{Hash, MAX_TREE_SIZE, leaf_hash};

use crate::dedup::{Dedup, Generation};
use crate::error::LogError;
use crate::read;
use crate::tree::{Fault, Files};
pub(crate) use batch::Batch;
pub use key::LogKey;
pub(crate) use open::storage_fault;
pub(crate) use place::{Hold, Journal, Public};
pub(crate) use publish::publication;
pub(crate) use record::{parse_object, with_object};
pub(crate) use signing::Signing;
pub(crate) use tiles::Growing;
pub(crate) use wal::{entries as wal_entries, fits};

/// Longest entry, in bytes: its length is written in two.
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Most entries in one [`Sequencer::append`].
pub const MAX_BATCH_ENTRIES: usize = 65_536;
/// Most bytes of acknowledged entries that wait in memory for their tiles; then `append` makes tiles first.
const MAX_PENDING_BYTES: usize = 64 * 1024 * 1024;

/// A log, open for appending. There is one at a time.
pub struct Sequencer {
    signing: Signing,
    public: Public,
    journal: Journal,
    /// The tree that is in tiles, and signed.
    growing: Growing,
    /// Acknowledged entries that are not in tiles yet.
    pending: Vec<Batch>,
    pending_bytes: usize,
    dedup: Dedup,
    /// Complete generations that are not in tiles yet.
    sealed: Vec<Arc<Generation>>,
    /// What opening found, for a message to the operator.
    recovered: usize,
    /// Storage failed; nothing more is written.
    stopped: bool,
    hold: Hold,
}

/// What a log is made of, for threads that share the work.
pub(crate) struct Parts {
    pub(crate) signing: Signing,
    pub(crate) public: Public,
    pub(crate) journal: Journal,
    pub(crate) growing: Growing,
    pub(crate) dedup: Dedup,
    pub(crate) hold: Hold,
}

impl Sequencer {
    /// Takes it apart, with nothing pending.
    pub(crate) fn into_parts(mut self, now: Timestamp) -> Result<Parts, LogError> {
        self.integrate(now)?;
        let Self { signing, public, journal, growing, dedup, hold, .. } = self;
        Ok(Parts { signing, public, journal, growing, dedup, hold })
    }

    /// Makes entries durable and returns the index of each. An entry that is in the log already gets its
    /// first index and is not written again.
    ///
    /// # Errors
    /// `log-entry-malformed` for an empty entry, `log-entry-too-large` above [`MAX_ENTRY_BYTES`],
    /// `limit-exceeded` above [`MAX_BATCH_ENTRIES`]: then nothing was written. `log-storage-failed`: nothing
    /// was acknowledged, and the log must be opened again.
    pub fn append(&mut self, entries: &[Vec<u8>], now: Timestamp) -> Result<Vec<u64>, LogError> {
        self.check_running()?;
        check_entries(entries)?;
        if self.pending_bytes > MAX_PENDING_BYTES {
            self.integrate(now)?;
        }
        let mut fresh: HashMap<Hash, u64> = HashMap::new();
        let mut indices = Vec::with_capacity(entries.len());
        let mut batches = vec![Batch::new(self.size())];
        for entry in entries {
            let leaf = leaf_hash(entry);
            if let Some(known) =
                fresh.get(&leaf).copied().map_or_else(|| self.find_leaf(&leaf), |i| Ok(Some(i)))?
            {
                indices.push(known);
                continue;
            }
            let index = add(&mut batches, entry, leaf)?;
            fresh.insert(leaf, index);
            indices.push(index);
        }
        for mut batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            let written = self.journal.append(&mut batch, self.signed().checkpoint().size());
            self.or_stop(written)?;
            self.take(batch);
        }
        Ok(indices)
    }

    /// Takes a batch that is durable.
    fn take(&mut self, batch: Batch) {
        for (index, leaf) in (batch.first()..).zip(batch.leaves()) {
            self.sealed.extend(self.dedup.insert(*leaf, index));
        }
        self.pending_bytes += batch.bytes();
        self.pending.push(batch);
    }

    /// Puts acknowledged entries into tiles and signs the checkpoint, which stays private. Returns it.
    ///
    /// # Errors
    /// `log-storage-failed`, `log-storage-corrupt`, `log-writer-conflict` or the signer's: open the log
    /// again.
    pub fn integrate(&mut self, now: Timestamp) -> Result<&SignedCheckpoint, LogError> {
        self.check_running()?;
        let outcome = self.integrate_pending(now);
        self.or_stop(outcome)?;
        Ok(self.signed())
    }

    fn integrate_pending(&mut self, now: Timestamp) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut files = self.growing.add(&core::mem::take(&mut self.pending)).map_err(broken)?;
        files.extend(self.growing.partial().map_err(broken)?);
        self.public.objects().put_all_if_absent(&files)?;
        self.pending_bytes = 0;
        self.signing.sign(self.growing.size(), self.growing.root(), now)?;
        for generation in core::mem::take(&mut self.sealed) {
            self.dedup.runs().add(&generation)?;
        }
        self.dedup.forget();
        Ok(())
    }

    /// Takes another key of the log beside those it has: from now on checkpoints carry its signature as well,
    /// and the present one is signed again. A key that it has already changes nothing.
    ///
    /// This is how a log changes its key: what is published in between is good for those who know the old key
    /// and for those who know the new one.
    ///
    /// # Errors
    /// The key is not one for logs, or does not sign; `log-storage-failed`: open the log again.
    pub fn add_key(&mut self, signer: Box<dyn Signer>, now: Timestamp) -> Result<(), LogError> {
        self.check_running()?;
        self.signing.add_key(signer)?;
        let outcome = self.sign_with_all(now);
        self.or_stop(outcome)
    }

    fn sign_with_all(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.signing.sign_with_all(now)
    }

    /// What readers fetch. On shared storage also what they should not, below `.countersign/`.
    pub fn public(&self) -> Arc<dyn Objects> {
        self.public.objects_arc()
    }

    /// The number of this process's term as the leader of shared storage; `None` in folders of this machine.
    pub fn epoch(&self) -> Option<u64> {
        self.hold.lease().map(crate::lease::Lease::epoch)
    }

    /// The log's key.
    pub const fn key(&self) -> &LogKey {
        self.signing.key()
    }

    /// The latest signed checkpoint, without cosignatures. Its tiles are durable.
    pub const fn signed(&self) -> &SignedCheckpoint {
        self.signing.signed()
    }

    /// Number of acknowledged entries, in tiles or not.
    pub fn size(&self) -> u64 {
        self.pending.last().map_or_else(|| self.growing.size(), Batch::end)
    }

    /// Acknowledged entries that opening found without tiles, and has put into tiles.
    pub const fn recovered(&self) -> usize {
        self.recovered
    }

    fn find_leaf(&self, leaf: &Hash) -> Result<Option<u64>, LogError> {
        self.dedup.find(leaf, |index| read::holds(self.public.objects(), index, leaf))
    }

    /// The entry with this index, in tiles or not.
    ///
    /// # Errors
    /// `usage` if there is none; `log-storage-corrupt` or `log-storage-rollback` if its bundle is not as it
    /// was.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let held = self.size();
        if index >= held {
            return Err(LogError::ProofRange { from: index, size: held, held });
        }
        let batch = self.pending.iter().find(|batch| (batch.first()..batch.end()).contains(&index));
        if let Some(entry) = batch.and_then(|batch| batch.entry((index - batch.first()) as usize)) {
            return Ok(entry.to_vec());
        }
        Files::new(self.public.objects(), self.growing.size()).entry(index).map_err(storage_fault)
    }

    /// Shows every entry to `visit`, with its index, in order.
    ///
    /// # Errors
    /// `log-storage-corrupt` or `log-storage-rollback` if a bundle is not as it was when the log was opened.
    pub fn for_each_entry(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        Files::new(self.public.objects(), self.growing.size())
            .for_each_entry(|index, entry| visit(index, entry).map_err(Stop::Caller))
            .map_err(|stop| match stop {
                Stop::Caller(error) => error,
                Stop::Fault(fault) => storage_fault(fault),
            })?;
        for batch in &self.pending {
            for (index, entry) in (batch.first()..).zip(batch.entries()) {
                visit(index, entry)?;
            }
        }
        Ok(())
    }

    /// The inclusion proof of entry `index` in the tree of `size` entries.
    ///
    /// # Errors
    /// `usage` if there is no such tree or no such entry in it.
    pub fn proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        read::inclusion(self.public.objects(), self.signed().checkpoint(), index, size)
    }

    /// The consistency proof from the tree of `old` to the tree of `new` entries; empty if `old` is 0.
    ///
    /// # Errors
    /// `usage` if there are no such trees.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        read::consistency(self.public.objects(), self.signed().checkpoint(), old, new)
    }

    fn check_running(&self) -> Result<(), LogError> {
        if self.stopped { Err(LogError::Stopped) } else { Ok(()) }
    }

    /// After any failure in the middle of a step the state in memory may be ahead of the disk, or behind.
    fn or_stop<T>(&mut self, outcome: Result<T, LogError>) -> Result<T, LogError> {
        outcome.map_err(|error| {
            self.stopped = true;
            // The next leader need not wait for one that writes no more, but the storage may not answer.
            if let Some(lease) = self.hold.lease() {
                lease.abandon();
            }
            self.explain(error)
        })
    }

    /// What an error means if another process took over.
    fn explain(&self, error: LogError) -> LogError {
        match self.hold.lease() {
            Some(lease) => lease.explain(error),
            None => error,
        }
    }
}

impl core::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sequencer")
            .field("public", &self.public)
            .field("size", &self.size())
            .finish_non_exhaustive()
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
pub(crate) fn broken(error: countersign_tlog::tile::TileError) -> LogError {
    LogError::StorageCorrupt(error.to_string())
}

/// Adds an entry to the last batch, or to a new one if that is full; returns its index.
pub(crate) fn add(batches: &mut Vec<Batch>, entry: &[u8], leaf: Hash) -> Result<u64, LogError> {
    let index = batches.last().map_or(0, Batch::end);
    if index >= MAX_TREE_SIZE {
        return Err(LogError::Full);
    }
    if batches.last().is_none_or(|last| !fits(last, entry)) {
        batches.push(Batch::new(index));
    }
    if let Some(last) = batches.last_mut() {
        last.push(entry, leaf);
    }
    Ok(index)
}

/// Whether the log takes entries of these lengths.
pub(crate) fn check_entries(entries: &[Vec<u8>]) -> Result<(), LogError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_full_takes_nothing_more() {
        let leaf = leaf_hash(b"x");
        let mut last = vec![Batch::new(MAX_TREE_SIZE - 1)];
        assert_eq!(add(&mut last, b"x", leaf).unwrap(), MAX_TREE_SIZE - 1);
        assert!(matches!(add(&mut last, b"x", leaf), Err(LogError::Full)));
    }
}
