//! Changes to files that survive power loss, and are seen whole or not at all.
//!
//! A file is written in five steps: create a temporary file in the same folder (`O_EXCL|O_NOFOLLOW`), write,
//! fsync it, rename it to its name, fsync the folder. A crash
//! - before the rename leaves the old file and perhaps a temporary one ([`remove_stale`] takes it away);
//! - after the rename, before the folder's fsync, leaves the old or the new file, each whole;
//! - after the last step leaves the new file.
//!
//! `Ok` means durable. After an error the change may or may not have happened, but no reader ever sees a part of
//! it. A file that is already there with the right bytes can come from a process that died before its fsync of
//! the folder, so [`put_if_absent`] and [`create_dir_all`] sync what they find as well.
//!
//! Every function takes the [`Disk`] first: `&RealDisk` in the product.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

/// Names that begin so are unfinished files; readers ignore them and [`remove_stale`] removes them.
pub const TEMP_PREFIX: &str = ".tmp-";

/// Temporary names tried before giving up: each one taken is the leftover of a crash or planted.
const MAX_TEMP_TRIES: u32 = 10_000;

/// What a put-if-absent found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was absent and is there now.
    Created,
    /// It was there with the same bytes.
    AlreadySame,
}

/// Replaces the file at `path`, or creates it, with permission bits `mode` subject to the umask.
///
/// A symbolic link at `path` is replaced, never followed.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let mut staged = Staged::create(disk, parent(path)?, mode)?;
    staged.write_bytes(bytes)?;
    staged.replace(path)
}

/// Creates the file at `path` unless it exists; [`StoreError::Different`] if it exists with other bytes.
pub fn put_if_absent(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> Result<Put, StoreError> {
    // The common case of a re-run: no temporary file. A race is settled by the rename below.
    if let Some(put) = already_there(disk, path, bytes)? {
        return Ok(put);
    }
    let mut staged = Staged::create(disk, parent(path)?, mode)?;
    staged.write_bytes(bytes)?;
    if staged.create_at(path)? {
        return Ok(Put::Created);
    }
    already_there(disk, path, bytes)?.ok_or_else(|| StoreError::Different { path: path.to_owned() })
}

/// Creates each of these files unless it exists, as [`put_if_absent`] does, but waits for the disk once for all files
/// and once for each folder. All of them are open at the same time: keep to some hundred.
///
/// After an error any of them may be there, each whole.
pub fn put_all_if_absent(disk: &dyn Disk, files: &[(PathBuf, &[u8])], mode: u32) -> Result<(), StoreError> {
    let mut folders = BTreeSet::new();
    let mut staged = Vec::new();
    for (path, bytes) in files {
        let folder = parent(path)?;
        folders.insert(folder);
        if !holds(path, bytes)? {
            let mut file = Staged::create(disk, folder, mode)?;
            file.write_bytes(bytes)?;
            staged.push((file, path, *bytes));
        }
    }
    let waiting: Vec<&DiskFile> = staged.iter().filter_map(|(staged, ..)| staged.file.as_ref()).collect();
    if let Some(first) = waiting.first() {
        disk.sync_all(&waiting).map_err(StoreError::io("sync", &first.path))?;
    }
    for (file, path, bytes) in staged {
        if !file.name_new(path)? && !holds(path, bytes)? {
            return Err(StoreError::Different { path: path.clone() });
        }
    }
    folders.into_iter().try_for_each(|folder| sync_dir(disk, folder))
}

/// `AlreadySame` and durable, `None` if absent, an error if different.
fn already_there(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<Option<Put>, StoreError> {
    if !holds(path, bytes)? {
        return Ok(None);
    }
    sync_dir(disk, parent(path)?)?;
    Ok(Some(Put::AlreadySame))
}

/// Whether the file is there with these bytes; an error if it has others.
fn holds(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    match read(path, bytes.len() as u64) {
        Ok(None) => Ok(false),
        Ok(Some(held)) if held == bytes => Ok(true),
        Ok(Some(_)) | Err(StoreError::TooLarge { .. }) => {
            Err(StoreError::Different { path: path.to_owned() })
        }
        Err(error) => Err(error),
    }
}

/// The regular file at `path`, `None` if there is none; a symbolic link at `path` is not followed.
///
/// # Errors
/// [`StoreError::TooLarge`] above `limit` bytes; no more than that is read.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |source| StoreError::Io { operation: "read", path: path.to_owned(), source };
    let file = match open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let info = file.metadata().map_err(failed)?;
    if !info.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let too_large = || StoreError::TooLarge { path: path.to_owned(), limit };
    if info.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(info.len() as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(Some(bytes))
}

/// Opens for reading; fails on a link, and does not hang on a FIFO.
fn open_read(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Renames a file or folder over what is at `to`, and syncs both folders.
pub fn rename_durable(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    disk.rename(from, to).map_err(StoreError::io("rename", from))?;
    let (old, new) = (parent(from)?, parent(to)?);
    // The new name first: a crash between the two leaves both names rather than none.
    sync_dir(disk, new)?;
    if old == new { Ok(()) } else { sync_dir(disk, old) }
}

/// Makes the symbolic link at `link` say `target`, replacing a file or link in one step.
pub fn replace_symlink(disk: &dyn Disk, target: &Path, link: &Path) -> Result<(), StoreError> {
    let folder = parent(link)?;
    let temp = temp_name(folder, |temp| disk.symlink(target, temp))?.0;
    if let Err(source) = disk.rename(&temp, link) {
        let _ = disk.remove_file(&temp);
        return Err(StoreError::Io { operation: "rename", path: link.to_owned(), source });
    }
    sync_dir(disk, folder)
}

/// Gives the file at `from` the name `to` as well, and syncs the folder of `to`.
pub fn hard_link(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    disk.hard_link(from, to).map_err(StoreError::io("link", to))?;
    sync_dir(disk, parent(to)?)
}

/// Removes a file or link, if it is there, and syncs its folder. Returns whether it was there.
pub fn remove(disk: &dyn Disk, path: &Path) -> Result<bool, StoreError> {
    let there = match disk.remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(StoreError::Io { operation: "remove", path: path.to_owned(), source }),
    };
    sync_dir(disk, parent(path)?)?;
    Ok(there)
}

/// Makes the names in a folder durable.
pub fn sync_dir(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    disk.sync_dir(path).map_err(StoreError::io("sync the folder", path))
}

/// Creates a folder and its missing parents, each durable before the next.
///
/// Also syncs the parent of a folder that exists: who made it may have died before doing so.
pub fn create_dir_all(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return match path.parent() {
            // The parent of a folder that is not ours may be unreadable; then it is not ours to sync either.
            Some(folder) if fs::File::open(or_current(folder)).is_ok() => sync_dir(disk, or_current(folder)),
            _ => Ok(()),
        };
    }
    let folder = parent(path)?;
    if !folder.is_dir() {
        create_dir_all(disk, folder)?;
    }
    match disk.create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(source) => {
            return Err(StoreError::Io { operation: "create the folder", path: path.to_owned(), source });
        }
    }
    sync_dir(disk, folder)
}

