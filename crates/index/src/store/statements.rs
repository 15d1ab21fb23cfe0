//! The tables, and every statement on them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_base::Timestamp;

use super::sql::{Sql, Value, finish};
use super::{Database, Head, MAX_FOUND};
use crate::error::IndexError;
use crate::query::{MAX_TERMS, Query, Term};
use crate::row::{Artifact, Change, Kind, Row};

/// The form of the tables. Another one is made anew from the log, never changed in place.
const FORM: i64 = 1;
/// Parameters of one statement: below the bounds of both databases.
const MAX_PARAMETERS: usize = 30_000;
/// Rows that [`Database::rows`] gives at once.
const PAGE: usize = 512;

/// Names begin alike, since a PostgreSQL database may hold other things. Times are seconds since 1970.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS countersign_index_head (
        one BIGINT PRIMARY KEY CHECK (one = 1), form BIGINT NOT NULL,
        origin TEXT, size BIGINT, root TEXT)",
    "CREATE TABLE IF NOT EXISTS countersign_index_entries (
        entry BIGINT PRIMARY KEY, leaf TEXT NOT NULL, kind TEXT NOT NULL, repository TEXT, role TEXT,
        version BIGINT, digest TEXT, logged_by BIGINT, has_document BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS countersign_index_artifacts (
        entry BIGINT NOT NULL, change TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,
        product TEXT, version TEXT)",
    "CREATE TABLE IF NOT EXISTS countersign_index_keys (entry BIGINT NOT NULL, key_id TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS countersign_index_leaf ON countersign_index_entries (leaf)",
    "CREATE INDEX IF NOT EXISTS countersign_index_role ON countersign_index_entries (role, version)",
    "CREATE INDEX IF NOT EXISTS countersign_index_digest ON countersign_index_entries (digest)",
    "CREATE INDEX IF NOT EXISTS countersign_index_time ON countersign_index_entries (logged_by)",
    "CREATE INDEX IF NOT EXISTS countersign_index_files ON countersign_index_artifacts (digest)",
    "CREATE INDEX IF NOT EXISTS countersign_index_files_of ON countersign_index_artifacts (entry)",
    "CREATE INDEX IF NOT EXISTS countersign_index_products ON countersign_index_artifacts (product, version)",
    "CREATE INDEX IF NOT EXISTS countersign_index_key ON countersign_index_keys (key_id)",
    "CREATE INDEX IF NOT EXISTS countersign_index_keys_of ON countersign_index_keys (entry)",
];

/// The columns of an entry, in the order in which they are read and written.
const ENTRY: &str = "entry, leaf, kind, repository, role, version, digest, logged_by, has_document";

/// An index on a connection.
#[derive(Debug)]
pub(super) struct Tables<S> {
    sql: S,
}

impl<S: Sql> Tables<S> {
    /// `make`: makes the tables where there are none.
    pub(super) fn open(mut sql: S, make: bool) -> Result<Self, IndexError> {
        if make {
            TABLES.iter().try_for_each(|table| sql.execute(table, &[]))?;
            sql.execute(
                "INSERT INTO countersign_index_head (one, form) VALUES (1, $1) ON CONFLICT (one) DO NOTHING",
                &[Value::Integer(FORM)],
            )?;
        }
        let form = sql.query("SELECT form FROM countersign_index_head", &[]);
        match form.as_deref().map(|rows| rows.first().and_then(|row| row.first())) {
            Ok(Some(Value::Integer(FORM))) => Ok(Self { sql }),
            Ok(_) => Err(IndexError::Missing("what is there is of another form")),
            Err(_) if !make => Err(IndexError::Missing("what is there is not an index")),
            Err(error) => Err(IndexError::Database(error.to_string())),
        }
    }
}

impl<S: Sql> Database for Tables<S> {
    fn head(&mut self) -> Result<Option<Head>, IndexError> {
        head(&mut self.sql)
    }

    fn append(&mut self, held: Option<&Head>, next: &Head, rows: &[Row]) -> Result<(), IndexError> {
        self.sql.begin_write()?;
        finish(&mut self.sql, |sql| {
            if head(sql)?.as_ref() != held {
                return Err(IndexError::Conflict);
            }
            insert_rows(sql, rows)?;
            sql.execute(
                "UPDATE countersign_index_head SET origin = $1, size = $2, root = $3",
                &[next.origin.as_str().into(), next.size.into(), next.root.to_string().as_str().into()],
            )
        })
    }

    fn rows(&mut self, from: u64) -> Result<Vec<Row>, IndexError> {
        self.sql.begin_read()?;
        finish(&mut self.sql, |sql| {
            let statement = format!(
                "SELECT {ENTRY} FROM countersign_index_entries WHERE entry >= $1 ORDER BY entry LIMIT {PAGE}"
            );
            let entries = sql.query(&statement, &[from.into()])?;
            whole(sql, entries)
        })
    }

