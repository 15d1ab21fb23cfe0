//! A run: the leaf hashes of a stretch of the log, sorted.
//!
//! `index/<level>/<number>` in the private folder covers entries `number * span ..` where `span` is 65,536
//! times 16 to the power of the level. It is the line `countersign-index 1\n`, then 12 bytes a leaf hash: its
//! first 8 bytes, and where it is, counted from the run's beginning; both big-endian, in this order sorted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use countersign_store::durable::Staged;
use countersign_store::{Dir, Objects as _, StoreError, durable};
use countersign_tlog::merkle::Hash;

use crate::tree::SPAN;

/// Runs that become one of the next level.
const MERGED: u64 = 16;
/// Highest level: its runs have 2^32 entries, and more do not fit into four bytes.
const MAX_LEVEL: u8 = 4;
const FOLDER: &str = "index";
const MAGIC: &[u8] = b"countersign-index 1\n";
const RECORD: usize = 12;
/// Records read at once: where a hash is expected is seldom wrong by more.
const WINDOW: u64 = 341;

/// A run, open for reading.
#[derive(Debug)]
pub(super) struct Run {
    level: u8,
    number: u64,
    file: File,
    /// Number of records.
    count: u64,
}

/// Entries that a run of this level covers.
const fn span(level: u8) -> u64 {
    SPAN * MERGED.pow(level as u32)
}

fn name(level: u8, number: u64) -> String {
    format!("{FOLDER}/{level}/{number}")
}

/// All runs of a log of `size` entries that are there, in order; those that larger ones replace are removed.
pub(super) fn list(private: &Dir, size: u64) -> Result<Vec<Arc<Run>>, StoreError> {
    let mut found: Vec<(u8, u64)> = Vec::new();
    for path in private.list(FOLDER)? {
        let parsed = path.strip_prefix(FOLDER).and_then(|rest| {
            let (level, number) = rest.strip_prefix('/')?.split_once('/')?;
            Some((level.parse().ok().filter(|level| *level <= MAX_LEVEL)?, number.parse().ok()?))
        });
        found.extend(parsed.filter(|(level, number)| name(*level, *number) == path));
    }
    // Larger ones first.
    found.sort_by_key(|(level, number)| (Reverse(*level), *number));
    let mut runs: Vec<Arc<Run>> = Vec::new();
    for (level, number) in found {
        let within = number.checked_add(1).and_then(|next| next.checked_mul(span(level)));
        let replaced =
            runs.iter().any(|run| (run.first()..run.end()).contains(&number.saturating_mul(span(level))));
        let run = Run::open(private, level, number)?;
        match run {
            // One beyond the log is of another history.
            Some(run) if within.is_some_and(|end| end <= size) && !replaced => runs.push(Arc::new(run)),
            _ => {
                durable::remove(&**private.disk(), &private.path(&name(level, number))?)?;
            }
        }
    }
    runs.sort_by_key(|run| run.first());
    Ok(runs)
}

/// The first runs that can be merged.
pub(super) fn mergeable(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    runs.windows(MERGED as usize).find_map(|parts| {
        let first = parts.first()?;
        let alike = (first.number..)
            .zip(parts)
            .all(|(number, part)| (part.level, part.number) == (first.level, number));
        (alike && first.number % MERGED == 0 && first.level < MAX_LEVEL).then(|| parts.to_vec())
    })
}

impl Run {
    /// Opens a run; `None` if it is no such file.
    fn open(private: &Dir, level: u8, number: u64) -> Result<Option<Self>, StoreError> {
        let path = private.path(&name(level, number))?;
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        let length = file.metadata().map_err(StoreError::io("read", &path))?.len();
        let mut magic = [0; MAGIC.len()];
        let good = file.read_exact_at(&mut magic, 0).is_ok() && magic == MAGIC;
        let records = length.saturating_sub(MAGIC.len() as u64);
        let count = records / RECORD as u64;
        let fits = records.is_multiple_of(RECORD as u64) && (1..=span(level)).contains(&count);
        Ok((good && fits).then_some(Self { level, number, file, count }))
    }

    fn opened(private: &Dir, level: u8, number: u64) -> Result<Self, StoreError> {
        let path = private.path(&name(level, number))?;
        let changed = || StoreError::io("read back", &path)(io::ErrorKind::InvalidData.into());
        Self::open(private, level, number)?.ok_or_else(changed)
    }

    /// Makes the run of a generation durable.
    pub(super) fn make(private: &Dir, number: u64, mut places: Vec<(Hash, u32)>) -> Result<Self, StoreError> {
        places.sort_unstable();
        let mut bytes = MAGIC.to_vec();
        bytes.reserve(places.len() * RECORD);
        for (leaf, place) in places {
            bytes.extend_from_slice(&leaf.0[..8]);
            bytes.extend_from_slice(&place.to_be_bytes());
        }
        private.replace(&name(0, number), &bytes)?;
        Self::opened(private, 0, number)
    }

