//! Proof files: what parses is written byte for byte.
#![no_main]

use countersign_tlog::TlogProof;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(proof) = TlogProof::parse(data) else { return };
    assert_eq!(proof.encode(), data);
});
