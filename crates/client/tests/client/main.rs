//! Tests of the client: hostile servers, the state directory, refresh of simulated repositories.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod directory;
mod fixture;
mod homes;
mod hostile;
mod refreshing;
mod server;
