//! Policies: what parses is the same policy when it is written and read.
#![no_main]

use countersign_tlog::Policy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(policy) = Policy::parse(data) else { return };
    assert_eq!(Policy::parse(&policy.encode()).as_ref(), Ok(&policy));
});
