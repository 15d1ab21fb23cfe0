//! Comparing an index with its log, entry by entry.

use countersign_log::mirror::walk;

use crate::build::{Log, begin};
use crate::error::IndexError;
use crate::row::Row;
use crate::store::Database;

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Entries that the index has; each says what the log does.
    pub size: u64,
    /// Entries of the log that it has not yet.
    pub behind: u64,
    /// Metadata entries whose keys could not be compared, as their document is not at hand or was not.
    pub unchecked: u64,
}

/// Compares every row with what the log's entry says.
///
/// # Errors
/// `log-index-mismatch`, naming the first entry that differs; `usage` if there is no index. Others as in
/// [`build`](crate::build()).
pub fn check(log: Log<'_>, database: &mut dyn Database) -> Result<Checked, IndexError> {
    let held = database.head()?.ok_or(IndexError::Missing("nothing was indexed yet"))?;
    begin(log, Some(&held))?;
    let mut checked = Checked { size: held.size, behind: log.tree.size() - held.size, unchecked: 0 };
    let mut rows: std::vec::IntoIter<Row> = Vec::new().into_iter();
    walk(log.source, log.tree, 0, |proven| {
        let entries = proven.leaves.iter().zip(proven.entries);
        for (index, (leaf, entry)) in (proven.first..).zip(entries) {
            if index >= held.size {
                break;
            }
            if rows.as_slice().is_empty() {
                rows = database.rows(index)?.into_iter();
            }
            let want = Row::of(index, *leaf, entry, None, |leaf| log.documents.document(leaf))?;
            let got = rows.next().ok_or_else(|| wrong(index, "it does not have it"))?;
            checked.unchecked += u64::from(compare(&want, &got)?);
        }
        Ok::<(), IndexError>(())
    })?;
    if rows.next().is_some() || !database.rows(held.size)?.is_empty() {
        return Err(wrong(held.size, "it has it, and says that it does not"));
    }
    Ok(checked)
}

fn wrong(index: u64, what: &str) -> IndexError {
    IndexError::Wrong { index, what: what.to_owned() }
}

/// Whether the keys could not be compared.
fn compare(want: &Row, got: &Row) -> Result<bool, IndexError> {
    let differs = |what| Err(wrong(want.index, what));
    if got.index != want.index {
        return differs("it does not have it");
    }
    if got.leaf != want.leaf {
        return differs("the leaf hash is another");
    }
    if (got.kind, &got.repository, &got.role, got.version, &got.digest)
        != (want.kind, &want.repository, &want.role, want.version, &want.digest)
    {
        return differs("kind, repository, role, version or digest is another");
    }
    if got.has_document != want.has_document {
        return Ok(true);
    }
    if got.artifacts != want.artifacts {
        return differs("its files are others");
    }
    if got.keys != want.keys {
        return differs("its keys are others");
    }
    Ok(!got.has_document && got.role.is_some())
}
