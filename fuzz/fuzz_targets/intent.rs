//! What a proposal is for: what parses is the same when it is written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    countersign_publish::proposal::fuzzing::intent(data);
});
