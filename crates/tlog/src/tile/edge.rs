//! Appending to a log: the partial tiles at its right edge are all that has to be read.

use countersign_base::Sha256Digest;

use super::path::right_edge;
use super::{TILE_WIDTH, TileError, TileId};
use crate::merkle::{EMPTY_ROOT, Hash, MAX_TREE_SIZE, MerkleError, join, root_of_leaves};

/// A tile with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Where it belongs.
    pub id: TileId,
    /// Its hashes, 32 bytes each.
    pub bytes: Vec<u8>,
}

/// The partial tiles of a tree: enough to append any number of leaves and to tell the root.
///
/// Appending n leaves computes and returns O(n) hashes, whatever the size of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RightEdge {
    size: u64,
    /// For each level from the leaves up, the 0 to 255 hashes that do not fill a tile.
    levels: Vec<Vec<Hash>>,
}

impl RightEdge {
    /// Of the tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, levels: Vec::new() }
    }

    /// From the tiles of [`right_edge`] for `size`, which `read` gives, checked against the tree's root.
    ///
    /// # Errors
    /// `log-tile-missing` if `read` gives `None`; `log-tile-mismatch`, naming the tile as far as can be told.
    pub fn load(
        size: u64,
        root: &Hash,
        mut read: impl FnMut(TileId) -> Option<Vec<u8>>,
    ) -> Result<Self, TileError> {
        if size > MAX_TREE_SIZE {
            return Err(MerkleError::SizeLimit { size }.into());
        }
        let mut edge = Self { size, levels: Vec::new() };
        let tiles = right_edge(size);
        for id in &tiles {
            let bytes = read(*id).ok_or(TileError::Missing { tile: *id })?;
            edge.levels.resize(usize::from(id.level()) + 1, Vec::new());
            edge.levels[usize::from(id.level())] = decode(*id, &bytes)?;
        }
        if edge.root() == *root { Ok(edge) } else { Err(TileError::Root { tiles }) }
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        if self.size == 0 {
            return EMPTY_ROOT;
        }
        let subtrees: Vec<Hash> =
            self.levels.iter().rev().flat_map(|hashes| complete_subtrees(hashes)).collect();
        join(&subtrees)
    }

    /// Adds leaves by their hashes; returns every tile that is new or longer now, lowest level first.
    ///
    /// The result has the ids of [`tiles_for_append`](super::tiles_for_append).
    ///
    /// # Errors
    /// The tree would have more than [`MAX_TREE_SIZE`] leaves; then nothing has changed.
    pub fn append(&mut self, leaves: &[Hash]) -> Result<Vec<Tile>, TileError> {
        let size = self.size.saturating_add(leaves.len() as u64);
        if size > MAX_TREE_SIZE {
            return Err(MerkleError::SizeLimit { size }.into());
        }
        let mut tiles = Vec::new();
        let mut pending = leaves.to_vec();
        for level in 0.. {
            if pending.is_empty() {
                break;
            }
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::new());
            }
            pending = append_level(
                &mut self.levels[usize::from(level)],
                level,
                self.size,
                size,
                &pending,
                &mut tiles,
            );
        }
        self.size = size;
        Ok(tiles)
    }
}

/// Adds hashes to one level; returns the roots of the tiles that became full, for the level above.
fn append_level(
    partial: &mut Vec<Hash>,
    level: u8,
    old: u64,
    new: u64,
    hashes: &[Hash],
    tiles: &mut Vec<Tile>,
) -> Vec<Hash> {
    let mut index = old.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
    let mut above = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(usize::from(TILE_WIDTH) - partial.len()));
        partial.extend_from_slice(now);
        if let Some(id) = TileId::at(level, index, new) {
            tiles.push(Tile { id, bytes: encode(partial) });
        }
        if partial.len() == usize::from(TILE_WIDTH) {
            above.push(root_of_leaves(partial));
            partial.clear();
        }
        (rest, index) = (later, index + 1);
    }
    above
}

/// The hashes of a tile from its bytes.
pub(super) fn decode(id: TileId, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    if bytes.len() != usize::from(id.width()) * Sha256Digest::LEN {
        return Err(TileError::Length { tile: id, got: bytes.len() });
    }
    Ok(bytes.as_chunks().0.iter().copied().map(Sha256Digest).collect())
}

fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The roots of the complete subtrees that fewer than 256 hashes make, largest first.
fn complete_subtrees(hashes: &[Hash]) -> impl Iterator<Item = Hash> {
    let mut rest = hashes;
    core::iter::from_fn(move || {
        let width = rest.len().checked_ilog2().map(|level| 1 << level)?;
        let (subtree, after) = rest.split_at(width);
        rest = after;
        Some(root_of_leaves(subtree))
    })
}