    fn find(&mut self, query: &Query) -> Result<(Head, Vec<Row>), IndexError> {
        let (statement, parameters) = question(query);
        self.sql.begin_read()?;
        finish(&mut self.sql, |sql| {
            let head = head(sql)?.ok_or(IndexError::Missing("nothing was indexed yet"))?;
            let entries = sql.query(&statement, &parameters)?;
            Ok((head, whole(sql, entries)?))
        })
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        self.sql.begin_write()?;
        finish(&mut self.sql, |sql| {
            for table in ["entries", "artifacts", "keys"] {
                sql.execute(&format!("DELETE FROM countersign_index_{table}"), &[])?;
            }
            sql.execute("UPDATE countersign_index_head SET origin = NULL, size = NULL, root = NULL", &[])
        })
    }
}

fn head(sql: &mut impl Sql) -> Result<Option<Head>, IndexError> {
    let rows = sql.query("SELECT origin, size, root FROM countersign_index_head", &[])?;
    match rows.into_iter().next().as_deref() {
        Some([Value::Null, Value::Null, Value::Null]) => Ok(None),
        Some([Value::Text(origin), Value::Integer(size), Value::Text(root)]) => {
            let (size, root) = (u64::try_from(*size).ok(), root.parse().ok());
            let (Some(size), Some(root)) = (size, root) else { return Err(damaged()) };
            Ok(Some(Head { origin: origin.clone(), size, root }))
        }
        _ => Err(damaged()),
    }
}

fn damaged() -> IndexError {
    IndexError::OtherTree("what it says about itself does not read".to_owned())
}

fn insert_rows(sql: &mut impl Sql, rows: &[Row]) -> Result<(), IndexError> {
    let (mut entries, mut artifacts, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        entries.push(vec![
            row.index.into(),
            row.leaf.to_string().as_str().into(),
            row.kind.name().into(),
            row.repository.as_deref().into(),
            row.role.as_deref().into(),
            row.version.into(),
            row.digest.as_deref().into(),
            row.logged_by.map(Timestamp::as_unix).into(),
            u64::from(row.has_document).into(),
        ]);
        artifacts.extend(row.artifacts.iter().map(|file| {
            vec![
                row.index.into(),
                file.change.name().into(),
                file.digest.as_str().into(),
                file.path.as_str().into(),
                file.product.as_deref().into(),
                file.version.as_deref().into(),
            ]
        }));
        keys.extend(row.keys.iter().map(|key| vec![row.index.into(), key.as_str().into()]));
    }
    insert(sql, &format!("countersign_index_entries ({ENTRY})"), &entries)?;
    insert(sql, "countersign_index_artifacts (entry, change, digest, path, product, version)", &artifacts)?;
    insert(sql, "countersign_index_keys (entry, key_id)", &keys)
}

/// Inserts rows of equal length, many with one statement.
fn insert(sql: &mut impl Sql, into: &str, rows: &[Vec<Value>]) -> Result<(), IndexError> {
    let Some(width) = rows.first().map(Vec::len) else { return Ok(()) };
    // A power of two, so that there are few statements to prepare.
    let most = (MAX_PARAMETERS / width.max(1)).max(1);
    let mut rest = rows;
    while !rest.is_empty() {
        let count = 1 << rest.len().min(most).ilog2();
        let (now, later) = rest.split_at(count);
        let mut statement = format!("INSERT INTO {into} VALUES ");
        for row in 0..count {
            let places: Vec<String> =
                (1..=width).map(|column| format!("${}", row * width + column)).collect();
            // Writing to a string cannot fail.
            let _ = write!(statement, "{}({})", if row > 0 { ", " } else { "" }, places.join(", "));
        }
        sql.execute(&statement, &now.concat())?;
        rest = later;
    }
    Ok(())
}

