//! Names of keys, which are names of files.

use core::fmt;
use core::str::FromStr;

use crate::error::KeysError;

/// Longest key name, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 64;

/// The name of a key: `[a-z0-9][a-z0-9._-]*` without `..`, so it is safe in a path on every file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeysError;

    /// # Errors
    /// `name-invalid`.
    fn from_str(text: &str) -> Result<Self, KeysError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let reason = match text.as_bytes() {
            [] => Some("it is empty"),
            bytes if bytes.len() > MAX_KEY_NAME_BYTES => Some("it is longer than 64 characters"),
            [first, ..] if !first.is_ascii_lowercase() && !first.is_ascii_digit() => {
                Some("it must begin with a-z or 0-9")
            }
            bytes if !bytes.iter().copied().all(allowed) => {
                Some("only a-z, 0-9, `.`, `_` and `-` are allowed")
            }
            _ if text.contains("..") => Some("it contains `..`"),
            _ => None,
        };
        match reason {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(KeysError::Name { name: text.chars().take(80).collect(), reason }),
        }
    }
}
