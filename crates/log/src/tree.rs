//! Reading the stored tree, and proving all of it against a root.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.

use countersign_base::Sha256Digest;
use countersign_store::{Objects, StoreError};
use countersign_tlog::merkle::{Hash, HashReader, MerkleError, Node, leaf_hash, root_of_leaves};
use countersign_tlog::tile::{
    BundleId, RightEdge, TILE_WIDTH, TileError, TileId, check_bundle, decode_bundle, right_edge,
    tile_for_node,
};

/// The public checkpoint's name.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The folder of all tiles and bundles.
pub(crate) const TILES: &str = "tile";

/// A file of the tree that is not as it must be.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Its name below the public folder.
    pub(crate) path: String,
    pub(crate) kind: FaultKind,
}

#[derive(Debug)]
pub(crate) enum FaultKind {
    Missing,
    /// How it differs.
    Wrong(String),
    Store(StoreError),
    /// The question makes no sense; carries the reason.
    Range(MerkleError),
}

impl From<MerkleError> for Fault {
    fn from(error: MerkleError) -> Self {
        Self { path: String::new(), kind: FaultKind::Range(error) }
    }
}

impl Fault {
    pub(crate) fn wrong(path: impl ToString, what: impl Into<String>) -> Self {
        Self { path: path.to_string(), kind: FaultKind::Wrong(what.into()) }
    }
}

/// The files of a tree of `size` leaves. Nothing read is verified by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    objects: &'a dyn Objects,
    size: u64,
}

impl<'a> Files<'a> {
    pub(crate) fn new(objects: &'a dyn Objects, size: u64) -> Self {
        Self { objects, size }
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Fault> {
        let kind = match self.objects.get(path) {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => FaultKind::Missing,
            Err(error) => FaultKind::Store(error),
        };
        Err(Fault { path: path.to_owned(), kind })
    }

    /// The hashes of a tile.
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, Fault> {
        decode_tile(id, &self.read(&id.path())?)
    }

    /// The bundle with this number and its bytes.
    pub(crate) fn bundle(&self, index: u64) -> Result<(BundleId, Vec<u8>), Fault> {
        let id = BundleId::at(index, self.size).ok_or(MerkleError::IndexOutOfTree {
            index: index.saturating_mul(u64::from(TILE_WIDTH)),
            size: self.size,
        })?;
        Ok((id, self.read(&id.path())?))
    }

    /// One entry.
    pub(crate) fn entry(&self, index: u64) -> Result<Vec<u8>, Fault> {
        let (id, bytes) = self.bundle(index / u64::from(TILE_WIDTH))?;
        let entries = decode_bundle(id, &bytes).map_err(|error| Fault::wrong(id, error.to_string()))?;
        let place = (index % u64::from(TILE_WIDTH)) as usize;
        match entries.get(place) {
            Some(entry) => Ok((*entry).to_vec()),
            None => Err(Fault::wrong(id, format!("it has no entry {place}"))),
        }
    }

    /// Shows every entry with its index, in order.
    pub(crate) fn for_each_entry<E: From<Fault>>(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for index in 0..self.size.div_ceil(u64::from(TILE_WIDTH)) {
            let (id, bytes) = self.bundle(index)?;
            let entries = decode_bundle(id, &bytes).map_err(|error| Fault::wrong(id, error.to_string()))?;
            for (index, entry) in (id.first_leaf()..).zip(entries) {
                visit(index, entry)?;
            }
        }
        Ok(())
    }
}

impl HashReader for Files<'_> {
    type Error = Fault;

    fn node(&self, node: Node) -> Result<Hash, Fault> {
        let outside = || MerkleError::IndexOutOfTree { index: node.index, size: self.size };
        let id = tile_for_node(node, self.size).ok_or_else(outside)?;
        let hashes = self.tile(id)?;
        let width = 1 << (node.level % 8);
        let from = (node.index << (node.level % 8)) as usize % usize::from(TILE_WIDTH);
        Ok(root_of_leaves(hashes.get(from..from + width).ok_or_else(outside)?))
    }
}

fn decode_tile(id: TileId, bytes: &[u8]) -> Result<Vec<Hash>, Fault> {
    match bytes.as_chunks() {
        (hashes, []) if hashes.len() == usize::from(id.width()) => {
            Ok(hashes.iter().copied().map(Sha256Digest).collect())
        }
        _ => Err(Fault::wrong(id, format!("it has {} bytes instead of {} hashes", bytes.len(), id.width()))),
    }
}

/// What was proven, and what is needed to append.
#[derive(Debug)]
pub(crate) struct Proven {
    /// The partial tiles.
    pub(crate) edge: RightEdge,
    /// The bytes of the partial bundle; empty if the last bundle is full.
    pub(crate) partial: Vec<u8>,
    /// Hash tiles read.
    pub(crate) tiles: u64,
    /// Entry bundles read.
    pub(crate) bundles: u64,
}

/// Called with the leaf hashes of each bundle, in order.
pub(crate) type Visit<'v> = dyn FnMut(BundleId, &[Hash]) + 'v;

