//! Clients that are fed well-formed files in any order: they end in a state that the specification's order reaches.
//!
//! The input is choices, two bytes a step. `trusted_set` has arbitrary files instead.
#![no_main]

#[path = "../../crates/tuf/tests/tuf/universe.rs"]
mod universe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    universe::play(data);
});
