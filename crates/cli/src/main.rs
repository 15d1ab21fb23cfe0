//! The `countersign` binary: one file a subcommand.
fn main() {}
