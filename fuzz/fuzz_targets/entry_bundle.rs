//! Entry bundles of 1 to 256 entries (the first byte): what decodes is encoded byte for byte.
#![no_main]

use countersign_tlog::tile::{BundleId, decode_bundle, encode_bundle};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((width, bytes)) = data.split_first() else { return };
    let Some(bundle) = BundleId::at(0, u64::from(*width) + 1) else { return };
    let Ok(entries) = decode_bundle(bundle, bytes) else { return };
    assert_eq!(encode_bundle(&entries).as_deref(), Ok(bytes));
});
