//! Tests of the index: one suite, on each of the databases.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod places;
mod server;
mod suite;
mod support;
