//! The little that is asked of a database: statements with numbered parameters, rows of text and integers, and
//! transactions that others see whole.

use crate::error::IndexError;

/// A parameter, or a column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// A connection.
pub(super) trait Sql: core::fmt::Debug {
    /// Runs a statement; parameters are `$1`, `$2` and so on, in the order of their first use.
    fn execute(&mut self, statement: &str, parameters: &[Value]) -> Result<(), IndexError>;
    /// Runs a question.
    fn query(&mut self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, IndexError>;
    /// Begins a transaction that writes, and that no other one that writes runs beside.
    fn begin_write(&mut self) -> Result<(), IndexError>;
    /// Begins a transaction that sees the database as it is now, whatever others write.
    fn begin_read(&mut self) -> Result<(), IndexError>;
}

/// Runs `work` in a transaction that has begun; it counts if `work` succeeds, and never happened if not.
pub(super) fn finish<S: Sql + ?Sized, T>(
    sql: &mut S,
    work: impl FnOnce(&mut S) -> Result<T, IndexError>,
) -> Result<T, IndexError> {
    match work(sql) {
        Ok(done) => sql.execute("COMMIT", &[]).map(|()| done),
        Err(error) => {
            // The connection's end rolls back as well.
            let _ = sql.execute("ROLLBACK", &[]);
            Err(error)
        }
    }
}