    /// Makes the run that stands for these, which are side by side, durable.
    pub(super) fn merge(private: &Dir, parts: &[Arc<Self>]) -> Result<Self, StoreError> {
        let (level, number) = parts.first().map_or((0, 0), |part| (part.level + 1, part.number / MERGED));
        let path = private.path(&name(level, number))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::create_dir_all(&**private.disk(), folder)?;
        let failed = |error: io::Error| StoreError::io("merge into", &path)(error);
        let mut staged = Staged::create(&**private.disk(), folder, 0o600)?;
        let mut out = BufWriter::with_capacity(256 * 1024, &mut staged);
        merge_records(parts, &mut out).map_err(failed)?;
        out.flush().map_err(failed)?;
        drop(out);
        staged.replace(&path)?;
        Self::opened(private, level, number)
    }

    /// Removes the file; who has it open reads on. Not synced: one that comes back is removed at opening.
    pub(super) fn remove(&self, private: &Dir) -> Result<(), StoreError> {
        let path = private.path(&name(self.level, self.number))?;
        private.disk().remove_file(&path).map_err(StoreError::io("remove", &path))
    }

    /// Index of the first entry that it covers.
    pub(super) const fn first(&self) -> u64 {
        self.number * span(self.level)
    }

    /// Index after the last entry that it covers.
    pub(super) const fn end(&self) -> u64 {
        self.first() + span(self.level)
    }

    /// Where the leaf hash may be, ascending.
    ///
    /// Hashes are spread evenly, so the place of one is known within a few hundred records.
    pub(super) fn candidates(&self, leaf: &Hash) -> Result<Vec<u64>, StoreError> {
        let Some(key) = leaf.0.first_chunk().map(|key| u64::from_be_bytes(*key)) else {
            return Ok(Vec::new());
        };
        let (mut low, mut high) = (0, self.count);
        let mut found = Vec::new();
        // Records before `low` are smaller, those from `high` on larger than the key.
        let mut guess = scale(key, self.count);
        while low < high {
            let from = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
            let records = self.records(from, (high - from).min(WINDOW))?;
            let (Some(first), Some(last)) = (records.first(), records.last()) else { break };
            let to = from + records.len() as u64;
            if key < first.0 {
                high = from;
                guess = from.saturating_sub(scale(first.0 - key, self.count));
            } else if key > last.0 {
                low = to;
                guess = to + scale(key - last.0, self.count);
            } else if key == first.0 && from > low {
                // There may be equal ones before.
                guess = from.saturating_sub(WINDOW / 4);
                high = high.min(to);
            } else {
                let equal = records.iter().filter(|(record, _)| *record == key);
                found.extend(equal.map(|(_, place)| self.first() + u64::from(*place)));
                break;
            }
        }
        Ok(found)
    }

    fn records(&self, from: u64, count: u64) -> Result<Vec<(u64, u32)>, StoreError> {
        let mut bytes = vec![0; count as usize * RECORD];
        let at = MAGIC.len() as u64 + from * RECORD as u64;
        let name = name(self.level, self.number);
        self.file.read_exact_at(&mut bytes, at).map_err(StoreError::io("read", Path::new(&name)))?;
        Ok(bytes.as_chunks::<RECORD>().0.iter().map(record).collect())
    }
}

/// `count` times the part of all keys that `key` is.
const fn scale(key: u64, count: u64) -> u64 {
    ((key as u128 * count as u128) >> 64) as u64
}

fn record(bytes: &[u8; RECORD]) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, place @ ..] = *bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes(place))
}

fn merge_records(parts: &[Arc<Run>], out: &mut impl io::Write) -> io::Result<()> {
    out.write_all(MAGIC)?;
    let mut readers = Vec::new();
    let mut heap = BinaryHeap::new();
    for (place, part) in parts.iter().enumerate() {
        let mut reader = BufReader::with_capacity(64 * 1024, At { file: &part.file, at: MAGIC.len() as u64 });
        if let Some((key, offset)) = next(&mut reader)? {
            heap.push(Reverse((key, place, offset)));
        }
        readers.push(reader);
    }
    let each = parts.first().map_or(0, |part| span(part.level)) as u32;
    while let Some(Reverse((key, place, offset))) = heap.pop() {
        out.write_all(&key.to_be_bytes())?;
        out.write_all(&(place as u32 * each + offset).to_be_bytes())?;
        if let Some((key, offset)) = next(&mut readers[place])? {
            heap.push(Reverse((key, place, offset)));
        }
    }
    Ok(())
}

fn next(reader: &mut impl io::Read) -> io::Result<Option<(u64, u32)>> {
    let mut bytes = [0; RECORD];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(record(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file from a place on, whoever else reads it.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
