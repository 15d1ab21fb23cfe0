//! Editing targets metadata, top-level or delegated.

use std::collections::BTreeMap;

use countersign_base::{Json, Timestamp as Time};
use countersign_crypto::PublicKey;

use super::document::{Document, drop_unlisted, list_keys, object_in, replace_key};
use super::{Draft, EditError};
use crate::metadata::{Coverage, TARGETS, TargetFile, Targets};
use crate::name;

/// A targets file being made or changed.
#[derive(Debug, Clone)]
pub struct TargetsEditor {
    role: String,
    document: Document,
}

/// A delegation to write.
#[derive(Debug, Clone)]
pub struct NewDelegation<'a> {
    /// Name of the delegated role.
    pub name: &'a str,
    /// Its keys.
    pub keys: &'a [PublicKey],
    /// How many of them must sign.
    pub threshold: u32,
    /// Which paths it covers.
    pub coverage: Coverage,
    /// Whether the search ends with it for these paths.
    pub terminating: bool,
}

impl TargetsEditor {
    /// Version 1 of `role`'s file, empty.
    pub fn new(role: &str, expires: Time) -> Self {
        let mut document = Document::new(TARGETS, expires);
        document.object("targets");
        Self { role: role.to_owned(), document }
    }

    /// The version after `targets`, the file of `role`.
    pub fn next(role: &str, targets: &Targets) -> Self {
        Self { role: role.to_owned(), document: Document::next(targets) }
    }

    /// The version that will be written.
    pub fn version(&self) -> u64 {
        self.document.version()
    }

    /// Sets the version, for a publisher who must skip some.
    pub fn set_version(&mut self, version: u64) -> &mut Self {
        self.document.set_version(version);
        self
    }

    /// Sets when it expires.
    pub fn set_expires(&mut self, expires: Time) -> &mut Self {
        self.document.set_expires(expires);
        self
    }

    /// Sets a member that the specification does not know, such as `x-countersign`; pairs of keys in it stay.
    pub fn set_extension(&mut self, name: &str, value: Json) -> &mut Self {
        self.document.set_extension(name, value);
        self
    }

    /// Gives the holder of `first` a second key, ML-DSA, or takes it with `None`: from now on both must sign, in every
    /// delegated role that lists `first` (ADR 0009). Call it after the delegation; a pair goes with its first key.
    ///
    /// # Errors
    /// `tuf-key-invalid` if no delegation lists `first`; [`TargetsEditor::finish`] refuses a second key of the wrong
    /// kind or one that stands elsewhere too.
    pub fn set_pair(
        &mut self,
        first: &PublicKey,
        second: Option<&PublicKey>,
    ) -> Result<&mut Self, EditError> {
        let table = self.key_table();
        self.document.set_pair(&table, first, second)?;
        Ok(self)
    }

    /// Lists `file` at `path`, in place of what was listed there.
    ///
    /// # Errors
    /// `tuf-name-unsafe` for a path that clients would not write to disk, `tuf-target-mismatch` without a digest.
    pub fn set_target(&mut self, path: &str, file: &TargetFile) -> Result<&mut Self, EditError> {
        name::check_target(path)?;
        file.check_known(path)?;
        self.document.object("targets").insert(path.to_owned(), file.to_json());
        Ok(self)
    }

    /// No longer lists `path`; whether it was listed.
    pub fn remove_target(&mut self, path: &str) -> bool {
        self.document.object("targets").remove(path).is_some()
    }

    /// Delegates, after the delegations that are there; one of that name is replaced where it stands.
    ///
    /// # Errors
    /// `tuf-name-unsafe`, `tuf-role-confusion`, `tuf-threshold-invalid`, `tuf-key-duplicate`.
    pub fn set_delegation(&mut self, new: &NewDelegation<'_>) -> Result<&mut Self, EditError> {
        name::check_role(new.name)?;
        let mut roles = self.delegated_roles();
        let delegations = self.document.object("delegations");
        let keyids = list_keys(new.name, object_in(delegations, "keys"), new.keys, new.threshold)?;
        let known = roles.iter().position(|role| role.get("name").and_then(Json::as_str) == Some(new.name));
        let mut entry = known.and_then(|at| roles[at].as_object().cloned()).unwrap_or_default();
        entry.remove("paths");
        entry.remove("path_hash_prefixes");
        let coverage = match &new.coverage {
            Coverage::Paths(patterns) => ("paths", Json::from(patterns.clone())),
            Coverage::HashPrefixes(prefixes) => ("path_hash_prefixes", Json::from(prefixes.clone())),
        };
        let members = [
            ("name", Json::from(new.name)),
            ("keyids", keyids),
            ("threshold", Json::number(new.threshold.into())),
            ("terminating", Json::from(new.terminating)),
            coverage,
        ];
        entry.extend(members.map(|(member, value)| (member.to_owned(), value)));
        match known {
            Some(at) => roles[at] = Json::Object(entry),
            None => roles.push(Json::Object(entry)),
        }
        self.set_roles(roles);
        Ok(self)
    }

