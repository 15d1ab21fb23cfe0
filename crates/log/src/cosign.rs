//! Asking witnesses for cosignatures.
//!
//! Spec: <https://c2sp.org/tlog-witness>, `add-checkpoint`.
//! Not here: HTTP (`client` has a [`Cosigner`] for it).

use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_tlog::merkle::Hash;
use countersign_tlog::policy::Policy;
use countersign_tlog::witness::{AddCheckpoint, Answer};
use countersign_tlog::{NoteSignature, SignedCheckpoint, VerifierKey, cosignature};

use crate::error::LogError;
use crate::witness::Witness;

/// A witness as the log sees it.
pub trait Cosigner {
    /// The name in its verifier key.
    fn name(&self) -> &str;

    /// Asks for cosignatures of the checkpoint in `request`.
    ///
    /// # Errors
    /// [`CosignError::Conflict`] if the witness has seen another size than `request.old()`; others say why
    /// there is no cosignature.
    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError>;
}

/// Why a witness gave no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignError {
    /// It has seen another size of this log.
    #[error("it has seen size {size} of this log")]
    Conflict {
        /// The size it has cosigned.
        size: u64,
    },
    /// It has seen more than there is: it lies, or the log's storage is older than what the log has signed.
    #[error("it has cosigned size {size} of this log, which has fewer entries")]
    Ahead {
        /// The size it says it has cosigned.
        size: u64,
    },
    /// It says that the checkpoint does not extend the one it has cosigned.
    #[error("it refuses the checkpoint as inconsistent: {0}")]
    Inconsistent(String),
    /// It does not know the log, or not its key.
    #[error("it does not know this log")]
    LogUnknown,
    /// It could not be reached, failed, or answered something else than the protocol says.
    #[error("{0}")]
    Unavailable(String),
    /// Its answer has no good signature by a key of the policy.
    #[error("its cosignature is not valid")]
    Signature,
}

impl Explain for CosignError {
    fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } => code::WITNESS_CONFLICT,
            Self::Ahead { .. } => code::LOG_STORAGE_ROLLBACK,
            Self::Inconsistent(_) => code::WITNESS_INCONSISTENT,
            Self::LogUnknown => code::WITNESS_LOG_UNKNOWN,
            Self::Unavailable(_) => code::WITNESS_UNAVAILABLE,
            Self::Signature => code::LOG_COSIGNATURE_INVALID,
        }
    }
}

/// The code that says most about a publication that failed: a refusal before an outage.
pub(crate) fn worst(failed: &[(String, CosignError)]) -> Option<Code> {
    let rank = |error: &CosignError| match error {
        CosignError::Ahead { .. } => 5,
        CosignError::Inconsistent(_) => 4,
        CosignError::Conflict { .. } => 3,
        CosignError::Signature => 2,
        CosignError::LogUnknown => 1,
        CosignError::Unavailable(_) => 0,
    };
    failed.iter().map(|(_, error)| error).max_by_key(|error| rank(error)).map(Explain::code)
}

