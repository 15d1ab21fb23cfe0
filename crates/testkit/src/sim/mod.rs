//! A whole repository in memory with every key at hand: what an attacker could make who has them.
//!
//! Metadata is plain [`Json`] that a test edits freely; nothing is checked. [`Sim::publish`] does what an honest
//! publisher does; each of its steps is also there by itself, so that an attack replaces exactly one of them.

pub mod log;

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::json::Json;
use countersign_base::{Anchor, Sha256Digest, Timestamp, canonical};
use countersign_crypto::{Algorithm, SecretKey, sha256, sha512};

use self::log::{Named, ProofFile, SimLog};

/// The name of the one product of a new [`Sim`].
pub const PRODUCT: &str = "node";
/// The origin of its log.
pub const ORIGIN: &str = "log.example/sim";
/// The name of its first witness.
pub const WITNESS: &str = "witness.example/w1";

/// A repository, its keys, its log and its served files.
pub struct Sim {
    /// The instant of everything signed.
    pub now: Timestamp,
    /// Secret keys by name: `root-1`..`root-3`, `snapshot`, `timestamp`, `node-1`, `node-2`, `log`, `witness`, and
    /// whatever a test adds.
    pub keys: BTreeMap<String, SecretKey>,
    /// The signed part of each role's current metadata.
    pub signed: BTreeMap<String, Json>,
    /// Who signs each role.
    pub signers: BTreeMap<String, Vec<String>>,
    /// The log.
    pub log: SimLog,
    /// Names of the keys that cosign.
    pub witnesses: Vec<(String, String)>,
    /// The served tree: path to bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The bytes of each role's current metadata file.
    pub bytes: BTreeMap<String, Vec<u8>>,
    anchor: Anchor,
}

impl Clone for Sim {
    fn clone(&self) -> Self {
        let mut copy = Self {
            now: self.now,
            keys: BTreeMap::new(),
            signed: self.signed.clone(),
            signers: self.signers.clone(),
            log: self.log.clone(),
            witnesses: self.witnesses.clone(),
            files: self.files.clone(),
            bytes: self.bytes.clone(),
            anchor: self.anchor,
        };
        // Secret keys are not `Clone`; these are made from their names.
        self.keys.keys().for_each(|name| copy.add_key(name));
        copy
    }
}

impl Sim {
    /// A repository with one product that has no release yet, published.
    pub fn new(now: Timestamp) -> Self {
        Self::prepared(now, |_| {})
    }

    /// The same, after `prepare` has changed keys, witnesses and the unsigned metadata: the anchor is of the result.
    pub fn prepared(now: Timestamp, prepare: impl FnOnce(&mut Self)) -> Self {
        let mut sim = Self {
            now,
            keys: BTreeMap::new(),
            signed: BTreeMap::new(),
            signers: BTreeMap::new(),
            log: SimLog { origin: ORIGIN.to_owned(), entries: Vec::new() },
            witnesses: vec![(WITNESS.to_owned(), "witness".to_owned())],
            files: BTreeMap::new(),
            bytes: BTreeMap::new(),
            anchor: Anchor(Sha256Digest([0; 32])),
        };
        for name in
            ["root-1", "root-2", "root-3", "snapshot", "timestamp", "node-1", "node-2", "log", "witness"]
        {
            sim.add_key(name);
        }
        let signers = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        sim.signers.insert("root".to_owned(), signers(&["root-1", "root-2"]));
        sim.signers.insert("targets".to_owned(), signers(&["root-1", "root-2"]));
        sim.signers.insert("snapshot".to_owned(), signers(&["snapshot"]));
        sim.signers.insert("timestamp".to_owned(), signers(&["timestamp"]));
        sim.signers.insert(PRODUCT.to_owned(), signers(&["node-1", "node-2"]));
        sim.first_metadata();
        prepare(&mut sim);
        sim.seal(&["root"]);
        // Before anything else is signed or published: all of it names the repository.
        sim.anchor = Anchor(sha256(&sim.bytes["root"]));
        let roles: Vec<String> = sim.signed.keys().cloned().collect();
        for role in roles {
            let mut signed = sim.signed[&role].clone();
            sim.name_repository(&mut signed);
            sim.signed.insert(role, signed);
        }
        sim.seal(&["targets", PRODUCT]);
        sim.publish_sealed(&["root", "targets", PRODUCT]);
        sim
    }

