//! Entry bundles and hash tiles of a growing tree.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.

use std::collections::BTreeMap;

use countersign_tlog::merkle::{Hash, MerkleError};
use countersign_tlog::tile::{BundleId, RightEdge, TILE_WIDTH, TileError};

use super::batch::Batch;

/// Files by their names.
pub(crate) type NewFiles = Vec<(String, Vec<u8>)>;

/// What has to be in memory to make the files of a tree that grows.
#[derive(Debug)]
pub(crate) struct Growing {
    edge: RightEdge,
    /// The bytes of the partial entry bundle.
    bundle: Vec<u8>,
    /// Partial tiles that have grown since [`Growing::partial`] gave them, by level.
    tiles: BTreeMap<u8, (String, Vec<u8>)>,
    grown: bool,
}

impl Growing {
    /// A tree with this right edge and the bytes of its partial bundle, empty if there is none.
    pub(crate) const fn new(edge: RightEdge, bundle: Vec<u8>) -> Self {
        Self { edge, bundle, tiles: BTreeMap::new(), grown: false }
    }

    /// Number of entries.
    pub(crate) const fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Adds batches, which go on where the tree ends; returns the bundles and tiles that are full now.
    pub(crate) fn add(&mut self, batches: &[Batch]) -> Result<NewFiles, TileError> {
        let width = usize::from(TILE_WIDTH);
        let mut files = NewFiles::new();
        let mut size = self.edge.size();
        let mut leaves: Vec<Hash> = Vec::with_capacity(batches.iter().map(Batch::len).sum());
        for batch in batches {
            let mut from = 0;
            while from < batch.len() {
                let to = batch.len().min(from + width - (size % width as u64) as usize);
                self.bundle.extend_from_slice(batch.framed(from..to));
                size = size.saturating_add((to - from) as u64);
                from = to;
                if size.is_multiple_of(width as u64) {
                    let bytes = core::mem::take(&mut self.bundle);
                    // The next one will be about as long.
                    self.bundle.reserve(bytes.len());
                    files.push((bundle_before(size)?.path(), bytes));
                }
            }
            leaves.extend_from_slice(batch.leaves());
        }
        for tile in self.edge.append(&leaves)? {
            let (level, full, file) = (tile.id.level(), tile.id.is_full(), (tile.id.path(), tile.bytes));
            if full {
                self.tiles.remove(&level);
                files.push(file);
            } else {
                self.tiles.insert(level, file);
            }
        }
        self.grown |= !leaves.is_empty();
        Ok(files)
    }

    /// The partial bundle and tiles as they are now, those that have grown since this was asked last.
    pub(crate) fn partial(&mut self) -> Result<NewFiles, TileError> {
        let mut files: NewFiles = core::mem::take(&mut self.tiles).into_values().collect();
        if self.grown && !self.bundle.is_empty() {
            files.push((bundle_before(self.size())?.path(), self.bundle.clone()));
        }
        self.grown = false;
        Ok(files)
    }
}

/// The last bundle of a log of `size` entries.
fn bundle_before(size: u64) -> Result<BundleId, TileError> {
    let index = size.saturating_sub(1) / u64::from(TILE_WIDTH);
    BundleId::at(index, size).ok_or(TileError::Merkle(MerkleError::SizeLimit { size }))
}
