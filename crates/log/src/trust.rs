//! Whose word a log's checkpoint needs, and opening one under it.
//!
//! Specs: <https://c2sp.org/tlog-checkpoint>; <https://c2sp.org/tlog-policy> for quorums.

use countersign_base::Timestamp;
use countersign_base::code::{Class, Code, Explain};
use countersign_tlog::policy::{Policy, PolicyError};
use countersign_tlog::{CheckpointError, SignedCheckpoint, VerifierKey};

/// Whose log it is, and whose word is required.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// The log's keys; cosignatures are not looked at.
    Keys(&'a [VerifierKey]),
    /// A policy, judged at a time.
    Policy(&'a Policy, Timestamp),
}

/// A checkpoint that is trusted. Made by [`Trust::open`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    pub(crate) signed: SignedCheckpoint,
    pub(crate) witnesses: Vec<String>,
    proven_time: Option<Timestamp>,
}

/// Why a checkpoint is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It is malformed, of another log, or not signed by a known key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It does not meet the policy.
    #[error(transparent)]
    Policy(PolicyError),
}

impl Trust<'_> {
    /// Opens a checkpoint, and says whose word it has.
    ///
    /// # Errors
    /// Codes of its parser, of the keys or of the policy.
    pub fn open(self, note: &[u8]) -> Result<Trusted, TrustError> {
        let signed = SignedCheckpoint::parse(note)?;
        match self {
            Self::Keys(keys) => {
                // The origin is the name of the key that signs.
                let origin = signed.checkpoint().origin();
                let own: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
                let signed = SignedCheckpoint::open(note, origin, &own)?;
                Ok(Trusted { signed, witnesses: Vec::new(), proven_time: None })
            }
            Self::Policy(policy, now) => {
                let verified = policy.check_checkpoint(note, now).map_err(TrustError::Policy)?;
                let witnesses = verified.cosigners().iter().map(|one| one.name.to_string()).collect();
                Ok(Trusted { signed, witnesses, proven_time: Some(verified.proven_time()) })
            }
        }
    }
}

impl Trusted {
    /// The checkpoint, with all its signatures.
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Witnesses whose cosignatures count, with a policy.
    pub fn witnesses(&self) -> &[String] {
        &self.witnesses
    }

    /// By when as many of them as the policy wants had all seen the tree; `None` without a policy.
    pub const fn proven_time(&self) -> Option<Timestamp> {
        self.proven_time
    }
}

impl TrustError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Checkpoint(error) => error,
            Self::Policy(error) => error,
        }
    }
}

impl Explain for TrustError {
    fn code(&self) -> Code {
        self.inner().code()
    }

    fn class(&self) -> Class {
        self.inner().class()
    }

    fn fix(&self) -> Option<String> {
        self.inner().fix()
    }
}
