//! L03 (g) and (h): what a witness remembers, whoever asks at once and whatever the disk does.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use countersign_log::witness::last_seen;
use countersign_log::{LogList, Witness, WitnessError};
use countersign_store::{Disk, DiskFile, RealDisk};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tlog::checkpoint::{self, origin_hash};
use countersign_tlog::{Checkpoint, SignedCheckpoint, VerifierKey};

use crate::support::{
    Asked as _, ORIGIN, WITNESS, entries, log_vkey, now, quick, scratch, secret, try_witness, witness,
};
use crate::witness::{Asker, base64, body, latest_size, signed, text};

/// What one run was told and shown before it ended.
#[derive(Debug, Default)]
struct Told {
    /// Sizes with a cosignature.
    cosigned: Vec<u64>,
    /// The largest size that monitors were shown.
    shown: u64,
    /// Whether there was an answer other than a cosignature.
    failed: bool,
}

impl Told {
    fn least(&self) -> u64 {
        self.cosigned.iter().copied().max().unwrap_or(0).max(self.shown)
    }
}

/// Asks for one size after the other, beginning with the one that is held.
fn ask(witness: &Witness, asker: &Asker, sizes: &[u64], told: &mut Told) {
    for pair in sizes.windows(2) {
        match witness.add_checkpoint(&asker.request(pair[0], pair[1]), now()).status {
            200 => {
                assert!(!told.failed, "it signs again after a failure");
                told.cosigned.push(pair[1]);
            }
            500 => told.failed = true,
            // The one before failed, so this proof starts from a size that is not held.
            409 => assert!(told.failed),
            other => panic!("{other}"),
        }
        if let Ok(Some(latest)) = witness.latest(&origin_hash(ORIGIN)) {
            let latest = SignedCheckpoint::open(&latest, ORIGIN, witness.verifiers()).expect("our own word");
            told.shown = told.shown.max(latest.checkpoint().size());
        }
    }
}

/// After a restart: nothing that was told is forgotten, and neither a smaller tree nor another one is signed.
fn check(root: &Path, asker: &Asker, told: &Told, tried: &[u64], case: &str) {
    let witness = try_witness(quick(root), root).unwrap_or_else(|error| panic!("{case}: {error}"));
    let held = latest_size(&witness).expect("never less than before");
    assert!(held >= told.least() && tried.contains(&held), "{case}: {held} after {told:?}");
    for size in held..=held + 1 {
        let fork = signed(ORIGIN, size, crate::reference::mth(&entries(100, 100 + size)), &secret(1));
        for old in 0..held {
            assert_eq!(witness.add_checkpoint(&body(old, vec![], fork.clone()), now()).status, 409, "{case}");
        }
        assert_eq!(witness.add_checkpoint(&body(held, vec![], fork), now()).status, 422, "{case}: a fork");
    }
    assert_eq!(witness.add_checkpoint(&asker.request(3, 5), now()).status, 409, "{case}: a smaller tree");
    assert_eq!(witness.add_checkpoint(&asker.request(held, 20), now()).status, 200, "{case}: honest");
    drop(witness);
    assert!(last_seen(&root.join("witness"), ORIGIN).expect("state").is_some(), "{case}");
}

/// A witness that has cosigned size 8.
fn prepare(root: &Path, asker: &Asker) {
    std::fs::create_dir(root).expect("a folder");
    assert_eq!(witness(quick(root), root).add_checkpoint(&asker.request(0, 8), now()).status, 200);
}

const SIZES: [u64; 4] = [8, 12, 13, 14];

#[test]
fn l03_h_at_each_step_that_fails_nothing_told_is_forgotten_and_no_fork_is_signed() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let run = |plan: Option<(usize, Fault, Then)>| {
        let run = scratch();
        let root = run.path().join("root");
        prepare(&root, &asker);
        let disk = match plan {
            Some((at, fault, then)) => FaultyDisk::failing(&root, at, fault, then),
            None => FaultyDisk::counting(&root),
        };
        let mut told = Told { shown: 8, ..Told::default() };
        if let Ok(witness) = try_witness(Arc::clone(&disk) as Arc<dyn Disk>, &root) {
            ask(&witness, &asker, &SIZES, &mut told);
        }
        assert!(plan.is_some() || told.cosigned == [12, 13, 14], "{told:?}");
        for loss in Loss::ALL {
            let after = run.path().join(format!("{loss:?}"));
            disk.after(loss, &after);
            check(&after, &asker, &told, &SIZES, &format!("{plan:?} {loss:?}"));
        }
        disk.steps()
    };
    let steps = run(None);
    for at in 0..steps {
        for fault in Fault::ALL {
            for then in [Then::Dies, Then::GoesOn] {
                run(Some((at, fault, then)));
            }
        }
    }
}

