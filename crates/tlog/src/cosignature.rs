//! Cosignatures: a witness's dated statement that a checkpoint extends all that it has seen of a log.
//!
//! Spec: <https://c2sp.org/tlog-cosignature>.
//! Two kinds: Ed25519 over the note's text (type 0x04, `cosignature/v1`) and ML-DSA-44 over a binary message
//! (type 0x06, `subtree/v1`), which can also vouch for a subtree.
//! Not here: which witnesses count and how many (`policy`), what a witness checks before it signs (`witness`).

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::{Algorithm, Signer};

use crate::checkpoint::Checkpoint;
use crate::merkle::{Hash, MAX_TREE_SIZE, is_subtree};
use crate::note::{NoteSignature, SignError, SignatureType, VerifierKey};

/// Largest time in a cosignature, POSIX seconds.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// A range of a log's leaves, its root being `hash`. From leaf 0 it is a checkpoint without extension lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree<'a> {
    /// The log's origin.
    pub origin: &'a str,
    /// First leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
    /// Root of the subtree.
    pub hash: &'a Hash,
}

/// Why a cosignature vouches for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignatureError {
    /// The key's type cannot cosign, or not this.
    #[error("the key of `{}` is not of a type that makes such cosignatures", escape(.name))]
    KeyType {
        /// The key's name.
        name: String,
    },
    /// The signature line names another key.
    #[error("the signature is not by `{}`", escape(.name))]
    OtherKey {
        /// The key's name.
        name: String,
    },
    /// Not eight bytes of time and a signature.
    #[error("the cosignature of `{}` is too short", escape(.name))]
    Short {
        /// The key's name.
        name: String,
    },
    /// A time over [`MAX_TIME`].
    #[error("the cosignature of `{}` is dated beyond what a time can be", escape(.name))]
    TimeRange {
        /// The key's name.
        name: String,
    },
    /// The key did not sign this checkpoint at this time.
    #[error("the cosignature of `{}` does not belong to this checkpoint", escape(.name))]
    Signature {
        /// The key's name.
        name: String,
    },
    /// Time 0, which says nothing about the tree being the newest; or a dated subtree that does not begin at 0.
    #[error("the cosignature of `{}` has no time where one is needed or one where none can be", escape(.name))]
    Undated {
        /// The key's name.
        name: String,
    },
    /// After the year 9999.
    #[error("the cosignature of `{}` is dated after the year 9999", escape(.name))]
    FarFuture {
        /// The key's name.
        name: String,
    },
    /// The range of leaves is not a subtree.
    #[error("leaves {start} to {end} are not a subtree")]
    NotASubtree {
        /// First leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
    },
}

impl Explain for CosignatureError {
    fn code(&self) -> Code {
        match self {
            Self::FarFuture { .. } => code::LOG_COSIGNATURE_TIME,
            _ => code::LOG_COSIGNATURE_INVALID,
        }
    }
}

