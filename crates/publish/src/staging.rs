//! Files on their way into the repository: written and synced in private, then renamed to where they belong.
//!
//! Each file is synced when it is complete and each folder once at the end ([`Moves::settle`]), not once a file:
//! until `timestamp.json` is replaced no client looks at any of them, so their order among themselves is free.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use countersign_base::Sha256Digest;
use countersign_crypto::Sha256;
use countersign_store::{Disk, DiskFile, StoreError, durable};
use countersign_verify::{FileMode, MAX_ARTIFACT_BYTES};

use crate::error::PublishError;
use crate::proposal::PlannedFile;

/// Bytes read, hashed and written at a time; the memory that a release of any size takes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Permission bits of public files: the executable bit of a release is in its signed metadata.
pub(crate) const PUBLIC_MODE: u32 = 0o644;

/// A released file's copy, with what was learned on the way.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Where the copy is.
    pub path: PathBuf,
    /// What was copied.
    pub digests: Digests,
}

/// What a file is, learned while it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digests {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256.
    pub sha256: Sha256Digest,
    /// What the permission bits say.
    pub mode: FileMode,
}

impl Digests {
    /// Whether it is the file that a proposal means. Its permission bits mean nothing: they do not travel.
    pub(crate) fn is(&self, planned: &PlannedFile) -> bool {
        (self.length, self.sha256) == (planned.length, planned.sha256)
    }
}

/// The staging folder, while the repository's lock is held.
pub(crate) struct Staging<'d> {
    disk: &'d dyn Disk,
    folder: PathBuf,
    files: Cell<u32>,
}

impl<'d> Staging<'d> {
    /// Opens the folder, made if it is not there, and deletes what an earlier run left in it.
    pub(crate) fn open(disk: &'d dyn Disk, folder: PathBuf) -> Result<Self, StoreError> {
        durable::create_dir_all(disk, &folder)?;
        for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
            let path = entry.map_err(StoreError::io("list", &folder))?.path();
            disk.remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(Self { disk, folder, files: Cell::new(0) })
    }

    /// Writes and syncs one small file.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let (path, mut file) = self.create()?;
        self.disk.write(&mut file, bytes).map_err(StoreError::io("write", &path))?;
        self.disk.sync(&file).map_err(StoreError::io("sync", &path))?;
        Ok(path)
    }

    /// Copies and syncs the file at `source`, hashing the bytes that are copied, so that copy and digests agree. A
    /// source that is written to meanwhile is refused: half of one file and half of the next is what nobody meant.
    ///
    /// `progress` hears the bytes done and the source's length, at every chunk.
    ///
    /// # Errors
    /// `file-not-found`, `file-unreadable`, `file-not-regular` for the source; `publish-storage-failed`.
    pub(crate) fn copy(
        &self,
        source: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Copied, PublishError> {
        let opened = open_regular(source)?;
        let (path, mut output) = self.create()?;
        let digests = hash_into(source, opened, progress, &mut |bytes| {
            self.disk.write(&mut output, bytes).map_err(StoreError::io("write", &path))
        })?;
        self.disk.sync(&output).map_err(StoreError::io("sync", &path))?;
        Ok(Copied { path, digests })
    }

    /// Names need not be durable here: a file counts only once it has been moved.
    fn create(&self) -> Result<(PathBuf, DiskFile), StoreError> {
        let number = self.files.replace(self.files.get() + 1);
        let path = self.folder.join(number.to_string());
        let file = self.disk.create_new(&path, PUBLIC_MODE).map_err(StoreError::io("create", &path))?;
        Ok((path, file))
    }
}

impl Drop for Staging<'_> {
    /// A run that is refused leaves no copies behind. What cannot be deleted, the next run does.
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = self.disk.remove_file(&entry.path());
        }
    }
}

