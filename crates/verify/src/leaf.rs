//! The log entry of one version of metadata.
//!
//! RFC 8785 canonical JSON: which file of which repository, role and version, with its length and SHA-256,
//! and for monitors what it adds and removes. The log computes it from admitted metadata; a client finds it
//! on the `extra` line of the `.tlog-proof`, compares it with the metadata in hand and proves that exactly
//! these bytes are in the log.

use countersign_base::json::{self, Json};
use countersign_base::{Anchor, Sha256Digest, canonical};

/// Longest leaf in bytes. `changes` is left out of one that would be longer.
pub const MAX_LEAF_BYTES: usize = 32 * 1024;
/// Longest role name in a leaf, in bytes.
pub const MAX_ROLE_BYTES: usize = 1024;

const API_VERSION: &str = "0.0.1";
const KIND: &str = "tufmetadata";

/// One version of one role's metadata, as the log lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Which repository: the SHA-256 of its first root.
    pub repository: Anchor,
    /// The role: `root`, `targets`, `snapshot` or a delegated role's name.
    pub role: String,
    /// The role's version, at least 1.
    pub version: u64,
    /// Length of the metadata file in bytes.
    pub length: u64,
    /// SHA-256 of the metadata file.
    pub sha256: Sha256Digest,
    /// What this version adds and removes; absent for roles without targets and where it would be too long.
    pub changes: Option<Changes>,
}

/// The difference between two versions of a role that lists targets. A replaced target is in both lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Targets that the version before does not list, or lists otherwise.
    pub added: Vec<ChangedTarget>,
    /// Targets of the version before that are gone or listed otherwise now.
    pub removed: Vec<ChangedTarget>,
}

/// One target in [`Changes`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangedTarget {
    /// The target path.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the target.
    pub sha256: Sha256Digest,
}

/// Bytes that are not a canonical leaf; says what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a metadata leaf: {0}")]
pub struct LeafError(&'static str);

impl Leaf {
    /// The bytes that the log holds; `changes` is left out if the leaf would exceed [`MAX_LEAF_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let full = canonical::rfc8785(&self.to_json(self.changes.as_ref()));
        if full.len() <= MAX_LEAF_BYTES { full } else { canonical::rfc8785(&self.to_json(None)) }
    }

    /// Reads the bytes of a log entry; only the one canonical form of a known shape parses.
    ///
    /// # Errors
    /// Too long, not strict JSON, another kind or API version, an unknown or missing field, or not canonical.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        if bytes.len() > MAX_LEAF_BYTES {
            return Err(LeafError("it is too long"));
        }
        let value = json::parse(bytes).map_err(|_| LeafError("it is not strict JSON"))?;
        if value.get("apiVersion").and_then(Json::as_str) != Some(API_VERSION) {
            return Err(LeafError("its apiVersion is not 0.0.1"));
        }
        if value.get("kind").and_then(Json::as_str) != Some(KIND) {
            return Err(LeafError("its kind is not tufmetadata"));
        }
        let spec = value.get("spec").ok_or(LeafError("it has no spec"))?;
        let role = spec.get("role").and_then(Json::as_str).ok_or(LeafError("it names no role"))?;
        if role.is_empty() || role.len() > MAX_ROLE_BYTES {
            return Err(LeafError("its role name is empty or too long"));
        }
        let version = number(spec, "version")?;
        if version == 0 {
            return Err(LeafError("its version is 0"));
        }
        let leaf = Self {
            repository: Anchor(digest(spec, "repository")?),
            role: role.to_owned(),
            version,
            length: number(spec, "length")?,
            sha256: digest(spec, "sha256")?,
            changes: spec.get("changes").map(Changes::from_json).transpose()?,
        };
        // Also refuses unknown fields: they would not survive.
        if canonical::rfc8785(&leaf.to_json(leaf.changes.as_ref())) != bytes {
            return Err(LeafError("it is not in canonical form"));
        }
        Ok(leaf)
    }

    /// Whether this is the leaf of exactly this file: length and digest, as `version` of `role` in `repository`.
    pub fn is_of(&self, repository: Anchor, role: &str, version: u64, file: (usize, Sha256Digest)) -> bool {
        let (length, sha256) = file;
        self.repository == repository
            && self.role == role
            && self.version == version
            && self.length == length as u64
            && self.sha256 == sha256
    }

    fn to_json(&self, changes: Option<&Changes>) -> Json {
        let mut spec = vec![
            ("length", Json::number(self.length)),
            ("repository", Json::from(self.repository.0.to_string())),
            ("role", Json::from(self.role.as_str())),
            ("sha256", Json::from(self.sha256.to_string())),
            ("version", Json::number(self.version)),
        ];
        if let Some(changes) = changes {
            spec.push(("changes", changes.to_json()));
        }
        Json::object([
            ("apiVersion", Json::from(API_VERSION)),
            ("kind", Json::from(KIND)),
            ("spec", Json::object(spec)),
        ])
    }
}

