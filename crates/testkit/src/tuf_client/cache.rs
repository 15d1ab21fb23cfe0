//! The folder of trusted metadata: one file a role, named without version, percent-encoded.

use std::path::{Path, PathBuf};

use countersign_store::{Disk, StoreError, durable};
use countersign_tuf::limits::MAX_TARGETS_BYTES;
use countersign_tuf::name::file_name;

use super::ClientError;

/// What a client trusted, as the bytes that it fetched.
#[derive(Debug)]
pub struct Cache<'d> {
    folder: PathBuf,
    disk: &'d dyn Disk,
}

impl<'d> Cache<'d> {
    /// The cache in `folder`, which must be there. What a crash left unfinished in it is removed.
    ///
    /// # Errors
    /// `storage-failed`.
    pub fn open(folder: &Path, disk: &'d dyn Disk) -> Result<Self, StoreError> {
        durable::remove_stale(disk, folder)?;
        Ok(Self { folder: folder.to_owned(), disk })
    }

    /// The disk that it writes to.
    pub(super) fn disk(&self) -> &'d dyn Disk {
        self.disk
    }

    /// What is kept for `role`.
    pub(super) fn read(&self, role: &str) -> Result<Option<Vec<u8>>, ClientError> {
        // No kind of metadata is larger than targets; each has its own limit when it is parsed.
        Ok(durable::read(&self.path(role)?, MAX_TARGETS_BYTES as u64)?)
    }

    /// Keeps `bytes` for `role` in place of what is there.
    pub(super) fn write(&self, role: &str, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(durable::write_atomic(self.disk, &self.path(role)?, bytes, 0o644)?)
    }

    /// Keeps nothing for `role`.
    pub(super) fn remove(&self, role: &str) -> Result<(), ClientError> {
        durable::remove(self.disk, &self.path(role)?)?;
        Ok(())
    }

    fn path(&self, role: &str) -> Result<PathBuf, ClientError> {
        Ok(self.folder.join(file_name(role, None)?))
    }
}
