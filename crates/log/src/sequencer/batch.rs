//! Entries that are made durable together.

use core::ops::Range;

use countersign_tlog::merkle::Hash;

use super::record::HEADER_LEN;

/// Entries with consecutive indices, framed as in an entry bundle, with their leaf hashes.
///
/// The buffer has room for the header of a record of the write-ahead log in front, so that what is written
/// there and what goes into bundles is one copy of the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    first: u64,
    pub(super) buffer: Vec<u8>,
    /// Where each entry ends in the buffer.
    ends: Vec<usize>,
    leaves: Vec<Hash>,
}

impl Batch {
    /// No entries yet; the first will have this index.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, buffer: vec![0; HEADER_LEN], ends: Vec::new(), leaves: Vec::new() }
    }

    /// Adds an entry of at most [`super::MAX_ENTRY_BYTES`], whose leaf hash the caller knows.
    pub(crate) fn push(&mut self, entry: &[u8], leaf: Hash) {
        self.buffer.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        self.buffer.extend_from_slice(entry);
        self.ends.push(self.buffer.len());
        self.leaves.push(leaf);
    }

    /// Index of the first entry.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// Index after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Bytes of the entries, with their lengths.
    pub(crate) fn bytes(&self) -> usize {
        self.framed(0..self.len()).len()
    }

    /// The leaf hashes, in order.
    pub(crate) fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// The entry at this place of the batch.
    pub(crate) fn entry(&self, place: usize) -> Option<&[u8]> {
        (place < self.len()).then(|| &self.framed(place..place + 1)[2..])
    }

    /// Entries as they stand in a bundle.
    pub(crate) fn framed(&self, places: Range<usize>) -> &[u8] {
        let start = |place: usize| match place.checked_sub(1) {
            None => HEADER_LEN,
            Some(before) => self.ends[before],
        };
        &self.buffer[start(places.start)..start(places.end)]
    }

    /// The entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|place| self.entry(place))
    }
}
