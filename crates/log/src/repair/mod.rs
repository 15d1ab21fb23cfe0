//! Puts back what the signed checkpoint requires and the entries can make, and nothing else.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.
//! From the checkpoint's root downwards each tile is compared with its hash in the tile above, and each entry
//! bundle with its tile. A hash tile that is missing or wrong is made from what lies below it; an entry
//! bundle from other copies of its entries: bundles of other sizes, entries that the caller offers, and a
//! source such as a mirror. Where several tiles are damaged at once, what is below and above them is tried
//! together until the root is made (`tiles`). A file is written only if it hashes to the signed root, so a
//! repair cannot change what the log says, whatever it is offered; it can run beside whatever reads or writes
//! the log.
//!
//! Never written: the checkpoint, which needs a signature, and anything beyond its size, which nothing
//! vouches for. Foreign files are told, and stay.

mod entries;
mod others;
mod survey;
mod tiles;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use countersign_store::{Dir, Disk, Objects as _, RealDisk, StoreError};
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::{Hash, root_of_leaves};
use countersign_tlog::tile::{TILE_WIDTH, TileId, right_edge};

use crate::mirror::source::encode_tile;
use crate::mirror::{MirrorError, Source, trusted_checkpoint};
use crate::partial;
use crate::sequencer::wal_entries;
use crate::trust::Trust;

pub use survey::{MAX_PROBLEMS, Problem, Survey, survey};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The log.
    pub origin: String,
    /// Number of entries of the signed tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// What was put back, in the order in which it was.
    pub mended: Vec<Mended>,
    /// What is wrong still, and why it could not be put back.
    pub left: Vec<Left>,
}

/// A file that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The file, below the log's public folder.
    pub path: String,
    /// What was there.
    pub was: Was,
    /// What it was made from.
    pub from: Made,
}

/// What was where a file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// Nothing.
    Missing,
    /// Something else.
    Wrong,
}

/// What a file was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// From the tiles or entries below it, or the larger tile at its place.
    Log,
    /// From entries in other bundles of the log.
    Bundles,
    /// From entries that the caller offered.
    Offered,
    /// From the source.
    Source,
}

/// A file that is wrong still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The file, below the log's public folder.
    pub path: String,
    /// Why it could not be put back.
    pub why: String,
}

/// Where entries may be found beside the log's bundles. None of it is trusted.
#[derive(Default)]
pub struct Help<'a> {
    /// Copies of entries, by index: from a write-ahead log, from proofs.
    pub entries: BTreeMap<u64, Vec<Vec<u8>>>,
    /// A mirror of the log.
    pub source: Option<&'a dyn Source>,
}

impl core::fmt::Debug for Help<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Help")
            .field("entries", &self.entries.len())
            .field("source", &self.source.is_some())
            .finish()
    }
}

impl Help<'_> {
    /// Adds what the write-ahead log in a log's private folder still has: the newest entries.
    ///
    /// # Errors
    /// `log-storage-failed` if it cannot be read; one that is damaged adds nothing.
    pub fn take_write_ahead_log(&mut self, private: &Path) -> Result<(), MirrorError> {
        for (index, entry) in wal_entries(private)? {
            self.take(index, entry);
        }
        Ok(())
    }

    /// Adds a copy of an entry.
    pub fn take(&mut self, index: u64, entry: Vec<u8>) {
        self.entries.entry(index).or_default().push(entry);
    }
}

/// Repairs the log whose public files are in `public`.
///
/// # Errors
/// The checkpoint is not there or not trusted: nothing is changed then. `log-storage-failed`.
pub fn repair(public: &Path, trust: Trust<'_>, help: &Help<'_>) -> Result<Repaired, MirrorError> {
    repair_on(Arc::new(RealDisk), public, trust, help)
}

/// As [`repair`], on a given disk.
///
/// # Errors
/// As there.
pub fn repair_on(
    disk: Arc<dyn Disk>,
    public: &Path,
    trust: Trust<'_>,
    help: &Help<'_>,
) -> Result<Repaired, MirrorError> {
    Dir::existing(public)?;
    let public = Dir::open_on(disk, public, 0o644)?;
    let signed = trusted_checkpoint(&public, trust)?;
    let tree = signed.checkpoint();
    let mut repair = Repair::new(&public, tree, help);
    repair.tree()?;
    repair.others()?;
    Ok(Repaired {
        origin: tree.origin().to_owned(),
        size: tree.size(),
        root: *tree.root(),
        mended: repair.mended,
        left: repair.left,
    })
}

