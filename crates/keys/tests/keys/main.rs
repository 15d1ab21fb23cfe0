//! Tests of countersign-keys: real files in temporary directories; for each rule a valid case beside one wrong in
//! one way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asking;
mod create;
mod damaged;
mod escrow;
mod hybrid;
mod lifecycle;
mod open;
mod place;
mod scene;
mod secrecy;
mod usage;
mod writes;
