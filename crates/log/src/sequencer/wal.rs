//! The write-ahead log: entries become durable here before their indices are told to anyone.
//!
//! The file is the line `countersign-wal 1`, then one record a batch:
//!
//! ```text
//! u32    length of the body
//! u32    its complement
//! body   u64 index of the first entry, then each entry as u16 length and bytes
//! [32]   SHA-256 of the body
//! ```
//!
//! Numbers are big-endian. A record is written with one write and one fsync, and after a failure nothing is
//! written until the file is reopened. So only the last record can be torn, and a torn one was never
//! acknowledged: reading drops it. A bad record with more data behind it was damaged later and is an error; the
//! complement is there so that a damaged length does not swallow the records behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_crypto::sha256;
use countersign_store::{Disk, DiskFile, StoreError, durable};

const MAGIC: &[u8] = b"countersign-wal 1\n";
const HEADER_LEN: usize = 8;
const DIGEST_LEN: usize = 32;
/// Largest file, in bytes: a reset at [`RESET_BYTES`] and one more batch stay far below.
const MAX_WAL_BYTES: u64 = 256 * 1024 * 1024;
/// Above this size a file whose entries are all in signed tiles is begun anew.
pub(super) const RESET_BYTES: u64 = 4 * 1024 * 1024;

/// Entries that were acknowledged together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Index of the first entry.
    pub(super) first: u64,
    pub(super) entries: Vec<Vec<u8>>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that was durable once is damaged. Carries its offset in bytes.
    #[error("damaged record at byte {0}")]
    Damaged(usize),
}

/// The file, open for more records.
#[derive(Debug)]
pub(super) struct Wal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: DiskFile,
    len: u64,
}

impl Wal {
    /// Opens the file, creating it if needed, and returns the batches in it.
    ///
    /// Batches are durable when this returns: they are written to a new file first, because what the last
    /// process wrote may be in the page cache only (its fsync may have failed, and a second one would lie).
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<(Self, Vec<Batch>), WalError> {
        let batches = match durable::read(path, MAX_WAL_BYTES)? {
            Some(bytes) => parse(&bytes)?,
            None => Vec::new(),
        };
        let (file, len) = begin(&*disk, path, &batches)?;
        Ok((Self { disk, path: path.to_owned(), file, len }, batches))
    }

    /// Makes a batch durable. After an error the file must be opened again.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let record = record(batch);
        self.disk.write(&mut self.file, &record).map_err(StoreError::io("write", &self.path))?;
        self.disk.sync(&self.file).map_err(StoreError::io("sync", &self.path))?;
        self.len += record.len() as u64;
        Ok(())
    }

    /// Forgets all batches; call it when a signed checkpoint covers them.
    pub(super) fn reset(&mut self) -> Result<(), StoreError> {
        (self.file, self.len) = begin(&*self.disk, &self.path, &[])?;
        Ok(())
    }

    /// Length of the file in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }
}

/// Replaces the file by one with these batches and opens it.
fn begin(disk: &dyn Disk, path: &Path, batches: &[Batch]) -> Result<(DiskFile, u64), StoreError> {
    let mut bytes = MAGIC.to_vec();
    for batch in batches {
        bytes.extend(record(batch));
    }
    durable::write_atomic(disk, path, &bytes, 0o600)?;
    let file = disk.open_append(path).map_err(StoreError::io("open", path))?;
    Ok((file, bytes.len() as u64))
}

fn record(batch: &Batch) -> Vec<u8> {
    let body_len = 8 + batch.entries.iter().map(|entry| entry.len() + 2).sum::<usize>();
    let mut record = Vec::with_capacity(HEADER_LEN + body_len + DIGEST_LEN);
    record.extend((body_len as u32).to_be_bytes());
    record.extend((!(body_len as u32)).to_be_bytes());
    record.extend(batch.first.to_be_bytes());
    for entry in &batch.entries {
        record.extend((entry.len() as u16).to_be_bytes());
        record.extend(entry);
    }
    let digest = sha256(&record[HEADER_LEN..]);
    record.extend(digest.as_bytes());
    record
}

fn parse(bytes: &[u8]) -> Result<Vec<Batch>, WalError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(WalError::Damaged(0))?;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        match split_record(rest) {
            Record::Whole(batch, after) => {
                batches.push(batch);
                rest = after;
            }
            Record::Torn => break,
            Record::Damaged => return Err(WalError::Damaged(bytes.len() - rest.len())),
        }
    }
    Ok(batches)
}

enum Record<'a> {
    Whole(Batch, &'a [u8]),
    /// The file ends in it, or with it.
    Torn,
    Damaged,
}

fn split_record(bytes: &[u8]) -> Record<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Record::Torn };
    let [a, b, c, d, complement @ ..] = *header;
    let length = u32::from_be_bytes([a, b, c, d]);
    if *header == [0; HEADER_LEN] {
        // The file's new length reached the disk and its bytes did not.
        return Record::Torn;
    }
    if length != !u32::from_be_bytes(complement) {
        return Record::Damaged;
    }
    let length = length as usize;
    if rest.len() < length.saturating_add(DIGEST_LEN) {
        return Record::Torn;
    }
    let (body, rest) = rest.split_at(length);
    let (digest, rest) = rest.split_at(DIGEST_LEN);
    match (sha256(body).as_bytes() == digest).then(|| parse_body(body)).flatten() {
        Some(batch) => Record::Whole(batch, rest),
        None if rest.is_empty() => Record::Torn,
        None => Record::Damaged,
    }
}

fn parse_body(body: &[u8]) -> Option<Batch> {
    let (first, mut rest) = body.split_first_chunk::<8>()?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length) as usize)?;
        entries.push(entry.to_vec());
        rest = after;
    }
    Some(Batch { first: u64::from_be_bytes(*first), entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: u64, count: usize) -> Batch {
        Batch { first, entries: (0..count).map(|n| vec![n as u8; n + 1]).collect() }
    }

    fn file(batches: &[Batch]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(batches.iter().flat_map(record));
        bytes
    }

    #[test]
    fn a_cut_anywhere_keeps_exactly_the_whole_batches() {
        let batches = [batch(0, 3), batch(3, 1), batch(4, 20)];
        let bytes = file(&batches);
        let ends: Vec<usize> = (0..=3).map(|n| file(&batches[..n]).len()).collect();
        for cut in MAGIC.len()..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(parse(&bytes[..cut]).unwrap(), batches[..whole], "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_batch_is_an_error_and_in_it_a_torn_write() {
        let batches = [batch(0, 3), batch(3, 5)];
        let bytes = file(&batches);
        let last = file(&batches[..1]).len();
        for at in MAGIC.len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            match parse(&damaged) {
                Ok(kept) => assert!(at >= last && kept == batches[..1], "byte {at}"),
                Err(error) => assert!(matches!(error, WalError::Damaged(_)), "byte {at}"),
            }
        }
        let mut damaged = bytes;
        damaged[last + HEADER_LEN] ^= 1;
        assert_eq!(parse(&damaged).unwrap(), batches[..1], "the last one may be torn");
    }

    #[test]
    fn zeros_behind_the_last_batch_are_a_torn_write() {
        let batches = [batch(0, 3)];
        let mut bytes = file(&batches);
        bytes.extend([0; 4096]);
        assert_eq!(parse(&bytes).unwrap(), batches);
    }
}
