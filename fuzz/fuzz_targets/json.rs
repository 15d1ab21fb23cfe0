//! Strict JSON: what parses has one canonical form, and that form parses to the same value.
#![no_main]

use countersign_base::{canonical, json};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(value) = json::parse(data) else { return };
    let written = canonical::rfc8785(&value);
    assert_eq!(json::parse(&written).as_ref(), Ok(&value));
    assert!(!canonical::olpc(&value).is_empty());
});
