//! One share as a text file, or on paper.
//!
//! ```text
//! This is share 2 of 5 of the secret key `root-1`. Any 3 of them recover it; keep them apart.
//!
//! countersign-key-share 1
//! key {"apiVersion":"0.0.1","kind":"publickey","name":"root-1", ...}
//! needed 3
//! digest 1 4bf5...        SHA-256 of a label, the share's number and its value
//! digest 2 084f...        one line a share
//! set 6e34...             SHA-256 of a label and the lines from `key` to here
//! secret csks1qf...       bech32m: number, value, the first 4 bytes of the set
//! ```
//!
//! Every character is covered: the secret by its checksum (which finds any four wrong characters) and its digest, the
//! rest by the set's. A share parses only if it is written exactly so; line ends and blanks at a line's end are free.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use blahaj::Share as Point;
use countersign_base::Sha256Digest;
use countersign_base::text::escape;
use countersign_crypto::{SEED_BYTES, sha256};
use zeroize::Zeroizing;

use super::{MAX_SHARES, MIN_NEEDED};
use crate::error::KeysError;
use crate::info::{Document, KeyInfo};

/// Longest text of a share, in bytes: one of an ML-DSA-65 key has some 6 KiB.
pub const MAX_SHARE_BYTES: usize = 16 * 1024;

const HEAD: &str = "countersign-key-share 1";
const HRP: Hrp = Hrp::parse_unchecked("csks");
/// What the digest of a share begins with, and that of a set.
const SHARE_LABEL: &[u8] = b"countersign key share v1\0";
const SET_LABEL: &[u8] = b"countersign key share set v1\0";
/// Bytes of the set's digest in the secret line: enough to notice a line that was copied from another share.
const SET_TAG: usize = 4;

/// One share of a secret key. Its value is wiped when dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Share {
    /// Where it was read from, for messages; empty for one that was just made.
    source: String,
    info: KeyInfo,
    needed: u8,
    digests: Vec<Sha256Digest>,
    set: Sha256Digest,
    index: u8,
    value: Zeroizing<[u8; SEED_BYTES]>,
}

impl Share {
    /// All shares of a set, numbered from 1, of these values.
    pub(super) fn set(info: &KeyInfo, needed: u8, values: Vec<Zeroizing<[u8; SEED_BYTES]>>) -> Vec<Self> {
        let digests: Vec<Sha256Digest> =
            (1..).zip(&values).map(|(index, value)| value_digest(index, value)).collect();
        let set = set_digest(info, needed, &digests);
        let share = |(index, value)| Self {
            source: String::new(),
            info: info.clone(),
            needed,
            digests: digests.clone(),
            set,
            index,
            value,
        };
        (1..).zip(values).map(share).collect()
    }

