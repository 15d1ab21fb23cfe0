//! The seam under [`crate::durable`]: every syscall that changes something on disk is one method here.
//!
//! The real disk is [`RealDisk`]. `countersign_testkit::faulty_disk` has one that counts, fails and forgets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Advice, CWD, OFlags, RenameFlags};

/// Files that are waited for side by side in [`Disk::sync_all`].
const MAX_WAITING: usize = 8;

/// Files of this length and more leave the page cache when [`Disk::sync_all`] has made them durable.
///
/// Written by the hundred they would push out what is read all the time, and a page that was just given back is the one
/// that is cheapest to take for the next file. Who does read such a file reads it from the disk, once.
const MIN_UNCACHED_BYTES: u64 = 64 * 1024;

/// A file open for writing, with the path it was opened at.
#[derive(Debug)]
pub struct DiskFile {
    /// The open file.
    pub file: File,
    /// Where it was when it was opened; it may have been renamed since.
    pub path: PathBuf,
    /// For a disk that keeps records of its own; the real one does not.
    pub tag: Option<usize>,
}

/// The changes that a disk can be asked for. One call is one step that can fail or be cut short.
///
/// No method promises durability except [`Disk::sync`] (a file's bytes) and [`Disk::sync_dir`] (the names in a
/// folder). None follows a symbolic link at the last component of a path that it creates.
pub trait Disk: Send + Sync + core::fmt::Debug {
    /// Creates a file that must not exist, for writing. `mode` is subject to the umask.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<DiskFile>;
    /// Opens a file that must exist, for writing at its end.
    fn open_append(&self, path: &Path) -> io::Result<DiskFile>;
    /// Opens a file that must exist, for writing with [`Disk::write_at`].
    fn open_write(&self, path: &Path) -> io::Result<DiskFile>;
    /// Writes all of `bytes` at `offset`, over what is there or beyond it; after an error any part of them may be in
    /// the file. Not for files of [`Disk::open_append`].
    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes all of `bytes`; after an error any part of them may be in the file.
    fn write(&self, file: &mut DiskFile, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends the file to `len` bytes.
    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()>;
    /// Sets permission bits, whatever the umask.
    fn set_mode(&self, file: &DiskFile, mode: u32) -> io::Result<()>;
    /// Makes the file's bytes survive power loss.
    fn sync(&self, file: &DiskFile) -> io::Result<()>;
    /// Makes the bytes of all these files survive power loss; after an error any of them may not.
    fn sync_all(&self, files: &[&DiskFile]) -> io::Result<()> {
        files.iter().try_for_each(|file| self.sync(file))
    }
    /// Makes the names in a folder survive power loss.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames over whatever file or link is at `to`, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames; `AlreadyExists` if there is anything at `to`.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file at `from` a second name; `AlreadyExists` if there is anything at `to`.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Creates a symbolic link at `at` that says `target`.
    fn symlink(&self, target: &Path, at: &Path) -> io::Result<()>;
    /// Creates one folder.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file or link.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<DiskFile> {
        // O_CREAT|O_EXCL never follows a link at the last component; O_NOFOLLOW says it again for odd file systems.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), tag: None })
    }

    fn open_append(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().append(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), tag: None })
    }

    fn open_write(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().write(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), tag: None })
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.file.write_all_at(bytes, offset)
    }

    fn write(&self, file: &mut DiskFile, bytes: &[u8]) -> io::Result<()> {
        file.file.write_all(bytes)
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        file.file.set_len(len)
    }

    fn set_mode(&self, file: &DiskFile, mode: u32) -> io::Result<()> {
        file.file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn sync(&self, file: &DiskFile) -> io::Result<()> {
        // fdatasync: it also writes the metadata that is needed to read the bytes back, such as the size.
        file.file.sync_data()
    }

    fn sync_all(&self, files: &[&DiskFile]) -> io::Result<()> {
        if let [file] = files {
            return self.sync(file);
        }
        // A journal commits all that wait for it at once, so waiting side by side is little more than waiting once.
        let share = files.len().div_ceil(MAX_WAITING).max(1);
        thread::scope(|scope| {
            let wait = |files: &[&DiskFile]| {
                files.iter().try_for_each(|file| {
                    self.sync(file)?;
                    if file.file.metadata()?.len() >= MIN_UNCACHED_BYTES {
                        // Advice, which a file system may not know: nothing rests on it.
                        let _ = rustix::fs::fadvise(&file.file, 0, None, Advice::DontNeed);
                    }
                    Ok(())
                })
            };
            let waiting: io::Result<Vec<_>> = files
                .chunks(share)
                .map(|files| thread::Builder::new().spawn_scoped(scope, move || wait(files)))
                .collect();
            waiting?.into_iter().try_for_each(|one| {
                one.join().unwrap_or_else(|_| Err(io::Error::other("the thread that waited for it failed")))
            })
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag; link and unlink say the same in two steps.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            other => other.map_err(io::Error::from),
        }
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn symlink(&self, target: &Path, at: &Path) -> io::Result<()> {
        symlink(target, at)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
}
