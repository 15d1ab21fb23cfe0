//! Tests of the storage contracts.