/// Removes the partial tiles and bundles of a log whose full ones are there, as tlog-tiles allows for a tree
/// that is published; returns how many. Can run beside whatever reads or writes the log.
///
/// # Errors
/// The checkpoint is not there or not trusted: nothing is removed then. `log-storage-failed`.
pub fn remove_partial(public: &Path, trust: Trust<'_>) -> Result<u64, MirrorError> {
    Dir::existing(public)?;
    let public = Dir::open_on(Arc::new(RealDisk), public, 0o644)?;
    let signed = trusted_checkpoint(&public, trust)?;
    Ok(partial::remove_all(&public, signed.checkpoint().size())?)
}

/// A repair under way.
struct Repair<'a> {
    public: &'a Dir,
    tree: &'a Checkpoint,
    help: &'a Help<'a>,
    mended: Vec<Mended>,
    left: Vec<Left>,
    /// A tile could not be had: what lies below it is not known to be right.
    unsettled: bool,
    /// Instead of putting anything back, what is wrong is told here.
    survey: Option<Survey>,
}

impl<'a> Repair<'a> {
    fn new(public: &'a Dir, tree: &'a Checkpoint, help: &'a Help<'a>) -> Self {
        Self { public, tree, help, mended: Vec::new(), left: Vec::new(), unsettled: false, survey: None }
    }

    /// Everything that the signed tree requires.
    fn tree(&mut self) -> Result<(), MirrorError> {
        let Some(edge) = self.edge()? else {
            let why = "the entries and tiles that are here do not make the signed root".to_owned();
            self.unsettled = true;
            self.leave(crate::tree::CHECKPOINT.to_owned(), why)?;
            if self.survey.is_some() {
                for id in right_edge(self.tree.size()) {
                    self.survey_missing(&id.path())?;
                    self.survey_below(id)?;
                }
            }
            return Ok(());
        };
        for (id, (hashes, from)) in &edge {
            self.put_tile(*id, hashes, *from)?;
            self.below(*id, hashes)?;
        }
        Ok(())
    }

    /// All that lies below a tile whose hashes are the signed tree's. At most 8 deep: a tile level each.
    fn below(&mut self, id: TileId, hashes: &[Hash]) -> Result<(), MirrorError> {
        let Some(level) = id.level().checked_sub(1) else {
            return self.bundle(id.index(), hashes);
        };
        for (index, expected) in (id.index() * u64::from(TILE_WIDTH)..).zip(hashes) {
            let Some(child) = TileId::at(level, index, self.tree.size()) else { continue };
            match self.settle(child, expected)? {
                Some((hashes, from)) => {
                    self.put_tile(child, &hashes, from)?;
                    self.below(child, &hashes)?;
                }
                None => {
                    let why = "neither it nor what lies below it makes its hash in the tile above".to_owned();
                    self.unsettled = true;
                    self.leave(child.path(), why)?;
                    if self.survey.is_some() {
                        self.survey_below(child)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The hashes of a full tile that makes `expected`; `None` if none that can be had does.
    fn settle(&self, id: TileId, expected: &Hash) -> Result<Option<(Vec<Hash>, Made)>, MirrorError> {
        let good = |hashes: &Vec<Hash>| root_of_leaves(hashes) == *expected;
        if let Some(hashes) = self.stored_tile(id)?.filter(good) {
            return Ok(Some((hashes, Made::Log)));
        }
        for deep in [false, true] {
            let found = self.options(id, deep)?.into_iter().find(|(hashes, _)| good(hashes));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Writes a tile of the signed tree where it is not as it must be.
    fn put_tile(&mut self, id: TileId, hashes: &[Hash], from: Made) -> Result<(), MirrorError> {
        self.put(&id.path(), &encode_tile(hashes), from)
    }

    /// Writes a file of the signed tree where it is not as it must be.
    fn put(&mut self, path: &str, bytes: &[u8], from: Made) -> Result<(), MirrorError> {
        let was = match self.read(path)? {
            Some(held) if held == bytes => return Ok(()),
            Some(_) => Was::Wrong,
            None if self.is_there(path)? => Was::Wrong,
            None => Was::Missing,
        };
        if let Some(survey) = &mut self.survey {
            survey.add(path, was.told());
            return Ok(());
        }
        self.public.replace(path, bytes)?;
        self.mended.push(Mended { path: path.to_owned(), was, from });
        Ok(())
    }

    /// Tells of a file that is wrong and cannot be put back.
    fn leave(&mut self, path: String, why: String) -> Result<(), MirrorError> {
        let missing = !self.is_there(&path)?;
        match &mut self.survey {
            Some(survey) if missing => survey.add(&path, Was::Missing.told()),
            Some(survey) => survey.add(&path, format!("wrong: {why}")),
            None => self.left.push(Left { path, why }),
        }
        Ok(())
    }

    /// A file of the public folder, if it is one that can be right at all.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, MirrorError> {
        match self.public.get(path) {
            Ok(bytes) => Ok(bytes),
            Err(StoreError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_there(&self, path: &str) -> Result<bool, MirrorError> {
        Ok(std::fs::symlink_metadata(self.public.path(path)?).is_ok())
    }
}
