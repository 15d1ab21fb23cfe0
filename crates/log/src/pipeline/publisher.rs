//! The thread that has signed trees cosigned, and publishes them.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use countersign_tlog::SignedCheckpoint;
use countersign_tlog::policy::Policy;

use super::panel::Panel;
use super::shared::Shared;
use super::{Failing, Publication, Published};
use crate::cosign::Wait;
use crate::error::LogError;
use crate::sequencer::publication;
use crate::tree::CHECKPOINT;

/// What the thread owns.
pub(super) struct Publisher {
    quorum: Option<(Policy, Panel)>,
    /// What failed to be published.
    unpublished: Option<Arc<SignedCheckpoint>>,
    /// When to try again, and how long it was waited.
    retry: Option<(Instant, Duration)>,
    /// When it was published last.
    published_at: Instant,
}

impl Publisher {
    pub(super) fn new(mode: Publication) -> Result<Self, LogError> {
        let quorum = match mode {
            Publication::Unwitnessed => None,
            Publication::Witnessed { policy, cosigners } => Some((policy, Panel::new(cosigners)?)),
        };
        Ok(Self { quorum, unpublished: None, retry: None, published_at: Instant::now() })
    }

    /// Offers the tree as it is to all witnesses, before an entry is taken in.
    ///
    /// A storage that was put back to an older state is seen by them alone. If that came out only when the first new
    /// tree is published, entries would be acknowledged by then whose indices others have, and a fork signed.
    pub(super) fn look_back(&mut self, shared: &Shared) -> Result<(), LogError> {
        let signed = Arc::clone(&shared.progress().signed);
        if self.quorum.is_none() || signed.checkpoint().size() == 0 {
            return Ok(());
        }
        shared.progress().offered = None;
        let outcome = self.publish(&signed, Wait::All, shared).map_err(|error| shared.explain(error));
        self.conclude(signed, outcome, shared)
    }

    /// Works until the writer has ended and what it signed is published, or can't be in time.
    pub(super) fn run(mut self, shared: &Shared) -> Result<(), LogError> {
        while let Some(signed) = self.next(shared) {
            let outcome = self.publish(&signed, Wait::Enough, shared).map_err(|error| shared.explain(error));
            self.conclude(signed, outcome, shared)?;
        }
        shared.end();
        Ok(())
    }

    /// Waits for something to publish; `None` when there will be nothing more.
    fn next(&mut self, shared: &Shared) -> Option<Arc<SignedCheckpoint>> {
        let mut progress = shared.progress();
        loop {
            let now = Instant::now();
            if progress.failure.is_some() {
                return None;
            }
            if let Some(closed) = progress.closed
                && (now >= closed + shared.settings.stop_within
                    || (self.unpublished.is_none() && progress.offered.is_none()))
            {
                return None;
            }
            let due = match self.retry {
                Some((at, _)) => Some(at),
                None if progress.offered.is_some() => Some(now),
                None => shared
                    .settings
                    .renew
                    .filter(|_| self.quorum.is_some())
                    .map(|every| self.published_at + every),
            };
            if due.is_some_and(|due| due <= now) {
                let newest = progress.offered.take().or_else(|| self.unpublished.take());
                progress.publishing = true;
                return Some(newest.unwrap_or_else(|| Arc::clone(&progress.signed)));
            }
            let until = [due, progress.closed.map(|closed| closed + shared.settings.stop_within)];
            progress = match until.into_iter().flatten().min() {
                None => shared.changed.wait(progress).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let time = until.saturating_duration_since(now);
                    shared.changed.wait_timeout(progress, time).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn publish(
        &mut self,
        signed: &SignedCheckpoint,
        wait: Wait,
        shared: &Shared,
    ) -> Result<Published, LogError> {
        let bytes = match &mut self.quorum {
            None => signed.encode(),
            Some((policy, panel)) => {
                let before = shared.progress().published.clone();
                let before = before.as_ref().map(|published| &published.signed);
                publication(
                    shared.public.objects(),
                    before,
                    signed,
                    panel,
                    wait,
                    &[policy],
                    (shared.clock)(),
                )?
            }
        };
        shared.public.publish(&bytes, signed)?;
        let signed = SignedCheckpoint::parse(&bytes)
            .map_err(|source| LogError::Checkpoint { place: CHECKPOINT.to_owned(), source })?;
        Ok(Published { bytes, signed })
    }

    fn conclude(
        &mut self,
        signed: Arc<SignedCheckpoint>,
        outcome: Result<Published, LogError>,
        shared: &Shared,
    ) -> Result<(), LogError> {
        match outcome {
            Ok(published) => {
                (self.unpublished, self.retry, self.published_at) = (None, None, Instant::now());
                shared.publish(published);
                Ok(())
            }
            Err(error @ LogError::Quorum { .. }) => {
                let settings = &shared.settings;
                let wait = match self.retry {
                    None => settings.retry_first,
                    Some((_, before)) => before.saturating_mul(2).min(settings.retry_longest),
                };
                self.unpublished = Some(signed);
                self.retry = Some((Instant::now() + wait, wait));
                shared.note_failing(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    fn note_failing(&self, error: LogError) {
        let mut progress = self.progress();
        progress.publishing = false;
        let before = progress.failing.take();
        progress.failing = Some(Failing {
            attempts: before.as_ref().map_or(0, |before| before.attempts).saturating_add(1),
            since: before.map_or_else(Instant::now, |before| before.since),
            error: Arc::new(error),
        });
        drop(progress);
        self.journaled.poke();
    }
}
