//! What can be wrong with a note, a verifier key or signing.

use countersign_base::Explain;
use countersign_base::code::{self, Code};
use countersign_crypto::{Algorithm, SignerError};

use super::{MAX_KEY_NAME_BYTES, MAX_NOTE_BYTES, MAX_SIGNATURES, MAX_VKEY_BYTES};
use crate::text::excerpt;

/// A note that is not well-formed or that no known key vouches for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Over [`MAX_NOTE_BYTES`].
    #[error("the signed note is longer than {MAX_NOTE_BYTES} bytes")]
    TooLarge,
    /// Over [`MAX_SIGNATURES`].
    #[error("the signed note has more than {MAX_SIGNATURES} signature lines")]
    TooManySignatures,
    /// The bytes are not text.
    #[error("the signed note is not UTF-8")]
    NotUtf8,
    /// A control character other than newline.
    #[error("the signed note has a control character")]
    ControlCharacter,
    /// The last byte, of the note or of its text, is not a newline.
    #[error("the signed note does not end in a newline")]
    Unterminated,
    /// No blank line, or nothing after it.
    #[error("the signed note has no signature")]
    NoSignatures,
    /// A line after the blank line that is not a signature.
    #[error("`{line}` is not a signature line")]
    SignatureLine {
        /// How it begins, escaped.
        line: String,
    },
    /// None of the known keys signed.
    #[error("none of the known keys signed the note")]
    NoKnownKey,
    /// A signature under a known key's name and id that this key did not make.
    #[error("the signature of `{}` is broken", countersign_base::text::escape(.name))]
    Signature {
        /// The known key's name.
        name: String,
    },
    /// Two known keys have this name and id.
    #[error("two known keys have the name `{}` and the id {id:08x}", countersign_base::text::escape(.name))]
    Ambiguous {
        /// The keys' name.
        name: String,
        /// The keys' id.
        id: u32,
    },
}

impl NoteError {
    pub(super) fn signature_line(line: &str) -> Self {
        Self::SignatureLine { line: excerpt(line) }
    }
}

impl Explain for NoteError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge | Self::TooManySignatures => code::LIMIT_EXCEEDED,
            Self::NotUtf8
            | Self::ControlCharacter
            | Self::Unterminated
            | Self::NoSignatures
            | Self::SignatureLine { .. } => code::LOG_PROOF_MALFORMED,
            Self::NoKnownKey => code::LOG_KEY_UNKNOWN,
            Self::Signature { .. } => code::LOG_SIGNATURE_INVALID,
            Self::Ambiguous { .. } => code::LOG_POLICY_INVALID,
        }
    }
}

/// A text that is not a verifier key that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VkeyError {
    /// Over [`MAX_VKEY_BYTES`].
    #[error("a verifier key is longer than {MAX_VKEY_BYTES} bytes")]
    TooLarge,
    /// Not `name+id+key`, or not in the one canonical form.
    #[error("`{text}` is not a verifier key of the form name+id+key")]
    Form {
        /// How it begins, escaped.
        text: String,
    },
    /// Empty, too long, or with spaces, plus or control characters.
    #[error("`{name}` cannot be a key name: 1 to {MAX_KEY_NAME_BYTES} bytes without spaces and `+`")]
    Name {
        /// How it begins, escaped.
        name: String,
    },
    /// A type byte that is not read here.
    #[error("a verifier key of type {byte:#04x} is not supported")]
    Type {
        /// The type byte.
        byte: u8,
    },
    /// The bytes are no public key of the type.
    #[error("the public key of `{}` is not valid", countersign_base::text::escape(.name))]
    Key {
        /// The key's name.
        name: String,
    },
    /// The id is not the one computed from name, type and key.
    #[error("the id {got:08x} of `{}` does not belong to its key: {want:08x}", countersign_base::text::escape(.name))]
    Id {
        /// The key's name.
        name: String,
        /// As computed.
        want: u32,
        /// As written.
        got: u32,
    },
}

impl Explain for VkeyError {
    fn code(&self) -> Code {
        code::LOG_POLICY_INVALID
    }
}

/// Why a note or checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The text cannot be in a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The name cannot be a key's.
    #[error(transparent)]
    Key(#[from] VkeyError),
    /// No signature type for such a key.
    #[error("a log or witness cannot sign with {0}: use ed25519 or ml-dsa-44")]
    Algorithm(Algorithm),
    /// The time cannot be in a cosignature: 0 means that none is stated.
    #[error("a cosignature cannot be dated 1970-01-01T00:00:00Z")]
    Time,
    /// A name or origin that does not fit an ML-DSA-44 cosignature.
    #[error("a name or origin in an ML-DSA-44 cosignature has 1 to 255 bytes")]
    NameLength,
    /// The signer refused or failed.
    #[error("the signer failed")]
    Signer(#[from] SignerError),
}

impl Explain for SignError {
    fn code(&self) -> Code {
        match self {
            Self::Note(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Signer(error) => error.code(),
            Self::Algorithm(_) | Self::Time | Self::NameLength => code::USAGE,
        }
    }
}
