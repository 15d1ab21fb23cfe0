//! Cosigning and publishing the signed checkpoint: steps 4 and 5 of the sequencer.

use countersign_base::Timestamp;
use countersign_store::Objects;
use countersign_tlog::policy::{Policy, PolicyError};
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use super::Sequencer;
use crate::cosign::{Cosigner, InTurn, Question, Round, Wait, collect};
use crate::error::LogError;
use crate::read;
use crate::tree::CHECKPOINT;

impl Sequencer {
    /// Puts what is pending into tiles, has the checkpoint cosigned, and publishes it once the policy is met.
    /// Returns the cosigned checkpoint as it is published.
    ///
    /// Offering the same tree again is fine and renews the cosignatures.
    ///
    /// # Errors
    /// `log-quorum-not-met`, `witness-unavailable`, `witness-log-unknown`, `witness-conflict`,
    /// `witness-inconsistent`: the public checkpoint stays the one before; entries stay in the log, and the
    /// next call publishes them. `log-storage-rollback`: so many witnesses have seen a larger tree that there
    /// is no quorum without them, or that they are one; [`LogError::Quorum`] of that code where only this
    /// round lacks them. Others as in [`Sequencer::integrate`].
    pub fn publish(
        &mut self,
        cosigners: &mut [Box<dyn Cosigner>],
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Vec<u8>, LogError> {
        self.publish_under(cosigners, &[policy], now)
    }

    /// As [`Sequencer::publish`], once each of several policies is met: while one takes the place of another,
    /// readers of both accept what is published.
    ///
    /// # Errors
    /// As there, for the first policy that is not met.
    pub fn publish_under(
        &mut self,
        cosigners: &mut [Box<dyn Cosigner>],
        policies: &[&Policy],
        now: Timestamp,
    ) -> Result<Vec<u8>, LogError> {
        self.integrate(now)?;
        let published = self.published()?;
        let (public, round) = (self.public.objects(), &mut InTurn::new(cosigners));
        let bytes = publication(public, published.as_ref(), self.signed(), round, Wait::All, policies, now);
        let bytes = bytes.map_err(|error| self.explain(error))?;
        let replaced = self.public.publish(&bytes, self.signed());
        self.or_stop(replaced)?;
        Ok(bytes)
    }

    /// Whether the checkpoint as it is now, with the signature of `key` alone, would meet `policy`. Publishes
    /// nothing.
    ///
    /// Asked before a policy is put in force: a witness that cannot be reached or does not know the key would
    /// otherwise show only when there is no way back.
    ///
    /// # Errors
    /// As [`Sequencer::publish`].
    pub fn rehearse(
        &self,
        key: &VerifierKey,
        cosigners: &mut [Box<dyn Cosigner>],
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let signatures = self.signed().note().signatures().iter().filter(|signature| signature.claims(key));
        let signed = SignedCheckpoint::new(self.signed().checkpoint().clone(), signatures.cloned().collect())
            .map_err(|source| self.key().not_ours("checkpoint under the new key", source))?;
        let (public, published) = (self.public.objects(), self.published()?);
        let round = &mut InTurn::new(cosigners);
        publication(public, published.as_ref(), &signed, round, Wait::All, &[policy], now).map(drop)
    }

    /// The checkpoint that readers see; `None` before the first [`Sequencer::publish`].
    ///
    /// # Errors
    /// `log-storage-failed`, or it is not a checkpoint of this log.
    pub fn published(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        let bytes = self.public.published()?;
        bytes.map(|bytes| self.key().open(CHECKPOINT, &bytes)).transpose()
    }
}

/// Has a checkpoint, whose tree is in the tiles of `public`, cosigned and returns it as it can be published, once each
/// policy is met.
pub(crate) fn publication(
    public: &dyn Objects,
    published: Option<&SignedCheckpoint>,
    signed: &SignedCheckpoint,
    witnesses: &mut dyn Round,
    wait: Wait,
    policies: &[&Policy],
    now: Timestamp,
) -> Result<Vec<u8>, LogError> {
    let known = |name: &str| {
        let cosigned =
            |signed: &&SignedCheckpoint| signed.note().signatures().iter().any(|s| s.name() == name);
        published.filter(cosigned).map_or(0, |signed| signed.checkpoint().size())
    };
    let checkpoint = signed.checkpoint();
    let consistency = |old: u64| read::consistency(public, checkpoint, old, checkpoint.size());
    let members = policies.iter().flat_map(|policy| policy.witnesses());
    let keys: Vec<VerifierKey> = members.map(|witness| witness.key.clone()).collect();
    let enough = |signed: &SignedCheckpoint| refusal(&signed.encode(), policies, now).is_none();
    let question =
        Question { signed, keys: &keys, known: &known, consistency: &consistency, enough: &enough, wait };
    let collected = collect(&question, witnesses)?;
    collected.check_ahead(policies)?;
    let bytes = collected.signed.encode();
    match refusal(&bytes, policies, now) {
        Some(source) => Err(LogError::Quorum { failed: collected.failed, source }),
        None => Ok(bytes),
    }
}

/// Why a checkpoint does not meet the first policy that it does not meet.
fn refusal(checkpoint: &[u8], policies: &[&Policy], now: Timestamp) -> Option<PolicyError> {
    policies.iter().find_map(|policy| policy.check_checkpoint(checkpoint, now).err())
}
