//! The repository: honest moves, and every other one.

use std::collections::BTreeMap;

use countersign_base::json::Json;
use countersign_base::{Timestamp, canonical};
use countersign_crypto::{sha256, sha512};

use super::key::{Kind, TufKey};
use crate::sim::{member, object};

/// The four roles of every repository, in the order in which a publisher signs them.
const TOP: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// A repository with its keys. Everything in it may be edited; nothing is checked.
pub struct TufRepository {
    /// The instant at which everything was made.
    pub now: Timestamp,
    /// Keys by name. Each top-level role starts with the key of its own name.
    pub keys: BTreeMap<String, TufKey>,
    /// The signed part of each role's current metadata.
    pub signed: BTreeMap<String, Json>,
    /// Names of the keys that sign each role.
    pub signers: BTreeMap<String, Vec<String>>,
    /// Whether snapshot and timestamp list lengths and hashes.
    pub lengths_and_hashes: bool,
    /// What is served, by path: `metadata/1.root.json`, `targets/a/<digest>.b`. Names are as metadata has them; on
    /// the wire they are percent-encoded.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Answers other than 200 and 404, by path.
    pub statuses: BTreeMap<String, u16>,
    /// Role names whose first version is published.
    published: Vec<String>,
}

/// A delegation as its parent lists it.
#[derive(Debug, Clone, Default)]
pub struct Delegation {
    /// Path patterns; none means all.
    pub paths: Vec<String>,
    /// `path_hash_prefixes` in place of patterns.
    pub prefixes: Option<Vec<String>>,
    /// Whether the search ends with it.
    pub terminating: bool,
}

impl Delegation {
    /// Not terminating, for these patterns.
    pub fn of(paths: &[&str]) -> Self {
        Self { paths: paths.iter().map(|&path| path.to_owned()).collect(), ..Self::default() }
    }

    /// The same, terminating.
    pub fn terminating(paths: &[&str]) -> Self {
        Self { terminating: true, ..Self::of(paths) }
    }
}

impl TufRepository {
    /// Version 1 of each role, one Ed25519 key and threshold 1 each, consistent snapshots, good for 30 days.
    pub fn new(now: Timestamp) -> Self {
        let mut out = Self {
            now,
            keys: BTreeMap::new(),
            signed: BTreeMap::new(),
            signers: BTreeMap::new(),
            lengths_and_hashes: false,
            files: BTreeMap::new(),
            statuses: BTreeMap::new(),
            published: Vec::new(),
        };
        let empty = || Json::object::<String>([]);
        out.start("root", [("consistent_snapshot", Json::Bool(true)), ("keys", empty()), ("roles", empty())]);
        out.start("targets", [("targets", empty())]);
        out.start("snapshot", [("meta", empty())]);
        out.start("timestamp", [("meta", empty())]);
        for role in TOP {
            let entry = [("keyids", Json::Array(Vec::new())), ("threshold", Json::Integer(1))];
            member(out.role("root"), "roles").insert(role.to_owned(), Json::object(entry));
            out.add_key(role, role, Kind::Ed25519);
        }
        out.publish(&TOP);
        out
    }

    fn start<const N: usize>(&mut self, role: &str, members: [(&str, Json); N]) {
        let kind = if TOP.contains(&role) { role } else { "targets" };
        let mut signed = Json::object(members);
        let common = object(&mut signed);
        common.insert("_type".to_owned(), Json::from(kind));
        common.insert("spec_version".to_owned(), Json::from("1.0.31"));
        common.insert("version".to_owned(), Json::Integer(1));
        common.insert("expires".to_owned(), Json::from(self.now.plus_days(30).to_string()));
        self.signed.insert(role.to_owned(), signed);
        self.signers.entry(role.to_owned()).or_default();
    }

