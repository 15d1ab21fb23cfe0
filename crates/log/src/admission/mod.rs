//! Which metadata the log takes, and the entry it makes of each.
//!
//! Metadata of `root`, `targets`, a delegated role or `snapshot` is admitted if it verifies under the root
//! chain that is in the log, and if no other content of that role and version is in the log. The log computes
//! the entry itself ([`countersign_verify::leaf`]), so a submitter cannot say more than the metadata does.
//! Expiry is not judged: an expired version was a version too.
//!
//! The log keeps its own copy of each admitted document, by SHA-256, durable before the entry is. All else
//! here is read back from the entries and documents when the log is opened. So a version number that was
//! logged counts as used also after a crash between logging and publishing.
//!
//! One log serves one repository: the first entry of all is its root version 1.

mod ledger;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use countersign_base::{Anchor, Sha256Digest, Timestamp};
use countersign_crypto::sha256;
use countersign_store::{Dir, Disk, Objects, RealDisk};
use countersign_verify::Leaf;

use crate::error::LogError;
use crate::sequencer::Sequencer;
use ledger::{Judgement, Ledger, Logged};

/// Most documents in one [`Admission::admit`].
const MAX_SUBMISSIONS: usize = 65_536;
/// The folder of documents in the log's private folder.
pub const DOCUMENTS: &str = "documents";
/// The same on storage that several machines share.
const SHARED_DOCUMENTS: &str = ".countersign/documents";
/// Entries that are remembered until they are in tiles: at most 8 MiB, some hundred KiB in practice.
const MAX_RECENT: usize = 256;

/// A metadata file that somebody wants logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The role it is for.
    pub role: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// A metadata file that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The role.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256Digest,
    /// Index of the entry.
    pub index: u64,
    /// The entry: the bytes for the `extra` line of a proof.
    pub leaf: Vec<u8>,
}

/// Where admitted entries go: a log that is open.
pub trait Entries {
    /// Makes entries durable, all or none, and returns the index of each.
    ///
    /// # Errors
    /// As [`Sequencer::append`].
    fn append(&mut self, entries: Vec<Vec<u8>>, now: Timestamp) -> Result<Vec<u64>, LogError>;

    /// The entry with this index.
    ///
    /// # Errors
    /// As [`Sequencer::entry`].
    fn entry(&self, index: u64) -> Result<Vec<u8>, LogError>;
}

impl Entries for Sequencer {
    fn append(&mut self, entries: Vec<Vec<u8>>, now: Timestamp) -> Result<Vec<u64>, LogError> {
        Self::append(self, &entries, now)
    }

    fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        Self::entry(self, index)
    }
}

/// What the log has admitted, and the judgement of what comes next.
#[derive(Debug)]
pub struct Admission {
    documents: Documents,
    ledger: Ledger,
    /// The latest entries, which may not be in tiles yet, by index.
    recent: BTreeMap<u64, Vec<u8>>,
}

impl Admission {
    /// Reads what `log` has admitted. `private` is the log's private folder.
    ///
    /// # Errors
    /// `log-storage-corrupt` if a document of an entry is missing or another one, or the logged roots are no
    /// chain; `log-storage-failed`.
    pub fn open(private: &Path, log: &Sequencer, now: Timestamp) -> Result<Self, LogError> {
        Self::open_on(Arc::new(RealDisk), private, log, now)
    }

