//! What the threads of a running log, and those who use it, see of each other.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use countersign_tlog::SignedCheckpoint;

use super::bounded::{Bounded, Load, Refused, Taken};
use super::journal::{Journaled, Offer};
use super::{Clock, Done, Failing, Published, Settings, Status};
use crate::dedup::Generation;
use crate::error::LogError;
use crate::lease::Lease;
use crate::sequencer::{Hold, Public};

/// Complete generations that may wait for the index thread.
const MAX_SEALED: usize = 4;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) public: Public,
    /// To the journal.
    pub(super) offers: Bounded<Offer>,
    /// From the journal to the writer.
    pub(super) journaled: Bounded<Journaled>,
    /// From the writer to the index.
    pub(super) sealed: Bounded<Arc<Generation>>,
    /// From the writer to the publisher, and for all to see.
    progress: Mutex<Progress>,
    pub(super) changed: Condvar,
    /// Size of the signed tree: what the write-ahead log need not keep.
    pub(super) signed_size: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) duplicates: AtomicU64,
    busy: AtomicU64,
    failed: AtomicBool,
    hold: Mutex<Option<Hold>>,
    lease: Option<Lease>,
}

/// What is signed and published.
pub(super) struct Progress {
    pub(super) signed: Arc<SignedCheckpoint>,
    /// Signed, and not taken by the publisher yet.
    pub(super) offered: Option<Arc<SignedCheckpoint>>,
    /// The publisher is at work on one.
    pub(super) publishing: bool,
    pub(super) published: Option<Arc<Published>>,
    /// Who waits for an index to be published.
    waiting: BTreeMap<u64, Vec<Done<Arc<Published>>>>,
    pub(super) failing: Option<Failing>,
    pub(super) failure: Option<Arc<LogError>>,
    /// Since when nothing more is signed.
    pub(super) closed: Option<Instant>,
    /// Nothing more is published.
    ended: bool,
}

impl Progress {
    /// Whether a further signed tree would be published now, or at the next attempt.
    pub(super) const fn publisher_is_free(&self) -> bool {
        self.offered.is_none() && !self.publishing
    }

    fn covers(&self, index: u64) -> Option<Arc<Published>> {
        self.published.clone().filter(|published| published.signed.checkpoint().size() > index)
    }

    /// Why there will be no answer.
    fn refusal(&self) -> LogError {
        if self.failure.is_some() { LogError::Stopped } else { LogError::Closing }
    }
}

/// What a running log begins with.
pub(super) struct Start {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) public: Public,
    pub(super) published: Option<SignedCheckpoint>,
    pub(super) unwitnessed: bool,
}

