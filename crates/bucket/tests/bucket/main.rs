//! Tests of the bucket backend: the shared contracts on a real server, and servers and networks that misbehave.

mod contracts;
mod faults;
mod outages;
mod probe;
mod support;
