//! Reading members of JSON objects, with errors that say where.

use std::collections::BTreeMap;

use countersign_base::Json;

use crate::error::TufError;
use crate::limits::MAX_VERSION;

/// Every member name that means something in an object of fixed members.
const NAMES: [&str; 30] = [
    "_type",
    "bit_length",
    "consistent_snapshot",
    "custom",
    "delegations",
    "expires",
    "hashes",
    "keyid",
    "keyids",
    "keys",
    "keytype",
    "keyval",
    "length",
    "meta",
    "name",
    "name_prefix",
    "path_hash_prefixes",
    "paths",
    "public",
    "roles",
    "scheme",
    "sig",
    "signatures",
    "signed",
    "spec_version",
    "succinct_roles",
    "targets",
    "terminating",
    "threshold",
    "version",
];

/// A member that a parser which folds case, as Go's does, reads as one of ours, and this one does not (attack M19).
pub(super) fn second_reading(members: &BTreeMap<String, Json>) -> Option<&str> {
    let fold = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    members.keys().map(String::as_str).filter(|name| !plain(name)).find(|name| {
        let folded: String = name.chars().map(fold).collect();
        NAMES.contains(&folded.as_str())
    })
}

/// The members of one object and its place in the file.
pub(super) struct Fields<'a> {
    at: String,
    members: &'a BTreeMap<String, Json>,
}

impl<'a> Fields<'a> {
    /// The members of `value`, which stands at `at`.
    pub(super) fn new(value: &'a Json, at: impl Into<String>) -> Result<Self, TufError> {
        let at = at.into();
        match value.as_object() {
            Some(members) => match second_reading(members) {
                Some(member) => {
                    let fields = Self { at, members };
                    Err(TufError::TwoReadings { at: fields.path(member) })
                }
                None => Ok(Self { at, members }),
            },
            None => Err(TufError::Malformed { at, reason: "is not an object" }),
        }
    }

    pub(super) fn error(&self, member: &str, reason: &'static str) -> TufError {
        TufError::Malformed { at: self.path(member), reason }
    }

    pub(super) fn path(&self, member: &str) -> String {
        if self.at.is_empty() { member.to_owned() } else { format!("{}.{member}", self.at) }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn optional(&self, member: &str) -> Option<&'a Json> {
        self.members.get(member)
    }

    pub(super) fn required(&self, member: &str) -> Result<&'a Json, TufError> {
        self.optional(member).ok_or_else(|| self.error(member, "is missing"))
    }

    pub(super) fn text(&self, member: &str) -> Result<&'a str, TufError> {
        self.required(member)?.as_str().ok_or_else(|| self.error(member, "is not a string"))
    }

    pub(super) fn boolean(&self, member: &str) -> Result<bool, TufError> {
        self.required(member)?.as_bool().ok_or_else(|| self.error(member, "is not true or false"))
    }

    pub(super) fn array(&self, member: &str) -> Result<&'a [Json], TufError> {
        self.required(member)?.as_array().ok_or_else(|| self.error(member, "is not an array"))
    }

    pub(super) fn object(&self, member: &str) -> Result<&'a BTreeMap<String, Json>, TufError> {
        self.required(member)?.as_object().ok_or_else(|| self.error(member, "is not an object"))
    }

    /// A version: from 1 to [`MAX_VERSION`].
    pub(super) fn version(&self, member: &str) -> Result<u64, TufError> {
        let number = self.required(member)?.as_integer().and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if (1..=MAX_VERSION).contains(&number) => Ok(number),
            _ => Err(self.error(member, "is not a version number")),
        }
    }

    /// An array of strings, each at most `max` bytes.
    pub(super) fn texts(&self, member: &str, max: usize) -> Result<Vec<String>, TufError> {
        let mut out = Vec::new();
        for item in self.array(member)? {
            let text = item.as_str().ok_or_else(|| self.error(member, "is not an array of strings"))?;
            if text.len() > max {
                return Err(self.error(member, "has an overlong string"));
            }
            out.push(text.to_owned());
        }
        Ok(out)
    }
}
