//! Putting an entry bundle together again, entry by entry, each by its leaf hash.

use std::collections::BTreeMap;

use countersign_tlog::merkle::{Hash, leaf_hash};
use countersign_tlog::tile::{BundleId, TILE_WIDTH, check_bundle, encode_bundle};

use super::{Made, Repair, Was};
use crate::mirror::MirrorError;
use crate::mirror::source;

impl Repair<'_> {
    /// The bundle over a tile of level 0 whose hashes are the signed tree's.
    pub(super) fn bundle(&mut self, index: u64, leaves: &[Hash]) -> Result<(), MirrorError> {
        let Some(id) = BundleId::at(index, self.tree.size()) else { return Ok(()) };
        let stored = self.read(&id.path())?;
        if stored.as_ref().is_some_and(|bytes| check_bundle(id, bytes, leaves).is_ok()) {
            return Ok(());
        }
        let missing = !self.is_there(&id.path())?;
        if let Some(survey) = &mut self.survey {
            let was = if missing { Was::Missing } else { Was::Wrong };
            survey.add(&id.path(), was.told());
            return Ok(());
        }
        let mut found = Found { leaves, entries: BTreeMap::new() };
        found.take_framed(stored.as_deref().unwrap_or_default(), Made::Bundles);
        self.take_others(id, &mut found)?;
        for place in 0..leaves.len() {
            for entry in self.help.entries.get(&(id.first_leaf() + place as u64)).into_iter().flatten() {
                found.take(entry, Made::Offered);
            }
        }
        if let Some(source) = self.help.source.filter(|_| !found.is_complete())
            && let Ok(bytes) = source::bundle(source, id)
        {
            found.take_framed(&bytes, Made::Source);
        }
        match found.bundle() {
            Some((bytes, from)) => self.put(&id.path(), &bytes, from),
            None => {
                let why = found.lacks(id);
                self.leave(id.path(), why)
            }
        }
    }

    /// Entries in bundles of other widths at the same place.
    fn take_others(&self, id: BundleId, found: &mut Found<'_>) -> Result<(), MirrorError> {
        for width in (1..=TILE_WIDTH).rev().filter(|width| *width != id.width()) {
            if found.is_complete() {
                break;
            }
            let other = BundleId::at(id.index(), id.first_leaf() + u64::from(width));
            if let Some(other) = other
                && let Some(bytes) = self.read(&other.path())?
            {
                found.take_framed(&bytes, Made::Bundles);
            }
        }
        Ok(())
    }
}

/// Entries of one bundle that were found so far, by leaf hash.
struct Found<'l> {
    leaves: &'l [Hash],
    entries: BTreeMap<Hash, (Vec<u8>, Made)>,
}

impl Found<'_> {
    /// Keeps an entry if it is one of the bundle's.
    fn take(&mut self, entry: &[u8], from: Made) {
        let hash = leaf_hash(entry);
        if self.leaves.contains(&hash) && !self.entries.contains_key(&hash) {
            self.entries.insert(hash, (entry.to_vec(), from));
        }
    }

    /// Takes what can be read of bytes that are framed as a bundle, damaged or not.
    fn take_framed(&mut self, bytes: &[u8], from: Made) {
        let mut rest = bytes;
        for _ in 0..TILE_WIDTH {
            let Some((length, after)) = rest.split_first_chunk::<2>() else { return };
            let Some((entry, after)) = after.split_at_checked(u16::from_be_bytes(*length).into()) else {
                return;
            };
            self.take(entry, from);
            rest = after;
        }
    }

    fn is_complete(&self) -> bool {
        self.leaves.iter().all(|leaf| self.entries.contains_key(leaf))
    }

    /// The bundle, and the least trusted place that an entry of it came from.
    fn bundle(&self) -> Option<(Vec<u8>, Made)> {
        let found: Vec<&(Vec<u8>, Made)> =
            self.leaves.iter().map(|leaf| self.entries.get(leaf)).collect::<Option<_>>()?;
        let entries: Vec<&[u8]> = found.iter().map(|(entry, _)| entry.as_slice()).collect();
        let from = found.iter().map(|(_, from)| *from).max().unwrap_or(Made::Bundles);
        Some((encode_bundle(&entries).ok()?, from))
    }

    /// Which entries were found nowhere.
    fn lacks(&self, id: BundleId) -> String {
        let lacking = self.leaves.iter().enumerate().filter(|(_, leaf)| !self.entries.contains_key(leaf));
        let lacking: Vec<u64> = lacking.map(|(place, _)| id.first_leaf() + place as u64).collect();
        match lacking.as_slice() {
            [one] => format!("entry {one} is nowhere to be found"),
            [first, .., last] => {
                format!("{} entries from {first} to {last} are nowhere to be found", lacking.len())
            }
            [] => "its entries do not fit into a bundle".to_owned(),
        }
    }
}