impl Changes {
    fn to_json(&self) -> Json {
        let list =
            |targets: &[ChangedTarget]| Json::Array(targets.iter().map(ChangedTarget::to_json).collect());
        Json::object([("added", list(&self.added)), ("removed", list(&self.removed))])
    }

    fn from_json(value: &Json) -> Result<Self, LeafError> {
        let list = |key| {
            let items =
                value.get(key).and_then(Json::as_array).ok_or(LeafError("its changes are not two lists"))?;
            items.iter().map(ChangedTarget::from_json).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { added: list("added")?, removed: list("removed")? })
    }
}

impl ChangedTarget {
    fn to_json(&self) -> Json {
        Json::object([
            ("length", Json::number(self.length)),
            ("path", Json::from(self.path.as_str())),
            ("sha256", Json::from(self.sha256.to_string())),
        ])
    }

    fn from_json(value: &Json) -> Result<Self, LeafError> {
        let path = value.get("path").and_then(Json::as_str).ok_or(LeafError("a change names no path"))?;
        Ok(Self { path: path.to_owned(), length: number(value, "length")?, sha256: digest(value, "sha256")? })
    }
}

fn number(value: &Json, key: &str) -> Result<u64, LeafError> {
    value
        .get(key)
        .and_then(Json::as_integer)
        .and_then(|number| u64::try_from(number).ok())
        .ok_or(LeafError("a length or version is missing or negative"))
}

fn digest(value: &Json, key: &str) -> Result<Sha256Digest, LeafError> {
    value
        .get(key)
        .and_then(Json::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or(LeafError("a digest is missing or not lowercase hex"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            repository: Anchor(Sha256Digest([1; 32])),
            role: "node".to_owned(),
            version: 12,
            length: 345,
            sha256: Sha256Digest([2; 32]),
            changes: Some(Changes {
                added: vec![ChangedTarget {
                    path: "node/1.0.0/linux-amd64/node".to_owned(),
                    length: 7,
                    sha256: Sha256Digest([3; 32]),
                }],
                removed: vec![],
            }),
        }
    }

    #[test]
    fn a_leaf_has_one_form() {
        let bytes = leaf().encode();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with(
            r#"{"apiVersion":"0.0.1","kind":"tufmetadata","spec":{"changes":{"added":[{"length":7,"#
        ));
        assert_eq!(Leaf::parse(&bytes), Ok(leaf()));
        for bad in [
            text.replace(":12", ": 12"),
            text.replace(":12", ":0"),
            text.replace("tufmetadata", "other"),
            text.replace("0.0.1", "0.0.2"),
            text.replace("\"version\":12", "\"version\":12,\"x\":1"),
            text.replace("\"role\":\"node\"", "\"role\":\"\""),
            text[1..].to_owned(),
        ] {
            assert!(Leaf::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn changes_are_left_out_when_the_leaf_would_be_too_long() {
        let mut big = leaf();
        let target = big.changes.as_ref().unwrap().added[0].clone();
        big.changes.as_mut().unwrap().added = vec![target; 1000];
        let bytes = big.encode();
        assert!(bytes.len() < MAX_LEAF_BYTES);
        assert_eq!(Leaf::parse(&bytes).unwrap().changes, None);
    }
}
