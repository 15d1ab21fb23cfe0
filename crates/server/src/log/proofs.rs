//! Inclusion proofs in published trees, from tiles that are kept in memory with all their inner hashes.
//!
//! Those who wait for one checkpoint want proofs of its latest entries, so a few tiles serve all of them. Nothing is
//! believed of a tile: whoever gives a proof out verifies it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_store::{Objects, StoreError};
use countersign_tlog::merkle::{self, Hash, HashReader, MerkleError, Node, node_hash};
use countersign_tlog::tile::{TileId, tile_for_node};

/// Tiles that are kept: 16 KiB each.
const MAX_TILES: usize = 512;

/// Tiles of one log.
#[derive(Debug)]
pub(crate) struct Proofs {
    public: Arc<dyn Objects>,
    kept: Mutex<Kept>,
    /// Held by who reads tiles, so that those who want the same ones find them.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    tiles: HashMap<TileId, Arc<Tile>>,
    /// From the first that goes to the last.
    order: VecDeque<TileId>,
}

/// Every hash of a tile: its own, then of each pair, and so on.
#[derive(Debug)]
struct Tile(Vec<Vec<Hash>>);

/// Why there is no proof.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// A tile is not in memory.
    Absent,
    /// A tile cannot be read, or is not there.
    Unreadable,
    /// There is no such entry in the tree.
    Range,
}

impl From<MerkleError> for Unproven {
    fn from(_: MerkleError) -> Self {
        Self::Range
    }
}

impl From<StoreError> for Unproven {
    fn from(_: StoreError) -> Self {
        Self::Unreadable
    }
}

impl Proofs {
    pub(crate) fn new(public: Arc<dyn Objects>) -> Self {
        Self { public, kept: Mutex::default(), reading: Mutex::default() }
    }

    /// The proof of an entry in the tree of `size` entries, if its tiles are in memory. Never blocks.
    pub(crate) fn at_hand(&self, index: u64, size: u64) -> Result<Vec<Hash>, Unproven> {
        merkle::inclusion_proof(index, size, &Reader { proofs: self, size, reads: false })
    }

    /// The same, reading what is not in memory. Blocks.
    pub(crate) fn read(&self, index: u64, size: u64) -> Result<Vec<Hash>, Unproven> {
        let _turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        merkle::inclusion_proof(index, size, &Reader { proofs: self, size, reads: true })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tile(&self, id: TileId, reads: bool) -> Result<Arc<Tile>, Unproven> {
        if let Some(tile) = self.kept().tiles.get(&id) {
            return Ok(Arc::clone(tile));
        }
        if !reads {
            return Err(Unproven::Absent);
        }
        let found = match self.public.get(&id.path())? {
            // A partial tile may be gone when the full one is there.
            None if !id.is_full() => self.public.get(&id.full().path())?,
            other => other,
        };
        let bytes = found.ok_or(Unproven::Unreadable)?;
        let bytes = bytes.get(..usize::from(id.width()) * Hash::LEN).ok_or(Unproven::Unreadable)?;
        let tile = Arc::new(Tile::new(bytes));
        let mut kept = self.kept();
        if kept.tiles.insert(id, Arc::clone(&tile)).is_none() {
            kept.order.push_back(id);
        }
        while kept.order.len() > MAX_TILES {
            if let Some(oldest) = kept.order.pop_front() {
                kept.tiles.remove(&oldest);
            }
        }
        Ok(tile)
    }
}

impl Tile {
    fn new(bytes: &[u8]) -> Self {
        let hash = |bytes: &[u8]| {
            let mut hash = [0; Hash::LEN];
            hash.copy_from_slice(bytes);
            countersign_base::Sha256Digest(hash)
        };
        let mut levels = vec![bytes.chunks_exact(Hash::LEN).map(hash).collect::<Vec<_>>()];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            // What has no sibling yet has no hash above it.
            let above = last.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        Self(levels)
    }
}

struct Reader<'a> {
    proofs: &'a Proofs,
    size: u64,
    reads: bool,
}

impl HashReader for Reader<'_> {
    type Error = Unproven;

    fn node(&self, node: Node) -> Result<Hash, Unproven> {
        let id = tile_for_node(node, self.size).ok_or(Unproven::Range)?;
        let tile = self.proofs.tile(id, self.reads)?;
        let height = node.level % 8;
        let place = (node.index % (1 << (8 - height))) as usize;
        tile.0.get(usize::from(height)).and_then(|level| level.get(place)).copied().ok_or(Unproven::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_store::Dir;
    use countersign_testkit::sim::log::SimLog;

    #[test]
    fn every_proof_is_the_tree_s_and_the_second_one_reads_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for size in [1u64, 2, 3, 255, 256, 257, 600] {
            let entries = (0..size).map(|number| number.to_string().into_bytes()).collect();
            let log = SimLog { origin: "log.example".to_owned(), entries };
            let public = Dir::open(&folder.path().join(size.to_string())).unwrap();
            for (path, bytes) in log.tiles(size) {
                public.put_if_absent(&path, &bytes).unwrap();
            }
            let proofs = Proofs::new(Arc::new(public));
            assert!(size == 1 || matches!(proofs.at_hand(0, size), Err(Unproven::Absent)));
            for index in (0..size).step_by(7) {
                let want = log.inclusion(index, size);
                assert_eq!(proofs.read(index, size).unwrap(), want, "{index} of {size}");
                assert_eq!(proofs.at_hand(index, size).unwrap(), want);
            }
            assert!(matches!(proofs.read(size, size), Err(Unproven::Range)));
        }
    }

    #[test]
    fn memory_is_bounded_and_a_missing_tile_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let proofs = Proofs::new(Arc::new(Dir::open(folder.path()).unwrap()));
        assert!(matches!(proofs.read(0, 2), Err(Unproven::Unreadable)));
        for number in 0..2 * MAX_TILES as u64 {
            let id = TileId::at(0, number, 1 << 20).unwrap();
            // Not by `put_if_absent`: so many syncs would take minutes on some disks.
            let path = folder.path().join(id.path());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, [7; 8192]).unwrap();
            proofs.tile(id, true).unwrap();
        }
        let kept = proofs.kept();
        assert_eq!((kept.tiles.len(), kept.order.len()), (MAX_TILES, MAX_TILES));
    }
}
