//! Editing snapshot and timestamp metadata.

use countersign_base::{Json, Timestamp as Time};

use super::document::Document;
use super::{Draft, EditError};
use crate::metadata::{MetaFile, SNAPSHOT, Snapshot, TIMESTAMP, Timestamp};

/// A snapshot being made or changed.
#[derive(Debug, Clone)]
pub struct SnapshotEditor(Document);

impl SnapshotEditor {
    /// Version 1, listing nothing yet.
    pub fn new(expires: Time) -> Self {
        let mut document = Document::new(SNAPSHOT, expires);
        document.object("meta");
        Self(document)
    }

    /// The version after `snapshot`.
    pub fn next(snapshot: &Snapshot) -> Self {
        Self(Document::next(snapshot))
    }

    /// The version that will be written.
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// Sets the version, for a publisher who must skip some.
    pub fn set_version(&mut self, version: u64) -> &mut Self {
        self.0.set_version(version);
        self
    }

    /// Sets when it expires.
    pub fn set_expires(&mut self, expires: Time) -> &mut Self {
        self.0.set_expires(expires);
        self
    }

    /// Lists `file` for `role`, `targets` or a delegated one.
    pub fn set_meta(&mut self, role: &str, file: &MetaFile) -> &mut Self {
        self.0.object("meta").insert(format!("{role}.json"), file.to_json());
        self
    }

    /// No longer lists `role`. Clients that saw it listed refuse that until the snapshot's keys are rotated.
    pub fn remove_meta(&mut self, role: &str) -> &mut Self {
        self.0.object("meta").remove(&format!("{role}.json"));
        self
    }

    /// Sets a member that the specification does not know.
    pub fn set_extension(&mut self, name: &str, value: Json) -> &mut Self {
        self.0.set(name, value);
        self
    }

    /// The unsigned file.
    ///
    /// # Errors
    /// What a client would refuse it for.
    pub fn finish(self) -> Result<Draft, EditError> {
        Ok(Draft::new::<Snapshot>(SNAPSHOT, self.0.into_json())?.0)
    }
}

/// A timestamp being made or changed.
#[derive(Debug, Clone)]
pub struct TimestampEditor(Document);

impl TimestampEditor {
    /// Version 1, pointing to `snapshot`.
    pub fn new(expires: Time, snapshot: &MetaFile) -> Self {
        let mut editor = Self(Document::new(TIMESTAMP, expires));
        editor.set_snapshot(snapshot);
        editor
    }

    /// The version after `timestamp`.
    pub fn next(timestamp: &Timestamp) -> Self {
        Self(Document::next(timestamp))
    }

    /// The version that will be written.
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// Sets the version, for a publisher who must skip some.
    pub fn set_version(&mut self, version: u64) -> &mut Self {
        self.0.set_version(version);
        self
    }

    /// Sets when it expires.
    pub fn set_expires(&mut self, expires: Time) -> &mut Self {
        self.0.set_expires(expires);
        self
    }

    /// Sets a member that the specification does not know.
    pub fn set_extension(&mut self, name: &str, value: Json) -> &mut Self {
        self.0.set(name, value);
        self
    }

    /// Points to `snapshot`.
    pub fn set_snapshot(&mut self, snapshot: &MetaFile) -> &mut Self {
        self.0.set("meta", Json::object([("snapshot.json", snapshot.to_json())]));
        self
    }

    /// The unsigned file.
    ///
    /// # Errors
    /// What a client would refuse it for.
    pub fn finish(self) -> Result<Draft, EditError> {
        Ok(Draft::new::<Timestamp>(TIMESTAMP, self.0.into_json())?.0)
    }
}
