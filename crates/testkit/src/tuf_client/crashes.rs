//! A refresh that is interrupted at any write: what is trusted afterwards is the old or the new, and nothing is lost.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use countersign_base::{Explain as _, Timestamp};
use countersign_client::{FetchError, Transport};
use countersign_crypto::{Algorithm, SecretKey, Signer, sha256};
use countersign_store::RealDisk;
use countersign_tuf::editor::{Draft, RootEditor, SnapshotEditor, TargetsEditor, TimestampEditor};
use countersign_tuf::metadata::{Hashes, MetaFile, TargetFile};
use countersign_tuf::{Envelope, Root};
use tempfile::TempDir;

use super::{Cache, Client, init};
use crate::faulty_disk::{Fault, FaultyDisk, Loss, Then, scratch};

/// Files by path, and what was asked for.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Transport for Memory {
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let file = self.files.get(path).ok_or_else(|| FetchError::NotFound { what: path.to_owned() })?;
        assert!(file.len() as u64 <= limit, "{path}");
        Ok(file.clone())
    }

    fn download(
        &self,
        path: &str,
        length: u64,
        _: u64,
        sink: &mut dyn Write,
        _: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        sink.write_all(&self.get(path, length)?).map_err(FetchError::Sink)
    }
}

fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap()
}

fn sign(draft: Draft, seed: u8) -> Vec<u8> {
    draft.signed_by(&[&key(seed) as &dyn Signer]).unwrap()
}

/// A repository in this version; `rotated`, root 2 gives timestamp and snapshot another key.
fn repository(version: u64, rotated: bool) -> Memory {
    let (expires, online) = (now().plus_days(9), if rotated { 3 } else { 2 });
    let mut memory = Memory::default();
    let mut put = |path: &str, bytes: &[u8]| _ = memory.files.insert(path.to_owned(), bytes.to_vec());
    let mut root = RootEditor::new(expires);
    for (role, seed) in [("root", 1), ("targets", 1), ("snapshot", 2), ("timestamp", 2)] {
        root.set_role(role, &[key(seed).public_key().clone()], 1).unwrap();
    }
    let first = sign(root.finish().unwrap(), 1);
    put("1.root.json", &first);
    if rotated {
        let mut next = RootEditor::next(&Envelope::<Root>::parse("root", &first).unwrap().signed);
        for role in ["snapshot", "timestamp"] {
            next.set_role(role, &[key(online).public_key().clone()], 1).unwrap();
        }
        put("2.root.json", &sign(next.finish().unwrap(), 1));
    }
    let mut targets = TargetsEditor::new("targets", expires);
    let content = format!("version {version}").into_bytes();
    let digest = sha256(&content);
    let hashes = Hashes { sha256: Some(digest), ..Hashes::default() };
    let file = TargetFile { length: content.len() as u64, hashes, custom: None };
    targets.set_version(version).set_target("a/b c", &file).unwrap();
    let targets = sign(targets.finish().unwrap(), 1);
    let mut snapshot = SnapshotEditor::new(expires);
    snapshot.set_version(version).set_meta("targets", &MetaFile::describe(version, &targets));
    let snapshot = sign(snapshot.finish().unwrap(), online);
    let mut timestamp = TimestampEditor::new(expires, &MetaFile::describe(version, &snapshot));
    timestamp.set_version(version);
    put("timestamp.json", &sign(timestamp.finish().unwrap(), online));
    put(&format!("{version}.snapshot.json"), &snapshot);
    put(&format!("{version}.targets.json"), &targets);
    put(&format!("a/{digest}.b%20c"), &content);
    memory
}

/// A folder in which this repository was refreshed to.
fn refreshed(repository: &Memory) -> TempDir {
    let folder = TempDir::new_in(scratch()).unwrap();
    let cache = Cache::open(folder.path(), &RealDisk).unwrap();
    init(&cache, &repository.files["1.root.json"]).unwrap();
    Client::refresh(&cache, repository, now()).unwrap();
    folder
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name.ends_with(".json")).collect()
}

