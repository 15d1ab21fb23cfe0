//! Proves a whole log from its files, wherever they are: one thread walks down from the root, several read
//! and hash.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use countersign_tlog::Checkpoint;
use countersign_tlog::tile::{BundleId, TILE_WIDTH, TileError};

use super::FsckReport;
use crate::mirror::descent::{Descent, Expected, blame};
use crate::mirror::source::{self, Source};
use crate::mirror::{MAX_PARALLEL, MirrorError};
use crate::tree::Proven;
use crate::trust::{Trust, Trusted};

/// Bundles that wait for a thread.
const QUEUE: usize = 64;

/// Proves the log that `source` shows, with up to `parallel` threads (at most [`MAX_PARALLEL`]), in bounded
/// memory.
///
/// Every file that the checkpoint requires is fetched and proven. What else lies there cannot be seen from
/// outside, so [`FsckReport::older`] and [`FsckReport::ahead`] are 0. `progress` is told how many entry
/// bundles are proven, and of how many.
///
/// # Errors
/// `log-tile-missing`, `log-tile-mismatch` naming the file; codes of the checkpoint's parser, of the keys or
/// of the policy; the source's.
pub fn fsck_source(
    source: &dyn Source,
    trust: Trust<'_>,
    parallel: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FsckReport, MirrorError> {
    let Trusted { signed, witnesses, .. } = trust.open(&source::checkpoint(source)?)?;
    let tree = signed.checkpoint();
    let proven = prove(source, tree, parallel, progress)?;
    Ok(FsckReport::new(tree, &proven, witnesses))
}

/// Proves every file that the checkpoint, which is trusted, requires.
pub(super) fn prove(
    source: &dyn Source,
    tree: &Checkpoint,
    parallel: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Proven, MirrorError> {
    let mut descent = Descent::new(source, tree.size(), tree.root())?;
    let bundles = descent.bundles();
    let proving = Proving { source, stop: AtomicBool::new(false), done: AtomicU64::new(0) };
    let above = proving.all(&mut descent, parallel.clamp(1, MAX_PARALLEL), progress)?;
    progress(bundles, bundles);
    let full_bundles = tree.size() / u64::from(TILE_WIDTH);
    Ok(Proven { tiles: descent.edge().len() as u64 + above + full_bundles, bundles })
}

/// A bundle and what it must be.
type Job = (BundleId, Expected);

struct Proving<'s> {
    source: &'s dyn Source,
    stop: AtomicBool,
    done: AtomicU64,
}

impl Proving<'_> {
    /// Proves everything below the partial tiles; returns how many full tiles above level 0 there are.
    fn all(
        &self,
        descent: &mut Descent<'_>,
        parallel: usize,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, MirrorError> {
        let (send, receive) = sync_channel::<Job>(QUEUE);
        let receive = Arc::new(Mutex::new(receive));
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for number in 0..parallel {
                let receive = Arc::clone(&receive);
                let builder = thread::Builder::new().name(format!("fsck-{number}"));
                match builder.spawn_scoped(scope, || self.work(receive)) {
                    Ok(worker) => workers.push(worker),
                    // Fewer do as well, only not none.
                    Err(_) if !workers.is_empty() => break,
                    Err(error) => return Err(MirrorError::Thread(error)),
                }
            }
            // The threads have it: when the last one is gone, the walk learns of it.
            drop(receive);
            let walked = self.walk(descent, send, progress);
            if walked.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            let lost = || MirrorError::Panicked;
            let faults = workers.into_iter().filter_map(|worker| match worker.join() {
                Ok(fault) => fault,
                Err(_) => Some((0, lost())),
            });
            // The leftmost fault, whichever thread was first; a thread that failed is why the walk could not
            // go on.
            match faults.min_by_key(|(place, _)| *place) {
                Some((_, fault)) => Err(fault),
                None => walked,
            }
        })
    }

    fn walk(
        &self,
        descent: &mut Descent<'_>,
        send: SyncSender<Job>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, MirrorError> {
        let mut above = 0;
        for index in 0..descent.bundles() {
            let job = descent.expected(index)?;
            above += descent.take_fresh().len() as u64;
            if send.send(job).is_err() || self.stop.load(Ordering::Relaxed) {
                break;
            }
            progress(self.done.load(Ordering::Relaxed), descent.bundles());
        }
        Ok(above)
    }

    /// Takes bundles until there are no more; the first that is wrong, with its number, ends it. The others
    /// are taken and left alone then: the walk, which waits for room in the queue, must get on to see it.
    fn work(&self, jobs: Arc<Mutex<Receiver<Job>>>) -> Option<(u64, MirrorError)> {
        let mut fault = None;
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((id, expected)) = job else { return fault };
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            match self.prove(id, &expected) {
                Ok(()) => drop(self.done.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    fault = Some((id.index(), error));
                }
            }
        }
    }

    /// A bundle, and the tile over it unless the walk has read that.
    fn prove(&self, id: BundleId, expected: &Expected) -> Result<(), MirrorError> {
        let bytes = source::bundle(self.source, id)?;
        let leaves = expected.check(id, &bytes)?;
        let leaves = leaves.ok_or_else(|| blame(self.source, id, &bytes, expected))?;
        if id.is_full() && source::tile(self.source, id.tile())? != leaves {
            return Err(TileError::Mismatch { tile: id.tile() }.into());
        }
        Ok(())
    }
}
