//! Tiles and entry bundles: the static files that a log is served as.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.
//! `path`: names of tiles and bundles; `bundle`: entries in a bundle; `edge`: appending to a log with its
//! right-edge tiles alone; `set`: tiles from anywhere, checked against a root before a hash of them is used.
//! Not here: reading and writing files (`log`, `client`).

mod bundle;
mod edge;
mod error;
mod path;
mod set;

pub use bundle::{
    MAX_BUNDLE_BYTES, MAX_ENTRY_BYTES, append_to_bundles, check_bundle, decode_bundle, encode_bundle,
};
pub use edge::{RightEdge, Tile};
pub use error::TileError;
pub use path::{
    BundleId, TileId, bundles_for_append, last_bundle_width, needed_for_consistency, needed_for_inclusion,
    right_edge, tile_for_node, tiles_for_append,
};
pub use set::TileSet;

/// Hashes in a full tile and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Bytes of a full tile.
pub const MAX_TILE_BYTES: usize = 256 * 32;