#[test]
fn nothing_new_takes_two_requests_and_writes_nothing() {
    let repository = repository(1, false);
    let folder = refreshed(&repository);
    repository.asked.lock().unwrap().clear();
    let disk = FaultyDisk::counting(folder.path());
    let cache = Cache::open(folder.path(), &*disk).unwrap();
    Client::refresh(&cache, &repository, now()).unwrap();
    assert_eq!(*repository.asked.lock().unwrap(), ["2.root.json", "timestamp.json"]);
    assert_eq!(disk.steps(), 0);
    let names: Vec<String> = files(folder.path()).into_keys().collect();
    assert_eq!(names, ["root.json", "snapshot.json", "targets.json", "timestamp.json"]);
}

#[test]
fn a_target_is_fetched_once_and_stays_in_its_folder() {
    let repository = repository(1, false);
    let (folder, targets) = (refreshed(&repository), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), &RealDisk).unwrap();
    let mut client = Client::refresh(&cache, &repository, now()).unwrap();
    let at = client.download("a/b c", &repository, targets.path()).unwrap();
    assert_eq!(at, targets.path().join("a%2Fb%20c"));
    assert_eq!(std::fs::read(&at).unwrap(), b"version 1");
    let asked = repository.asked.lock().unwrap().len();
    client.download("a/b c", &repository, targets.path()).unwrap();
    assert_eq!(repository.asked.lock().unwrap().len(), asked);
    // What somebody changed on disk is fetched again.
    std::fs::write(&at, b"version 0").unwrap();
    client.download("a/b c", &repository, targets.path()).unwrap();
    assert_eq!(std::fs::read(&at).unwrap(), b"version 1");
    let absent = client.download("a/c", &repository, targets.path()).unwrap_err();
    assert_eq!(absent.code().name(), "tuf-target-not-found");
}

/// Every write of a refresh fails in every way, and the machine loses what it can lose. Once the new timestamp is kept,
/// going back is refused with the code `older_is`.
fn interrupted_everywhere(before: &Memory, after: &Memory, older_is: &str) {
    let start = refreshed(before);
    let (old, new) = (files(start.path()), files(refreshed(after).path()));
    let counting = {
        let copy = copy_of(start.path());
        let disk = FaultyDisk::counting(copy.path());
        Client::refresh(&Cache::open(copy.path(), &*disk).unwrap(), after, now()).unwrap();
        disk.steps()
    };
    assert!(counting > 8, "{counting}");
    for at in 0..counting {
        for fault in Fault::ALL {
            let copy = copy_of(start.path());
            let disk = FaultyDisk::failing(copy.path(), at, fault, Then::Dies);
            let run =
                Cache::open(copy.path(), &*disk).map(|cache| Client::refresh(&cache, after, now()).is_ok());
            assert!(!matches!(run, Ok(true)), "{at} {fault:?}: the failure went unnoticed");
            for loss in Loss::ALL {
                let left = TempDir::new_in(scratch()).unwrap();
                disk.after(loss, left.path());
                let found = files(left.path());
                for (name, bytes) in &found {
                    let whole = old.get(name) == Some(bytes) || new.get(name) == Some(bytes);
                    assert!(whole, "{at} {fault:?} {loss:?}: {name} is neither the old nor the new one");
                }
                assert!(found.contains_key("root.json"), "{at} {fault:?} {loss:?}: the root is lost");
                let cache = Cache::open(left.path(), &RealDisk).unwrap();
                if after.files["timestamp.json"] == found.get("timestamp.json").cloned().unwrap_or_default() {
                    let back = Client::refresh(&cache, before, now()).map(|_| ());
                    assert_eq!(back.map_or_else(|error| error.code().name(), |()| "ok"), older_is);
                }
                Client::refresh(&cache, after, now()).unwrap();
                assert_eq!(files(left.path()), new, "{at} {fault:?} {loss:?}");
            }
        }
    }
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = TempDir::new_in(scratch()).unwrap();
    for (name, bytes) in files(folder) {
        std::fs::write(copy.path().join(name), bytes).unwrap();
    }
    copy
}

#[test]
fn a_refresh_interrupted_at_any_write_leaves_the_old_or_the_new() {
    interrupted_everywhere(&repository(1, false), &repository(2, false), "tuf-rollback");
}

#[test]
fn a_rotation_interrupted_at_any_write_leaves_the_old_or_the_new() {
    // Versions begin anew under new keys (5.3.11): wherever it breaks off, the old copies are not in the way.
    interrupted_everywhere(&repository(7, false), &repository(1, true), "tuf-threshold");
}
