//! Proofs of logging: an entry's place, its inclusion proof and a cosigned checkpoint in one file.
//!
//! Spec: <https://c2sp.org/tlog-proof>.
//! Input: files from any peer. Only canonical text parses: `parse(b)?.encode() == b`.
//! The `extra` line is authenticated by nothing; whoever uses it must tie it to the entry.
//! Not here: what the entry means (`verify`), whether the checkpoint is to be believed (`policy`).

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};

use crate::merkle::{Hash, MAX_PROOF_HASHES, MerkleError, leaf_hash, verify_inclusion};
use crate::note::MAX_NOTE_BYTES;
use crate::policy::{Policy, PolicyError, VerifiedCheckpoint};
use crate::text::{decimal, excerpt, from_base64, hash, to_base64};

/// Most bytes of extra data.
pub const MAX_EXTRA_BYTES: usize = 32 * 1024;

/// Longest proof file: extra data in base64, hashes, checkpoint and what stands between.
pub const MAX_PROOF_BYTES: usize =
    MAX_EXTRA_BYTES.div_ceil(3) * 4 + MAX_PROOF_HASHES * 45 + MAX_NOTE_BYTES + 128;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A well-formed proof. It shows nothing until [`TlogProof::check`] said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data of the application, 1 to [`MAX_EXTRA_BYTES`] bytes, not authenticated. Empty data is not
    /// written: it reads back as none.
    pub extra: Option<Vec<u8>>,
    /// 0-based index of the entry.
    pub index: u64,
    /// Inclusion proof, from the leaf's sibling up; at most [`MAX_PROOF_HASHES`].
    pub hashes: Vec<Hash>,
    /// The signed note, byte for byte.
    pub checkpoint: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Over [`MAX_PROOF_BYTES`].
    #[error("the proof is longer than {MAX_PROOF_BYTES} bytes")]
    TooLarge,
    /// Over [`MAX_EXTRA_BYTES`].
    #[error("the extra data of the proof is longer than {MAX_EXTRA_BYTES} bytes")]
    ExtraTooLarge,
    /// Over [`MAX_PROOF_HASHES`].
    #[error("the proof has more than {MAX_PROOF_HASHES} hashes")]
    TooManyHashes,
    /// The first line is another, or the part before the checkpoint is not text.
    #[error("a proof begins with the line `{HEADER}`")]
    Header,
    /// The extra line is empty or not base64.
    #[error("the extra line of the proof is not base64")]
    Extra,
    /// No index line, or not a canonical decimal below 2^63.
    #[error("`{line}` is not the index line of a proof")]
    Index {
        /// How the line begins, escaped.
        line: String,
    },
    /// Not 32 bytes in base64.
    #[error("`{line}` is not a SHA-256 hash in base64")]
    Hash {
        /// How the line begins, escaped.
        line: String,
    },
    /// No empty line, or nothing after it.
    #[error("the proof has no checkpoint")]
    NoCheckpoint,
    /// The checkpoint is not one that the policy accepts.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The entry is not where the proof says.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
}

impl Explain for ProofError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge | Self::ExtraTooLarge | Self::TooManyHashes => code::LIMIT_EXCEEDED,
            Self::Header | Self::Extra | Self::Index { .. } | Self::Hash { .. } | Self::NoCheckpoint => {
                code::LOG_PROOF_MALFORMED
            }
            Self::Policy(error) => error.code(),
            Self::Merkle(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Policy(error) => error.fix(),
            _ => None,
        }
    }
}

impl TlogProof {
    /// Reads a proof file. The checkpoint in it is not looked at.
    ///
    /// # Errors
    /// `limit-exceeded` or `log-proof-malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(ProofError::TooLarge);
        }
        // The checkpoint may have empty lines; the part before it has none.
        let split = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or(ProofError::NoCheckpoint)?;
        let (head, checkpoint) = (&bytes[..split], &bytes[split + 2..]);
        let head = core::str::from_utf8(head).map_err(|_| ProofError::Header)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ProofError::Header);
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(data) => {
                lines.next();
                Some(read_extra(data)?)
            }
            None => None,
        };
        let line = lines.next().unwrap_or_default();
        let index = line
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or_else(|| ProofError::Index { line: excerpt(line) })?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(ProofError::TooManyHashes);
            }
            hashes.push(hash(line).ok_or_else(|| ProofError::Hash { line: excerpt(line) })?);
        }
        if checkpoint.is_empty() {
            return Err(ProofError::NoCheckpoint);
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_vec() })
    }

    /// The proof file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("{HEADER}\n");
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            head.push_str(&format!("extra {}\n", to_base64(extra)));
        }
        head.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            head.push_str(&to_base64(hash.as_bytes()));
            head.push('\n');
        }
        head.push('\n');
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.checkpoint);
        bytes
    }

    /// Checks that `entry` is in a log that the policy accepts: log signature, quorum, inclusion.
    ///
    /// `entry` is the whole entry as it was logged; it is hashed here.
    ///
    /// # Errors
    /// Those of [`Policy::check_checkpoint`]; `log-proof-malformed` where index, number of hashes and tree size
    /// contradict each other, else `log-inclusion-invalid`.
    pub fn check(
        &self,
        policy: &Policy,
        entry: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedCheckpoint, ProofError> {
        let verified = policy.check_checkpoint(&self.checkpoint, now)?;
        let checkpoint = verified.checkpoint();
        verify_inclusion(self.index, checkpoint.size(), &leaf_hash(entry), checkpoint.root(), &self.hashes)?;
        Ok(verified)
    }
}

fn read_extra(data: &str) -> Result<Vec<u8>, ProofError> {
    if data.len() > MAX_EXTRA_BYTES.div_ceil(3) * 4 {
        return Err(ProofError::ExtraTooLarge);
    }
    let bytes = from_base64(data).filter(|bytes| !bytes.is_empty()).ok_or(ProofError::Extra)?;
    if bytes.len() > MAX_EXTRA_BYTES { Err(ProofError::ExtraTooLarge) } else { Ok(bytes) }
}
