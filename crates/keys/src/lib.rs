//! Where secret keys are and how they are used: a directory of keys, the log of their use, their end, their escrow.
//!
//! A key named `NAME` is described by `NAME.pub`: what it is for and its public half, as JSON. Its secret is
//! - in `NAME.key`, mode 0600: as JSON, encrypted with a passphrase in the age format (<https://c2sp.org/age>, scrypt
//!   recipient; `age --decrypt` opens it), or not encrypted if it was made so. The `.pub` is written last: a key
//!   without it was never handed out, and making it again completes it;
//! - or elsewhere, where the `.pub` says ([`place`]): a token, an SSH agent, a remote signer.
//!
//! `NAME.end` says that it was retired or revoked ([`lifecycle`]). Such a key, and an expired one, signs nothing.
//! `NAME.escrow` says how it was split into shares last ([`escrow`]).
//! Files are written durably, and keys are never overwritten. A `NAME.key` that others can read is refused, as ssh
//! does. Passphrases and PINs come from an [`Asker`]. [`usage`] records each signature before it is given out;
//! [`escrow`] splits a secret into shares.
//!
//! Nothing here prints, and no secret shows in `Debug` or in an error.
#![forbid(unsafe_code)]

mod ask;
mod dir;
mod error;
pub mod escrow;
mod files;
mod info;
mod key_ref;
pub mod lifecycle;
mod passphrase;
pub mod place;
mod seal;
mod secret;
pub mod usage;

pub use ask::{Asker, MAX_KNOWN, Remembering};
pub use dir::{KeyDir, MAX_KEYS};
pub use error::KeysError;
pub use files::MAX_KEY_FILE_BYTES;
pub use info::{KeyInfo, MAX_CADENCE_DAYS, NewKey, Stage};
pub use key_ref::{KeyRef, OpenedKey};
pub use passphrase::{MAX_PASSPHRASE_BYTES, Passphrase, Protection};
pub use place::Place;
pub use seal::{MAX_WORK_FACTOR, WORK_FACTOR};
