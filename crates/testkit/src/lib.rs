//! Test fixtures: public vectors, simulators and fault injection. A dev-dependency only.
#![forbid(unsafe_code)]

pub mod faulty_disk;
pub mod mldsa;
pub mod peers;
pub mod sim;
#[cfg(feature = "tuf-client")]
pub mod tuf_client;
pub mod vectors;
