//! Verifier keys: `name+id+base64(type || public key)`.

use core::fmt;
use core::str::FromStr;

use countersign_crypto::{Algorithm, PublicKey, Sha256};

use super::VkeyError;
use crate::text::{excerpt, from_base64, to_base64};

/// Longest key name; one byte tells its length in an ML-DSA-44 cosignature.
pub const MAX_KEY_NAME_BYTES: usize = 255;

/// Longest verifier key text: the longest name and an ML-DSA-44 key of 1,312 bytes in base64.
pub const MAX_VKEY_BYTES: usize = MAX_KEY_NAME_BYTES + 2 + 8 + 1752;

/// The signature types that are read and made here (signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureType {
    /// 0x01: Ed25519 over the note's text. Logs sign so.
    Ed25519,
    /// 0x04: Ed25519 over time and text (cosignature/v1). Witnesses sign so.
    Ed25519Cosignature,
    /// 0x06: ML-DSA-44 over time, origin, size and root (subtree/v1). Logs and witnesses sign so.
    MlDsa44Cosignature,
}

impl SignatureType {
    /// The byte before the public key.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44Cosignature => 0x06,
        }
    }

    /// What such a key is.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => Algorithm::Ed25519,
            Self::MlDsa44Cosignature => Algorithm::MlDsa44,
        }
    }

    /// Whether a log may sign checkpoints so.
    pub const fn is_for_logs(self) -> bool {
        matches!(self, Self::Ed25519 | Self::MlDsa44Cosignature)
    }

    /// Whether a witness may cosign checkpoints so.
    pub const fn is_for_witnesses(self) -> bool {
        matches!(self, Self::Ed25519Cosignature | Self::MlDsa44Cosignature)
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::Ed25519Cosignature),
            0x06 => Some(Self::MlDsa44Cosignature),
            _ => None,
        }
    }
}

/// A key that can verify notes: name, type and public key, and the short id that follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: u32,
    kind: SignatureType,
    key: PublicKey,
}

impl VerifierKey {
    /// # Errors
    /// The name cannot be a key's, or the public key is not one of this type.
    pub fn new(name: &str, kind: SignatureType, key: PublicKey) -> Result<Self, VkeyError> {
        if !is_name(name) || name.len() > MAX_KEY_NAME_BYTES {
            return Err(VkeyError::Name { name: excerpt(name) });
        }
        if key.algorithm() != kind.algorithm() {
            return Err(VkeyError::Key { name: name.to_owned() });
        }
        let id = key_id(name, kind, &key);
        Ok(Self { name: name.to_owned(), id, kind, key })
    }

    /// The key of a log that signs with `key`: type 0x01 for Ed25519, 0x06 for ML-DSA-44.
    pub fn for_log(name: &str, key: &PublicKey) -> Result<Self, VkeyError> {
        let kind = match key.algorithm() {
            Algorithm::MlDsa44 => SignatureType::MlDsa44Cosignature,
            _ => SignatureType::Ed25519,
        };
        Self::new(name, kind, key.clone())
    }

    /// The key of a witness that cosigns with `key`: type 0x04 for Ed25519, 0x06 for ML-DSA-44.
    pub fn for_witness(name: &str, key: &PublicKey) -> Result<Self, VkeyError> {
        let kind = match key.algorithm() {
            Algorithm::MlDsa44 => SignatureType::MlDsa44Cosignature,
            _ => SignatureType::Ed25519Cosignature,
        };
        Self::new(name, kind, key.clone())
    }

    /// The name in signature lines. For a log it is the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short identifier in signature lines.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What its signatures are over.
    pub const fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The public key itself, by which duplicates are told.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }
}

/// The key id: the first four bytes of SHA-256(name, newline, type byte, public key).
pub fn key_id(name: &str, kind: SignatureType, key: &PublicKey) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update(&[b'\n', kind.byte()]);
    hasher.update(key.as_raw());
    let [a, b, c, d, ..] = *hasher.finish().as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend_from_slice(self.key.as_raw());
        write!(f, "{}+{:08x}+{}", self.name, self.id, to_base64(&bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, VkeyError> {
        if text.len() > MAX_VKEY_BYTES {
            return Err(VkeyError::TooLarge);
        }
        let form = || VkeyError::Form { text: excerpt(text) };
        // Base64 may have `+` too, so only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let canonical = id.len() == 8 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let got = if canonical { u32::from_str_radix(id, 16).ok() } else { None }.ok_or_else(form)?;
        let bytes = from_base64(key).ok_or_else(form)?;
        let (byte, raw) = bytes.split_first().ok_or_else(form)?;
        let kind = SignatureType::from_byte(*byte).ok_or(VkeyError::Type { byte: *byte })?;
        let key =
            PublicKey::from_raw(kind.algorithm(), raw).map_err(|_| VkeyError::Key { name: excerpt(name) })?;
        let key = Self::new(name, kind, key)?;
        if key.id == got { Ok(key) } else { Err(VkeyError::Id { name: key.name, want: key.id, got }) }
    }
}

/// Whether a text can be a key's name: not empty, without Unicode spaces, plus or control characters.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c == '+' || c < ' ' || c.is_whitespace())
}
