//! What can go wrong with keys on disk. No variant ever holds a secret or a part of one.

use std::io;
use std::path::{Path, PathBuf};

use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::KeyError;

use crate::name::KeyName;
use crate::seal::MAX_WORK_FACTOR;

/// Why a key could not be made, found or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The keys directory is not there.
    #[error("there is no keys directory at {}", shown(.path))]
    NoDirectory {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No complete key of that name or public half.
    #[error("there is no key `{}` in {}", escape(.key), shown(.dir))]
    NotFound {
        /// Name or public key.
        key: String,
        /// The keys directory.
        dir: PathBuf,
    },
    /// A key of that name is there already.
    #[error("a key named `{name}` exists already in {}", shown(.dir))]
    Exists {
        /// The name.
        name: KeyName,
        /// The keys directory.
        dir: PathBuf,
    },
    /// A name that cannot be a key's.
    #[error("key name `{}` cannot be used: {reason}", escape(.name))]
    Name {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A holder that is empty, too long or not printable.
    #[error("a key's holder must be 1 to 128 bytes of text on one line")]
    Holder,
    /// A file that is not what its name says.
    #[error("{} is not a valid key file: {reason}", shown(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file with a key in it that must not be used.
    #[error("{} holds a key that cannot be used", shown(.path))]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A key could not be made.
    #[error("the key could not be made")]
    Make(#[from] KeyError),
    /// More keys in one directory than anyone has.
    #[error("{} holds more than {limit} keys", shown(.path))]
    TooMany {
        /// The keys directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A secret that users other than its owner can read or change.
    #[error("{} has mode {mode:04o}: other users can get at the secret key", shown(.path))]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the key `{name}`")]
    PassphraseWrong {
        /// The key's name.
        name: KeyName,
    },
    /// A passphrase is needed and there is none; for callbacks to return.
    #[error("the key `{}` needs a passphrase: {}", escape(.key), escape(.reason))]
    PassphraseMissing {
        /// The key's name.
        key: String,
        /// Why there is none, such as "the input is not a terminal".
        reason: String,
    },
    /// A passphrase of no characters, or of more than any person types.
    #[error("a passphrase must have 1 to 1024 bytes")]
    PassphraseLength,
    /// Opening the file would take far more work than our files ask for.
    #[error("{} asks for scrypt work factor {asked}, more than {MAX_WORK_FACTOR}", shown(.path))]
    WorkFactor {
        /// The file.
        path: PathBuf,
        /// log2 of N that the file asks for.
        asked: u8,
    },
    /// The disk, the permissions or the system's randomness refused.
    #[error("could not {operation} {}", shown(.path))]
    Storage {
        /// What was tried, such as "read".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl KeysError {
    /// Wraps an I/O error with what was tried on what.
    pub(crate) fn storage(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Storage { operation, path, source }
    }
}

impl Explain for KeysError {
    fn code(&self) -> Code {
        match self {
            Self::NoDirectory { .. } | Self::NotFound { .. } => code::KEY_NOT_FOUND,
            Self::Exists { .. } => code::KEY_EXISTS,
            Self::Name { .. } | Self::Holder => code::NAME_INVALID,
            Self::Malformed { .. } | Self::WorkFactor { .. } => code::KEY_MALFORMED,
            Self::Key { source, .. } | Self::Make(source) => source.code(),
            Self::TooMany { .. } => code::LIMIT_EXCEEDED,
            Self::Exposed { .. } | Self::Storage { .. } => code::KEY_STORAGE_FAILED,
            Self::PassphraseWrong { .. } => code::KEY_PASSPHRASE_WRONG,
            Self::PassphraseMissing { .. } | Self::PassphraseLength => code::KEY_PASSPHRASE_MISSING,
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::NoDirectory { .. } => Some("name the folder that holds the repository's keys".to_owned()),
            Self::NotFound { .. } => {
                Some("name the directory that holds both NAME.key and NAME.pub of this key".to_owned())
            }
            Self::Exists { .. } => Some("choose another name, or move both of its files away".to_owned()),
            Self::Exposed { path, .. } => Some(format!("chmod 600 {}", shown(path))),
            Self::Key { source, .. } | Self::Make(source) => source.fix(),
            Self::WorkFactor { .. } => {
                Some("if the file is yours, encrypt it again with a lower work factor".to_owned())
            }
            _ => None,
        }
    }
}

/// A path as it can be shown to a person.
fn shown(path: &Path) -> String {
    format!("`{}`", escape(&path.to_string_lossy()))
}