/// Proves every tile and entry bundle of a tree of `size` leaves, from its root down.
///
/// The partial tiles make the root; then each tile is checked against its hash in the tile above and each bundle
/// against its tile. So the file named in a fault is the wrong one, and not one that was compared with it.
pub(crate) fn prove(
    objects: &dyn Objects,
    size: u64,
    root: &Hash,
    visit: &mut Visit<'_>,
) -> Result<Proven, Fault> {
    let files = Files::new(objects, size);
    let partial_tiles: Vec<(TileId, Vec<u8>)> = right_edge(size)
        .into_iter()
        .map(|id| Ok((id, files.read(&id.path())?)))
        .collect::<Result<_, Fault>>()?;
    let edge = match load_edge(size, root, &partial_tiles) {
        Ok(edge) => edge,
        Err(TileError::Root { .. }) => return Err(blame(&files, root, &partial_tiles)),
        Err(TileError::Length { tile, .. }) => {
            return Err(Fault::wrong(tile, "it does not have the length of its width"));
        }
        Err(error) => return Err(Fault::wrong(CHECKPOINT, error.to_string())),
    };
    let proven = Proven { edge, partial: Vec::new(), tiles: 0, bundles: 0 };
    let mut prover = Prover { files, visit, proven };
    for (id, bytes) in partial_tiles.iter().rev() {
        let hashes = decode_tile(*id, bytes)?;
        prover.proven.partial = prover.below(*id, &hashes)?;
    }
    Ok(prover.proven)
}

fn load_edge(size: u64, root: &Hash, tiles: &[(TileId, Vec<u8>)]) -> Result<RightEdge, TileError> {
    RightEdge::load(size, root, |want| {
        tiles.iter().find(|(id, _)| *id == want).map(|(_, bytes)| bytes.clone())
    })
}

struct Prover<'a, 'v> {
    files: Files<'a>,
    visit: &'a mut Visit<'v>,
    proven: Proven,
}

impl Prover<'_, '_> {
    /// All that lies below a tile whose hashes are proven. At most 8 deep: a tile level each. Returns the bytes of
    /// the partial bundle if that is what lies there.
    fn below(&mut self, id: TileId, hashes: &[Hash]) -> Result<Vec<u8>, Fault> {
        self.proven.tiles += 1;
        let Some(level) = id.level().checked_sub(1) else {
            let bytes = self.bundle(id.index(), hashes)?;
            return Ok(if id.is_full() { Vec::new() } else { bytes });
        };
        for (index, expected) in (id.index() * u64::from(TILE_WIDTH)..).zip(hashes) {
            let outside = || Fault::wrong(id, "it has more hashes than the tree has tiles");
            let child = TileId::at(level, index, self.files.size).ok_or_else(outside)?;
            let child_hashes = self.files.tile(child)?;
            if root_of_leaves(&child_hashes) != *expected {
                return Err(Fault::wrong(child, "it does not hash to its place in the tile above"));
            }
            self.below(child, &child_hashes)?;
        }
        Ok(Vec::new())
    }

    /// An entry bundle; returns its bytes.
    fn bundle(&mut self, index: u64, hashes: &[Hash]) -> Result<Vec<u8>, Fault> {
        let (id, bytes) = self.files.bundle(index)?;
        check_bundle(id, &bytes, hashes).map_err(|error| Fault::wrong(id, error.to_string()))?;
        self.proven.bundles += 1;
        (self.visit)(id, hashes);
        Ok(bytes)
    }
}

/// Which of the partial tiles, that together do not make the root, is the wrong one: the one that differs from
/// what lies below it, and makes the root when put right.
fn blame(files: &Files<'_>, root: &Hash, stored: &[(TileId, Vec<u8>)]) -> Fault {
    let mut suspect = None;
    for (place, (id, bytes)) in stored.iter().enumerate() {
        let derived = match derive(files, *id) {
            Ok(derived) => derived,
            Err(fault) => return fault,
        };
        if derived == *bytes {
            continue;
        }
        let mut mended = stored.to_vec();
        mended[place].1 = derived;
        if load_edge(files.size, root, &mended).is_ok() {
            return Fault::wrong(id, "it does not hash to the checkpoint's root");
        }
        suspect = suspect.or(Some(*id));
    }
    match suspect {
        Some(id) => {
            Fault::wrong(id, "it differs from what lies below it, and neither makes the checkpoint's root")
        }
        None => Fault::wrong(CHECKPOINT, "its root is not that of the tiles"),
    }
}

/// The bytes of a partial tile from the files below it.
fn derive(files: &Files<'_>, id: TileId) -> Result<Vec<u8>, Fault> {
    let hashes: Vec<Hash> = match id.level().checked_sub(1) {
        None => {
            let (bundle, bytes) = files.bundle(id.index())?;
            let entries =
                decode_bundle(bundle, &bytes).map_err(|error| Fault::wrong(bundle, error.to_string()))?;
            entries.into_iter().map(leaf_hash).collect()
        }
        Some(level) => {
            let first = id.index() * u64::from(TILE_WIDTH);
            let children = (first..).take(id.width().into());
            children
                .filter_map(|index| TileId::at(level, index, files.size))
                .map(|child| Ok(root_of_leaves(&files.tile(child)?)))
                .collect::<Result<_, Fault>>()?
        }
    };
    Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
}
