//! L16, L17: the running log at a random step of a random load, over and over. The seed of a failure is in
//! its message; `COUNTERSIGN_SEED` plays that one alone. Threads take turns as they like, so a seed is a
//! schedule of faults and offers and not of everything.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use countersign_log::pipeline::{Accepted, Published};
use countersign_log::{CosignError, Cosigner, LocalCosigner, Log, LogError, Publication, Settings, Witness};
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tlog::NoteSignature;
use countersign_tlog::witness::AddCheckpoint;

use crate::crashes::{Promised, check, prepare};
use crate::support::{copy, entry, now, open, policy, quick, scratch, witness};

const SEEDS: u64 = 120;

/// Random numbers that follow from a seed (xorshift).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

pub(crate) struct Nearby(pub(crate) Arc<Witness>);

impl Cosigner for Nearby {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        LocalCosigner::new(Arc::clone(&self.0), now()).cosign(request)
    }
}

/// Opens and runs the log under a random load until it is through, or the disk has failed. The witness is
/// elsewhere, and its disk does not fail.
fn run(
    disk: &Arc<FaultyDisk>,
    root: &Path,
    elsewhere: &Path,
    seed: u64,
    promised: &Mutex<Promised>,
) -> Result<(), LogError> {
    let mut random = Random::new(seed);
    let sequencer = open(Arc::clone(disk) as Arc<dyn Disk>, root)?;
    let witness = witness(quick(elsewhere), elsewhere);
    let settings = Settings {
        queue_entries: 64,
        pending_bytes: random.one_of(&[1, 500, 100_000]),
        interval: random.one_of(&[Duration::ZERO, Duration::from_millis(2)]),
        retry_first: Duration::from_millis(1),
        stop_within: Duration::from_millis(2),
        ..Settings::default()
    };
    let publication = Publication::Witnessed { policy: policy(), cosigners: vec![Box::new(Nearby(witness))] };
    let log = Log::start(sequencer, publication, settings, Arc::new(now))?;
    thread::scope(|scope| {
        for writer in 1..4 {
            let log = &log;
            scope.spawn(move || write(log, Random::new(seed * 10 + writer), promised));
        }
    });
    let published: Option<Arc<Published>> = log.published();
    log.stop();
    promised
        .lock()
        .expect("unpoisoned")
        .checkpoints
        .extend(published.map(|published| published.bytes.clone()));
    Ok(())
}

/// Offers entries, some of them twice, and notes what it was told. Ends when the log does not take any more.
fn write(log: &Log, mut random: Random, promised: &Mutex<Promised>) {
    for _ in 0..1 + random.below(12) {
        let count = random.one_of(&[1, 1, 3, 40]);
        let numbers: Vec<u64> = (0..count).map(|_| 1000 + random.below(400)).collect();
        let entries: Vec<Vec<u8>> = numbers.iter().map(|number| entry(*number)).collect();
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = move |outcome: Result<Vec<Accepted>, LogError>| drop(sender.send(outcome));
        match log.submit_all(entries.clone(), done) {
            Ok(()) => {}
            Err(LogError::Busy) => {
                thread::yield_now();
                continue;
            }
            Err(_) => return,
        }
        let Ok(Ok(accepted)) = receiver.recv() else { return };
        let last = accepted.iter().map(|accepted| accepted.index).max();
        let told = entries.into_iter().zip(accepted.into_iter().map(|accepted| accepted.index));
        promised.lock().expect("unpoisoned").entries.extend(told);
        if random.below(3) == 0
            && let Some(Ok(published)) = last.map(|last| log.await_published(last).wait())
        {
            promised.lock().expect("unpoisoned").checkpoints.push(published.bytes.clone());
        }
    }
}

fn play(seed: u64, prepared: &Path, base: &Promised) {
    let temp = scratch();
    let mut random = Random::new(seed);
    let root = temp.path().join("root");
    copy(prepared, &root);
    let elsewhere = temp.path().join("elsewhere");
    copy(&prepared.join("witness"), &elsewhere.join("witness"));
    let (fault, then) = (random.one_of(&Fault::ALL), random.one_of(&[Then::Dies, Then::Dies, Then::GoesOn]));
    let at = random.below(160) as usize;
    let disk = FaultyDisk::failing(&root, at, fault, then);
    let promised = Mutex::new(base.clone());
    let _ = run(&disk, &root, &elsewhere, seed, &promised);
    let promised = promised.into_inner().expect("unpoisoned");
    let check = |folder: &Path, case: &str| {
        std::fs::remove_dir_all(folder.join("witness")).expect("as it was prepared");
        copy(&elsewhere.join("witness"), &folder.join("witness"));
        check(folder, &promised, case);
    };
    for loss in Loss::ALL {
        let case = format!("COUNTERSIGN_SEED={seed}: step {at} {fault:?} {then:?}, {loss:?}");
        let after = temp.path().join(format!("{loss:?}"));
        disk.after(loss, &after);
        // Recovery may fail as well, once.
        if random.below(2) == 0 {
            let again = FaultyDisk::failing(
                &after,
                random.below(30) as usize,
                random.one_of(&Fault::ALL),
                Then::Dies,
            );
            let _ = open(again.clone(), &after);
            let second = temp.path().join(format!("{loss:?} again"));
            again.after(random.one_of(&Loss::ALL), &second);
            check(&second, &format!("{case}, and recovery failed"));
        } else {
            check(&after, &case);
        }
    }
}

#[test]
fn l16_l17_promises_of_the_running_log_survive_a_failure_at_any_step() {
    let temp = scratch();
    let prepared = temp.path().join("prepared");
    let base = prepare(&prepared);
    match std::env::var("COUNTERSIGN_SEED") {
        Ok(seed) => play(seed.parse().expect("a number"), &prepared, &base),
        Err(_) => (0..SEEDS).for_each(|seed| play(seed, &prepared, &base)),
    }
}
