//! Checking inclusion and consistency proofs, of trees and of subtrees.

use countersign_base::Explain;
use countersign_base::code::{self, Code};

use super::{EMPTY_ROOT, Hash, MAX_TREE_SIZE, node_hash};

/// Why a proof shows nothing.
///
/// What can be seen without hashing (sizes and the number of hashes) is malformed; the rest is a wrong proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError {
    /// A tree larger than any honest one.
    #[error("a tree of {size} leaves is larger than any log has")]
    SizeLimit {
        /// The size that was claimed.
        size: u64,
    },
    /// The leaf is not in the tree: its index is not below the size, or the range is not one.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfTree {
        /// 0-based index.
        index: u64,
        /// Number of leaves.
        size: u64,
    },
    /// The range of leaves is not a subtree of the tree.
    #[error("leaves {start} to {end} are not a subtree of a tree of {size} leaves")]
    NotASubtree {
        /// First leaf.
        start: u64,
        /// One past the last leaf.
        end: u64,
        /// Number of leaves of the whole tree.
        size: u64,
    },
    /// Too few or too many hashes for this place in this tree.
    #[error("an inclusion proof for leaf {index} of {size} has {want} hashes, this one has {got}")]
    InclusionLength {
        /// 0-based index.
        index: u64,
        /// Number of leaves.
        size: u64,
        /// Hashes there must be.
        want: usize,
        /// Hashes there are.
        got: usize,
    },
    /// The proof leads to another root.
    #[error("the inclusion proof does not lead from the entry to the root of the tree")]
    Inclusion,
    /// The newer tree is smaller than the older one.
    #[error("a tree of {new} leaves cannot extend one of {old}")]
    Shrunk {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// Nothing can be proven from the tree without leaves.
    #[error("there is no consistency proof from the empty tree")]
    FromEmpty,
    /// Too few or too many hashes for these two sizes.
    #[error("the consistency proof from {old} to {new} leaves has too few or too many hashes ({got})")]
    ConsistencyLength {
        /// Size of the older tree, or end of the subtree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
        /// Hashes there are.
        got: usize,
    },
    /// The proof leads to another root at one of the sizes.
    #[error("the tree of {new} leaves does not extend the tree of {old} leaves")]
    Consistency {
        /// Size of the older tree, or end of the subtree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
}

impl Explain for MerkleError {
    fn code(&self) -> Code {
        match self {
            Self::SizeLimit { .. }
            | Self::IndexOutOfTree { .. }
            | Self::NotASubtree { .. }
            | Self::InclusionLength { .. } => code::LOG_PROOF_MALFORMED,
            Self::Inclusion => code::LOG_INCLUSION_INVALID,
            Self::Shrunk { .. }
            | Self::FromEmpty
            | Self::ConsistencyLength { .. }
            | Self::Consistency { .. } => code::LOG_CONSISTENCY_INVALID,
        }
    }
}

/// Whether the leaves from `start` up to but not including `end` are a subtree (draft section 4.1).
///
/// The start must be a multiple of the smallest power of two that is not below the width.
pub const fn is_subtree(start: u64, end: u64) -> bool {
    start < end && end <= MAX_TREE_SIZE && start.is_multiple_of((end - start).next_power_of_two())
}

/// How many hashes the inclusion proof of leaf `index` in a tree of `size` leaves has.
pub fn inclusion_proof_len(index: u64, size: u64) -> Result<usize, MerkleError> {
    check_index(index, size)?;
    let (inner, border) = split(index, size);
    Ok(inner + border)
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with this root (RFC 9162 section 2.1.3.2).
///
/// `leaf` is a leaf hash: make it with [`leaf_hash`](super::leaf_hash), never take it from the other side.
///
/// # Errors
/// `log-proof-malformed` where index, size and number of hashes do not fit, else `log-inclusion-invalid`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if root_from_inclusion(index, size, leaf, proof)? == *root { Ok(()) } else { Err(MerkleError::Inclusion) }
}

/// The root that an inclusion proof leads to; compare it with a root that is trusted.
pub fn root_from_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<Hash, MerkleError> {
    check_index(index, size)?;
    let (inner, border) = split(index, size);
    if proof.len() != inner + border {
        return Err(MerkleError::InclusionLength { index, size, want: inner + border, got: proof.len() });
    }
    let (below, above) = proof.split_at(inner);
    let mut hash = *leaf;
    for (level, sibling) in below.iter().enumerate() {
        let is_left = (index >> level) & 1 == 0;
        hash = if is_left { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
    }
    // Along the right border of the tree all siblings are to the left.
    Ok(above.iter().fold(hash, |hash, sibling| node_hash(sibling, &hash)))
}

/// Checks that `leaf` is leaf `index` of the subtree `start..end` with this root (draft section 4.3).
pub fn verify_subtree_inclusion(
    index: u64,
    (start, end): (u64, u64),
    leaf: &Hash,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if !is_subtree(start, end) {
        return Err(MerkleError::NotASubtree { start, end, size: end });
    }
    let Some(offset) = index.checked_sub(start) else {
        return Err(MerkleError::IndexOutOfTree { index, size: end });
    };
    verify_inclusion(offset, end - start, leaf, root, proof)
}

/// Checks that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 section 2.1.4.2).
///
/// Equal sizes need equal roots and no hashes. From the empty tree to a larger one nothing can be proven.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if new > MAX_TREE_SIZE {
        return Err(MerkleError::SizeLimit { size: new });
    }
    if new < old {
        return Err(MerkleError::Shrunk { old, new });
    }
    if old == 0 {
        let both_empty = new == 0 && *old_root == EMPTY_ROOT && *new_root == EMPTY_ROOT && proof.is_empty();
        return if both_empty { Ok(()) } else { Err(MerkleError::FromEmpty) };
    }
    verify_subtree_consistency((0, old), new, old_root, new_root, proof)
}