/// Copies the file at `source` to `folder`, durably and under its SHA-256, hashing what is copied.
///
/// # Errors
/// As [`Staging::copy`].
pub(crate) fn copy_by_digest(
    disk: &dyn Disk,
    source: &Path,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, PublishError> {
    let opened = open_regular(source)?;
    let mut staged = durable::Staged::create(disk, folder, PUBLIC_MODE)?;
    let digests = hash_into(source, opened, progress, &mut |bytes| staged.write_bytes(bytes))?;
    let path = folder.join(digests.sha256.to_string());
    staged.replace(&path)?;
    Ok(Copied { path, digests })
}

/// Hashes the regular file at `path`.
///
/// # Errors
/// `file-not-found`, `file-unreadable`, `file-not-regular`.
pub(crate) fn digest_file(path: &Path) -> Result<Digests, PublishError> {
    hash_into(path, open_regular(path)?, &mut |_, _| {}, &mut |_| Ok(()))
}

/// Reads a file once, hashing it and handing on each chunk.
fn hash_into(
    source: &Path,
    (mut input, info): (File, fs::Metadata),
    progress: &mut dyn FnMut(u64, u64),
    sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<Digests, PublishError> {
    let unreadable =
        |error: io::Error| PublishError::FileUnreadable { path: source.to_owned(), source: error };
    if info.len() > MAX_ARTIFACT_BYTES {
        return Err(PublishError::FileTooLarge { path: source.to_owned(), limit: MAX_ARTIFACT_BYTES });
    }
    let (mut sha256, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let filled = read_full(&mut input, &mut chunk).map_err(unreadable)?;
        if filled == 0 {
            break;
        }
        let bytes = &chunk[..filled];
        sha256.update(bytes);
        sink(bytes)?;
        length += filled as u64;
        progress(length, info.len().max(length));
    }
    let now = input.metadata().map_err(unreadable)?;
    let before = (info.len(), info.mtime(), info.mtime_nsec());
    if length != info.len() || before != (now.len(), now.mtime(), now.mtime_nsec()) {
        return Err(unreadable(io::Error::other("it was changed while it was read")));
    }
    let mode = FileMode::from_bits(info.mode());
    Ok(Digests { length, sha256: sha256.finish(), mode })
}

/// Refuses what is not a regular file: a link may point elsewhere by the time it is read, a folder or device has
/// no content to release.
pub(crate) fn check_source(source: &Path) -> Result<(), PublishError> {
    open_regular(source).map(drop)
}

fn open_regular(source: &Path) -> Result<(File, fs::Metadata), PublishError> {
    let path = || source.to_owned();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PublishError::FileNotFound { path: path() },
        _ => PublishError::FileUnreadable { path: path(), source: error },
    };
    let named = fs::symlink_metadata(source).map_err(failed)?;
    if !named.is_file() {
        let kind = match named.file_type() {
            link if link.is_symlink() => "a symbolic link",
            folder if folder.is_dir() => "a folder",
            _ => "a device, pipe or socket",
        };
        return Err(PublishError::FileNotRegular { path: path(), kind });
    }
    let file = File::open(source).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    // Between the look and the open a link can take the name's place.
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(PublishError::FileNotRegular { path: path(), kind: "replaced while it was opened" });
    }
    Ok((file, opened))
}

/// Reads until `chunk` is full or the file ends.
fn read_full(input: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match input.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Renames out of staging, whose folders are synced together at the end.
pub(crate) struct Moves<'d> {
    disk: &'d dyn Disk,
    touched: BTreeSet<PathBuf>,
}

impl<'d> Moves<'d> {
    /// Nothing moved yet.
    pub(crate) fn new(disk: &'d dyn Disk) -> Self {
        Self { disk, touched: BTreeSet::new() }
    }

    /// Moves a metadata file to its name, which is free or has these bytes: a version is never replaced.
    pub(crate) fn place_version(&mut self, from: &Path, to: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        match self.disk.rename_new(from, to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The first root, whose publication was interrupted here.
                if durable::read(to, bytes.len() as u64)?.as_deref() != Some(bytes) {
                    return Err(StoreError::Different { path: to.to_owned() });
                }
                self.disk.remove_file(from).map_err(StoreError::io("remove", from))?;
            }
            Err(source) => return Err(StoreError::io("rename", to)(source)),
        }
        self.touch(to);
        Ok(())
    }

    /// Moves a proof to its name: one good proof may take the place of another.
    pub(crate) fn place_proof(&mut self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.disk.rename(from, to).map_err(StoreError::io("rename", to))?;
        self.touch(to);
        Ok(())
    }

    /// Moves a file to a name that says its digest, so that whatever has that name already may be replaced by it.
    /// Creates the folders between `base` and it.
    pub(crate) fn place_content(&mut self, from: &Path, base: &Path, to: &Path) -> Result<(), StoreError> {
        if let Some(folder) = to.parent() {
            self.make_folders(base, folder)?;
        }
        self.disk.rename(from, to).map_err(StoreError::io("rename", to))?;
        self.touch(to);
        Ok(())
    }

    /// Makes all moves durable: one sync a folder.
    pub(crate) fn settle(self) -> Result<(), StoreError> {
        self.touched.iter().try_for_each(|folder| durable::sync_dir(self.disk, folder))
    }

    /// Also notes the parents of folders that exist: who made them may have died before syncing their names.
    fn make_folders(&mut self, base: &Path, folder: &Path) -> Result<(), StoreError> {
        if folder == base || !folder.starts_with(base) {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folders(base, parent)?;
        }
        match self.disk.create_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(source) => return Err(StoreError::io("create the folder", folder)(source)),
        }
        self.touch(folder);
        Ok(())
    }

    fn touch(&mut self, path: &Path) {
        if let Some(folder) = path.parent() {
            self.touched.insert(folder.to_owned());
        }
    }
}
