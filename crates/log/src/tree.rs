//! Reading the stored tree, and proving it against a root: all of it, or all hash tiles and the right edge.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.

use core::num::NonZero;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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
/// Leaves below a full tile of level 1.
pub(crate) const SPAN: u64 = 65_536;
/// Threads that prove tiles side by side at most.
const MAX_PROVING: usize = 8;

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

    /// One entry, which hashes to its leaf.
    pub(crate) fn entry(&self, index: u64) -> Result<Vec<u8>, Fault> {
        let (id, bytes) = self.bundle(index / u64::from(TILE_WIDTH))?;
        let entries = decode_bundle(id, &bytes).map_err(|error| Fault::wrong(id, error.to_string()))?;
        let place = (index % u64::from(TILE_WIDTH)) as usize;
        match entries.get(place) {
            Some(entry) if leaf_hash(entry) == self.leaf(index)? => Ok((*entry).to_vec()),
            Some(_) => Err(Fault::wrong(id, format!("entry {index} does not hash to its leaf"))),
            None => Err(Fault::wrong(id, format!("it has no entry {place}"))),
        }
    }

    /// A leaf hash.
    pub(crate) fn leaf(&self, index: u64) -> Result<Hash, Fault> {
        self.node(Node { level: 0, index })
    }

    /// Shows every entry with its index, in order; each hashes to its leaf.
    pub(crate) fn for_each_entry<E: From<Fault>>(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for index in 0..self.size.div_ceil(u64::from(TILE_WIDTH)) {
            let (id, bytes) = self.bundle(index)?;
            let leaves = self.tile(id.tile())?;
            let entries =
                check_bundle(id, &bytes, &leaves).map_err(|error| Fault::wrong(id, error.to_string()))?;
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

/// How much was proven.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// Hash tiles read.
    pub(crate) tiles: u64,
    /// Entry bundles read.
    pub(crate) bundles: u64,
}

/// Proves every tile and entry bundle of a tree of `size` leaves, from its root down.
///
/// The partial tiles make the root; then each tile is checked against its hash in the tile above and each
/// bundle against its tile. So the file named in a fault is the wrong one, and not one that was compared with
/// it.
pub(crate) fn prove(objects: &dyn Objects, size: u64, root: &Hash) -> Result<Proven, Fault> {
    let files = Files::new(objects, size);
    let (_, partial_tiles) = prove_edge(&files, root)?;
    let mut prover = Prover { files, proven: Proven::default() };
    for (id, bytes) in partial_tiles.iter().rev() {
        prover.below(*id, &decode_tile(*id, bytes)?)?;
    }
    Ok(prover.proven)
}

type PartialTiles = Vec<(TileId, Vec<u8>)>;

/// Reads the partial tiles, which make the root.
fn prove_edge(files: &Files<'_>, root: &Hash) -> Result<(RightEdge, PartialTiles), Fault> {
    let partial_tiles: PartialTiles = right_edge(files.size)
        .into_iter()
        .map(|id| Ok((id, files.read(&id.path())?)))
        .collect::<Result<_, Fault>>()?;
    match load_edge(files.size, root, &partial_tiles) {
        Ok(edge) => Ok((edge, partial_tiles)),
        Err(TileError::Root { .. }) => Err(blame(files, root, &partial_tiles)),
        Err(TileError::Length { tile, .. }) => {
            Err(Fault::wrong(tile, "it does not have the length of its width"))
        }
        Err(error) => Err(Fault::wrong(CHECKPOINT, error.to_string())),
    }
}

/// What is needed to append.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The partial tiles.
    pub(crate) tiles: RightEdge,
    /// The bytes of the partial bundle; empty if the last bundle is full.
    pub(crate) bundle: Vec<u8>,
}

