//! What differs between a log in folders of this machine and one on storage that several machines share.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_store::{Cell, Dir, Held, Lock, Objects, StoreError};
use countersign_tlog::merkle::{self, Hash};
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use super::batch::Batch;
use super::open::storage_fault;
use super::wal::Wal;
use crate::error::LogError;
use crate::lease::{Lease, ObjectJournal, Tenure};
use crate::tree::{CHECKPOINT, Files};

/// How often a public checkpoint that changes meanwhile is looked at again.
const MAX_LOOKS: usize = 16;

/// What keeps other writers away; dropped it lets the next one in.
#[derive(Debug)]
pub(crate) enum Hold {
    /// A lock of the kernel.
    Lock(#[expect(dead_code, reason = "held for the lock's sake")] Lock),
    /// A term as leader, with the lock of the cache.
    Tenure(Tenure, #[expect(dead_code, reason = "held for the lock's sake")] Lock),
}

impl Hold {
    pub(crate) const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Lock(_) => None,
            Self::Tenure(tenure, _) => Some(tenure.lease()),
        }
    }
}

/// Where entries become durable before their indices are told.
#[derive(Debug)]
pub(crate) enum Journal {
    Files(Box<Wal>),
    Objects(ObjectJournal),
}

impl Journal {
    /// Makes a batch durable. `signed` entries are under a signed tree. After an error the log must be opened
    /// again.
    pub(crate) fn append(&mut self, batch: &mut Batch, signed: u64) -> Result<(), LogError> {
        match self {
            Self::Files(wal) => wal.append(batch, signed),
            Self::Objects(journal) => journal.append(batch),
        }
    }
}

/// What readers fetch.
#[derive(Debug, Clone)]
pub(crate) struct Public {
    objects: Arc<dyn Objects>,
    place: CheckpointPlace,
}

/// Where the public checkpoint is.
#[derive(Debug, Clone)]
enum CheckpointPlace {
    /// In a folder that one process writes to at a time.
    Folder(Dir),
    /// In a cell.
    Cell {
        cell: Arc<dyn Cell>,
        lease: Lease,
        /// What this process has put there, until it finds something else.
        held: Arc<Mutex<Option<Held>>>,
    },
}

impl Public {
    pub(super) fn folder(dir: Dir) -> Self {
        Self { objects: Arc::new(dir.clone()), place: CheckpointPlace::Folder(dir) }
    }

    pub(super) fn shared(objects: Arc<dyn Objects>, checkpoint: Arc<dyn Cell>, lease: Lease) -> Self {
        Self { objects, place: CheckpointPlace::Cell { cell: checkpoint, lease, held: Arc::default() } }
    }

    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    pub(super) fn objects_arc(&self) -> Arc<dyn Objects> {
        Arc::clone(&self.objects)
    }

    /// The public checkpoint.
    pub(crate) fn published(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.place {
            CheckpointPlace::Folder(dir) => dir.get(CHECKPOINT),
            CheckpointPlace::Cell { cell, .. } => Ok(cell.load()?.map(|held| held.bytes().to_vec())),
        }
    }

    /// Replaces the public checkpoint by one of the signed tree or a part of it.
    pub(crate) fn publish(&self, bytes: &[u8], signed: &SignedCheckpoint) -> Result<(), LogError> {
        match &self.place {
            CheckpointPlace::Folder(dir) => Ok(dir.replace(CHECKPOINT, bytes)?),
            CheckpointPlace::Cell { cell, lease, held } => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                *held = Some(self.publish_leading(&**cell, lease, held.take(), bytes, signed)?);
                Ok(())
            }
        }
    }

    /// Takes the place of what this process has published, or of what was published while it led, or before:
    /// then the cell is read, it is checked who leads, and the cell is replaced if it is unchanged.
    fn publish_leading(
        &self,
        cell: &dyn Cell,
        lease: &Lease,
        ours: Option<Held>,
        bytes: &[u8],
        signed: &SignedCheckpoint,
    ) -> Result<Held, LogError> {
        let mut replaced = match ours {
            Some(held) if held.bytes() == bytes => return Ok(held),
            Some(held) => cell.replace(held, bytes),
            None => Err(StoreError::Conflict { path: CHECKPOINT.into() }),
        };
        for _ in 0..MAX_LOOKS {
            if !matches!(replaced, Err(StoreError::Conflict { .. })) {
                break;
            }
            let found = cell.load()?;
            lease.check()?;
            replaced = match found {
                Some(held) if held.bytes() == bytes => Ok(held),
                Some(held) => {
                    let found = SignedCheckpoint::parse(held.bytes())
                        .map_err(|source| LogError::Checkpoint { place: CHECKPOINT.to_owned(), source })?;
                    self.check_part(found.checkpoint(), signed.checkpoint())?;
                    cell.replace(held, bytes)
                }
                None => cell.create(bytes),
            };
        }
        Ok(replaced?)
    }

    /// Whether what is published is a part of what will be.
    fn check_part(&self, found: &Checkpoint, current: &Checkpoint) -> Result<(), LogError> {
        if found.size() > current.size() {
            return Err(newer(found.size(), current.size()));
        }
        self.check_root(found, current.size())
    }

    /// Whether a published tree is what the tiles of the tree of `size` entries say.
    pub(super) fn check_root(&self, found: &Checkpoint, size: u64) -> Result<(), LogError> {
        let files = Files::new(self.objects(), size);
        let root: Hash = merkle::tree_root(found.size(), &files).map_err(storage_fault)?;
        if root == *found.root() {
            return Ok(());
        }
        Err(LogError::StorageCorrupt("the published checkpoint is of another tree".to_owned()))
    }
}

/// More is published than was signed.
pub(super) fn newer(published: u64, signed: u64) -> LogError {
    LogError::StorageRollback(format!(
        "size {published} is published, and the signed checkpoint has size {signed}"
    ))
}
