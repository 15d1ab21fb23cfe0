//! What a client remembers of its logs: what parses is written byte for byte.
#![no_main]

use countersign_verify::Lineage;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(lineage) = Lineage::parse(data) else { return };
    assert_eq!(lineage.encode().as_deref().ok(), Some(data));
});
