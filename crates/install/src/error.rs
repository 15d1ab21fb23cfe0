//! What can go wrong with an installation: a variant a rule, each with its code.

use std::io;
use std::path::{Path, PathBuf};

use countersign_base::code::{self, Code, Explain};
use countersign_base::name::{FileName, ProductName, Version};
use countersign_base::text::escape;
use countersign_base::{Anchor, Sha256Digest};
use countersign_store::StoreError;

/// Why nothing was installed, or why what is installed was not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Another process holds the lock of this root.
    #[error("another installation is under way in `{}`", show(.root))]
    Locked {
        /// The root.
        root: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`", show(.path))]
    Storage {
        /// A verb phrase: `write`, `read the folder`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record of a product is missing, unreadable or contradicts itself.
    #[error("the record `{}` of what is installed is damaged: {reason}", show(.path))]
    StateDamaged {
        /// The record.
        path: PathBuf,
        /// What does not fit.
        reason: String,
        /// What to do.
        repair: Repair,
    },
    /// A folder that must be ours is something else, such as a symbolic link.
    #[error("`{}` is not a folder of this installation but {found}", show(.path))]
    Planted {
        /// Where.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The product has no generation here.
    #[error("`{product}` is not installed here")]
    NotInstalled {
        /// The product.
        product: ProductName,
    },
    /// The active generation has no predecessor that is still on disk.
    #[error("`{product}` has no earlier generation to go back to")]
    NoPrevious {
        /// The product.
        product: ProductName,
    },
    /// Below the lowest version that publisher or user allow.
    #[error("`{product}` {version} is below the floor {floor}")]
    BelowFloor {
        /// The product.
        product: ProductName,
        /// What was to become active.
        version: Version,
        /// The lowest version allowed.
        floor: Version,
    },
    /// Older than the active version, and nobody said that this is meant.
    #[error("`{product}` {version} is older than {active}, which is active")]
    Downgrade {
        /// The product.
        product: ProductName,
        /// What was to become active.
        version: Version,
        /// What is.
        active: Version,
    },
    /// The installed product of that name comes from another repository.
    #[error("`{product}` is installed from another repository, {installed}")]
    OtherRepository {
        /// The product.
        product: ProductName,
        /// Where the installed one comes from.
        installed: Anchor,
    },
    /// A file on disk is not what was verified.
    #[error("`{}` is not what was verified: {}", show(.path), escape(.reason))]
    ContentChanged {
        /// Which file.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// The product has no file of that name.
    #[error("`{product}` has no file `{}`", escape(.name))]
    NoSuchFile {
        /// The product.
        product: ProductName,
        /// The name asked for.
        name: String,
        /// The names there are.
        names: Vec<FileName>,
    },
    /// More bytes arrived than the release lists.
    #[error("more than the {length} bytes of `{name}` were sent")]
    TooLarge {
        /// The file.
        name: FileName,
        /// The listed length in bytes.
        length: u64,
    },
    /// Fewer bytes arrived than the release lists.
    #[error("only {got} of the {length} bytes of `{name}` were sent")]
    TooShort {
        /// The file.
        name: FileName,
        /// The listed length in bytes.
        length: u64,
        /// What arrived.
        got: u64,
    },
    /// The right number of bytes arrived, and they are others.
    #[error("`{name}` has SHA-256 {got}, released was {listed}")]
    DigestMismatch {
        /// The file.
        name: FileName,
        /// What the release lists.
        listed: Sha256Digest,
        /// What arrived.
        got: Sha256Digest,
    },
    /// The bytes are those of one thing that the release lists about them, and not of another: what is listed is wrong.
    #[error("the entry of `{name}` contradicts itself: the file of its SHA-256 has another {what}")]
    EntryWrong {
        /// The file.
        name: FileName,
        /// `length` or `SHA-512`.
        what: &'static str,
    },
    /// More files or generations than the record can hold.
    #[error("{what}: {count}, the most is {max}")]
    Limit {
        /// Of what there are too many.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The caller gave files that are not one version of one product for one platform.
    #[error("the files to activate are not one release: {reason}")]
    NotOneRelease {
        /// What differs.
        reason: &'static str,
    },
}

/// What helps against a damaged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The second copy is whole: [`crate::Installer::repair`] restores the record from it.
    FromCopy,
    /// Both are lost: the product's folder must be moved away and the product installed anew.
    Reinstall,
}

impl InstallError {
    /// A closure for `map_err` that says what was tried on what.
    pub(crate) fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Storage { action, path, source }
    }

    pub(crate) fn changed(path: &Path, reason: impl Into<String>) -> Self {
        Self::ContentChanged { path: path.to_owned(), reason: reason.into() }
    }
}

impl From<StoreError> for InstallError {
    fn from(error: StoreError) -> Self {
        let path = error.path().unwrap_or(Path::new("")).to_owned();
        match error {
            StoreError::Io { operation, source, .. } => Self::Storage { action: operation, path, source },
            other => Self::Storage { action: "use", path, source: io::Error::other(other.to_string()) },
        }
    }
}

impl Explain for InstallError {
    fn code(&self) -> Code {
        match self {
            Self::Locked { .. } => code::INSTALL_LOCKED,
            Self::Storage { .. } => code::INSTALL_STORAGE_FAILED,
            Self::StateDamaged { .. } | Self::Planted { .. } => code::INSTALL_STATE_DAMAGED,
            Self::NotInstalled { .. } => code::INSTALL_NOT_INSTALLED,
            Self::NoPrevious { .. } => code::INSTALL_NO_PREVIOUS,
            Self::BelowFloor { .. } => code::INSTALL_BELOW_FLOOR,
            Self::Downgrade { .. } => code::INSTALL_DOWNGRADE,
            Self::OtherRepository { .. } => code::INSTALL_AMBIGUOUS,
            Self::ContentChanged { .. } => code::INSTALL_CONTENT_CHANGED,
            Self::NoSuchFile { .. } => code::FILE_NOT_FOUND,
            Self::TooLarge { .. } => code::FETCH_TOO_LARGE,
            Self::TooShort { .. } | Self::DigestMismatch { .. } => code::ARTIFACT_DIGEST_MISMATCH,
            Self::EntryWrong { .. } => code::TUF_TARGET_MISMATCH,
            Self::Limit { .. } => code::LIMIT_EXCEEDED,
            Self::NotOneRelease { .. } => code::INTERNAL_ERROR,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => Some("wait until it is done, then run the command again".to_owned()),
            Self::Storage { path, source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some(format!("make room on the disk of `{}`, then run the command again", show(path)))
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("make `{}` writable for this user, or use another --root", show(path)))
                }
                io::ErrorKind::CrossesDevices => {
                    Some("keep the whole root on one file system, or use another --root".to_owned())
                }
                _ => None,
            },
            Self::StateDamaged { repair: Repair::FromCopy, .. } => Some(
                "run `countersign fsck --repair` with the same --root; a second copy is whole".to_owned(),
            ),
            Self::StateDamaged { path, repair: Repair::Reinstall, .. } => Some(format!(
                "move `{}` and the product's folder away, then install the product again",
                show(path)
            )),
            Self::Planted { path, .. } => Some(format!("move `{}` away", show(path))),
            Self::NotInstalled { product } => {
                Some(format!("`countersign install {product}`, or name the folder that has it with --root"))
            }
            Self::Downgrade { .. } => {
                Some("if this is meant, name the version, PRODUCT@VERSION, and add --downgrade".to_owned())
            }
            Self::OtherRepository { .. } => {
                Some("use another --root for a product of the same name".to_owned())
            }
            Self::ContentChanged { .. } => Some(
                "install that version again, by its number; `countersign fsck` lists every file that changed"
                    .to_owned(),
            ),
            Self::NoSuchFile { names, .. } => {
                let names: Vec<&str> = names.iter().map(FileName::as_str).collect();
                Some(format!("it has {}", names.join(", ")))
            }
            _ => None,
        }
    }
}

/// A path as text that is safe on a terminal.
pub(crate) fn show(path: &Path) -> String {
    escape(&path.to_string_lossy())
}