    /// Reads a share. `source` says where it was read from, such as a file's name, for messages.
    ///
    /// # Errors
    /// `key-share-invalid`, naming `source` and, where it can be read, the share's number.
    pub fn parse(source: &str, text: &str) -> Result<Self, KeysError> {
        let invalid = |reason: &str| KeysError::Share {
            share: format!("`{}`", escape(source)),
            reason: reason.to_owned(),
        };
        if text.len() > MAX_SHARE_BYTES {
            return Err(invalid("it is larger than any share"));
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let mut fields = Fields::of(&lines);
        let mut field =
            |label| fields.take(label).ok_or_else(|| invalid("a line of it was changed, lost or moved"));
        let document: Document = serde_json::from_str(field("key")?)
            .map_err(|_| invalid("its description of the key was changed"))?;
        let info =
            KeyInfo::try_from(document).map_err(|_| invalid("its description of the key was changed"))?;
        let needed: u8 = field("needed")?.parse().map_err(|_| invalid("its numbers were changed"))?;
        let mut digests = Vec::new();
        // That the numbers are right is checked with all else that is not a value of its own, at the end.
        while let Ok(line) = field("digest") {
            let digest = line.split_once(' ').and_then(|(_, digest)| Sha256Digest::from_hex(digest).ok());
            digests.push(digest.ok_or_else(|| invalid("one of its digests was changed"))?);
        }
        let set = Sha256Digest::from_hex(field("set")?).map_err(|_| invalid("its set was changed"))?;
        let numbers = MIN_NEEDED..=u8::try_from(digests.len()).unwrap_or(u8::MAX);
        if digests.len() > MAX_SHARES.into() || !numbers.contains(&needed) {
            return Err(invalid("its numbers were changed"));
        }
        let (index, value, tag) = decode_secret(field("secret")?)
            .ok_or_else(|| invalid("a character of its secret line is wrong or missing"))?;
        let share = Self { source: source.to_owned(), info, needed, digests, set, index, value };
        share.check(&tag)?;
        let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        if !share.to_text().lines().eq(lines.iter().copied().take(end)) {
            return Err(share.invalid("it was changed"));
        }
        Ok(share)
    }

    /// Whether all its parts belong together.
    fn check(&self, tag: &[u8]) -> Result<(), KeysError> {
        if set_digest(&self.info, self.needed, &self.digests) != self.set {
            return Err(self.invalid("its description was changed"));
        }
        let listed = self.index.checked_sub(1).and_then(|place| self.digests.get(usize::from(place)));
        if self.set.as_bytes().get(..SET_TAG) != Some(tag)
            || listed != Some(&value_digest(self.index, &self.value))
        {
            return Err(self.invalid("its secret line is not the one that its set lists"));
        }
        Ok(())
    }

    /// Its text, to be given to one person. It is a secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        // All of its room at once: growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_SHARE_BYTES));
        text.push_str(&format!(
            "This is share {} of {} of the secret key `{}`. Any {} of them recover it; keep them apart.\n\n{HEAD}\n",
            self.index,
            self.count(),
            self.info.name,
            self.needed
        ));
        text.push_str(&set_lines(&self.info, self.needed, &self.digests));
        text.push_str(&format!("set {}\nsecret ", self.set));
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + SEED_BYTES + SET_TAG));
        bytes.push(self.index);
        bytes.extend_from_slice(self.value.as_ref());
        bytes.extend(self.set.as_bytes().iter().take(SET_TAG));
        // Cannot fail: 37 bytes are far below what bech32m takes, and a string takes all that is written.
        let _ = bech32::encode_lower_to_fmt::<Bech32m, _>(&mut *text, HRP, &bytes);
        text.push('\n');
        text
    }

    /// Its number, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// How many shares its set has.
    pub fn count(&self) -> usize {
        self.digests.len()
    }

    /// How many of them recover the key.
    pub const fn needed(&self) -> u8 {
        self.needed
    }

    /// What is known about the key.
    pub const fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Its set: equal for the shares of one splitting, and for no others.
    pub const fn set_id(&self) -> Sha256Digest {
        self.set
    }

    pub(super) fn invalid(&self, reason: &str) -> KeysError {
        let place =
            if self.source.is_empty() { String::new() } else { format!(" (`{}`)", escape(&self.source)) };
        let share = format!("{} of the key `{}`{place}", self.index, self.info.name);
        KeysError::Share { share, reason: reason.to_owned() }
    }

    /// As a point of the polynomials.
    pub(super) fn point(&self) -> Option<Point> {
        let mut bytes = Zeroizing::new([0; 1 + SEED_BYTES]);
        let (first, rest) = bytes.split_first_mut()?;
        *first = self.index;
        rest.copy_from_slice(self.value.as_ref());
        Point::try_from(bytes.as_slice()).ok()
    }
}

impl core::fmt::Debug for Share {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Share")
            .field("key", &self.info.name)
            .field("index", &self.index)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

/// The lines below the head, each with a label.
struct Fields<'a, 't> {
    lines: &'a [&'t str],
}

impl<'a, 't> Fields<'a, 't> {
    fn of(lines: &'a [&'t str]) -> Self {
        let head = lines.iter().position(|line| *line == HEAD).map_or(lines.len(), |head| head + 1);
        Self { lines: lines.get(head..).unwrap_or_default() }
    }

    /// The next line's value, if it has this label; else it stays the next.
    fn take(&mut self, label: &str) -> Option<&'t str> {
        let (line, rest) = self.lines.split_first()?;
        let value = line.strip_prefix(label)?.strip_prefix(' ')?;
        self.lines = rest;
        Some(value)
    }
}

fn decode_secret(text: &str) -> Option<(u8, Zeroizing<[u8; SEED_BYTES]>, [u8; SET_TAG])> {
    let checked = CheckedHrpstring::new::<Bech32m>(text).ok()?;
    if checked.hrp() != HRP {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SHARE_BYTES));
    bytes.extend(checked.byte_iter().take(2 + SEED_BYTES + SET_TAG));
    let (index, rest) = bytes.split_first()?;
    let (value, tag) = rest.split_at_checked(SEED_BYTES)?;
    let mut kept = Zeroizing::new([0; SEED_BYTES]);
    kept.copy_from_slice(value);
    Some((*index, kept, tag.try_into().ok()?))
}

fn value_digest(index: u8, value: &[u8; SEED_BYTES]) -> Sha256Digest {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SHARE_LABEL.len() + 1 + SEED_BYTES));
    bytes.extend_from_slice(SHARE_LABEL);
    bytes.push(index);
    bytes.extend_from_slice(value);
    sha256(&bytes)
}

fn set_digest(info: &KeyInfo, needed: u8, digests: &[Sha256Digest]) -> Sha256Digest {
    let mut bytes = SET_LABEL.to_vec();
    bytes.extend(set_lines(info, needed, digests).into_bytes());
    sha256(&bytes)
}

fn set_lines(info: &KeyInfo, needed: u8, digests: &[Sha256Digest]) -> String {
    let document = serde_json::to_string(&info.to_document()).unwrap_or_default();
    let mut lines = format!("key {document}\nneeded {needed}\n");
    for (number, digest) in (1u8..).zip(digests) {
        lines.push_str(&format!("digest {number} {digest}\n"));
    }
    lines
}
