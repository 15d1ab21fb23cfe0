//! Where secret keys live: a directory of files, each sealed with a passphrase or in plain text.
//!
//! A key named `NAME` is two files:
//! - `NAME.key`, mode 0600: the secret as JSON, encrypted with a passphrase in the age format
//!   (<https://c2sp.org/age>, scrypt recipient; `age --decrypt` opens it), or not encrypted if it was made so;
//! - `NAME.pub`: what the key is for and its public half, as JSON. It is written last: a key without it was never
//!   handed out, and making it again completes it.
//!
//! Files are written durably and never overwritten. A `NAME.key` that others can read is refused, as ssh does.
//! A passphrase is asked for by a callback each time a key is opened; remembering it is the caller's business.
//! Nothing here prints, and no secret shows in `Debug` or in an error.
#![forbid(unsafe_code)]

mod dir;
mod error;
mod files;
mod info;
mod name;
mod passphrase;
mod seal;
mod secret;

pub use dir::{KeyDir, MAX_KEYS};
pub use error::KeysError;
pub use files::MAX_KEY_FILE_BYTES;
pub use info::{KeyInfo, MAX_HOLDER_BYTES, NewKey, Stage};
pub use name::{KeyName, MAX_KEY_NAME_BYTES};
pub use passphrase::{AskPassphrase, MAX_PASSPHRASE_BYTES, Passphrase, Protection};
pub use seal::{MAX_WORK_FACTOR, WORK_FACTOR};
