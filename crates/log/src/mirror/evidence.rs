//! Two checkpoints of one log that cannot both be right, in a file that proves it to anybody offline.
//!
//! One line of RFC 8785 canonical JSON:
//!
//! ```text
//! {"apiVersion":"0.0.1","kind":"logsplitview","spec":{
//!   "first":"<signed note>","second":"<signed note>",          the smaller tree first
//!   "prefix":{"root":"<hex>","consistency":["<hex>", ...]}}}   only where the sizes differ
//! ```
//!
//! Both notes are as they were served. At equal sizes two roots are the proof. Otherwise `prefix.root` is
//! what the second tree's first `size(first)` leaves hash to, shown by an RFC 9162 consistency proof from it
//! to the second root: a log with one history would have signed that root at that size, and it has signed
//! another one.
//!
//! Kind `logrollback` holds a larger checkpoint (`second`) and a smaller one (`first`) that was served after
//! it, and no `prefix`. It shows what was served, not that the log lied: an old cache can do the same.

use countersign_base::code::{self, Code, Explain};
use countersign_base::json::{self, Json};
use countersign_base::{Sha256Digest, canonical};
use countersign_tlog::merkle::{Hash, MAX_PROOF_HASHES, verify_consistency};
use countersign_tlog::note::MAX_NOTE_BYTES;
use countersign_tlog::{CheckpointError, SignedCheckpoint, VerifierKey};

/// Longest evidence file in bytes: two notes, whose bytes JSON may write as six, and a proof.
pub const MAX_EVIDENCE_BYTES: usize = 2 * 6 * MAX_NOTE_BYTES + 128 * MAX_PROOF_HASHES + 1024;

const API_VERSION: &str = "0.0.1";
const SPLIT: &str = "logsplitview";
const ROLLBACK: &str = "logrollback";

/// Two checkpoints as they were served, and what ties them together. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The signed note of the smaller tree.
    pub first: Vec<u8>,
    /// The signed note of the larger tree, or of the other one of the same size.
    pub second: Vec<u8>,
    /// What they are evidence of.
    pub claim: Claim,
}

/// What two checkpoints are said to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Two roots at one size.
    TwoRoots,
    /// The larger tree does not begin with the smaller one.
    NotAPrefix {
        /// The root of the larger tree's beginning, of the smaller tree's size.
        root: Hash,
        /// The consistency proof from that root to the larger tree's.
        consistency: Vec<Hash>,
    },
    /// The smaller one was served after the larger one.
    WentBack,
}

/// What evidence was found to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The log.
    pub origin: String,
    /// Number of entries of the two trees, the smaller one first.
    pub sizes: (u64, u64),
    /// The root that the log signed for the smaller tree.
    pub first_root: Hash,
    /// The root that it signed for the larger one, or for the other one of the same size.
    pub second_root: Hash,
    /// Whether this proves that the log has signed two histories.
    pub proves_split_view: bool,
}

/// Why a file is not evidence of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Not a file of this form.
    #[error("it is not an evidence file: {0}")]
    Malformed(&'static str),
    /// One of the checkpoints is not of the log, or not signed by its key.
    #[error("its {which} checkpoint is not one of the log")]
    Checkpoint {
        /// `first` or `second`.
        which: &'static str,
        /// Why not.
        source: CheckpointError,
    },
    /// The two checkpoints can both be right.
    #[error("its two checkpoints do not contradict each other: {0}")]
    ShowsNothing(&'static str),
}

impl Explain for EvidenceError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => code::LOG_PROOF_MALFORMED,
            Self::Checkpoint { source, .. } => source.code(),
            Self::ShowsNothing(_) => code::LOG_CONSISTENCY_INVALID,
        }
    }
}

