//! Tests of the TUF crate: public vectors by file, and for each rule a valid file and one that is wrong in one way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bins;
mod delegations;
mod editing;
mod keys;
mod pairs;
mod parser;
mod properties;
mod refresh;
mod roots;
mod signatures;
mod spec;
mod thresholds;
mod universe;
mod vectors;
mod world;
