//! What the witness has cosigned, in memory and on disk, and the commit that many requests share.
//!
//! A request takes three steps. It looks at what was cosigned last for its log ([`Ledger::seen`]), stages the
//! next checkpoint if that is still the last ([`Ledger::stage`]), and waits until it is durable
//! ([`Ledger::settle`]). Staged is what the next request of the log is judged against, so two that depend on
//! each other can share a commit; no answer leaves before what it rests on is durable. Whoever waits first
//! writes for all that are staged at that moment; the others wait for it, and what comes in meanwhile is the
//! next commit.
//!
//! A crash before the sync of a commit forgets it, and nobody was answered. A crash after it keeps it.
//! A failure is final: what is on disk is not known until the folder is opened again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use countersign_base::Sha256Digest;
use countersign_store::{Disk, Lock, StoreError, durable};
use countersign_tlog::checkpoint::origin_hash;
use countersign_tlog::witness::Held;

use super::WitnessError;
use super::journal::{self, Journal, JournalError, Note};
use super::stats::Stats;

/// File name of the lock in the folder of the state.
const LOCK: &str = "lock";
/// Most bytes of the latest notes of all logs.
const MAX_LIVE_BYTES: usize = (journal::MAX_FILE_BYTES / 8) as usize;

/// What was cosigned last for a log, staged or durable.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) note: Note,
    /// What the note says; `None` until it was verified as our own word.
    pub(super) held: Option<Held>,
    /// The commit that makes it durable.
    pub(super) commit: u64,
}

/// The state of all logs. One process at a time has it.
#[derive(Debug)]
pub(super) struct Ledger {
    shared: Mutex<Shared>,
    /// Told when a commit has ended.
    ended: Condvar,
    /// Only the thread that leads a commit locks it.
    journal: Mutex<Journal>,
    _lock: Lock,
}

#[derive(Debug, Default)]
struct Shared {
    /// By the SHA-256 of the origin.
    logs: HashMap<Sha256Digest, Entry>,
    /// Staged for the commit `filling`, oldest first.
    staged: Vec<(Sha256Digest, Note)>,
    /// Commits are numbered from 1; 0 is what was there when the folder was opened.
    filling: u64,
    durable: u64,
    /// Whether a thread is writing, and how many notes.
    leading: bool,
    writing: usize,
    /// Whether a commit has failed.
    failed: bool,
    live_bytes: usize,
    stats: Stats,
}

#[derive(Debug)]
struct Entry {
    last: Seen,
    /// The newest note that is durable, for monitors.
    durable: Option<Note>,
}

/// The stage of a log has moved on since it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overtaken;

impl Ledger {
    /// Takes the folder for this process and reads what is in it.
    ///
    /// # Errors
    /// Another process has it; it cannot be read or made; a record is damaged.
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, WitnessError> {
        durable::create_dir_all(&*disk, folder)?;
        let lock = Lock::try_acquire(&folder.join(LOCK)).map_err(|error| match error {
            StoreError::Locked { .. } => WitnessError::InUse { folder: folder.to_owned() },
            other => other.into(),
        })?;
        Self::read(disk, folder, lock)
    }

