//! How a segment of the write-ahead log is written and read.
//!
//! A segment is blocks of 512 bytes. The first block is its head, then come records, each from a block of its
//! own on:
//!
//! ```text
//! head    "countersign-wal 2\n"
//!         [16] nonce of the file
//!         [32] SHA-256 of both
//! record  u32  length of the entries
//!         u32  number of entries
//!         u64  index of the first
//!         [16] tag: the first half of SHA-256 of the nonce and the 16 bytes before
//!         each entry as u16 length and bytes, as in an entry bundle
//!         [32] SHA-256 of the nonce, the 16 bytes and the entries' leaf hashes
//! ```
//!
//! Numbers are big-endian. Leaf hashes are computed for the tree anyway, so the check of a record costs 32
//! bytes of hashing an entry.
//!
//! A file is overwritten from its first record on once a signed tree covers all that is in it, so old records
//! may stand behind the new ones; their indices tell them apart. The nonce is secret and random, so no entry
//! can contain what looks like a record. A record is written with one write, and the next only after a sync.
//! So a bad record is a write that a crash cut short, unless a later one was begun behind it: then it was
//! acknowledged, and was damaged since.

use countersign_base::Sha256Digest;
use countersign_crypto::Sha256;
use countersign_tlog::merkle::{Hash, leaf_hash};

use super::batch::Batch;

/// What a disk writes whole or not at all.
pub(super) const BLOCK: usize = 512;
/// Bytes before a record's entries.
pub(super) const HEADER_LEN: usize = FIELDS_LEN + TAG_LEN;
/// Most bytes of entries in one record.
pub(super) const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

const MAGIC: &[u8] = b"countersign-wal 2\n";
const FIELDS_LEN: usize = 16;
const TAG_LEN: usize = 16;

/// What makes the records of one file unlike all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce(pub(super) [u8; 16]);

impl Nonce {
    /// Where records need no telling apart from what else there is.
    const fn of_epoch(epoch: u64) -> Self {
        Self((epoch as u128).to_be_bytes())
    }

    fn hash(&self, fields: &[u8; FIELDS_LEN], leaves: &[Hash]) -> Sha256Digest {
        let mut hasher = Sha256::new();
        hasher.update(&self.0);
        hasher.update(fields);
        for leaf in leaves {
            hasher.update(leaf.as_bytes());
        }
        hasher.finish()
    }