/// Cosigns a checkpoint at `now`: type 0x04 with an Ed25519 key, 0x06 with an ML-DSA-44 key.
///
/// # Errors
/// The key is of another algorithm, `now` is the Epoch (0 means undated), or the signer refuses.
pub fn cosign(
    checkpoint: &Checkpoint,
    name: &str,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<NoteSignature, SignError> {
    let time = now.as_unix();
    if time == 0 {
        return Err(SignError::Time);
    }
    let key = signer.public_key();
    let (kind, message) = match key.algorithm() {
        Algorithm::Ed25519 => {
            (SignatureType::Ed25519Cosignature, ed25519_message(&checkpoint.encode(), time))
        }
        Algorithm::MlDsa44 => {
            let message = subtree_message(name, time, &whole(checkpoint)).ok_or(SignError::NameLength)?;
            (SignatureType::MlDsa44Cosignature, message)
        }
        other => return Err(SignError::Algorithm(other)),
    };
    let key = VerifierKey::new(name, kind, key.clone())?;
    Ok(timestamped(&key, time, &signer.sign(&message)?))
}

/// Cosigns a subtree with an ML-DSA-44 key, undated (as tlog-witness `sign-subtree` asks).
///
/// # Errors
/// As [`cosign`]; the range must be a subtree.
pub fn cosign_subtree(
    subtree: &Subtree<'_>,
    name: &str,
    signer: &dyn Signer,
) -> Result<NoteSignature, SignError> {
    let key = signer.public_key();
    if key.algorithm() != Algorithm::MlDsa44 {
        return Err(SignError::Algorithm(key.algorithm()));
    }
    let key = VerifierKey::new(name, SignatureType::MlDsa44Cosignature, key.clone())?;
    let message = subtree_message(name, 0, subtree).ok_or(SignError::NameLength)?;
    Ok(timestamped(&key, 0, &signer.sign(&message)?))
}

/// Checks a witness's cosignature of a checkpoint; returns when it was made.
///
/// # Errors
/// `log-cosignature-invalid`; `log-cosignature-time` for a time after the year 9999. Whether the time is in the
/// future is for the caller, who has a clock.
pub fn verify(
    signature: &NoteSignature,
    key: &VerifierKey,
    checkpoint: &Checkpoint,
) -> Result<Timestamp, CosignatureError> {
    let name = || key.name().to_owned();
    if !signature.claims(key) {
        return Err(CosignatureError::OtherKey { name: name() });
    }
    let time = verify_bytes(key, &checkpoint.encode(), signature.bytes())?;
    if time == 0 {
        return Err(CosignatureError::Undated { name: name() });
    }
    Timestamp::from_unix(time).ok_or_else(|| CosignatureError::FarFuture { name: name() })
}

/// Checks an ML-DSA-44 cosignature of a subtree; returns its time, 0 if it has none.
///
/// # Errors
/// `log-cosignature-invalid`, also for a dated signature of a subtree that does not begin at leaf 0.
pub fn verify_subtree(
    signature: &NoteSignature,
    key: &VerifierKey,
    subtree: &Subtree<'_>,
) -> Result<u64, CosignatureError> {
    let name = || key.name().to_owned();
    if !signature.claims(key) {
        return Err(CosignatureError::OtherKey { name: name() });
    }
    if key.kind() != SignatureType::MlDsa44Cosignature {
        return Err(CosignatureError::KeyType { name: name() });
    }
    if !is_subtree(subtree.start, subtree.end) {
        return Err(CosignatureError::NotASubtree { start: subtree.start, end: subtree.end });
    }
    let (time, bytes) = split(key, signature.bytes())?;
    if subtree.start != 0 && time != 0 {
        return Err(CosignatureError::Undated { name: name() });
    }
    check_subtree(key, time, subtree, bytes)?;
    Ok(time)
}

/// Checks a signature of type 0x04 or 0x06 over a note's text; returns its time, which may be 0.
pub(crate) fn verify_bytes(key: &VerifierKey, text: &str, signature: &[u8]) -> Result<u64, CosignatureError> {
    let (time, bytes) = split(key, signature)?;
    let broken = || CosignatureError::Signature { name: key.name().to_owned() };
    match key.kind() {
        SignatureType::Ed25519Cosignature => {
            key.public_key().verify(&ed25519_message(text, time), bytes).map_err(|_| broken())?;
        }
        SignatureType::MlDsa44Cosignature => {
            let checkpoint = Checkpoint::parse(text).map_err(|_| broken())?;
            check_subtree(key, time, &whole(&checkpoint), bytes)?;
        }
        SignatureType::Ed25519 => return Err(CosignatureError::KeyType { name: key.name().to_owned() }),
    }
    Ok(time)
}

fn check_subtree(
    key: &VerifierKey,
    time: u64,
    subtree: &Subtree<'_>,
    signature: &[u8],
) -> Result<(), CosignatureError> {
    let broken = || CosignatureError::Signature { name: key.name().to_owned() };
    let message = subtree_message(key.name(), time, subtree).ok_or_else(broken)?;
    key.public_key().verify(&message, signature).map_err(|_| broken())
}

/// A checkpoint as the subtree of all its leaves.
fn whole(checkpoint: &Checkpoint) -> Subtree<'_> {
    Subtree { origin: checkpoint.origin(), start: 0, end: checkpoint.size(), hash: checkpoint.root() }
}

/// The `timestamped_signature` structure: time, signature.
fn timestamped(key: &VerifierKey, time: u64, signature: &[u8]) -> NoteSignature {
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(signature);
    NoteSignature::new(key, bytes)
}

/// Takes a `timestamped_signature` apart.
fn split<'b>(key: &VerifierKey, bytes: &'b [u8]) -> Result<(u64, &'b [u8]), CosignatureError> {
    let name = || key.name().to_owned();
    let (time, signature) =
        bytes.split_first_chunk::<8>().ok_or_else(|| CosignatureError::Short { name: name() })?;
    let time = u64::from_be_bytes(*time);
    if time > MAX_TIME {
        return Err(CosignatureError::TimeRange { name: name() });
    }
    Ok((time, signature))
}

/// "Ed25519 signed message": two header lines and the whole note text.
fn ed25519_message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// "ML-DSA-44 signed message": the `cosigned_message` structure. `None` if it cannot be one.
fn subtree_message(name: &str, time: u64, subtree: &Subtree<'_>) -> Option<Vec<u8>> {
    let Subtree { origin, start, end, hash } = *subtree;
    if (start != 0 && time != 0) || end > MAX_TREE_SIZE {
        return None;
    }
    let mut message = b"subtree/v1\n\0".to_vec();
    push_opaque(&mut message, name)?;
    message.extend_from_slice(&time.to_be_bytes());
    push_opaque(&mut message, origin)?;
    message.extend_from_slice(&start.to_be_bytes());
    message.extend_from_slice(&end.to_be_bytes());
    message.extend_from_slice(hash.as_bytes());
    Some(message)
}

/// `opaque<1..2^8-1>`.
fn push_opaque(message: &mut Vec<u8>, text: &str) -> Option<()> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
    message.push(length);
    message.extend_from_slice(text.as_bytes());
    Some(())
}
