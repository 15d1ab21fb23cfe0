//! Coordinates of tiles and bundles, their paths, and which of them a task needs.
//!
//! Only canonical paths parse: `parse(p)?.to_string() == p`.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use super::{TILE_WIDTH, TileError};
use crate::merkle::{MAX_TREE_SIZE, MerkleError, Node, Span, consistency_spans, inclusion_spans};
use crate::text::{decimal, excerpt};

/// Highest level in a path.
const MAX_LEVEL: u8 = 63;

/// Longest path: `tile/entries/`, seven elements of a 63-bit index, `.p/255`.
const MAX_PATH_BYTES: usize = 64;

/// A tile: `width` hashes of height `8 * level`, from number `256 * index` on.
///
/// Displays as its path below the log's prefix: `tile/0/x001/x234/067.p/112`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

/// An entry bundle: `width` entries from leaf `256 * index` on. Displays as its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

impl TileId {
    /// The tile at this place in a tree of `size` leaves, full or partial; `None` if it has no hash there.
    pub fn at(level: u8, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let hashes = hashes_at(level, size).checked_sub(before).filter(|hashes| *hashes > 0)?;
        Some(Self { level, index, width: hashes.min(u64::from(TILE_WIDTH)) as u16 })
    }

    /// Height above the leaves, in tiles.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Number from the left within the level.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Hashes in it, 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never change.
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place, which a server may have in place of a partial one.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// The path below the log's prefix.
    pub fn path(self) -> String {
        self.to_string()
    }

    /// The tile one level up that has this one's hash, in a tree of `size` leaves.
    pub(super) fn parent(self, size: u64) -> Option<Self> {
        Self::at(self.level + 1, self.index / u64::from(TILE_WIDTH), size)
    }
}

impl BundleId {
    /// The bundle with this number in a log of `size` entries, full or partial; `None` if it has no entry.
    pub fn at(index: u64, size: u64) -> Option<Self> {
        TileId::at(0, index, size).map(|tile| Self { index: tile.index, width: tile.width })
    }

    /// Number from the left.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Entries in it, 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never change.
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full bundle at the same place.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// Leaf index of its first entry.
    pub const fn first_leaf(self) -> u64 {
        self.index * TILE_WIDTH as u64
    }

    /// The tile with the leaf hashes of its entries.
    pub const fn tile(self) -> TileId {
        TileId { level: 0, index: self.index, width: self.width }
    }

    /// The path below the log's prefix.
    pub fn path(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self.index, self.width)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_index(f, self.index, self.width)
    }
}

impl FromStr for TileId {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        let parse = || {
            let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
            let level = u8::try_from(decimal(level)?).ok().filter(|level| *level <= MAX_LEVEL)?;
            let (index, width) = read_index(rest)?;
            Some(Self { level, index, width })
        };
        canonical(text, parse)
    }
}

impl FromStr for BundleId {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        let parse = || {
            let (index, width) = read_index(text.strip_prefix("tile/entries/")?)?;
            Some(Self { index, width })
        };
        canonical(text, parse)
    }
}

/// Entries in the last bundle of a log of `size` entries: 1 to 256, `None` for an empty log.
pub const fn last_bundle_width(size: u64) -> Option<u16> {
    match (size, size % 256) {
        (0, _) => None,
        (_, 0) => Some(256),
        (_, partial) => Some(partial as u16),
    }
}

/// The partial tiles of a tree of `size` leaves, lowest first: all that is needed to append and to tell the root.
pub fn right_edge(size: u64) -> Vec<TileId> {
    levels(size)
        .filter_map(|level| TileId::at(level, hashes_at(level, size) / u64::from(TILE_WIDTH), size))
        .collect()
}

/// The tiles that a log of `new` leaves has and one of `old` leaves has not, partial ones included; lowest first.
///
/// Partial tiles of sizes in between are left out: no checkpoint asks for them. The list is made as it is walked,
/// because a size that somebody claims may be anything.
pub fn tiles_for_append(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    levels(new).flat_map(move |level| changed(level, old, new))
}

/// The bundles that a log of `new` entries has and one of `old` entries has not.
pub fn bundles_for_append(old: u64, new: u64) -> impl Iterator<Item = BundleId> {
    changed(0, old, new).map(|tile| BundleId { index: tile.index, width: tile.width })
}