    fn tag(&self, fields: &[u8; FIELDS_LEN]) -> [u8; TAG_LEN] {
        let [tag @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.hash(fields, &[]).0;
        tag
    }
}

/// The first block of a file.
pub(super) fn head(nonce: Nonce) -> Vec<u8> {
    let mut block = [MAGIC, &nonce.0].concat();
    let digest = countersign_crypto::sha256(&block);
    block.extend_from_slice(digest.as_bytes());
    block.resize(BLOCK, 0);
    block
}

fn parse_head(bytes: &[u8]) -> Option<Nonce> {
    let rest = bytes.get(..BLOCK)?.strip_prefix(MAGIC)?;
    let nonce = Nonce(*rest.first_chunk()?);
    (head(nonce) == bytes[..BLOCK]).then_some(nonce)
}

/// The record of a batch, which stays in the batch's buffer while `write` sees it.
pub(super) fn with_record<T>(nonce: Nonce, batch: &mut Batch, write: impl FnOnce(&[u8]) -> T) -> T {
    let entries = batch.bytes();
    let mut fields = [0; FIELDS_LEN];
    fields[..4].copy_from_slice(&(entries as u32).to_be_bytes());
    fields[4..8].copy_from_slice(&(batch.len() as u32).to_be_bytes());
    fields[8..].copy_from_slice(&batch.first().to_be_bytes());
    let digest = nonce.hash(&fields, batch.leaves());
    let whole = batch.buffer.len();
    batch.buffer[..FIELDS_LEN].copy_from_slice(&fields);
    batch.buffer[FIELDS_LEN..HEADER_LEN].copy_from_slice(&nonce.tag(&fields));
    batch.buffer.extend_from_slice(digest.as_bytes());
    batch.buffer.resize(record_len(entries), 0);
    let written = write(&batch.buffer);
    batch.buffer.truncate(whole);
    written
}

/// The record of a batch as an object of a journal: the epoch is its nonce, and nothing follows it.
pub(crate) fn with_object<T>(epoch: u64, batch: &mut Batch, write: impl FnOnce(&[u8]) -> T) -> T {
    let length = object_len(batch.bytes());
    with_record(Nonce::of_epoch(epoch), batch, |record| write(&record[..length]))
}

/// Reads such an object.
pub(crate) fn parse_object(epoch: u64, bytes: &[u8]) -> Option<Batch> {
    let nonce = Nonce::of_epoch(epoch);
    let header = Header::at(nonce, bytes, 0)?;
    if bytes.len() != object_len(header.length) {
        return None;
    }
    header.batch(nonce, bytes, 0)
}

const fn object_len(entries: usize) -> usize {
    HEADER_LEN + entries + Sha256Digest::LEN
}

/// Bytes that a record of so many bytes of entries takes in the file.
pub(super) const fn record_len(entries: usize) -> usize {
    object_len(entries).next_multiple_of(BLOCK)
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The batches that were asked for and are whole, in order.
    pub(super) batches: Vec<Batch>,
    /// Bytes up to the end of the last record.
    pub(super) len: usize,
}

/// Reads a file. Batches that a signed tree of `signed` entries covers are passed over, except with `all`.
///
/// # Errors
/// The offset of a record that was acknowledged and is damaged.
pub(super) fn parse(bytes: &[u8], signed: u64, all: bool) -> Result<Parsed, usize> {
    let nonce = parse_head(bytes).ok_or(0usize)?;
    let mut parsed = Parsed { batches: Vec::new(), len: BLOCK };
    let mut end: Option<u64> = None;
    while let Some(header) = Header::at(nonce, bytes, parsed.len) {
        match end {
            Some(end) if header.first < end => break,
            Some(end) if header.first > end => return Err(parsed.len),
            _ => {}
        }
        let covered = header.end() <= signed;
        match header.batch(nonce, bytes, parsed.len) {
            _ if covered && !all => {}
            Some(batch) => parsed.batches.push(batch),
            // Nothing rests on it.
            None if covered => {}
            None => break,
        }
        end = Some(header.end());
        parsed.len += record_len(header.length);
    }
    // Where the next record would begin, and the least index that it would have.
    let from = end.map_or(signed, |end| end.max(signed));
    let later = |at: &usize| Header::at(nonce, bytes, *at).is_some_and(|header| header.first >= from);
    let mut places = (parsed.len.saturating_add(BLOCK)..bytes.len()).step_by(BLOCK);
    match places.find(later) {
        Some(_) => Err(parsed.len),
        None => Ok(parsed),
    }
}

struct Header {
    fields: [u8; FIELDS_LEN],
    /// Bytes of the entries.
    length: usize,
    count: u64,
    first: u64,
}

impl Header {
    /// The header that was written here in this file, of whatever age.
    fn at(nonce: Nonce, bytes: &[u8], at: usize) -> Option<Self> {
        let (fields, rest) = bytes.get(at..)?.split_first_chunk::<FIELDS_LEN>()?;
        let [a, b, c, d, e, f, g, h, first @ ..] = *fields;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let count = u64::from(u32::from_be_bytes([e, f, g, h]));
        let first = u64::from_be_bytes(first);
        // What can be told without hashing: this is asked of every block.
        if length == 0 || length > MAX_RECORD_BYTES || count == 0 || first.checked_add(count).is_none() {
            return None;
        }
        (*rest.first_chunk::<TAG_LEN>()? == nonce.tag(fields)).then_some(Self {
            fields: *fields,
            length,
            count,
            first,
        })
    }

    const fn end(&self) -> u64 {
        self.first + self.count
    }

