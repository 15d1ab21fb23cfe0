//! An SSH agent's answers: no more is read than there is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    countersign_keys::place::read_answers(data);
});
