//! Tests of the servers, over real sockets on loopback.

mod live;
mod repository;
mod slow;
