//! A log for many writers at once: what the sequencer does step by step, in threads that work side by side.
//!
//! ```text
//! submit ──► queue ──► journal ──► tiles ──► publish
//!            bounded   │           │         │
//!                      │           │         └ cosigners, public checkpoint ──► published
//!                      │           └ full bundles and tiles; partial ones and a signature now and then
//!                      └ duplicates, indices, one sync for all that came in meanwhile ──► acknowledged
//! ```
//!
//! *journal* takes all that waits as one batch, so that a batch is what came in while the one before was
//! synced: a lone entry waits for nothing, and many share a sync. An index is told when its entry is durable.
//! *tiles* writes what is full as it comes. It writes partial bundles and tiles, and signs, when the
//! publisher is free and a while has passed that grows with what the last signature took in
//! ([`Settings::interval`]): at once on a quiet log, some times a second on a busy one. *publish* asks the
//! cosigners, all at once, for the newest signed tree, and again, ever more slowly, if it does not get a quorum. A fourth
//! thread keeps the index of duplicates.
//!
//! What each step leaves behind in a crash is what [`crate::Sequencer`] says of it, with one difference:
//! bundles and tiles that are full may be there for entries that no checkpoint is signed for yet. Their bytes
//! follow from the entries, which are in the write-ahead log, so reopening makes the same ones.
//!
//! Any failure of storage ends all of it: nothing is acknowledged after it, and every call says so.
//!
//! Time comes from a clock that the caller gives; waiting is the threads' own.

mod bounded;
mod index;
mod journal;
mod panel;
mod publisher;
mod shared;
mod status;
mod writer;

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use countersign_base::Timestamp;
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::merkle::{Hash, leaf_hash};
use countersign_tlog::policy::Policy;

use crate::cosign::Cosigner;
use crate::error::LogError;
use crate::read;
use crate::sequencer::{Sequencer, check_entries, storage_fault};
use crate::tree::Files;
use bounded::Load;
use journal::{Journal, Offer};
use publisher::Publisher;
use shared::{Fuse, Shared, Start};
pub use status::{Failing, Status};
use writer::Writer;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Bounds and intervals of a [`Log`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Entries that may wait to be made durable; beyond that the log is busy.
    pub queue_entries: usize,
    /// Bytes of entries that may wait so.
    pub queue_bytes: usize,
    /// Bytes of acknowledged entries that may wait in memory for their tiles; beyond that none is
    /// acknowledged.
    pub pending_bytes: usize,
    /// Longest time between two signatures while entries come in by the thousand.
    pub interval: Duration,
    /// How long to wait after the first time that the cosigners gave no quorum; then twice as long each time.
    pub retry_first: Duration,
    /// Longest wait of that kind.
    pub retry_longest: Duration,
    /// How often to have a tree that does not grow cosigned again, so that readers see fresh cosignatures.
    pub renew: Option<Duration>,
    /// How long [`Log::stop`] goes on asking cosigners that give no quorum.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_entries: 65_536,
            queue_bytes: 32 * 1024 * 1024,
            pending_bytes: 16 * 1024 * 1024,
            interval: Duration::from_millis(100),
            retry_first: Duration::from_millis(200),
            retry_longest: Duration::from_secs(30),
            renew: None,
            stop_within: Duration::from_secs(5),
        }
    }
}

/// Whose word a published checkpoint needs.
pub enum Publication {
    /// The log's alone.
    Unwitnessed,
    /// The policy's quorum.
    Witnessed {
        /// What is required.
        policy: Policy,
        /// Who is asked.
        cosigners: Vec<Box<dyn Cosigner + Send>>,
    },
}

impl core::fmt::Debug for Publication {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unwitnessed => f.write_str("Unwitnessed"),
            Self::Witnessed { policy, .. } => f.debug_tuple("Witnessed").field(policy).finish(),
        }
    }
}

/// An entry that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its index.
    pub index: u64,
    /// Whether it was in the log before, at that index.
    pub duplicate: bool,
}

/// A checkpoint that readers see.
#[derive(Debug)]
pub struct Published {
    /// As it is in the file.
    pub bytes: Vec<u8>,
    /// What it says.
    pub signed: SignedCheckpoint,
}

/// Told the outcome of a submission, by the thread that made it durable: it must not wait for anything.
pub type Done<T> = Box<dyn FnOnce(Result<T, LogError>) + Send>;

/// An answer that is waited for.
#[derive(Debug)]
pub struct Ticket<T>(Receiver<Result<T, LogError>>);

impl<T: Send + 'static> Ticket<T> {
    fn new() -> (Done<T>, Self) {
        let (sender, receiver) = sync_channel(1);
        // Who dropped the ticket does not want the answer.
        (Box::new(move |outcome| drop(sender.send(outcome))), Self(receiver))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// What became of it instead.
    pub fn wait(self) -> Result<T, LogError> {
        self.0.recv().unwrap_or(Err(LogError::Stopped))
    }
}

