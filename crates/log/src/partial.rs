//! Removing partial tiles and entry bundles whose full ones are there.
//!
//! Spec: <https://c2sp.org/tlog-tiles>, "Partial Tiles": a log must serve those of every tree that it has
//! published, "but MAY delete any partial tile once the corresponding full tile is [..] available". Readers
//! of an older tree find its hashes and entries at the beginning of the full one.
//!
//! Available is what a published checkpoint requires: only its size is asked for here, never how far the
//! files go. A tile may be full on disk that no checkpoint was signed for, and a log that is opened again
//! then needs the partial one.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use countersign_store::{Dir, Objects as _, StoreError, durable};
use countersign_tlog::tile::{BundleId, TileId};
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use crate::error::LogError;
use crate::tree::{CHECKPOINT, TILES};

/// Levels of tiles that can be full.
const LEVELS: u8 = 8;

/// Keeps the public folder of a running log free of partial files whose full ones have been there for a
/// while.
///
/// Whoever has read a checkpoint may ask for its partial files in the next moments, and not every reader
/// looks for the full ones then. So each call of [`Cleaner::clean`] removes what the tree of the call before
/// had no more use for.
#[derive(Debug)]
pub struct Cleaner {
    public: Dir,
    key: VerifierKey,
    /// Nothing is to be removed below this size.
    clean: u64,
    /// The published size at the last call.
    seen: u64,
}

impl Cleaner {
    /// For the log of this key, whose public folder must be there. Nothing is looked at yet.
    ///
    /// # Errors
    /// `log-storage-failed`.
    pub fn new(public: &Path, key: VerifierKey) -> Result<Self, LogError> {
        Dir::existing(public)?;
        Ok(Self { public: Dir::open(public)?, key, clean: 0, seen: 0 })
    }

    /// Removes what can go; returns how many files there were. The first call removes none.
    ///
    /// # Errors
    /// `log-storage-failed`, or the checkpoint's.
    pub fn clean(&mut self) -> Result<u64, LogError> {
        let Some(bytes) = self.public.get(CHECKPOINT)? else { return Ok(0) };
        let published = SignedCheckpoint::open(&bytes, self.key.name(), core::slice::from_ref(&self.key))
            .map_err(|source| LogError::Checkpoint { place: CHECKPOINT.to_owned(), source })?;
        let removed = remove_between(&self.public, self.clean, self.seen)?;
        (self.clean, self.seen) = (self.seen, self.seen.max(published.checkpoint().size()));
        Ok(removed)
    }
}

/// Removes the partial tiles and bundles that the published tree had no more use for when it grew from `from`
/// to `to` leaves. Returns how many there were.
///
/// # Errors
/// The disk's.
pub(crate) fn remove_between(public: &Dir, from: u64, to: u64) -> Result<u64, StoreError> {
    let full = |size: u64, level: u8| size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
    let mut removal = Removal::new(public);
    for level in 0..LEVELS {
        for index in full(from, level)..full(to, level) {
            if let Some(id) = TileId::at(level, index, to) {
                removal.beside(&id.path())?;
            }
            if level == 0
                && let Some(id) = BundleId::at(index, to)
            {
                removal.beside(&id.path())?;
            }
        }
    }
    removal.finish()
}

/// The same for all that lies there, of whatever size it is. Lists every file of the log.
///
/// # Errors
/// The disk's.
pub(crate) fn remove_all(public: &Dir, size: u64) -> Result<u64, StoreError> {
    let names = public.list(TILES)?;
    let full: BTreeSet<String> = names.iter().filter_map(|name| full_of(name, size)).collect();
    let mut removal = Removal::new(public);
    full.iter().try_for_each(|full| removal.beside(full))?;
    removal.finish()
}

/// The full tile or bundle of the tree at the place of a partial one.
fn full_of(name: &str, size: u64) -> Option<String> {
    if let Ok(id) = name.parse::<BundleId>() {
        let full = BundleId::at(id.index(), size).filter(|own| own.is_full() && !id.is_full());
        return full.map(BundleId::path);
    }
    let id = name.parse::<TileId>().ok().filter(|id| !id.is_full())?;
    TileId::at(id.level(), id.index(), size).filter(|own| own.is_full()).map(TileId::path)
}

/// A removal under way.
struct Removal<'d> {
    public: &'d Dir,
    removed: u64,
    /// Folders from which something was removed.
    touched: BTreeSet<PathBuf>,
}

impl<'d> Removal<'d> {
    const fn new(public: &'d Dir) -> Self {
        Self { public, removed: 0, touched: BTreeSet::new() }
    }

    /// Removes the partial files beside a full one, which must be there.
    fn beside(&mut self, full: &str) -> Result<(), StoreError> {
        let (full_path, folder) = (self.public.path(full)?, self.public.path(&format!("{full}.p"))?);
        let is = |path: &Path, what: fn(&fs::Metadata) -> bool| {
            fs::symlink_metadata(path).is_ok_and(|info| what(&info))
        };
        if !is(&folder, fs::Metadata::is_dir) || !is(&full_path, fs::Metadata::is_file) {
            return Ok(());
        }
        let failed = |error: io::Error| StoreError::io("remove partial tiles in", &folder)(error);
        let disk = self.public.disk();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{full}.p/{}", entry.file_name().into_string().unwrap_or_default());
            // What has another name is foreign; `fsck` tells of it.
            if name.parse::<BundleId>().is_err() && name.parse::<TileId>().is_err() {
                continue;
            }
            match disk.remove_file(&entry.path()) {
                Ok(()) => self.removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        // A folder that is gone for good takes with it what was in it.
        match disk.remove_dir(&folder) {
            Ok(()) => self.touched.extend(folder.parent().map(Path::to_owned)),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => drop(self.touched.insert(folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Makes it durable.
    fn finish(self) -> Result<u64, StoreError> {
        for folder in &self.touched {
            durable::sync_dir(&**self.public.disk(), folder)?;
        }
        Ok(self.removed)
    }
}
