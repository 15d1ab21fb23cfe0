//! The result as a client will see it, checked before any client can.

use countersign_base::code::TUF_EXPIRED;
use countersign_base::{Anchor, Explain as _, Timestamp};
use countersign_store::durable;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::TrustedSet;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::metadata::{ROOT, SNAPSHOT, TARGETS, TOP_LEVEL};
use countersign_verify::{Document, Lineage, TransparentSet, VerifyError};

use crate::act::{Signed, Site};
use crate::error::PublishError;
use crate::layout::proof_path;

/// What is about to be visible.
#[derive(Clone, Copy)]
pub(crate) struct Outcome<'a> {
    /// New metadata with its proofs.
    pub documents: &'a [(Signed, Vec<u8>)],
    /// New proofs of metadata that is there: role, version, proof.
    pub reproofs: &'a [(String, u64, Vec<u8>)],
    /// The new timestamp.
    pub timestamp: &'a [u8],
}

/// Runs a client's whole check on what is about to be visible: the new documents with their proofs, the others
/// from disk, and the timestamp. The walk of roots ends with version `last`.
///
/// Products are checked that are new, and all when the keys or the policy that they are checked under may be new.
///
/// # Errors
/// The code that the client would show.
pub(crate) fn check(site: &Site, anchor: Anchor, result: Outcome<'_>, last: u64) -> Result<(), PublishError> {
    let first = result.find(site, ROOT, 1)?;
    let set = TransparentSet::new(anchor, &first, Lineage::default(), site.now);
    walk(site, &mut set.map_err(PublishError::SelfCheck)?, result, last)
}

/// Runs a plain TUF client's check, before there are proofs: what it refuses need not be logged, and uses up no number.
///
/// # Errors
/// The code that the client would show.
pub(crate) fn rehearse(
    site: &Site,
    documents: &[Signed],
    timestamp: &[u8],
    last: u64,
    now: Timestamp,
) -> Result<(), PublishError> {
    let documents: Vec<_> = documents.iter().map(|document| (document.clone(), Vec::new())).collect();
    let result = Outcome { documents: &documents, reproofs: &[], timestamp };
    let first = result.find(site, ROOT, 1)?;
    let set = TrustedSet::new(&first.bytes, now).map_err(VerifyError::from);
    walk(site, &mut set.map_err(PublishError::SelfCheck)?, result, last)
}

/// A client's set of metadata.
trait Client {
    fn tuf(&self) -> &TrustedSet;
    fn take_root(&mut self, document: &Document) -> Result<(), VerifyError>;
    fn take_timestamp(&mut self, bytes: &[u8]) -> Result<(), VerifyError>;
    fn take_snapshot(&mut self, document: &Document) -> Result<(), VerifyError>;
    fn take_role(&mut self, role: &str, parent: &str, document: &Document) -> Result<(), VerifyError>;
}

impl Client for TransparentSet {
    fn tuf(&self) -> &TrustedSet {
        self.tuf()
    }

    fn take_root(&mut self, document: &Document) -> Result<(), VerifyError> {
        self.update_root(document)
    }

    fn take_timestamp(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.update_timestamp(bytes).map(drop)
    }

    fn take_snapshot(&mut self, document: &Document) -> Result<(), VerifyError> {
        self.update_snapshot(document)
    }

    fn take_role(&mut self, role: &str, parent: &str, document: &Document) -> Result<(), VerifyError> {
        if role == TARGETS { self.update_targets(document) } else { self.update_role(role, parent, document) }
    }
}

impl Client for TrustedSet {
    fn tuf(&self) -> &TrustedSet {
        self
    }

    fn take_root(&mut self, document: &Document) -> Result<(), VerifyError> {
        self.update_root(&document.bytes)?;
        Ok(self.root().check_strict()?)
    }

    fn take_timestamp(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        Ok(self.update_timestamp(bytes).map(drop)?)
    }

    fn take_snapshot(&mut self, document: &Document) -> Result<(), VerifyError> {
        Ok(self.update_snapshot(&document.bytes)?)
    }

    fn take_role(&mut self, role: &str, parent: &str, document: &Document) -> Result<(), VerifyError> {
        self.update_delegated(role, parent, &document.bytes)?;
        Ok(self.role(role).map_or(Ok(()), countersign_tuf::Targets::check_strict)?)
    }
}

fn walk(site: &Site, set: &mut dyn Client, result: Outcome<'_>, last: u64) -> Result<(), PublishError> {
    let found = |role: &str, version: u64| result.find(site, role, version);
    let refused = PublishError::SelfCheck;
    for version in 2..=last {
        set.take_root(&found(ROOT, version)?).map_err(refused)?;
    }
    set.take_timestamp(result.timestamp).map_err(refused)?;
    let snapshot = set.tuf().timestamp().map_or(0, |timestamp| timestamp.snapshot().version);
    set.take_snapshot(&found(SNAPSHOT, snapshot)?).map_err(refused)?;
    let listed = |set: &dyn Client, role: &str| {
        set.tuf().snapshot().and_then(|snapshot| snapshot.file(role)).map_or(0, |file| file.version)
    };
    set.take_role(TARGETS, ROOT, &found(TARGETS, listed(set, TARGETS))?).map_err(refused)?;
    let trust_changes = result.has(ROOT) || result.has(TARGETS) || !result.reproofs.is_empty();
    let files = set.tuf().snapshot().into_iter().flat_map(|snapshot| snapshot.files());
    let roles: Vec<String> = files
        .map(|(role, _)| role.to_owned())
        .filter(|role| !TOP_LEVEL.contains(&role.as_str()) && (trust_changes || result.has(role)))
        .collect();
    for role in roles {
        let delegated = set.tuf().targets().is_some_and(|targets| targets.role_keys(&role).is_some());
        if !delegated && !result.has(&role) {
            // A role below a product's: its product vouches for it, and is unchanged.
            continue;
        }
        match set.take_role(&role, TARGETS, &found(&role, listed(set, &role))?) {
            // A product that has expired is its own affair.
            Err(error) if error.code() == TUF_EXPIRED && !result.has(&role) => {}
            other => other.map_err(refused)?,
        }
    }
    Ok(())
}

impl Outcome<'_> {
    fn has(&self, role: &str) -> bool {
        self.documents.iter().any(|(new, _)| new.role == role)
    }

    fn find(&self, site: &Site, role: &str, version: u64) -> Result<Document, PublishError> {
        let new = self.documents.iter().find(|(new, _)| new.role == role && new.version == version);
        if let Some((new, proof)) = new {
            return Ok(Document { bytes: new.bytes.clone(), proof: Some(proof.clone()) });
        }
        let path = site.layout.role_file(role, version);
        let bytes = durable::read(&path, MAX_TARGETS_BYTES as u64)?;
        let bytes = bytes.ok_or_else(|| PublishError::Damaged { path: path.clone(), source: None })?;
        let again = self.reproofs.iter().find(|(of, number, _)| of == role && *number == version);
        let proof = match again {
            Some((_, _, proof)) => Some(proof.clone()),
            None => durable::read(&proof_path(&path), MAX_PROOF_BYTES as u64)?,
        };
        Ok(Document { bytes, proof })
    }
}
