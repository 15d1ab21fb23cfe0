//! The log's keys: one, or two while one takes the place of the other.

use countersign_base::Timestamp;
use countersign_crypto::Signer;
use countersign_tlog::{Checkpoint, SignedCheckpoint, VerifierKey, checkpoint};

use crate::error::LogError;

/// The log's key. Its name is the log's origin.
pub struct LogKey {
    /// Of the signers, in their order.
    verifiers: Vec<VerifierKey>,
    signers: Vec<Box<dyn Signer>>,
    /// Further keys of the log, which may have signed what is stored.
    known: Vec<VerifierKey>,
}

impl LogKey {
    /// A log of this origin that signs with this key: Ed25519, or ML-DSA-44.
    ///
    /// # Errors
    /// The name is not one for a key, or the key is of another algorithm.
    pub fn new(origin: &str, signer: Box<dyn Signer>) -> Result<Self, LogError> {
        Ok(Self { verifiers: vec![verifier(origin, &*signer)?], signers: vec![signer], known: Vec::new() })
    }

    /// The same, for a log that has further keys: what they signed is good, though they are not at hand. Keys
    /// of other logs are left out.
    #[must_use]
    pub fn knowing(mut self, keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let origin = self.origin().to_owned();
        self.known.extend(keys.into_iter().filter(|key| key.name() == origin));
        self
    }

    /// Another key of the same log. One that is there already changes nothing.
    pub(super) fn add(&mut self, signer: Box<dyn Signer>) -> Result<(), LogError> {
        if self.signers.iter().all(|known| known.public_key() != signer.public_key()) {
            self.verifiers.push(verifier(self.origin(), &*signer)?);
            self.signers.push(signer);
        }
        Ok(())
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.verifier().name()
    }

    /// What others verify the log's signatures with: the first key.
    pub fn verifier(&self) -> &VerifierKey {
        // Made with one, and none is ever taken out.
        &self.verifiers[0]
    }

    /// What others verify the log's signatures with: all keys.
    pub fn verifiers(&self) -> &[VerifierKey] {
        &self.verifiers
    }

    /// Whether each key claims to have signed.
    pub(super) fn all_signed(&self, signed: &SignedCheckpoint) -> bool {
        let signatures = signed.note().signatures();
        self.verifiers.iter().all(|key| signatures.iter().any(|signature| signature.claims(key)))
    }

    pub(crate) fn sign(&self, checkpoint: Checkpoint, now: Timestamp) -> Result<SignedCheckpoint, LogError> {
        let signers = self.signers.iter();
        let signatures = signers.map(|signer| checkpoint::sign(&checkpoint, &**signer, now));
        let signatures = signatures.collect::<Result<_, _>>().map_err(LogError::Sign)?;
        SignedCheckpoint::new(checkpoint, signatures)
            .map_err(|source| self.not_ours("new checkpoint", source))
    }

    pub(crate) fn open(&self, place: &str, bytes: &[u8]) -> Result<SignedCheckpoint, LogError> {
        let mut keys = self.verifiers.clone();
        keys.extend(self.known.iter().filter(|key| !self.verifiers.contains(key)).cloned());
        SignedCheckpoint::open(bytes, self.origin(), &keys).map_err(|source| self.not_ours(place, source))
    }

    pub(crate) fn not_ours(&self, place: &str, source: countersign_tlog::CheckpointError) -> LogError {
        LogError::Checkpoint { place: place.to_owned(), source }
    }
}

impl core::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LogKey").field("verifiers", &self.verifiers).finish_non_exhaustive()
    }
}

fn verifier(origin: &str, signer: &dyn Signer) -> Result<VerifierKey, LogError> {
    VerifierKey::for_log(origin, signer.public_key())
        .map_err(|error| LogError::Sign(countersign_tlog::SignError::from(error)))
}
