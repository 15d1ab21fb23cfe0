//! The pipeline on simulated repositories: honest ones pass, each changed in one way fails with its code.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod agreement;
mod catalogue;
mod extension;
mod repository;
mod transparency;
