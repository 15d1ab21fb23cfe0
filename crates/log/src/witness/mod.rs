//! A witness: it cosigns a log's checkpoint only if that extends the last one it cosigned.
//!
//! Spec: <https://c2sp.org/tlog-witness>. What is decided is `tlog::witness::decide`; this module keeps the state.
//!
//! The state is a folder with a file a log, named by the SHA-256 of its origin: the latest checkpoint with the
//! log's signature and our cosignatures, which is also what the monitoring endpoint serves. Checking against it
//! and replacing it is one compare-and-swap, across threads and processes, and the file is durable before the
//! answer is given. So of two requests from one old size one is answered with a conflict, and a witness killed at
//! any moment never signs a smaller or another tree after it.
//!
//! Not here: HTTP (`server`).

mod logs;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use countersign_base::code::{self, Code, Explain};
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::Signer;
use countersign_store::{Cell as _, Dir, Disk, Held as HeldBytes, Objects as _, RealDisk, StoreError};
use countersign_tlog::checkpoint::origin_hash;
use countersign_tlog::note::VkeyError;
use countersign_tlog::witness::{AddCheckpoint, Held, KnownLog, Refusal, decide, encode_cosignatures};
use countersign_tlog::{
    CheckpointError, NoteSignature, SignError, SignedCheckpoint, VerifierKey, cosignature,
};

pub use logs::{LogList, LogListError, MAX_LOG_LIST_BYTES, MAX_WITNESSED_LOGS};

/// Tries when another process keeps changing the state of the same log.
const MAX_SWAPS: usize = 100;
const TEXT: &str = "text/plain; charset=utf-8";

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

