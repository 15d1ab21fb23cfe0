//! The witness's state on disk: one file that grows at its end, begun anew when most of it is old.
//!
//! ```text
//! the line `countersign-witness 1`
//! u64      length in bytes of what the file began with, these lines included
//! records, one a commit:
//!   u32    length of the body
//!   u32    its complement
//!   body   one or more cosigned checkpoints, each as u32 length and the note's bytes
//!   [32]   SHA-256 of the digest before (for the first record: of line and length) and the body
//! ```
//!
//! Numbers are big-endian. A later checkpoint of an origin replaces an earlier one.
//!
//! What the file began with came whole, by a rename. Each record after that is written with one write and one
//! fsync, and after a failure nothing is written until the file is opened again. So only the last record can
//! be torn, and a torn one was never answered for: reading drops it. A bad record with anything behind it was
//! damaged later, and is an error; the complement is there so that a damaged length does not swallow the
//! records behind it.
//!
//! What a process finds may lie in the page cache only: the fsync of the one before may have failed, and a
//! second one would lie. So the first commit writes a new file with all that is known, under a temporary
//! name, and renames it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_base::Sha256Digest;
use countersign_crypto::{Sha256, sha256};
use countersign_store::{Disk, DiskFile, StoreError, durable};

/// File name in the folder of the state.
pub(super) const FILE: &str = "state";

const MAGIC: &[u8] = b"countersign-witness 1\n";
/// The first line, and the length of what the file began with.
const HEAD_LEN: usize = MAGIC.len() + 8;
const HEADER_LEN: usize = 8;
const DIGEST_LEN: usize = 32;
/// Longest file that is read, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// The file is begun anew when it is longer than this and twice what it began with.
const RENEW_BYTES: u64 = 1024 * 1024;
/// Readable by others: monitors may be served from a copy.
const MODE: u32 = 0o644;

/// A cosigned checkpoint: the note with the log's signature and ours.
pub(super) type Note = Arc<[u8]>;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that was durable once is damaged. Carries its offset in bytes.
    #[error("damaged record at byte {0}")]
    Damaged(usize),
}

/// The file, open for more records once one was written.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` until this process has written the file.
    file: Option<DiskFile>,
    /// Digest of the last record.
    chain: Sha256Digest,
    /// Length in bytes now, and when it was begun.
    len: u64,
    begun_len: u64,
}

/// The notes in the file, in the order in which they were written; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Note>, JournalError> {
    match durable::read(path, MAX_FILE_BYTES)? {
        Some(bytes) => parse(&bytes),
        None => Ok(Vec::new()),
    }
}

impl Journal {
    /// The journal at `path`, which need not exist yet.
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path, file: None, chain: sha256(MAGIC), len: 0, begun_len: 0 }
    }

    /// Length of the file in bytes; 0 before this process has written it.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Makes `notes` durable. `all` gives the latest note of each log, those in `notes` included: what a new
    /// file holds. After an error nothing may be written any more.
    pub(super) fn commit(
        &mut self,
        notes: &[Note],
        all: impl FnOnce() -> Vec<Note>,
    ) -> Result<(), StoreError> {
        let renew = self.len > RENEW_BYTES.max(2 * self.begun_len);
        match &mut self.file {
            Some(_) if notes.is_empty() => Ok(()),
            Some(file) if !renew => {
                let (record, chain) = record(&self.chain, notes);
                self.disk.write(file, &record).map_err(StoreError::io("write", &self.path))?;
                self.disk.sync(file).map_err(StoreError::io("sync", &self.path))?;
                self.chain = chain;
                self.len += record.len() as u64;
                Ok(())
            }
            _ => self.begin(&all()),
        }
    }

    /// Replaces the file by one with these notes and opens it.
    fn begin(&mut self, notes: &[Note]) -> Result<(), StoreError> {
        let (bytes, chain) = begun(notes);
        let len = bytes.len() as u64;
        if len > MAX_FILE_BYTES / 4 {
            return Err(StoreError::TooLarge { path: self.path.clone(), limit: MAX_FILE_BYTES / 4 });
        }
        durable::write_atomic(&*self.disk, &self.path, &bytes, MODE)?;
        self.file = Some(self.disk.open_append(&self.path).map_err(StoreError::io("open", &self.path))?);
        (self.chain, self.len, self.begun_len) = (chain, len, len);
        Ok(())
    }
}

/// A new file with these notes, and the digest of its last record.
fn begun(notes: &[Note]) -> (Vec<u8>, Sha256Digest) {
    let records = notes.iter().map(|note| HEADER_LEN + 4 + note.len() + DIGEST_LEN);
    let len = HEAD_LEN + records.sum::<usize>();
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(MAGIC);
    bytes.extend((len as u64).to_be_bytes());
    let mut chain = sha256(&bytes);
    // A record a note: a length has four bytes, and all notes together can need more.
    for note in notes {
        let (record, next) = record(&chain, std::slice::from_ref(note));
        bytes.extend(record);
        chain = next;
    }
    (bytes, chain)
}

/// A record and its digest.
fn record(before: &Sha256Digest, notes: &[Note]) -> (Vec<u8>, Sha256Digest) {
    let body_len: usize = notes.iter().map(|note| 4 + note.len()).sum();
    let mut record = Vec::with_capacity(HEADER_LEN + body_len + DIGEST_LEN);
    record.extend((body_len as u32).to_be_bytes());
    record.extend((!(body_len as u32)).to_be_bytes());
    for note in notes {
        record.extend((note.len() as u32).to_be_bytes());
        record.extend_from_slice(note);
    }
    let digest = digest(before, &record[HEADER_LEN..]);
    record.extend(digest.as_bytes());
    (record, digest)
}

