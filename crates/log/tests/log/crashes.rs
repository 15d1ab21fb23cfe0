//! L16, L17: the sequencer dies or its disk fails at every step; so does its recovery.

use std::path::Path;
use std::sync::Arc;

use countersign_log::{LogError, Trust, fsck};
use countersign_store::{Disk, durable};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::merkle::verify_consistency;

use crate::support::{
    copy, cosigners, entries, entry, log_of, log_vkey, now, open, policy, quick, scratch, try_witness,
    witness,
};

/// What was told to others before the crash.
#[derive(Clone, Default)]
pub(crate) struct Promised {
    /// Entries whose indices were returned.
    pub(crate) entries: Vec<(Vec<u8>, u64)>,
    /// Checkpoints that were published.
    pub(crate) checkpoints: Vec<Vec<u8>>,
}

/// A log of 254 entries, published: a few more fill its first tile.
pub(crate) fn prepare(root: &Path) -> Promised {
    std::fs::create_dir(root).expect("a folder");
    let mut log = log_of(root, 254);
    let witness = witness(quick(root), root);
    let checkpoint = log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
    Promised { entries: (0..254).map(|index| (entry(index), index)).collect(), checkpoints: vec![checkpoint] }
}

/// Opens, appends over the edge of a tile, publishes twice. Stops at the first error.
fn work(disk: &Arc<FaultyDisk>, root: &Path, promised: &mut Promised) -> Result<(), LogError> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let mut log = open(Arc::clone(&disk), root)?;
    let witness = try_witness(disk, root).map_err(|_| LogError::Stopped)?;
    for (from, to) in [(1000, 1001), (1001, 1003), (1003, 1004)] {
        let batch = entries(from, to);
        let indices = log.append(&batch, now())?;
        promised.entries.extend(batch.into_iter().zip(indices));
        if to != 1003 {
            promised.checkpoints.push(log.publish(&mut cosigners(&witness), &policy(), now())?);
        }
    }
    Ok(())
}

fn stale_files(folder: &Path) -> usize {
    let items = std::fs::read_dir(folder).expect("a folder");
    items
        .map(|item| item.expect("an item"))
        .map(|item| {
            let stale = item.file_name().to_string_lossy().starts_with(durable::TEMP_PREFIX);
            usize::from(stale) + if item.path().is_dir() { stale_files(&item.path()) } else { 0 }
        })
        .sum()
}

/// Everything that was told holds, and the log goes on.
pub(crate) fn check(root: &Path, promised: &Promised, case: &str) {
    let disk = quick(root);
    let mut log = open(Arc::clone(&disk), root).unwrap_or_else(|error| panic!("{case}: {error}"));
    for folder in ["private", "log"] {
        assert_eq!(stale_files(&root.join(folder)), 0, "{case}: unfinished files are left");
    }
    let mut held = Vec::new();
    log.for_each_entry(|_, entry| {
        held.push(entry.to_vec());
        Ok(())
    })
    .expect("entries");
    for (entry, index) in &promised.entries {
        assert_eq!(held.get(*index as usize), Some(entry), "{case}: an acknowledged entry is gone");
        let again = log.append(core::slice::from_ref(entry), now());
        assert_eq!(again.expect("a duplicate"), [*index], "{case}");
    }
    let fresh = log.append(&[b"after".to_vec()], now()).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(promised.entries.iter().all(|(_, index)| *index < fresh[0]), "{case}: an index was used twice");
    let witness = witness(disk, root);
    let published = log
        .publish(&mut cosigners(&witness), &policy(), now())
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    fsck(&root.join("log"), Trust::Policy(&policy(), now()))
        .unwrap_or_else(|error| panic!("{case}: {error}"));

    let published = SignedCheckpoint::parse(&published).expect("a checkpoint");
    let published = published.checkpoint();
    for old in &promised.checkpoints {
        let old = SignedCheckpoint::open(old, "log.example/prod", &[log_vkey()]).expect("a checkpoint");
        let old = old.checkpoint();
        let proof = log.consistency(old.size(), published.size()).expect("a proof");
        verify_consistency(old.size(), published.size(), old.root(), published.root(), &proof)
            .unwrap_or_else(|error| panic!("{case}: a published tree is gone: {error}"));
    }
}

/// Runs the work with a fault; returns the disk and all that was promised, `base` included.
fn crashed(
    (prepared, base): (&Path, &Promised),
    root: &Path,
    at: usize,
    (fault, then): (Fault, Then),
) -> (Arc<FaultyDisk>, Promised) {
    copy(prepared, root);
    let disk = FaultyDisk::failing(root, at, fault, then);
    let mut promised = base.clone();
    // The last steps tidy up and may fail unnoticed; all others stop the work.
    let _ = work(&disk, root, &mut promised);
    (disk, promised)
}

