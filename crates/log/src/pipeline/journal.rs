//! The thread that gives indices and makes entries durable.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use countersign_tlog::merkle::Hash;

use super::bounded::{Load, Taken};
use super::shared::Shared;
use super::{Accepted, Done};
use crate::dedup::{Dedup, Generation};
use crate::error::LogError;
use crate::read;
use crate::sequencer::{self, Batch, add};

/// Entries that somebody wants in the log.
pub(super) struct Offer {
    /// With their leaf hashes.
    pub(super) entries: Vec<(Hash, Vec<u8>)>,
    pub(super) done: Done<Vec<Accepted>>,
}

/// What is durable and on its way into tiles.
#[derive(Debug)]
pub(super) struct Journaled {
    pub(super) batch: Batch,
    /// Generations that are complete by it.
    pub(super) sealed: Vec<Arc<Generation>>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Journal {
    store: sequencer::Journal,
    dedup: Dedup,
    /// Index of the next new entry.
    next: u64,
}

impl Journal {
    pub(super) const fn new(store: sequencer::Journal, dedup: Dedup, next: u64) -> Self {
        Self { store, dedup, next }
    }

    /// Works until there will be no more offers, and all are answered.
    pub(super) fn run(mut self, shared: &Shared) -> Result<(), LogError> {
        loop {
            match shared.offers.take(None) {
                Taken::Items(offers) => self.take(offers, shared)?,
                Taken::Nothing => {}
                Taken::Closed => break,
            }
        }
        shared.journaled.close();
        Ok(())
    }

    fn take(&mut self, offers: Vec<Offer>, shared: &Shared) -> Result<(), LogError> {
        let (offers, done): (Vec<_>, Vec<_>) =
            offers.into_iter().map(|offer| (offer.entries, offer.done)).unzip();
        let durable =
            if shared.has_failed() { Err(LogError::Stopped) } else { self.make_durable(offers, shared) };
        let (accepted, journaled) = match durable {
            Ok(durable) => durable,
            Err(error) => {
                done.into_iter().for_each(|done| done(Err(LogError::Stopped)));
                return Err(error);
            }
        };
        shared.acknowledged.store(self.next, Ordering::Release);
        for (done, accepted) in done.into_iter().zip(accepted) {
            done(Ok(accepted));
        }
        for journaled in journaled {
            let load = Load { entries: journaled.batch.len(), bytes: journaled.batch.bytes() };
            // Waits while too much has no tiles yet. Then the queue fills, and those who submit are told.
            shared.journaled.push(journaled, load);
        }
        Ok(())
    }

    /// Gives each entry its index. What is new is durable when this returns.
    fn make_durable(
        &mut self,
        offers: Vec<Vec<(Hash, Vec<u8>)>>,
        shared: &Shared,
    ) -> Result<(Vec<Vec<Accepted>>, Vec<Journaled>), LogError> {
        self.dedup.forget();
        let mut batches = vec![Batch::new(self.next)];
        let mut sealed = Vec::new();
        let mut duplicates = 0;
        let mut answers = Vec::with_capacity(offers.len());
        for offer in offers {
            let mut accepted = Vec::with_capacity(offer.len());
            for (leaf, entry) in offer {
                let known =
                    self.dedup.find(&leaf, |index| read::holds(shared.public.objects(), index, &leaf))?;
                let index = match known {
                    Some(index) => index,
                    None => {
                        let index = add(&mut batches, &entry, leaf)?;
                        sealed.extend(self.dedup.insert(leaf, index));
                        index
                    }
                };
                duplicates += u64::from(known.is_some());
                accepted.push(Accepted { index, duplicate: known.is_some() });
            }
            answers.push(accepted);
        }
        let signed = shared.signed_size.load(Ordering::Acquire);
        batches.retain(|batch| !batch.is_empty());
        for batch in &mut batches {
            self.store.append(batch, signed)?;
            self.next = batch.end();
        }
        shared.batches.fetch_add(batches.len() as u64, Ordering::Relaxed);
        shared.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        let mut journaled: Vec<Journaled> =
            batches.into_iter().map(|batch| Journaled { batch, sealed: Vec::new() }).collect();
        if let Some(last) = journaled.last_mut() {
            last.sealed = sealed;
        }
        Ok((answers, journaled))
    }
}