impl Evidence {
    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let text = |note: &[u8]| Json::from(String::from_utf8_lossy(note).into_owned());
        let mut spec = vec![("first", text(&self.first)), ("second", text(&self.second))];
        if let Claim::NotAPrefix { root, consistency } = &self.claim {
            let hashes = consistency.iter().map(|hash| Json::from(hash.to_string())).collect();
            spec.push((
                "prefix",
                Json::object([("root", Json::from(root.to_string())), ("consistency", Json::Array(hashes))]),
            ));
        }
        let kind = if self.claim == Claim::WentBack { ROLLBACK } else { SPLIT };
        let mut bytes = canonical::rfc8785(&Json::object([
            ("apiVersion", Json::from(API_VERSION)),
            ("kind", Json::from(kind)),
            ("spec", Json::object(spec)),
        ]));
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file; only what [`Evidence::encode`] writes parses.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`]
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let malformed = EvidenceError::Malformed;
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(malformed("it is too long"));
        }
        let line = bytes.strip_suffix(b"\n").ok_or(malformed("its last line is not ended"))?;
        let value = json::parse(line).map_err(|_| malformed("it is not strict JSON"))?;
        if value.get("apiVersion").and_then(Json::as_str) != Some(API_VERSION) {
            return Err(malformed("its apiVersion is not 0.0.1"));
        }
        let spec = value.get("spec").ok_or(malformed("it has no spec"))?;
        let claim = match (value.get("kind").and_then(Json::as_str), spec.get("prefix")) {
            (Some(SPLIT), None) => Claim::TwoRoots,
            (Some(SPLIT), Some(prefix)) => parse_prefix(prefix)?,
            (Some(ROLLBACK), None) => Claim::WentBack,
            _ => return Err(malformed("its kind is neither logsplitview nor logrollback")),
        };
        let note = |key| spec.get(key).and_then(Json::as_str).map(|text| text.as_bytes().to_vec());
        let (Some(first), Some(second)) = (note("first"), note("second")) else {
            return Err(malformed("it has no two checkpoints"));
        };
        let evidence = Self { first, second, claim };
        // Also refuses unknown members: they would not survive.
        if evidence.encode() != bytes { Err(malformed("it is not in canonical form")) } else { Ok(evidence) }
    }

    /// Checks with the log's keys alone what the two checkpoints show.
    ///
    /// # Errors
    /// Either is not of the log with these keys, or they can both be right.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Shown, EvidenceError> {
        let open = |which, bytes: &[u8]| {
            let failed = |source| EvidenceError::Checkpoint { which, source };
            let origin = SignedCheckpoint::parse(bytes).map_err(failed)?.checkpoint().origin().to_owned();
            let own: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
            let signed = SignedCheckpoint::open(bytes, &origin, &own).map_err(failed)?;
            Ok(signed.checkpoint().clone())
        };
        let (first, second) = (open("first", &self.first)?, open("second", &self.second)?);
        if first.origin() != second.origin() {
            return Err(EvidenceError::ShowsNothing("they are of two logs"));
        }
        let (old, new) = (first.size(), second.size());
        let proves_split_view = match &self.claim {
            Claim::TwoRoots if old == new && first.root() != second.root() => true,
            Claim::TwoRoots => {
                return Err(EvidenceError::ShowsNothing("they have not two roots at one size"));
            }
            Claim::NotAPrefix { root, consistency } => {
                if old >= new || root == first.root() {
                    return Err(EvidenceError::ShowsNothing("the larger tree begins with the smaller one"));
                }
                verify_consistency(old, new, root, second.root(), consistency).map_err(|_| {
                    EvidenceError::ShowsNothing("the proof does not show how the larger tree begins")
                })?;
                true
            }
            Claim::WentBack if old < new => false,
            Claim::WentBack => return Err(EvidenceError::ShowsNothing("neither is smaller")),
        };
        Ok(Shown {
            origin: first.origin().to_owned(),
            sizes: (old, new),
            first_root: *first.root(),
            second_root: *second.root(),
            proves_split_view,
        })
    }
}

fn parse_prefix(prefix: &Json) -> Result<Claim, EvidenceError> {
    let malformed = || EvidenceError::Malformed("its prefix is not a root and a consistency proof");
    let hash = |value: &Json| value.as_str().and_then(|text| text.parse::<Sha256Digest>().ok());
    let root = prefix.get("root").and_then(hash).ok_or_else(malformed)?;
    let list = prefix.get("consistency").and_then(Json::as_array).ok_or_else(malformed)?;
    if list.len() > MAX_PROOF_HASHES {
        return Err(malformed());
    }
    let consistency = list.iter().map(hash).collect::<Option<Vec<_>>>().ok_or_else(malformed)?;
    Ok(Claim::NotAPrefix { root, consistency })
}
