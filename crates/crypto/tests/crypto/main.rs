//! Tests of countersign-crypto: public vectors, and for each rule a valid case beside one wrong in one way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod digests;
mod ed25519_strict;
mod prehashed;
mod public_key;
mod rsa_pss;
mod secret_key;
mod wycheproof;
