//! Tests of the servers, over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod crowd;
mod front;
mod live;
mod repository;
mod slow;
mod trust;
mod witness;
