//! Checkpoints in signed notes: what parses is written byte for byte.
#![no_main]

use countersign_tlog::SignedCheckpoint;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(signed) = SignedCheckpoint::parse(data) else { return };
    assert_eq!(signed.encode(), data);
});
