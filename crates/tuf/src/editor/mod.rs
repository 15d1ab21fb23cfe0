//! Writing metadata: an editor a role builds the `signed` object, a [`Draft`] collects signatures on it.
//!
//! Files are the canonical JSON (RFC 8785) of the whole envelope, signatures sorted by key id, so the same content and
//! signatures give the same bytes. python-tuf, go-tuf and tough read them. What an existing file holds beyond what is
//! known here stays in it. No editor makes what a client would refuse: [`RootEditor::finish`] and its like parse what
//! they made.

mod bins;
mod document;
mod draft;
mod online;
mod root;
mod targets;

pub use bins::BinsEditor;
pub use draft::{Draft, EditError};
pub use online::{SnapshotEditor, TimestampEditor};
pub use root::RootEditor;
pub use targets::{NewDelegation, TargetsEditor};
