//! The write-ahead log when it is long enough to be written over.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use countersign_base::code::{self, Explain as _};
use countersign_log::{LogError, Sequencer};
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::support::{now, open, quick, scratch};

/// Eight entries of 50 KiB: three such batches fill a file.
const EACH: u64 = 8;

fn large(number: u64) -> Vec<u8> {
    let mut entry = vec![number as u8; 50 * 1024];
    entry[..8].copy_from_slice(&number.to_be_bytes());
    entry
}

fn append(log: &mut Sequencer, round: u64) -> Result<(), LogError> {
    let batch: Vec<Vec<u8>> = (round * EACH..(round + 1) * EACH).map(large).collect();
    assert!(log.append(&batch, now())?.into_iter().eq(round * EACH..(round + 1) * EACH));
    Ok(())
}

fn check(root: &Path, rounds: u64, case: &str) {
    let log = open(quick(root), root).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(log.size() >= rounds * EACH, "{case}: acknowledged entries are gone");
    for index in 0..log.size() {
        assert_eq!(log.entry(index).expect("an entry"), large(index), "{case}");
    }
}

#[test]
fn l18_d_both_files_are_read_in_the_order_of_their_entries() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    for round in 0..8 {
        append(&mut log, round).unwrap();
        // From the fifth round on nothing is signed.
        if round < 5 {
            log.integrate(now()).unwrap();
        }
    }
    drop(log);
    let length = |name: &str| fs::metadata(root.join("private").join(name)).unwrap().len();
    assert!(length("wal") > 1024 * 1024 && length("wal-2") > 1024 * 1024);
    let reopened = open(quick(root), root).unwrap();
    assert_eq!((reopened.size(), reopened.recovered()), (64, 24));
    drop(reopened);
    assert!(!root.join("private/wal-2").exists());
    check(root, 8, "reopened");
}

#[test]
fn one_of_two_files_lost_or_from_yesterday_is_noticed() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    (0..7).for_each(|round| append(&mut log, round).unwrap());
    drop(log);
    // Nothing was signed, so the first file grew. Take away its beginning: what is behind it does not follow.
    let path = root.join("private/wal");
    let bytes = fs::read(&path).unwrap();
    let record = bytes.len() / 7 / 512 * 512;
    let gap = [&bytes[..512], &bytes[bytes.len() - record..]].concat();
    for (damaged, expected) in [
        (gap, code::LOG_STORAGE_ROLLBACK),
        (bytes[512..].to_vec(), code::LOG_STORAGE_CORRUPT),
        (Vec::new(), code::LOG_STORAGE_CORRUPT),
    ] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(open(quick(root), root).unwrap_err().code(), expected);
    }
    fs::write(&path, bytes).unwrap();
    check(root, 7, "as it was");
}

/// Every step of the rounds in which one file becomes full and the other is begun, or begun again.
#[test]
fn l16_l17_promises_survive_a_failure_while_a_file_is_written_over() {
    let rounds = 9;
    let work = |disk: Arc<dyn Disk>, root: &Path, done: &mut Vec<usize>, steps: &dyn Fn() -> usize| {
        let mut log = open(disk, root)?;
        for round in 0..rounds {
            append(&mut log, round)?;
            done.push(steps());
            log.integrate(now())?;
        }
        Ok::<_, LogError>(())
    };
    let ends = {
        let temp = scratch();
        let disk = FaultyDisk::counting(temp.path());
        let mut ends = Vec::new();
        work(disk.clone(), temp.path(), &mut ends, &|| disk.steps()).unwrap();
        ends
    };
    for at in ends[1]..ends[rounds as usize - 1] {
        let temp = scratch();
        let root = temp.path().join("root");
        fs::create_dir(&root).unwrap();
        let (fault, then) =
            [(Fault::Torn, Then::Dies), (Fault::Lost, Then::GoesOn), (Fault::DoneButFailed, Then::Dies)]
                [at % 3];
        let disk = FaultyDisk::failing(&root, at, fault, then);
        let mut done = Vec::new();
        let _ = work(disk.clone(), &root, &mut done, &|| 0);
        let loss = Loss::ALL[at / 3 % 3];
        let after = temp.path().join("after");
        disk.after(loss, &after);
        check(&after, done.len() as u64, &format!("step {at} {fault:?} {then:?} {loss:?}"));
    }
}