/// The witness that died left bytes in the page cache whose fsync had failed. The next one reads them,
/// answers, and then the power goes.
#[test]
fn l03_h_what_a_failed_sync_left_in_the_cache_is_made_durable_before_anything_rests_on_it() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let (mut at, mut more) = (0, true);
    while more {
        more = false;
        let mut again = 0;
        loop {
            let run = scratch();
            let root = run.path().join("root");
            prepare(&root, &asker);
            let disk = FaultyDisk::failing(&root, at, Fault::Lost, Then::GoesOn);
            let mut told = Told { shown: 8, ..Told::default() };
            if let Ok(witness) = try_witness(Arc::clone(&disk) as Arc<dyn Disk>, &root) {
                ask(&witness, &asker, &SIZES, &mut told);
            }
            more |= disk.steps() > at;
            disk.restart(Some((again, Fault::Lost, Then::Dies)));
            let opened = try_witness(Arc::clone(&disk) as Arc<dyn Disk>, &root);
            if let Ok(witness) = &opened {
                let held = last_seen(&root.join("witness"), ORIGIN).unwrap().unwrap();
                let held = SignedCheckpoint::parse(&held).unwrap().checkpoint().size();
                told.failed = false;
                ask(witness, &asker, &[held, held, 15], &mut told);
            }
            drop(opened);
            let steps = disk.steps();
            let tried = [8, 12, 13, 14, 15];
            let after = run.path().join("after");
            disk.after(Loss::Unsynced, &after);
            check(&after, &asker, &told, &tried, &format!("step {at}, then step {again}"));
            again += 1;
            if again > steps {
                break;
            }
        }
        at += 1;
    }
}

/// A checkpoint with extension lines, so that few of them fill the file.
fn long(size: u64) -> SignedCheckpoint {
    let root = crate::reference::mth(&entries(0, size));
    let line = format!("{}\n", "x".repeat(1000));
    let text = format!("{ORIGIN}\n{size}\n{}\n{}", base64(root.as_bytes()), line.repeat(15));
    let checkpoint = Checkpoint::parse(&text).expect("a checkpoint");
    let signature = checkpoint::sign(&checkpoint, &secret(1), now()).expect("a signature");
    SignedCheckpoint::new(checkpoint, vec![signature]).expect("a note")
}

#[test]
fn l03_h_a_file_that_is_begun_anew_forgets_nothing_at_any_step() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let repeated = body(9, vec![], long(9));
    // Repetitions of one size until the file has been begun anew, which shows in its length; then two more
    // sizes.
    let work = |witness: &Witness, told: &mut Told| {
        ask(witness, &asker, &[8, 9], told);
        let mut longest = 0;
        while !told.failed && witness.stats().state_bytes >= longest {
            longest = witness.stats().state_bytes;
            assert!(longest < 1 << 22, "it grows without end");
            told.failed |= witness.add_checkpoint(&repeated, now()).status != 200;
        }
        ask(witness, &asker, &[9, 10, 11], told);
        longest
    };
    let run = |plan: Option<(usize, Fault)>| {
        let run = scratch();
        let root = run.path().join("root");
        prepare(&root, &asker);
        let disk = match plan {
            Some((at, fault)) => FaultyDisk::failing(&root, at, fault, Then::GoesOn),
            None => FaultyDisk::counting(&root),
        };
        let witness = try_witness(Arc::clone(&disk) as Arc<dyn Disk>, &root).unwrap();
        let mut told = Told { shown: 8, ..Told::default() };
        let longest = work(&witness, &mut told);
        if plan.is_none() {
            assert_eq!(told.cosigned, [9, 10, 11]);
            assert!(longest > 1 << 20 && witness.stats().state_bytes < 100_000, "{longest}");
        }
        for loss in Loss::ALL {
            let after = run.path().join(format!("{loss:?}"));
            disk.after(loss, &after);
            check(&after, &asker, &told, &[8, 9, 10, 11], &format!("{plan:?} {loss:?}"));
        }
        disk.steps()
    };
    let steps = run(None);
    // The last steps: a commit before, the new file, and two commits behind it.
    for at in steps - 12..steps {
        for fault in Fault::ALL {
            run(Some((at, fault)));
        }
    }
}

