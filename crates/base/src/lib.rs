//! What every other crate agrees on: digests, names, canonical JSON, time and error codes.
//!
//! Pure: bytes and values in, values out. No file, no socket, no clock, no randomness.
#![forbid(unsafe_code)]

pub mod anchor;
pub mod canonical;
pub mod code;
pub mod digest;
pub mod json;
pub mod loopback;
pub mod name;
pub mod text;
pub mod time;

pub use anchor::Anchor;
pub use code::{Class, Code, Explain};
pub use digest::{Sha256Digest, Sha512Digest};
pub use json::Json;
pub use time::Timestamp;