    /// Makes a key whose seed is the digest of its name: the same in every run. The beginning of the name tells the
    /// kind: `mldsa-` ML-DSA-44, `mldsa65-`, `p256-`, `p384-`; else Ed25519.
    pub fn add_key(&mut self, name: &str) {
        let seed = *sha256(format!("simulated key {name}").as_bytes()).as_bytes();
        let algorithm = match name.split_once('-').map_or("", |(kind, _)| kind) {
            "mldsa" => Algorithm::MlDsa44,
            "mldsa65" => Algorithm::MlDsa65,
            "p256" => Algorithm::EcdsaP256Sha256,
            "p384" => Algorithm::EcdsaP384Sha384,
            _ => Algorithm::Ed25519,
        };
        let key = SecretKey::from_seed(algorithm, &seed).expect("a seed gives a key");
        self.keys.insert(name.to_owned(), key);
    }

    /// The anchor: SHA-256 of the first root.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The key object of a key in TUF metadata.
    pub fn key_json(&self, name: &str) -> Json {
        let key = self.keys[name].public_key();
        let (keytype, scheme) = match key.algorithm() {
            Algorithm::MlDsa44 => ("ml-dsa", "ml-dsa-44/1"),
            Algorithm::MlDsa65 => ("ml-dsa", "ml-dsa-65/1"),
            Algorithm::EcdsaP256Sha256 => ("ecdsa", "ecdsa-sha2-nistp256"),
            Algorithm::EcdsaP384Sha384 => ("ecdsa", "ecdsa-sha2-nistp384"),
            _ => ("ed25519", "ed25519"),
        };
        let public = match keytype {
            "ed25519" => hex::encode(key.as_raw()),
            _ => key.to_spki_pem(),
        };
        Json::object([
            ("keytype", Json::from(keytype)),
            ("scheme", Json::from(scheme)),
            ("keyval", Json::object([("public", Json::from(public))])),
        ])
    }

    /// The key id that honest metadata uses.
    pub fn key_id(&self, name: &str) -> String {
        sha256(&canonical::olpc(&self.key_json(name))).to_string()
    }

    /// Makes the holder of `first` one of two keys, in the file of `role`, which lists `first`; both must sign then.
    pub fn set_pair(&mut self, role: &str, first: &str, second: &str) {
        let (id, key) = (self.key_id(first), self.key_json(second));
        let empty = || Json::object::<String>([]);
        let extension = object(self.role(role)).entry("x-countersign".to_owned()).or_insert_with(empty);
        let pairs = object(extension).entry("pairs".to_owned()).or_insert_with(empty);
        object(pairs).insert(id, key);
    }

    /// The transparency policy text of the honest root.
    pub fn policy(&self) -> String {
        let log = Named { name: ORIGIN, key: &self.keys["log"] }.vkey(1);
        let witness = Named { name: WITNESS, key: &self.keys["witness"] }.vkey(4);
        format!("log {log}\nwitness w1 {witness}\nquorum w1\n")
    }

    /// Puts another transparency policy into the root's signed part.
    pub fn set_policy(&mut self, text: &str) {
        let lines = Json::from(text.lines().collect::<Vec<_>>());
        member(self.role("root"), "x-countersign").insert("policy".to_owned(), lines);
    }

    /// A key with a name, to sign notes.
    pub fn named<'a>(&'a self, name: &'a str, key: &str) -> Named<'a> {
        Named { name, key: &self.keys[key] }
    }

    /// Adds a file to the product's metadata and to the served tree; [`Sim::publish`] makes it visible.
    pub fn add_release(&mut self, version: &str, name: &str, content: &[u8]) {
        let digest = sha256(content);
        let path = format!("{PRODUCT}/{version}/linux-amd64/{name}");
        let info = [("channel", Json::from("stable")), ("mode", Json::from("755"))];
        let entry = Json::object([
            ("length", Json::Integer(content.len() as i64)),
            (
                "hashes",
                Json::object([
                    ("sha256", Json::from(digest.to_string())),
                    ("sha512", Json::from(sha512(content).to_string())),
                ]),
            ),
            ("custom", Json::object([("x-countersign", Json::object(info))])),
        ]);
        member(self.role(PRODUCT), "targets").insert(path, entry);
        // A copy for each listed hash (specification 6.2): clients may ask by any of them.
        for digest in [digest.to_string(), sha512(content).to_string()] {
            let file = format!("targets/{PRODUCT}/{version}/linux-amd64/{digest}.{name}");
            self.files.insert(file, content.to_vec());
        }
    }