/// The tiles that prove leaf `index` in the tree of `size` leaves, and those that prove these tiles.
///
/// Lowest level first. Give them to [`TileSet::verified`](super::TileSet::verified) with the root for `size`.
pub fn needed_for_inclusion(index: u64, size: u64) -> Result<Vec<TileId>, MerkleError> {
    let spans = inclusion_spans(index, size)?;
    let leaf = Span { start: index, end: index + 1 };
    Ok(needed(spans.into_iter().chain([leaf]), size))
}

/// The tiles that prove that the tree of `new` leaves extends that of `old`, and those that prove these tiles.
///
/// The root of the old tree can be computed from them too. An old size of 0 needs the right edge only.
pub fn needed_for_consistency(old: u64, new: u64) -> Result<Vec<TileId>, MerkleError> {
    let spans = if old == 0 { Vec::new() } else { consistency_spans(old, new)? };
    let old_tree = Span { start: 0, end: old };
    Ok(needed(spans.into_iter().chain([old_tree]), new))
}

/// The tile of a tree of `size` leaves from which a complete subtree's root can be computed.
pub fn tile_for_node(node: Node, size: u64) -> Option<TileId> {
    let (level, height) = (node.level / 8, node.level % 8);
    TileId::at(level, node.index >> (8 - height), size)
}

fn needed(spans: impl IntoIterator<Item = Span>, size: u64) -> Vec<TileId> {
    let mut tiles: BTreeSet<TileId> = right_edge(size).into_iter().collect();
    for node in spans.into_iter().flat_map(Span::nodes) {
        // A full tile is proven by the one above it, up to one that is partial and so at the right edge.
        let mut next = tile_for_node(node, size);
        while let Some(tile) = next {
            if !tiles.insert(tile) {
                break;
            }
            next = tile.parent(size);
        }
    }
    tiles.into_iter().collect()
}

/// Tiles of one level that differ between two sizes.
fn changed(level: u8, old: u64, new: u64) -> impl Iterator<Item = TileId> {
    let width = u64::from(TILE_WIDTH);
    let (before, after) = (hashes_at(level, old), hashes_at(level, new));
    let (first, end) = if after > before { (before / width, after.div_ceil(width)) } else { (0, 0) };
    (first..end).filter_map(move |index| TileId::at(level, index, new))
}

/// Hashes that a tree of `size` leaves has at a level.
const fn hashes_at(level: u8, size: u64) -> u64 {
    if level >= 8 { 0 } else { size >> (8 * level) }
}

/// The levels at which a tree of `size` leaves has hashes.
fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0..8).take_while(move |level| hashes_at(*level, size) > 0)
}

/// `x001/x234/067`, and `.p/<width>` for a partial one.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let digits = format!("{index:03}");
    let digits = format!("{digits:0>length$}", length = digits.len().div_ceil(3) * 3);
    let (upper, last) = digits.split_at(digits.len() - 3);
    for start in (0..upper.len()).step_by(3) {
        write!(f, "x{}/", &upper[start..start + 3])?;
    }
    f.write_str(last)?;
    if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

/// Reads what [`write_index`] writes; what it lets through beyond that, [`canonical`] refuses.
fn read_index(text: &str) -> Option<(u64, u16)> {
    let (index, width) = match text.split_once(".p/") {
        Some((index, width)) => {
            (index, u16::try_from(decimal(width)?).ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
        }
        None => (text, TILE_WIDTH),
    };
    let digits: String = index.split('/').map(|part| part.strip_prefix('x').unwrap_or(part)).collect();
    let digits = digits.trim_start_matches('0');
    let index = if digits.is_empty() { 0 } else { decimal(digits)? };
    (index <= MAX_TREE_SIZE / u64::from(TILE_WIDTH)).then_some((index, width))
}

fn canonical<T: fmt::Display>(text: &str, parse: impl Fn() -> Option<T>) -> Result<T, TileError> {
    if text.len() <= MAX_PATH_BYTES
        && let Some(id) = parse().filter(|id| id.to_string() == text)
    {
        return Ok(id);
    }
    Err(TileError::Path { text: excerpt(text) })
}
