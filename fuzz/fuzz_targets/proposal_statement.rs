//! The statement of a proposal: what parses is written in the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    countersign_publish::proposal::fuzzing::statement(data);
});
