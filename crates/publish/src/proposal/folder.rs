//! The directory of a proposal: what may be in it, and how it is read and written.
//!
//! ```text
//! proposal.json                       the statement; written last, so without it the rest is unfinished
//! old/metadata/                       the metadata it builds on, as in a repository: files and their proofs
//! new/<role>.json                     the new metadata, unsigned
//! signatures/<role>.<keyid>.json      one file a signature, so that copies merge by copying files
//! files/<sha256>                      files that it publishes
//! summary.txt                         for people; never read
//! ```
//!
//! Anything else, a link or a folder in its place, is refused. It may lie on a stick that others wrote to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_base::text::escape;
use countersign_store::durable::TEMP_PREFIX;
use countersign_store::{Disk, StoreError, durable};

use crate::error::PublishError;

/// Most files in one folder of a proposal: a root chain with its proofs has the most.
const MAX_ENTRIES: usize = 8192;
/// Permission bits of a proposal's files.
pub(super) const MODE: u32 = 0o644;
/// Name of the statement.
pub(super) const STATEMENT: &str = "proposal.json";
/// Name of the summary for people.
pub(super) const SUMMARY: &str = "summary.txt";

/// The folders.
pub(super) const FOLDERS: [&str; 4] = ["old", "new", "signatures", "files"];

/// Path functions of a proposal's directory.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn statement(&self) -> PathBuf {
        self.0.join(STATEMENT)
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.0.join(SUMMARY)
    }

    /// The root of a repository's layout that has the old metadata.
    pub(super) fn old(&self) -> PathBuf {
        self.0.join("old")
    }

    pub(super) fn new_folder(&self) -> PathBuf {
        self.0.join("new")
    }

    pub(super) fn signatures(&self) -> PathBuf {
        self.0.join("signatures")
    }

    pub(super) fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// The new file of a role.
    pub(super) fn draft(&self, role: &str) -> PathBuf {
        self.new_folder().join(format!("{role}.json"))
    }

    /// The signature of a role's new file under a key id.
    pub(super) fn signature(&self, role: &str, keyid: &str) -> PathBuf {
        self.signatures().join(format!("{role}.{keyid}.json"))
    }

    /// Refuses a directory with anything in it that a proposal does not have.
    pub(super) fn check_top(&self) -> Result<(), PublishError> {
        let kind = |path: &Path| fs::symlink_metadata(path).map(|info| info.file_type());
        match kind(&self.0) {
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => return Err(malformed(&self.0, "it is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PublishError::ProposalMissing { path: self.0.clone() });
            }
            Err(error) => return Err(StoreError::io("read", &self.0)(error).into()),
        }
        for (name, kind) in entries(&self.0)? {
            let path = self.0.join(&name);
            let fits = match name.as_str() {
                STATEMENT | SUMMARY => kind.is_file(),
                name if FOLDERS.contains(&name) => kind.is_dir(),
                _ => false,
            };
            if !fits {
                return Err(malformed(&path, "a proposal has nothing of that name and kind"));
            }
        }
        let old: BTreeMap<_, _> = entries(&self.old())?.into_iter().collect();
        if old.len() != 1 || !old.get("metadata").is_some_and(fs::FileType::is_dir) {
            return Err(malformed(&self.old(), "it does not hold the folder `metadata` and no more"));
        }
        Ok(())
    }

    /// Reads one of its files.
    pub(super) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, PublishError> {
        match durable::read(path, limit) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(malformed(path, "it is missing")),
            Err(StoreError::TooLarge { .. }) => Err(malformed(path, "it is too large")),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the folders of a new proposal, in a folder that is free, or that an interrupted run left unfinished.
    pub(super) fn create(&self, disk: &dyn Disk) -> Result<(), PublishError> {
        match fs::symlink_metadata(&self.0) {
            Ok(info) if info.is_dir() => self.clear_unfinished(disk)?,
            Ok(_) => return Err(PublishError::DirNotEmpty { path: self.0.clone() }),
            Err(_) => {}
        }
        durable::create_dir_all(disk, &self.0)?;
        for folder in FOLDERS {
            durable::create_dir_all(disk, &self.0.join(folder))?;
        }
        Ok(durable::create_dir_all(disk, &self.old().join("metadata"))?)
    }

    /// Removes what an interrupted run wrote: there is no statement yet. Whatever else is there is not ours.
    fn clear_unfinished(&self, disk: &dyn Disk) -> Result<(), PublishError> {
        let taken = || PublishError::DirNotEmpty { path: self.0.clone() };
        let mut leftovers = Vec::new();
        for (name, kind) in entries(&self.0)? {
            match name.as_str() {
                SUMMARY if kind.is_file() => leftovers.push(self.summary()),
                name if FOLDERS.contains(&name) && kind.is_dir() => {}
                _ => return Err(taken()),
            }
        }
        let folders = [self.new_folder(), self.signatures(), self.files(), self.old().join("metadata")];
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
                let entry = entry.map_err(StoreError::io("list", folder))?;
                if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    return Err(taken());
                }
                leftovers.push(entry.path());
            }
        }
        for path in leftovers {
            disk.remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(())
    }
}

/// Refuses a folder that has other files than these, or lacks one of them.
pub(super) fn check_exactly(folder: &Path, expected: &BTreeSet<String>) -> Result<(), PublishError> {
    let found = files(folder)?;
    if let Some(odd) = found.iter().find(|name| !expected.contains(*name)) {
        return Err(malformed(&folder.join(odd), "the proposal has no file of that name"));
    }
    match expected.iter().find(|name| !found.contains(*name)) {
        Some(missing) => Err(malformed(&folder.join(missing), "it is missing")),
        None => Ok(()),
    }
}

/// Names of the regular files in a folder, which may hold nothing else.
pub(super) fn files(folder: &Path) -> Result<BTreeSet<String>, PublishError> {
    let mut found = BTreeSet::new();
    for (name, kind) in entries(folder)? {
        if !kind.is_file() {
            return Err(malformed(&folder.join(&name), "it is not a regular file"));
        }
        found.insert(name);
    }
    Ok(found)
}

/// What is in a folder; unfinished files of an interrupted run are left out.
fn entries(folder: &Path) -> Result<Vec<(String, fs::FileType)>, PublishError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => malformed(folder, "it is missing"),
        _ => StoreError::io("list", folder)(error).into(),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if found.len() == MAX_ENTRIES {
            return Err(malformed(folder, "it holds too many files"));
        }
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(malformed(folder, "a name in it is not UTF-8"));
        };
        if !(kind.is_file() && name.starts_with(TEMP_PREFIX)) {
            found.push((name, kind));
        }
    }
    Ok(found)
}

/// Something that a proposal does not have, or has otherwise.
pub(super) fn malformed(path: &Path, reason: &str) -> PublishError {
    PublishError::ProposalMalformed { path: path.to_owned(), reason: escape(reason) }
}
