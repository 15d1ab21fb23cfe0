//! What can go wrong with storage. Each variant carries the path, so that a message can name it.

use std::io;
use std::path::{Path, PathBuf};

use countersign_base::code::{Code, Explain, STORAGE_FAILED};

/// A failure of storage. Callers map the variants to their own codes; by itself it is `storage-failed`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {operation} `{}`", .path.display())]
    Io {
        /// What was tried, as a verb: `write`, `sync`, `rename`.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process, or another part of this one, holds the lock.
    #[error("`{}` is locked by another process", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// An immutable object exists with other bytes.
    #[error("`{}` exists with other content", .path.display())]
    Different {
        /// The object.
        path: PathBuf,
    },
    /// The cell no longer holds what the caller has seen.
    #[error("`{}` was changed by another process", .path.display())]
    Conflict {
        /// The cell.
        path: PathBuf,
    },
    /// A name that is not a plain path below the folder, or that leads through a symbolic link.
    #[error("`{name}` is not a usable name: {why}")]
    Name {
        /// The name, escaped for display.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A file is larger than anything that we write there.
    #[error("`{}` is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

impl StoreError {
    /// The path in question; `None` for a name that never became one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Locked { path }
            | Self::Different { path }
            | Self::Conflict { path }
            | Self::TooLarge { path, .. } => Some(path),
            Self::Name { .. } => None,
        }
    }

    /// Whether the lock is taken.
    pub const fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// Makes the error of a failed operation; for `map_err`.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}

impl Explain for StoreError {
    fn code(&self) -> Code {
        STORAGE_FAILED
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some(format!("make room on the disk of `{}` and try again", path.display()))
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("make `{}` writable for this user", path.display()))
                }
                _ => None,
            },
            Self::Locked { .. } => Some("wait until the other process has ended and try again".to_owned()),
            _ => None,
        }
    }
}