/// A running log. Shared by reference between all who submit; dropping it stops it.
pub struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Log {
    /// Starts the threads on an open log, once the witnesses have been offered the tree as it is.
    ///
    /// # Errors
    /// `log-storage-rollback`: as many witnesses as are needed have seen more. If they cannot be reached it is tried again later.
    /// `log-storage-failed` if what is published cannot be read; `serve-failed` if a thread cannot be
    /// started.
    pub fn start(
        sequencer: Sequencer,
        publication: Publication,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let published = sequencer.published()?;
        let parts = sequencer.into_parts(clock())?;
        let unwitnessed = matches!(publication, Publication::Unwitnessed);
        let start = Start { settings, clock, public: parts.public.clone(), published, unwitnessed };
        let log = Self {
            shared: Arc::new(Shared::new(start, parts.signing.signed().clone(), parts.hold)),
            threads: Mutex::default(),
        };
        let runs = Arc::clone(parts.dedup.runs());
        let journal = Journal::new(parts.journal, parts.dedup, parts.growing.size());
        let writer = Writer::new(parts.growing, parts.signing);
        let mut publisher = Publisher::new(publication)?;
        publisher.look_back(&log.shared)?;
        log.spawn("log-journal", |shared| journal.run(shared))?;
        log.spawn("log-tiles", |shared| writer.run(shared))?;
        log.spawn("log-index", move |shared| index::run(&runs, shared))?;
        log.spawn("log-publish", |shared| publisher.run(shared))?;
        if let Some(lease) = log.shared.lease() {
            let shared = Arc::downgrade(&log.shared);
            lease.on_loss(Box::new(move |error| {
                if let Some(shared) = shared.upgrade() {
                    shared.fail(error);
                }
            }));
        }
        Ok(log)
    }

    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce(&Shared) -> Result<(), LogError> + Send + 'static,
    ) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let guarded = move || {
            let fuse = Fuse(&shared);
            if let Err(error) = work(&shared) {
                shared.fail(shared.explain(error));
            }
            core::mem::forget(fuse);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(guarded).map_err(LogError::thread)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Puts an entry into the queue, and tells its index once it is durable. An entry that is in the log
    /// already gets its first index.
    ///
    /// # Errors
    /// `log-entry-malformed`, `log-entry-too-large`. `log-busy`: the queue is full, or the log is being
    /// stopped. `log-storage-failed`: it has stopped. Then `done` is dropped, not called.
    pub fn submit(
        &self,
        entry: Vec<u8>,
        done: impl FnOnce(Result<Accepted, LogError>) + Send + 'static,
    ) -> Result<(), LogError> {
        let one = |accepted: Vec<Accepted>| accepted.first().copied().ok_or(LogError::Stopped);
        self.submit_all(vec![entry], move |outcome| done(outcome.and_then(one)))
    }

    /// As [`Log::submit`], for several entries in this order, all or none. No others come between those of
    /// them that are new.
    ///
    /// # Errors
    /// As there; `limit-exceeded` above [`crate::MAX_BATCH_ENTRIES`].
    pub fn submit_all(
        &self,
        entries: Vec<Vec<u8>>,
        done: impl FnOnce(Result<Vec<Accepted>, LogError>) + Send + 'static,
    ) -> Result<(), LogError> {
        check_entries(&entries)?;
        let load = Load { entries: entries.len(), bytes: entries.iter().map(Vec::len).sum() };
        // Here and not in the journal's thread: those who submit are many.
        let entries = entries.into_iter().map(|entry| (leaf_hash(&entry), entry)).collect();
        self.shared.offer(Offer { entries, done: Box::new(done) }, load)
    }

    /// As [`Log::submit`], with an answer to wait for.
    ///
    /// # Errors
    /// As there.
    pub fn ticket(&self, entry: Vec<u8>) -> Result<Ticket<Accepted>, LogError> {
        let (done, ticket) = Ticket::new();
        self.submit(entry, done)?;
        Ok(ticket)
    }

    /// Tells the first published checkpoint whose tree has the entry of this index; at once if there is one.
    ///
    /// `done` gets `log-storage-failed` or `log-busy` if the log stops first.
    pub fn when_published(
        &self,
        index: u64,
        done: impl FnOnce(Result<Arc<Published>, LogError>) + Send + 'static,
    ) {
        self.shared.when_published(index, Box::new(done));
    }

    /// As [`Log::when_published`], with an answer to wait for.
    pub fn await_published(&self, index: u64) -> Ticket<Arc<Published>> {
        let (done, ticket) = Ticket::new();
        self.shared.when_published(index, done);
        ticket
    }

    /// The checkpoint that readers see; `None` before the first one.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.shared.progress().published.clone()
    }

    /// The latest signed checkpoint, without cosignatures. Its tiles are durable.
    pub fn signed(&self) -> Arc<SignedCheckpoint> {
        Arc::clone(&self.shared.progress().signed)
    }

    /// An entry of the signed tree.
    ///
    /// # Errors
    /// `usage` if it has none of this index; `log-storage-corrupt`, `log-storage-rollback`,
    /// `log-storage-failed`.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let held = self.signed().checkpoint().size();
        if index >= held {
            return Err(LogError::ProofRange { from: index, size: held, held });
        }
        Files::new(self.shared.public.objects(), held).entry(index).map_err(storage_fault)
    }

    /// The inclusion proof of entry `index` in the tree of `size` entries, which is the signed one or before
    /// it.
    ///
    /// # Errors
    /// `usage` if there is no such tree or no such entry in it.
    pub fn proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        read::inclusion(self.shared.public.objects(), self.signed().checkpoint(), index, size)
    }

    /// The consistency proof between two trees, of which the newer is the signed one or before it.
    ///
    /// # Errors
    /// `usage` if there are no such trees.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        read::consistency(self.shared.public.objects(), self.signed().checkpoint(), old, new)
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Takes nothing more, makes what was taken durable, signs and publishes it, and ends the threads. What
    /// could not be published in [`Settings::stop_within`] is in the log, and published when it runs again.
    /// Says what stopped the log before, if something did.
    ///
    /// Not to be called from a `done`: it waits for the thread that calls those.
    pub fn stop(&self) -> Option<Arc<LogError>> {
        self.shared.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // One that panicked has said so through its fuse.
            let _ = thread.join();
        }
        self.shared.release()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

impl core::fmt::Debug for Log {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Log").field("public", &self.shared.public).finish_non_exhaustive()
    }
}
