//! Anchors: each has one spelling, apart from upper case.
#![no_main]

use countersign_base::Anchor;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(anchor) = text.parse::<Anchor>() else { return };
    assert_eq!(anchor.to_string(), text.to_ascii_lowercase());
});
