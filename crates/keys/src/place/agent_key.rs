//! Which key of an SSH agent is meant: `ssh-agent:SHA256:FINGERPRINT` or `ssh-agent:COMMENT`.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use countersign_base::text::escape;

use super::error::PlaceError;

/// Scheme and colon.
pub(super) const SCHEME: &str = "ssh-agent:";
/// Longest comment that a key is chosen by, in bytes.
const MAX_COMMENT_BYTES: usize = 256;
/// How `ssh-keygen -l` begins a fingerprint.
const FINGERPRINT: &str = "SHA256:";

/// A key of an SSH agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentKey {
    /// By the SHA-256 of its public key's SSH form, as `ssh-keygen -l` shows it.
    Fingerprint([u8; 32]),
    /// By its comment, which must be that of one key only.
    Comment(String),
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(digest) => write!(f, "{SCHEME}{FINGERPRINT}{}", STANDARD_NO_PAD.encode(digest)),
            Self::Comment(comment) => write!(f, "{SCHEME}{comment}"),
        }
    }
}

impl FromStr for AgentKey {
    type Err = PlaceError;

    /// # Errors
    /// `key-place-invalid`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let invalid = |reason| PlaceError::invalid(text, reason);
        let key = text.strip_prefix(SCHEME).ok_or_else(|| invalid("it does not begin with `ssh-agent:`"))?;
        if let Some(fingerprint) = key.strip_prefix(FINGERPRINT) {
            let digest = STANDARD_NO_PAD.decode(fingerprint).ok();
            let digest = digest.and_then(|digest| digest.try_into().ok());
            return digest
                .map(Self::Fingerprint)
                .ok_or_else(|| invalid("its fingerprint is not SHA256: and 43 characters of base64"));
        }
        if key.is_empty() || key.len() > MAX_COMMENT_BYTES || escape(key) != key || key.trim() != key {
            return Err(invalid("its comment is empty, too long or not printable"));
        }
        Ok(Self::Comment(key.to_owned()))
    }
}
