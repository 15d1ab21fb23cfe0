//! How fast the editor is with 16,384 hash bins: all of them made and signed, then one target added.
//!
//! Adding one target is what a publisher does at each release: open and sign one bin, the snapshot and the timestamp,
//! from the bytes that are published to the bytes to publish. Prints the seconds of the first and the median
//! milliseconds of the second.
//!
//! `bins [RUNS]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey, Signer, sha256};
use countersign_tuf::editor::{BinsEditor, SnapshotEditor, TargetsEditor, TimestampEditor};
use countersign_tuf::metadata::{Hashes, MetaFile, TargetFile};
use countersign_tuf::{Envelope, Role as _, Snapshot, Targets, Timestamp as TimestampFile};

const BIT_LENGTH: u32 = 14;

/// What is published.
struct Repository {
    key: SecretKey,
    expires: Timestamp,
    targets: Vec<u8>,
    bins: BTreeMap<String, Vec<u8>>,
    snapshot: Vec<u8>,
    timestamp: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runs: u32 = std::env::args().nth(1).map_or(Ok(11), |text| text.parse())?;
    let start = Instant::now();
    let mut repository = Repository::create()?;
    let created = start.elapsed().as_secs_f64();
    let mut added = Vec::new();
    for run in 0..runs.max(1) {
        let start = Instant::now();
        repository.add(&format!("packages/added-{run}.tar.gz"), run)?;
        added.push(start.elapsed().as_secs_f64() * 1e3);
    }
    added.sort_by(f64::total_cmp);
    println!("{created:.3} {:.2}", added[added.len() / 2]);
    Ok(())
}

impl Repository {
    fn create() -> Result<Self, Box<dyn Error>> {
        let key = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32])?;
        let expires: Timestamp = "2030-01-01T00:00:00Z".parse()?;
        let mut editor = TargetsEditor::new("targets", expires);
        editor.set_succinct("bin", BIT_LENGTH, &[key.public_key().clone()], 1)?;
        let targets = editor.finish()?.signed_by(&[&key as &dyn Signer])?;
        let mut repository = Self {
            key,
            expires,
            targets,
            bins: BTreeMap::new(),
            snapshot: Vec::new(),
            timestamp: Vec::new(),
        };
        let targets = Envelope::<Targets>::parse("targets", &repository.targets)?.signed;
        let succinct = targets.delegations().and_then(|all| all.succinct()).ok_or("no bins")?;
        let mut editor = BinsEditor::new(succinct, expires);
        editor.create_all()?;
        let mut snapshot = SnapshotEditor::new(expires);
        snapshot.set_meta("targets", &MetaFile::describe(1, &repository.targets));
        for draft in editor.finish() {
            let draft = draft?;
            snapshot.set_meta(draft.role(), &BinsEditor::listed(&draft));
            let role = draft.role().to_owned();
            let bytes = draft.signed_by(&[&repository.key as &dyn Signer])?;
            repository.bins.insert(role, bytes);
        }
        repository.publish(snapshot)?;
        Ok(repository)
    }

    fn add(&mut self, path: &str, seed: u32) -> Result<(), Box<dyn Error>> {
        let content = seed.to_be_bytes();
        let hashes = Hashes { sha256: Some(sha256(&content)), ..Hashes::default() };
        let file = TargetFile { length: content.len() as u64, hashes, custom: None };
        let targets = Envelope::<Targets>::parse("targets", &self.targets)?.signed;
        let succinct = targets.delegations().and_then(|all| all.succinct()).ok_or("no bins")?;
        let mut editor = BinsEditor::new(succinct, self.expires);
        let role = editor.bin_of(path);
        let current = Envelope::<Targets>::parse(&role, self.bins.get(&role).ok_or("no such bin")?)?.signed;
        editor.open(&role, &current)?.set_target(path, &file)?;
        let snapshot = Envelope::<Snapshot>::parse("snapshot", &self.snapshot)?.signed;
        let mut next = SnapshotEditor::next(&snapshot);
        for draft in editor.finish() {
            let draft = draft?;
            next.set_meta(draft.role(), &BinsEditor::listed(&draft));
            let bytes = draft.signed_by(&[&self.key as &dyn Signer])?;
            self.bins.insert(role.clone(), bytes);
        }
        self.publish(next)
    }

    fn publish(&mut self, mut snapshot: SnapshotEditor) -> Result<(), Box<dyn Error>> {
        snapshot.set_expires(self.expires);
        let version = snapshot.version();
        self.snapshot = snapshot.finish()?.signed_by(&[&self.key as &dyn Signer])?;
        let listed = MetaFile::describe(version, &self.snapshot);
        let mut timestamp = TimestampEditor::new(self.expires, &listed);
        if !self.timestamp.is_empty() {
            let held = Envelope::<TimestampFile>::parse("timestamp", &self.timestamp)?.signed;
            timestamp.set_version(held.version() + 1);
        }
        self.timestamp = timestamp.finish()?.signed_by(&[&self.key as &dyn Signer])?;
        Ok(())
    }
}