    /// The signed part of a role, for editing.
    pub fn role(&mut self, role: &str) -> &mut Json {
        self.signed.get_mut(role).expect("the role exists")
    }

    /// The version number in a role's signed part.
    pub fn version(&self, role: &str) -> i64 {
        self.signed[role].get("version").and_then(Json::as_integer).expect("metadata has a version")
    }

    /// Sets the version number in a role's signed part.
    pub fn set_version(&mut self, role: &str, version: i64) {
        object(self.role(role)).insert("version".to_owned(), Json::Integer(version));
    }

    /// Raises the version of each of `roles`, then publishes them.
    pub fn publish_next(&mut self, roles: &[&str]) {
        for role in roles {
            let next = self.version(role) + 1;
            self.set_version(role, next);
        }
        self.publish(roles);
    }

    /// Signs and logs `roles` as they are, then a new snapshot and timestamp, and serves all of it.
    pub fn publish(&mut self, roles: &[&str]) {
        self.seal(roles);
        self.publish_sealed(roles);
    }

    /// Signs `roles` as they are. Signatures of some kinds of keys differ each time.
    fn seal(&mut self, roles: &[&str]) {
        for role in roles {
            let bytes = self.envelope(role);
            self.bytes.insert((*role).to_owned(), bytes);
        }
    }

    fn publish_sealed(&mut self, roles: &[&str]) {
        self.point_snapshot();
        let mut logged = roles.to_vec();
        logged.push("snapshot");
        self.log_and_serve(&logged);
        self.point_timestamp();
        self.serve_timestamp();
    }

    /// Makes the next snapshot list every role's current bytes, signed.
    pub fn point_snapshot(&mut self) {
        let mut meta = BTreeMap::new();
        for role in
            self.bytes.keys().filter(|role| !matches!(role.as_str(), "root" | "snapshot" | "timestamp"))
        {
            meta.insert(format!("{role}.json"), self.describe(role));
        }
        let next = self.version("snapshot") + 1;
        let snapshot = object(self.role("snapshot"));
        snapshot.insert("meta".to_owned(), Json::Object(meta));
        self.set_version("snapshot", next);
        let bytes = self.envelope("snapshot");
        self.bytes.insert("snapshot".to_owned(), bytes);
    }

    /// Makes the next timestamp list the current snapshot, signed.
    pub fn point_timestamp(&mut self) {
        let meta = Json::object([("snapshot.json", self.describe("snapshot"))]);
        let next = self.version("timestamp") + 1;
        object(self.role("timestamp")).insert("meta".to_owned(), meta);
        self.set_version("timestamp", next);
        let bytes = self.envelope("timestamp");
        self.bytes.insert("timestamp".to_owned(), bytes);
    }

    /// Appends a leaf for each role, then serves its file with a proof at the new size, and the tiles.
    pub fn log_and_serve(&mut self, roles: &[&str]) {
        let first = self.log.size();
        for role in roles {
            let leaf = self.leaf(role, &self.bytes[*role]);
            self.log.entries.push(leaf);
        }
        let size = self.log.size();
        let checkpoint = self.checkpoint(&self.log, size);
        for (at, role) in (first..).zip(roles) {
            let proof = self.log.proof(at, size, &checkpoint);
            self.serve(role, Some(proof));
        }
        self.serve_log(size, &checkpoint);
    }

    /// Serves a role's current bytes as `N.role.json`, with or without a proof beside it.
    pub fn serve(&mut self, role: &str, proof: Option<Vec<u8>>) {
        let name = format!("metadata/{}.{role}.json", self.version(role));
        self.files.insert(name.clone(), self.bytes[role].clone());
        match proof {
            Some(proof) => self.files.insert(format!("{name}.tlog-proof"), proof),
            None => self.files.remove(&format!("{name}.tlog-proof")),
        };
    }

    /// The path of the proof of a role's current version.
    pub fn proof_path(&self, role: &str) -> String {
        format!("metadata/{}.{role}.json.tlog-proof", self.version(role))
    }

