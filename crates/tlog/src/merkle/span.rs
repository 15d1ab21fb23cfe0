//! Which parts of a tree a proof is made of, and making it from stored complete subtrees.

use super::verify::{MerkleError, is_subtree};
use super::{EMPTY_ROOT, Hash, MAX_TREE_SIZE, node_hash};

/// A complete subtree: `2^level` leaves from `index * 2^level`. What a log stores; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// Place from the left among the subtrees of that height.
    pub index: u64,
}

/// Leaves `start..end` that one hash of a proof stands for: a complete subtree or the right edge of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
}

/// A source of the hashes of complete subtrees.
pub trait HashReader {
    /// Why a hash cannot be had. A proof that makes no sense is told by the same type.
    type Error: From<MerkleError>;

    /// The root of a complete subtree.
    fn node(&self, node: Node) -> Result<Hash, Self::Error>;
}

impl Span {
    /// The complete subtrees that the span consists of, from left to right, so from the largest down.
    pub fn nodes(self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut start = self.start;
        while start < self.end {
            // The largest power of two that fits and that `start` is a multiple of.
            let fits = u64::BITS - 1 - (self.end - start).leading_zeros();
            let level = fits.min(start.trailing_zeros());
            nodes.push(Node { level: level as u8, index: start >> level });
            start += 1 << level;
        }
        nodes
    }

    /// The span's hash: its complete subtrees joined from the right.
    pub fn hash<R: HashReader + ?Sized>(self, reader: &R) -> Result<Hash, R::Error> {
        let hashes: Vec<Hash> =
            self.nodes().into_iter().map(|node| reader.node(node)).collect::<Result<_, _>>()?;
        Ok(join(&hashes))
    }
}

/// The root of a tree whose complete subtrees have these roots, largest first; [`EMPTY_ROOT`] for none.
pub(crate) fn join(subtrees: &[Hash]) -> Hash {
    let Some((last, rest)) = subtrees.split_last() else { return EMPTY_ROOT };
    rest.iter().rev().fold(*last, |right, left| node_hash(left, &right))
}

/// The root of the first `size` leaves.
pub fn tree_root<R: HashReader + ?Sized>(size: u64, reader: &R) -> Result<Hash, R::Error> {
    check_size(size)?;
    Span { start: 0, end: size }.hash(reader)
}

/// What the inclusion proof of leaf `index` in a tree of `size` leaves consists of, from the leaf's sibling up.
pub fn inclusion_spans(index: u64, size: u64) -> Result<Vec<Span>, MerkleError> {
    check_size(size)?;
    if index >= size {
        return Err(MerkleError::IndexOutOfTree { index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut spans = Vec::new();
    while end - start > 1 {
        let middle = start + split_point(end - start);
        if index < middle {
            spans.push(Span { start: middle, end });
            end = middle;
        } else {
            spans.push(Span { start, end: middle });
            start = middle;
        }
    }
    spans.reverse();
    Ok(spans)
}

/// What the consistency proof from `old` to `new` leaves consists of; nothing where the sizes are equal.
///
/// # Errors
/// The old tree is empty or larger than the new one.
pub fn consistency_spans(old: u64, new: u64) -> Result<Vec<Span>, MerkleError> {
    if old > new {
        return Err(MerkleError::Shrunk { old, new });
    }
    if old == 0 {
        return Err(MerkleError::FromEmpty);
    }
    subtree_consistency_spans((0, old), new)
}

/// What the proof that the subtree `start..end` is part of the tree of `size` leaves consists of (draft
/// section 4.4.1, `SUBTREE_SUBPROOF`).
pub fn subtree_consistency_spans((start, end): (u64, u64), size: u64) -> Result<Vec<Span>, MerkleError> {
    check_size(size)?;
    if !is_subtree(start, end) || end > size {
        return Err(MerkleError::NotASubtree { start, end, size });
    }
    let (mut low, mut high) = (0, size);
    // Whether the subtree's root is still known to the verifier: false once it is cut in two.
    let mut known = true;
    let (mut from, mut spans) = (start, Vec::new());
    while (from, end) != (low, high) {
        let middle = low + split_point(high - low);
        if end <= middle {
            spans.push(Span { start: middle, end: high });
            high = middle;
        } else {
            spans.push(Span { start: low, end: middle });
            // A range that begins further left contains all of the left half (it is aligned), so that half is
            // part of both trees and only the rest is followed.
            known &= from >= middle;
            from = from.max(middle);
            low = middle;
        }
    }
    if !known {
        spans.push(Span { start: low, end: high });
    }
    spans.reverse();
    Ok(spans)
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves (RFC 9162 section 2.1.3.1).
pub fn inclusion_proof<R: HashReader + ?Sized>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    hashes(&inclusion_spans(index, size)?, reader)
}

/// The consistency proof from the tree of `old` to the tree of `new` leaves (RFC 9162 section 2.1.4.1).
pub fn consistency_proof<R: HashReader + ?Sized>(
    old: u64,
    new: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    hashes(&consistency_spans(old, new)?, reader)
}

/// The proof that the subtree `start..end` is part of the tree of `size` leaves.
pub fn subtree_consistency_proof<R: HashReader + ?Sized>(
    range: (u64, u64),
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    hashes(&subtree_consistency_spans(range, size)?, reader)
}

fn hashes<R: HashReader + ?Sized>(spans: &[Span], reader: &R) -> Result<Vec<Hash>, R::Error> {
    spans.iter().map(|span| span.hash(reader)).collect()
}

fn check_size(size: u64) -> Result<(), MerkleError> {
    if size > MAX_TREE_SIZE { Err(MerkleError::SizeLimit { size }) } else { Ok(()) }
}

/// The largest power of two below `width`, which is at least 2.
const fn split_point(width: u64) -> u64 {
    width.next_power_of_two() / 2
}
