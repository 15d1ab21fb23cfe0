//! The binary as people and attackers meet it: one module a subject.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod attacks;
mod flips;
mod lab;
mod publisher;
