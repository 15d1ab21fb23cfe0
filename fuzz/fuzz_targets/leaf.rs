//! Log entries: what parses is written byte for byte.
#![no_main]

use countersign_verify::Leaf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(leaf) = Leaf::parse(data) else { return };
    assert_eq!(leaf.encode(), data);
});