/// Why a witness cannot work. A request that it refuses is a [`Response`] and not one of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The state could not be read or written; nothing was signed that is not stored.
    #[error("the witness's state could not be kept")]
    Store(#[from] StoreError),
    /// The state of a log is not what this witness writes. It signs nothing for that log.
    #[error("the witness's record of a log, `{path}`, is damaged")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// The witness's name or a key cannot be used.
    #[error("the witness's name or key cannot be used")]
    Key(#[from] VkeyError),
    /// No key.
    #[error("the witness has no key")]
    NoKey,
    /// A key did not sign.
    #[error("the witness's key did not sign")]
    Sign(#[from] SignError),
}

impl Explain for WitnessError {
    fn code(&self) -> Code {
        match self {
            Self::Store(_) => code::LOG_STORAGE_FAILED,
            Self::Damaged { .. } => code::LOG_STORAGE_CORRUPT,
            Self::Key(error) => error.code(),
            Self::NoKey => code::KEY_NOT_FOUND,
            Self::Sign(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.fix(),
            Self::Damaged { .. } => Some(
                "restore the file from a copy; a witness that forgets what it signed must get a new key"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// A witness, for any number of threads.
pub struct Witness {
    name: String,
    signers: Vec<Box<dyn Signer>>,
    verifiers: Vec<VerifierKey>,
    state: Dir,
    logs: RwLock<LogList>,
    /// Bytes of each log's state that were verified or written here, so that they are not verified again.
    known: Mutex<HashMap<Sha256Digest, Vec<u8>>>,
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
    /// A witness of this name with a key or more (Ed25519, ML-DSA-44), its state in `state`, for the logs listed.
    ///
    /// # Errors
    /// The name or a key cannot be used, or the folder cannot be made.
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
        if signers.is_empty() {
            return Err(WitnessError::NoKey);
        }
        let verifiers = signers
            .iter()
            .map(|signer| VerifierKey::for_witness(name, signer.public_key()))
            .collect::<Result<_, _>>()?;
        let state = Dir::open_on(disk, state, 0o644)?;
        Ok(Self {
            name: name.to_owned(),
            signers,
            verifiers,
            state,
            logs: RwLock::new(logs),
            known: Mutex::default(),
        })
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
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
    }

    /// Answers a request to `add-checkpoint` at the time `now`. A failure of our own is status 500, without
    /// particulars.
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Response {
        self.answer(body, now).unwrap_or_else(|_| Response {
            status: 500,
            content_type: TEXT,
            body: b"the witness cannot work at present\n".to_vec(),
        })
    }

    /// As [`Witness::add_checkpoint`], with the particulars of a failure of our own.
    ///
    /// # Errors
    /// State that cannot be read, trusted or written, or a key that does not sign. Nothing was answered, so the
    /// checkpoint counts as cosigned or not; the next request finds out.
    pub fn answer(&self, body: &[u8], now: Timestamp) -> Result<Response, WitnessError> {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Ok(refuse(&Refusal::Malformed(error))),
        };
        let origin = request.signed().checkpoint().origin();
        for _ in 0..MAX_SWAPS {
            // The list is read each time, and the state only for a log on it: names of files come from these alone.
            let log = self.logs.read().unwrap_or_else(PoisonError::into_inner).find(origin).cloned();
            let hash = origin_hash(origin);
            let stored = match log {
                Some(_) => self.load(&hash, origin)?,
                None => None,
            };
            let held = stored.as_ref().map(|(_, held)| *held);
            if let Err(refusal) = decide(&request, log.as_ref(), held.as_ref()) {
                return Ok(refuse(&refusal));
            }
            let cosignatures = self.cosign(&request, now)?;
            match self.store(&hash, stored.map(|(bytes, _)| bytes), &request, log.as_ref(), &cosignatures) {
                Ok(()) => {
                    let body = encode_cosignatures(&cosignatures);
                    return Ok(Response { status: 200, content_type: TEXT, body });
                }
                // Somebody was faster; decide again on what is there now. What was signed is forgotten unseen.
                Err(WitnessError::Store(StoreError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(WitnessError::Store(StoreError::Conflict { path: self.state.root().to_owned() }))
    }

    /// The latest cosigned checkpoint of the log whose origin has this SHA-256, for
    /// `GET <monitoring prefix>/<origin hash>/checkpoint`; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn latest(&self, origin_hash: &Sha256Digest) -> Result<Option<Vec<u8>>, WitnessError> {
        Ok(self.state.get(&origin_hash.to_string())?)
    }

    /// The state of a log: its bytes for the swap, and what they say. Verified as our own words.
    fn load(&self, hash: &Sha256Digest, origin: &str) -> Result<Option<(HeldBytes, Held)>, WitnessError> {
        let cell = self.state.cell(&hash.to_string())?;
        let Some(held) = cell.load()? else { return Ok(None) };
        let damaged = |source| WitnessError::Damaged { path: cell.path().display().to_string(), source };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        let signed = if known.is_some_and(|known| known == held.bytes()) {
            SignedCheckpoint::parse(held.bytes())
        } else {
            SignedCheckpoint::open(held.bytes(), origin, &self.verifiers)
        };
        let signed = signed.map_err(damaged)?;
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        Ok(Some((held, Held { size, root })))
    }

    fn cosign(&self, request: &AddCheckpoint, now: Timestamp) -> Result<Vec<NoteSignature>, WitnessError> {
        let checkpoint = request.signed().checkpoint();
        let cosign = |signer: &dyn Signer| cosignature::cosign(checkpoint, &self.name, signer, now);
        Ok(self.signers.iter().map(|signer| cosign(&**signer)).collect::<Result<_, _>>()?)
    }

    /// Replaces the state of a log, if it is still `old`, by the request's checkpoint with the log's signatures that
    /// we verified and our cosignatures.
    fn store(
        &self,
        hash: &Sha256Digest,
        old: Option<HeldBytes>,
        request: &AddCheckpoint,
        log: Option<&KnownLog>,
        cosignatures: &[NoteSignature],
    ) -> Result<(), WitnessError> {
        let cell = self.state.cell(&hash.to_string())?;
        let by_log = |signature: &&NoteSignature| {
            log.is_some_and(|log| log.keys.iter().any(|key| signature.claims(key)))
        };
        let mut signatures: Vec<NoteSignature> =
            request.signed().note().signatures().iter().filter(by_log).cloned().collect();
        signatures.extend_from_slice(cosignatures);
        let next = SignedCheckpoint::new(request.signed().checkpoint().clone(), signatures)
            .map_err(|source| WitnessError::Damaged { path: cell.path().display().to_string(), source })?;
        let bytes = next.encode();
        match old {
            Some(old) => cell.replace(old, &bytes)?,
            None => cell.create(&bytes)?,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(*hash, bytes);
        Ok(())
    }
}

fn refuse(refusal: &Refusal) -> Response {
    Response {
        status: refusal.status(),
        content_type: refusal.content_type(),
        body: refusal.body().into_bytes(),
    }
}