    /// The honest proof of a role's current version in the current tree, in parts.
    ///
    /// # Panics
    /// If its leaf is not in the log.
    pub fn proof_of(&self, role: &str) -> ProofFile {
        let leaf = self.leaf(role, &self.bytes[role]);
        let at = self.log.entries.iter().position(|entry| *entry == leaf).expect("the leaf is logged");
        let size = self.log.size();
        self.log.proof_file(at as u64, size, &self.checkpoint(&self.log, size))
    }

    /// Serves a role's current version with its proof after `edit`.
    pub fn serve_proof(&mut self, role: &str, edit: impl FnOnce(&mut ProofFile)) {
        let mut proof = self.proof_of(role);
        edit(&mut proof);
        self.serve(role, Some(proof.encode()));
    }

    /// Serves the current timestamp.
    pub fn serve_timestamp(&mut self) {
        self.files.insert("metadata/timestamp.json".to_owned(), self.bytes["timestamp"].clone());
    }

    /// Serves the checkpoint and the tiles of the tree of `size`.
    pub fn serve_log(&mut self, size: u64, checkpoint: &str) {
        self.files.insert("log/checkpoint".to_owned(), checkpoint.as_bytes().to_vec());
        for (path, bytes) in self.log.tiles(size) {
            self.files.insert(format!("log/{path}"), bytes);
        }
    }

    /// A note of any text, signed by the log key under the log's origin and cosigned by all of [`Sim::witnesses`].
    pub fn sign_checkpoint(&self, text: &str) -> String {
        let cosignature =
            |(name, key): &(String, String)| self.named(name, key).cosignature_line(text, self.now);
        let cosignatures: String = self.witnesses.iter().map(cosignature).collect();
        format!("{text}\n{}{cosignatures}", self.named(&self.log.origin, "log").log_line(text))
    }

    /// A checkpoint of `log`, signed by the log key and cosigned by all of [`Sim::witnesses`].
    pub fn checkpoint(&self, log: &SimLog, size: u64) -> String {
        let witnesses: Vec<_> =
            self.witnesses.iter().map(|(name, key)| Named { name, key: &self.keys[key] }).collect();
        log.checkpoint(size, Named { name: &log.origin, key: &self.keys["log"] }, &witnesses, self.now)
    }

    /// The log entry of a metadata file, without `changes`.
    pub fn leaf(&self, role: &str, bytes: &[u8]) -> Vec<u8> {
        format!(
            r#"{{"apiVersion":"0.0.1","kind":"tufmetadata","spec":{{"length":{},"repository":"{}","role":"{role}","sha256":"{}","version":{}}}}}"#,
            bytes.len(),
            self.anchor.0,
            sha256(bytes),
            self.version(role),
        )
        .into_bytes()
    }

    /// A role's signed part, signed by its usual signers.
    pub fn envelope(&self, role: &str) -> Vec<u8> {
        let signers: Vec<&str> = self.signers[role].iter().map(String::as_str).collect();
        self.envelope_by(role, &signers)
    }

    /// A role's signed part, signed by the named keys. It names the repository, unless it names one already; the first
    /// root cannot.
    pub fn envelope_by(&self, role: &str, signers: &[&str]) -> Vec<u8> {
        let mut signed = self.signed[role].clone();
        match (role, signed.get("version").and_then(Json::as_integer)) {
            ("root", Some(1)) => {
                if let Some(Json::Object(extension)) = object(&mut signed).get_mut("x-countersign") {
                    extension.remove("repository");
                }
            }
            _ => self.name_repository(&mut signed),
        }
        let signatures = signers.iter().map(|name| self.signature(&signed, name)).collect();
        canonical::rfc8785(&Json::object([("signatures", Json::Array(signatures)), ("signed", signed)]))
    }

    fn name_repository(&self, signed: &mut Json) {
        let empty = || Json::object::<String>([]);
        let extension = object(signed).entry("x-countersign".to_owned()).or_insert_with(empty);
        // What is no object is a test's own.
        if let Json::Object(extension) = extension {
            let anchor = || Json::from(self.anchor.0.to_string());
            extension.entry("repository".to_owned()).or_insert_with(anchor);
        }
    }

    /// One signature object over a signed part; ML-DSA signs its digest with a prefix, as TAP 21 says.
    pub fn signature(&self, signed: &Json, name: &str) -> Json {
        let (key, mut message) = (&self.keys[name], canonical::olpc(signed));
        if matches!(key.public_key().algorithm(), Algorithm::MlDsa44 | Algorithm::MlDsa65) {
            message = [&b"tuf\x01"[..], sha512(&message).as_bytes()].concat();
        }
        let signature = key.sign(&message).expect("a simulated key signs");
        Json::object([("keyid", Json::from(self.key_id(name))), ("sig", Json::from(hex::encode(signature)))])
    }

