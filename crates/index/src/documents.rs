//! Where the metadata documents come from that entries name by their digest.

use std::path::Path;

use countersign_base::Timestamp;
use countersign_crypto::sha256;
use countersign_store::{Dir, Objects as _, StoreError, durable};
use countersign_tlog::TlogProof;
use countersign_tlog::policy::Policy;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::name::file_name;
use countersign_verify::Leaf;

/// A document that is the one its leaf names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When witnesses had seen it in the log, by the proof that lies beside it.
    pub logged_by: Option<Timestamp>,
}

/// Gives the document behind a leaf, `None` where it is not to be had.
pub trait Documents {
    /// The document. Whoever implements it compares it with the leaf's digest.
    ///
    /// # Errors
    /// The storage fails. A document that is not the leaf's counts as not there.
    fn document(&self, leaf: &Leaf) -> Result<Option<Document>, StoreError>;
}

/// Folders of this machine: a log's own copies, named by digest, and a repository's metadata with its proofs.
#[derive(Debug, Default)]
pub struct Folders {
    by_digest: Option<Dir>,
    metadata: Option<Dir>,
    policy: Option<(Policy, Timestamp)>,
}

impl Folders {
    /// None yet: nothing is found.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the folder of documents in a log's private folder, if it is there.
    #[must_use]
    pub fn with_log(self, documents: &Path) -> Self {
        Self { by_digest: Dir::existing(documents).ok(), ..self }
    }

    /// Adds a repository's metadata folder, if it is there. With its policy, the proofs beside the documents tell when
    /// witnesses had seen them.
    #[must_use]
    pub fn with_metadata(self, metadata: &Path, policy: Option<(Policy, Timestamp)>) -> Self {
        Self { metadata: Dir::existing(metadata).ok(), policy, ..self }
    }

    /// When the witnesses of the policy had seen the leaf, by the proof beside its document.
    fn logged_by(&self, metadata: &Dir, name: &str, leaf: &Leaf) -> Option<Timestamp> {
        let (policy, now) = self.policy.as_ref()?;
        let path = metadata.path(&format!("{name}.tlog-proof")).ok()?;
        let bytes = durable::read(&path, MAX_PROOF_BYTES as u64).ok()??;
        let proof = TlogProof::parse(&bytes).ok()?;
        Some(proof.check(policy, &leaf.encode(), *now).ok()?.proven_time())
    }
}

impl Documents for Folders {
    fn document(&self, leaf: &Leaf) -> Result<Option<Document>, StoreError> {
        let is_it = |bytes: &Vec<u8>| bytes.len() as u64 == leaf.length && sha256(bytes) == leaf.sha256;
        if leaf.length > MAX_TARGETS_BYTES as u64 {
            return Ok(None);
        }
        let mut found = None;
        if let Some(metadata) = &self.metadata
            && let Ok(name) = file_name(&leaf.role, Some(leaf.version))
        {
            let bytes = match metadata.get(&name) {
                Err(StoreError::Name { .. } | StoreError::TooLarge { .. }) => None,
                other => other?,
            };
            if let Some(bytes) = bytes.filter(is_it) {
                found = Some(Document { bytes, logged_by: self.logged_by(metadata, &name, leaf) });
            }
        }
        if let (None, Some(documents)) = (&found, &self.by_digest) {
            let bytes = match documents.get(&leaf.sha256.to_string()) {
                Err(StoreError::TooLarge { .. }) => None,
                other => other?,
            };
            found = bytes.filter(is_it).map(|bytes| Document { bytes, logged_by: None });
        }
        Ok(found)
    }
}