    /// As [`Admission::open`], on a given disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        private: &Path,
        log: &Sequencer,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let documents = Dir::open_on(disk, &private.join(DOCUMENTS), 0o600)?;
        Self::rebuild(Documents { objects: Arc::new(documents), folder: None }, log, now)
    }

    /// As [`Admission::open`], for a log on shared storage ([`crate::Candidate`]).
    ///
    /// # Errors
    /// As there.
    pub fn open_shared(log: &Sequencer, now: Timestamp) -> Result<Self, LogError> {
        Self::rebuild(Documents { objects: log.public(), folder: Some(SHARED_DOCUMENTS) }, log, now)
    }

    fn rebuild(documents: Documents, log: &Sequencer, now: Timestamp) -> Result<Self, LogError> {
        let mut leaves: Vec<(u64, Leaf)> = Vec::new();
        log.for_each_entry(|index, entry| {
            // Entries of other kinds may stand between ours.
            leaves.extend(Leaf::parse(entry).ok().map(|leaf| (index, leaf)));
            Ok(())
        })?;
        let read = |leaf: &Leaf| read_document(&documents, leaf);
        let ledger = Ledger::rebuild(&leaves, &read, now)?;
        Ok(Self { documents, ledger, recent: BTreeMap::new() })
    }

    /// Admits documents, in this order, all or none: the entries are durable in `log` when this returns.
    ///
    /// A document may rest on an earlier one of the same batch: root first, then targets, then the roles they
    /// delegate to, then snapshot. One that is in the log already gets its first index.
    ///
    /// # Errors
    /// `log-duplicate-version`, `log-entry-unauthorised` (its source is the rule of TUF that is broken),
    /// `log-entry-malformed`, `limit-exceeded`: then nothing was logged. Others as in [`Sequencer::append`].
    pub fn admit(
        &mut self,
        log: &mut impl Entries,
        submissions: &[Submission],
        now: Timestamp,
    ) -> Result<Vec<Admitted>, LogError> {
        let Judged { judgement, places } = self.judge(submissions, now)?;
        for ((_, digest), submission) in places.iter().zip(submissions) {
            self.documents.put(digest, &submission.bytes)?;
        }
        let entries: Vec<Vec<u8>> = judgement.fresh().iter().map(|(_, leaf)| leaf.encode()).collect();
        let indices = if entries.is_empty() { Vec::new() } else { log.append(entries.clone(), now)? };
        let fresh = judgement.finish(&indices);
        self.ledger.take(fresh);

        let keep = MAX_RECENT.max(entries.len());
        self.recent.extend(indices.into_iter().zip(entries));
        let mut admitted = Vec::with_capacity(submissions.len());
        for ((version, digest), submission) in places.into_iter().zip(submissions) {
            let logged = self.ledger.find(&submission.role, version).ok_or(LogError::Stopped)?;
            let leaf = match self.recent.get(&logged.index) {
                Some(leaf) => leaf.clone(),
                None => log.entry(logged.index)?,
            };
            let (role, index) = (submission.role.clone(), logged.index);
            admitted.push(Admitted { role, version, sha256: digest, index, leaf });
        }
        while self.recent.len() > keep {
            self.recent.pop_first();
        }
        Ok(admitted)
    }

    /// Says whether [`Admission::admit`] would take the documents, and changes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, submissions: &[Submission], now: Timestamp) -> Result<(), LogError> {
        self.judge(submissions, now).map(drop)
    }

    fn judge(&self, submissions: &[Submission], now: Timestamp) -> Result<Judged<'_>, LogError> {
        if submissions.len() > MAX_SUBMISSIONS {
            return Err(LogError::BatchTooLarge { count: submissions.len() });
        }
        let mut judged = Judged { judgement: Judgement::new(&self.ledger), places: Vec::new() };
        for submission in submissions {
            let digest = sha256(&submission.bytes);
            let version = judged.judgement.add(&submission.role, &submission.bytes, digest, now)?;
            judged.places.push((version, digest));
        }
        Ok(judged)
    }

    /// The repository; `None` before its first root is logged.
    pub const fn repository(&self) -> Option<Anchor> {
        self.ledger.repository()
    }

    /// The highest version of `role` that is in the log; 0 if there is none.
    pub fn highest_version(&self, role: &str) -> u64 {
        self.ledger.versions(role).next_back().map_or(0, |(version, _)| version)
    }

    /// The lowest version above `after` that is not in the log.
    ///
    /// Going on from [`Admission::highest_version`] is the rule; after a fast-forward attack the publisher
    /// goes on from the last version of its own.
    pub fn next_version(&self, role: &str, after: u64) -> u64 {
        let mut next = after.saturating_add(1);
        while self.ledger.find(role, next).is_some() {
            next = next.saturating_add(1);
        }
        next
    }

    /// The entry of a version of a role.
    ///
    /// # Errors
    /// It cannot be read back from the log.
    pub fn find(&self, log: &Sequencer, role: &str, version: u64) -> Result<Option<Admitted>, LogError> {
        let Some(Logged { index, sha256 }) = self.ledger.find(role, version).copied() else {
            return Ok(None);
        };
        let leaf = log.entry(index)?;
        Ok(Some(Admitted { role: role.to_owned(), version, sha256, index, leaf }))
    }

    /// The log's copy of an admitted document.
    ///
    /// # Errors
    /// `log-storage-failed`, `log-storage-corrupt`.
    pub fn document(&self, sha256: &Sha256Digest) -> Result<Option<Vec<u8>>, LogError> {
        let Some(bytes) = self.documents.get(sha256)? else { return Ok(None) };
        if countersign_crypto::sha256(&bytes) != *sha256 {
            return Err(LogError::StorageCorrupt(format!("document `{sha256}` has changed")));
        }
        Ok(Some(bytes))
    }
}

/// Documents that may be logged.
struct Judged<'a> {
    judgement: Judgement<'a>,
    /// Version and digest of each.
    places: Vec<(u64, Sha256Digest)>,
}

/// Where documents are, by SHA-256.
#[derive(Debug)]
struct Documents {
    objects: Arc<dyn Objects>,
    folder: Option<&'static str>,
}

impl Documents {
    fn name(&self, sha256: &Sha256Digest) -> String {
        self.folder.map_or_else(|| sha256.to_string(), |folder| format!("{folder}/{sha256}"))
    }

    fn put(&self, sha256: &Sha256Digest, bytes: &[u8]) -> Result<(), LogError> {
        self.objects.put_if_absent(&self.name(sha256), bytes)?;
        Ok(())
    }

    fn get(&self, sha256: &Sha256Digest) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.objects.get(&self.name(sha256))?)
    }
}

fn read_document(documents: &Documents, leaf: &Leaf) -> Result<Vec<u8>, LogError> {
    let what = || format!("document `{}` of {} version {}", leaf.sha256, leaf.role, leaf.version);
    let bytes = documents
        .get(&leaf.sha256)?
        .ok_or_else(|| LogError::StorageRollback(format!("{} is missing", what())))?;
    if sha256(&bytes) != leaf.sha256 {
        return Err(LogError::StorageCorrupt(format!("{} has changed", what())));
    }
    Ok(bytes)
}
