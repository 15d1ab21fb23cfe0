//! The proofs that lie beside the metadata of the repository as it stands.

use std::path::Path;

use countersign_base::{Anchor, Timestamp};
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
/// `publish-repo-damaged`; [`PublishError::ProofRefused`] with the code of the policy's refusal, such as
/// `log-cosignature-time` if this machine's clock is behind the witnesses'.
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
        // The log has the entry; who cosigned this tree of it is what a renewal can mend.
        Err(ProofError::Policy(source)) => {
            Err(PublishError::ProofRefused { role: role.to_owned(), version, source: Box::new(source) })
        }
        Err(error) => Err(damaged(Some(error.into()))),
    }
}
