//! The pieces that all C2SP text formats share: canonical decimals, base64 and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Sha256Digest;

use crate::merkle::Hash;

/// A count or index: ASCII decimal without sign or leading zeros, at most 2^63 - 1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = !text.is_empty()
        && text.len() <= 19
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !canonical {
        return None;
    }
    text.parse().ok().filter(|number| *number <= i64::MAX as u64)
}

/// Standard base64 with padding; any text that is not exactly what [`to_base64`] writes is refused.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (STANDARD.encode(&bytes) == text).then_some(bytes)
}

/// Standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A SHA-256 hash in base64: 44 characters.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    if text.len() != 44 {
        return None;
    }
    from_base64(text)?.try_into().ok().map(Sha256Digest)
}

/// At most 80 characters of untrusted text for a message.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    countersign_base::text::escape(&short)
}
