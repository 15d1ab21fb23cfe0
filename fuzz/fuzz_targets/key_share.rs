//! Shares of a secret key: what parses is written in the same lines, and one share recovers nothing.
#![no_main]

use countersign_keys::escrow::{self, Share};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(share) = Share::parse("share", text) else { return };
    let written = share.to_text();
    assert!(Share::parse("share", &written).is_ok(), "its own text is refused");
    assert!(escrow::recover(core::slice::from_ref(&share)).is_err(), "one share is enough");
    assert!(escrow::recover(&[share.clone(), share]).is_err(), "one share counts twice");
});