/// Called with the index of a first leaf and the leaf hashes from there on: [`SPAN`] of them, fewer for the
/// last ones. Not in order, and from several threads.
pub(crate) type Visit<'v> = dyn Fn(u64, Vec<Hash>) -> Result<(), StoreError> + Sync + 'v;

/// Proves every hash tile of a tree of `size` leaves, from its root down, and the last entry bundle.
///
/// Other bundles are not read: an entry is checked when it is, and `fsck` checks all.
pub(crate) fn prove_tiles(
    objects: &dyn Objects,
    size: u64,
    root: &Hash,
    visit: &Visit<'_>,
) -> Result<Edge, Fault> {
    let files = Files::new(objects, size);
    let (tiles, partial_tiles) = prove_edge(&files, root)?;
    // Tiles of level 1 with what they must hash to, from left to right.
    let mut spans = Vec::new();
    let mut last = Vec::new();
    for (id, bytes) in partial_tiles.iter().rev() {
        let hashes = decode_tile(*id, bytes)?;
        match id.level() {
            0 => last.extend(hashes),
            1 => last.extend(files.leaves_below(*id, &hashes)?),
            _ => files.spans_below(*id, &hashes, &mut spans)?,
        }
    }
    prove_spans(files, &spans, visit)?;
    let first = size - last.len() as u64;
    if !last.is_empty() {
        seen(visit(first, last))?;
    }
    let bundle = files.last_bundle()?;
    Ok(Edge { tiles, bundle })
}

/// Proves what lies below tiles of level 1, several at a time.
fn prove_spans(files: Files<'_>, spans: &[(TileId, Hash)], visit: &Visit<'_>) -> Result<(), Fault> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), (usize, Fault)> {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((id, expected)) = spans.get(place) else { return Ok(()) };
            let proven = files.proven_tile(*id, expected).and_then(|hashes| files.leaves_below(*id, &hashes));
            let visited = proven.and_then(|leaves| seen(visit(id.index() * SPAN, leaves)));
            visited.map_err(|fault| (place, fault))?;
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_PROVING).min(spans.len());
    let outcomes: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut outcomes = vec![work()];
        // A thread that panicked proved nothing.
        let lost = || (0, Fault::wrong(TILES, "the thread that proved it failed"));
        outcomes.extend(others.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(lost()))));
        outcomes
    });
    // The leftmost fault, whichever thread was first.
    match outcomes.into_iter().filter_map(Result::err).min_by_key(|(place, _)| *place) {
        Some((_, fault)) => Err(fault),
        None => Ok(()),
    }
}

/// Does the work for each item, in so many threads, and gives the results in the order of the items.
fn at_once<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, Fault> + Sync,
) -> Result<Vec<R>, Fault> {
    let all = |items: &[T]| items.iter().map(&work).collect::<Result<Vec<R>, Fault>>();
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if share >= items.len() {
        return all(items);
    }
    let parts: Vec<Result<Vec<R>, Fault>> = thread::scope(|scope| {
        let all = &all;
        let begun: Vec<_> = items
            .chunks(share)
            // Where no thread is to be had, this one does the work.
            .map(|part| thread::Builder::new().spawn_scoped(scope, move || all(part)).map_err(|_| part))
            .collect();
        let lost = || Err(Fault::wrong(TILES, "the thread that proved it failed"));
        let end = |part: Result<thread::ScopedJoinHandle<'_, _>, &[T]>| match part {
            Ok(thread) => thread.join().unwrap_or_else(|_| lost()),
            Err(part) => all(part),
        };
        begun.into_iter().map(end).collect()
    });
    Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn seen(visited: Result<(), StoreError>) -> Result<(), Fault> {
    visited.map_err(|error| Fault { path: String::new(), kind: FaultKind::Store(error) })
}