#[test]
fn l03_g_of_concurrent_requests_from_one_size_one_wins() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let witness = witness(quick(temp.path()), temp.path());
    assert_eq!(witness.add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let requests: Vec<Vec<u8>> = (9..17).map(|new| asker.request(8, new)).collect();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = |request: &Vec<u8>| {
            let (witness, request) = (&witness, request.clone());
            scope.spawn(move || witness.add_checkpoint(&request, now()).status)
        };
        let threads: Vec<_> = requests.iter().map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let winner = 9 + statuses.iter().position(|status| *status == 200).unwrap() as u64;
    assert_eq!(latest_size(&witness), Some(winner));
}

#[test]
fn l03_g_a_second_process_does_not_get_the_state() {
    let temp = scratch();
    let first = witness(quick(temp.path()), temp.path());
    let second = try_witness(quick(temp.path()), temp.path());
    assert!(matches!(second, Err(WitnessError::InUse { .. })), "{second:?}");
    drop(first);
    try_witness(quick(temp.path()), temp.path()).expect("it is free again");
}

/// As a publisher's own witness, which two commands may want at the same time.
#[test]
fn l03_g_of_witnesses_that_share_a_folder_one_wins() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let shared = || {
        let logs = LogList::new([log_vkey()]);
        let state = temp.path().join("witness");
        Witness::shared_on(quick(temp.path()), &state, WITNESS, vec![Box::new(secret(2))], logs).unwrap()
    };
    let witnesses = [shared(), shared()];
    assert_eq!(witnesses[0].add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = |new: u64| {
            let (witness, request) = (&witnesses[new as usize % 2], asker.request(8, new));
            scope.spawn(move || witness.add_checkpoint(&request, now()).status)
        };
        let threads: Vec<_> = (9..17).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
}

/// A disk whose syncs of files wait for the test, and then do what it says.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    fails: bool,
    waiting: usize,
    syncs: usize,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().expect("no test panics with it")
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, GateState>,
        until: impl Fn(&GateState) -> bool,
    ) -> MutexGuard<'a, GateState> {
        self.changed.wait_while(state, |state| !until(state)).expect("no test panics with it")
    }

    fn set(&self, closed: bool, fails: bool) {
        let mut state = self.lock();
        (state.closed, state.fails) = (closed, fails);
        self.changed.notify_all();
    }

    /// Waits until a sync waits.
    fn reached(&self) {
        let state = self.lock();
        drop(self.wait(state, |state| state.waiting > 0));
    }

    fn syncs(&self) -> usize {
        self.lock().syncs
    }
}

/// Passes all steps on to the real disk, and the sync of a file through the gate.
#[derive(Debug, Clone)]
struct GatedDisk(Arc<Gate>);

