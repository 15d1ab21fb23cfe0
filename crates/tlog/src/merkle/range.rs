//! A tree that only grows, kept as the roots of its complete subtrees: at most 63 hashes for any size.

use super::span::join;
use super::{Hash, MAX_TREE_SIZE, MerkleError, Node, Span, node_hash};

/// The first `size` leaves of a tree, enough to append to it and to tell its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    /// Largest first: the subtrees of [`CompactRange::nodes`].
    subtrees: Vec<Hash>,
}

impl CompactRange {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// From the roots of the complete subtrees of a tree of `size` leaves, in the order of [`Self::nodes`].
    ///
    /// # Errors
    /// The size is out of bounds or needs another number of hashes. Whether they are the right ones, only
    /// comparing [`Self::root`] with a trusted root tells.
    pub fn from_subtrees(size: u64, subtrees: Vec<Hash>) -> Result<Self, MerkleError> {
        if size > MAX_TREE_SIZE {
            return Err(MerkleError::SizeLimit { size });
        }
        if subtrees.len() != size.count_ones() as usize {
            return Err(MerkleError::ConsistencyLength { old: size, new: size, got: subtrees.len() });
        }
        Ok(Self { size, subtrees })
    }

    /// The complete subtrees that a tree of `size` leaves consists of, largest first.
    pub fn nodes(size: u64) -> Vec<Node> {
        Span { start: 0, end: size }.nodes()
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Adds one leaf by its hash.
    ///
    /// # Errors
    /// The tree has [`MAX_TREE_SIZE`] leaves already.
    pub fn push(&mut self, leaf: Hash) -> Result<(), MerkleError> {
        if self.size >= MAX_TREE_SIZE {
            return Err(MerkleError::SizeLimit { size: self.size.saturating_add(1) });
        }
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
        Ok(())
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        join(&self.subtrees)
    }
}
