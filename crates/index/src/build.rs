//! Bringing an index to the size of a log's tree, from where it is.

use countersign_base::Timestamp;
use countersign_log::Source;
use countersign_log::mirror::{range_at, walk};
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::CompactRange;

use crate::documents::Documents;
use crate::error::IndexError;
use crate::row::Row;
use crate::store::{Database, Head};

/// Entries that one transaction takes.
const ROWS_AT_ONCE: usize = 16_384;

/// A log whose checkpoint is trusted, and what its entries rest on.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// Its files.
    pub source: &'a dyn Source,
    /// Its checkpoint; verified by the caller.
    pub tree: &'a Checkpoint,
    /// When witnesses had seen that checkpoint; a bound for entries of which nothing better is known.
    pub seen: Option<Timestamp>,
    /// The documents behind its metadata entries.
    pub documents: &'a dyn Documents,
}

impl core::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Log").field("tree", self.tree).field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// What [`build`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The size that the index had.
    pub from: u64,
    /// The size that it has.
    pub size: u64,
    /// Metadata entries of this run whose document was not at hand: their keys are not known.
    pub without_document: u64,
}

/// Indexes every entry of the tree that the index has not. Interrupted, it leaves an index of a smaller tree.
///
/// # Errors
/// `log-index-mismatch`: the index is of another log, or of a tree that this one does not begin with. Codes of the log's
/// files; `log-index-unavailable`. What was indexed before the error stays.
pub fn build(log: Log<'_>, database: &mut dyn Database) -> Result<Built, IndexError> {
    let mut held = database.head()?;
    let mut range = begin(log, held.as_ref())?;
    let mut built = Built { from: range.size(), size: range.size(), without_document: 0 };
    if held.is_some() && built.from == log.tree.size() {
        return Ok(built);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut put = |range: &CompactRange, rows: &mut Vec<Row>| -> Result<(), IndexError> {
        let next = Head { origin: log.tree.origin().to_owned(), size: range.size(), root: range.root() };
        database.append(held.as_ref(), &next, rows)?;
        rows.clear();
        held = Some(next);
        Ok(())
    };
    walk(log.source, log.tree, built.from, |proven| {
        let entries = proven.leaves.iter().zip(proven.entries);
        for (index, (leaf, entry)) in (proven.first..).zip(entries) {
            let row = Row::of(index, *leaf, entry, log.seen, |leaf| log.documents.document(leaf))?;
            built.without_document += u64::from(row.role.is_some() && !row.has_document);
            rows.push(row);
            range.push(*leaf).map_err(|error| IndexError::OtherTree(error.to_string()))?;
        }
        if rows.len() >= ROWS_AT_ONCE { put(&range, &mut rows) } else { Ok(()) }
    })?;
    put(&range, &mut rows)?;
    built.size = range.size();
    Ok(built)
}

/// The tree that the index has, which the log's begins with.
pub(crate) fn begin(log: Log<'_>, held: Option<&Head>) -> Result<CompactRange, IndexError> {
    let Some(held) = held else { return Ok(CompactRange::new()) };
    let other = |what: String| Err(IndexError::OtherTree(what));
    if held.origin != log.tree.origin() {
        return other(format!("it is of `{}`", countersign_base::text::escape(&held.origin)));
    }
    if held.size > log.tree.size() {
        return other(format!("it has {} entries, and the log {}", held.size, log.tree.size()));
    }
    let range = if held.size == 0 { CompactRange::new() } else { range_at(log.source, log.tree, held.size)? };
    if range.root() != held.root {
        return other(format!("the first {} entries of the log have another root", held.size));
    }
    Ok(range)
}