    /// Puts `to` in the place of `from` in every delegation that lists it; the names of those, for hash bins their
    /// prefix. Thresholds stay.
    ///
    /// # Errors
    /// `tuf-key-invalid` if `from` is not listed, `tuf-key-duplicate` if a delegation lists both.
    pub fn replace_key(&mut self, from: &PublicKey, to: &PublicKey) -> Result<Vec<String>, EditError> {
        let mut table = self.key_table();
        let delegations = self.document.get("delegations");
        let member = |member: &str| delegations.and_then(|all| all.get(member));
        let bins = member("succinct_roles").cloned();
        let (kind, named_by) =
            if bins.is_some() { ("succinct_roles", "name_prefix") } else { ("roles", "name") };
        let listed = member("roles").and_then(Json::as_array).unwrap_or_default();
        let mut roles = bins.map_or_else(|| listed.to_vec(), |bins| vec![bins]);
        let name_of = |role: &Json| role.get(named_by).and_then(Json::as_str).unwrap_or_default().to_owned();
        let names: Vec<String> = roles.iter().map(name_of).collect();
        let named = names.iter().map(String::as_str).zip(roles.iter_mut());
        let changed = replace_key(&mut table, named, from, to)?;
        drop_unlisted(&mut table, roles.iter());
        let value = if kind == "roles" { Json::Array(roles) } else { roles.remove(0) };
        let delegations = self.document.object("delegations");
        delegations.insert("keys".to_owned(), Json::Object(table));
        delegations.insert(kind.to_owned(), value);
        Ok(changed)
    }

    /// Delegates to no role of that name any more; whether it did.
    pub fn remove_delegation(&mut self, role: &str) -> bool {
        let mut roles = self.delegated_roles();
        let before = roles.len();
        roles.retain(|entry| entry.get("name").and_then(Json::as_str) != Some(role));
        let removed = roles.len() < before;
        if removed {
            self.set_roles(roles);
        }
        removed
    }

    /// Delegates to hash bins (TAP 15), in place of all delegations.
    ///
    /// # Errors
    /// `tuf-threshold-invalid`, `tuf-key-duplicate`; [`TargetsEditor::finish`] refuses a bit length beyond 1 to 32.
    pub fn set_succinct(
        &mut self,
        name_prefix: &str,
        bit_length: u32,
        keys: &[PublicKey],
        threshold: u32,
    ) -> Result<&mut Self, EditError> {
        let mut table = BTreeMap::new();
        let keyids = list_keys(name_prefix, &mut table, keys, threshold)?;
        let bins = Json::object([
            ("name_prefix", Json::from(name_prefix)),
            ("bit_length", Json::number(bit_length.into())),
            ("keyids", keyids),
            ("threshold", Json::number(threshold.into())),
        ]);
        let members = [("keys", Json::Object(table)), ("succinct_roles", bins)];
        self.document.set("delegations", Json::object(members));
        Ok(self)
    }

    /// The unsigned file.
    ///
    /// # Errors
    /// What a client would refuse it for.
    pub fn finish(mut self) -> Result<Draft, EditError> {
        let table = self.key_table();
        self.document.retain_pairs(|keyid| table.contains_key(keyid));
        let (draft, targets) = Draft::new::<Targets>(&self.role, self.document.into_json())?;
        if let Some(delegations) = targets.delegations() {
            for role in delegations.roles() {
                role.keys.check_reachable(&role.name, delegations.keys())?;
            }
        }
        if self.role != TARGETS {
            name::check_role(&self.role)?;
        }
        Ok(draft)
    }

    fn key_table(&self) -> BTreeMap<String, Json> {
        let keys = self.document.get("delegations").and_then(|delegations| delegations.get("keys"));
        keys.and_then(Json::as_object).cloned().unwrap_or_default()
    }

    fn delegated_roles(&mut self) -> Vec<Json> {
        let delegations = self.document.object("delegations");
        delegations.remove("succinct_roles");
        delegations.get("roles").and_then(Json::as_array).unwrap_or_default().to_vec()
    }

    fn set_roles(&mut self, roles: Vec<Json>) {
        if roles.is_empty() {
            self.document.remove("delegations");
            return;
        }
        let delegations = self.document.object("delegations");
        drop_unlisted(object_in(delegations, "keys"), roles.iter());
        delegations.insert("roles".to_owned(), Json::Array(roles));
    }
}
