//! Merkle proofs: public vectors, and properties at every small size.

use countersign_base::Sha256Digest;
use countersign_crypto::sha256;
use countersign_tlog::merkle::*;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{code, leaves, vectors};

/// Hashes of a vector. Where a case has one that is not 32 bytes long, a strict reader cannot even form it:
/// another hash stands in for it, the same one for the same bytes, so that equal ones stay equal.
fn vector_hash(value: &Value) -> Hash {
    use base64::Engine as _;
    let text = value.as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    bytes.as_slice().try_into().map_or_else(|_| sha256(&[b"stand-in ", &bytes[..]].concat()), Sha256Digest)
}

fn vector_proof(value: &Value) -> Vec<Hash> {
    value.as_array().map(|hashes| hashes.iter().map(vector_hash).collect()).unwrap_or_default()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap()
}

fn run(set: &str, check: impl Fn(&Value) -> Result<(), MerkleError>) {
    for (file, case) in vectors(&format!("merkle/{set}"), ".json") {
        let refuse = case["wantErr"].as_bool().unwrap();
        if ["root", "root1", "root2", "leafHash"].iter().any(|field| case[*field] == "") {
            assert!(refuse, "{set}/{file}: no bytes are no hash to any reader");
            continue;
        }
        let result = check(&case);
        assert_eq!(result.is_err(), refuse, "{set}/{file}: {result:?}");
    }
}

#[test]
fn inclusion_vectors() {
    run("inclusion", |case| {
        verify_inclusion(
            number(case, "leafIdx"),
            number(case, "treeSize"),
            &vector_hash(&case["leafHash"]),
            &vector_hash(&case["root"]),
            &vector_proof(&case["proof"]),
        )
    });
}

#[test]
fn consistency_vectors() {
    run("consistency", |case| {
        verify_consistency(
            number(case, "size1"),
            number(case, "size2"),
            &vector_hash(&case["root1"]),
            &vector_hash(&case["root2"]),
            &vector_proof(&case["proof"]),
        )
    });
}

#[test]
fn subtree_inclusion_vectors() {
    run("subtreeinclusion", |case| {
        verify_subtree_inclusion(
            number(case, "leafIdx"),
            (number(case, "start"), number(case, "end")),
            &vector_hash(&case["leafHash"]),
            &vector_hash(&case["root"]),
            &vector_proof(&case["proof"]),
        )
    });
}

#[test]
fn subtree_consistency_vectors() {
    run("subtreeconsistency", |case| {
        verify_subtree_consistency(
            (number(case, "start"), number(case, "end")),
            number(case, "size"),
            &vector_hash(&case["root1"]),
            &vector_hash(&case["root2"]),
            &vector_proof(&case["proof"]),
        )
    });
}

/// A tree in memory that gives the hash of any complete subtree.
struct Memory(Vec<Hash>);

impl HashReader for Memory {
    type Error = MerkleError;

    fn node(&self, node: Node) -> Result<Hash, MerkleError> {
        let first = (node.index << node.level) as usize;
        Ok(root_of_leaves(&self.0[first..first + (1 << node.level)]))
    }
}

fn root(leaves: &[Hash], size: u64) -> Hash {
    root_of_leaves(&leaves[..size as usize])
}

#[test]
fn every_leaf_of_every_small_tree_is_proven() {
    let tree = Memory(leaves(70));
    for size in 1..=70 {
        let root = root(&tree.0, size);
        assert_eq!(tree_root(size, &tree), Ok(root));
        for index in 0..size {
            let proof = inclusion_proof(index, size, &tree).unwrap();
            assert_eq!(proof.len(), inclusion_proof_len(index, size).unwrap());
            verify_inclusion(index, size, &tree.0[index as usize], &root, &proof).unwrap();
        }
    }
}

#[test]
fn every_pair_of_small_sizes_is_consistent() {
    let tree = Memory(leaves(70));
    for new in 1..=70 {
        for old in 1..=new {
            let proof = consistency_proof(old, new, &tree).unwrap();
            verify_consistency(old, new, &root(&tree.0, old), &root(&tree.0, new), &proof).unwrap();
        }
    }
}

