//! Cosigning and publishing the signed checkpoint: steps 4 and 5 of the sequencer.

use countersign_base::Timestamp;
use countersign_store::Objects as _;
use countersign_tlog::policy::Policy;
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use super::Sequencer;
use crate::cosign::{Cosigner, collect};
use crate::error::LogError;
use crate::tree::CHECKPOINT;

impl Sequencer {
    /// Puts what is pending into tiles, has the checkpoint cosigned, and publishes it once the policy is met.
    /// Returns the cosigned checkpoint as it is published.
    ///
    /// Offering the same tree again is fine and renews the cosignatures.
    ///
    /// # Errors
    /// `log-quorum-not-met`, `witness-unavailable`, `witness-log-unknown`, `witness-conflict`,
    /// `witness-inconsistent`: the public checkpoint stays the one before; entries stay in the log, and the next
    /// call publishes them. `log-storage-rollback`: a witness has seen a larger tree. Others as in
    /// [`Sequencer::integrate`].
    pub fn publish(
        &mut self,
        cosigners: &mut [Box<dyn Cosigner>],
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Vec<u8>, LogError> {
        self.integrate(now)?;
        let published = self.published()?;
        let known = |name: &str| {
            let cosigned =
                |signed: &&SignedCheckpoint| signed.note().signatures().iter().any(|s| s.name() == name);
            published.as_ref().filter(cosigned).map_or(0, |signed| signed.checkpoint().size())
        };
        let size = self.signed.checkpoint().size();
        let consistency = |old: u64| self.consistency(old, size);
        let keys: Vec<VerifierKey> = policy.witnesses().iter().map(|witness| witness.key.clone()).collect();
        let collected = collect(&self.signed, cosigners, &keys, &known, &consistency)?;
        let bytes = collected.signed.encode();
        policy
            .check_checkpoint(&bytes, now)
            .map_err(|source| LogError::Quorum { failed: collected.failed, source })?;
        let replaced = self.public.replace(CHECKPOINT, &bytes).map_err(LogError::from);
        self.or_stop(replaced)?;
        Ok(bytes)
    }

    /// The checkpoint that readers see; `None` before the first [`Sequencer::publish`].
    ///
    /// # Errors
    /// `log-storage-failed`, or it is not a checkpoint of this log.
    pub fn published(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        let bytes = self.public.get(CHECKPOINT)?;
        bytes.map(|bytes| self.key.open(CHECKPOINT, &bytes)).transpose()
    }
}
