//! The witness protocol: requests, answers, and what a witness decides.
//!
//! Spec: <https://c2sp.org/tlog-witness>, `add-checkpoint`.
//! Pure: the caller holds the latest checkpoint of each log, and must store the new one, atomically with the
//! decision and durably, before it answers.
//! Not here: HTTP (`server`, `client`), storing (`log`), signing (`cosignature`). `sign-subtree` is optional and
//! not offered.

use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::merkle::{EMPTY_ROOT, Hash, MerkleError, verify_consistency};
use crate::note::{MAX_NOTE_BYTES, MAX_SIGNATURES, NoteError, NoteSignature, VerifierKey};
use crate::text::{decimal, excerpt, hash, to_base64};

/// Most consistency proof lines in a request ("MUST NOT send more than 63").
pub const MAX_PROOF_LINES: usize = 63;

/// Longest request body.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + MAX_PROOF_LINES * 45 + 64;

/// Longest answer body that a client reads.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The content type of an answer that tells the size of the witness's latest checkpoint.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A request to cosign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    signed: SignedCheckpoint,
}

/// A request that is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Over [`MAX_REQUEST_BYTES`].
    #[error("the request is longer than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// Over [`MAX_PROOF_LINES`].
    #[error("the request has more than {MAX_PROOF_LINES} consistency proof lines")]
    TooManyHashes,
    /// No empty line before the checkpoint, or not text.
    #[error("the request has no checkpoint after an empty line")]
    NoCheckpoint,
    /// The first line is not `old` and a canonical size.
    #[error("`{line}` is not an old size line")]
    OldSize {
        /// How it begins, escaped.
        line: String,
    },
    /// A proof line is not a hash.
    #[error("`{line}` is not a SHA-256 hash in base64")]
    Hash {
        /// How it begins, escaped.
        line: String,
    },
    /// The checkpoint is not one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Explain for RequestError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge | Self::TooManyHashes => code::LIMIT_EXCEEDED,
            Self::NoCheckpoint | Self::OldSize { .. } | Self::Hash { .. } => code::LOG_PROOF_MALFORMED,
            Self::Checkpoint(error) => error.code(),
        }
    }
}

impl AddCheckpoint {
    /// A request from the tree of `old` leaves to a newer checkpoint. `proof` is empty where `old` is 0.
    ///
    /// # Errors
    /// More than [`MAX_PROOF_LINES`] hashes.
    pub fn new(old: u64, proof: Vec<Hash>, signed: SignedCheckpoint) -> Result<Self, RequestError> {
        if proof.len() > MAX_PROOF_LINES {
            return Err(RequestError::TooManyHashes);
        }
        Ok(Self { old, proof, signed })
    }

    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let split = body.windows(2).position(|pair| pair == b"\n\n").ok_or(RequestError::NoCheckpoint)?;
        let head = core::str::from_utf8(&body[..split]).map_err(|_| RequestError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let line = lines.next().unwrap_or_default();
        let old = line
            .strip_prefix("old ")
            .and_then(decimal)
            .ok_or_else(|| RequestError::OldSize { line: excerpt(line) })?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_LINES {
                return Err(RequestError::TooManyHashes);
            }
            proof.push(hash(line).ok_or_else(|| RequestError::Hash { line: excerpt(line) })?);
        }
        Ok(Self { old, proof, signed: SignedCheckpoint::parse(&body[split + 2..])? })
    }

    /// The request body.
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("old {}\n", self.old);
        for hash in &self.proof {
            head.push_str(&to_base64(hash.as_bytes()));
            head.push('\n');
        }
        head.push('\n');
        let mut body = head.into_bytes();
        body.extend(self.signed.encode());
        body
    }

    /// Size of the checkpoint that the proof starts from; 0 for none.
    pub const fn old(&self) -> u64 {
        self.old
    }

    /// Consistency proof from the old size.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The checkpoint to cosign. Its origin says which log's keys and state to decide with.
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }
}

/// A log that a witness knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLog {
    /// First line of its checkpoints.
    pub origin: String,
    /// Keys that sign them.
    pub keys: Vec<VerifierKey>,
}

/// The latest checkpoint that a witness cosigned for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// Why a witness does not cosign. Each has an HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 400: the request is not well-formed; 403 where that is because no signature can be read.
    #[error(transparent)]
    Malformed(#[from] RequestError),
    /// 404: a log that the witness does not know.
    #[error("the log `{}` is not known here", escape(.origin))]
    UnknownLog {
        /// The checkpoint's origin.
        origin: String,
    },
    /// 403: no known key of the log signed, or its signature is broken.
    #[error(transparent)]
    Signature(NoteError),
    /// 400: the proof starts from a larger tree than the checkpoint's.
    #[error("the old size {old} is larger than the checkpoint's {new}")]
    OldTooLarge {
        /// The request's old size.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// 409: the proof does not start from the latest checkpoint cosigned here.
    #[error("the latest checkpoint cosigned here has {held} leaves, the request starts from {old}")]
    Conflict {
        /// Size of the latest checkpoint, 0 for none.
        held: u64,
        /// The request's old size.
        old: u64,
    },
    /// 422: an empty tree with another root than the empty tree's.
    #[error("the root of the empty tree is not the one in the checkpoint")]
    EmptyRoot,
    /// 422: hashes where none are needed.
    #[error("from size 0 there is nothing to prove, and the request has a consistency proof")]
    ProofFromEmpty,
    /// 422: the same size with another root: the log has forked.
    #[error("the checkpoint has the size {size} of the latest one cosigned here and another root")]
    OtherRoot {
        /// Size of both.
        size: u64,
    },
    /// 422: the tree does not extend the one cosigned here.
    #[error(transparent)]
    Inconsistent(MerkleError),
}

impl Refusal {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            // "403 if no signature from a trusted key for the origin is present": what cannot be read is none.
            Self::Malformed(RequestError::Checkpoint(CheckpointError::Note(
                NoteError::NoSignatures | NoteError::SignatureLine { .. },
            )))
            | Self::Signature(_) => 403,
            Self::Malformed(_) | Self::OldTooLarge { .. } => 400,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::EmptyRoot | Self::ProofFromEmpty | Self::OtherRoot { .. } | Self::Inconsistent(_) => 422,
        }
    }

    /// The `Content-Type` of the answer.
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => SIZE_CONTENT_TYPE,
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body of the answer: the size held, or what is wrong in one line.
    pub fn body(&self) -> String {
        match self {
            Self::Conflict { held, .. } => format!("{held}\n"),
            _ => format!("{self}\n"),
        }
    }
}

