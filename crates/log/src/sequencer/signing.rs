//! The signed checkpoint: the cell that it is kept in, and the keys.

use countersign_base::Timestamp;
use countersign_crypto::Signer;
use countersign_store::{Cell as _, DirCell, Held};
use countersign_tlog::merkle::Hash;
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use super::LogKey;
use crate::error::LogError;
use crate::lease::Lease;

/// What binds the log: whoever holds this signs.
#[derive(Debug)]
pub(crate) struct Signing {
    key: LogKey,
    keeper: Keeper,
    signed: SignedCheckpoint,
}

/// Where the signed checkpoint is.
#[derive(Debug)]
pub(super) enum Keeper {
    /// In a file.
    File {
        cell: DirCell,
        /// `None` only after a failed replacement.
        held: Option<Held>,
    },
    /// In the cell that also says who leads.
    Lease(Lease),
}

impl Signing {
    pub(super) const fn new(key: LogKey, keeper: Keeper, signed: SignedCheckpoint) -> Self {
        Self { key, keeper, signed }
    }

    pub(crate) const fn key(&self) -> &LogKey {
        &self.key
    }

    pub(super) fn add_key(&mut self, signer: Box<dyn Signer>) -> Result<(), LogError> {
        self.key.add(signer)
    }

    /// What was signed last.
    pub(crate) const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Signs a tree, all files of which are durable, and keeps the checkpoint, by compare-and-swap.
    pub(crate) fn sign(&mut self, size: u64, root: Hash, now: Timestamp) -> Result<(), LogError> {
        let next = Checkpoint::new(self.key.origin(), size, root)
            .map_err(|source| self.key.not_ours("new checkpoint", source))?;
        self.keep(next, now)
    }

    /// Signs the present checkpoint again if a key has not signed it, or this epoch has signed nothing yet.
    pub(super) fn sign_with_all(&mut self, now: Timestamp) -> Result<(), LogError> {
        let begun = match &self.keeper {
            Keeper::File { .. } => true,
            Keeper::Lease(lease) => lease.journal() == lease.epoch(),
        };
        if begun && self.key.all_signed(&self.signed) {
            return Ok(());
        }
        self.keep(self.signed.checkpoint().clone(), now)
    }

    fn keep(&mut self, checkpoint: Checkpoint, now: Timestamp) -> Result<(), LogError> {
        let signed = self.key.sign(checkpoint, now)?;
        match &mut self.keeper {
            Keeper::File { cell, held } => {
                let seen = held.take().ok_or(LogError::Stopped)?;
                *held = Some(cell.replace(seen, &signed.encode())?);
            }
            Keeper::Lease(lease) => lease.sign(signed.encode())?,
        }
        self.signed = signed;
        Ok(())
    }
}
