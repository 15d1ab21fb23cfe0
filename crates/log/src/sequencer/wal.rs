//! The write-ahead log: entries become durable here before their indices are told to anyone.
//!
//! Two files, each a segment ([`super::record`]). One is written to. When it is full and a signed tree covers
//! all that is in the other, the other is written over from its beginning. Writing over blocks that a file
//! has already is what a disk does fastest: the file system has nothing of its own to make durable.
//!
//! What is read at opening is written to a new file before anything rests on it: what the last process wrote
//! may be in the page cache only (its sync may have failed, and a second one would lie). Where a signed tree
//! covers all of it nothing rests on it, and the new file waits for the first record: opening alone changes
//! nothing on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_store::{Disk, DiskFile, StoreError, durable};

use super::batch::Batch;
use super::record::{self, BLOCK, MAX_RECORD_BYTES, Nonce, record_len};
use crate::error::{LogError, random};

/// Above this length a file is full.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// Up to this length a file keeps what signed trees cover: it costs nothing, and helps where one is lost.
const KEEP_BYTES: u64 = 256 * 1024;
/// Largest file that is read: a full one, what may wait for tiles, and more.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
const FIRST: &str = "wal";
const SECOND: &str = "wal-2";

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalError {
    #[error(transparent)]
    Failed(#[from] LogError),
    /// A record that was durable once is damaged.
    #[error("`{}` is damaged at byte {at}", .path.display())]
    Damaged {
        path: PathBuf,
        /// Its offset in bytes.
        at: usize,
    },
    /// What is in the files does not go on where the signed tree ends.
    #[error(
        "the signed checkpoint covers {signed} entries, and the write-ahead log goes on with entry {next}"
    )]
    Gap {
        /// Entries of the signed tree, or of the batches before.
        signed: u64,
        /// Index of the batch that should have begun there.
        next: u64,
    },
}

impl From<StoreError> for WalError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// The files, open for more records.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// What is written to; none before the first record if nothing had to be kept.
    current: Option<Segment>,
    /// What will be written to next, if there is one yet.
    next: Option<Segment>,
    /// What the first file goes on with although a signed tree covers it.
    kept: Vec<Batch>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: DiskFile,
    nonce: Nonce,
    /// Where the next record goes.
    len: u64,
    /// Index after the last entry in it.
    end: u64,
}

impl Wal {
    /// Opens the files in `folder` and returns the batches that a signed tree of `signed` entries does not
    /// cover, in order. They are durable when this returns.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        signed: u64,
    ) -> Result<(Self, Vec<Batch>), WalError> {
        let mut batches = Vec::new();
        for name in [FIRST, SECOND] {
            batches.extend(read(&folder.join(name), signed)?);
        }
        let mut kept = in_order(batches, signed)?;
        let mut wal = Self { disk, folder: folder.to_owned(), current: None, next: None, kept: Vec::new() };
        let awaited: Vec<Batch> = kept.iter().filter(|batch| batch.end() > signed).cloned().collect();
        if awaited.is_empty() {
            wal.kept = kept;
        } else {
            wal.current = Some(wal.begin(&mut kept)?);
        }
        Ok((wal, awaited))
    }

    /// Makes a batch durable. `signed` entries are under a signed tree. After an error the files must be
    /// opened again.
    pub(crate) fn append(&mut self, batch: &mut Batch, signed: u64) -> Result<(), LogError> {
        let current = match self.current.take() {
            Some(full) if full.len >= SEGMENT_BYTES => self.turn(full, signed)?,
            Some(current) => current,
            None => {
                let mut kept = core::mem::take(&mut self.kept);
                self.begin(&mut kept)?
            }
        };
        let Segment { path, file, nonce, len, end } = self.current.insert(current);
        let written = record::with_record(*nonce, batch, |bytes| {
            self.disk.write_at(file, *len, bytes).map_err(StoreError::io("write", path))
        });
        written?;
        self.disk.sync(file).map_err(StoreError::io("sync", path))?;
        *len += record_len(batch.bytes()) as u64;
        *end = batch.end();
        Ok(())
    }

    /// Goes on in the other file, if nothing rests on what is in it; else in the full one.
    fn turn(&mut self, full: Segment, signed: u64) -> Result<Segment, LogError> {
        let mut next = match self.next.take() {
            Some(next) => next,
            None => Segment::begin(&*self.disk, &self.folder.join(SECOND), &mut [])?,
        };
        if next.end > signed {
            self.next = Some(next);
            return Ok(full);
        }
        next.len = BLOCK as u64;
        self.next = Some(full);
        Ok(next)
    }

    /// The first file anew, with these batches: all that the files had.
    fn begin(&self, batches: &mut [Batch]) -> Result<Segment, LogError> {
        let segment = Segment::begin(&*self.disk, &self.folder.join(FIRST), batches)?;
        let second = self.folder.join(SECOND);
        if second.exists() {
            durable::remove(&*self.disk, &second)?;
        }
        Ok(segment)
    }
}

