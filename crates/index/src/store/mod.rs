//! The contract of an index's database, kept by one set of SQL on two of them.
//!
//! A database states the size and root of the tree whose entries it has, in the transaction that brings the rows: a
//! reader sees exactly the rows of that tree. Text and big integers are all it needs, so both databases take the same
//! statements.

mod postgres;
mod sql;
mod sqlite;
mod statements;

use countersign_tlog::merkle::Hash;

use crate::error::IndexError;
use crate::query::Query;
use crate::row::Row;

pub(crate) use postgres::open as open_postgres;
pub(crate) use sqlite::open as open_sqlite;

/// Most entries that one question gives.
pub const MAX_FOUND: usize = 10_000;

/// The tree that an index has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The root of that tree.
    pub root: Hash,
}

/// An index in a database.
pub trait Database: core::fmt::Debug {
    /// The tree that it has; `None` before the first [`Database::append`].
    fn head(&mut self) -> Result<Option<Head>, IndexError>;
    /// Adds the rows from `held` to `next` in one transaction, if the tree is still `held`.
    ///
    /// # Errors
    /// [`IndexError::Conflict`] if it is not; nothing is added then.
    fn append(&mut self, held: Option<&Head>, next: &Head, rows: &[Row]) -> Result<(), IndexError>;
    /// Some hundred rows in order, from the first at or behind `from`; none where there is none.
    fn rows(&mut self, from: u64) -> Result<Vec<Row>, IndexError>;
    /// The rows that meet a question, in order, and the tree that they are of.
    fn find(&mut self, query: &Query) -> Result<(Head, Vec<Row>), IndexError>;
    /// Forgets everything.
    fn clear(&mut self) -> Result<(), IndexError>;
}
