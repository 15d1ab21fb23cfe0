//! Tests of the storage contracts.

mod contracts;
mod crashes;
mod hostile_names;