impl Segment {
    /// Puts a new file with these batches in place of what is at `path`.
    fn begin(disk: &dyn Disk, path: &Path, batches: &mut [Batch]) -> Result<Self, LogError> {
        let nonce = Nonce(random()?);
        let mut bytes = record::head(nonce);
        for batch in batches.iter_mut() {
            record::with_record(nonce, batch, |record| bytes.extend_from_slice(record));
        }
        durable::write_atomic(disk, path, &bytes, 0o600)?;
        let file = disk.open_write(path).map_err(StoreError::io("open", path))?;
        let end = batches.last().map_or(0, Batch::end);
        Ok(Self { path: path.to_owned(), file, nonce, len: bytes.len() as u64, end })
    }
}

fn read(path: &Path, signed: u64) -> Result<Vec<Batch>, WalError> {
    let Some(bytes) = durable::read(path, MAX_FILE_BYTES)? else { return Ok(Vec::new()) };
    let damaged = |at| WalError::Damaged { path: path.to_owned(), at };
    Ok(record::parse(&bytes, signed, bytes.len() as u64 <= KEEP_BYTES).map_err(damaged)?.batches)
}

/// Every entry that the files in `folder` still have, with its index, also of what signed trees cover: for a
/// repair, which believes none of it. A file that does not read has none.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let mut found = Vec::new();
    for name in [FIRST, SECOND] {
        let Some(bytes) = durable::read(&folder.join(name), MAX_FILE_BYTES)? else { continue };
        let batches = record::parse(&bytes, 0, true).map_or_else(|_| Vec::new(), |parsed| parsed.batches);
        for batch in batches {
            found.extend((batch.first()..).zip(batch.entries().map(<[u8]>::to_vec)));
        }
    }
    Ok(found)
}

/// The batches one after the other, each once. Covered ones stay only if nothing is missing behind them.
fn in_order(mut batches: Vec<Batch>, signed: u64) -> Result<Vec<Batch>, WalError> {
    batches.sort_by_key(Batch::first);
    let mut kept: Vec<Batch> = Vec::new();
    for batch in batches {
        // A crash after the new file was there and before the old one was gone leaves both.
        if kept.last().is_some_and(|last| batch.end() <= last.end()) {
            continue;
        }
        let end = kept.last().map(Batch::end);
        if batch.end() > signed {
            // Batches are signed whole, so one that is not signed begins where the others end. A gap means
            // that the checkpoint and tiles are older than the write-ahead log has seen them.
            let from = end.map_or(signed, |end| end.max(signed));
            if batch.first() != from {
                return Err(WalError::Gap { signed: from, next: batch.first() });
            }
        }
        if end.is_some_and(|end| end != batch.first()) {
            kept.clear();
        }
        kept.push(batch);
    }
    Ok(kept)
}

/// Whether an entry can still be put into the record of this batch.
pub(crate) fn fits(batch: &Batch, entry: &[u8]) -> bool {
    batch.is_empty() || batch.bytes() + entry.len() + 2 <= MAX_RECORD_BYTES
}