/// What a witness's HTTP answer to `add-checkpoint` means. `content_type` is the header's value, if there was
/// one.
///
/// # Errors
/// What the status stands for; [`CosignError::Unavailable`] for an answer that the protocol does not have.
pub fn read_response(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Vec<NoteSignature>, CosignError> {
    match Answer::parse(status, content_type, body)
        .map_err(|error| CosignError::Unavailable(error.to_string()))?
    {
        Answer::Cosigned(signatures) => Ok(signatures),
        Answer::Conflict(size) => Err(CosignError::Conflict { size }),
        Answer::Refused { status: 403 | 404, .. } => Err(CosignError::LogUnknown),
        Answer::Refused { status: 422, message } => Err(CosignError::Inconsistent(message)),
        Answer::Refused { status, message } => {
            Err(CosignError::Unavailable(format!("it answered {status}: {message}")))
        }
    }
}

/// A checkpoint and the witnesses that did not cosign it.
pub(crate) struct Collected {
    pub(crate) signed: SignedCheckpoint,
    pub(crate) failed: Vec<(String, CosignError)>,
}

impl Collected {
    /// Refuses to go on where as many witnesses have seen more than there is as readers believe, or as are
    /// needed.
    ///
    /// What a quorum of them says may be what readers have seen; and nothing can be published without them
    /// anyway. Fewer than that may be lying, and are left out (docs/adr/0029-a-witness-that-lies.md).
    pub(crate) fn check_ahead(&self, policies: &[&Policy]) -> Result<(), LogError> {
        let ahead = |name: &str| {
            let one =
                |(who, why): &(String, CosignError)| who == name && matches!(why, CosignError::Ahead { .. });
            self.failed.iter().any(one)
        };
        let decisive = |policy: &&Policy| {
            let said: Vec<bool> =
                policy.witnesses().iter().map(|witness| ahead(witness.key.name())).collect();
            said.contains(&true)
                && (policy.is_met(|place| said[place]) || !policy.is_met(|place| !said[place]))
        };
        if !policies.iter().any(decisive) {
            return Ok(());
        }
        let say = |(name, why): &(String, CosignError)| match why {
            CosignError::Ahead { size } => {
                Some(format!("witness `{}` has cosigned size {size}", escape(name)))
            }
            _ => None,
        };
        let said: Vec<String> = self.failed.iter().filter_map(say).collect();
        let size = self.signed.checkpoint().size();
        Err(LogError::StorageRollback(format!("{}, and the log has {size} entries", said.join(", "))))
    }
}

/// Asks every cosigner for a cosignature of `signed`, one after the other.
///
/// `known` gives the size that a witness cosigned last, as far as is known; `consistency` the proof from an
/// older size. Only signatures that verify under one of `keys` are added: a broken one would spoil the whole
/// note.
///
/// Nothing that a witness answers is an error of the whole: one that lies must not speak for the others.
///
/// # Errors
/// Those of the log's storage, where the proofs come from.
pub(crate) fn collect(
    signed: &SignedCheckpoint,
    cosigners: &mut [Box<dyn Cosigner>],
    keys: &[VerifierKey],
    known: &dyn Fn(&str) -> u64,
    consistency: &dyn Fn(u64) -> Result<Vec<Hash>, LogError>,
) -> Result<Collected, LogError> {
    let size = signed.checkpoint().size();
    let mut collected = Collected { signed: signed.clone(), failed: Vec::new() };
    for cosigner in cosigners {
        let name = cosigner.name().to_owned();
        let mut answer = ask(&mut **cosigner, signed, known(&name).min(size), consistency)?;
        // Once: a witness that names another size each time is asked no further.
        if let Err(CosignError::Conflict { size: seen }) = answer
            && seen <= size
        {
            answer = ask(&mut **cosigner, signed, seen, consistency)?;
        }
        let added = answer.and_then(|signatures| {
            let good = verified(signed, &name, keys, &signatures);
            if good.is_empty() { Err(CosignError::Signature) } else { Ok(good) }
        });
        let added = added.and_then(|good| {
            let all = collected.signed.with_signatures(&good);
            all.map_err(|error| CosignError::Unavailable(error.to_string()))
        });
        match added {
            Ok(signed) => collected.signed = signed,
            Err(CosignError::Conflict { size: seen }) if seen > size => {
                collected.failed.push((name, CosignError::Ahead { size: seen }));
            }
            Err(error) => collected.failed.push((name, error)),
        }
    }
    Ok(collected)
}

fn ask(
    cosigner: &mut dyn Cosigner,
    signed: &SignedCheckpoint,
    old: u64,
    consistency: &dyn Fn(u64) -> Result<Vec<Hash>, LogError>,
) -> Result<Result<Vec<NoteSignature>, CosignError>, LogError> {
    // A consistency proof has at most 63 hashes for any size, so a request can always be made.
    let request = AddCheckpoint::new(old, consistency(old)?, signed.clone())
        .map_err(|error| LogError::StorageCorrupt(error.to_string()))?;
    Ok(cosigner.cosign(&request))
}

/// Those of a witness's signatures that are its, and good: one for each key. It can make as many as it likes,
/// with other times, and a note has room for [`countersign_tlog::note::MAX_SIGNATURES`] of all.
fn verified(
    signed: &SignedCheckpoint,
    name: &str,
    keys: &[VerifierKey],
    signatures: &[NoteSignature],
) -> Vec<NoteSignature> {
    let good = |key: &VerifierKey| {
        let verifies = |one: &&NoteSignature| cosignature::verify(one, key, signed.checkpoint()).is_ok();
        signatures.iter().find(verifies).cloned()
    };
    keys.iter().filter(|key| key.name() == name).filter_map(good).collect()
}

/// A witness in this process.
#[derive(Debug)]
pub struct LocalCosigner {
    witness: Arc<Witness>,
    now: Timestamp,
}

impl LocalCosigner {
    /// Asks `witness`, which takes `now` for the time.
    pub fn new(witness: Arc<Witness>, now: Timestamp) -> Self {
        Self { witness, now }
    }
}

impl Cosigner for LocalCosigner {
    fn name(&self) -> &str {
        self.witness.name()
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        let response = self
            .witness
            .answer(&request.encode(), self.now)
            .map_err(|error| CosignError::Unavailable(error.to_string()))?;
        read_response(response.status, Some(response.content_type), &response.body)
    }
}
