//! SQLite: a file of this machine, the library linked in.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::Database;
use super::sql::{Sql, Value};
use super::statements::Tables;
use crate::error::IndexError;

/// How long another process that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the database may keep in memory.
const CACHE_KIBIBYTES: i64 = 64 * 1024;
/// Statements that are kept prepared.
const PREPARED: usize = 32;

/// Opens the file; `make`: also where there is none.
pub(crate) fn open(path: &Path, make: bool) -> Result<Box<dyn Database>, IndexError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if make {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let failed = |error: rusqlite::Error| IndexError::Database(format!("`{}`: {error}", path.display()));
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Readers go on while an index grows. Derived data: after a power loss the last transactions may be gone, whole.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    // Leaf hashes come in no order: their index is written all over, and should be in memory while it is.
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES).map_err(failed)?;
    Ok(Box::new(Tables::open(Sqlite(connection), make)?))
}

#[derive(Debug)]
struct Sqlite(Connection);

fn failed(error: rusqlite::Error) -> IndexError {
    IndexError::Database(error.to_string())
}

impl Sql for Sqlite {
    fn execute(&mut self, statement: &str, parameters: &[Value]) -> Result<(), IndexError> {
        let mut prepared = self.0.prepare_cached(statement).map_err(failed)?;
        // A statement that says something back is no error here.
        let mut rows = prepared.query(params_from_iter(parameters)).map_err(failed)?;
        while rows.next().map_err(failed)?.is_some() {}
        Ok(())
    }

    fn query(&mut self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, IndexError> {
        let mut prepared = self.0.prepare_cached(statement).map_err(failed)?;
        let columns = prepared.column_count();
        let mut rows = prepared.query(params_from_iter(parameters)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let column = |number| row.get_ref(number).map_err(failed).and_then(value);
            found.push((0..columns).map(column).collect::<Result<_, _>>()?);
        }
        Ok(found)
    }

    fn begin_write(&mut self) -> Result<(), IndexError> {
        self.execute("BEGIN IMMEDIATE", &[])
    }

    fn begin_read(&mut self) -> Result<(), IndexError> {
        // The first read of a transaction fixes what it sees.
        self.execute("BEGIN", &[])
    }
}

fn value(value: ValueRef<'_>) -> Result<Value, IndexError> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Integer(number)),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec())
            .map(Value::Text)
            .map_err(|_| IndexError::Database("a text in it is not UTF-8".to_owned())),
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(IndexError::Database("a column in it has another type".to_owned()))
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
