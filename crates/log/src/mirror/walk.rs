//! Every entry of a log from a source, proven, in order: for what is built from entries.

use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::{CompactRange, Hash, HashReader as _};
use countersign_tlog::tile::{TILE_WIDTH, TileError, TileSet, decode_bundle, needed_for_consistency};

use super::MirrorError;
use super::descent::{Descent, blame};
use super::source::{self, Source, encode_tile};

/// Consecutive entries, each of which belongs to the tree.
#[derive(Debug)]
pub struct Proven<'b> {
    /// Index of the first.
    pub first: u64,
    /// Their leaf hashes.
    pub leaves: &'b [Hash],
    /// Their bytes.
    pub entries: &'b [&'b [u8]],
}

/// Shows every entry of the checkpoint's tree from index `from` on to `visit`, in order, at most 256 at a
/// time.
///
/// Nothing is shown that does not hash to the checkpoint's root. The checkpoint must be trusted
/// ([`trusted_checkpoint`](super::trusted_checkpoint)).
///
/// # Errors
/// `log-tile-missing`, `log-tile-mismatch` naming the file, the source's, and what `visit` says.
pub fn walk<E: From<MirrorError>>(
    source: &dyn Source,
    tree: &Checkpoint,
    from: u64,
    mut visit: impl FnMut(Proven<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut descent = Descent::new(source, tree.size(), tree.root())?;
    for number in from / u64::from(TILE_WIDTH)..descent.bundles() {
        let (id, expected) = descent.expected(number)?;
        descent.take_fresh();
        let bytes = source::bundle(source, id)?;
        let checked = expected.check(id, &bytes).map_err(MirrorError::from)?;
        let leaves = checked.ok_or_else(|| blame(source, id, &bytes, &expected))?;
        let entries = decode_bundle(id, &bytes).map_err(MirrorError::from)?;
        let skip = usize::try_from(from.saturating_sub(id.first_leaf())).unwrap_or(0);
        if let (Some(leaves), Some(entries)) = (leaves.get(skip..), entries.get(skip..)) {
            visit(Proven { first: id.first_leaf() + skip as u64, leaves, entries })?;
        }
    }
    Ok(())
}

/// The first `size` leaves of the checkpoint's tree, to append the next ones to; by tiles that are proven.
///
/// # Errors
/// As [`walk`].
pub fn range_at(source: &dyn Source, tree: &Checkpoint, size: u64) -> Result<CompactRange, MirrorError> {
    let tiles = tiles_for(source, tree, size)?;
    let nodes = CompactRange::nodes(size).into_iter();
    let subtrees = nodes.map(|node| tiles.node(node)).collect::<Result<Vec<Hash>, TileError>>()?;
    CompactRange::from_subtrees(size, subtrees).map_err(|error| MirrorError::Tile(error.into()))
}

/// The tiles that tell how the checkpoint's tree goes on from its first `size` leaves.
pub(super) fn tiles_for(source: &dyn Source, tree: &Checkpoint, size: u64) -> Result<TileSet, MirrorError> {
    let needed =
        needed_for_consistency(size, tree.size()).map_err(|error| MirrorError::Tile(error.into()))?;
    let mut tiles = std::collections::BTreeMap::new();
    for id in needed {
        tiles.insert(id, encode_tile(&source::tile(source, id)?));
    }
    Ok(TileSet::verified(tree.size(), tree.root(), &tiles)?)
}
