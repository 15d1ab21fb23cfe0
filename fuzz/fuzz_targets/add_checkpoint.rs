//! Requests to a witness, and its answers: a request that parses is written byte for byte.
#![no_main]

use countersign_tlog::witness::{AddCheckpoint, Answer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Answer::parse(200, None, data);
    let _ = Answer::parse(409, Some("text/x.tlog.size"), data);
    let Ok(request) = AddCheckpoint::parse(data) else { return };
    assert_eq!(request.encode(), data);
});