impl Files<'_> {
    /// A tile that hashes to `expected`.
    fn proven_tile(&self, id: TileId, expected: &Hash) -> Result<Vec<Hash>, Fault> {
        let hashes = self.tile(id)?;
        if root_of_leaves(&hashes) == *expected {
            return Ok(hashes);
        }
        Err(Fault::wrong(id, "it does not hash to its place in the tile above"))
    }

    /// The tiles below one whose hashes are proven, with the hashes that they must have.
    fn children<'h>(
        &self,
        id: TileId,
        hashes: &'h [Hash],
    ) -> impl Iterator<Item = Result<(TileId, &'h Hash), Fault>> {
        let size = self.size;
        (id.index() * u64::from(TILE_WIDTH)..).zip(hashes).map(move |(index, expected)| {
            let child = id.level().checked_sub(1).and_then(|level| TileId::at(level, index, size));
            let child =
                child.ok_or_else(|| Fault::wrong(id, "it has more hashes than the tree has tiles"))?;
            Ok((child, expected))
        })
    }

    /// The leaf hashes below a tile of level 1 whose hashes are proven.
    fn leaves_below(&self, id: TileId, hashes: &[Hash]) -> Result<Vec<Hash>, Fault> {
        let children: Vec<_> = self.children(id, hashes).collect::<Result<_, _>>()?;
        let proven = at_once(self.objects.at_once(), &children, |(child, expected)| {
            self.proven_tile(*child, expected)
        })?;
        Ok(proven.concat())
    }

    /// The tiles of level 1 below a tile of level 2 or more whose hashes are proven. At most 8 deep: a level
    /// each.
    fn spans_below(&self, id: TileId, hashes: &[Hash], spans: &mut Vec<(TileId, Hash)>) -> Result<(), Fault> {
        for child in self.children(id, hashes) {
            let (child, expected) = child?;
            if child.level() == 1 {
                spans.push((child, *expected));
            } else {
                let hashes = self.proven_tile(child, expected)?;
                self.spans_below(child, &hashes, spans)?;
            }
        }
        Ok(())
    }

    /// Checks the last bundle against its tile, which is proven; returns its bytes if it is partial.
    fn last_bundle(&self) -> Result<Vec<u8>, Fault> {
        let Some(last) = self.size.checked_sub(1) else { return Ok(Vec::new()) };
        let (id, bytes) = self.bundle(last / u64::from(TILE_WIDTH))?;
        let leaves = self.tile(id.tile())?;
        check_bundle(id, &bytes, &leaves).map_err(|error| Fault::wrong(id, error.to_string()))?;
        Ok(if id.is_full() { Vec::new() } else { bytes })
    }
}

fn load_edge(size: u64, root: &Hash, tiles: &[(TileId, Vec<u8>)]) -> Result<RightEdge, TileError> {
    RightEdge::load(size, root, |want| {
        tiles.iter().find(|(id, _)| *id == want).map(|(_, bytes)| bytes.clone())
    })
}

struct Prover<'a> {
    files: Files<'a>,
    proven: Proven,
}

impl Prover<'_> {
    /// All that lies below a tile whose hashes are proven. At most 8 deep: a tile level each.
    fn below(&mut self, id: TileId, hashes: &[Hash]) -> Result<(), Fault> {
        self.proven.tiles += 1;
        if id.level() == 0 {
            return self.bundle(id.index(), hashes);
        }
        let files = self.files;
        for child in files.children(id, hashes) {
            let (child, expected) = child?;
            let hashes = files.proven_tile(child, expected)?;
            self.below(child, &hashes)?;
        }
        Ok(())
    }

    /// An entry bundle.
    fn bundle(&mut self, index: u64, hashes: &[Hash]) -> Result<(), Fault> {
        let (id, bytes) = self.files.bundle(index)?;
        check_bundle(id, &bytes, hashes).map_err(|error| Fault::wrong(id, error.to_string()))?;
        self.proven.bundles += 1;
        Ok(())
    }
}

/// Which of the partial tiles, that together do not make the root, is the wrong one: the one that differs
/// from what lies below it, and makes the root when put right.
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
