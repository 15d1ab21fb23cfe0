//! The result as a client will see it, checked before any client can.

use countersign_base::Anchor;
use countersign_store::durable;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, TOP_LEVEL};
use countersign_tuf::{Role as _, TrustedSet};
use countersign_verify::{Document, Lineage, TransparentSet};

use crate::act::{Signed, Site};
use crate::error::PublishError;
use crate::layout::proof_path;

/// Runs a client's whole check on what is about to be visible: the new documents with their proofs, the others
/// from disk, and `timestamp`.
///
/// # Errors
/// The code that the client would show.
pub(crate) fn check(
    site: &Site,
    anchor: Anchor,
    documents: &[Signed],
    proofs: &[Vec<u8>],
    timestamp: &[u8],
) -> Result<(), PublishError> {
    let found = |role: &str, version: u64| find(site, documents, proofs, role, version);
    let refused = PublishError::SelfCheck;
    let first = found(ROOT, 1)?;
    let mut set = TransparentSet::new(anchor, &first, Lineage::default(), site.now).map_err(refused)?;
    while let Some(version) = next_root(site, documents, set.tuf()) {
        set.update_root(&found(ROOT, version)?).map_err(refused)?;
    }
    set.update_timestamp(timestamp).map_err(refused)?;
    let snapshot = set.tuf().timestamp().map_or(0, |timestamp| timestamp.snapshot().version);
    set.update_snapshot(&found(SNAPSHOT, snapshot)?).map_err(refused)?;
    let listed = |set: &TransparentSet, role: &str| {
        set.tuf().snapshot().and_then(|snapshot| snapshot.file(role)).map_or(0, |file| file.version)
    };
    set.update_targets(&found(TARGETS, listed(&set, TARGETS))?).map_err(refused)?;
    for document in documents.iter().filter(|document| !TOP_LEVEL.contains(&document.role.as_str())) {
        let role = document.role.as_str();
        set.update_role(role, TARGETS, &found(role, listed(&set, role))?).map_err(refused)?;
    }
    Ok(())
}

/// The number of the next root, if there is one.
fn next_root(site: &Site, documents: &[Signed], set: &TrustedSet) -> Option<u64> {
    let next = set.root().version() + 1;
    let new = documents.iter().any(|document| document.role == ROOT && document.version == next);
    (new || site.layout.role_file(ROOT, next).is_file()).then_some(next)
}

fn find(
    site: &Site,
    documents: &[Signed],
    proofs: &[Vec<u8>],
    role: &str,
    version: u64,
) -> Result<Document, PublishError> {
    let new = documents.iter().zip(proofs).find(|(new, _)| new.role == role && new.version == version);
    if let Some((new, proof)) = new {
        return Ok(Document { bytes: new.bytes.clone(), proof: Some(proof.clone()) });
    }
    let path = site.layout.role_file(role, version);
    let bytes = durable::read(&path, MAX_TARGETS_BYTES as u64)?;
    let bytes = bytes.ok_or_else(|| PublishError::Damaged { path: path.clone(), source: None })?;
    let proof = durable::read(&proof_path(&path), MAX_PROOF_BYTES as u64)?;
    Ok(Document { bytes, proof })
}
