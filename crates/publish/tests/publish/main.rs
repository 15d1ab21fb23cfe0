//! Repositories made by the publisher, seen as a client sees them.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod act;
mod crash;
mod passphrases;
mod refusals;
mod support;
mod witnesses;