fn steps(prepared: &Path, root: &Path) -> usize {
    copy(prepared, root);
    let disk = FaultyDisk::counting(root);
    work(&disk, root, &mut Promised::default()).expect("the honest twin");
    disk.steps()
}

#[test]
fn l16_l17_promised_entries_survive_a_failure_at_every_step() {
    let temp = scratch();
    let prepared = temp.path().join("prepared");
    let base = prepare(&prepared);
    let steps = steps(&prepared, &temp.path().join("count"));
    let cases = [
        (Fault::Lost, Then::Dies),
        (Fault::Torn, Then::Dies),
        (Fault::DoneButFailed, Then::Dies),
        (Fault::Lost, Then::GoesOn),
        (Fault::Torn, Then::GoesOn),
        (Fault::NoSpace, Then::GoesOn),
    ];
    for at in 0..steps {
        for (fault, then) in cases {
            let run = scratch();
            let root = run.path().join("run");
            let (disk, promised) = crashed((&prepared, &base), &root, at, (fault, then));
            for loss in Loss::ALL {
                let after = run.path().join(format!("{loss:?}"));
                disk.after(loss, &after);
                check(&after, &promised, &format!("step {at} {fault:?} {then:?} {loss:?}"));
            }
        }
    }
}

#[test]
fn l16_recovery_survives_a_crash_at_every_step_of_its_own() {
    let temp = scratch();
    let prepared = temp.path().join("prepared");
    let base = prepare(&prepared);
    let steps = steps(&prepared, &temp.path().join("count"));
    for at in 0..steps {
        let run = scratch();
        let root = run.path().join("run");
        let (disk, promised) = crashed((&prepared, &base), &root, at, (Fault::Torn, Then::Dies));
        let first = run.path().join("first");
        disk.after(if at % 2 == 0 { Loss::Unsynced } else { Loss::Nothing }, &first);
        let count = run.path().join("count");
        copy(&first, &count);
        let counting = FaultyDisk::counting(&count);
        drop(open(counting.clone(), &count).expect("recovery"));
        for again in 0..counting.steps() {
            let second = run.path().join(format!("second-{again}"));
            copy(&first, &second);
            let fault = [Fault::Lost, Fault::Torn, Fault::DoneButFailed][again % 3];
            let disk = FaultyDisk::failing(&second, again, fault, Then::Dies);
            let _ = open(disk.clone(), &second);
            let after = run.path().join(format!("after-{again}"));
            disk.after(if again % 2 == 0 { Loss::Nothing } else { Loss::Unsynced }, &after);
            check(&after, &promised, &format!("step {at}, then step {again} of recovery"));
        }
    }
}

#[test]
fn l17_what_a_failed_sync_left_in_the_cache_is_made_durable_before_anything_rests_on_it() {
    let temp = scratch();
    let prepared = temp.path().join("prepared");
    let base = prepare(&prepared);
    let steps = steps(&prepared, &temp.path().join("count"));
    for at in 0..steps {
        let mut again = 0;
        loop {
            let run = scratch();
            let root = run.path().join("run");
            let (disk, promised) = crashed((&prepared, &base), &root, at, (Fault::Lost, Then::GoesOn));
            // A new process on the same machine reads the cache; then the power goes.
            disk.restart(Some((again, Fault::Lost, Then::Dies)));
            let opened = open(disk.clone(), &root).is_ok();
            let after = run.path().join("after");
            disk.after(Loss::Unsynced, &after);
            check(&after, &promised, &format!("step {at}, then step {again} of recovery"));
            if opened {
                break;
            }
            again += 1;
        }
    }
}

#[test]
fn l17_after_a_failed_sync_the_log_stops_until_it_is_reopened() {
    let temp = scratch();
    let root = temp.path().join("root");
    std::fs::create_dir(&root).unwrap();
    drop(log_of(&root, 3));
    let count = FaultyDisk::counting(&root);
    drop(open(count.clone(), &root).unwrap());
    // The two steps after opening are the write and the sync of the batch.
    let disk = FaultyDisk::failing(&root, count.steps() + 1, Fault::Lost, Then::GoesOn);
    let mut log = open(disk.clone(), &root).unwrap();
    let code = |error: LogError| countersign_base::Explain::code(&error);
    assert_eq!(code(log.append(&[entry(3)], now()).unwrap_err()), countersign_base::code::LOG_STORAGE_FAILED);
    let steps = disk.steps();
    assert_eq!(code(log.append(&[entry(3)], now()).unwrap_err()), countersign_base::code::LOG_STORAGE_FAILED);
    assert_eq!(code(log.integrate(now()).unwrap_err()), countersign_base::code::LOG_STORAGE_FAILED);
    assert_eq!(disk.steps(), steps, "it does not touch the disk again");
    drop(log);
    let mut log = open(quick(&root), &root).unwrap();
    log.append(&[entry(3)], now()).unwrap();
}
