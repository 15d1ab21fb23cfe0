//! What an index says about one entry.
//!
//! An entry of the kind `tufmetadata` tells repository, role, version and digest, and what it adds and removes; the
//! document behind it tells which key ids signed. A `hashedrekord` 0.0.2 (Rekor v2) tells a digest and a key. Any other
//! entry is found by its leaf hash alone.

use countersign_attest::hashedrekord::Recorded;
use countersign_base::json::{self, Json};
use countersign_base::name::TargetPath;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::sha256;
use countersign_tlog::merkle::Hash;
use countersign_verify::Leaf;

use crate::documents::Document;

/// Most key ids that are taken from one document; admitted ones have as many as their roles have keys.
pub const MAX_KEYS: usize = countersign_tuf::limits::MAX_SIGNATURES;
/// Longest key id in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// What kind of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A version of a role's metadata.
    Metadata,
    /// A signed digest, as Rekor v2 logs it.
    HashedRekord,
    /// Anything else.
    Other,
}

/// One entry as the index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its index in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// What it is.
    pub kind: Kind,
    /// The repository's anchor, for metadata.
    pub repository: Option<String>,
    /// The role, for metadata.
    pub role: Option<String>,
    /// The role's version, for metadata.
    pub version: Option<u64>,
    /// Digest in hex of the metadata document, or of what was signed.
    pub digest: Option<String>,
    /// A time by which witnesses say that it was in the log; not from the log itself, and so not compared by a check.
    pub logged_by: Option<Timestamp>,
    /// Whether the document behind it was at hand: without it `keys` are not known.
    pub has_document: bool,
    /// Files that it is about.
    pub artifacts: Vec<Artifact>,
    /// Keys that signed: TUF key ids as the document lists them, or SHA-256 of the DER key or certificate.
    pub keys: Vec<String>,
}

/// What an entry does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The metadata lists it from here on.
    Added,
    /// The metadata lists it no longer, or otherwise.
    Removed,
    /// The metadata lists it; what is new in it was too long for the entry.
    Listed,
}

/// A file that metadata lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Artifact {
    /// What happens to it.
    pub change: Change,
    /// SHA-256 in hex.
    pub digest: String,
    /// The target path.
    pub path: String,
    /// The product, where the path says it as ours do.
    pub product: Option<String>,
    /// The release's version, likewise.
    pub version: Option<String>,
}

impl Kind {
    /// As it is written in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "tufmetadata",
            Self::HashedRekord => "hashedrekord",
            Self::Other => "other",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Metadata, Self::HashedRekord, Self::Other].into_iter().find(|kind| kind.name() == name)
    }
}

impl Change {
    /// As it is written in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Listed => "listed",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Added, Self::Removed, Self::Listed].into_iter().find(|change| change.name() == name)
    }
}

impl Artifact {
    fn new(change: Change, digest: &Sha256Digest, path: &str) -> Self {
        let parts = path.parse::<TargetPath>().ok();
        Self {
            change,
            digest: digest.to_string(),
            path: path.to_owned(),
            product: parts.as_ref().map(|parts| parts.product.to_string()),
            version: parts.map(|parts| parts.version.to_string()),
        }
    }
}

impl Row {
    /// What is to be said about an entry. `document` is asked for the document behind a leaf.
    pub(crate) fn of<E>(
        index: u64,
        leaf: Hash,
        entry: &[u8],
        logged_by: Option<Timestamp>,
        document: impl FnOnce(&Leaf) -> Result<Option<Document>, E>,
    ) -> Result<Self, E> {
        let mut row = Self {
            index,
            leaf,
            kind: Kind::Other,
            repository: None,
            role: None,
            version: None,
            digest: None,
            logged_by,
            has_document: false,
            artifacts: Vec::new(),
            keys: Vec::new(),
        };
        if let Ok(metadata) = Leaf::parse(entry) {
            let document = document(&metadata)?;
            row.take_metadata(&metadata, document);
        } else if let Some(record) = Recorded::read(entry) {
            row.kind = Kind::HashedRekord;
            row.digest = Some(hex::encode(record.digest));
            row.keys = vec![sha256(&record.verifier).to_string()];
            row.has_document = true;
        }
        row.artifacts.sort();
        row.artifacts.dedup();
        row.keys.sort();
        row.keys.dedup();
        Ok(row)
    }

    fn take_metadata(&mut self, leaf: &Leaf, document: Option<Document>) {
        self.kind = Kind::Metadata;
        self.repository = Some(leaf.repository.to_string());
        self.role = Some(leaf.role.clone());
        self.version = Some(leaf.version);
        self.digest = Some(leaf.sha256.to_string());
        if let Some(changes) = &leaf.changes {
            let lists = [(Change::Added, &changes.added), (Change::Removed, &changes.removed)];
            for (change, list) in lists {
                self.artifacts
                    .extend(list.iter().map(|target| Artifact::new(change, &target.sha256, &target.path)));
            }
        }
        let Some(document) = document else { return };
        let Ok(value) = json::parse(&document.bytes) else { return };
        self.has_document = true;
        self.logged_by = document.logged_by.or(self.logged_by);
        self.keys = key_ids(&value);
        if leaf.changes.is_none() {
            self.artifacts.extend(listed(&value));
        }
    }
}

/// The key ids that a metadata document's signatures name.
fn key_ids(document: &Json) -> Vec<String> {
    let signatures = document.get("signatures").and_then(Json::as_array).unwrap_or_default();
    let ids = signatures.iter().filter_map(|one| one.get("keyid").and_then(Json::as_str));
    // A character that no text column of every database holds is in no key id of ours.
    let usable = |id: &&str| id.len() <= MAX_KEY_BYTES && !id.chars().any(char::is_control);
    ids.filter(usable).take(MAX_KEYS).map(str::to_owned).collect()
}

/// Every file that a targets document lists.
fn listed(document: &Json) -> Vec<Artifact> {
    let targets = document.get("signed").and_then(|signed| signed.get("targets")).and_then(Json::as_object);
    let sha256 = |file: &Json| file.get("hashes")?.get("sha256")?.as_str()?.parse::<Sha256Digest>().ok();
    targets
        .into_iter()
        .flatten()
        .filter(|(path, _)| !path.chars().any(char::is_control))
        .filter_map(|(path, file)| Some(Artifact::new(Change::Listed, &sha256(file)?, path)))
        .collect()
}
