//! The `signed` object while it is edited, and the tables of keys in it.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::{Json, Timestamp as Time};
use countersign_crypto::PublicKey;

use crate::error::TufError;
use crate::metadata::{EXTENSION, Key, PAIRS, Role, SPEC_VERSION, key_id, key_json};

/// A `signed` object.
#[derive(Debug, Clone)]
pub(super) struct Document(BTreeMap<String, Json>);

impl Document {
    /// Version 1 of a file of this type.
    pub(super) fn new(kind: &str, expires: Time) -> Self {
        let mut document = Self(BTreeMap::new());
        document.set("_type", Json::from(kind));
        document.set("spec_version", Json::from(SPEC_VERSION));
        document.set_version(1);
        document.set_expires(expires);
        document
    }

    /// The version after `file`, with all it holds.
    pub(super) fn next<T: Role>(file: &T) -> Self {
        let mut document = Self(file.signed().as_object().cloned().unwrap_or_default());
        document.set("spec_version", Json::from(SPEC_VERSION));
        document.set_version(file.version() + 1);
        document
    }

    pub(super) fn set(&mut self, member: &str, value: Json) {
        self.0.insert(member.to_owned(), value);
    }

    /// Sets a member that the specification does not know. Pairs of keys stay in it, unless `value` has its own: who
    /// changes another part of it must not weaken what holders owe.
    pub(super) fn set_extension(&mut self, member: &str, mut value: Json) {
        let pairs = self.0.get(member).and_then(|old| old.get(PAIRS)).cloned();
        if let (EXTENSION, Json::Object(members), Some(pairs)) = (member, &mut value, pairs) {
            members.entry(PAIRS.to_owned()).or_insert(pairs);
        }
        self.set(member, value);
    }

    /// Gives the holder of `first`, which `table` lists, this second key, or none any more.
    pub(super) fn set_pair(
        &mut self,
        table: &BTreeMap<String, Json>,
        first: &PublicKey,
        second: Option<&PublicKey>,
    ) -> Result<(), TufError> {
        let reason = "is not listed, so it can have no second key";
        let id = listed_id(table, first).ok_or_else(|| TufError::KeyForm { keyid: key_id(first), reason })?;
        let id = id.clone();
        match second {
            Some(second) => {
                object_in(self.object(EXTENSION), PAIRS).insert(id, key_json(second));
            }
            None => self.retain_pairs(|keyid| *keyid != id),
        }
        Ok(())
    }

    /// Drops the pairs of other keys than these.
    pub(super) fn retain_pairs(&mut self, keep: impl Fn(&String) -> bool) {
        let Some(Json::Object(extension)) = self.0.get_mut(EXTENSION) else { return };
        let Some(Json::Object(pairs)) = extension.get_mut(PAIRS) else { return };
        pairs.retain(|keyid, _| keep(keyid));
        if pairs.is_empty() {
            extension.remove(PAIRS);
        }
        if extension.is_empty() {
            self.0.remove(EXTENSION);
        }
    }

    pub(super) fn remove(&mut self, member: &str) {
        self.0.remove(member);
    }

    pub(super) fn get(&self, member: &str) -> Option<&Json> {
        self.0.get(member)
    }

    pub(super) fn set_version(&mut self, version: u64) {
        self.set("version", Json::number(version));
    }

    pub(super) fn set_expires(&mut self, expires: Time) {
        self.set("expires", Json::from(expires.to_string()));
    }

    pub(super) fn version(&self) -> u64 {
        self.0
            .get("version")
            .and_then(Json::as_integer)
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(0)
    }

    /// The object under `member`, made if it is not there.
    pub(super) fn object(&mut self, member: &str) -> &mut BTreeMap<String, Json> {
        object_in(&mut self.0, member)
    }

    pub(super) fn into_json(self) -> Json {
        Json::Object(self.0)
    }
}

/// The object under `member` of `members`, made if it is not there.
pub(super) fn object_in<'a>(
    members: &'a mut BTreeMap<String, Json>,
    member: &str,
) -> &'a mut BTreeMap<String, Json> {
    let value = members.entry(member.to_owned()).or_insert_with(|| Json::Object(BTreeMap::new()));
    if value.as_object().is_none() {
        *value = Json::Object(BTreeMap::new());
    }
    match value {
        Json::Object(object) => object,
        _ => unreachable!("made an object above"),
    }
}

/// Ids for `keys` in `table`: the one that a key has there already, else its digest, which is then added.
pub(super) fn list_keys(
    role: &str,
    table: &mut BTreeMap<String, Json>,
    keys: &[PublicKey],
    threshold: u32,
) -> Result<Json, TufError> {
    if threshold == 0 || keys.len() < threshold as usize {
        return Err(TufError::ThresholdUnreachable { role: role.to_owned(), threshold, keys: keys.len() });
    }
    let mut ids = Vec::new();
    for key in keys {
        let id = listed_id(table, key).cloned().unwrap_or_else(|| key_id(key));
        if ids.contains(&id) {
            return Err(TufError::KeyDuplicate { role: role.to_owned(), first: id.clone(), second: id });
        }
        table.entry(id.clone()).or_insert_with(|| key_json(key));
        ids.push(id);
    }
    Ok(Json::from(ids))
}

/// The id that `key` has in `table`.
fn listed_id<'a>(table: &'a BTreeMap<String, Json>, key: &PublicKey) -> Option<&'a String> {
    let is_key =
        |(id, json): &(&String, &Json)| Key::read(id, json).is_ok_and(|listed| listed.usable() == Some(key));
    table.iter().find(is_key).map(|(id, _)| id)
}

/// Puts `to` in the place of `from` in every one of `roles` that lists it; the names of those.
pub(super) fn replace_key<'a>(
    table: &mut BTreeMap<String, Json>,
    roles: impl Iterator<Item = (&'a str, &'a mut Json)>,
    from: &PublicKey,
    to: &PublicKey,
) -> Result<Vec<String>, TufError> {
    let unlisted =
        || TufError::KeyForm { keyid: key_id(from), reason: "is not listed, so nothing replaces it" };
    let old = listed_id(table, from).ok_or_else(unlisted)?.clone();
    let new = listed_id(table, to).cloned().unwrap_or_else(|| key_id(to));
    let mut changed = Vec::new();
    for (name, role) in roles {
        let Json::Object(role) = role else { continue };
        let Some(Json::Array(ids)) = role.get_mut("keyids") else { continue };
        let Some(place) = ids.iter().position(|id| id.as_str() == Some(old.as_str())) else { continue };
        if ids.iter().any(|id| id.as_str() == Some(new.as_str())) {
            return Err(TufError::KeyDuplicate { role: name.to_owned(), first: new.clone(), second: new });
        }
        ids[place] = Json::from(new.as_str());
        changed.push(name.to_owned());
    }
    if !changed.is_empty() {
        table.entry(new).or_insert_with(|| key_json(to));
    }
    Ok(changed)
}

/// Drops keys from `table` that none of `roles` lists.
pub(super) fn drop_unlisted<'a>(table: &mut BTreeMap<String, Json>, roles: impl Iterator<Item = &'a Json>) {
    let ids: BTreeSet<String> = roles
        .filter_map(|role| role.get("keyids")?.as_array())
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    table.retain(|id, _| ids.contains(id));
}
