//! Tests of countersign-crypto.