#[test]
fn every_subtree_of_small_trees_is_proven() {
    let tree = Memory(leaves(40));
    let mut subtrees = 0;
    for size in 1..=40u64 {
        for end in 1..=size {
            for start in (0..end).filter(|start| is_subtree(*start, end)) {
                let subtree = root_of_leaves(&tree.0[start as usize..end as usize]);
                let proof = subtree_consistency_proof((start, end), size, &tree).unwrap();
                let root = root(&tree.0, size);
                verify_subtree_consistency((start, end), size, &subtree, &root, &proof).unwrap();
                subtrees += 1;
            }
        }
    }
    assert!(subtrees > 2_000, "{subtrees}");
    // The width rounded up to a power of two must divide the start.
    assert!(is_subtree(4, 7) && is_subtree(8, 13) && !is_subtree(2, 5) && !is_subtree(3, 3));
}

#[test]
fn wrong_places_and_lengths_are_malformed_and_wrong_hashes_are_not_included() {
    let tree = Memory(leaves(13));
    let (leaf, smaller, root) = (tree.0[5], root(&tree.0, 12), root(&tree.0, 13));
    let proof = inclusion_proof(5, 13, &tree).unwrap();
    let check =
        |index, size, leaf: &Hash, proof: &[Hash]| code(&verify_inclusion(index, size, leaf, &root, proof));
    assert_eq!(check(5, 13, &leaf, &proof), "ok");
    assert_eq!(check(4, 13, &leaf, &proof), "log-inclusion-invalid");
    // The root says which tree it is; a size of the same shape alone does not.
    let other = verify_inclusion(5, 12, &leaf, &smaller, &proof);
    assert_eq!(code(&other), "log-inclusion-invalid");
    assert_eq!(check(5, 13, &tree.0[4], &proof), "log-inclusion-invalid");
    assert_eq!(check(5, 13, &leaf, &proof[1..]), "log-proof-malformed");
    assert_eq!(check(5, 13, &leaf, &[&proof[..], &proof[..1]].concat()), "log-proof-malformed");
    assert_eq!(check(13, 13, &leaf, &proof), "log-proof-malformed");
    assert_eq!(check(0, 0, &leaf, &[]), "log-proof-malformed");
    assert_eq!(check(5, MAX_TREE_SIZE + 1, &leaf, &proof), "log-proof-malformed");
    assert_eq!(check(MAX_TREE_SIZE - 1, MAX_TREE_SIZE, &leaf, &proof), "log-proof-malformed");
}

#[test]
fn an_interior_node_is_not_a_leaf() {
    // Attack L10: an entry of 0x01 and two child hashes hashes to a leaf, never to their parent.
    let tree = Memory(leaves(4));
    let root = root(&tree.0, 4);
    let mut entry = vec![1];
    entry.extend(tree.0[0].as_bytes());
    entry.extend(tree.0[1].as_bytes());
    assert_eq!(sha256(&entry), node_hash(&tree.0[0], &tree.0[1]));
    let right = node_hash(&tree.0[2], &tree.0[3]);
    let result = verify_inclusion(0, 2, &leaf_hash(&entry), &root, &[right]);
    assert_eq!(code(&result), "log-inclusion-invalid");
    // A tree of one leaf has no proof.
    let one = leaf_hash(b"one");
    assert_eq!(code(&verify_inclusion(0, 1, &one, &one, &[])), "ok");
    assert_eq!(code(&verify_inclusion(0, 1, &one, &one, &[right])), "log-proof-malformed");
}

#[test]
fn consistency_is_refused_where_it_cannot_be_shown() {
    let tree = Memory(leaves(13));
    let at = |size| root(&tree.0, size);
    let proof = consistency_proof(6, 13, &tree).unwrap();
    let check = |old, new, old_root: &Hash, proof: &[Hash]| {
        code(&verify_consistency(old, new, old_root, &at(13), proof))
    };
    assert_eq!(check(6, 13, &at(6), &proof), "ok");
    for (old, new, old_root, proof) in [
        (7, 13, at(7), &proof[..]),
        (6, 17, at(6), &proof[..]),
        (6, 13, at(7), &proof[..]),
        (6, 13, at(6), &proof[1..]),
        (6, 13, at(6), &[]),
        (13, 13, at(13), &proof[..1]),
        (13, 13, at(12), &[]),
        (14, 13, at(13), &[]),
        (0, 13, EMPTY_ROOT, &[]),
        (6, MAX_TREE_SIZE + 1, at(6), &proof[..]),
    ] {
        assert_ne!(check(old, new, &old_root, proof), "ok", "{old} to {new}");
    }
    assert_eq!(check(13, 13, &at(13), &[]), "ok");
    assert_eq!(verify_consistency(0, 0, &EMPTY_ROOT, &EMPTY_ROOT, &[]), Ok(()));
    assert!(verify_consistency(0, 0, &at(1), &at(1), &[]).is_err());
}

