//! What is said about a file: metadata in a snapshot, or a target.

use std::collections::BTreeMap;

use countersign_base::{Json, Sha256Digest, Sha512Digest};
use countersign_crypto::{sha256, sha512};

use super::fields::{Fields, second_reading};
use crate::error::TufError;

/// Listed digests of a file. Every known one must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<Sha256Digest>,
    /// SHA-512.
    pub sha512: Option<Sha512Digest>,
    /// Whether algorithms are listed that are not known here.
    pub others: bool,
}

impl Hashes {
    /// Whether a digest is listed that can be compared.
    const fn any_known(&self) -> bool {
        self.sha256.is_some() || self.sha512.is_some()
    }

    /// A listed digest in hex, for a file name (specification 6.2): SHA-256 rather than SHA-512.
    pub fn first(&self) -> Option<String> {
        let sha256 = self.sha256.map(|digest| digest.to_string());
        sha256.or_else(|| self.sha512.map(|digest| digest.to_string()))
    }

    /// The first listed digest that `bytes` do not have: `sha256`, `sha512`, or `hash` if none is known.
    fn mismatch(&self, bytes: &[u8]) -> Option<&'static str> {
        if self.others && !self.any_known() {
            return Some("hash");
        }
        if self.sha256.is_some_and(|listed| listed != sha256(bytes)) {
            return Some("sha256");
        }
        self.sha512.is_some_and(|listed| listed != sha512(bytes)).then_some("sha512")
    }

    fn read(members: &BTreeMap<String, Json>) -> Result<Self, &'static str> {
        let mut out = Self::default();
        if members.is_empty() {
            return Err("lists no hash");
        }
        for (algorithm, digest) in members {
            let digest = digest.as_str().ok_or("lists a hash that is not a string")?;
            let error = |_| "lists a hash that is not lowercase hex of its length";
            match algorithm.as_str() {
                "sha256" => out.sha256 = Some(Sha256Digest::from_hex(digest).map_err(error)?),
                "sha512" => out.sha512 = Some(Sha512Digest::from_hex(digest).map_err(error)?),
                _ => out.others = true,
            }
        }
        Ok(out)
    }

    fn to_json(&self) -> Json {
        let sha256 = self.sha256.map(|digest| ("sha256", Json::from(digest.to_string())));
        let sha512 = self.sha512.map(|digest| ("sha512", Json::from(digest.to_string())));
        Json::object(sha256.into_iter().chain(sha512))
    }
}

/// What a parent says about a metadata file (specification 4.4, `METAFILES`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// Version that the file has.
    pub version: u64,
    /// Length in bytes, if listed.
    pub length: Option<u64>,
    /// Digests, if listed.
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    /// What to list for `bytes` of this version: length and SHA-256.
    pub fn describe(version: u64, bytes: &[u8]) -> Self {
        let hashes = Hashes { sha256: Some(sha256(bytes)), ..Hashes::default() };
        Self { version, length: Some(bytes.len() as u64), hashes: Some(hashes) }
    }

    /// How `bytes` differ from what is listed: `length`, `sha256`, `sha512` or `hash`; `None` if they do not.
    pub fn mismatch(&self, bytes: &[u8]) -> Option<&'static str> {
        if self.length.is_some_and(|length| length != bytes.len() as u64) {
            return Some("length");
        }
        self.hashes.as_ref().and_then(|hashes| hashes.mismatch(bytes))
    }

    /// The JSON of this entry.
    pub fn to_json(&self) -> Json {
        let version = [("version", Json::number(self.version))];
        let length = self.length.map(|length| ("length", Json::number(length)));
        let hashes = self.hashes.as_ref().map(|hashes| ("hashes", hashes.to_json()));
        Json::object(version.into_iter().chain(length).chain(hashes))
    }

    pub(super) fn read(name: &str, entry: &Json) -> Result<Self, TufError> {
        let fields = Fields::new(entry, format!("signed.meta.{name}"))?;
        let length = fields.optional("length").map(|length| {
            let length = length.as_integer().and_then(|length| u64::try_from(length).ok());
            length.ok_or_else(|| fields.error("length", "is not a length"))
        });
        let hashes = match fields.optional("hashes") {
            None => None,
            Some(_) => {
                let hashes = Hashes::read(fields.object("hashes")?);
                Some(hashes.map_err(|reason| fields.error("hashes", reason))?)
            }
        };
        Ok(Self { version: fields.version("version")?, length: length.transpose()?, hashes })
    }
}

/// What a role says about a target (specification 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Length in bytes.
    pub length: u64,
    /// Digests, at least one; perhaps none that is known here.
    pub hashes: Hashes,
    /// What the publisher adds, an object.
    pub custom: Option<Json>,
}

impl TargetFile {
    /// Compares a file that was hashed while it was read. Pass the digests that were computed; each listed one that is
    /// known must be among them.
    ///
    /// # Errors
    /// `tuf-target-mismatch`, also if no known digest is listed or a listed one was not computed.
    pub fn check(
        &self,
        path: &str,
        length: u64,
        sha256: &Sha256Digest,
        sha512: Option<&Sha512Digest>,
    ) -> Result<(), TufError> {
        let differs = |what| Err(TufError::TargetBytes { path: path.to_owned(), what });
        self.check_known(path)?;
        if length != self.length {
            return differs("length");
        }
        if self.hashes.sha256.is_some_and(|listed| listed != *sha256) {
            return differs("sha256");
        }
        if self.hashes.sha512.is_some_and(|listed| sha512 != Some(&listed)) {
            return differs("sha512");
        }
        Ok(())
    }

    /// Compares a whole file.
    ///
    /// # Errors
    /// As [`TargetFile::check`].
    pub fn check_bytes(&self, path: &str, bytes: &[u8]) -> Result<(), TufError> {
        self.check(path, bytes.len() as u64, &sha256(bytes), Some(&sha512(bytes)))
    }

    /// Refuses an entry whose file could not be told from another.
    pub(crate) fn check_known(&self, path: &str) -> Result<(), TufError> {
        if self.hashes.any_known() {
            return Ok(());
        }
        Err(TufError::TargetEntry { path: path.to_owned(), reason: "lists no hash of a known algorithm" })
    }

    /// The JSON of this entry.
    pub fn to_json(&self) -> Json {
        let members = [("length", Json::number(self.length)), ("hashes", self.hashes.to_json())];
        Json::object(members.into_iter().chain(self.custom.clone().map(|custom| ("custom", custom))))
    }

    pub(super) fn read(path: &str, entry: &Json) -> Result<Self, TufError> {
        let wrong = |reason| TufError::TargetEntry { path: path.to_owned(), reason };
        let entry = entry.as_object().ok_or_else(|| wrong("is not an object"))?;
        if let Some(member) = second_reading(entry) {
            return Err(TufError::TwoReadings { at: format!("{path}.{member}") });
        }
        let length =
            entry.get("length").and_then(Json::as_integer).and_then(|length| u64::try_from(length).ok());
        let hashes = entry.get("hashes").and_then(Json::as_object).ok_or_else(|| wrong("lists no hash"))?;
        let custom = entry.get("custom");
        if custom.is_some_and(|custom| custom.as_object().is_none()) {
            return Err(wrong("has a `custom` that is not an object"));
        }
        Ok(Self {
            length: length.ok_or_else(|| wrong("has no length"))?,
            hashes: Hashes::read(hashes).map_err(wrong)?,
            custom: custom.cloned(),
        })
    }
}
