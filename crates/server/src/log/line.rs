//! The log as the HTTP side sees it: what is asked for comes back as a future.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_base::Timestamp;
use countersign_log::admission::Entries;
use countersign_log::pipeline::{Accepted, Published, Status};
use countersign_log::{Admission, Admitted, Log, LogError, Submission};
use countersign_tlog::merkle::Hash;
use tokio::sync::oneshot;
use tokio::time::{Duration, timeout};

use super::answer::Refusal;
use super::proofs::Proofs;
use crate::witness::Clock;

/// How long a submitter that wants a proof waits for the checkpoint.
pub(super) const DIRECT: Duration = Duration::from_secs(20);
/// The same for one whose request a front end has passed on: that gives up on a leader that says nothing for longer.
pub(super) const FORWARDED: Duration = Duration::from_secs(6);

/// A running log, shared by all requests.
#[derive(Clone)]
pub(crate) struct Line {
    log: Arc<Log>,
    /// What it has admitted, where it admits metadata.
    admission: Option<Arc<RwLock<Admission>>>,
    proofs: Arc<Proofs>,
    clock: Clock,
}

impl Line {
    pub(crate) fn new(log: Arc<Log>, admission: Option<Admission>, proofs: Proofs, clock: Clock) -> Self {
        let admission = admission.map(|admission| Arc::new(RwLock::new(admission)));
        Self { log, admission, proofs: Arc::new(proofs), clock }
    }

    /// Has the entry made durable; its index, or the first one of an entry that is there already.
    pub(crate) async fn add(&self, entry: Vec<u8>) -> Result<Accepted, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Who has gone does not want the answer.
        self.log.submit(entry, move |outcome| drop(answer.send(outcome)))?;
        Ok(answered.await.map_err(|_| Refusal::stopped())??)
    }

    /// Has metadata judged and its entry made durable.
    pub(crate) async fn admit(&self, submission: Submission) -> Result<Admitted, Refusal> {
        let admission = Arc::clone(self.admission.as_ref().ok_or_else(Refusal::stopped)?);
        let (log, now) = (Arc::clone(&self.log), (self.clock)());
        let task = tokio::task::spawn_blocking(move || admit(&admission, &log, submission, now));
        Ok(task.await.map_err(|_| Refusal::stopped())??)
    }

    /// The checkpoint that readers see, as soon as it covers the entry.
    pub(crate) async fn published(&self, index: u64, patience: Duration) -> Result<Arc<Published>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.log.when_published(index, move |outcome| drop(answer.send(outcome)));
        match timeout(patience, answered).await {
            Ok(outcome) => Ok(outcome.map_err(|_| Refusal::stopped())??),
            Err(_) => Err(Refusal::unpublished(index)),
        }
    }

    /// The inclusion proof of an entry in a published tree. Not verified.
    pub(crate) async fn prove(&self, index: u64, size: u64) -> Result<Vec<Hash>, Refusal> {
        if let Ok(path) = self.proofs.at_hand(index, size) {
            return Ok(path);
        }
        let proofs = Arc::clone(&self.proofs);
        let task = tokio::task::spawn_blocking(move || proofs.read(index, size));
        task.await.ok().and_then(Result::ok).ok_or_else(Refusal::unproven)
    }

    /// How the log goes.
    pub(crate) fn status(&self) -> Status {
        self.log.status()
    }

    /// Ends it, see [`Log::stop`].
    pub(super) fn stop(&self) -> Option<Arc<LogError>> {
        self.log.stop()
    }
}

/// Judges first among others, so that what is refused never waits for what is being made durable.
fn admit(
    admission: &RwLock<Admission>,
    log: &Log,
    submission: Submission,
    now: Timestamp,
) -> Result<Admitted, LogError> {
    let submissions = [submission];
    admission.read().unwrap_or_else(PoisonError::into_inner).check(&submissions, now)?;
    let mut admission = admission.write().unwrap_or_else(PoisonError::into_inner);
    admission.admit(&mut Through(log), &submissions, now)?.pop().ok_or(LogError::Stopped)
}

/// A running log, for admission.
struct Through<'a>(&'a Log);

impl Entries for Through<'_> {
    fn append(&mut self, entries: Vec<Vec<u8>>, _: Timestamp) -> Result<Vec<u64>, LogError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.0.submit_all(entries, move |outcome| drop(answer.send(outcome)))?;
        let accepted = answered.recv().unwrap_or(Err(LogError::Stopped))?;
        Ok(accepted.into_iter().map(|one| one.index).collect())
    }

    fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        self.0.entry(index)
    }
}
