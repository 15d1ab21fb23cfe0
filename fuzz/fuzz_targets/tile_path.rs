//! Paths of tiles and entry bundles: each has one spelling.
#![no_main]

use countersign_tlog::tile::{BundleId, TileId};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(tile) = text.parse::<TileId>() {
        assert_eq!(tile.path(), text);
    }
    if let Ok(bundle) = text.parse::<BundleId>() {
        assert_eq!(bundle.path(), text);
    }
});