    /// The signed part of a role, for editing.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn role(&mut self, role: &str) -> &mut Json {
        self.signed.get_mut(role).unwrap_or_else(|| panic!("no role {role}"))
    }

    /// Sets one member of a role's signed part.
    pub fn set(&mut self, role: &str, key: &str, value: impl Into<Json>) {
        object(self.role(role)).insert(key.to_owned(), value.into());
    }

    /// A role's version.
    ///
    /// # Panics
    /// If it is not a number.
    pub fn version(&self, role: &str) -> i64 {
        self.signed[role].get("version").and_then(Json::as_integer).expect("a version is a number")
    }

    /// Makes a role expire so many days from now; negative for the past.
    pub fn expire(&mut self, role: &str, days: i64) {
        let seconds = self.now.as_unix().saturating_add_signed(days * 86_400);
        let at = Timestamp::from_unix(seconds).expect("a date of our time");
        self.set(role, "expires", at.to_string());
    }

    /// The entry of a top-level role in root: `keyids`, `threshold`.
    ///
    /// # Panics
    /// If there is none.
    pub fn entry(&mut self, role: &str) -> &mut Json {
        member(self.role("root"), "roles").get_mut(role).expect("the role is listed")
    }

    /// Sets a top-level role's threshold.
    pub fn threshold(&mut self, role: &str, threshold: i64) {
        object(self.entry(role)).insert("threshold".to_owned(), Json::Integer(threshold));
    }

    /// Makes a key under `name`, lists it in root for a top-level role, and signs with it from now on.
    pub fn add_key(&mut self, role: &str, name: &str, kind: Kind) {
        self.keys.insert(name.to_owned(), TufKey::new(name, kind));
        self.list_key(role, name);
        self.signers.entry(role.to_owned()).or_default().push(name.to_owned());
    }

    /// Lists an existing key in root for a top-level role.
    pub fn list_key(&mut self, role: &str, name: &str) {
        let (id, json) = (self.keys[name].id.clone(), self.keys[name].json.clone());
        member(self.role("root"), "keys").insert(id.clone(), json);
        list(object(self.entry(role)), "keyids").push(Json::from(id));
    }

    /// Takes a key from a role in root; it signs no more.
    pub fn remove_key(&mut self, role: &str, name: &str) {
        let id = Json::from(self.keys[name].id.clone());
        list(object(self.entry(role)), "keyids").retain(|listed| *listed != id);
        self.signers.entry(role.to_owned()).or_default().retain(|signer| signer != name);
    }

    /// Replaces the one key of a top-level role by a new one called `name`; neither is published yet.
    pub fn rotate(&mut self, role: &str, name: &str) {
        list(object(self.entry(role)), "keyids").clear();
        self.signers.insert(role.to_owned(), Vec::new());
        self.add_key(role, name, Kind::Ed25519);
    }

    /// Publishes a new root that is signed by these keys, whoever should.
    pub fn publish_root_by(&mut self, names: &[&str]) {
        let usual =
            self.signers.insert("root".to_owned(), names.iter().map(|&name| name.to_owned()).collect());
        self.publish(&["root"]);
        self.signers.insert("root".to_owned(), usual.unwrap_or_default());
    }

    /// Signs the next version of each role (the first one as it is) and serves it; a parent's entry for it follows.
    pub fn publish(&mut self, roles: &[&str]) {
        for role in roles {
            if self.published.iter().any(|known| known == role) {
                let next = self.version(role) + 1;
                self.set(role, "version", next);
            } else {
                self.published.push((*role).to_owned());
            }
            let bytes = self.envelope(role);
            self.serve(role, bytes);
        }
    }

    /// Publishes these roles, then a snapshot and a timestamp.
    pub fn release(&mut self, roles: &[&str]) {
        self.publish(roles);
        self.publish(&["snapshot", "timestamp"]);
    }

    /// Serves `bytes` as a role's current version, and makes the snapshot or timestamp in the making list them.
    pub fn serve(&mut self, role: &str, bytes: Vec<u8>) {
        let entry = self.describe(role, &bytes);
        let parent = match role {
            "root" | "timestamp" => None,
            "snapshot" => Some("timestamp"),
            _ => Some("snapshot"),
        };
        if let Some(parent) = parent {
            member(self.role(parent), "meta").insert(format!("{role}.json"), entry);
        }
        let path = self.path(role);
        self.files.insert(path, bytes);
    }

    /// Where a role's current version is served.
    pub fn path(&self, role: &str) -> String {
        let consistent = self.signed["root"].get("consistent_snapshot") == Some(&Json::Bool(true));
        if role == "root" || (consistent && role != "timestamp") {
            format!("metadata/{}.{role}.json", self.version(role))
        } else {
            format!("metadata/{role}.json")
        }
    }

    /// Changes what is served for a role after all was signed; parents do not follow.
    ///
    /// # Panics
    /// If it is not served.
    pub fn tamper(&mut self, role: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(role);
        edit(self.files.get_mut(&path).expect("the role is served"));
    }

    /// The same with the file as JSON. It is written without white space.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn tamper_json(&mut self, role: &str, edit: impl FnOnce(&mut Json)) {
        self.tamper(role, |bytes| {
            let mut json = countersign_base::json::parse(bytes).expect("the file is JSON");
            edit(&mut json);
            *bytes = canonical::rfc8785(&json);
        });
    }

    /// The same with the file as text: every `from` becomes `to`.
    ///
    /// # Panics
    /// If there is no `from`, or it is not text.
    pub fn tamper_text(&mut self, role: &str, from: &str, to: &str) {
        self.tamper(role, |bytes| {
            let text = String::from_utf8(bytes.clone()).expect("metadata is text");
            assert!(text.contains(from), "{role} has no {from}: {text}");
            *bytes = text.replace(from, to).into_bytes();
        });
    }

    /// A role's signed part with its signers' signatures.
    pub fn envelope(&self, role: &str) -> Vec<u8> {
        let signed = &self.signed[role];
        let signatures = self.signers[role].iter().map(|name| self.signature(signed, name)).collect();
        canonical::rfc8785(&Json::object([
            ("signatures", Json::Array(signatures)),
            ("signed", signed.clone()),
        ]))
    }

    /// One signature object.
    pub fn signature(&self, signed: &Json, name: &str) -> Json {
        let key = &self.keys[name];
        Json::object([("keyid", Json::from(key.id.clone())), ("sig", Json::from(key.sign(signed)))])
    }

    /// Version, and length and hash where [`Self::lengths_and_hashes`], as a parent lists them.
    pub fn describe(&self, role: &str, bytes: &[u8]) -> Json {
        let mut entry = Json::object([("version", Json::Integer(self.version(role)))]);
        if self.lengths_and_hashes {
            let members = object(&mut entry);
            members.insert("length".to_owned(), Json::Integer(bytes.len() as i64));
            let hashes = Json::object([("sha256", Json::from(sha256(bytes).to_string()))]);
            members.insert("hashes".to_owned(), hashes);
        }
        entry
    }

    /// Lists a target in a role, with SHA-256 and its length, and serves it.
    pub fn add_target(&mut self, role: &str, path: &str, bytes: &[u8]) {
        let hashes = Json::object([("sha256", Json::from(sha256(bytes).to_string()))]);
        self.add_target_as(role, path, bytes, hashes);
    }

    /// The same with any `hashes`. It is served under SHA-256, and under SHA-512.
    pub fn add_target_as(&mut self, role: &str, path: &str, bytes: &[u8], hashes: Json) {
        let entry = Json::object([("length", Json::Integer(bytes.len() as i64)), ("hashes", hashes)]);
        member(self.role(role), "targets").insert(path.to_owned(), entry);
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let folder = if path.contains('/') { format!("{folder}/") } else { String::new() };
        for digest in [sha256(bytes).to_string(), sha512(bytes).to_string()] {
            self.files.insert(format!("targets/{folder}{digest}.{name}"), bytes.to_vec());
        }
        self.files.insert(format!("targets/{path}"), bytes.to_vec());
    }

    /// The entry of a target, for editing.
    ///
    /// # Panics
    /// If it is not listed.
    pub fn target(&mut self, role: &str, path: &str) -> &mut BTreeMap<String, Json> {
        object(member(self.role(role), "targets").get_mut(path).expect("the target is listed"))
    }

    /// Delegates to `name` with the key of that name, last in order; the role is made if it is new.
    pub fn delegate(&mut self, parent: &str, name: &str, delegation: &Delegation) {
        self.delegate_with(parent, name, delegation, &[name]);
    }

    /// The same with these keys, which sign the role from now on.
    pub fn delegate_with(&mut self, parent: &str, name: &str, delegation: &Delegation, keys: &[&str]) {
        for key in keys {
            self.delegate_key(parent, key);
        }
        if !self.signed.contains_key(name) {
            self.start(name, [("targets", Json::object::<String>([]))]);
        }
        self.signers.insert(name.to_owned(), keys.iter().map(|&key| key.to_owned()).collect());
        let ids = keys.iter().map(|&key| Json::from(self.keys[key].id.clone())).collect();
        let mut entry = Json::object([
            ("name", Json::from(name)),
            ("keyids", Json::Array(ids)),
            ("threshold", Json::Integer(1)),
            ("terminating", Json::Bool(delegation.terminating)),
        ]);
        let members = object(&mut entry);
        let texts =
            |texts: &[String]| Json::Array(texts.iter().map(|text| Json::from(text.clone())).collect());
        match &delegation.prefixes {
            Some(prefixes) => members.insert("path_hash_prefixes".to_owned(), texts(prefixes)),
            None if delegation.paths.is_empty() => {
                members.insert("paths".to_owned(), texts(&["*".to_owned()]))
            }
            None => members.insert("paths".to_owned(), texts(&delegation.paths)),
        };
        list(self.delegations(parent), "roles").push(entry);
    }

    /// Lists a key in a delegating role's key table; made if it is new.
    pub fn delegate_key(&mut self, parent: &str, name: &str) {
        if !self.keys.contains_key(name) {
            self.keys.insert(name.to_owned(), TufKey::new(name, Kind::Ed25519));
        }
        let (id, json) = (self.keys[name].id.clone(), self.keys[name].json.clone());
        object(
            self.delegations(parent).entry("keys".to_owned()).or_insert_with(|| Json::object::<String>([])),
        )
        .insert(id, json);
    }

    /// `delegations` of a role, made if there are none.
    pub fn delegations(&mut self, parent: &str) -> &mut BTreeMap<String, Json> {
        let members = object(self.role(parent));
        let empty = || Json::object([("keys", Json::object::<String>([]))]);
        object(members.entry("delegations".to_owned()).or_insert_with(empty))
    }

    /// The entry of one delegation, for editing.
    ///
    /// # Panics
    /// If there is none.
    pub fn delegation(&mut self, parent: &str, name: &str) -> &mut BTreeMap<String, Json> {
        let found = list(self.delegations(parent), "roles")
            .iter_mut()
            .find(|role| role.get("name").and_then(Json::as_str) == Some(name));
        object(found.expect("the role is delegated to"))
    }

    /// Delegates to `2^bits` succinct hash bins (TAP 15) called `<prefix>-<hex>`, all under one key; gives their names.
    pub fn succinct(&mut self, parent: &str, prefix: &str, bits: u32) -> Vec<String> {
        self.delegate_key(parent, prefix);
        let id = self.keys[prefix].id.clone();
        let entry = Json::object([
            ("keyids", Json::Array(vec![Json::from(id)])),
            ("threshold", Json::Integer(1)),
            ("bit_length", Json::Integer(i64::from(bits))),
            ("name_prefix", Json::from(prefix)),
        ]);
        self.delegations(parent).insert("succinct_roles".to_owned(), entry);
        let digits = bits.div_ceil(4) as usize;
        let names: Vec<String> = (0..1_u32 << bits).map(|bin| format!("{prefix}-{bin:0digits$x}")).collect();
        for name in &names {
            self.start(name, [("targets", Json::object::<String>([]))]);
            self.signers.insert(name.clone(), vec![prefix.to_owned()]);
        }
        names
    }
}

/// The elements of the array `key`, made if there is none.
///
/// # Panics
/// If it is something else.
fn list<'a>(members: &'a mut BTreeMap<String, Json>, key: &str) -> &'a mut Vec<Json> {
    match members.entry(key.to_owned()).or_insert_with(|| Json::Array(Vec::new())) {
        Json::Array(items) => items,
        other => panic!("not an array: {other:?}"),
    }
}
