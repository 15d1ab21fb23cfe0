//! A witness: it cosigns a log's checkpoint only if that extends the last one it cosigned.
//!
//! Spec: <https://c2sp.org/tlog-witness>. What is decided is `tlog::witness::decide`; this module keeps the
//! state.
//!
//! The state is the latest checkpoint of each log, with the log's signature and our cosignatures, which is
//! also what the monitoring endpoint serves. Checking against it and replacing it is one step for all
//! threads, one process at a time has it, and it is durable before the answer is given. So of two requests
//! from one old size one is answered with a conflict, and a witness killed at any moment never signs a
//! smaller or another tree after it. Requests that come in while the disk is busy share the next sync
//! (`ledger`); the file is described in `journal`.
//!
//! Not here: HTTP (`server`).

mod error;
mod journal;
mod ledger;
mod logs;
mod rate;
mod stats;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::Signer;
use countersign_store::{Disk, RealDisk};
use countersign_tlog::checkpoint::origin_hash;
use countersign_tlog::witness::{AddCheckpoint, Held, KnownLog, Refusal, decide, encode_cosignatures};
use countersign_tlog::{
    CheckpointError, NoteSignature, SignError, SignedCheckpoint, VerifierKey, cosignature,
};

pub use error::WitnessError;
use journal::Note;
use ledger::{Ledger, Seen};
pub use logs::{LogList, LogListError};
pub use rate::{Rate, Rates};
pub use stats::{Histogram, SECONDS, Stats};

/// Decisions on one request, each overtaken by another request of the same log.
const MAX_TRIES: usize = 100;
const TEXT: &str = "text/plain; charset=utf-8";

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `Retry-After` in seconds, where there is one.
    pub retry_after: Option<u64>,
    /// Body.
    pub body: Vec<u8>,
}

/// A witness, for any number of threads.
pub struct Witness {
    name: String,
    signers: Vec<Box<dyn Signer>>,
    verifiers: Vec<VerifierKey>,
    state: State,
    logs: RwLock<Arc<LogList>>,
    /// For logs whose list says nothing else.
    rate: Option<Rate>,
    /// By origin, and whether a checkpoint is offered again. Whoever has seen the latest one can do that, so
    /// it has an allowance of its own, and a log that grows is not held up by it.
    rates: Mutex<Rates<(Sha256Digest, bool)>>,
}

/// Who has the folder of the state.
#[derive(Debug)]
enum State {
    /// This witness, as long as it lives.
    Mine(Arc<Ledger>),
    /// Whoever answers at the moment.
    Shared { disk: Arc<dyn Disk>, folder: PathBuf },
}

