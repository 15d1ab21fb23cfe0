//! Asking witnesses for cosignatures.
//!
//! Spec: <https://c2sp.org/tlog-witness>, `add-checkpoint`.
//! Not here: HTTP (`client` has a [`Cosigner`] for it).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_tlog::merkle::Hash;
use countersign_tlog::policy::Policy;
use countersign_tlog::witness::{AddCheckpoint, Answer};
use countersign_tlog::{NoteSignature, SignedCheckpoint, VerifierKey, cosignature};

use crate::error::LogError;
use crate::witness::Witness;

/// Longest wait for the witnesses of one round, whatever their own limits are.
const LONGEST_ROUND: Duration = Duration::from_secs(10);
/// Shortest and longest wait for the others once there are enough cosignatures.
const SHORTEST_GRACE: Duration = Duration::from_millis(2);
const LONGEST_GRACE: Duration = Duration::from_millis(500);

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

/// What a witness answered.
pub(crate) type Answered = Result<Vec<NoteSignature>, CosignError>;

/// Those that are asked in one round, by their places.
pub(crate) trait Round {
    /// Their names.
    fn names(&self) -> Vec<String>;
    /// Asks the one at this place.
    fn ask(&mut self, place: usize, request: AddCheckpoint);
    /// Waits for the next answer of this round; `None` if there is none by then.
    fn answer(&mut self, until: Instant) -> Option<(usize, Answered)>;
}

/// Asks one after the other, each when it is its turn.
pub(crate) struct InTurn<'c> {
    cosigners: &'c mut [Box<dyn Cosigner>],
    answers: VecDeque<(usize, Answered)>,
}

impl<'c> InTurn<'c> {
    pub(crate) fn new(cosigners: &'c mut [Box<dyn Cosigner>]) -> Self {
        Self { cosigners, answers: VecDeque::new() }
    }
}

impl Round for InTurn<'_> {
    fn names(&self) -> Vec<String> {
        self.cosigners.iter().map(|cosigner| cosigner.name().to_owned()).collect()
    }

    fn ask(&mut self, place: usize, request: AddCheckpoint) {
        self.answers.push_back((place, self.cosigners[place].cosign(&request)));
    }

    fn answer(&mut self, _: Instant) -> Option<(usize, Answered)> {
        self.answers.pop_front()
    }
}

/// What a round is about.
pub(crate) struct Question<'q> {
    pub(crate) signed: &'q SignedCheckpoint,
    /// Keys of the witnesses.
    pub(crate) keys: &'q [VerifierKey],
    /// The size that a witness cosigned last, as far as is known.
    pub(crate) known: &'q dyn Fn(&str) -> u64,
    /// The proof from an older size.
    pub(crate) consistency: &'q dyn Fn(u64) -> Result<Vec<Hash>, LogError>,
    /// Whether no more cosignatures are needed.
    pub(crate) enough: &'q dyn Fn(&SignedCheckpoint) -> bool,
    pub(crate) wait: Wait,
}

/// Which witnesses a round waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As many as are needed, and half as long again for the others: one that hangs delays nobody, and one that is a
    /// little slower still counts.
    Enough,
    /// All.
    All,
}

/// Asks every witness for a cosignature.
///
/// Only signatures that verify under a witness's key are added: a broken one would spoil the whole note.
///
/// Nothing that a witness answers is an error of the whole: one that lies must not speak for the others.
///
/// # Errors
/// Those of the log's storage, where the proofs come from.
pub(crate) fn collect(question: &Question<'_>, round: &mut dyn Round) -> Result<Collected, LogError> {
    let size = question.signed.checkpoint().size();
    let names = round.names();
    for (place, name) in names.iter().enumerate() {
        round.ask(place, question.request((question.known)(name).min(size))?);
    }
    let begun = Instant::now();
    let mut until = begun + LONGEST_ROUND;
    let mut answers: Vec<Option<Answered>> = names.iter().map(|_| None).collect();
    let mut corrected = BTreeSet::new();
    while answers.iter().any(Option::is_none) {
        let Some((place, answer)) = round.answer(until) else { break };
        // Once: a witness that names another size each time is asked no further.
        if let Err(CosignError::Conflict { size: seen }) = answer
            && seen <= size
            && corrected.insert(place)
        {
            round.ask(place, question.request(seen)?);
            continue;
        }
        answers[place] = Some(answer.and_then(|signatures| question.verified(&names[place], &signatures)));
        if question.wait == Wait::Enough && (question.enough)(&question.assemble(&names, &answers).signed) {
            let rest = (begun.elapsed() / 2).clamp(SHORTEST_GRACE, LONGEST_GRACE);
            until = until.min(Instant::now() + rest);
        }
    }
    Ok(question.assemble(&names, &answers))
}

impl Question<'_> {
    fn request(&self, old: u64) -> Result<AddCheckpoint, LogError> {
        // A consistency proof has at most 63 hashes for any size, so a request can always be made.
        AddCheckpoint::new(old, (self.consistency)(old)?, self.signed.clone())
            .map_err(|error| LogError::StorageCorrupt(error.to_string()))
    }

    /// The good ones of a witness's signatures.
    fn verified(&self, name: &str, signatures: &[NoteSignature]) -> Answered {
        let good = verified(self.signed, name, self.keys, signatures);
        if good.is_empty() { Err(CosignError::Signature) } else { Ok(good) }
    }

    /// The checkpoint with what has been answered, in the order of the witnesses.
    fn assemble(&self, names: &[String], answers: &[Option<Answered>]) -> Collected {
        let size = self.signed.checkpoint().size();
        let mut collected = Collected { signed: self.signed.clone(), failed: Vec::new() };
        for (name, answer) in names.iter().zip(answers) {
            let why = match answer {
                Some(Ok(good)) => match collected.signed.with_signatures(good) {
                    Ok(signed) => {
                        collected.signed = signed;
                        continue;
                    }
                    Err(error) => CosignError::Unavailable(error.to_string()),
                },
                Some(Err(CosignError::Conflict { size: seen })) if *seen > size => {
                    CosignError::Ahead { size: *seen }
                }
                Some(Err(error)) => error.clone(),
                None => CosignError::Unavailable("it has not answered yet".to_owned()),
            };
            collected.failed.push((name.clone(), why));
        }
        collected
    }
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
