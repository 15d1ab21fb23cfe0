//! What the log of key usage proves, and which signatures it lacks.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_log::LogError;
use countersign_store::{Disk, RealDisk};
use countersign_tlog::merkle::{CompactRange, EMPTY_ROOT, leaf_hash};

use super::entry::{Head, Use};
use super::recent::RECENT;
use super::{MAX_USES, PRIVATE, PUBLIC, Signed, UsageLog};
use crate::error::KeysError;

/// A log of key usage that was read and proven from its first entry to its last.
#[derive(Debug)]
pub struct Audit {
    /// Its size and root, for keeping elsewhere.
    pub head: Head,
    /// Indices of entries whose time is before that of the entry above them: a clock that was set back.
    pub clock_back: Vec<u64>,
    signed: HashSet<Signed>,
}

impl Audit {
    /// Those of `found` (public key and SHA-256 of the message, of signatures that were seen in public) that the log
    /// lacks, in their order: signatures that were made elsewhere with a copy of the key.
    pub fn missing<'a>(&self, found: &'a [Signed]) -> Vec<&'a Signed> {
        found.iter().filter(|signed| !self.signed.contains(signed)).collect()
    }

    /// Refuses the first of `found` that the log lacks.
    ///
    /// # Errors
    /// `key-usage-missing`.
    pub fn check(&self, found: &[Signed]) -> Result<(), KeysError> {
        let missing = self.missing(found);
        match missing.first() {
            None => Ok(()),
            Some((public, digest)) => Err(KeysError::UsageMissing {
                public: Box::new(public.clone()),
                digest: *digest,
                others: missing.len() - 1,
            }),
        }
    }
}

/// Proves the log in `dir` (`KEYS/usage`) and shows each use to `visit`, with its index, in order.
///
/// `remembered` is a head of it that was kept elsewhere. Without one, a log that was cut or begun anew with everything
/// in its folder looks whole. A log that is not there is an empty one.
///
/// # Errors
/// `key-usage-damaged`: what it says names the first thing that is wrong. `limit-exceeded` above [`MAX_USES`].
/// Those of [`UsageLog::open`].
pub fn audit(
    dir: &Path,
    remembered: Option<&Head>,
    now: Timestamp,
    visit: &mut dyn FnMut(u64, &Use),
) -> Result<Audit, KeysError> {
    let damaged = |what: String| KeysError::UsageDamaged { dir: dir.to_owned(), what };
    let nothing = Head { size: 0, root: EMPTY_ROOT };
    if [PRIVATE, PUBLIC, RECENT].iter().all(|name| !dir.join(name).exists()) {
        return match remembered {
            Some(head) if head.size > 0 => {
                Err(damaged(format!("it is gone, and it had {} entries", head.size)))
            }
            _ => Ok(Audit { head: nothing, clock_back: Vec::new(), signed: HashSet::new() }),
        };
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let usage = UsageLog::open(dir, disk, now)?;
    let log = usage.grow()?;
    let head = super::head(&log);
    if head.size > MAX_USES {
        return Err(KeysError::TooMany { path: dir.to_owned(), limit: MAX_USES as usize });
    }
    let mut past = CompactRange::new();
    let mut found = Audit { head, clock_back: Vec::new(), signed: HashSet::new() };
    let mut latest = None;
    let mut wrong = None;
    let read = log.for_each_entry(|index, entry| {
        if remembered.is_some_and(|head| index < head.size) {
            // Cannot fail: a tree of this size was just proven.
            let _ = past.push(leaf_hash(entry));
        }
        match Use::decode(entry) {
            Some(used) => {
                if latest.is_some_and(|latest| used.when < latest) {
                    found.clock_back.push(index);
                }
                latest = Some(used.when);
                visit(index, &used);
                found.signed.insert((used.public, used.digest));
            }
            None => wrong = wrong.or(Some(index)),
        }
        Ok::<(), LogError>(())
    });
    read.map_err(|error| super::fault(dir, error))?;
    if let Some(index) = wrong {
        return Err(damaged(format!("entry {index} is no use of a key")));
    }
    match remembered {
        Some(remembered) if remembered.size > head.size => Err(damaged(format!(
            "it has {} entries and had {}: the last ones were cut, or it is an older copy",
            head.size, remembered.size
        ))),
        Some(remembered) if past.root() != remembered.root => Err(damaged(format!(
            "its first {} entries are not those of the head that was remembered",
            remembered.size
        ))),
        _ => Ok(found),
    }
}
