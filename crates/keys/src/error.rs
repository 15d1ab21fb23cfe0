//! What can go wrong with keys on disk. No variant ever holds a secret or a part of one.

use std::io;
use std::path::{Path, PathBuf};

use countersign_base::code::{self, Class, Code, Explain};
use countersign_base::name::{KeyName, NameError};
use countersign_base::text::escape;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{Algorithm, KeyError, PublicKey};
use countersign_log::LogError;
use countersign_store::StoreError;

use crate::lifecycle::{Mark, MarkKind};
use crate::place::PlaceError;
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
    #[error(transparent)]
    Name(#[from] NameError),
    /// Text that names no stage.
    #[error("`{}` is not a stage of a key", escape(.text))]
    Stage {
        /// The text, shortened.
        text: String,
    },
    /// A holder whom metadata could not name.
    #[error(
        "a key's holder must be named by 1 to 64 characters of printable ASCII, without spaces at its ends, two spaces in \
         a row, commas, semicolons, quotes or brackets"
    )]
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
    /// A PIN is needed and there is none; for callbacks to return.
    #[error("the token `{}` needs a PIN: {}", escape(.token), escape(.reason))]
    PinMissing {
        /// The token's label.
        token: String,
        /// Why there is none, such as "the input is not a terminal".
        reason: String,
    },
    /// A keys directory, or the public half of a key, that users other than its owner can change.
    #[error("{} has mode {mode:04o}: other users can change it", shown(.path))]
    Changeable {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file with a passphrase or PIN in it that other users can get at; for callbacks to return.
    #[error("{} has mode {mode:04o}: other users can get at the secret in it", shown(.path))]
    AnswerExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
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
    /// The key's time is over.
    #[error("the key `{name}` expired on {expired}")]
    Expired {
        /// The key's name.
        name: KeyName,
        /// When.
        expired: Timestamp,
    },
    /// The key was retired or revoked.
    #[error("the key `{name}` was {} on {}: {}", .mark.kind, .mark.at, escape(&.mark.why))]
    Marked {
        /// The key's name.
        name: KeyName,
        /// Since when and why.
        mark: Box<Mark>,
    },
    /// A lifetime that ends before it begins, or a cadence that is none.
    #[error("a key must expire after it was made, and its cadence must be 1 to 36500 days")]
    Lifetime,
    /// A reason that is empty, too long or not printable.
    #[error("a reason must be 1 to 512 bytes of text on one line")]
    Reason,
    /// A key that is elsewhere than this needs it to be.
    #[error("the key `{name}` is not in a file: {need}")]
    NotAFile {
        /// The key's name.
        name: KeyName,
        /// What needs it to be one.
        need: &'static str,
    },
    /// Text that names no key.
    #[error("`{}` names no key: it is neither the path of a .key or .pub file nor a place", escape(.text))]
    Reference {
        /// The text, shortened.
        text: String,
    },
    /// A key of another scheme than it was said to be of.
    #[error("the key is of the scheme {found}, not {wanted}")]
    Scheme {
        /// What it is of.
        found: Algorithm,
        /// What was said.
        wanted: Algorithm,
    },
    /// Two schemes that make no hybrid pair.
    #[error("a pair of keys is a classical key and one of ML-DSA")]
    Pair,
    /// A key that is not in a file could not be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The disk or the permissions refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of key usage could not be written; nothing was signed.
    #[error("the use of the key could not be recorded, so nothing is signed")]
    Usage {
        /// The log's answer.
        source: Box<LogError>,
    },
    /// The log of key usage is not what it was.
    #[error("the log of key usage in {} is damaged: {what}", shown(.dir))]
    UsageDamaged {
        /// Its folder.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A signature that was made without a record.
    #[error(
        "the log of key usage lacks a signature by {public} on the SHA-256 {digest}{}", more(*.others)
    )]
    UsageMissing {
        /// Who signed.
        public: Box<PublicKey>,
        /// SHA-256 of what was signed.
        digest: Sha256Digest,
        /// How many more it lacks.
        others: usize,
    },
    /// Text that is no head of the log.
    #[error("`{}` is no head of a log of key usage, which is SIZE:ROOT", escape(.text))]
    Head {
        /// The text, shortened.
        text: String,
    },
    /// A share that is not as it was made, or does not belong to the others.
    #[error("share {share} cannot be used: {reason}")]
    Share {
        /// Which: its number, where known, and where it was read from. Never a part of its secret.
        share: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No share at all.
    #[error("no share of a key was given")]
    NoShares,
    /// Too few shares.
    #[error("{have} of the {need} shares that recover the key `{name}` are here")]
    ShareThreshold {
        /// The key's name.
        name: KeyName,
        /// Good shares.
        have: usize,
        /// How many it takes.
        need: usize,
    },
    /// Numbers that no key is split by.
    #[error("a key is split into 2 to {limit} shares, of which 2 or more recover it")]
    ShareNumbers {
        /// Most shares.
        limit: u8,
    },
    /// The system's randomness, or a read, was refused.
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
            Self::Name(_) | Self::Stage { .. } | Self::Holder => code::NAME_INVALID,
            Self::Malformed { .. } | Self::WorkFactor { .. } => code::KEY_MALFORMED,
            Self::Key { source, .. } | Self::Make(source) => source.code(),
            Self::TooMany { .. } => code::LIMIT_EXCEEDED,
            Self::Exposed { .. }
            | Self::Changeable { .. }
            | Self::AnswerExposed { .. }
            | Self::Storage { .. } => code::KEY_STORAGE_FAILED,
            Self::PassphraseWrong { .. } => code::KEY_PASSPHRASE_WRONG,
            Self::PassphraseMissing { .. } | Self::PinMissing { .. } | Self::PassphraseLength => {
                code::KEY_PASSPHRASE_MISSING
            }
            Self::Expired { .. } => code::KEY_EXPIRED,
            Self::Marked { .. } => code::KEY_REVOKED,
            Self::Lifetime
            | Self::Reason
            | Self::NotAFile { .. }
            | Self::Pair
            | Self::Reference { .. }
            | Self::Scheme { .. }
            | Self::ShareNumbers { .. }
            | Self::Head { .. } => code::USAGE,
            Self::Place(source) => source.code(),
            Self::Store(_) => code::KEY_STORAGE_FAILED,
            Self::Usage { source } => source.code(),
            Self::UsageDamaged { .. } => code::KEY_USAGE_DAMAGED,
            Self::UsageMissing { .. } => code::KEY_USAGE_MISSING,
            Self::Share { .. } => code::KEY_SHARE_INVALID,
            Self::ShareThreshold { .. } | Self::NoShares => code::KEY_SHARE_THRESHOLD,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Place(source) => source.class(),
            Self::Usage { source } => source.class(),
            Self::Key { source, .. } | Self::Make(source) => source.class(),
            other => other.code().class(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::NoDirectory { .. } => Some("name the folder that holds the repository's keys".to_owned()),
            Self::NotFound { .. } => {
                Some("name the directory that holds both NAME.key and NAME.pub of this key".to_owned())
            }
            Self::Exists { .. } => Some("choose another name, or move both of its files away".to_owned()),
            Self::Exposed { path, .. } | Self::AnswerExposed { path, .. } => {
                Some(format!("chmod 600 {}", shown(path)))
            }
            Self::Changeable { path, .. } => Some(format!("chmod go-w {}", shown(path))),
            Self::PinMissing { .. } => Some(
                "name a file whose first line is the PIN with COUNTERSIGN_PIN_FILE, or use a terminal"
                    .to_owned(),
            ),
            Self::Key { source, .. } | Self::Make(source) => source.fix(),
            Self::Expired { name, .. } => Some(format!(
                "make a key to follow it and put that in its place: countersign key rotate {name}"
            )),
            Self::Marked { mark, .. } if mark.kind == MarkKind::Retired => {
                Some("sign with the key that followed it".to_owned())
            }
            Self::Marked { .. } => {
                Some("sign with another key; a revoked one is never used again".to_owned())
            }
            Self::Place(source) => source.fix(),
            Self::Store(source) => source.fix(),
            Self::Usage { source } => source.fix(),
            Self::UsageDamaged { dir, .. } => Some(format!(
                "find out who changed it; restore {} from a copy, or keep it as evidence and move it away to begin a \
                 new one",
                shown(dir)
            )),
            Self::UsageMissing { public, .. } => {
                Some(format!("if no machine of yours made it, the key is stolen: revoke {public}"))
            }
            Self::Share { .. } => Some("leave it out, and use another share of the same set".to_owned()),
            Self::ShareThreshold { .. } => Some("ask the other holders for theirs".to_owned()),
            Self::WorkFactor { .. } => {
                Some("if the file is yours, encrypt it again with a lower work factor".to_owned())
            }
            _ => None,
        }
    }
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", and {others} more") }
}

/// A path as it can be shown to a person.
fn shown(path: &Path) -> String {
    format!("`{}`", escape(&path.to_string_lossy()))
}
