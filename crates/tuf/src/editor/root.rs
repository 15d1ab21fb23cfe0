//! Editing root metadata.

use countersign_base::{Json, Timestamp as Time};
use countersign_crypto::PublicKey;

use super::document::{Document, drop_unlisted, list_keys, object_in, replace_key};
use super::{Draft, EditError};
use crate::error::TufError;
use crate::metadata::{ROOT, Root, TOP_LEVEL};

/// A root being made or changed.
#[derive(Debug, Clone)]
pub struct RootEditor(Document);

impl RootEditor {
    /// Version 1, consistent snapshots, no keys yet.
    pub fn new(expires: Time) -> Self {
        let mut document = Document::new(ROOT, expires);
        document.set("consistent_snapshot", Json::from(true));
        document.object("keys");
        document.object("roles");
        Self(document)
    }

    /// The version after `root`.
    pub fn next(root: &Root) -> Self {
        Self(Document::next(root))
    }

    /// The version that will be written.
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// Sets when it expires.
    pub fn set_expires(&mut self, expires: Time) -> &mut Self {
        self.0.set_expires(expires);
        self
    }

    /// Sets whether files carry their version or digest in their name.
    pub fn set_consistent_snapshot(&mut self, consistent: bool) -> &mut Self {
        self.0.set("consistent_snapshot", Json::from(consistent));
        self
    }

    /// Sets a member that the specification does not know, such as `x-countersign`; pairs of keys in it stay.
    pub fn set_extension(&mut self, name: &str, value: Json) -> &mut Self {
        self.0.set_extension(name, value);
        self
    }

    /// Gives the holder of `first` a second key, ML-DSA, or takes it with `None`: from now on both must sign, in every
    /// role that lists `first` (ADR 0009). Call it after [`RootEditor::set_role`]; a pair goes with its first key.
    ///
    /// # Errors
    /// `tuf-key-invalid` if no role lists `first`; [`RootEditor::finish`] refuses a second key of the wrong kind or one
    /// that stands elsewhere too.
    pub fn set_pair(
        &mut self,
        first: &PublicKey,
        second: Option<&PublicKey>,
    ) -> Result<&mut Self, EditError> {
        let table = self.0.object("keys").clone();
        self.0.set_pair(&table, first, second)?;
        Ok(self)
    }

    /// Gives `role` these keys and this threshold, in place of those it had. Keys that no role lists any more go.
    ///
    /// # Errors
    /// `tuf-malformed` for another role than the four, `tuf-threshold-invalid`, `tuf-key-duplicate`.
    pub fn set_role(
        &mut self,
        role: &str,
        keys: &[PublicKey],
        threshold: u32,
    ) -> Result<&mut Self, EditError> {
        if !TOP_LEVEL.contains(&role) {
            let at = format!("signed.roles.{role}");
            return Err(TufError::Malformed { at, reason: "is not a top-level role" }.into());
        }
        let keyids = list_keys(role, self.0.object("keys"), keys, threshold)?;
        let entry = object_in(self.0.object("roles"), role);
        entry.insert("keyids".to_owned(), keyids);
        entry.insert("threshold".to_owned(), Json::number(threshold.into()));
        let roles = self.0.object("roles").clone();
        drop_unlisted(self.0.object("keys"), roles.values());
        Ok(self)
    }

    /// Puts `to` in the place of `from` in every role that lists it; the names of those. Thresholds stay.
    ///
    /// # Errors
    /// `tuf-key-invalid` if `from` is not listed, `tuf-key-duplicate` if a role lists both.
    pub fn replace_key(&mut self, from: &PublicKey, to: &PublicKey) -> Result<Vec<String>, EditError> {
        let (mut table, mut roles) = (self.0.object("keys").clone(), self.0.object("roles").clone());
        let named = roles.iter_mut().map(|(name, role)| (name.as_str(), role));
        let changed = replace_key(&mut table, named, from, to)?;
        drop_unlisted(&mut table, roles.values());
        self.0.set("keys", Json::Object(table));
        self.0.set("roles", Json::Object(roles));
        Ok(changed)
    }

    /// The unsigned file.
    ///
    /// # Errors
    /// What a client would refuse it for, such as a role without keys.
    pub fn finish(mut self) -> Result<Draft, EditError> {
        let table = self.0.object("keys").clone();
        self.0.retain_pairs(|keyid| table.contains_key(keyid));
        let (draft, root) = Draft::new::<Root>(ROOT, self.0.into_json())?;
        for role in TOP_LEVEL {
            let keys = root.role_keys(role).ok_or(TufError::RoleMissing(role))?;
            keys.check_reachable(role, root.keys())?;
        }
        Ok(draft)
    }
}
