//! A plain TUF repository that does whatever it is told to, and any TUF client put before it.
//!
//! [`TufRepository`] holds every key and the signed part of every role as plain JSON, which a test edits; what an honest
//! publisher does is a method, and so is each thing that none would do. [`WebServer`] serves its files on loopback and
//! notes what was asked for. [`TufClient`] drives a program with the command line of tuf-conformance.
//!
//! Written from specification 1.0.34 and not from the code under test. Countersign's own repositories, with their
//! log, are simulated by [`crate::sim`].

mod client;
mod key;
mod repository;
mod server;

pub use client::{Answered, Machine, TufClient};
pub use key::{Kind, TufKey};
pub use repository::{Delegation, TufRepository};
pub use server::WebServer;