    /// Version, length and hash of a role's current bytes, as a parent lists them.
    pub fn describe(&self, role: &str) -> Json {
        let bytes = &self.bytes[role];
        Json::object([
            ("version", Json::Integer(self.version(role))),
            ("length", Json::Integer(bytes.len() as i64)),
            ("hashes", Json::object([("sha256", Json::from(sha256(bytes).to_string()))])),
        ])
    }

    /// Writes the served tree to `dir`, which is emptied first.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, dir: &Path) {
        if dir.exists() {
            std::fs::remove_dir_all(dir).expect("the old tree goes away");
        }
        for (path, bytes) in &self.files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("folders are made");
            std::fs::write(path, bytes).expect("files are written");
        }
    }

    fn first_metadata(&mut self) {
        let role_keys = |sim: &Self, names: &[&str], threshold: i64| {
            let ids: Vec<Json> = names.iter().map(|name| Json::from(sim.key_id(name))).collect();
            Json::object([("keyids", Json::Array(ids)), ("threshold", Json::Integer(threshold))])
        };
        let keys = |sim: &Self, names: &[&str]| {
            Json::object(names.iter().map(|name| (sim.key_id(name), sim.key_json(name))))
        };
        let root_names = ["root-1", "root-2", "root-3"];
        let roles = Json::object([
            ("root", role_keys(self, &root_names, 2)),
            ("targets", role_keys(self, &root_names, 2)),
            ("snapshot", role_keys(self, &["snapshot"], 1)),
            ("timestamp", role_keys(self, &["timestamp"], 1)),
        ]);
        let policy = [
            ("apiVersion", Json::from("0.0.1")),
            ("policy", Json::from(self.policy().lines().collect::<Vec<_>>())),
        ];
        let root = [
            ("consistent_snapshot", Json::Bool(true)),
            ("keys", keys(self, &["root-1", "root-2", "root-3", "snapshot", "timestamp"])),
            ("roles", roles),
            ("x-countersign", Json::object(policy)),
        ];
        let delegation = Json::object([
            ("name", Json::from(PRODUCT)),
            ("keyids", Json::Array(vec![self.key_id("node-1").into(), self.key_id("node-2").into()])),
            ("threshold", Json::Integer(2)),
            ("terminating", Json::Bool(true)),
            ("paths", Json::Array(vec![format!("{PRODUCT}/*/*/*").into()])),
        ]);
        let delegations =
            [("keys", keys(self, &["node-1", "node-2"])), ("roles", Json::Array(vec![delegation]))];
        let empty = || Json::object::<String>([]);
        self.start("root", 1, root);
        self.start("targets", 1, [("targets", empty()), ("delegations", Json::object(delegations))]);
        self.start(PRODUCT, 1, [("targets", empty())]);
        // The first publication raises these two to 1.
        self.start("snapshot", 0, [("meta", empty())]);
        self.start("timestamp", 0, [("meta", empty())]);
    }

    fn start<const N: usize>(&mut self, role: &str, version: i64, members: [(&str, Json); N]) {
        let kind = if role == PRODUCT { "targets" } else { role };
        let mut signed = Json::object(members);
        let common = object(&mut signed);
        common.insert("_type".to_owned(), Json::from(kind));
        common.insert("spec_version".to_owned(), Json::from("1.0.34"));
        common.insert("version".to_owned(), Json::Integer(version));
        common.insert("expires".to_owned(), Json::from(self.now.plus_days(30).to_string()));
        self.signed.insert(role.to_owned(), signed);
    }
}

/// The members of an object, for editing.
///
/// # Panics
/// If `value` is none.
pub fn object(value: &mut Json) -> &mut BTreeMap<String, Json> {
    match value {
        Json::Object(members) => members,
        other => panic!("not an object: {other:?}"),
    }
}

/// The members of the object `key` of an object, for editing.
///
/// # Panics
/// If there is none.
pub fn member<'a>(value: &'a mut Json, key: &str) -> &'a mut BTreeMap<String, Json> {
    object(object(value).get_mut(key).expect("the member exists"))
}
