//! Tests of countersign-keys: real files in temporary directories; for each rule a valid case beside one wrong in
//! one way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod create;
mod damaged;
mod open;
mod place;
mod scene;
mod secrecy;
