//! Test fixtures: public vectors, simulators and fault injection. A dev-dependency only.
#![forbid(unsafe_code)]

pub mod faulty_disk;
pub mod peers;
pub mod sim;
pub mod vectors;
