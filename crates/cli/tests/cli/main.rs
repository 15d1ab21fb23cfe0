//! The binary as people and attackers meet it: one module a subject.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]
#![allow(clippy::print_stdout, reason = "a test says what it tried, with the seed to try it again")]

mod agreement;
mod attacks;
mod bad_input;
mod ceremony;
mod flips;
mod interop;
mod interop_hybrid;
mod key;
mod lab;
mod log;
mod log_bucket;
mod log_fsck;
mod log_full_disk;
mod log_index;
mod log_kills;
mod log_rekor;
mod log_serve;
mod log_submission;
mod log_verify;
mod log_waiting;
mod members;
mod mirror;
mod mirrors;
mod publisher;
mod server;
mod several;
mod snapshots;
mod tasks;
