//! One use of a key as the bytes of a log entry, and the head that is remembered of the log.

use core::fmt;
use core::str::FromStr;

use countersign_base::canonical::rfc8785;
use countersign_base::json::{self, Json};
use countersign_base::text::escape;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::PublicKey;

use crate::error::KeysError;
use crate::info::KeyInfo;

/// Longest role that is written, in bytes; a longer one is cut.
pub const MAX_ROLE_BYTES: usize = 256;
/// Longest reason that is written, in bytes; a longer one is cut.
pub const MAX_WHY_BYTES: usize = 512;
/// Largest entry, in bytes: a public key of ML-DSA-65 takes 4 KiB of it.
pub const MAX_USE_BYTES: usize = 12 * 1024;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "keyuse";

/// What a key is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// What is signed: a TUF role such as `snapshot`, or `checkpoint`.
    pub role: String,
    /// Why: the act, such as `release node 1.4.0`.
    pub why: String,
}

/// One use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The key's name in its directory.
    pub key: String,
    /// Its public half.
    pub public: PublicKey,
    /// Who holds it.
    pub holder: String,
    /// What was signed.
    pub role: String,
    /// SHA-256 of the message, before any framing that the scheme adds.
    pub digest: Sha256Digest,
    /// Why.
    pub why: String,
    /// When.
    pub when: Timestamp,
}

impl Use {
    /// The use of `key` on a message of this SHA-256. Role and reason are escaped and cut rather than refused: an odd
    /// name must not keep a use out of the log.
    pub fn new(key: &KeyInfo, purpose: &Purpose, digest: Sha256Digest, when: Timestamp) -> Self {
        Self {
            key: key.name.to_string(),
            public: key.public.clone(),
            holder: key.holder.clone(),
            role: line(&purpose.role, MAX_ROLE_BYTES),
            digest,
            why: line(&purpose.why, MAX_WHY_BYTES),
            when,
        }
    }

    /// The entry's bytes: JSON in the form of RFC 8785.
    pub(super) fn encode(&self) -> Vec<u8> {
        rfc8785(&Json::object([
            ("apiVersion", Json::from(API_VERSION)),
            ("kind", Json::from(KIND)),
            ("key", Json::from(self.key.as_str())),
            ("public", Json::from(self.public.to_string())),
            ("holder", Json::from(self.holder.as_str())),
            ("role", Json::from(self.role.as_str())),
            ("sha256", Json::from(self.digest.to_string())),
            ("why", Json::from(self.why.as_str())),
            ("when", Json::from(self.when.to_string())),
        ]))
    }

    /// The use that an entry says. `None` unless the bytes are exactly what [`Use::encode`] writes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_USE_BYTES {
            return None;
        }
        let document = json::parse(bytes).ok()?;
        let text = |key| document.get(key).and_then(Json::as_str);
        let found = Self {
            key: text("key")?.to_owned(),
            public: text("public")?.parse().ok()?,
            holder: text("holder")?.to_owned(),
            role: text("role")?.to_owned(),
            digest: Sha256Digest::from_hex(text("sha256")?).ok()?,
            why: text("why")?.to_owned(),
            when: text("when")?.parse().ok()?,
        };
        (found.encode() == bytes).then_some(found)
    }
}

/// `text` as one line of at most `limit` bytes.
fn line(text: &str, limit: usize) -> String {
    let mut line = escape(text);
    while line.len() > limit {
        line.pop();
    }
    line
}

/// Size and root of the log: kept elsewhere, it shows later that nothing before it was cut or changed.
///
/// Displays as `SIZE:ROOT`, the root in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// Root hash of the tree over them.
    pub root: Sha256Digest,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.root)
    }
}

impl FromStr for Head {
    type Err = KeysError;

    /// # Errors
    /// `usage`.
    fn from_str(text: &str) -> Result<Self, KeysError> {
        let parsed = || {
            let (size, root) = text.split_once(':')?;
            let head = Self { size: size.parse().ok()?, root: Sha256Digest::from_hex(root).ok()? };
            (head.to_string() == text).then_some(head)
        };
        parsed().ok_or_else(|| KeysError::Head { text: text.chars().take(200).collect() })
    }
}
