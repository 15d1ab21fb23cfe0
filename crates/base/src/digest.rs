//! SHA-2 digests as values. Computing them is `countersign-crypto`'s job.

use core::fmt;
use core::str::FromStr;

/// A digest written in lowercase hex that is not exactly that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest must be {expected} lowercase hex characters")]
pub struct DigestError {
    /// Characters the text should have had.
    pub expected: usize,
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The digest's bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads lowercase hex; anything else (length, upper case, spaces) is an error.
            pub fn from_hex(text: &str) -> Result<Self, DigestError> {
                let error = DigestError { expected: $len * 2 };
                if text.len() != $len * 2 || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(error);
                }
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| error)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                Self::from_hex(text)
            }
        }
    };
}

digest!(
    /// A SHA-256 digest; displays as lowercase hex.
    Sha256Digest,
    32
);
digest!(
    /// A SHA-512 digest; displays as lowercase hex.
    Sha512Digest,
    64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_must_be_exact_and_lowercase() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::from_hex(text).unwrap().to_string(), text);
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('e', "g")] {
            assert!(Sha256Digest::from_hex(bad).is_err(), "{bad}");
        }
    }
}
