//! A read model of a log: product, role, version, digest, key and time to entries, in SQLite or PostgreSQL.
//!
//! Nothing is only here: an index is made from a log and the metadata documents that its entries name ([`build`]), goes on
//! where it was, and can be thrown away. Every entry is proven to be in the signed tree before it is indexed, and every
//! transaction leaves the database with exactly the rows of the tree whose size and root it states. [`check`] compares
//! it with the log, row by row.
//!
//! `row`: what is said about an entry; `documents`: where metadata comes from; `store`: one set of SQL on two databases;
//! `query`: what can be asked.
//! Not here: whether a signature in a document is good. The log admitted the document; an index finds it again.
#![forbid(unsafe_code)]

mod build;
mod check;
mod documents;
mod error;
mod place;
mod query;
mod row;
mod store;

pub use build::{Built, Log, build};
pub use check::{Checked, check};
pub use documents::{Document, Documents, Folders};
pub use error::IndexError;
pub use place::Place;
pub use query::{MAX_TERMS, Query, Term};
pub use row::{Artifact, Change, Kind, MAX_KEYS, Row};
pub use store::{Database, Head, MAX_FOUND};
