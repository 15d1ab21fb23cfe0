//! Where an index is: a file for SQLite, or a URL for PostgreSQL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_base::loopback::is_loopback;
use postgres::Config;
use postgres::config::Host;

use crate::error::IndexError;
use crate::store::{Database, open_postgres, open_sqlite};

/// The place of an index. Shown without a password.
#[derive(Debug, Clone)]
pub enum Place {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://USER@HOST/DATABASE`, on this machine
    Postgres(Box<Config>),
}

impl Place {
    /// SQLite in this file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite(path.into())
    }

    /// Opens the database, making the tables where there are none.
    ///
    /// # Errors
    /// `log-index-unavailable`; `usage` if what is there is not an index of this form.
    pub fn open(&self) -> Result<Box<dyn Database>, IndexError> {
        match self {
            Self::Sqlite(path) => open_sqlite(path, true),
            Self::Postgres(config) => open_postgres(config, true),
        }
    }

    /// Opens an index that must be there.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn open_existing(&self) -> Result<Box<dyn Database>, IndexError> {
        match self {
            Self::Sqlite(path) if !path.is_file() => Err(IndexError::Missing("the file is not there")),
            Self::Sqlite(path) => open_sqlite(path, false),
            Self::Postgres(config) => open_postgres(config, false),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(config) => {
                write!(f, "postgres://{}", config.get_user().unwrap_or_default())?;
                let hosts = config.get_hosts().iter().map(|host| match host {
                    Host::Tcp(name) => name.clone(),
                    Host::Unix(path) => path.display().to_string(),
                });
                let hosts: Vec<String> = hosts.collect();
                write!(f, "@{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
            }
        }
    }
}

impl FromStr for Place {
    type Err = IndexError;

    fn from_str(text: &str) -> Result<Self, IndexError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path {
                "" => Err(refused("sqlite:", "it names no file")),
                // It would be gone with the process.
                ":memory:" => Err(refused(text, "it is not a file")),
                path => Ok(Self::sqlite(Path::new(path))),
            };
        }
        let Some((scheme, _)) = text.split_once("://").filter(|(scheme, _)| is_postgres(scheme)) else {
            // It may be a URL with a password: only its beginning is repeated.
            let shown: String = text.split([':', '@']).next().unwrap_or_default().chars().take(40).collect();
            return Err(refused(&shown, "it begins with neither sqlite: nor postgres://"));
        };
        let scheme = format!("{scheme}://...");
        let config: Config = text.parse().map_err(|_| refused(&scheme, "it is not a URL of PostgreSQL"))?;
        if config.get_hosts().is_empty() {
            return Err(refused(&scheme, "it names no host"));
        }
        // A password and what the index says would go over the network as they are.
        if !config.get_hosts().iter().all(is_here) {
            return Err(refused(
                &scheme,
                "the host is another machine, and the connection would be open to all",
            ));
        }
        Ok(Self::Postgres(Box::new(config)))
    }
}

fn is_postgres(scheme: &str) -> bool {
    matches!(scheme, "postgres" | "postgresql")
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => is_loopback(name),
    }
}

fn refused(place: &str, why: &'static str) -> IndexError {
    IndexError::Place { place: countersign_base::text::escape(place), why }
}
