//! Sigstore's formats, against what other programs made.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod hashedrekord;
mod trust;
