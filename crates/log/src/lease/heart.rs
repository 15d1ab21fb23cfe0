//! The lead of one epoch: the cell as it was written last, and the thread that keeps on changing it.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use countersign_store::{Cell, Held, StoreError};

use super::SharedPlace;
use super::leader::{Leader, damaged};
use crate::error::LogError;

/// Beats in the time after which another takes over.
const BEATS: u32 = 3;

/// Told why the lead is lost, once.
type Loss = Box<dyn FnOnce(LogError) + Send>;

/// The lead, as all parts of a log use it.
#[derive(Debug, Clone)]
pub(crate) struct Lease(Arc<Inner>);

struct Inner {
    cell: Arc<dyn Cell>,
    /// As it was when this process took over.
    taken: Leader,
    /// Held for as long as a change takes.
    written: Mutex<Written>,
    pulse: Mutex<Pulse>,
    changed: Condvar,
    /// Given up as it is: another takes over after the usual wait.
    abandoned: AtomicBool,
}

/// The cell as it was written last.
struct Written {
    leader: Leader,
    /// `None` after a failed change.
    held: Option<Held>,
    /// Another one leads.
    lost: bool,
}

struct Pulse {
    ended: bool,
    /// When the last change began.
    last: Instant,
    tell: Option<Loss>,
    /// What ended the beating, as long as nobody was told.
    failure: Option<LogError>,
}

impl Lease {
    pub(crate) fn epoch(&self) -> u64 {
        self.0.taken.epoch
    }

    /// Whether this process leads still, or did when the answer was made.
    ///
    /// # Errors
    /// `log-writer-conflict` if not; `log-storage-failed`.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let Some(held) = self.0.cell.load()? else {
            return Err(LogError::StorageRollback(format!("`{}` is missing", SharedPlace::LEADER)));
        };
        if Leader::parse(held.bytes())?.is_led_as(&self.0.taken) { Ok(()) } else { Err(conflict()) }
    }

    /// What an error means if another one leads by now: then it is that, whatever came of it first. So it is
    /// if that cannot be told.
    pub(crate) fn explain(&self, error: LogError) -> LogError {
        match error {
            LogError::StorageRollback(_)
            | LogError::StorageIncomplete(_)
            | LogError::StorageCorrupt(_)
            | LogError::Checkpoint { .. }
            | LogError::Quorum { .. } => self.check().err().unwrap_or(error),
            other => other,
        }
    }

    /// Keeps a signed checkpoint. From now on this epoch's journal goes on from it.
    pub(crate) fn sign(&self, note: Vec<u8>) -> Result<(), LogError> {
        let epoch = self.epoch();
        self.0.change(|leader| {
            leader.note = note;
            leader.journal = epoch;
        })
    }

    /// The epoch whose journal goes on from what is signed.
    pub(crate) fn journal(&self) -> u64 {
        self.0.written().leader.journal
    }

    /// Has `tell` told when the lead is found to be lost while nobody asks.
    pub(crate) fn on_loss(&self, tell: Loss) {
        let mut pulse = self.0.pulse();
        match pulse.failure.take() {
            Some(failure) => {
                drop(pulse);
                tell(failure);
            }
            None => pulse.tell = Some(tell),
        }
    }

    /// Ends the beating, and leaves the cell as it is. For a log that has failed.
    pub(crate) fn abandon(&self) {
        self.0.abandoned.store(true, Ordering::Release);
        self.0.cease();
    }
}

impl Inner {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cease(&self) {
        self.pulse().ended = true;
        self.changed.notify_all();
    }

    /// Replaces the cell, which nobody else may have changed.
    fn change(&self, change: impl FnOnce(&mut Leader)) -> Result<(), LogError> {
        let mut written = self.written();
        if written.lost {
            return Err(conflict());
        }
        let begun = Instant::now();
        let held = written.held.take().ok_or(LogError::Stopped)?;
        let mut next = written.leader.clone();
        change(&mut next);
        next.beat = next.beat.checked_add(1).ok_or_else(|| damaged("it counts no further"))?;
        match replace(&*self.cell, held, &next.encode()) {
            Ok(held) => {
                written.held = Some(held);
                written.leader = next;
                drop(written);
                self.pulse().last = begun;
                Ok(())
            }
            Err(error) => {
                written.lost = matches!(error, StoreError::Conflict { .. });
                Err(error.into())
            }
        }
    }

    /// Changes the cell now and then, so that nobody takes it for deserted.
    fn beat(&self, every: Duration) {
        loop {
            let mut pulse = self.pulse();
            loop {
                if pulse.ended {
                    return;
                }
                let left = (pulse.last + every).saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                pulse = self.changed.wait_timeout(pulse, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(pulse);
            if let Err(error) = self.change(|_| {}) {
                let mut pulse = self.pulse();
                pulse.ended = true;
                match pulse.tell.take() {
                    Some(tell) => {
                        drop(pulse);
                        tell(error);
                    }
                    None => pulse.failure = Some(error),
                }
                return;
            }
        }
    }
}

/// Replaces a cell's value. A conflict is one only if what stands there is not what was to be written: no
/// value of this cell is written twice.
pub(super) fn replace(cell: &dyn Cell, held: Held, next: &[u8]) -> Result<Held, StoreError> {
    match cell.replace(held, next) {
        Err(conflict @ StoreError::Conflict { .. }) => {
            cell.load()?.filter(|found| found.bytes() == next).ok_or(conflict)
        }
        other => other,
    }
}

/// Another one leads.
fn conflict() -> LogError {
    LogError::WriterConflict(StoreError::Conflict { path: SharedPlace::LEADER.into() })
}

/// The lead, as who is responsible for it has it: dropped it is given back, so that another need not wait.
#[derive(Debug)]
pub(crate) struct Tenure {
    lease: Lease,
    heart: Option<JoinHandle<()>>,
}

impl Tenure {
    /// Begins with the cell as this process has just written it. It is changed several times in `takeover`.
    pub(super) fn begin(
        cell: Arc<dyn Cell>,
        held: Held,
        leader: Leader,
        takeover: Duration,
    ) -> Result<Self, LogError> {
        let pulse = Pulse { ended: false, last: Instant::now(), tell: None, failure: None };
        let inner = Arc::new(Inner {
            cell,
            taken: leader.clone(),
            written: Mutex::new(Written { leader, held: Some(held), lost: false }),
            pulse: Mutex::new(pulse),
            changed: Condvar::new(),
            abandoned: AtomicBool::new(false),
        });
        let beating = Arc::clone(&inner);
        let heart = thread::Builder::new()
            .name("log-lease".to_owned())
            .spawn(move || beating.beat(takeover / BEATS))
            .map_err(LogError::thread)?;
        Ok(Self { lease: Lease(inner), heart: Some(heart) })
    }

    pub(crate) const fn lease(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.lease.0.cease();
        if self.lease.0.abandoned.load(Ordering::Acquire) {
            // Its last change may be under way to a storage that does not answer.
            return;
        }
        if let Some(heart) = self.heart.take() {
            // One that panicked beats no more either.
            let _ = heart.join();
        }
        // If it fails, the next one waits as it does after a crash.
        let _ = self.lease.0.change(|leader| leader.released = true);
    }
}

impl core::fmt::Debug for Inner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lease").field("epoch", &self.taken.epoch).finish_non_exhaustive()
    }
}
