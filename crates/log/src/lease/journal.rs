//! The journal of an epoch: an object a batch, in a chain.
//!
//! Object `.countersign/wal/<epoch>/<first>` holds the batch that begins with entry `first`, as a record of the write-ahead
//! log whose nonce is the epoch. The next one is named by where this one ends. The first of an epoch begins where
//! the tree that was signed first in it ends.

use std::sync::Arc;

use countersign_store::{Objects, StoreError};

use super::{JOURNALS, Lease};
use crate::error::LogError;
use crate::sequencer::{Batch, parse_object, with_object};

/// The journal that a leader writes.
#[derive(Debug)]
pub(crate) struct ObjectJournal {
    objects: Arc<dyn Objects>,
    lease: Lease,
}

impl ObjectJournal {
    pub(crate) const fn new(objects: Arc<dyn Objects>, lease: Lease) -> Self {
        Self { objects, lease }
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
                return Err(LogError::StorageRollback(format!("`{name}` is there from a later time")));
            }
            Err(error) => return Err(error.into()),
        }
        self.lease.check()
    }
}

/// Every batch of an epoch from the signed tree of `size` entries on, in order. They are not settled by that.
pub(crate) fn follow(objects: &dyn Objects, epoch: u64, size: u64) -> Result<Vec<Batch>, LogError> {
    let mut batches: Vec<Batch> = Vec::new();
    loop {
        let first = batches.last().map_or(size, Batch::end);
        let name = name(epoch, first);
        let Some(bytes) = objects.get(&name)? else { return Ok(batches) };
        let batch = parse_object(epoch, &bytes).filter(|batch| batch.first() == first);
        batches.push(batch.ok_or_else(|| LogError::StorageCorrupt(format!("`{name}` does not read")))?);
    }
}

fn name(epoch: u64, first: u64) -> String {
    format!("{JOURNALS}/{epoch}/{first}")
}
