//! The proofs that lie beside the metadata of the repository as it stands.

use std::path::Path;

use countersign_base::code::LOG_COSIGNATURE_TIME;
use countersign_base::{Anchor, Explain as _, Timestamp};
use countersign_crypto::sha256;
use countersign_store::durable;
use countersign_tlog::TlogProof;
use countersign_tlog::policy::Policy;
use countersign_tlog::proof::{MAX_PROOF_BYTES, ProofError};
use countersign_verify::Leaf;

use crate::error::PublishError;
use crate::layout::proof_path;

/// What a proof must be of, and by whom.
pub(crate) struct Expected<'a> {
    /// The repository.
    pub anchor: Anchor,
    /// The policy that the checkpoint must meet.
    pub policy: &'a Policy,
    /// The time of this act.
    pub now: Timestamp,
}

/// Checks the proof beside the metadata file at `path`, whose content is `bytes`.
///
/// A client would refuse the file without it, and so everything that is published beside it.
///
/// # Errors
/// `publish-repo-damaged`; `log-cosignature-time` if this machine's clock is behind the witnesses'.
pub(crate) fn check(
    expected: &Expected<'_>,
    path: &Path,
    role: &str,
    version: u64,
    bytes: &[u8],
) -> Result<(), PublishError> {
    let path = proof_path(path);
    let damaged = |source: Option<Box<dyn std::error::Error + Send + Sync>>| PublishError::Damaged {
        path: path.clone(),
        source,
    };
    let read = durable::read(&path, MAX_PROOF_BYTES as u64)?.ok_or_else(|| damaged(None))?;
    let proof = TlogProof::parse(&read).map_err(|error| damaged(Some(error.into())))?;
    let entry = proof.extra.as_deref().unwrap_or_default();
    let leaf = Leaf::parse(entry).map_err(|error| damaged(Some(error.into())))?;
    if !leaf.is_of(expected.anchor, role, version, (bytes.len(), sha256(bytes))) {
        return Err(damaged(Some("it is the proof of another file".into())));
    }
    match proof.check(expected.policy, entry, expected.now) {
        Ok(_) => Ok(()),
        Err(ProofError::Policy(error)) if error.code() == LOG_COSIGNATURE_TIME => Err(error.into()),
        Err(error) => Err(damaged(Some(error.into()))),
    }
}
