//! What was verified of one repository, on disk.
//!
//! ```text
//! lock                             held during a refresh
//! lineage.json                     every accepted checkpoint that something kept rests on
//! metadata/1.root.json ...         every root, from the anchor on
//! metadata/timestamp.json          names the complete set that an offline run uses
//! metadata/12.snapshot.json ...    the set, under versioned names, each with its .tlog-proof
//! refused/                         files that were found here and did not verify
//! ```
//!
//! Order of writes in a refresh, each durable before the next, all of them verified before:
//! lineage; roots; when the new set is complete its lineage, each role's proof and file, `timestamp.json`; then
//! the old set is swept away. A crash anywhere leaves the old set whole until `timestamp.json` is renamed, and
//! the new one whole after it. The lineage is never older than a file that rests on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_store::{Disk, Lock, StoreError, durable};
use countersign_tlog::proof::MAX_PROOF_BYTES;
use countersign_tuf::limits::{MAX_ROOT_BYTES, MAX_SNAPSHOT_BYTES, MAX_TARGETS_BYTES, MAX_TIMESTAMP_BYTES};
use countersign_tuf::name::file_name;
use countersign_verify::{Document, Lineage, MAX_LINEAGE_BYTES, VerifyError};

use crate::error::ClientError;

const METADATA: &str = "metadata";
const LINEAGE: &str = "lineage.json";
const TIMESTAMP: &str = "timestamp.json";
pub(crate) const PROOF_SUFFIX: &str = ".tlog-proof";
const MODE: u32 = 0o644;

