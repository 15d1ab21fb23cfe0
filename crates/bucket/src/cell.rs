//! A compare-and-swap cell in a bucket: one object, whose entity tag says which value it holds.

use std::path::PathBuf;

use countersign_store::{Cell, Held, MAX_CELL_BYTES, StoreError};
use object_store::path::Path;

use crate::bucket::{Bucket, Written};
use crate::wire::{If, Kind, Stored};

/// An object as a cell.
///
/// Entity tags of most servers are a digest of the content, so a value that comes back is one that a request delayed on its way takes
/// for the old one. Put something into each value that was in none before: a counter, a time.
#[derive(Debug, Clone)]
pub struct BucketCell {
    bucket: Bucket,
    key: Path,
    name: String,
}

impl BucketCell {
    pub(crate) fn new(bucket: Bucket, key: Path, name: String) -> Self {
        Self { bucket, key, name }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> PathBuf {
        self.bucket.place(&self.name)
    }

    fn swap(&self, condition: If<'_>, next: &[u8]) -> Result<Held, StoreError> {
        if next.len() as u64 > MAX_CELL_BYTES {
            return Err(StoreError::TooLarge { path: self.place(), limit: MAX_CELL_BYTES });
        }
        match self.bucket.write(&self.name, next, condition, Kind::Cell)? {
            Written::Ours(Some(tag)) => Ok(Held::tagged(next.to_vec(), tag)),
            Written::Ours(None) => Err(self.untagged()),
            Written::Theirs(_) => Err(StoreError::Conflict { path: self.place() }),
        }
    }

    fn held(&self, stored: Stored) -> Result<Held, StoreError> {
        match stored.tag {
            _ if stored.bytes.len() as u64 > MAX_CELL_BYTES => {
                Err(StoreError::TooLarge { path: self.place(), limit: MAX_CELL_BYTES })
            }
            Some(tag) => Ok(Held::tagged(stored.bytes, tag)),
            None => Err(self.untagged()),
        }
    }

    fn untagged(&self) -> StoreError {
        let source = std::io::Error::other("the server gave no entity tag");
        StoreError::Io { operation: "write", path: self.place(), source }
    }
}

impl Cell for BucketCell {
    fn load(&self) -> Result<Option<Held>, StoreError> {
        let found = self.bucket.repeat("read", &self.name, || self.bucket.wire.get(&self.key))?;
        found.map(|stored| self.held(stored)).transpose()
    }

    fn create(&self, first: &[u8]) -> Result<Held, StoreError> {
        self.swap(If::Absent, first)
    }

    fn replace(&self, held: Held, next: &[u8]) -> Result<Held, StoreError> {
        match held.tag() {
            Some(tag) => self.swap(If::Unchanged(tag), next),
            // It was not read from a bucket.
            None => Err(StoreError::Conflict { path: self.place() }),
        }
    }
}