impl GatedDisk {
    fn pass(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.waiting += 1;
        self.0.changed.notify_all();
        state = self.0.wait(state, |state| !state.closed);
        state.waiting -= 1;
        state.syncs += 1;
        if state.fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Disk for GatedDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<DiskFile> {
        RealDisk.create_new(path, mode)
    }

    fn open_append(&self, path: &Path) -> io::Result<DiskFile> {
        RealDisk.open_append(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<DiskFile> {
        RealDisk.open_write(path)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write_at(file, offset, bytes)
    }

    fn write(&self, file: &mut DiskFile, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write(file, bytes)
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        RealDisk.set_len(file, len)
    }

    fn set_mode(&self, file: &DiskFile, mode: u32) -> io::Result<()> {
        RealDisk.set_mode(file, mode)
    }

    fn sync(&self, _: &DiskFile) -> io::Result<()> {
        self.pass()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename_new(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.hard_link(from, to)
    }

    fn symlink(&self, target: &Path, at: &Path) -> io::Result<()> {
        RealDisk.symlink(target, at)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
}

const OTHER: &str = "log.example/other";

/// Requests that come in while the disk is busy: two that build on the one being written, one of another log,
/// and one that is refused because of the one being written. Gives the statuses, and how often the disk
/// synced for them.
fn crowd(fails: bool) -> (Vec<u16>, usize) {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let gate = Arc::new(Gate::default());
    let logs =
        LogList::new([log_vkey(), VerifierKey::for_log(OTHER, secret(1).public_key()).expect("a key")]);
    let disk = Arc::new(GatedDisk(Arc::clone(&gate)));
    let state = temp.path().join("witness");
    let witness = Witness::open_on(disk, &state, WITNESS, vec![Box::new(secret(2))], logs).expect("new");
    assert_eq!(witness.add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let before = gate.syncs();
    let other = body(0, vec![], signed(OTHER, 5, crate::reference::mth(&entries(0, 5)), &secret(1)));
    gate.set(true, false);
    let statuses = thread::scope(|scope| {
        let witness = &witness;
        let start = |request: Vec<u8>| scope.spawn(move || witness.add_checkpoint(&request, now()).status);
        // Each is staged before the next is sent, as a log does that does not wait.
        let staged = |count| {
            while witness.stats().waiting != count {
                thread::yield_now()
            }
        };
        let mut asked = vec![start(asker.request(8, 9))];
        gate.reached();
        for (waiting, request) in [(2, asker.request(9, 10)), (3, asker.request(10, 11)), (4, other)] {
            asked.push(start(request));
            staged(waiting);
        }
        asked.push(start(asker.request(8, 12)));
        let latest = latest_size(witness);
        assert_eq!(latest, Some(8), "monitors are shown what is durable");
        gate.set(false, fails);
        asked.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    (statuses, gate.syncs() - before)
}

#[test]
fn requests_that_come_in_while_the_disk_is_busy_share_the_next_sync() {
    assert_eq!(crowd(false), (vec![200, 200, 200, 200, 409], 2));
}

#[test]
fn when_the_sync_fails_nobody_who_rests_on_it_is_answered() {
    assert_eq!(crowd(true), (vec![500; 5], 1));
}

#[test]
fn a_damaged_file_makes_the_witness_stop() {
    let temp = scratch();
    let root = temp.path();
    let asker = Asker::new(root);
    assert_eq!(witness(quick(root), root).add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let path = root.join("witness/state");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let opened = try_witness(quick(root), root);
        assert!(matches!(opened, Err(WitnessError::DamagedState { .. })), "byte {at}: {opened:?}");
    }
    for cut in 0..good.len() {
        std::fs::write(&path, &good[..cut]).unwrap();
        let opened = try_witness(quick(root), root);
        assert!(matches!(opened, Err(WitnessError::DamagedState { .. })), "cut at {cut}: {opened:?}");
    }
    std::fs::write(&path, good).unwrap();
    assert_eq!(witness(quick(root), root).add_checkpoint(&asker.request(8, 20), now()).status, 200);
}

/// State that another key signed, as when someone puts another witness's folder here.
#[test]
fn a_record_that_this_witness_did_not_sign_makes_it_stop_for_that_log() {
    let temp = scratch();
    let root = temp.path();
    let asker = Asker::new(root);
    assert_eq!(witness(quick(root), root).add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let logs = LogList::new([log_vkey()]);
    let stranger = Witness::open(&root.join("witness"), WITNESS, vec![Box::new(secret(7))], logs).unwrap();
    let response = stranger.add_checkpoint(&asker.request(8, 20), now());
    assert_eq!(response.status, 500);
    assert!(!text(&response).1.contains(root.to_str().unwrap()), "no particulars for strangers");
    let error = stranger.answer(&asker.request(8, 20), now()).unwrap_err();
    assert!(matches!(error, WitnessError::Damaged { .. }), "{error}");
    drop(stranger);
    assert_eq!(witness(quick(root), root).add_checkpoint(&asker.request(8, 20), now()).status, 200);
}
