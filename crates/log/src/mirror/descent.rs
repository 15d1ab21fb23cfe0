//! From a root down to what each entry bundle must hash to, reading as few tiles as that takes.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.
//! The partial tiles make the root. A full tile is checked against its place in the tile above before a hash
//! of it is used. One full tile a level is kept, so a walk from left to right reads each tile once, in
//! constant memory. Tiles of level 0 are not read where their bundle is full: the bundle's entries make them.

use std::collections::BTreeMap;

use countersign_tlog::merkle::{Hash, leaf_hash, root_of_leaves};
use countersign_tlog::tile::{BundleId, RightEdge, TILE_WIDTH, TileError, TileId, check_bundle, right_edge};

use super::MirrorError;
use super::source::{self, Source, encode_tile};

/// What an entry bundle must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The hash of the full tile that its leaves make.
    Tile(Hash),
    /// The hashes of its leaves, where it is partial.
    Leaves(Vec<Hash>),
}

impl Expected {
    /// The leaf hashes of a bundle's entries, if they are the expected ones; else `None`.
    ///
    /// # Errors
    /// It is not a bundle of that width.
    pub(crate) fn check(&self, id: BundleId, bytes: &[u8]) -> Result<Option<Vec<Hash>>, TileError> {
        let entries = countersign_tlog::tile::decode_bundle(id, bytes)?;
        let leaves: Vec<Hash> = entries.into_iter().map(leaf_hash).collect();
        let good = match self {
            Self::Tile(hash) => root_of_leaves(&leaves) == *hash,
            Self::Leaves(hashes) => leaves == *hashes,
        };
        Ok(good.then_some(leaves))
    }
}

/// A tree under a trusted root, read from a source that is not trusted.
pub(crate) struct Descent<'s> {
    source: &'s dyn Source,
    size: u64,
    /// The partial tiles.
    edge: BTreeMap<TileId, Vec<Hash>>,
    /// The full tile read last on each level.
    last: BTreeMap<u8, (TileId, Vec<Hash>)>,
    /// Full tiles read and proven since they were last asked for.
    fresh: Vec<(TileId, Vec<Hash>)>,
}

impl<'s> Descent<'s> {
    /// Reads the partial tiles and proves them.
    ///
    /// # Errors
    /// `log-tile-missing`, `log-tile-mismatch`, or the source's.
    pub(crate) fn new(source: &'s dyn Source, size: u64, root: &Hash) -> Result<Self, MirrorError> {
        let mut edge = BTreeMap::new();
        for id in right_edge(size) {
            edge.insert(id, source::tile(source, id)?);
        }
        RightEdge::load(size, root, |id| edge.get(&id).map(|hashes| encode_tile(hashes)))?;
        Ok(Self { source, size, edge, last: BTreeMap::new(), fresh: Vec::new() })
    }

    /// The partial tiles.
    pub(crate) const fn edge(&self) -> &BTreeMap<TileId, Vec<Hash>> {
        &self.edge
    }

    /// Full tiles that were proven since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<(TileId, Vec<Hash>)> {
        core::mem::take(&mut self.fresh)
    }

    /// Number of bundles of the tree.
    pub(crate) const fn bundles(&self) -> u64 {
        self.size.div_ceil(TILE_WIDTH as u64)
    }

    /// The bundle with this number, which must be less than [`Descent::bundles`], and what it must be.
    pub(crate) fn expected(&mut self, index: u64) -> Result<(BundleId, Expected), MirrorError> {
        let id = BundleId::at(index, self.size).ok_or(TileError::Merkle(
            countersign_tlog::merkle::MerkleError::IndexOutOfTree {
                index: index.saturating_mul(u64::from(TILE_WIDTH)),
                size: self.size,
            },
        ))?;
        match self.edge.get(&id.tile()) {
            Some(hashes) => Ok((id, Expected::Leaves(hashes.clone()))),
            None => Ok((id, Expected::Tile(self.hash_of(id.tile())?))),
        }
    }

    /// The hash of a full tile, by the tile above it.
    pub(crate) fn hash_of(&mut self, id: TileId) -> Result<Hash, MirrorError> {
        let outside = TileError::NotInTree { tile: id, size: self.size };
        let above = TileId::at(id.level() + 1, id.index() / u64::from(TILE_WIDTH), self.size);
        let above = above.ok_or_else(|| outside.clone())?;
        let place = (id.index() % u64::from(TILE_WIDTH)) as usize;
        Ok(*self.tile(above)?.get(place).ok_or(outside)?)
    }

    /// The hashes of a tile of the tree. At most 8 deep: a level each.
    pub(crate) fn tile(&mut self, id: TileId) -> Result<&[Hash], MirrorError> {
        if !id.is_full() {
            let hashes = self.edge.get(&id).ok_or(TileError::NotInTree { tile: id, size: self.size })?;
            return Ok(hashes);
        }
        if self.last.get(&id.level()).is_none_or(|(last, _)| *last != id) {
            let expected = self.hash_of(id)?;
            let hashes = source::tile(self.source, id)?;
            if root_of_leaves(&hashes) != expected {
                return Err(TileError::Mismatch { tile: id }.into());
            }
            self.fresh.push((id, hashes.clone()));
            self.last.insert(id.level(), (id, hashes));
        }
        Ok(self.last.get(&id.level()).map_or(&[], |(_, hashes)| hashes))
    }
}

/// Which file is wrong where a source's bundle is not the expected one: the bundle, unless its tile is wrong
/// as well.
pub(crate) fn blame(source: &dyn Source, id: BundleId, bytes: &[u8], expected: &Expected) -> MirrorError {
    let leaves = match expected {
        Expected::Leaves(hashes) => hashes.clone(),
        Expected::Tile(hash) => match source::tile(source, id.tile()) {
            Ok(hashes) if root_of_leaves(&hashes) == *hash => hashes,
            // The tile cannot tell which entry it is.
            _ => return MirrorError::Bundle { bundle: id },
        },
    };
    match check_bundle(id, bytes, &leaves) {
        Err(error) => error.into(),
        Ok(_) => MirrorError::Bundle { bundle: id },
    }
}
