//! Checkpoints: origin, tree size and root hash of a log, as a signed note.
//!
//! Spec: <https://c2sp.org/tlog-checkpoint>.
//! Input: note text and notes from any peer. Only canonical text parses: `parse(t)?.encode() == t`.
//! Extension lines are carried and signed over, and mean nothing.
//! Not here: cosignatures (`cosignature`), how many of them are enough (`policy`).

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::{Algorithm, Signer, sha256};

use crate::cosignature;
use crate::merkle::{EMPTY_ROOT, Hash, MAX_TREE_SIZE};
use crate::note::{Note, NoteError, NoteSignature, SignError, VerifierKey, sign_note};
use crate::text::{decimal, excerpt, hash, to_base64};

/// Longest origin that is read; one byte tells its length in an ML-DSA-44 cosignature.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// Most extension lines that are read.
pub const MAX_EXTENSION_LINES: usize = 64;

/// Longest checkpoint text that is read, extension lines included.
pub const MAX_CHECKPOINT_TEXT_BYTES: usize = 16 * 1024;

/// What a log says about itself: so many leaves, this root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why a text is not a checkpoint, or a checkpoint not one of the log that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Something is wrong with the note around the checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Over [`MAX_CHECKPOINT_TEXT_BYTES`] or [`MAX_EXTENSION_LINES`].
    #[error("the checkpoint's text is longer than any honest one")]
    TooLarge,
    /// Fewer than three lines, or the last one not ended.
    #[error("a checkpoint has at least three lines: origin, tree size and root hash")]
    Lines,
    /// An origin that is empty, too long, or has control characters.
    #[error("an origin has 1 to {MAX_ORIGIN_BYTES} bytes and no control characters")]
    Origin,
    /// Not a canonical decimal of at most [`MAX_TREE_SIZE`].
    #[error("`{text}` is not a tree size")]
    Size {
        /// How it begins, escaped.
        text: String,
    },
    /// Not 32 bytes in base64.
    #[error("`{text}` is not a root hash")]
    Root {
        /// How it begins, escaped.
        text: String,
    },
    /// An empty extension line, or one with control characters.
    #[error("an extension line of the checkpoint is empty or has control characters")]
    Extension,
    /// A tree of no leaves with the root of another tree.
    #[error("the checkpoint says that its tree is empty, and its root is not that of the empty tree")]
    EmptyRoot,
    /// Of another log.
    #[error("the checkpoint is of the log `{}`, not of `{}`", escape(.got), escape(.want))]
    OriginMismatch {
        /// The log that was asked for.
        want: String,
        /// The checkpoint's.
        got: String,
    },
}

impl Explain for CheckpointError {
    fn code(&self) -> Code {
        match self {
            Self::Note(error) => error.code(),
            Self::TooLarge => code::LIMIT_EXCEEDED,
            Self::OriginMismatch { .. } => code::LOG_ORIGIN_MISMATCH,
            Self::Lines
            | Self::Origin
            | Self::Size { .. }
            | Self::Root { .. }
            | Self::Extension
            | Self::EmptyRoot => code::LOG_PROOF_MALFORMED,
        }
    }
}

impl Checkpoint {
    /// # Errors
    /// The origin cannot be one, the size is over [`MAX_TREE_SIZE`], or the root of the empty tree is wrong.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        check_origin(origin)?;
        if size > MAX_TREE_SIZE {
            return Err(CheckpointError::Size { text: size.to_string() });
        }
        let checkpoint = Self { origin: origin.to_owned(), size, root, extensions: Vec::new() };
        checkpoint.check_empty_root()?;
        Ok(checkpoint)
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// `limit-exceeded` or `log-proof-malformed`.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > MAX_CHECKPOINT_TEXT_BYTES {
            return Err(CheckpointError::TooLarge);
        }
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        check_origin(origin)?;
        let size = decimal(size).ok_or_else(|| CheckpointError::Size { text: excerpt(size) })?;
        let root = hash(root).ok_or_else(|| CheckpointError::Root { text: excerpt(root) })?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.len() > MAX_EXTENSION_LINES {
            return Err(CheckpointError::TooLarge);
        }
        if extensions.iter().any(|line| !is_line(line)) {
            return Err(CheckpointError::Extension);
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// The text that is signed.
    pub fn encode(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(self.root.as_bytes()));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The log's identity, the first line.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Root hash of the tree.
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// Lines after the third. They carry no meaning.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// A checkpoint of size 0 must have the root of the empty tree (RFC 6962 section 2.1).
    ///
    /// Parsing leaves this out because a witness answers it with a status of its own.
    pub fn check_empty_root(&self) -> Result<(), CheckpointError> {
        if self.size == 0 && self.root != EMPTY_ROOT { Err(CheckpointError::EmptyRoot) } else { Ok(()) }
    }
}

/// A note whose text is a checkpoint. Who signed it is not known before a check has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Puts signatures below a checkpoint.
    pub fn new(checkpoint: Checkpoint, signatures: Vec<NoteSignature>) -> Result<Self, CheckpointError> {
        let note = Note::new(checkpoint.encode(), signatures)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a note with a checkpoint in it and verifies nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a checkpoint of the log `origin` that one of `keys` signed.
    ///
    /// `keys` are those of the log. Cosignatures are the policy's business (`Policy::check_checkpoint`).
    ///
    /// # Errors
    /// As [`SignedCheckpoint::parse`] and [`Note::verify`]; `log-origin-mismatch` for another log's; and a wrong
    /// root of an empty tree.
    pub fn open(bytes: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let signed = Self::parse(bytes)?;
        signed.verify(origin, keys)?;
        signed.checkpoint.check_empty_root()?;
        Ok(signed)
    }

    /// Checks that this is a checkpoint of the log `origin` and that one of its `keys` signed it.
    pub fn verify(&self, origin: &str, keys: &[VerifierKey]) -> Result<(), CheckpointError> {
        if self.checkpoint.origin != origin {
            let got = self.checkpoint.origin.clone();
            return Err(CheckpointError::OriginMismatch { want: origin.to_owned(), got });
        }
        self.note.verify(keys)?;
        Ok(())
    }

    /// The same checkpoint with more signatures below; those there already are not repeated.
    pub fn with_signatures(&self, more: &[NoteSignature]) -> Result<Self, CheckpointError> {
        Ok(Self { checkpoint: self.checkpoint.clone(), note: self.note.with_signatures(more)? })
    }

    /// What the note says.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note itself.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The note's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.note.encode()
    }
}

/// Signs a checkpoint as the log: type 0x01 with an Ed25519 key, 0x06 dated `now` with an ML-DSA-44 key.
///
/// # Errors
/// The key is of another algorithm, or the signer refuses.
pub fn sign(
    checkpoint: &Checkpoint,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<NoteSignature, SignError> {
    match signer.public_key().algorithm() {
        Algorithm::MlDsa44 => cosignature::cosign(checkpoint, checkpoint.origin(), signer, now),
        _ => sign_note(&checkpoint.encode(), checkpoint.origin(), signer),
    }
}

/// Where a witness serves its latest checkpoint of a log: SHA-256 of the origin (tlog-witness, "Monitor
/// Retrieval Mechanism").
pub fn origin_hash(origin: &str) -> Hash {
    sha256(origin.as_bytes())
}

fn check_origin(origin: &str) -> Result<(), CheckpointError> {
    if is_line(origin) && origin.len() <= MAX_ORIGIN_BYTES { Ok(()) } else { Err(CheckpointError::Origin) }
}

/// Not empty, no control character (so no newline).
fn is_line(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte >= 0x20)
}
