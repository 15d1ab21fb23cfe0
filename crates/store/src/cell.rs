//! The compare-and-swap contract: one small value that changes, and that no two writers change at once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::durable;
use crate::error::StoreError;
use crate::lock::Lock;

/// Largest value of a cell, in bytes.
pub const MAX_CELL_BYTES: u64 = 16 * 1024 * 1024;

/// What a cell held when it was read or written. Needed to replace it, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    bytes: Vec<u8>,
    tag: Option<String>,
}

impl Held {
    /// A value as a backend read or wrote it that tells values apart by a tag of its own, as HTTP does.
    pub const fn tagged(bytes: Vec<u8>, tag: String) -> Self {
        Self { bytes, tag: Some(tag) }
    }

    const fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, tag: None }
    }

    /// The backend's tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The value.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One value that is replaced only by who has seen the latest.
///
/// Calls are serializable, across processes and restarts. `Ok` means that the value survives power loss. After
/// [`StoreError::Conflict`] the value is another writer's. After any other error it is the old or the new one, and on a
/// bucket the new one may appear later: load again before going on.
pub trait Cell: Send + Sync + core::fmt::Debug {
    /// The value, or `None` before the first `create`.
    fn load(&self) -> Result<Option<Held>, StoreError>;
    /// Sets the first value; [`StoreError::Conflict`] if there is one.
    fn create(&self, first: &[u8]) -> Result<Held, StoreError>;
    /// Replaces the value if it is still `held`, else [`StoreError::Conflict`]. Consumes `held`, so that a stale
    /// copy cannot be offered twice.
    fn replace(&self, held: Held, next: &[u8]) -> Result<Held, StoreError>;
}

/// A file as a cell; a lock file beside it makes compare-and-swap one step for all processes.
#[derive(Debug)]
pub struct DirCell {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    lock: PathBuf,
    mode: u32,
}

impl DirCell {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, mode: u32) -> Self {
        let mut lock = OsString::from(&path);
        lock.push(".lock");
        Self { disk, path, lock: lock.into(), mode }
    }

    /// The file with the value.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn swap(&self, expected: Option<&[u8]>, next: &[u8]) -> Result<Held, StoreError> {
        if next.len() as u64 > MAX_CELL_BYTES {
            return Err(StoreError::TooLarge { path: self.path.clone(), limit: MAX_CELL_BYTES });
        }
        let _lock = Lock::acquire(&self.lock)?;
        let current = durable::read(&self.path, MAX_CELL_BYTES)?;
        if current.as_deref() != expected {
            return Err(StoreError::Conflict { path: self.path.clone() });
        }
        durable::write_atomic(&*self.disk, &self.path, next, self.mode)?;
        Ok(Held::plain(next.to_vec()))
    }
}

impl Cell for DirCell {
    fn load(&self) -> Result<Option<Held>, StoreError> {
        Ok(durable::read(&self.path, MAX_CELL_BYTES)?.map(Held::plain))
    }

    fn create(&self, first: &[u8]) -> Result<Held, StoreError> {
        self.swap(None, first)
    }

    fn replace(&self, held: Held, next: &[u8]) -> Result<Held, StoreError> {
        self.swap(Some(&held.bytes), next)
    }
}
