//! The thread that writes bundles and tiles, and signs.

use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounded::{Load, Taken};
use super::journal::Journaled;
use super::shared::Shared;
use crate::dedup::Generation;
use crate::error::LogError;
use crate::sequencer::{Batch, Growing, Signing, broken};

/// A signature that took in so many entries is followed by a pause of the whole interval.
const MANY_ENTRIES: u64 = 4096;
/// Above this many bytes without a signature there is one, though nobody waits for it: the write-ahead log
/// keeps them.
const MAX_UNSIGNED_BYTES: usize = 8 * 1024 * 1024;

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    growing: Growing,
    signing: Signing,
    /// Complete generations, not all of which are signed yet.
    sealed: VecDeque<Arc<Generation>>,
    /// Bytes of entries that came since the last signature.
    unsigned_bytes: usize,
    /// When there may be the next signature.
    due: Instant,
}

impl Writer {
    pub(super) fn new(growing: Growing, signing: Signing) -> Self {
        Self { growing, signing, sealed: VecDeque::new(), unsigned_bytes: 0, due: Instant::now() }
    }

    /// Works until there will be no more batches, and all are signed.
    pub(super) fn run(mut self, shared: &Shared) -> Result<(), LogError> {
        loop {
            let (batches, closed) = match shared.journaled.take(self.wake_at(shared)) {
                Taken::Items(items) => (self.receive(items), false),
                Taken::Nothing => (Vec::new(), false),
                Taken::Closed => (Vec::new(), true),
            };
            // After a failure nothing more is written.
            if shared.has_failed() {
                return Ok(());
            }
            let mut files = self.growing.add(&batches).map_err(broken)?;
            drop(batches);
            let sign = self.has_unsigned() && (closed || self.may_sign(shared));
            if sign {
                files.extend(self.growing.partial().map_err(broken)?);
            }
            if !files.is_empty() {
                shared.public.objects().put_all_if_absent(&files)?;
            }
            if sign {
                self.sign(shared)?;
            }
            if closed {
                shared.sealed.close();
                shared.end_signing();
                return Ok(());
            }
        }
    }

    fn receive(&mut self, items: Vec<Journaled>) -> Vec<Batch> {
        let receive = |journaled: Journaled| {
            self.unsigned_bytes += journaled.batch.bytes();
            self.sealed.extend(journaled.sealed);
            journaled.batch
        };
        items.into_iter().map(receive).collect()
    }

    fn has_unsigned(&self) -> bool {
        self.growing.size() > self.signing.signed().checkpoint().size()
    }

    fn may_sign(&self, shared: &Shared) -> bool {
        self.unsigned_bytes > MAX_UNSIGNED_BYTES
            || (Instant::now() >= self.due && shared.progress().publisher_is_free())
    }

    /// When to sign, if nothing more comes. The publisher pokes when it is free.
    fn wake_at(&self, shared: &Shared) -> Option<Instant> {
        (self.has_unsigned() && shared.progress().publisher_is_free()).then_some(self.due)
    }

    /// Signs the tree, all of whose files are durable.
    fn sign(&mut self, shared: &Shared) -> Result<(), LogError> {
        let before = self.signing.signed().checkpoint().size();
        self.signing.sign(self.growing.size(), self.growing.root(), (shared.clock)())?;
        let size = self.growing.size();
        shared.signed_size.store(size, Ordering::Release);
        shared.offer_checkpoint(self.signing.signed().clone());
        self.unsigned_bytes = 0;
        self.due = Instant::now() + pause(shared.settings.interval, size - before);
        while self.sealed.front().is_some_and(|generation| generation.end() <= size) {
            let Some(generation) = self.sealed.pop_front() else { break };
            shared.sealed.push(generation, Load { entries: 1, bytes: 0 });
        }
        Ok(())
    }
}

/// How long to wait after a signature that took in so many entries: a signature costs some files, whoever
/// comes next.
fn pause(interval: Duration, entries: u64) -> Duration {
    interval.mul_f64(entries.min(MANY_ENTRIES) as f64 / MANY_ENTRIES as f64)
}
