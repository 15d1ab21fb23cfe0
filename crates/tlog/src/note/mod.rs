//! Signed notes: text with signature lines below it.
//!
//! Spec: <https://c2sp.org/signed-note>.
//! Input: bytes from any peer. Only canonical notes parse: `parse(b)?.encode() == b`.
//! Signature types: 0x01 Ed25519, 0x04 Ed25519 cosignature, 0x06 ML-DSA-44 cosignature. Others (0x02, 0x05) are
//! of unknown keys here, so they are ignored.
//! Not here: what the text of a checkpoint means (`checkpoint`), what cosignatures sign (`cosignature`).

mod error;
mod vkey;

pub use error::{NoteError, SignError, VkeyError};
pub use vkey::{MAX_KEY_NAME_BYTES, MAX_VKEY_BYTES, SignatureType, VerifierKey, key_id};

use countersign_crypto::{Algorithm, Signer};

use crate::cosignature;
use crate::text::{from_base64, to_base64};

/// Longest note that is read. Sixteen signatures of the largest post-quantum kind fit twice.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

/// Most signature lines that are read; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// What every signature line begins with: em dash, space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A well-formed note. Nothing in it has been verified until [`Note::verify`] said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: who claims to have signed, and the signature bytes without the key id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteSignature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// A signature of a note that a known key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSignature<'k> {
    /// The known key.
    pub key: &'k VerifierKey,
    /// POSIX seconds that the signature covers, for the types that have one; at most 2^63 - 1, may be 0.
    pub timestamp: Option<u64>,
}

impl Note {
    /// Puts signatures below a text.
    ///
    /// # Errors
    /// The text does not end in a newline or has control characters; there is no signature or there are more
    /// than [`MAX_SIGNATURES`]; the whole is longer than [`MAX_NOTE_BYTES`].
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(&text)?;
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let note = Self { text, signatures };
        if note.encode().len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        Ok(note)
    }

    /// Reads a note.
    ///
    /// # Errors
    /// `limit-exceeded` over [`MAX_NOTE_BYTES`] or [`MAX_SIGNATURES`], else `log-proof-malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        let note = core::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        if !note.ends_with('\n') {
            return Err(NoteError::Unterminated);
        }
        // The text may have empty lines: the last one separates it from the signatures.
        let split = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        check_text(text)?;
        if lines.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        if lines.bytes().filter(|byte| *byte == b'\n').count() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines
            .split_terminator('\n')
            .map(|line| NoteSignature::parse(line).ok_or_else(|| NoteError::signature_line(line)))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note as it is stored and sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.text.clone();
        out.push('\n');
        for signature in &self.signatures {
            out.push_str(&signature.to_line());
        }
        out.into_bytes()
    }

    /// The signed text with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, verified or not, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The same text with more signature lines below; lines that are there already are not repeated.
    pub fn with_signatures(&self, more: &[NoteSignature]) -> Result<Self, NoteError> {
        let mut signatures = self.signatures.clone();
        for signature in more {
            if !signatures.contains(signature) {
                signatures.push(signature.clone());
            }
        }
        Self::new(self.text.clone(), signatures)
    }

    /// Checks every signature that one of `keys` claims to have made; signatures of other keys are ignored.
    ///
    /// A key that signed twice in the same words is listed once. The result is never empty.
    ///
    /// # Errors
    /// `log-key-unknown`: none of the keys signed. `log-signature-invalid`: name and id of a signature are those
    /// of a known key, and the signature is not its: the note as a whole is refused. `log-policy-invalid`: two of
    /// the keys have the same name and id, so that a signature's key cannot be told.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<VerifiedSignature<'k>>, NoteError> {
        let verified = self.verify_known(keys.iter())?;
        if verified.is_empty() { Err(NoteError::NoKnownKey) } else { Ok(verified) }
    }

    /// As [`Note::verify`], but none of the keys need have signed.
    pub(crate) fn verify_known<'k>(
        &self,
        keys: impl Iterator<Item = &'k VerifierKey> + Clone,
    ) -> Result<Vec<VerifiedSignature<'k>>, NoteError> {
        let mut verified = Vec::new();
        for (index, signature) in self.signatures.iter().enumerate() {
            let mut matching = keys.clone().filter(|key| signature.claims(key));
            let Some(key) = matching.next() else { continue };
            if matching.next().is_some() {
                return Err(NoteError::Ambiguous { name: key.name().to_owned(), id: key.id() });
            }
            if self.signatures[..index].contains(signature) {
                continue;
            }
            let timestamp = verify_one(key, &self.text, &signature.bytes)
                .ok_or_else(|| NoteError::Signature { name: key.name().to_owned() })?;
            verified.push(VerifiedSignature { key, timestamp });
        }
        Ok(verified)
    }
}

impl NoteSignature {
    /// A signature by `key` whose bytes are as its type says.
    pub fn new(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), id: key.id(), bytes }
    }

    /// Name of the key that claims to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Short identifier of that key.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What follows the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether name and id are those of `key`. Says nothing about who signed.
    pub fn claims(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == key.name()
    }

    /// Reads a line without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        if !vkey::is_name(name) {
            return None;
        }
        let bytes = from_base64(signature)?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }

    /// The line with its newline.
    pub fn to_line(&self) -> String {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        format!("{SIGNATURE_PREFIX}{} {}\n", self.name, to_base64(&bytes))
    }
}

/// Signs a text with an Ed25519 key, type 0x01. Checkpoints are signed by `checkpoint::sign`.
///
/// # Errors
/// The text or the name cannot be in a note, the key is not Ed25519, or the signer refuses.
pub fn sign_note(text: &str, name: &str, signer: &dyn Signer) -> Result<NoteSignature, SignError> {
    check_text(text)?;
    if signer.public_key().algorithm() != Algorithm::Ed25519 {
        return Err(SignError::Algorithm(signer.public_key().algorithm()));
    }
    let key = VerifierKey::new(name, SignatureType::Ed25519, signer.public_key().clone())?;
    Ok(NoteSignature::new(&key, signer.sign(text.as_bytes())?))
}

/// The time that a good signature covers (`Some(None)` for a type without), or `None` for a broken one.
fn verify_one(key: &VerifierKey, text: &str, signature: &[u8]) -> Option<Option<u64>> {
    match key.kind() {
        SignatureType::Ed25519 => key.public_key().verify(text.as_bytes(), signature).ok().map(|()| None),
        SignatureType::Ed25519Cosignature | SignatureType::MlDsa44Cosignature => {
            cosignature::verify_bytes(key, text, signature).ok().map(Some)
        }
    }
}

/// A note's text: ends in a newline, no ASCII control character but newlines.
fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Unterminated);
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::ControlCharacter);
    }
    Ok(())
}
