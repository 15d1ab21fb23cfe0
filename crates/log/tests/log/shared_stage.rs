//! A store that several machines share, and what must hold on it whatever happens.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use countersign_log::pipeline::Accepted;
use countersign_log::{
    Candidate, Log, LogError, Publication, Seen, Sequencer, Settings, SharedPlace, Trust, Turn, Witness, fsck,
};
use countersign_testkit::shared_store::{Process, Script, SharedStore};
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::merkle::verify_consistency;
use tempfile::TempDir;

use crate::crashes::Promised;
use crate::support::{
    ORIGIN, copy, cosigners, entries, entry, log_key, log_vkey, now, policy, quick, scratch, witness,
};

/// So long that no leader changes its cell by itself.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// A store, a witness and folders for caches, which go away with the value.
pub(crate) struct Stage {
    pub(crate) store: SharedStore,
    pub(crate) folder: TempDir,
    pub(crate) witness: Arc<Witness>,
    pub(crate) promised: Mutex<Promised>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = scratch();
        let witness = witness(quick(folder.path()), folder.path());
        Self { store: SharedStore::default(), folder, witness, promised: Mutex::default() }
    }

    /// With a log of 254 entries that is published and released: a few more fill its first tile.
    pub(crate) fn prepared() -> Self {
        let stage = Self::new();
        let mut log =
            lead(&stage, &stage.store.process(Script::good())).expect("no fault").expect("it is free");
        stage.append(&mut log, 0, 254).expect("no fault");
        stage.publish(&mut log).expect("no fault");
        drop(log);
        stage
    }

    /// The same once more, with storage and witness of its own.
    pub(crate) fn fork(&self) -> Self {
        let folder = scratch();
        if self.folder.path().join("witness").exists() {
            copy(&self.folder.path().join("witness"), &folder.path().join("witness"));
        }
        let witness = witness(quick(folder.path()), folder.path());
        let promised = Mutex::new(self.promised.lock().expect("unpoisoned").clone());
        Self { store: self.store.fork(), folder, witness, promised }
    }

    pub(crate) fn candidate(&self, process: &Process, takeover: Duration) -> Candidate {
        let url = Some("http://127.0.0.1:4000/".to_owned());
        Candidate::new(place(process, &self.folder.path().join("cache")), log_key(), url, takeover)
            .expect("good settings")
    }

    /// Appends entries and notes what it was told.
    pub(crate) fn append(&self, log: &mut Sequencer, from: u64, to: u64) -> Result<(), LogError> {
        let batch = entries(from, to);
        let indices = log.append(&batch, now())?;
        self.promised.lock().expect("unpoisoned").entries.extend(batch.into_iter().zip(indices));
        Ok(())
    }

    pub(crate) fn publish(&self, log: &mut Sequencer) -> Result<(), LogError> {
        let bytes = log.publish(&mut cosigners(&self.witness), &policy(), now())?;
        self.promised.lock().expect("unpoisoned").checkpoints.push(bytes);
        Ok(())
    }

    /// Everything that anybody was told holds, in one history, and the log goes on.
    pub(crate) fn check(&self, case: &str) {
        let process = self.store.process(Script::good());
        let log = lead(self, &process).unwrap_or_else(|error| panic!("{case}: {error}: {error:?}"));
        let mut log = log.unwrap_or_else(|| panic!("{case}: nobody can lead"));
        let promised = self.promised.lock().expect("unpoisoned").clone();
        let mut held = Vec::new();
        log.for_each_entry(|_, entry| {
            held.push(entry.to_vec());
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{case}: {error}"));
        for (entry, index) in &promised.entries {
            assert_eq!(held.get(*index as usize), Some(entry), "{case}: an acknowledged entry is gone");
            let again = log.append(core::slice::from_ref(entry), now());
            assert_eq!(again.expect("a duplicate"), [*index], "{case}");
        }
        let fresh = log.append(&[b"after".to_vec()], now()).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(
            promised.entries.iter().all(|(_, index)| *index < fresh[0]),
            "{case}: an index was used twice"
        );
        self.publish(&mut log).unwrap_or_else(|error| panic!("{case}: {error}"));
        self.check_history(&log, case);
        drop(log);
        let public = scratch();
        self.store.copy_to(public.path());
        fsck(public.path(), Trust::Policy(&policy(), now()))
            .unwrap_or_else(|error| panic!("{case}: {error}"));
    }

    /// Each tree that was ever signed or published is a part of the last, and none was followed by a smaller
    /// one.
    fn check_history(&self, log: &Sequencer, case: &str) {
        let last = log.signed().checkpoint();
        for cell in [SharedPlace::LEADER, SharedPlace::CHECKPOINT] {
            let mut size = 0;
            for value in self.store.history(cell) {
                let note = if cell == SharedPlace::LEADER { note_of(&value) } else { &value[..] };
                let old = SignedCheckpoint::open(note, ORIGIN, &[log_vkey()]).expect("a checkpoint");
                let old = old.checkpoint();
                assert!(old.size() >= size, "{case}: `{cell}` went back from {size} to {}", old.size());
                size = old.size();
                if size == 0 {
                    continue;
                }
                let proof = log.consistency(size, last.size()).expect("a proof");
                verify_consistency(size, last.size(), old.root(), last.root(), &proof)
                    .unwrap_or_else(|error| panic!("{case}: `{cell}` had another history: {error}"));
            }
        }
    }
}

/// The signed checkpoint in the leader's cell.
pub(crate) fn note_of(value: &[u8]) -> &[u8] {
    let end = value.windows(2).position(|two| two == b"\n\n").expect("an empty line");
    &value[end + 2..]
}

pub(crate) fn place(process: &Process, cache: &Path) -> SharedPlace {
    SharedPlace {
        objects: process.objects(),
        leader: process.cell(SharedPlace::LEADER),
        checkpoint: process.cell(SharedPlace::CHECKPOINT),
        cache: cache.to_owned(),
    }
}

/// Looks until it leads; time passes as fast as it looks. `None` if others are always first.
pub(crate) fn wait_and_lead(mut candidate: Candidate, step: Duration) -> Result<Option<Sequencer>, LogError> {
    let mut time = Instant::now();
    for _ in 0..4 {
        if candidate.look(time)? == Seen::Free {
            match candidate.lead(now())? {
                Turn::Ours(log) => return Ok(Some(*log)),
                Turn::Theirs(back) => candidate = *back,
            }
        }
        time += step;
    }
    Ok(None)
}

/// As one that has waited long enough.
pub(crate) fn lead(stage: &Stage, process: &Process) -> Result<Option<Sequencer>, LogError> {
    wait_and_lead(stage.candidate(process, LONG), LONG)
}

/// A log that runs.
pub(crate) fn run(sequencer: Sequencer) -> Log {
    Log::start(sequencer, Publication::Unwitnessed, Settings::default(), Arc::new(now)).expect("threads")
}

pub(crate) fn accepted(log: &Log, number: u64) -> Result<Accepted, LogError> {
    log.ticket(entry(number))?.wait()
}

/// Waits until something is so; far longer than it can take.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} never comes");
        thread::sleep(Duration::from_millis(2));
    }
}
