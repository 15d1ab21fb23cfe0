//! Which hashes a damaged tile may have had, from what lies below it.
//!
//! What a tile's children say is read at two depths: from their own files, and, if that does not make the
//! wanted hash, from the entries at the bottom. Where the two differ, both are tried, up to [`MAX_TRIED`]
//! ways together.

use std::collections::BTreeMap;

use countersign_base::Sha256Digest;
use countersign_tlog::merkle::{Hash, leaf_hash, root_of_leaves};
use countersign_tlog::tile::{BundleId, RightEdge, TILE_WIDTH, TileId, decode_bundle, right_edge};

use super::{Made, Repair};
use crate::mirror::MirrorError;
use crate::mirror::source::{self, encode_tile};

/// Combinations of doubtful hashes that are tried for one tile, or for the right edge.
const MAX_TRIED: usize = 1024;

/// Hashes that a tile may have, and what they were made from.
pub(super) type Choice = (Vec<Hash>, Made);

impl Repair<'_> {
    /// The partial tiles that make the signed root; `None` if none that can be had do.
    pub(super) fn edge(&self) -> Result<Option<BTreeMap<TileId, Choice>>, MirrorError> {
        let tiles = right_edge(self.tree.size());
        for deep in [false, true] {
            let mut options = Vec::new();
            for id in &tiles {
                options.push(self.options(*id, deep)?);
            }
            let makes_root = |chosen: &[&Choice]| {
                let read = |want| {
                    let at = tiles.iter().position(|id| *id == want)?;
                    Some(encode_tile(&chosen.get(at)?.0))
                };
                RightEdge::load(self.tree.size(), self.tree.root(), read).is_ok()
            };
            if let Some(chosen) = first_that(&options, makes_root) {
                return Ok(Some(tiles.iter().copied().zip(chosen.into_iter().cloned()).collect()));
            }
        }
        Ok(None)
    }

    /// What a tile may be, the stored file first. `deep`: also from entries instead of the tiles of level 0.
    pub(super) fn options(&self, id: TileId, deep: bool) -> Result<Vec<Choice>, MirrorError> {
        let mut options: Vec<Choice> = Vec::new();
        let mut add = |hashes: Vec<Hash>, from| {
            if hashes.len() == usize::from(id.width()) && options.iter().all(|(held, _)| *held != hashes) {
                options.push((hashes, from));
            }
        };
        if let Some(hashes) = self.stored_tile(id)? {
            add(hashes, Made::Log);
        }
        if let Some(mut hashes) = if id.is_full() { None } else { self.stored_tile(id.full())? } {
            hashes.truncate(id.width().into());
            add(hashes, Made::Log);
        }
        if id.level() == 0 {
            for hashes in self.leaves(id)? {
                add(hashes, Made::Log);
            }
        } else {
            for hashes in self.made_of_children(id, deep)? {
                add(hashes, Made::Log);
            }
        }
        if let Some(source) = self.help.source
            && let Ok(hashes) = source::tile(source, id)
        {
            add(hashes, Made::Source);
        }
        Ok(options)
    }

    /// The stored tile, if it has the length of its width.
    pub(super) fn stored_tile(&self, id: TileId) -> Result<Option<Vec<Hash>>, MirrorError> {
        let Some(bytes) = self.read(&id.path())? else { return Ok(None) };
        Ok(match bytes.as_chunks() {
            (hashes, []) if hashes.len() == usize::from(id.width()) => {
                Some(hashes.iter().copied().map(Sha256Digest).collect())
            }
            _ => None,
        })
    }

    /// The leaf hashes that the stored bundle makes, and those that the offered entries do.
    fn leaves(&self, tile: TileId) -> Result<Vec<Vec<Hash>>, MirrorError> {
        let mut found = Vec::new();
        if let Some(id) = BundleId::at(tile.index(), self.tree.size()).filter(|id| id.tile() == tile)
            && let Some(bytes) = self.read(&id.path())?
            && let Ok(entries) = decode_bundle(id, &bytes)
        {
            found.push(entries.into_iter().map(leaf_hash).collect());
        }
        let first = tile.index() * u64::from(TILE_WIDTH);
        let offered = (first..first + u64::from(tile.width()))
            .map(|index| Some(leaf_hash(self.help.entries.get(&index)?.first()?)))
            .collect::<Option<Vec<Hash>>>();
        found.extend(offered);
        Ok(found)
    }

    /// The hashes of a tile above level 0 as its children make them.
    fn made_of_children(&self, id: TileId, deep: bool) -> Result<Vec<Vec<Hash>>, MirrorError> {
        let Some(level) = id.level().checked_sub(1) else { return Ok(Vec::new()) };
        let mut slots = Vec::with_capacity(id.width().into());
        let first = id.index() * u64::from(TILE_WIDTH);
        for index in first..first + u64::from(id.width()) {
            let Some(child) = TileId::at(level, index, self.tree.size()) else { return Ok(Vec::new()) };
            let stored = self.stored_tile(child)?.map(|hashes| root_of_leaves(&hashes));
            let mut hashes: Vec<Hash> = stored.into_iter().collect();
            if deep || hashes.is_empty() {
                for (made, _) in self.options(child, deep)? {
                    let hash = root_of_leaves(&made);
                    if !hashes.contains(&hash) {
                        hashes.push(hash);
                    }
                }
            }
            slots.push(hashes);
        }
        let mut found = Vec::new();
        // Every combination is an option; which is right, the caller's hash tells.
        let collect = |chosen: &[&Hash]| {
            found.push(chosen.iter().map(|hash| **hash).collect());
            false
        };
        first_that(&slots, collect);
        Ok(found)
    }
}

/// Tries one of each, the first ones first, until `good`; at most [`MAX_TRIED`] times.
fn first_that<'o, T>(options: &'o [Vec<T>], mut good: impl FnMut(&[&'o T]) -> bool) -> Option<Vec<&'o T>> {
    let mut places = vec![0; options.len()];
    for _ in 0..MAX_TRIED {
        let chosen: Option<Vec<&T>> = options.iter().zip(&places).map(|(some, at)| some.get(*at)).collect();
        let chosen = chosen?;
        if good(&chosen) {
            return Some(chosen);
        }
        // Counts up, with a digit for each of the options.
        let next = options.iter().zip(&places).position(|(some, at)| at + 1 < some.len())?;
        places[next] += 1;
        places[..next].fill(0);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_tried_once_and_the_first_ones_first() {
        let options = [vec![1, 2], vec![3], vec![4, 5, 6]];
        let mut tried = Vec::new();
        let found = first_that(&options, |chosen| {
            tried.push(chosen.iter().map(|one| **one).collect::<Vec<_>>());
            false
        });
        assert_eq!(found, None);
        assert_eq!(tried[0], [1, 3, 4]);
        tried.sort();
        tried.dedup();
        assert_eq!(tried.len(), 6);
        assert_eq!(first_that(&options, |chosen| *chosen[2] == 5), Some(vec![&1, &3, &5]));
        assert_eq!(first_that(&[vec![1], vec![]], |_| true), None);
        assert_eq!(first_that::<u8>(&[], |_| true), Some(vec![]));
    }
}
