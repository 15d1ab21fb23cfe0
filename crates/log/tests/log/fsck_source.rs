//! A log proven from where it is served: what `fsck` proves of its folder, and each wrong file is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use countersign_base::code::{self, Explain as _};
use countersign_log::mirror::{MirrorError, Source, SourceError};
use countersign_log::{FsckReport, Trust, fsck, fsck_source};
use countersign_store::{Dir, Objects as _};
use countersign_tlog::VerifierKey;

use crate::support::{
    ORIGIN, cosigners, entries, log_of, log_vkey, now, policy, quick, scratch, secret, witness,
};

fn published(root: &Path, size: u64) {
    let mut log = log_of(root, size);
    log.append(&entries(size, size + 1), now()).expect("an entry");
    log.publish(&mut cosigners(&witness(quick(root), root)), &policy(), now()).expect("published");
}

/// A log's files in memory, one of them changed.
struct Served {
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Served {
    fn new(root: &Path) -> Self {
        let dir = Dir::existing(&root.join("log")).expect("a log");
        let names = dir.list("").expect("names").into_iter();
        let files = names.map(|name| (name.clone(), dir.get(&name).expect("a file").expect("a file")));
        Self { files: files.collect(), asked: Mutex::default() }
    }
}

impl Source for Served {
    fn fetch(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.asked.lock().expect("no panic").push(path.to_owned());
        Ok(self.files.get(path).cloned())
    }
}

fn check(source: &dyn Source) -> Result<FsckReport, MirrorError> {
    fsck_source(source, Trust::Policy(&policy(), now()), 4, &mut |_, _| {})
}

#[test]
fn it_proves_what_fsck_proves_of_the_folder() {
    for size in [0, 1, 255, 256, 300, 65_535, 65_536, 70_000] {
        let temp = scratch();
        published(temp.path(), size);
        let (served, mut last) = (Served::new(temp.path()), (0, 0));
        let seen = fsck_source(&served, Trust::Keys(&[log_vkey()]), 3, &mut |done, all| {
            assert!(last.0 <= done && done <= all);
            last = (done, all);
        });
        let seen = seen.unwrap();
        let here = fsck(&temp.path().join("log"), Trust::Keys(&[log_vkey()])).unwrap();
        assert_eq!(seen, FsckReport { older: 0, ahead: 0, ..here }, "{size}");
        assert_eq!(last, (seen.bundles, seen.bundles));
        // Every file of the tree was asked for, and none twice.
        let mut asked = served.asked.into_inner().unwrap();
        asked.sort();
        let count = asked.len() as u64;
        asked.dedup();
        assert_eq!((asked.len() as u64, count), (1 + seen.tiles + seen.bundles, count));
    }
    let temp = scratch();
    published(temp.path(), 300);
    assert_eq!(check(&Served::new(temp.path())).unwrap().witnesses, ["w1"]);
}

#[test]
fn l11_l18_each_wrong_or_missing_file_is_named() {
    let temp = scratch();
    published(temp.path(), 66_000);
    let mut served = Served::new(temp.path());
    check(&served).unwrap();
    let mut required = std::mem::take(&mut *served.asked.lock().unwrap());
    required.retain(|name| name != "checkpoint");
    // All of the upper ones, and some of the many below.
    required.retain(|name| !name.ends_with(['1', '2', '4', '5', '6', '8', '9']) || name.contains(".p/"));
    for name in required {
        let good = served.files.remove(&name).unwrap();
        let error = check(&served).unwrap_err();
        assert_eq!(error.code(), code::LOG_TILE_MISSING, "{name}: {error}");
        assert!(error.to_string().contains(&name), "{name}: {error}");
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for bad in [&flipped[..], &good[..good.len() - 1], b""] {
            served.files.insert(name.clone(), bad.to_vec());
            let error = check(&served).unwrap_err();
            assert_eq!(error.code(), code::LOG_TILE_MISMATCH, "{name}: {error}");
            // Partial tiles make the root together, and which of them is wrong their hashes do not tell.
            assert!(error.to_string().contains(&name) || name.contains(".p/"), "{name}: {error}");
        }
        served.files.insert(name, good);
    }
    check(&served).unwrap();
}

#[test]
fn the_checkpoint_is_judged_by_keys_or_policy() {
    let temp = scratch();
    published(temp.path(), 10);
    let mut served = Served::new(temp.path());
    let other = VerifierKey::for_log(ORIGIN, secret(9).public_key()).unwrap();
    let error = fsck_source(&served, Trust::Keys(&[other]), 1, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), code::LOG_KEY_UNKNOWN);
    let note = String::from_utf8(served.files["checkpoint"].clone()).unwrap();
    let alone: String = note.lines().filter(|l| !l.contains("witness")).map(|l| format!("{l}\n")).collect();
    served.files.insert("checkpoint".to_owned(), alone.into_bytes());
    assert_eq!(check(&served).unwrap_err().code(), code::LOG_QUORUM_NOT_MET);
    served.files.remove("checkpoint");
    assert_eq!(check(&served).unwrap_err().code(), code::LOG_TILE_MISSING);
}
