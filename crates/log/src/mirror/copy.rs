//! Copying a tree: one thread walks down to what each bundle must be, several fetch, hash and put them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use countersign_store::{Dir, Objects as _};
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::Hash;
use countersign_tlog::tile::{BundleId, TILE_WIDTH, TileId};

use super::descent::{Descent, Expected, blame};
use super::source::{self, Source, encode_tile};
use super::{MirrorError, Spent};

/// Most threads that fetch at once.
pub const MAX_PARALLEL: usize = 64;
/// A thread puts its files when it has so many, or so many bytes: few enough for memory, enough to share
/// fsyncs.
const PUT_FILES: usize = 32;
const PUT_BYTES: usize = 8 * 1024 * 1024;
/// Bundles that wait for a thread.
const QUEUE: usize = 256;

/// One copying of a tree into a folder.
pub(super) struct Copying<'a> {
    public: &'a Dir,
    source: &'a dyn Source,
    parallel: usize,
    stop: AtomicBool,
    bytes: AtomicU64,
    resumed: AtomicU64,
    spent: Clocks,
}

/// What a copying did.
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) resumed: u64,
    pub(super) spent: Spent,
}

/// Nanoseconds by what they went to.
#[derive(Default)]
struct Clocks {
    source: AtomicU64,
    hashing: AtomicU64,
    disk: AtomicU64,
}

type Job = (BundleId, Expected);

impl<'a> Copying<'a> {
    pub(super) fn new(public: &'a Dir, source: &'a dyn Source, parallel: usize) -> Self {
        Self {
            public,
            source,
            parallel: parallel.clamp(1, MAX_PARALLEL),
            stop: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            spent: Clocks::default(),
        }
    }

    /// Makes every file of the tree durable, where the one of `from` leaves is there.
    pub(super) fn tree(self, from: u64, tree: &Checkpoint) -> Result<Copied, MirrorError> {
        let mut descent = Descent::new(self.source, tree.size(), tree.root())?;
        let (send, receive) = sync_channel::<Job>(QUEUE);
        let receive = Arc::new(Mutex::new(receive));
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for number in 0..self.parallel {
                let receive = Arc::clone(&receive);
                let name = format!("mirror-{number}");
                let spawned = thread::Builder::new().name(name).spawn_scoped(scope, || self.work(receive));
                workers.push(spawned.map_err(|error| self.no_thread(error))?);
            }
            // The threads have it: when the last one is gone, the walk learns of it.
            drop(receive);
            let walked = self.stopping(self.walk(&mut descent, from, send));
            let worked: Result<Vec<()>, MirrorError> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err(self.panicked())))
                .collect();
            // A thread that failed is why the walk could not go on.
            worked?;
            walked
        })?;
        self.put_tiles(descent.edge().iter().filter(|(id, _)| id.level() > 0))?;
        let duration = |nanoseconds: &AtomicU64| Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        let spent = &self.spent;
        Ok(Copied {
            bytes: self.bytes.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            spent: Spent {
                source: duration(&spent.source),
                hashing: duration(&spent.hashing),
                disk: duration(&spent.disk),
            },
        })
    }

    /// Tells the others to stop if this failed.
    fn stopping<T>(&self, result: Result<T, MirrorError>) -> Result<T, MirrorError> {
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Gives out every bundle that a tree of `from` leaves has not, and puts the full tiles above level 0.
    fn walk(&self, descent: &mut Descent<'_>, from: u64, send: SyncSender<Job>) -> Result<(), MirrorError> {
        for index in from / u64::from(TILE_WIDTH)..descent.bundles() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let job = descent.expected(index)?;
            let fresh = descent.take_fresh();
            self.put_tiles(fresh.iter().map(|(id, hashes)| (id, hashes)))?;
            if send.send(job).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn put_tiles<'t>(
        &self,
        tiles: impl Iterator<Item = (&'t TileId, &'t Vec<Hash>)>,
    ) -> Result<(), MirrorError> {
        let files: Vec<_> = tiles.map(|(id, hashes)| (id.path(), encode_tile(hashes))).collect();
        if files.is_empty() {
            return Ok(());
        }
        self.add_bytes(&files);
        Ok(timed(&self.spent.disk, || self.public.put_all_if_absent(&files))?)
    }

    fn add_bytes(&self, files: &[(String, Vec<u8>)]) {
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes bundles until there are no more. After a failure, here or elsewhere, it takes them and does
    /// nothing: the walk, which waits for room in the queue, must get on to see it.
    fn work(&self, jobs: Arc<Mutex<Receiver<Job>>>) -> Result<(), MirrorError> {
        let mut result = Ok(());
        let mut files = Vec::new();
        let mut waiting = 0;
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((id, expected)) = job else { break };
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            let done = self.bundle(id, &expected, &mut files).and_then(|bytes| {
                waiting += bytes;
                if files.len() < PUT_FILES && waiting < PUT_BYTES {
                    return Ok(());
                }
                waiting = 0;
                self.put(&mut files)
            });
            if done.is_err() {
                result = self.stopping(done);
            }
        }
        // What was fetched is kept also where another thread failed: it is right.
        let put = self.stopping(self.put(&mut files));
        result.and(put)
    }

    fn put(&self, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), MirrorError> {
        if files.is_empty() {
            return Ok(());
        }
        timed(&self.spent.disk, || self.public.put_all_if_absent(files))?;
        files.clear();
        Ok(())
    }

    fn no_thread(&self, error: std::io::Error) -> MirrorError {
        self.stop.store(true, Ordering::Relaxed);
        MirrorError::Thread(error)
    }

    fn panicked(&self) -> MirrorError {
        self.stop.store(true, Ordering::Relaxed);
        MirrorError::Panicked
    }

    /// Adds a bundle and its tile to `files`; returns how many bytes of them were fetched.
    fn bundle(
        &self,
        id: BundleId,
        expected: &Expected,
        files: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<usize, MirrorError> {
        let held = timed(&self.spent.disk, || self.public.get(&id.path()))?;
        let fetched = held.is_none();
        let bytes = match held {
            Some(bytes) => bytes,
            None => timed(&self.spent.source, || source::bundle(self.source, id))?,
        };
        let checked = timed(&self.spent.hashing, || expected.check(id, &bytes));
        let leaves = match checked {
            Ok(Some(leaves)) => leaves,
            _ if !fetched => {
                return Err(MirrorError::Damaged(format!("`{id}` does not hash to its place in the tree")));
            }
            Ok(None) => return Err(blame(self.source, id, &bytes, expected)),
            Err(error) => return Err(error.into()),
        };
        let tile = encode_tile(&leaves);
        let length = bytes.len() + tile.len();
        if fetched {
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        } else {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        // Also what is there: whoever put it may have died before it was durable.
        files.push((id.path(), bytes));
        files.push((id.tile().path(), tile));
        Ok(length)
    }
}

fn timed<T>(clock: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    clock.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    done
}