#[test]
fn the_largest_trees_do_not_overflow() {
    let top = MAX_TREE_SIZE;
    assert_eq!(inclusion_proof_len(0, top), Ok(63));
    assert_eq!(inclusion_spans(top - 1, top).unwrap().len(), inclusion_proof_len(top - 1, top).unwrap());
    assert!(consistency_spans(top - 1, top).unwrap().len() <= MAX_PROOF_HASHES);
    assert!(consistency_spans((1 << 62) + 1, top).unwrap().len() <= MAX_PROOF_HASHES);
    let hashes = vec![EMPTY_ROOT; 70];
    for count in 0..70 {
        let _ = verify_consistency((1 << 62) + 1, top, &EMPTY_ROOT, &EMPTY_ROOT, &hashes[..count]);
        let _ = verify_consistency(top - 1, top, &EMPTY_ROOT, &EMPTY_ROOT, &hashes[..count]);
        let _ = verify_inclusion(top - 1, top, &EMPTY_ROOT, &EMPTY_ROOT, &hashes[..count]);
    }
    assert!(inclusion_spans(0, u64::MAX).is_err());
    assert!(!is_subtree(0, u64::MAX));
}

#[test]
fn a_compact_range_grows_like_the_tree() {
    let leaves = leaves(300);
    let mut range = CompactRange::new();
    assert_eq!(range.root(), EMPTY_ROOT);
    for (index, leaf) in leaves.iter().enumerate() {
        range.push(*leaf).unwrap();
        assert_eq!(range.root(), root_of_leaves(&leaves[..=index]));
        assert_eq!(range.subtrees().len(), CompactRange::nodes(range.size()).len());
    }
    let again = CompactRange::from_subtrees(300, range.subtrees().to_vec()).unwrap();
    assert_eq!(again, range);
    assert!(CompactRange::from_subtrees(301, range.subtrees().to_vec()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_flipped_bit_never_verifies(
        size in 1u64..600, place in any::<u64>(), bit in any::<u16>(), which in any::<usize>()
    ) {
        let tree = Memory(leaves(size));
        let index = place % size;
        let root = root(&tree.0, size);
        let mut proof = inclusion_proof(index, size, &tree).unwrap();
        let mut leaf = tree.0[index as usize];
        verify_inclusion(index, size, &leaf, &root, &proof).unwrap();
        let hashes = proof.len() + 1;
        let target = proof.get_mut(which % hashes).unwrap_or(&mut leaf);
        target.0[usize::from(bit / 8) % 32] ^= 1 << (bit % 8);
        prop_assert_eq!(
            verify_inclusion(index, size, &leaf, &root, &proof), Err(MerkleError::Inclusion)
        );
    }

    #[test]
    fn one_flipped_bit_is_never_consistent(
        new in 2u64..600, place in any::<u64>(), bit in any::<u16>(), which in any::<usize>()
    ) {
        let tree = Memory(leaves(new));
        let old = 1 + place % (new - 1);
        let (old_root, mut new_root) = (root(&tree.0, old), root(&tree.0, new));
        let mut proof = consistency_proof(old, new, &tree).unwrap();
        verify_consistency(old, new, &old_root, &new_root, &proof).unwrap();
        let hashes = proof.len() + 1;
        let target = proof.get_mut(which % hashes).unwrap_or(&mut new_root);
        target.0[usize::from(bit / 8) % 32] ^= 1 << (bit % 8);
        let wrong = Err(MerkleError::Consistency { old, new });
        prop_assert_eq!(verify_consistency(old, new, &old_root, &new_root, &proof), wrong);
    }

    #[test]
    fn any_numbers_and_hashes_are_answered(
        index in any::<u64>(), size in any::<u64>(), end in any::<u64>(),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70)
    ) {
        let proof: Vec<Hash> = hashes.into_iter().map(Sha256Digest).collect();
        let leaf = EMPTY_ROOT;
        prop_assert!(verify_inclusion(index, size, &leaf, &leaf, &proof).is_err());
        prop_assert!(verify_consistency(index, size, &leaf, &leaf, &proof).is_err() || index == size);
        let _ = verify_subtree_consistency((index, end), size, &leaf, &leaf, &proof);
        let _ = verify_subtree_inclusion(index, (size, end), &leaf, &leaf, &proof);
    }
}