impl Shared {
    pub(super) fn new(start: Start, signed: SignedCheckpoint, hold: Hold) -> Self {
        let Start { settings, clock, public, published, unwitnessed } = start;
        let size = signed.checkpoint().size();
        let signed = Arc::new(signed);
        // What was signed and not published when the last process ended. Witnesses are not asked about an
        // empty log.
        let behind = match &published {
            Some(published) => published.checkpoint().size() < size,
            None => size > 0 || unwitnessed,
        };
        let published = published.map(|signed| Arc::new(Published { bytes: signed.encode(), signed }));
        let progress = Progress {
            offered: behind.then(|| Arc::clone(&signed)),
            signed,
            publishing: false,
            published,
            waiting: BTreeMap::new(),
            failing: None,
            failure: None,
            closed: None,
            ended: false,
        };
        let queue = Load { entries: settings.queue_entries, bytes: settings.queue_bytes };
        let pending = Load { entries: usize::MAX, bytes: settings.pending_bytes };
        Self {
            settings,
            clock,
            public,
            offers: Bounded::new(queue),
            journaled: Bounded::new(pending),
            sealed: Bounded::new(Load { entries: MAX_SEALED, bytes: usize::MAX }),
            progress: Mutex::new(progress),
            changed: Condvar::new(),
            signed_size: AtomicU64::new(size),
            acknowledged: AtomicU64::new(size),
            batches: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            lease: hold.lease().cloned(),
            hold: Mutex::new(Some(hold)),
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn offer(&self, offer: Offer, load: Load) -> Result<(), LogError> {
        match self.offers.try_push(offer, load) {
            Ok(()) => Ok(()),
            Err((_, Refused::Full)) => {
                self.busy.fetch_add(1, Ordering::Relaxed);
                Err(LogError::Busy)
            }
            Err((_, Refused::Closed)) => Err(self.progress().refusal()),
        }
    }

    pub(super) fn when_published(&self, index: u64, done: Done<Arc<Published>>) {
        let mut progress = self.progress();
        let outcome = match progress.covers(index) {
            Some(published) => Ok(published),
            None if progress.failure.is_some() || progress.ended => Err(progress.refusal()),
            None => {
                progress.waiting.entry(index).or_default().push(done);
                return;
            }
        };
        drop(progress);
        done(outcome);
    }

    /// Hands a signed tree to the publisher; one that it has not taken yet is part of this.
    pub(super) fn offer_checkpoint(&self, signed: SignedCheckpoint) {
        let mut progress = self.progress();
        progress.signed = Arc::new(signed);
        progress.offered = Some(Arc::clone(&progress.signed));
        drop(progress);
        self.changed.notify_all();
    }

    /// Tells those who wait for it.
    pub(super) fn publish(&self, published: Published) {
        let mut progress = self.progress();
        let published = Arc::new(published);
        let later = progress.waiting.split_off(&published.signed.checkpoint().size());
        let told = core::mem::replace(&mut progress.waiting, later);
        progress.published = Some(Arc::clone(&published));
        progress.publishing = false;
        progress.failing = None;
        drop(progress);
        self.journaled.poke();
        told.into_values().flatten().for_each(|done| done(Ok(Arc::clone(&published))));
    }

    /// Takes no more entries.
    pub(super) fn close(&self) {
        self.offers.close();
    }

    /// Nothing more will be signed.
    pub(super) fn end_signing(&self) {
        self.progress().closed = Some(Instant::now());
        self.changed.notify_all();
    }

    /// Nothing more will be published.
    pub(super) fn end(&self) {
        let mut progress = self.progress();
        progress.ended = true;
        let waiting = core::mem::take(&mut progress.waiting);
        let stopped = progress.failure.is_some();
        drop(progress);
        let refusal = || if stopped { LogError::Stopped } else { LogError::Closing };
        waiting.into_values().flatten().for_each(|done| done(Err(refusal())));
    }

    /// Ends everything: what is on disk is not known any more.
    pub(super) fn fail(&self, error: LogError) {
        let mut progress = self.progress();
        progress.failure.get_or_insert_with(|| Arc::new(error));
        // Who sees this ends as well, and must not be the first to say why.
        self.failed.store(true, Ordering::Release);
        drop(progress);
        if let Some(lease) = &self.lease {
            lease.abandon();
        }
        self.changed.notify_all();
        self.offers.close();
        self.journaled.close();
        self.sealed.close();
        if let Taken::Items(offers) = self.offers.take(Some(Instant::now())) {
            offers.into_iter().for_each(|offer| (offer.done)(Err(LogError::Stopped)));
        }
        self.end();
    }

    /// What an error means if another process took over.
    pub(super) fn explain(&self, error: LogError) -> LogError {
        match &self.lease {
            Some(lease) => lease.explain(error),
            None => error,
        }
    }

    pub(super) const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Lets another process have the log. Says what stopped it.
    pub(super) fn release(&self) -> Option<Arc<LogError>> {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(hold);
        self.progress().failure.clone()
    }

    pub(super) fn status(&self) -> Status {
        let waiting = self.offers.load();
        let pending = self.journaled.load();
        let progress = self.progress();
        Status {
            acknowledged: self.acknowledged.load(Ordering::Acquire),
            signed: progress.signed.checkpoint().size(),
            published: progress.published.as_ref().map(|published| published.signed.checkpoint().size()),
            waiting_entries: waiting.entries,
            waiting_bytes: waiting.bytes,
            pending_bytes: pending.bytes,
            busy: self.busy.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            failing: progress.failing.clone(),
            failure: progress.failure.clone(),
        }
    }
}

/// Dropped by a thread that ends otherwise than it should, it ends the others.
pub(super) struct Fuse<'s>(pub(super) &'s Shared);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        self.0.fail(LogError::Stopped);
    }
}
