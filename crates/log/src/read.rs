//! Proofs and leaves from the public files of a log that this process writes.

use countersign_store::Objects;
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::{self, Hash, HashReader as _, Node};
use countersign_tlog::tile::{TILE_WIDTH, TileId};

use crate::error::LogError;
use crate::sequencer::storage_fault;
use crate::tree::Files;

/// The inclusion proof of entry `index` in the tree of `size` entries, which is `current` or before it.
pub(crate) fn inclusion(
    public: &dyn Objects,
    current: &Checkpoint,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, LogError> {
    check_range(current, index, size, index < size)?;
    let files = Files::new(public, current.size());
    let proof = merkle::inclusion_proof(index, size, &files).map_err(storage_fault)?;
    // What is given out is checked: tiles may have changed since the log was opened.
    let root = merkle::tree_root(size, &files).map_err(storage_fault)?;
    let leaf = files.node(Node { level: 0, index }).map_err(storage_fault)?;
    let good = merkle::verify_inclusion(index, size, &leaf, &root, &proof).is_ok();
    check_proof(current, size, &root, good)?;
    Ok(proof)
}

/// The consistency proof from the tree of `old` to the tree of `new` entries, which is `current` or before
/// it; empty if `old` is 0.
pub(crate) fn consistency(
    public: &dyn Objects,
    current: &Checkpoint,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, LogError> {
    check_range(current, old, new, old <= new)?;
    if old == 0 {
        return Ok(Vec::new());
    }
    let files = Files::new(public, current.size());
    let proof = merkle::consistency_proof(old, new, &files).map_err(storage_fault)?;
    let old_root = merkle::tree_root(old, &files).map_err(storage_fault)?;
    let new_root = merkle::tree_root(new, &files).map_err(storage_fault)?;
    let good = merkle::verify_consistency(old, new, &old_root, &new_root, &proof).is_ok();
    check_proof(current, new, &new_root, good)?;
    Ok(proof)
}

/// Whether the full tile over entry `index` has this leaf hash for it.
pub(crate) fn holds(public: &dyn Objects, index: u64, leaf: &Hash) -> Result<bool, LogError> {
    let width = u64::from(TILE_WIDTH);
    let number = index / width;
    let Some(id) = TileId::at(0, number, number.saturating_add(1).saturating_mul(width)) else {
        return Ok(false);
    };
    let bytes = public.get(&id.path())?;
    let from = (index % width) as usize * Hash::LEN;
    // A tile that is gone or cut is found when somebody reads it; here it only does not confirm.
    Ok(bytes.is_some_and(|bytes| bytes.get(from..from + Hash::LEN) == Some(leaf.as_bytes())))
}

fn check_range(current: &Checkpoint, from: u64, size: u64, sensible: bool) -> Result<(), LogError> {
    let held = current.size();
    if sensible && size <= held { Ok(()) } else { Err(LogError::ProofRange { from, size, held }) }
}

fn check_proof(current: &Checkpoint, size: u64, root: &Hash, good: bool) -> Result<(), LogError> {
    if good && (size != current.size() || root == current.root()) {
        return Ok(());
    }
    Err(LogError::StorageCorrupt("its tiles have changed since it was opened".to_owned()))
}
