//! The journal of an epoch: an object a batch, in a chain.
//!
//! Object `.countersign/wal/<epoch>/<first>` holds the batch that begins with entry `first` (in 20 digits, so
//! that names come in the order of their numbers), as a record of the write-ahead log whose nonce is the epoch.
//! The next one is named by where this one ends. The first of an epoch begins where the tree that was signed
//! first in it ends.
//!
//! # A hole is no end
//!
//! The chain ends where an object is absent. So one that was removed, or that a store denies to have, would
//! end it as well: what was acknowledged after it would be lost, and its indices given out again. Therefore
//! the names are listed before the chain is followed, and each must turn out to be in the chain. That is never
//! wrong about a former leader that goes on late. The lead was taken before the listing, and a leader looks at
//! the cell after each put and before the next: it can put one batch more, exactly where the chain ends. It is
//! listed and read, or neither matters.
//!
//! The last object of a chain leaves no hole. If that is what is gone, only what was signed shows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_base::text::escape;
use countersign_store::{Objects, StoreError};

use super::{JOURNALS, Lease, SharedPlace};
use crate::error::LogError;
use crate::sequencer::{Batch, parse_object, with_object};

/// The journal that a leader writes.
#[derive(Debug)]
pub(crate) struct ObjectJournal {
    objects: Arc<dyn Objects>,
    lease: Lease,
}

impl ObjectJournal {
    /// Of an epoch that has just begun, in which nobody can have written anything.
    ///
    /// # Errors
    /// `log-storage-rollback` if there is something: the cell is older than that.
    pub(crate) fn begin(objects: Arc<dyn Objects>, lease: Lease) -> Result<Self, LogError> {
        let folder = format!("{JOURNALS}/{}", lease.epoch());
        match objects.list(&folder)?.first() {
            Some(name) => Err(later(name)),
            None => Ok(Self { objects, lease }),
        }
    }

    /// Makes a batch durable and settled. After an error the log must be opened again.
    pub(crate) fn append(&self, batch: &mut Batch) -> Result<(), LogError> {
        let epoch = self.lease.epoch();
        let name = name(epoch, batch.first());
        match with_object(epoch, batch, |bytes| self.objects.put_if_absent(&name, bytes)) {
            Ok(_) => {}
            Err(StoreError::Different { .. }) => {
                self.lease.check()?;
                // Nobody but this process writes here, in this epoch.
                return Err(later(&name));
            }
            Err(error) => return Err(error.into()),
        }
        self.lease.check()
    }
}

/// Every batch of an epoch from the signed tree of `size` entries on, in order. They are not settled by that. The
/// lead must have been taken before.
///
/// # Errors
/// `log-storage-rollback` if one is missing before others.
pub(crate) fn follow(objects: &dyn Objects, epoch: u64, size: u64) -> Result<Vec<Batch>, LogError> {
    let folder = format!("{JOURNALS}/{epoch}");
    // With the one of `size`. An epoch's journal can be long; what is not signed yet is short.
    let listed = match size.checked_sub(1) {
        Some(before) => objects.list_after(&folder, &name(epoch, before))?,
        None => objects.list(&folder)?,
    };
    let mut batches: Vec<Batch> = Vec::new();
    let mut read = BTreeSet::new();
    loop {
        let first = batches.last().map_or(size, Batch::end);
        let name = name(epoch, first);
        let Some(bytes) = objects.get(&name)? else {
            return match listed.iter().find(|listed| !read.contains(*listed)) {
                Some(listed) => Err(missing(&name, listed)),
                None => Ok(batches),
            };
        };
        let batch = parse_object(epoch, &bytes).filter(|batch| batch.first() == first);
        batches.push(batch.ok_or_else(|| LogError::StorageCorrupt(format!("`{name}` does not read")))?);
        read.insert(name);
    }
}

fn missing(name: &str, listed: &str) -> LogError {
    LogError::StorageRollback(format!("`{name}` is missing, and `{}` is there", escape(listed)))
}

fn later(name: &str) -> LogError {
    LogError::StorageRollback(format!("`{name}` was written after what `{}` says", SharedPlace::LEADER))
}

fn name(epoch: u64, first: u64) -> String {
    format!("{JOURNALS}/{epoch}/{first:020}")
}
