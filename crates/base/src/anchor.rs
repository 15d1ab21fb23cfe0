//! The trust anchor: one line from which a client bootstraps everything.
//!
//! `csn1…` is bech32m (BIP 350) of the SHA-256 of `1.root.json`, human-readable part `csn`. It finds any
//! typo of up to four characters, so a mistyped anchor is told apart from a wrong one.

use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};

use crate::code::{self, Code, Explain};
use crate::digest::Sha256Digest;

/// Human-readable part: bech32 puts `1` after it, hence `csn1`.
const HRP: Hrp = Hrp::parse_unchecked("csn");

/// Longest text that [`Anchor`] tries to parse; a real one has 62 characters.
pub const MAX_ANCHOR_CHARS: usize = 90;

/// The SHA-256 of a repository's first root metadata file: which repository is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anchor(pub Sha256Digest);

/// A line that is not an anchor: a typo, a cut, or something else altogether.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a trust anchor: {reason}")]
pub struct AnchorError {
    reason: &'static str,
}

impl Explain for AnchorError {
    fn code(&self) -> Code {
        code::TRUST_ANCHOR_MALFORMED
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, HRP, self.0.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Anchor {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, AnchorError> {
        let error = |reason| AnchorError { reason };
        if text.len() > MAX_ANCHOR_CHARS {
            return Err(error("it is too long"));
        }
        if !text.starts_with("csn1") {
            return Err(error("it does not begin with csn1"));
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| error("its checksum does not fit, so a character is wrong or missing"))?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| error("it has the wrong length"))?;
        let anchor = Self(Sha256Digest(bytes));
        // Only the canonical text: bech32 also allows upper case and nonzero padding bits.
        if anchor.to_string() != text {
            return Err(error("it is not written in its one canonical form"));
        }
        Ok(anchor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_round_trip_and_typos_are_found() {
        let anchor = Anchor(Sha256Digest([7; 32]));
        let text = anchor.to_string();
        assert!(text.starts_with("csn1"), "{text}");
        assert_eq!(text.parse(), Ok(anchor));
        for index in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[index] = if typo[index] == b'q' { b'p' } else { b'q' };
            let typo = String::from_utf8(typo).unwrap();
            assert!(typo.parse::<Anchor>().is_err(), "{typo}");
            assert!(text[..index].parse::<Anchor>().is_err());
        }
        assert!(text.to_uppercase().parse::<Anchor>().is_err());
        assert!(format!("{text} ").parse::<Anchor>().is_err());
    }
}