/// A question as SQL. Whatever a user typed is a parameter.
fn question(query: &Query) -> (String, Vec<Value>) {
    let mut parameters: Vec<Value> = Vec::new();
    let mut place = |value: Value| {
        parameters.push(value);
        format!("${}", parameters.len())
    };
    let mut conditions = Vec::new();
    if let Some(after) = query.after {
        conditions.push(format!("e.entry > {}", place(after.into())));
    }
    let files = "SELECT a.entry FROM countersign_index_artifacts a WHERE";
    for term in query.terms.iter().take(MAX_TERMS) {
        conditions.push(match term {
            Term::Digest(digest) => {
                let (one, other) = (place(digest.as_str().into()), place(digest.as_str().into()));
                format!("(e.digest = {one} OR e.entry IN ({files} a.digest = {other}))")
            }
            Term::Product(name, None) => {
                format!("e.entry IN ({files} a.product = {})", place(name.as_str().into()))
            }
            Term::Product(name, Some(version)) => {
                let (name, version) = (place(name.as_str().into()), place(version.as_str().into()));
                format!("e.entry IN ({files} a.product = {name} AND a.version = {version})")
            }
            Term::Role(name, None) => format!("e.role = {}", place(name.as_str().into())),
            Term::Role(name, Some(version)) => {
                let (name, version) = (place(name.as_str().into()), place((*version).into()));
                format!("(e.role = {name} AND e.version = {version})")
            }
            Term::Key(key) => format!(
                "e.entry IN (SELECT k.entry FROM countersign_index_keys k WHERE k.key_id = {})",
                place(key.as_str().into())
            ),
            Term::Leaf(leaf) => format!("e.leaf = {}", place(leaf.to_string().as_str().into())),
            Term::Repository(anchor) => {
                format!("e.repository = {}", place(anchor.to_string().as_str().into()))
            }
            Term::Time(from, to) => {
                let from = place(from.map_or(0, Timestamp::as_unix).into());
                let to = place(to.map_or(i64::MAX as u64, Timestamp::as_unix).into());
                format!("(e.logged_by >= {from} AND e.logged_by <= {to})")
            }
        });
    }
    let filter = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    let columns: Vec<String> = ENTRY.split(", ").map(|column| format!("e.{column}")).collect();
    let statement = format!(
        "SELECT {} FROM countersign_index_entries e WHERE {filter} ORDER BY e.entry LIMIT {}",
        columns.join(", "),
        query.limit.min(MAX_FOUND)
    );
    (statement, parameters)
}

/// Entries with their files and keys.
fn whole(sql: &mut impl Sql, entries: Vec<Vec<Value>>) -> Result<Vec<Row>, IndexError> {
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    for entry in entries {
        let row = read_entry(&entry).ok_or_else(damaged)?;
        rows.insert(row.index, row);
    }
    let indices: Vec<Value> = rows.keys().map(|index| (*index).into()).collect();
    for some in indices.chunks(PAGE) {
        // A fixed number of places, the last one repeated: one statement to prepare.
        let mut parameters = some.to_vec();
        if let Some(last) = some.last() {
            parameters.resize(PAGE, last.clone());
        }
        let places: Vec<String> = (1..=PAGE).map(|number| format!("${number}")).collect();
        let places = places.join(", ");
        let files = format!(
            "SELECT entry, change, digest, path, product, version FROM countersign_index_artifacts
             WHERE entry IN ({places})"
        );
        for file in sql.query(&files, &parameters)? {
            let (index, artifact) = read_file(&file).ok_or_else(damaged)?;
            rows.get_mut(&index).ok_or_else(damaged)?.artifacts.push(artifact);
        }
        let keys = format!("SELECT entry, key_id FROM countersign_index_keys WHERE entry IN ({places})");
        for key in sql.query(&keys, &parameters)? {
            let (index, key) = read_key(&key).ok_or_else(damaged)?;
            rows.get_mut(&index).ok_or_else(damaged)?.keys.push(key);
        }
    }
    let sorted = rows.into_values().map(|mut row| {
        row.artifacts.sort();
        row.keys.sort();
        row
    });
    Ok(sorted.collect())
}

fn read_entry(columns: &[Value]) -> Option<Row> {
    let [index, leaf, kind, repository, role, version, digest, logged_by, has_document] = columns else {
        return None;
    };
    Some(Row {
        index: number(index)??,
        leaf: text(leaf)??.parse().ok()?,
        kind: Kind::of(&text(kind)??)?,
        repository: text(repository)?,
        role: text(role)?,
        version: number(version)?,
        digest: text(digest)?,
        logged_by: match number(logged_by)? {
            Some(seconds) => Some(Timestamp::from_unix(seconds)?),
            None => None,
        },
        has_document: number(has_document)?? == 1,
        artifacts: Vec::new(),
        keys: Vec::new(),
    })
}

fn read_file(columns: &[Value]) -> Option<(u64, Artifact)> {
    let [index, change, digest, path, product, version] = columns else { return None };
    let artifact = Artifact {
        change: Change::of(&text(change)??)?,
        digest: text(digest)??,
        path: text(path)??,
        product: text(product)?,
        version: text(version)?,
    };
    Some((number(index)??, artifact))
}

fn read_key(columns: &[Value]) -> Option<(u64, String)> {
    let [index, key] = columns else { return None };
    Some((number(index)??, text(key)??))
}

/// `None` for another type, `Some(None)` for nothing.
fn number(value: &Value) -> Option<Option<u64>> {
    match value {
        Value::Null => Some(None),
        Value::Integer(number) => u64::try_from(*number).ok().map(Some),
        Value::Text(_) => None,
    }
}

fn text(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::Text(text) => Some(Some(text.clone())),
        Value::Integer(_) => None,
    }
}