impl Explain for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::Malformed(error) => error.code(),
            Self::Signature(error) => error.code(),
            Self::UnknownLog { .. } => code::WITNESS_LOG_UNKNOWN,
            Self::OldTooLarge { .. } | Self::Conflict { .. } => code::WITNESS_CONFLICT,
            Self::EmptyRoot | Self::ProofFromEmpty | Self::OtherRoot { .. } | Self::Inconsistent(_) => {
                code::WITNESS_INCONSISTENT
            }
        }
    }
}

/// Whether to cosign: the checks of the specification in its order.
///
/// `log` is what is known under the request's origin, `held` the latest checkpoint cosigned for it. `Ok` gives the
/// checkpoint to store and then cosign.
pub fn decide<'r>(
    request: &'r AddCheckpoint,
    log: Option<&KnownLog>,
    held: Option<&Held>,
) -> Result<&'r Checkpoint, Refusal> {
    let new = request.signed.checkpoint();
    let log = log
        .filter(|log| log.origin == new.origin())
        .ok_or_else(|| Refusal::UnknownLog { origin: new.origin().to_owned() })?;
    request.signed.note().verify(&log.keys).map_err(Refusal::Signature)?;
    if request.old > new.size() {
        return Err(Refusal::OldTooLarge { old: request.old, new: new.size() });
    }
    let held = held.copied().unwrap_or(Held { size: 0, root: EMPTY_ROOT });
    if request.old != held.size {
        return Err(Refusal::Conflict { held: held.size, old: request.old });
    }
    if new.check_empty_root().is_err() {
        return Err(Refusal::EmptyRoot);
    }
    if request.old == 0 {
        return if request.proof.is_empty() { Ok(new) } else { Err(Refusal::ProofFromEmpty) };
    }
    if new.size() == held.size && *new.root() != held.root {
        return Err(Refusal::OtherRoot { size: held.size });
    }
    verify_consistency(held.size, new.size(), &held.root, new.root(), &request.proof)
        .map_err(Refusal::Inconsistent)?;
    Ok(new)
}

/// The body of an answer with status 200: one or more signature lines.
pub fn encode_cosignatures(signatures: &[NoteSignature]) -> Vec<u8> {
    signatures.iter().map(NoteSignature::to_line).collect::<String>().into_bytes()
}

/// What a witness answered. Nothing in it is verified: `SignedCheckpoint::with_signatures` and the policy do that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: signature lines, of unknown keys too.
    Cosigned(Vec<NoteSignature>),
    /// 409: the size to start the proof from.
    Conflict(u64),
    /// Any other status, with the body's first line, escaped.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the witness said.
        message: String,
    },
}

/// A witness's answer that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the witness answered {status} with a body that is not as the protocol says")]
pub struct AnswerError {
    /// The HTTP status.
    pub status: u16,
}

impl Explain for AnswerError {
    fn code(&self) -> Code {
        code::WITNESS_UNAVAILABLE
    }
}

impl Answer {
    /// Reads an answer. `content_type` is the header's value, if there was one.
    ///
    /// # Errors
    /// The body is longer than [`MAX_ANSWER_BYTES`], or not signature lines (200) or a size (409).
    pub fn parse(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Self, AnswerError> {
        let malformed = AnswerError { status };
        if body.len() > MAX_ANSWER_BYTES {
            return Err(malformed);
        }
        match status {
            200 => parse_cosignatures(body).map(Self::Cosigned).ok_or(malformed),
            409 if content_type.is_some_and(is_size_type) => {
                let size = core::str::from_utf8(body).ok().and_then(|body| body.strip_suffix('\n'));
                size.and_then(decimal).map(Self::Conflict).ok_or(malformed)
            }
            _ => {
                let text = String::from_utf8_lossy(body);
                let message = excerpt(text.lines().next().unwrap_or_default());
                Ok(Self::Refused { status, message })
            }
        }
    }
}

/// Media types compare without case and parameters (RFC 9110 section 8.3.1).
fn is_size_type(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SIZE_CONTENT_TYPE)
}

fn parse_cosignatures(body: &[u8]) -> Option<Vec<NoteSignature>> {
    let lines = core::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return None;
    }
    lines.split('\n').map(NoteSignature::parse).collect()
}
