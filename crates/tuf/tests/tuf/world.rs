//! A small repository whose every file can be made wrong in one way.

use countersign_base::canonical::{olpc, rfc8785};
use countersign_base::{Explain as _, Json, Timestamp, json};
use countersign_crypto::{Algorithm, PublicKey, SecretKey, Signer, sha256};
use countersign_tuf::editor::{NewDelegation, RootEditor, SnapshotEditor, TargetsEditor, TimestampEditor};
use countersign_tuf::metadata::{Coverage, Hashes, MetaFile, TargetFile, key_id};
use countersign_tuf::{TrustedSet, TufError};

/// The fixed time of all tests.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap()
}

pub(crate) fn public(seeds: &[u8]) -> Vec<PublicKey> {
    seeds.iter().map(|&seed| key(seed).public_key().clone()).collect()
}

/// Seeds of the keys of each role: root 2 of 3, targets and node 2 of 2, snapshot and timestamp 1.
pub(crate) const ROOT: &[u8] = &[1, 2, 3];
pub(crate) const TARGETS: &[u8] = &[11, 12];
pub(crate) const SNAPSHOT: &[u8] = &[21];
pub(crate) const TIMESTAMP: &[u8] = &[31];
pub(crate) const NODE: &[u8] = &[41, 42, 43];

/// Where node's file is.
pub(crate) const NODE_PATH: &str = "node/1.0.0/linux-amd64/node";

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) root: Vec<u8>,
    pub(crate) timestamp: Vec<u8>,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) targets: Vec<u8>,
    pub(crate) node: Vec<u8>,
}

pub(crate) fn target(bytes: &[u8]) -> TargetFile {
    let hashes = Hashes { sha256: Some(sha256(bytes)), ..Hashes::default() };
    TargetFile { length: bytes.len() as u64, hashes, custom: None }
}

pub(crate) fn sign(draft: countersign_tuf::editor::Draft, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = seeds.iter().map(|&seed| key(seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    draft.signed_by(&signers).unwrap()
}

pub(crate) fn root_editor() -> RootEditor {
    let mut root = RootEditor::new(now().plus_days(365));
    root.set_role("root", &public(ROOT), 2).unwrap();
    root.set_role("targets", &public(TARGETS), 2).unwrap();
    root.set_role("snapshot", &public(SNAPSHOT), 1).unwrap();
    root.set_role("timestamp", &public(TIMESTAMP), 1).unwrap();
    root
}

pub(crate) fn paths(patterns: &[&str]) -> Coverage {
    Coverage::Paths(patterns.iter().map(|&pattern| pattern.to_owned()).collect())
}

impl World {
    pub(crate) fn new() -> Self {
        let expires = now().plus_days(30);
        let mut targets = TargetsEditor::new("targets", expires);
        targets
            .set_delegation(&NewDelegation {
                name: "node",
                keys: &public(NODE),
                threshold: 2,
                coverage: paths(&["node/*/*/*"]),
                terminating: true,
            })
            .unwrap();
        let mut node = TargetsEditor::new("node", expires);
        node.set_target(NODE_PATH, &target(b"node 1.0.0")).unwrap();
        let mut world = Self {
            root: sign(root_editor().finish().unwrap(), &ROOT[..2]),
            timestamp: Vec::new(),
            snapshot: Vec::new(),
            targets: sign(targets.finish().unwrap(), TARGETS),
            node: sign(node.finish().unwrap(), &NODE[..2]),
        };
        world.list(1);
        world
    }

    /// Writes snapshot and timestamp of this version for the files as they are.
    pub(crate) fn list(&mut self, version: u64) {
        self.list_as(version, &[("targets", version_of(&self.targets)), ("node", version_of(&self.node))]);
    }

    /// As [`World::list`], with the versions to list.
    pub(crate) fn list_as(&mut self, version: u64, listed: &[(&str, u64)]) {
        let mut snapshot = SnapshotEditor::new(now().plus_days(7));
        snapshot.set_version(version);
        for &(role, version) in listed {
            let bytes = if role == "targets" { &self.targets } else { &self.node };
            snapshot.set_meta(role, &MetaFile::describe(version, bytes));
        }
        self.snapshot = sign(snapshot.finish().unwrap(), SNAPSHOT);
        self.stamp(version);
    }

    /// Writes a timestamp of this version for the snapshot as it is.
    pub(crate) fn stamp(&mut self, version: u64) {
        let listed = MetaFile::describe(version_of(&self.snapshot), &self.snapshot);
        let mut timestamp = TimestampEditor::new(now().plus_days(1), &listed);
        timestamp.set_version(version);
        self.timestamp = sign(timestamp.finish().unwrap(), TIMESTAMP);
    }

    /// A client's first refresh.
    pub(crate) fn refresh(&self) -> Result<TrustedSet, TufError> {
        let mut set = TrustedSet::new(&self.root, now())?;
        self.update(&mut set)?;
        Ok(set)
    }

    /// A client's refresh after the roots.
    pub(crate) fn update(&self, set: &mut TrustedSet) -> Result<(), TufError> {
        set.update_timestamp(&self.timestamp)?;
        if !set.snapshot_is_current() {
            set.update_snapshot(&self.snapshot)?;
        }
        set.update_targets(&self.targets)?;
        set.update_delegated("node", "targets", &self.node)
    }
}

/// The code of a refusal, or `ok`.
pub(crate) fn code<T>(result: Result<T, TufError>) -> &'static str {
    result.map_or_else(|error| error.code().name(), |_| "ok")
}

pub(crate) fn version_of(bytes: &[u8]) -> u64 {
    let value = json::parse(bytes).unwrap();
    u64::try_from(value.get("signed").unwrap().get("version").unwrap().as_integer().unwrap()).unwrap()
}

/// The file with its `signed` object changed, whatever a client thinks of it, and signed anew by these keys.
pub(crate) fn change(bytes: &[u8], seeds: &[u8], edit: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut signed = json::parse(bytes).unwrap().get("signed").unwrap().clone();
    edit(&mut signed);
    let message = olpc(&signed);
    let signatures: Vec<Json> =
        seeds.iter().map(|&seed| signature(&key_id(key(seed).public_key()), &key(seed), &message)).collect();
    envelope(signatures, signed)
}

pub(crate) fn signature(keyid: &str, key: &SecretKey, message: &[u8]) -> Json {
    let bytes = key.sign(message).unwrap();
    let sig: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Json::object([("keyid", Json::from(keyid)), ("sig", Json::from(sig))])
}

pub(crate) fn envelope(signatures: Vec<Json>, signed: Json) -> Vec<u8> {
    rfc8785(&Json::object([("signatures", Json::from(signatures)), ("signed", signed)]))
}

/// The member at this path of objects and array indices, to change.
pub(crate) fn at<'a>(mut value: &'a mut Json, path: &[&str]) -> &'a mut Json {
    for step in path {
        value = match value {
            Json::Object(members) => members.entry((*step).to_owned()).or_insert(Json::Null),
            Json::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            _ => panic!("no member {step}"),
        };
    }
    value
}

/// Removes a member.
pub(crate) fn remove(value: &mut Json, path: &[&str], member: &str) {
    match at(value, path) {
        Json::Object(members) => members.remove(member).map(|_| ()).unwrap(),
        _ => panic!("no object"),
    }
}
