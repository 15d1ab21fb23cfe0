//! The log's sequencer in a thread of its own, and how the HTTP side reaches it.
//!
//! What came in while the disk was syncing is made durable together; a submitter is answered when its entry is durable.
//! The checkpoint follows: at once on an idle log, and under load once in [`PUBLISH_INTERVAL`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use countersign_log::cosign::Cosigner;
use countersign_log::{Admission, Admitted, LogError, MAX_BATCH_ENTRIES, Sequencer, Submission};
use countersign_tlog::merkle::Hash;
use countersign_tlog::policy::Policy;
use countersign_tlog::{SignedCheckpoint, VerifierKey};
use tokio::sync::{oneshot, watch};

use super::answer::Refusal;
use crate::listen::{Stop, StopHandle, stop};
use crate::witness::Clock;

/// Submissions that wait; the next ones are told to come back.
const MAX_WAITING: usize = 4096;
/// Under load the checkpoint is published this often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);
/// How long after a publication that failed the next one is tried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long a submitter that wants a proof waits for the checkpoint.
const PUBLISHED_SECONDS: u64 = 20;

/// What a log's server is made of.
pub struct LogParts {
    /// The log, open.
    pub log: Sequencer,
    /// Its public folder.
    pub public: PathBuf,
    /// What it has admitted, for a log that takes metadata only.
    pub admission: Option<Admission>,
    /// Connects to the witnesses, in the thread that will ask them.
    pub connect: Box<dyn FnOnce() -> Vec<Box<dyn Cosigner>> + Send>,
    /// Which of them must cosign; `None` for a log without witnesses.
    pub policy: Option<Policy>,
    /// The clock.
    pub clock: Clock,
}

/// A checkpoint that readers see.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) signed: SignedCheckpoint,
    pub(crate) note: String,
}

/// The HTTP side's end.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    jobs: SyncSender<Job>,
    published: watch::Receiver<Option<Arc<Published>>>,
}

/// The thread.
pub(crate) struct Worker {
    thread: JoinHandle<Result<(), LogError>>,
}

#[derive(Debug)]
enum Job {
    Add { entry: Vec<u8>, answer: oneshot::Sender<Result<u64, Refusal>> },
    Admit { submission: Submission, answer: oneshot::Sender<Result<Admitted, Refusal>> },
    Prove { index: u64, size: u64, answer: oneshot::Sender<Result<Vec<Hash>, Refusal>> },
}

impl Line {
    /// Starts the thread. The server is told to stop through the returned [`Stop`] if the log fails.
    pub(crate) fn start(parts: LogParts) -> std::io::Result<(Self, Worker, Stop)> {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let (announce, published) = watch::channel(None);
        let (failed, stopped) = stop();
        let thread = std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || Sequencing::new(parts, announce).run(&waiting, failed))?;
        Ok((Self { jobs, published }, Worker { thread }, stopped))
    }

    /// Has the entry made durable; its index, or the first one of an entry that is there already.
    pub(crate) async fn add(&self, entry: Vec<u8>) -> Result<u64, Refusal> {
        self.ask(|answer| Job::Add { entry, answer }).await
    }

    /// Has metadata judged and its entry made durable.
    pub(crate) async fn admit(&self, submission: Submission) -> Result<Admitted, Refusal> {
        self.ask(|answer| Job::Admit { submission, answer }).await
    }

    /// The inclusion proof of an entry in a published tree.
    pub(crate) async fn prove(&self, index: u64, size: u64) -> Result<Vec<Hash>, Refusal> {
        self.ask(|answer| Job::Prove { index, size, answer }).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Job,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(job(answer)).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::busy(),
            TrySendError::Disconnected(_) => Refusal::stopped(),
        })?;
        answered.await.unwrap_or_else(|_| Err(Refusal::stopped()))
    }

    /// The checkpoint that readers see, as soon as it covers the entry.
    pub(crate) async fn published(&self, index: u64) -> Result<Arc<Published>, Refusal> {
        let mut published = self.published.clone();
        let covers = |now: &Option<Arc<Published>>| {
            now.as_ref().is_some_and(|published| published.signed.checkpoint().size() > index)
        };
        let wait = published.wait_for(covers);
        match tokio::time::timeout(Duration::from_secs(PUBLISHED_SECONDS), wait).await {
            Ok(Ok(found)) => found.clone().ok_or_else(Refusal::stopped),
            Ok(Err(_)) => Err(Refusal::stopped()),
            Err(_) => Err(Refusal::unpublished(index)),
        }
    }
}

impl Worker {
    /// Waits until all that was accepted is in the log, after the last [`Line`] is gone.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        self.thread.join().unwrap_or(Err(LogError::Stopped))
    }
}

