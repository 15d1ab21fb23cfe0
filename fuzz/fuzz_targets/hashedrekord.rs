//! Requests to log a hashed record: what is admitted is a canonical entry.
#![no_main]

use countersign_attest::HashedRekord;
use countersign_base::{canonical, json};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(record) = HashedRekord::admit(data) else { return };
    let entry = json::parse(record.entry()).expect("an entry is strict JSON");
    assert_eq!(canonical::rfc8785(&entry), record.entry());
});