/// The folder of one repository's state.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl StateDir {
    pub(crate) const fn new(path: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { path, disk }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of a refresh, makes the folders and removes what a crash left unfinished.
    pub(crate) fn begin(&self) -> Result<Lock, ClientError> {
        let lock = crate::home::lock(&self.path.join("lock"))?;
        self.make_folder(&self.path.join(METADATA))?;
        durable::remove_stale(&*self.disk, &self.path)?;
        durable::remove_stale(&*self.disk, &self.path.join(METADATA))?;
        Ok(lock)
    }

    /// The checkpoints accepted so far; none before the first refresh.
    ///
    /// # Errors
    /// `state-damaged`: without it nothing would guard against a log that goes back.
    pub(crate) fn lineage(&self) -> Result<Lineage, ClientError> {
        let path = self.path.join(LINEAGE);
        let damaged = |reason| ClientError::Damaged { path: path.clone(), reason };
        match self.read(&path, MAX_LINEAGE_BYTES)? {
            Some(bytes) => Lineage::parse(&bytes).map_err(|_| damaged("it is not as this program writes it")),
            None if self.timestamp()?.is_some() => Err(damaged("it is missing")),
            None => Ok(Lineage::default()),
        }
    }

    /// Keeps a lineage in which everything is proven, if it is another than the one kept.
    pub(crate) fn put_lineage(&self, lineage: &Lineage) -> Result<bool, ClientError> {
        let bytes = lineage.encode()?;
        if bytes.len() > MAX_LINEAGE_BYTES {
            // It could not be read back. More than three thousand checkpoints that are still rested upon.
            return Err(ClientError::TooMany { what: "checkpoints", limit: MAX_LINEAGE_BYTES / 80 });
        }
        self.put(&self.path.join(LINEAGE), &bytes)
    }

    /// A role's file of that version and its proof, unchecked.
    pub(crate) fn document(&self, role: &str, version: u64) -> Result<Option<Document>, ClientError> {
        let path = self.document_path(role, version)?;
        let limit = match role {
            "root" => MAX_ROOT_BYTES,
            "snapshot" => MAX_SNAPSHOT_BYTES,
            _ => MAX_TARGETS_BYTES,
        };
        let Some(bytes) = self.read(&path, limit)? else { return Ok(None) };
        let proof = self.read(&with_suffix(&path), MAX_PROOF_BYTES)?;
        Ok(Some(Document { bytes, proof }))
    }

    /// Keeps a verified file and its proof. Returns whether another file, or none, was there before.
    pub(crate) fn put_document(
        &self,
        role: &str,
        version: u64,
        document: &Document,
    ) -> Result<bool, ClientError> {
        let path = self.document_path(role, version)?;
        // The proof first: a file that is there is there with its proof.
        if let Some(proof) = &document.proof {
            self.put(&with_suffix(&path), proof)?;
        }
        self.put(&path, &document.bytes)
    }

    /// The versions of the snapshots that are kept, newest first: one, or two after a crash.
    pub(crate) fn kept_snapshots(&self) -> Vec<u64> {
        let names = self.names();
        let version = |name: &String| name.strip_suffix(".snapshot.json")?.parse().ok();
        let mut versions: Vec<u64> = names.iter().filter_map(version).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions
    }

    /// The timestamp of the complete set.
    pub(crate) fn timestamp(&self) -> Result<Option<Vec<u8>>, ClientError> {
        self.read(&self.metadata(TIMESTAMP), MAX_TIMESTAMP_BYTES)
    }

    /// Makes the set that `timestamp` names the one that offline runs use. Returns whether it is another one.
    pub(crate) fn commit(&self, timestamp: &[u8]) -> Result<bool, ClientError> {
        self.put(&self.metadata(TIMESTAMP), timestamp)
    }

    /// Removes every timestamp and snapshot: root has given their roles to other keys.
    pub(crate) fn forget_online(&self) -> Result<(), ClientError> {
        for name in self.names() {
            let file = name.strip_suffix(PROOF_SUFFIX).unwrap_or(&name);
            if file == TIMESTAMP || without_version(file) == Some("snapshot.json") {
                durable::remove(&*self.disk, &self.metadata(&name))?;
            }
        }
        Ok(())
    }

    /// Moves a file that does not verify, and its proof, out of the way, and says so.
    pub(crate) fn set_aside(&self, role: &str, version: u64, source: VerifyError) -> ClientError {
        let result = self.document_path(role, version).and_then(|path| {
            let refused = self.path.join("refused");
            self.make_folder(&refused)?;
            let moved = refused.join(path.file_name().unwrap_or_default());
            if fs::symlink_metadata(with_suffix(&path)).is_ok() {
                durable::rename_durable(&*self.disk, &with_suffix(&path), &with_suffix(&moved))?;
            }
            durable::rename_durable(&*self.disk, &path, &moved)?;
            Ok(moved)
        });
        match result {
            Ok(moved) => ClientError::SetAside { moved, source: Box::new(source) },
            // What is wrong with the file says more than that it could not be moved.
            Err(_) => ClientError::Verify(source),
        }
    }

    /// The roles of which any version is kept, as file names without version: `node.json`.
    pub(crate) fn known(&self) -> BTreeSet<String> {
        self.names().iter().filter_map(|file| without_version(file)).map(str::to_owned).collect()
    }

    /// Removes the files of versions that are no longer current. `keep` has (role, version); all files of
    /// `keep_roles` stay. Best effort: what stays behind is never read as current.
    pub(crate) fn sweep(&self, keep: &BTreeSet<(String, u64)>, keep_roles: &[String]) {
        let keep: BTreeSet<String> =
            keep.iter().filter_map(|(role, version)| file_name(role, Some(*version)).ok()).collect();
        let keep_roles: BTreeSet<String> =
            keep_roles.iter().filter_map(|role| file_name(role, None).ok()).collect();
        for name in self.names() {
            let file = name.strip_suffix(PROOF_SUFFIX).unwrap_or(&name);
            let Some(role) = without_version(file) else { continue };
            if !keep.contains(file) && !keep_roles.contains(role) {
                let _ = self.disk.remove_file(&self.metadata(&name));
            }
        }
    }

    /// Makes one of our folders, or finds it. Never goes through a link, which would lead writes elsewhere.
    fn make_folder(&self, path: &Path) -> Result<(), ClientError> {
        if fs::symlink_metadata(path).is_ok_and(|info| !info.is_dir()) {
            return Err(ClientError::Damaged { path: path.to_owned(), reason: "it is not a folder" });
        }
        Ok(durable::create_dir_all(&*self.disk, path)?)
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path.join(METADATA)) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.path.join(METADATA).join(name)
    }

    fn document_path(&self, role: &str, version: u64) -> Result<PathBuf, ClientError> {
        Ok(self.metadata(&file_name(role, Some(version)).map_err(VerifyError::from)?))
    }

    fn read(&self, path: &Path, limit: usize) -> Result<Option<Vec<u8>>, ClientError> {
        match durable::read(path, limit as u64) {
            Err(StoreError::TooLarge { path, .. }) => {
                Err(ClientError::Damaged { path, reason: "it is larger than anything that is kept there" })
            }
            // A link or a folder where a file should be: nothing of ours, so nothing is read through it.
            Err(StoreError::Io { .. }) if is_not_a_file(path) => {
                Err(ClientError::Damaged { path: path.to_owned(), reason: "it is not a regular file" })
            }
            other => Ok(other?),
        }
    }

    /// Writes unless the same bytes are there; returns whether it wrote.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<bool, ClientError> {
        if matches!(durable::read(path, bytes.len() as u64), Ok(Some(held)) if held == bytes) {
            return Ok(false);
        }
        durable::write_atomic(&*self.disk, path, bytes, MODE)?;
        Ok(true)
    }
}

fn is_not_a_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|info| !info.is_file())
}

/// `node.json` of `12.node.json`.
fn without_version(file: &str) -> Option<&str> {
    let (digits, rest) = file.split_once('.')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(rest)
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(PROOF_SUFFIX);
    path.into()
}
