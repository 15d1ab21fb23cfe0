//! The Merkle tree of RFC 6962 and RFC 9162: hashes, proofs, and what has to be read to make them.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1> and, for subtrees, section 4 of
//! <https://datatracker.ietf.org/doc/draft-ietf-plants-merkle-tree-certs/>.
//! `hash`: leaf, node and root; `verify`: checking proofs; `span`: which parts of a tree a proof is made of;
//! `range`: a tree that only grows, kept as the roots of its complete subtrees.
//! Not here: where hashes are stored (`tile`), what signs a root (`checkpoint`).

mod hash;
mod range;
mod span;
mod verify;

pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, root_of_leaves};
pub use range::CompactRange;
pub(crate) use span::join;
pub use span::{
    HashReader, Node, Span, consistency_proof, consistency_spans, inclusion_proof, inclusion_spans,
    subtree_consistency_proof, subtree_consistency_spans, tree_root,
};
pub use verify::{
    MerkleError, inclusion_proof_len, is_subtree, root_from_inclusion, verify_consistency, verify_inclusion,
    verify_subtree_consistency, verify_subtree_inclusion,
};

/// Largest tree that is read or written: sizes above 2^63 - 1 appear in no honest log.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// Most hashes that a proof can have in a tree of at most [`MAX_TREE_SIZE`] leaves.
pub const MAX_PROOF_HASHES: usize = 64;
