//! Duplicates in a log that is too large to have all its leaf hashes in memory.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_log::Log;
use countersign_log::{Publication, Sequencer, Settings};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::support::{copy, entries, entry, log_of, now, open, quick, scratch};

/// Entries after which a file of the index is made.
const GENERATION: u64 = 65_536;

fn run(root: &Path) -> PathBuf {
    root.join("private/index/0/0")
}

fn finds_all(log: &mut Sequencer, size: u64) {
    for index in [0, 1, 255, 256, 40_000, GENERATION - 1, GENERATION, size - 1] {
        assert_eq!(log.append(&[entry(index)], now()).expect("a duplicate"), [index]);
    }
    assert_eq!(log.size(), size);
}

#[test]
fn l15_an_entry_of_long_ago_gets_its_first_index() {
    let temp = scratch();
    let root = temp.path();
    let size = GENERATION + 100;
    let mut log = log_of(root, size - 10);
    assert!(run(root).is_file());
    log.append(&entries(size - 10, size), now()).unwrap();
    finds_all(&mut log, size);
    assert_eq!(
        log.append(&[entry(7), entry(size), entry(7), entry(size)], now()).unwrap(),
        [7, size, 7, size]
    );
    drop(log);
    let mut log = open(quick(root), root).unwrap();
    finds_all(&mut log, size + 1);
    let log =
        Log::start(log, Publication::Unwitnessed, Settings::default(), std::sync::Arc::new(now)).unwrap();
    let answer = log.ticket(entry(9)).unwrap().wait().unwrap();
    assert!(answer.duplicate && answer.index == 9);
}

/// The index is derived: without it, or with a wrong one, the log opens and is as it was.
#[test]
fn an_index_that_is_missing_or_wrong_is_made_again_or_hides_a_duplicate_at_most() {
    let temp = scratch();
    let root = temp.path();
    let size = GENERATION + 3;
    drop(log_of(root, size));
    let good = fs::read(run(root)).unwrap();
    fs::remove_dir_all(root.join("private/index")).unwrap();
    finds_all(&mut open(quick(root), root).unwrap(), size);
    assert_eq!(fs::read(run(root)).unwrap(), good);
    for bad in [&b""[..], &good[..good.len() - 1], b"countersign-index 1\n"] {
        fs::write(run(root), bad).unwrap();
        finds_all(&mut open(quick(root), root).unwrap(), size);
        assert_eq!(fs::read(run(root)).unwrap(), good, "one that cannot be right is made again");
    }
    // One that lies: every hash is said to be elsewhere.
    let mut lying = good.clone();
    for record in lying[20..].chunks_mut(12) {
        record[8..].reverse();
    }
    fs::write(run(root), lying).unwrap();
    let mut log = open(quick(root), root).unwrap();
    assert_eq!(log.append(&[entry(300)], now()).unwrap(), [size], "it is trusted for nothing");
    assert_eq!(log.append(&[entry(GENERATION)], now()).unwrap(), [GENERATION]);
}

#[test]
fn l16_a_crash_while_the_index_grows_leaves_the_log_whole() {
    let base = scratch();
    let size = GENERATION - 2;
    drop(log_of(base.path(), size));
    let work = |root: &Path, disk: &std::sync::Arc<FaultyDisk>| {
        let mut log = open(disk.clone(), root)?;
        let indices = log.append(&entries(size, size + 4), now())?;
        log.integrate(now())?;
        Ok::<_, countersign_log::LogError>(indices)
    };
    let steps = {
        let temp = scratch();
        copy(base.path(), temp.path());
        let disk = FaultyDisk::counting(temp.path());
        work(temp.path(), &disk).unwrap();
        disk.steps()
    };
    // The last steps are those of the index.
    for at in steps - 12..steps {
        let temp = scratch();
        copy(base.path(), temp.path());
        let disk = FaultyDisk::failing(temp.path(), at, Fault::Torn, Then::Dies);
        work(temp.path(), &disk).unwrap_err();
        let after = scratch();
        disk.after([Loss::Unsynced, Loss::UnsyncedBytes][at % 2], after.path());
        let mut log = open(quick(after.path()), after.path()).unwrap();
        assert_eq!(log.append(&entries(size - 1, size + 5), now()).unwrap().len(), 6);
        finds_all(&mut log, size + 5);
    }
}