struct Sequencing {
    log: Sequencer,
    admission: Option<Admission>,
    cosigners: Vec<Box<dyn Cosigner>>,
    policy: Option<Policy>,
    clock: Clock,
    announce: watch::Sender<Option<Arc<Published>>>,
    /// When publishing is due.
    due: Option<Instant>,
    last: Option<Instant>,
}

impl Sequencing {
    fn new(parts: LogParts, announce: watch::Sender<Option<Arc<Published>>>) -> Self {
        Self {
            log: parts.log,
            admission: parts.admission,
            cosigners: (parts.connect)(),
            policy: parts.policy,
            clock: parts.clock,
            announce,
            due: Some(Instant::now()),
            last: None,
        }
    }

    fn run(mut self, waiting: &Receiver<Job>, failed: StopHandle) -> Result<(), LogError> {
        let outcome = self.work(waiting);
        if outcome.is_err() {
            failed.stop();
        }
        outcome
    }

    fn work(&mut self, waiting: &Receiver<Job>) -> Result<(), LogError> {
        loop {
            let wait = self.due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
            let mut jobs = Vec::new();
            match waiting.recv_timeout(wait) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while jobs.len() < MAX_BATCH_ENTRIES
                && let Ok(job) = waiting.try_recv()
            {
                jobs.push(job);
            }
            self.do_jobs(jobs)?;
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.publish()?;
            }
        }
        // The last ones were acknowledged: whoever reads the log finds them if the witnesses are there.
        if self.due.is_some() { self.publish() } else { Ok(()) }
    }

    fn do_jobs(&mut self, jobs: Vec<Job>) -> Result<(), LogError> {
        let now = (self.clock)();
        let (mut entries, mut answers) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        for job in jobs {
            match job {
                Job::Add { entry, answer } => {
                    entries.push(entry);
                    answers.push(answer);
                }
                other => others.push(other),
            }
        }
        let before = self.log.size();
        if !entries.is_empty() {
            let indices = self.log.append(&entries, now)?;
            for (answer, index) in answers.into_iter().zip(indices) {
                // Nobody waits any more: the entry is in the log all the same.
                let _ = answer.send(Ok(index));
            }
        }
        for job in others {
            self.do_job(job, now)?;
        }
        if self.log.size() > before && self.due.is_none() {
            let next = self.last.map_or_else(Instant::now, |last| last + PUBLISH_INTERVAL);
            self.due = Some(next.max(Instant::now()));
        }
        Ok(())
    }

    fn do_job(&mut self, job: Job, now: countersign_base::Timestamp) -> Result<(), LogError> {
        match job {
            Job::Add { .. } => {}
            Job::Admit { submission, answer } => {
                let Some(admission) = &mut self.admission else { return Ok(()) };
                match admission.admit(&mut self.log, &[submission], now) {
                    Ok(mut admitted) => {
                        let _ = answer.send(admitted.pop().ok_or_else(Refusal::stopped));
                    }
                    Err(error) => {
                        let _ = answer.send(Err(Refusal::from(&error)));
                        if is_fatal(&error) {
                            return Err(error);
                        }
                    }
                }
            }
            Job::Prove { index, size, answer } => {
                let proof = self.log.proof(index, size);
                let _ = answer.send(proof.map_err(|error| Refusal::from(&error)));
            }
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), LogError> {
        let now = (self.clock)();
        self.last = Some(Instant::now());
        let policies: Vec<&Policy> = self.policy.iter().collect();
        match self.log.publish_under(&mut self.cosigners, &policies, now) {
            Ok(note) => {
                self.due = None;
                self.announce(&note)
            }
            // The entries are safe; readers see them when the witnesses are back.
            Err(LogError::Quorum { .. }) => {
                self.due = Some(Instant::now() + RETRY_INTERVAL);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn announce(&self, note: &[u8]) -> Result<(), LogError> {
        let place = || "the published checkpoint".to_owned();
        let signed = SignedCheckpoint::parse(note)
            .map_err(|source| LogError::Checkpoint { place: place(), source })?;
        let note = String::from_utf8_lossy(note).into_owned();
        self.announce.send_replace(Some(Arc::new(Published { signed, note })));
        Ok(())
    }
}

/// Whether the log can take nothing more after this error.
fn is_fatal(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Storage(_)
            | LogError::Stopped
            | LogError::StorageCorrupt(_)
            | LogError::StorageRollback(_)
            | LogError::WriterConflict(_)
    )
}

/// The key that the log's clients know it by.
pub(crate) fn key(log: &Sequencer) -> VerifierKey {
    log.key().verifier().clone()
}