/// Checks that the subtree `start..end` with root `subtree_root` is part of the tree of `size` leaves
/// (draft section 4.4.3).
///
/// The empty range with the empty root is part of any tree.
pub fn verify_subtree_consistency(
    (start, end): (u64, u64),
    size: u64,
    subtree_root: &Hash,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    let length = MerkleError::ConsistencyLength { old: end, new: size, got: proof.len() };
    let wrong = MerkleError::Consistency { old: end, new: size };
    if start == end && end <= size && size <= MAX_TREE_SIZE {
        return match (proof.is_empty(), *subtree_root == EMPTY_ROOT) {
            (true, true) => Ok(()),
            (false, _) => Err(length),
            (true, false) => Err(wrong),
        };
    }
    if !is_subtree(start, end) || end > size || size > MAX_TREE_SIZE {
        return Err(MerkleError::NotASubtree { start, end, size });
    }
    let (got_subtree, got_root) =
        roots_from_consistency((start, end), size, subtree_root, proof).ok_or(length)?;
    if got_subtree == *subtree_root && got_root == *root { Ok(()) } else { Err(wrong) }
}

/// The roots of subtree and tree that the proof leads to, or `None` if it has too few or too many hashes.
///
/// The names and steps are those of the draft, which are those of RFC 9162 with `fn` for a left edge.
fn roots_from_consistency(
    (start, end): (u64, u64),
    size: u64,
    subtree_root: &Hash,
    proof: &[Hash],
) -> Option<(Hash, Hash)> {
    let (mut first, mut second, mut top) = (start, end - 1, size - 1);
    let shift = if second == top {
        // Up to the subtree's own root.
        u64::BITS - (first ^ second).leading_zeros()
    } else {
        // Up to the root of the largest complete subtree at the right end of the range.
        second.trailing_ones().min(u64::BITS - (first ^ second).leading_zeros())
    };
    first = first.checked_shr(shift).unwrap_or(0);
    second = second.checked_shr(shift).unwrap_or(0);
    top = top.checked_shr(shift).unwrap_or(0);
    let mut rest = proof.iter();
    let seed = if first == second { *subtree_root } else { *rest.next()? };
    let (mut subtree, mut tree) = (seed, seed);
    for hash in rest {
        if top == 0 {
            return None;
        }
        if second & 1 == 1 || second == top {
            if first < second {
                subtree = node_hash(hash, &subtree);
            }
            tree = node_hash(hash, &tree);
            // A node on the right border without a sibling moves up unchanged.
            let skip = second.trailing_zeros();
            first = first.checked_shr(skip).unwrap_or(0);
            second = second.checked_shr(skip).unwrap_or(0);
            top = top.checked_shr(skip).unwrap_or(0);
        } else {
            tree = node_hash(&tree, hash);
        }
        (first, second, top) = (first >> 1, second >> 1, top >> 1);
    }
    (top == 0).then_some((subtree, tree))
}

fn check_index(index: u64, size: u64) -> Result<(), MerkleError> {
    if size > MAX_TREE_SIZE {
        return Err(MerkleError::SizeLimit { size });
    }
    if index >= size {
        return Err(MerkleError::IndexOutOfTree { index, size });
    }
    Ok(())
}

/// The lengths of the two parts of an inclusion path: below and along the right border of the tree.
const fn split(index: u64, size: u64) -> (usize, usize) {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = if inner == u64::BITS { 0 } else { (index >> inner).count_ones() };
    (inner as usize, border as usize)
}
