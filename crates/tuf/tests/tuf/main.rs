//! Tests of the TUF crate.
