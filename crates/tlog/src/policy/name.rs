//! Names and URLs in a policy: opaque octets without spaces.

use core::fmt;

use crate::text::excerpt;

/// Longest name or URL.
const MAX_BYTES: usize = 1024;

/// A name or URL in a policy. Compares by its octets; shows what is not UTF-8 as `�`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Vec<u8>);

impl PolicyName {
    /// `None` for what cannot be one item of a line: empty, too long, with spaces or control characters.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| matches!(byte, 0x21..=0x7e | 0x80..=0xff);
        (!bytes.is_empty() && bytes.len() <= MAX_BYTES && bytes.iter().all(allowed))
            .then(|| Self(bytes.to_vec()))
    }

    /// The octets as they stand in the policy.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&excerpt(&String::from_utf8_lossy(&self.0)))
    }
}