impl core::fmt::Debug for Witness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Witness")
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Witness {
    /// A witness of this name with a key or more (Ed25519, ML-DSA-44), its state in `state`, for the logs
    /// listed.
    ///
    /// The folder is this witness's alone as long as it lives.
    ///
    /// # Errors
    /// The name or a key cannot be used; the folder cannot be made, is in use, or holds damaged state.
    pub fn open(
        state: &Path,
        name: &str,
        signers: Vec<Box<dyn Signer>>,
        logs: LogList,
    ) -> Result<Self, WitnessError> {
        Self::open_on(Arc::new(RealDisk), state, name, signers, logs)
    }

    /// As [`Witness::open`], on a given disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        state: &Path,
        name: &str,
        signers: Vec<Box<dyn Signer>>,
        logs: LogList,
    ) -> Result<Self, WitnessError> {
        Self::with_state(State::Mine(Arc::new(Ledger::open(disk, state)?)), name, signers, logs)
    }

    /// A witness that shares its folder with others of the same keys, in this process or another: each has it
    /// only while it answers. For a publisher's own witness, which is asked once in a while; many requests at
    /// once wait for each other.
    ///
    /// # Errors
    /// The name or a key cannot be used.
    pub fn shared_on(
        disk: Arc<dyn Disk>,
        state: &Path,
        name: &str,
        signers: Vec<Box<dyn Signer>>,
        logs: LogList,
    ) -> Result<Self, WitnessError> {
        Self::with_state(State::Shared { disk, folder: state.to_owned() }, name, signers, logs)
    }

    fn with_state(
        state: State,
        name: &str,
        signers: Vec<Box<dyn Signer>>,
        logs: LogList,
    ) -> Result<Self, WitnessError> {
        if signers.is_empty() {
            return Err(WitnessError::NoKey);
        }
        let verifiers = signers
            .iter()
            .map(|signer| VerifierKey::for_witness(name, signer.public_key()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            signers,
            verifiers,
            state,
            logs: RwLock::new(Arc::new(logs)),
            rate: None,
            rates: Mutex::default(),
        })
    }

    /// Cosigns for each log at most at this rate, unless its list names another one.
    #[must_use]
    pub fn with_rate(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others verify its cosignatures with, a key each.
    pub fn verifiers(&self) -> &[VerifierKey] {
        &self.verifiers
    }

    /// Takes another list of logs. What was cosigned stays known.
    pub fn replace_logs(&self, logs: LogList) {
        let listed: std::collections::HashSet<_> = logs.iter().map(|log| origin_hash(&log.origin)).collect();
        self.rates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keep_only(|(hash, _)| listed.contains(hash));
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(logs);
    }

    /// The list of logs in force.
    pub fn logs(&self) -> Arc<LogList> {
        Arc::clone(&self.logs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it has done since it was opened; nothing is counted of one that shares its folder.
    pub fn stats(&self) -> Stats {
        match &self.state {
            State::Mine(ledger) => ledger.stats(),
            State::Shared { .. } => Stats::default(),
        }
    }

    /// Answers a request to `add-checkpoint` at the time `now`.
    ///
    /// # Errors
    /// State that cannot be trusted or written, or a key that does not sign. Nothing was answered. After a
    /// failure of the storage the checkpoint counts as cosigned or not, and whoever opens the folder next
    /// finds out.
    pub fn answer(&self, body: &[u8], now: Timestamp) -> Result<Response, WitnessError> {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Ok(Response::refused(&Refusal::Malformed(error))),
        };
        let origin = request.signed().checkpoint().origin();
        let (hash, logs) = (origin_hash(origin), self.logs());
        let log = logs.find(origin);
        let ledger = self.ledger()?;
        let mut counted = false;
        for _ in 0..MAX_TRIES {
            // What is kept is looked at only for a log on the list.
            let seen = if log.is_some() { self.seen(&ledger, &hash, origin)? } else { None };
            let held = seen.as_ref().and_then(|seen| seen.held);
            if let Err(refusal) = decide(&request, log, held.as_ref()) {
                // It may rest on a checkpoint that is not durable yet.
                ledger.settle(seen.map_or(0, |seen| seen.commit))?;
                return Ok(Response::refused(&refusal));
            }
            if !counted && let Err(seconds) = self.count(&hash, &logs, &request, held, now) {
                return Ok(Response::too_often(seconds));
            }
            counted = true;
            let cosignatures = self.cosign(&request, now)?;
            let note = note(&request, log, &cosignatures)?;
            let checkpoint = request.signed().checkpoint();
            let next = Held { size: checkpoint.size(), root: *checkpoint.root() };
            if let Ok(commit) = ledger.stage(&hash, seen.as_ref(), note, next)? {
                ledger.settle(commit)?;
                return Ok(Response::cosigned(&cosignatures));
            }
            // Somebody was faster; decide again on what is there now. What was signed is forgotten unseen.
        }
        Ok(Response::too_often(1))
    }

    /// The latest cosigned checkpoint of the log whose origin has this SHA-256, for
    /// `GET <monitoring prefix>/<origin hash>/checkpoint`; `None` if there is none.
    ///
    /// # Errors
    /// The storage failed.
    pub fn latest(&self, origin_hash: &Sha256Digest) -> Result<Option<Vec<u8>>, WitnessError> {
        Ok(self.ledger()?.durable(origin_hash)?.map(|note| note.to_vec()))
    }

    /// The ledger for one answer.
    fn ledger(&self) -> Result<Arc<Ledger>, WitnessError> {
        match &self.state {
            State::Mine(ledger) => Ok(Arc::clone(ledger)),
            State::Shared { disk, folder } => Ok(Arc::new(Ledger::wait(Arc::clone(disk), folder)?)),
        }
    }

    /// What was cosigned last for a log, verified as our own words.
    fn seen(&self, ledger: &Ledger, hash: &Sha256Digest, origin: &str) -> Result<Option<Seen>, WitnessError> {
        let Some(mut seen) = ledger.seen(hash)? else { return Ok(None) };
        if seen.held.is_none() {
            let signed = SignedCheckpoint::open(&seen.note, origin, &self.verifiers)
                .map_err(|source| damaged(origin, source))?;
            let held = Held { size: signed.checkpoint().size(), root: *signed.checkpoint().root() };
            ledger.trust(hash, &seen.note, held);
            seen.held = Some(held);
        }
        Ok(Some(seen))
    }

    /// Counts a request that will be cosigned, so that nobody without a log's key spends what is the log's,
    /// or says in how many seconds to ask again.
    fn count(
        &self,
        hash: &Sha256Digest,
        logs: &LogList,
        request: &AddCheckpoint,
        held: Option<Held>,
        now: Timestamp,
    ) -> Result<(), u64> {
        let checkpoint = request.signed().checkpoint();
        let Some(rate) = logs.rate(checkpoint.origin()).or(self.rate) else { return Ok(()) };
        let repeated = held.is_some_and(|held| held.size == checkpoint.size());
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).take((*hash, repeated), rate, now)
    }

    fn cosign(&self, request: &AddCheckpoint, now: Timestamp) -> Result<Vec<NoteSignature>, SignError> {
        let checkpoint = request.signed().checkpoint();
        self.signers
            .iter()
            .map(|signer| cosignature::cosign(checkpoint, &self.name, &**signer, now))
            .collect()
    }
}

