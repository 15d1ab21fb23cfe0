//! Two storage contracts, immutable objects and a compare-and-swap cell, on a directory.
//!
//! [`durable`] knows which syscalls make a change survive a power loss; every crate that keeps files goes through
//! it. Each of its syscalls passes the small [`Disk`] trait, so that a test can count them, fail the n-th, or drop what was not synced
//! (`countersign_testkit::faulty_disk`).
//!
//! Not here: what the bytes mean, and any network.
#![forbid(unsafe_code)]

mod cell;
pub mod disk;
pub mod durable;
mod error;
mod lock;
pub mod name;
mod objects;

pub use cell::{Cell, DirCell, Held, MAX_CELL_BYTES};
pub use disk::{Disk, DiskFile, RealDisk};
pub use durable::Put;
pub use error::StoreError;
pub use lock::Lock;
pub use objects::{Dir, MAX_OBJECT_BYTES, Objects};
