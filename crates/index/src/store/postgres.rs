//! PostgreSQL: a server of this machine.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use ::postgres::types::{FromSql, ToSql, Type};
use ::postgres::{Client, Config, NoTls, Statement};

use super::Database;
use super::sql::{Sql, Value};
use super::statements::Tables;
use crate::error::IndexError;

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statements that are kept prepared.
const PREPARED: usize = 32;

/// Connects; `make`: also where there are no tables yet.
pub(crate) fn open(config: &Config, make: bool) -> Result<Box<dyn Database>, IndexError> {
    let mut config = config.clone();
    config.connect_timeout(PATIENCE).application_name("countersign");
    let client = config.connect(NoTls).map_err(failed)?;
    let connection = Postgres { client, prepared: HashMap::new() };
    Ok(Box::new(Tables::open(connection, make)?))
}

struct Postgres {
    client: Client,
    prepared: HashMap<String, Statement>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres")
    }
}

fn failed(error: ::postgres::Error) -> IndexError {
    // The server's words, where it has said something; a password is not among them.
    IndexError::Database(match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    })
}

/// The values as the statement's parameters want them: nothing has the type of its column too.
fn parameters<'v>(statement: &Statement, values: &'v [Value]) -> Vec<&'v (dyn ToSql + Sync)> {
    const NO_NUMBER: Option<i64> = None;
    const NO_TEXT: Option<&str> = None;
    let kinds = statement.params().iter().chain(std::iter::repeat(&Type::TEXT));
    let parameter = |(value, kind): (&'v Value, &Type)| -> &'v (dyn ToSql + Sync) {
        match value {
            Value::Null if *kind == Type::INT8 => &NO_NUMBER,
            Value::Null => &NO_TEXT,
            Value::Integer(number) => number,
            Value::Text(text) => text,
        }
    };
    values.iter().zip(kinds).map(parameter).collect()
}

impl Postgres {
    fn prepare(&mut self, statement: &str) -> Result<Statement, IndexError> {
        if let Some(prepared) = self.prepared.get(statement) {
            return Ok(prepared.clone());
        }
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        let prepared = self.client.prepare(statement).map_err(failed)?;
        self.prepared.insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Sql for Postgres {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<(), IndexError> {
        if values.is_empty() {
            return self.client.batch_execute(statement).map_err(failed);
        }
        let prepared = self.prepare(statement)?;
        self.client.execute(&prepared, &parameters(&prepared, values)).map(drop).map_err(failed)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, IndexError> {
        let prepared = self.prepare(statement)?;
        let rows = self.client.query(&prepared, &parameters(&prepared, values)).map_err(failed)?;
        let row = |row: &::postgres::Row| -> Result<Vec<Value>, IndexError> {
            (0..row.len()).map(|column| row.try_get(column).map_err(failed)).collect()
        };
        rows.iter().map(row).collect()
    }

    fn begin_write(&mut self) -> Result<(), IndexError> {
        self.execute("BEGIN", &[])?;
        // Readers go on; another writer waits, and then sees what this one has written.
        self.execute("LOCK TABLE countersign_index_head IN EXCLUSIVE MODE", &[])
    }

    fn begin_read(&mut self) -> Result<(), IndexError> {
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &[])
    }
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        match *kind {
            Type::INT8 => i64::from_sql(kind, raw).map(Self::Integer),
            _ => String::from_sql(kind, raw).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT)
    }
}
