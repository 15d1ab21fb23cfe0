//! Names, versions, platforms, times and target paths: each has one spelling.
#![no_main]

use core::fmt::Display;
use core::str::FromStr;

use countersign_base::Timestamp;
use countersign_base::name::{FileName, Platform, ProductName, TargetPath, Version};

fn check<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    check::<ProductName>(text);
    check::<FileName>(text);
    check::<Version>(text);
    check::<Platform>(text);
    check::<TargetPath>(text);
    check::<Timestamp>(text);
});