/// Removes the unfinished files that a crash left in `folder`. Call it only while holding the folder's lock.
///
/// Returns how many there were.
pub fn remove_stale(disk: &dyn Disk, folder: &Path) -> Result<usize, StoreError> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) {
            let path = entry.path();
            disk.remove_file(&path).map_err(StoreError::io("remove", &path))?;
            removed += 1;
        }
    }
    if removed > 0 {
        sync_dir(disk, folder)?;
    }
    Ok(removed)
}

/// A file under construction, for content too large to hold in memory. Dropped unfinished, it is removed.
#[derive(Debug)]
pub struct Staged<'d> {
    disk: &'d dyn Disk,
    /// `None` once it has its name.
    file: Option<DiskFile>,
}

impl<'d> Staged<'d> {
    /// Begins a file in `folder`, which must be the folder it will be named in.
    pub fn create(disk: &'d dyn Disk, folder: &Path, mode: u32) -> Result<Self, StoreError> {
        let (_, file) = temp_name(folder, |temp| disk.create_new(temp, mode))?;
        Ok(Self { disk, file: Some(file) })
    }

    /// Adds bytes at the end.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.as_mut().ok_or_else(finished)?;
        self.disk.write(file, bytes).map_err(|source| StoreError::Io {
            operation: "write",
            path: file.path.clone(),
            source,
        })
    }

    /// Sets permission bits exactly, whatever the umask.
    pub fn set_mode(&mut self, mode: u32) -> Result<(), StoreError> {
        let file = self.file.as_ref().ok_or_else(finished)?;
        self.disk.set_mode(file, mode).map_err(StoreError::io("set the mode of", &file.path))
    }

    /// Where the unfinished file is; to read back what was written.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Makes it durable at `path`, replacing what is there.
    pub fn replace(mut self, path: &Path) -> Result<(), StoreError> {
        let file = self.sync()?;
        self.disk.rename(&file.path, path).map_err(StoreError::io("rename", path))?;
        self.file = None;
        sync_dir(self.disk, parent(path)?)
    }

    /// Makes it durable at `path` if nothing is there; returns whether it was so.
    pub fn create_at(self, path: &Path) -> Result<bool, StoreError> {
        self.sync()?;
        let disk = self.disk;
        let created = self.name_new(path)?;
        if created {
            sync_dir(disk, parent(path)?)?;
        }
        Ok(created)
    }

    /// Gives it its name if nothing has it; neither bytes nor name are synced here.
    fn name_new(mut self, path: &Path) -> Result<bool, StoreError> {
        let file = self.file.as_ref().ok_or_else(finished)?;
        match self.disk.rename_new(&file.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(source) => return Err(StoreError::Io { operation: "rename", path: path.to_owned(), source }),
        }
        self.file = None;
        Ok(true)
    }

    fn sync(&self) -> Result<&DiskFile, StoreError> {
        let file = self.file.as_ref().ok_or_else(finished)?;
        self.disk.sync(file).map_err(StoreError::io("sync", &file.path))?;
        Ok(file)
    }
}

impl Write for Staged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the file is finished"))?;
        self.disk.write(file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Best effort: what stays behind has a temporary name, which readers ignore.
            let _ = self.disk.remove_file(&file.path);
        }
    }
}

fn finished() -> StoreError {
    let source = io::Error::other("the file is finished");
    StoreError::Io { operation: "write", path: PathBuf::new(), source }
}

/// The folder of `path`; `.` for a bare name.
fn parent(path: &Path) -> Result<&Path, StoreError> {
    path.parent().map(or_current).ok_or_else(|| StoreError::Io {
        operation: "write",
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder"),
    })
}

fn or_current(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Calls `make` with temporary names in `folder` until one is free.
fn temp_name<T>(folder: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(PathBuf, T), StoreError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{TEMP_PREFIX}{}-{number}", std::process::id()));
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < MAX_TEMP_TRIES => {
                tries += 1
            }
            Err(source) => {
                return Err(StoreError::Io {
                    operation: "create a file in",
                    path: folder.to_owned(),
                    source,
                });
            }
        }
    }
}
