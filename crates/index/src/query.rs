//! What an index can be asked.

use std::str::FromStr;

use countersign_base::{Anchor, Sha256Digest, Timestamp};

use crate::error::IndexError;

/// Most terms of one question.
pub const MAX_TERMS: usize = 16;
/// Longest term in bytes.
const MAX_TERM_BYTES: usize = 2048;
/// Longest digest in hex: of SHA-512.
const MAX_DIGEST_CHARS: usize = 128;
/// Length of a day: `2026-11-21`.
const DAY_CHARS: usize = 10;

/// Terms all of which an entry must meet, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What is asked for.
    pub terms: Vec<Term>,
    /// Only entries behind this one.
    pub after: Option<u64>,
    /// Most entries to give, at most [`MAX_FOUND`](crate::MAX_FOUND).
    pub limit: usize,
}

/// One term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// `digest:HEX`, or `digest:sha256:HEX`: of a file that metadata adds, removes or lists, of a document, of what a record signs.
    Digest(String),
    /// `product:NAME` or `product:NAME@VERSION`: metadata about a product's files.
    Product(String, Option<String>),
    /// `role:NAME` or `role:NAME@NUMBER`: a role's metadata.
    Role(String, Option<u64>),
    /// `key:HEX`: what a key signed, by TUF key id or SHA-256 of its DER form.
    Key(String),
    /// `leaf:HEX`: by leaf hash.
    Leaf(Sha256Digest),
    /// `repository:ANCHOR`
    Repository(Anchor),
    /// `time:FROM..TO`, either left out: entries that were in the log by then, and not by `FROM`. A day without a time
    /// is all of it.
    Time(Option<Timestamp>, Option<Timestamp>),
}

impl FromStr for Term {
    type Err = IndexError;

    fn from_str(text: &str) -> Result<Self, IndexError> {
        let refused = |why| IndexError::Term {
            term: countersign_base::text::escape(&text.chars().take(80).collect::<String>()),
            why,
        };
        if text.len() > MAX_TERM_BYTES || text.chars().any(char::is_control) {
            return Err(refused("it is too long or has control characters"));
        }
        let (kind, value) = text.split_once(':').ok_or_else(|| refused("it has no colon"))?;
        if value.is_empty() {
            return Err(refused("nothing is behind the colon"));
        }
        let (name, version) = match value.rsplit_once('@') {
            Some((name, version)) => (name.to_owned(), Some(version)),
            None => (value.to_owned(), None),
        };
        match kind {
            "digest" => {
                let value = value.strip_prefix("sha256:").unwrap_or(value);
                hex_digest(value).map(Self::Digest).ok_or_else(|| refused("it is not a digest in hex"))
            }
            "product" => Ok(Self::Product(name, version.map(str::to_owned))),
            "role" => match version.map(str::parse) {
                None => Ok(Self::Role(name, None)),
                Some(Ok(number)) => Ok(Self::Role(name, Some(number))),
                Some(Err(_)) => Err(refused("a role's version is a number")),
            },
            "key" => Ok(Self::Key(value.to_owned())),
            "leaf" => value.parse().map(Self::Leaf).map_err(|_| refused("it is not a SHA-256 in hex")),
            "repository" => value.parse().map(Self::Repository).map_err(|_| refused("it is not an anchor")),
            "time" => parse_times(value)
                .ok_or_else(|| refused("it is not FROM..TO, as 2026-11-21.. or 2026-11-21T14:00:00Z..")),
            _ => Err(refused("nothing is indexed by that")),
        }
    }
}

fn hex_digest(text: &str) -> Option<String> {
    let good = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() <= MAX_DIGEST_CHARS;
    (good && matches!(text.len(), 64 | 96 | 128)).then(|| text.to_ascii_lowercase())
}

fn parse_times(text: &str) -> Option<Term> {
    let (from, to) = text.split_once("..")?;
    let time = |text: &str, of_day: &str| match text.len() {
        0 => Some(None),
        DAY_CHARS => format!("{text}{of_day}").parse().ok().map(Some),
        _ => text.parse().ok().map(Some),
    };
    let (from, to) = (time(from, "T00:00:00Z")?, time(to, "T23:59:59Z")?);
    (from.is_some() || to.is_some()).then_some(Term::Time(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_of_it() {
        let time = |text: &str| Some(text.parse().unwrap());
        let day: Term = "time:2026-11-21..2026-11-21".parse().unwrap();
        assert_eq!(day, Term::Time(time("2026-11-21T00:00:00Z"), time("2026-11-21T23:59:59Z")));
    }
}