    /// The whole record, if it is whole.
    fn batch(&self, nonce: Nonce, bytes: &[u8], at: usize) -> Option<Batch> {
        let (entries, rest) = bytes.get(at + HEADER_LEN..)?.split_at_checked(self.length)?;
        let mut batch = Batch::new(self.first);
        let mut left = entries;
        while !left.is_empty() {
            let (length, after) = left.split_first_chunk::<2>()?;
            let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            batch.push(entry, leaf_hash(entry));
            left = after;
        }
        let digest = rest.first_chunk::<{ Sha256Digest::LEN }>()?;
        let good =
            batch.len() as u64 == self.count && nonce.hash(&self.fields, batch.leaves()).as_bytes() == digest;
        good.then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce([7; 16]);

    fn batch(first: u64, count: u64) -> Batch {
        let mut batch = Batch::new(first);
        for index in first..first + count {
            let entry = vec![index as u8; 300 + index as usize];
            batch.push(&entry, leaf_hash(&entry));
        }
        batch
    }

    fn record(batch: &Batch) -> Vec<u8> {
        with_record(NONCE, &mut batch.clone(), <[u8]>::to_vec)
    }

    fn file(batches: &[Batch]) -> Vec<u8> {
        let mut bytes = head(NONCE);
        bytes.extend(batches.iter().flat_map(record));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Batch>, usize> {
        parse(bytes, 0, false).map(|parsed| parsed.batches)
    }

    #[test]
    fn a_cut_anywhere_keeps_exactly_the_whole_batches() {
        let batches = [batch(0, 3), batch(3, 1), batch(4, 20)];
        let bytes = file(&batches);
        for cut in BLOCK..=bytes.len() {
            // The padding behind a record carries nothing.
            let whole = |n: &usize| {
                let end = HEADER_LEN + batches[*n].bytes() + Sha256Digest::LEN;
                file(&batches[..*n]).len() + end <= cut
            };
            let whole = (0..3).take_while(whole).count();
            assert_eq!(read(&bytes[..cut]).unwrap(), batches[..whole], "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_batch_is_an_error_and_in_it_a_torn_write() {
        let batches = [batch(0, 3), batch(3, 5)];
        let bytes = file(&batches);
        let last = file(&batches[..1]).len();
        let padding =
            |at: usize| at < BLOCK || (BLOCK + HEADER_LEN + batches[0].bytes() + 32..last).contains(&at);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            match read(&damaged) {
                Ok(kept) if at >= last => {
                    assert!(kept.len() <= 2 && kept == batches[..kept.len()], "byte {at}")
                }
                Ok(kept) => assert!(kept == batches && at >= BLOCK && padding(at), "byte {at}"),
                Err(_) => assert!(at < last, "byte {at}"),
            }
        }
    }

    #[test]
    fn zeros_behind_the_last_batch_are_a_torn_write() {
        let batches = [batch(0, 3)];
        let mut bytes = file(&batches);
        bytes.extend([0; 4096]);
        assert_eq!(read(&bytes).unwrap(), batches);
    }

    /// Any of the blocks of the write in flight may have reached the disk, over whatever records were there
    /// before.
    #[test]
    fn a_write_over_old_records_that_is_cut_short_keeps_the_batches_before_it() {
        let old: Vec<Batch> = (0..12).map(|n| batch(n * 2, 2)).collect();
        let old = file(&old);
        let new = [batch(24, 1), batch(25, 4)];
        for written in [0, 1] {
            let mut before = old.clone();
            let start = file(&new[..written]).len();
            before[BLOCK..start].copy_from_slice(&file(&new[..written])[BLOCK..]);
            let record = record(&new[written]);
            let blocks = record.len() / BLOCK;
            for subset in 0..1u32 << blocks {
                let mut bytes = before.clone();
                for block in (0..blocks).filter(|block| subset & 1 << block != 0) {
                    let from = start + block * BLOCK;
                    bytes[from..from + BLOCK].copy_from_slice(&record[block * BLOCK..][..BLOCK]);
                }
                let kept = parse(&bytes, 24, false).unwrap().batches;
                let whole = written + usize::from(subset + 1 == 1 << blocks);
                assert_eq!(kept, new[..whole], "batch {written}, blocks {subset:b}");
            }
        }
    }

    #[test]
    fn covered_batches_are_read_only_when_asked_for() {
        let batches = [batch(0, 3), batch(3, 5), batch(8, 1)];
        let bytes = file(&batches);
        assert_eq!(parse(&bytes, 8, false).unwrap().batches, batches[2..]);
        assert_eq!(parse(&bytes, 8, true).unwrap().batches, batches);
    }

    #[test]
    fn an_object_reads_back_whole_and_only_in_its_epoch() {
        let batch = batch(7, 3);
        let bytes = with_object(5, &mut batch.clone(), <[u8]>::to_vec);
        assert_eq!(parse_object(5, &bytes), Some(batch));
        assert_eq!(parse_object(6, &bytes), None);
        for at in 0..bytes.len() {
            assert_eq!(parse_object(5, &bytes[..at]), None, "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(parse_object(5, &damaged), None, "byte {at}");
        }
        assert_eq!(parse_object(5, &[&bytes[..], b"x"].concat()), None);
    }

    #[test]
    fn an_entry_that_looks_like_a_record_is_none() {
        let planted = with_record(Nonce([8; 16]), &mut batch(9, 1), <[u8]>::to_vec);
        let mut torn = Batch::new(1);
        // Puts the image on the beginning of a block.
        let filler = vec![1; BLOCK - HEADER_LEN - 4];
        torn.push(&filler, leaf_hash(&filler));
        torn.push(&planted, leaf_hash(&planted));
        torn.push(b"end", leaf_hash(b"end"));
        let mut bytes = file(&[batch(0, 1), torn]);
        let last = bytes.len() - 1;
        bytes.truncate(last - BLOCK);
        assert_eq!(read(&bytes).unwrap(), [batch(0, 1)]);
    }
}
