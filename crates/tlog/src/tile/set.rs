//! Tiles from a place that is not trusted, checked against a root that is.

use std::collections::BTreeMap;

use super::edge::{RightEdge, decode};
use super::{TileError, TileId, tile_for_node};
use crate::merkle::{
    EMPTY_ROOT, Hash, HashReader, MerkleError, Node, consistency_proof, inclusion_proof, root_of_leaves,
    subtree_consistency_proof, tree_root,
};

/// Tiles every one of which belongs to the tree of `size` leaves with this root.
///
/// Made by [`TileSet::verified`] alone, so a hash that comes out has been checked.
#[derive(Debug, Clone)]
pub struct TileSet {
    size: u64,
    root: Hash,
    tiles: BTreeMap<TileId, Vec<Hash>>,
}

impl TileSet {
    /// Checks tiles against a tree's root.
    ///
    /// All partial tiles of the tree must be there: they hash to the root. A full tile is checked against the one
    /// above it, which must be there too ([`needed_for_inclusion`](super::needed_for_inclusion) and
    /// [`needed_for_consistency`](super::needed_for_consistency) list them all).
    ///
    /// # Errors
    /// `log-tile-mismatch` names the wrong tile; where only the right edge as a whole is wrong, all of that.
    /// `log-tile-missing` names the first one that is needed and absent.
    pub fn verified(size: u64, root: &Hash, tiles: &BTreeMap<TileId, Vec<u8>>) -> Result<Self, TileError> {
        RightEdge::load(size, root, |id| tiles.get(&id).cloned())?;
        let mut checked: BTreeMap<TileId, Vec<Hash>> = BTreeMap::new();
        // From the top down, so that the tile above has been checked before.
        for (id, bytes) in tiles.iter().rev() {
            let hashes = decode(*id, bytes)?;
            if TileId::at(id.level(), id.index(), size) != Some(*id) {
                return Err(TileError::NotInTree { tile: *id, size });
            }
            if id.is_full() {
                let above = id.parent(size).ok_or(TileError::NotInTree { tile: *id, size })?;
                let slots = checked.get(&above).ok_or(TileError::Missing { tile: above })?;
                if slots.get((id.index() % 256) as usize) != Some(&root_of_leaves(&hashes)) {
                    return Err(TileError::Mismatch { tile: *id });
                }
            }
            checked.insert(*id, hashes);
        }
        Ok(Self { size, root: if size == 0 { EMPTY_ROOT } else { *root }, tiles: checked })
    }

    /// Number of leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The hashes of a tile, if it is in the set.
    pub fn hashes(&self, tile: TileId) -> Option<&[Hash]> {
        self.tiles.get(&tile).map(Vec::as_slice)
    }

    /// The hash of leaf `index`.
    pub fn leaf(&self, index: u64) -> Result<Hash, TileError> {
        if index >= self.size {
            return Err(MerkleError::IndexOutOfTree { index, size: self.size }.into());
        }
        self.node(Node { level: 0, index })
    }

    /// The inclusion proof of leaf `index` in the first `size` leaves.
    ///
    /// # Errors
    /// `log-tile-missing` names the tile that would be needed.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, TileError> {
        self.check_size(size)?;
        inclusion_proof(index, size, self)
    }

    /// The consistency proof from the first `old` to the first `new` leaves.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, TileError> {
        self.check_size(new)?;
        consistency_proof(old, new, self)
    }

    /// The proof that the subtree `start..end` is part of the first `size` leaves.
    pub fn subtree_consistency_proof(&self, range: (u64, u64), size: u64) -> Result<Vec<Hash>, TileError> {
        self.check_size(size)?;
        subtree_consistency_proof(range, size, self)
    }

    /// The root of the first `size` leaves.
    pub fn root_at(&self, size: u64) -> Result<Hash, TileError> {
        self.check_size(size)?;
        tree_root(size, self)
    }

    fn check_size(&self, size: u64) -> Result<(), TileError> {
        if size > self.size {
            return Err(MerkleError::Shrunk { old: size, new: self.size }.into());
        }
        Ok(())
    }
}

impl HashReader for TileSet {
    type Error = TileError;

    fn node(&self, node: Node) -> Result<Hash, TileError> {
        let outside = MerkleError::IndexOutOfTree { index: node.index, size: self.size };
        let tile = tile_for_node(node, self.size).ok_or(outside.clone())?;
        let hashes = self.hashes(tile).ok_or(TileError::Missing { tile })?;
        let height = node.level % 8;
        let first = ((node.index << height) % 256) as usize;
        let subtree = hashes.get(first..first + (1 << height)).ok_or(outside)?;
        Ok(root_of_leaves(subtree))
    }
}
