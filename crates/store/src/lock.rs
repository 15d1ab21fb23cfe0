//! An advisory exclusive lock on a file, held while the value lives. The kernel frees it when a process dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::error::StoreError;

/// The lock. Two values for one file exclude each other, also within a process.
#[derive(Debug)]
pub struct Lock {
    /// Held open for the lock's sake.
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock or says [`StoreError::Locked`] at once. Creates the file, which then stays.
    pub fn try_acquire(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits for the lock; for critical sections of a few writes.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Self, StoreError> {
        // The file carries no data, so it goes past `Disk` and needs no fsync.
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .map_err(StoreError::io("open the lock", path))?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { _file: file, path: path.to_owned() }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Locked { path: path.to_owned() }),
                Err(errno) => return Err(StoreError::io("lock", path)(errno.into())),
            }
        }
    }
}