fn digest(before: &Sha256Digest, body: &[u8]) -> Sha256Digest {
    let mut hasher = Sha256::new();
    hasher.update(before.as_bytes());
    hasher.update(body);
    hasher.finish()
}

fn parse(bytes: &[u8]) -> Result<Vec<Note>, JournalError> {
    let head = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk());
    let (begun, mut rest) = head.ok_or(JournalError::Damaged(0))?;
    let begun = u64::from_be_bytes(*begun);
    let mut chain = sha256(&bytes[..HEAD_LEN]);
    let mut notes = Vec::new();
    loop {
        let at = bytes.len() - rest.len();
        let tail = at as u64 >= begun;
        if rest.is_empty() {
            return if tail { Ok(notes) } else { Err(JournalError::Damaged(at)) };
        }
        match split_record(&chain, rest) {
            Found::Whole(found, digest, after) => {
                notes.extend(found);
                (chain, rest) = (digest, after);
            }
            Found::Torn if tail => return Ok(notes),
            Found::Torn | Found::Damaged => return Err(JournalError::Damaged(at)),
        }
    }
}

enum Found<'a> {
    Whole(Vec<Note>, Sha256Digest, &'a [u8]),
    /// The file ends in it, or with it.
    Torn,
    Damaged,
}

fn split_record<'a>(before: &Sha256Digest, bytes: &'a [u8]) -> Found<'a> {
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Found::Torn };
    let [a, b, c, d, complement @ ..] = *header;
    let length = u32::from_be_bytes([a, b, c, d]);
    if length != !u32::from_be_bytes(complement) {
        // The file's new length can reach the disk before its bytes: then zeros follow what did arrive of a
        // header.
        let cut = header[1..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 2);
        return if is_empty(rest) && cut < HEADER_LEN { Found::Torn } else { Found::Damaged };
    }
    let length = length as usize;
    if rest.len() < length.saturating_add(DIGEST_LEN) {
        return Found::Torn;
    }
    let (body, rest) = rest.split_at(length);
    let (claimed, rest) = rest.split_at(DIGEST_LEN);
    let digest = digest(before, body);
    match (digest.as_bytes() == claimed).then(|| parse_body(body)).flatten() {
        Some(notes) => Found::Whole(notes, digest, rest),
        None if is_empty(rest) => Found::Torn,
        None => Found::Damaged,
    }
}

fn parse_body(body: &[u8]) -> Option<Vec<Note>> {
    let mut rest = body;
    let mut notes = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (note, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        notes.push(Note::from(note));
        rest = after;
    }
    Some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(names: &[&str]) -> Vec<Note> {
        names.iter().map(|name| Note::from(name.as_bytes())).collect()
    }

    /// A file that began with two notes and got three commits; where each part ends, and the notes.
    fn example() -> (Vec<u8>, Vec<usize>, Vec<Note>) {
        let mut all = notes(&["first", "second"]);
        let (mut bytes, mut chain) = begun(&all);
        let mut ends = vec![bytes.len()];
        for commit in [&["third"][..], &["fourth", "fifth"], &["a longer one, the sixth"]] {
            let commit = notes(commit);
            let (next, digest) = record(&chain, &commit);
            bytes.extend(next);
            chain = digest;
            ends.push(bytes.len());
            all.extend(commit);
        }
        (bytes, ends, all)
    }

    /// Notes that are whole when the file ends after so many parts.
    const WHOLE: [usize; 4] = [2, 3, 5, 6];

    #[test]
    fn a_cut_keeps_the_whole_commits_and_what_the_file_began_with_is_never_cut() {
        let (bytes, ends, all) = example();
        for cut in 0..=bytes.len() {
            match (parse(&bytes[..cut]), ends.iter().rposition(|end| *end <= cut)) {
                (Ok(kept), Some(part)) => assert_eq!(kept, all[..WHOLE[part]], "cut at {cut}"),
                (Err(JournalError::Damaged(_)), None) => {}
                (other, _) => panic!("cut at {cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_cut_that_is_filled_with_zeros_is_a_cut() {
        let (bytes, ends, all) = example();
        for cut in ends[0]..bytes.len() {
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
            let filled = [&bytes[..cut], &[0; 5000]].concat();
            match parse(&filled) {
                Ok(kept) => assert_eq!(kept, all[..WHOLE[whole]], "cut at {cut}"),
                // Zeros can be what was there: then the record is whole, and zeros are behind it.
                Err(error) => panic!("cut at {cut}: {error}"),
            }
        }
    }

    #[test]
    fn damage_before_the_last_commit_is_an_error_and_in_it_a_torn_write() {
        let (bytes, ends, all) = example();
        let last = ends[2];
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                match parse(&damaged) {
                    Ok(kept) => assert!(at >= last && kept == all[..WHOLE[2]], "byte {at}"),
                    Err(error) => assert!(matches!(error, JournalError::Damaged(_)), "byte {at}"),
                }
            }
        }
    }

    #[test]
    fn a_commit_of_another_place_or_file_is_damage() {
        let (bytes, ends, _) = example();
        let swapped =
            [&bytes[..ends[0]], &bytes[ends[1]..ends[2]], &bytes[ends[0]..ends[1]], &bytes[ends[2]..]];
        assert!(matches!(parse(&swapped.concat()), Err(JournalError::Damaged(at)) if at == ends[0]));
        let left_out = [&bytes[..ends[0]], &bytes[ends[1]..]].concat();
        assert!(matches!(parse(&left_out), Err(JournalError::Damaged(at)) if at == ends[0]));
    }
}