/// The latest checkpoint that the witness with its state in this folder has cosigned for a log, for a process
/// that does not have the folder. It is what the folder holds at this moment, and need not be durable.
///
/// # Errors
/// The state cannot be read or is damaged.
pub fn last_seen(state: &Path, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
    Ok(ledger::peek(state, origin)?.map(|note| note.to_vec()))
}

/// What is kept of a request: its checkpoint, the log's signatures that were verified, one a key, and ours.
fn note(
    request: &AddCheckpoint,
    log: Option<&KnownLog>,
    cosignatures: &[NoteSignature],
) -> Result<Note, WitnessError> {
    let given = request.signed().note().signatures();
    let keys = log.map_or(&[][..], |log| &log.keys);
    let by_log = keys.iter().filter_map(|key| given.iter().find(|signature| signature.claims(key)));
    let signatures = by_log.chain(cosignatures).cloned().collect();
    let checkpoint = request.signed().checkpoint();
    let signed = SignedCheckpoint::new(checkpoint.clone(), signatures)
        .map_err(|source| damaged(checkpoint.origin(), source))?;
    Ok(signed.encode().into())
}

fn damaged(origin: &str, source: CheckpointError) -> WitnessError {
    WitnessError::Damaged { origin: origin.to_owned(), source }
}

impl Response {
    fn text(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: TEXT, retry_after: None, body }
    }

    fn cosigned(cosignatures: &[NoteSignature]) -> Self {
        Self::text(200, encode_cosignatures(cosignatures))
    }

    fn refused(refusal: &Refusal) -> Self {
        let body = refusal.body().into_bytes();
        Self { content_type: refusal.content_type(), ..Self::text(refusal.status(), body) }
    }

    fn too_often(seconds: u64) -> Self {
        let body = "this log asks more often than it may\n".into();
        Self { retry_after: Some(seconds), ..Self::text(429, body) }
    }
}