    /// As [`Ledger::open`], but waits as long as somebody else has the folder.
    pub(super) fn wait(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, WitnessError> {
        durable::create_dir_all(&*disk, folder)?;
        let lock = Lock::acquire(&folder.join(LOCK))?;
        Self::read(disk, folder, lock)
    }

    fn read(disk: Arc<dyn Disk>, folder: &Path, lock: Lock) -> Result<Self, WitnessError> {
        durable::remove_stale(&*disk, folder)?;
        let path = folder.join(journal::FILE);
        let mut shared = Shared { filling: 1, ..Shared::default() };
        for note in read(&path)? {
            let hash = hash_of(&note);
            shared.keep(hash, Seen { note: Arc::clone(&note), held: None, commit: 0 });
            shared.show(hash, note);
        }
        Ok(Self {
            shared: Mutex::new(shared),
            ended: Condvar::new(),
            journal: Mutex::new(Journal::new(disk, path)),
            _lock: lock,
        })
    }

    /// What was cosigned last for the log.
    pub(super) fn seen(&self, hash: &Sha256Digest) -> Result<Option<Seen>, WitnessError> {
        let shared = self.lock();
        if shared.failed {
            return Err(WitnessError::Stopped);
        }
        Ok(shared.logs.get(hash).map(|entry| entry.last.clone()))
    }

    /// Remembers that `note`, if it is still the last, was verified and says `held`.
    pub(super) fn trust(&self, hash: &Sha256Digest, note: &Note, held: Held) {
        if let Some(entry) = self.lock().logs.get_mut(hash)
            && Arc::ptr_eq(&entry.last.note, note)
        {
            entry.last.held = Some(held);
        }
    }

    /// Stages `note`, which says `held`, unless something else than `seen` is the last by now. Returns the
    /// number of the commit that it will be part of.
    pub(super) fn stage(
        &self,
        hash: &Sha256Digest,
        seen: Option<&Seen>,
        note: Note,
        held: Held,
    ) -> Result<Result<u64, Overtaken>, WitnessError> {
        let mut shared = self.lock();
        if shared.failed {
            return Err(WitnessError::Stopped);
        }
        let last = shared.logs.get(hash).map(|entry| &entry.last.note);
        let same = match (last, seen) {
            (None, None) => true,
            (Some(last), Some(seen)) => Arc::ptr_eq(last, &seen.note),
            _ => false,
        };
        if !same {
            return Ok(Err(Overtaken));
        }
        if shared.live_bytes.saturating_add(note.len()) > MAX_LIVE_BYTES {
            return Err(WitnessError::Full);
        }
        let commit = shared.filling;
        shared.staged.push((*hash, Arc::clone(&note)));
        shared.keep(*hash, Seen { note, held: Some(held), commit });
        Ok(Ok(commit))
    }

    /// Returns when the commit of that number is durable, doing the work if no other thread does it.
    ///
    /// # Errors
    /// It failed, now or before, or an earlier one did.
    pub(super) fn settle(&self, commit: u64) -> Result<(), WitnessError> {
        let mut shared = self.lock();
        loop {
            if shared.failed {
                return Err(WitnessError::Stopped);
            }
            if shared.durable >= commit {
                return Ok(());
            }
            if !shared.leading {
                break;
            }
            shared = self.ended.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.leading = true;
        let batch = core::mem::take(&mut shared.staged);
        shared.writing = batch.len();
        let number = shared.filling;
        shared.filling += 1;
        drop(shared);

        let result = self.write(&batch);
        let mut shared = self.lock();
        (shared.leading, shared.writing) = (false, 0);
        match &result {
            Ok(()) => {
                shared.durable = number;
                batch.into_iter().for_each(|(hash, note)| shared.show(hash, note));
            }
            Err(_) => shared.failed = true,
        }
        drop(shared);
        self.ended.notify_all();
        Ok(result?)
    }

    /// The newest durable note of the log.
    pub(super) fn durable(&self, hash: &Sha256Digest) -> Result<Option<Note>, WitnessError> {
        let shared = self.lock();
        if shared.logs.is_empty() {
            return Ok(None);
        }
        // What was found at the start is durable once this process has written it.
        let first = shared.durable == 0;
        drop(shared);
        if first {
            self.settle(1)?;
        }
        Ok(self.lock().logs.get(hash).and_then(|entry| entry.durable.clone()))
    }

    /// What has happened so far.
    pub(super) fn stats(&self) -> Stats {
        let shared = self.lock();
        let (logs, waiting) = (shared.logs.len() as u64, (shared.staged.len() + shared.writing) as u64);
        Stats { logs, waiting, failed: shared.failed, ..shared.stats.clone() }
    }

    /// Writes a commit. Only the leading thread calls it.
    fn write(&self, batch: &[(Sha256Digest, Note)]) -> Result<(), StoreError> {
        let notes: Vec<Note> = batch.iter().map(|(_, note)| Arc::clone(note)).collect();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        journal.commit(&notes, || self.all(batch))?;
        let mut shared = self.lock();
        shared.stats.committed(batch.len(), start.elapsed(), journal.len());
        Ok(())
    }

    /// The latest note of each log, those of the batch included and nothing that is staged behind it.
    fn all(&self, batch: &[(Sha256Digest, Note)]) -> Vec<Note> {
        let shared = self.lock();
        let durable = shared.logs.iter().filter_map(|(hash, entry)| Some((*hash, entry.durable.clone()?)));
        let mut latest: BTreeMap<Sha256Digest, Note> = durable.collect();
        latest.extend(batch.iter().cloned());
        latest.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Makes `seen` the last of its log.
    fn keep(&mut self, hash: Sha256Digest, seen: Seen) {
        self.live_bytes += seen.note.len();
        match self.logs.get_mut(&hash) {
            Some(entry) => {
                self.live_bytes -= entry.last.note.len();
                entry.last = seen;
            }
            None => drop(self.logs.insert(hash, Entry { last: seen, durable: None })),
        }
    }

    /// `note` is durable now.
    fn show(&mut self, hash: Sha256Digest, note: Note) {
        if let Some(entry) = self.logs.get_mut(&hash) {
            entry.durable = Some(note);
        }
    }
}

/// The latest note of one log, for who has not opened the folder. It need not be durable.
pub(super) fn peek(folder: &Path, origin: &str) -> Result<Option<Note>, WitnessError> {
    let hash = origin_hash(origin);
    Ok(read(&folder.join(journal::FILE))?.into_iter().rfind(|note| hash_of(note) == hash))
}

fn read(path: &Path) -> Result<Vec<Note>, WitnessError> {
    journal::read(path).map_err(|error| match error {
        JournalError::Store(error) => error.into(),
        JournalError::Damaged(at) => WitnessError::DamagedState { path: path.display().to_string(), at },
    })
}

/// A note's first line is the origin.
fn hash_of(note: &[u8]) -> Sha256Digest {
    let line = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
    countersign_crypto::sha256(line)
}
