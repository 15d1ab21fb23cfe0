//! Test fixtures: public vectors, simulators and fault injection. A dev-dependency only.
#![forbid(unsafe_code)]

mod absent;
pub mod contracts;
pub mod entries;
pub mod faulty_disk;
pub mod hostile;
pub mod mldsa;
pub mod peers;
pub mod s3;
pub mod shared_store;
pub mod sim;
pub mod tokens;
#[cfg(feature = "tuf-client")]
pub mod tuf_client;
pub mod vectors;
