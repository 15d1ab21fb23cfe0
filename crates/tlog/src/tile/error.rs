//! What can be wrong with tiles and entry bundles.

use countersign_base::code::{self, Code, Explain};

use super::{BundleId, MAX_ENTRY_BYTES, TileId};
use crate::merkle::MerkleError;

/// Why tiles or bundles cannot be used. The one at fault is named, as far as that can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// A size, index or range that makes no sense.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// Not the canonical path of a tile or bundle.
    #[error("`{text}` is not the path of a tile or entry bundle")]
    Path {
        /// How it begins, escaped.
        text: String,
    },
    /// A tile of another length than its width says.
    #[error("`{tile}` has {got} bytes, not {}", usize::from(.tile.width()) * 32)]
    Length {
        /// Which.
        tile: TileId,
        /// Bytes there are.
        got: usize,
    },
    /// A full tile does not hash to what the tile above says.
    #[error("`{tile}` does not hash to what the tile above it says")]
    Mismatch {
        /// Which.
        tile: TileId,
    },
    /// The right edge does not hash to the root: one of these tiles is wrong.
    #[error("{} not hash to the root of the tree", list(.tiles))]
    Root {
        /// All tiles of the right edge.
        tiles: Vec<TileId>,
    },
    /// A tile that is needed is not there.
    #[error("`{tile}` is needed and missing")]
    Missing {
        /// Which.
        tile: TileId,
    },
    /// A tile that a tree of this size does not have, or not of this width.
    #[error("`{tile}` is not a tile of a tree of {size} leaves")]
    NotInTree {
        /// Which.
        tile: TileId,
        /// Number of leaves.
        size: u64,
    },
    /// A bundle that ends within an entry, or has too few or too many.
    #[error("`{bundle}` is not {} entries, each with its length before it", .bundle.width())]
    Bundle {
        /// Which.
        bundle: BundleId,
    },
    /// An entry of a bundle does not hash to its place in the tile.
    #[error("entry {index} in `{bundle}` does not hash to its leaf")]
    Entry {
        /// Which bundle.
        bundle: BundleId,
        /// Leaf index in the whole log.
        index: u64,
    },
    /// An entry that no bundle can hold.
    #[error("an entry of {got} bytes is longer than {MAX_ENTRY_BYTES}")]
    EntryTooLarge {
        /// Its length in bytes.
        got: usize,
    },
}

impl Explain for TileError {
    fn code(&self) -> Code {
        match self {
            Self::Merkle(error) => error.code(),
            Self::Path { .. } => code::LOG_PROOF_MALFORMED,
            Self::Missing { .. } => code::LOG_TILE_MISSING,
            Self::EntryTooLarge { .. } => code::LOG_ENTRY_TOO_LARGE,
            Self::Length { .. }
            | Self::Mismatch { .. }
            | Self::Root { .. }
            | Self::NotInTree { .. }
            | Self::Bundle { .. }
            | Self::Entry { .. } => code::LOG_TILE_MISMATCH,
        }
    }
}

/// `` `a` does `` or `` `a` and `b` together do ``.
fn list(tiles: &[TileId]) -> String {
    match tiles {
        [tile] => format!("`{tile}` does"),
        _ => {
            let names: Vec<String> = tiles.iter().map(|tile| format!("`{tile}`")).collect();
            format!("{} together do", names.join(" and "))
        }
    }
}
