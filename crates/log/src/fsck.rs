//! Proves a whole log from its public files.
//!
//! Spec: <https://c2sp.org/tlog-tiles>.
//! The checkpoint's signature and, with a policy, its cosignatures; every hash tile up to the root; every
//! entry of every bundle; every partial tile and bundle of earlier sizes that still lies there; no foreign
//! file among them.

mod remote;

use core::num::NonZero;
use std::path::Path;
use std::thread;

use countersign_store::{Dir, Objects, StoreError};
use countersign_tlog::Checkpoint;
use countersign_tlog::merkle::Hash;
use countersign_tlog::tile::{BundleId, TileId, decode_bundle};

use crate::error::LogError;
use crate::mirror::{Source, SourceError};
use crate::tree::{self, CHECKPOINT, Fault, FaultKind, Files, Proven, TILES};
use crate::trust::{Trust, Trusted};
pub use remote::fsck_source;

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckReport {
    /// The log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root hash of the tree.
    pub root: Hash,
    /// Hash tiles of this tree.
    pub tiles: u64,
    /// Entry bundles of this tree.
    pub bundles: u64,
    /// Partial tiles and bundles of earlier sizes.
    pub older: u64,
    /// Files beyond the checkpoint: written, and not published yet. They agree with the tree as far as it
    /// goes.
    pub ahead: u64,
    /// Witnesses whose cosignatures count, with a policy.
    pub witnesses: Vec<String>,
}

impl FsckReport {
    /// Of a proven tree, beside which no other files were looked at.
    fn new(checkpoint: &Checkpoint, proven: &Proven, witnesses: Vec<String>) -> Self {
        Self {
            origin: checkpoint.origin().to_owned(),
            size: checkpoint.size(),
            root: *checkpoint.root(),
            tiles: proven.tiles,
            bundles: proven.bundles,
            older: 0,
            ahead: 0,
            witnesses,
        }
    }
}

/// Proves the log in `public`; the first wrong file is named.
///
/// # Errors
/// `log-tile-missing`, `log-tile-mismatch`; for the checkpoint the codes of its parser, of the keys or of the
/// policy; `log-storage-failed` if a file cannot be read.
pub fn fsck(public: &Path, trust: Trust<'_>) -> Result<FsckReport, LogError> {
    fsck_watched(public, trust, &mut |_, _| {})
}

/// As [`fsck`]; `progress` is told how many entry bundles are proven, and of how many.
///
/// # Errors
/// As there.
pub fn fsck_watched(
    public: &Path,
    trust: Trust<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FsckReport, LogError> {
    let dir = Dir::existing(public)?;
    let bytes = dir.get(CHECKPOINT)?.ok_or_else(|| LogError::TileMissing { path: CHECKPOINT.to_owned() })?;
    let Trusted { signed, witnesses, .. } = trust.open(&bytes)?;
    let checkpoint = signed.checkpoint();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let proven = match remote::prove(&Own(&dir), checkpoint, threads, progress) {
        Ok(proven) => proven,
        // Slower, and it tells which file is the wrong one where several could be.
        Err(_) => tree::prove(&dir, checkpoint.size(), checkpoint.root()).map_err(fault)?,
    };
    let mut report = FsckReport::new(checkpoint, &proven, witnesses);
    check_others(&dir, checkpoint.size(), &mut report).map_err(fault)?;
    Ok(report)
}

/// The folder itself: what it does not have, no other file stands in for.
struct Own<'d>(&'d Dir);

impl Source for Own<'_> {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let missing = || SourceError::new(&LogError::TileMissing { path: path.to_owned() });
        self.0.fetch(path, limit)?.ok_or_else(missing).map(Some)
    }
}

fn fault(fault: Fault) -> LogError {
    match fault.kind {
        FaultKind::Missing => LogError::TileMissing { path: fault.path },
        FaultKind::Wrong(what) => LogError::TileMismatch { path: fault.path, what },
        FaultKind::Store(error) => error.into(),
        FaultKind::Range(error) => LogError::TileMismatch { path: fault.path, what: error.to_string() },
    }
}

/// Every file in the folder of tiles that is not one of this tree's own.
fn check_others(dir: &Dir, size: u64, report: &mut FsckReport) -> Result<(), Fault> {
    let files = Files::new(dir, size);
    let names = dir
        .list(TILES)
        .map_err(|error: StoreError| Fault { path: TILES.to_owned(), kind: FaultKind::Store(error) })?;
    for name in names {
        let relation = if let Ok(bundle) = name.parse::<BundleId>() {
            check_bundle(&files, bundle, size)?
        } else if let Ok(tile) = name.parse::<TileId>() {
            check_tile(&files, tile, size)?
        } else {
            return Err(Fault::wrong(name, "it is not the name of a tile or entry bundle"));
        };
        match relation {
            Relation::Same => {}
            Relation::Older => report.older += 1,
            Relation::Ahead => report.ahead += 1,
        }
    }
    Ok(())
}

/// How a file stands to the one of the proven tree at the same place.
enum Relation {
    Same,
    Older,
    Ahead,
}

fn relation(width: u16, proven: Option<u16>) -> Relation {
    match proven {
        Some(proven) if width == proven => Relation::Same,
        Some(proven) if width < proven => Relation::Older,
        _ => Relation::Ahead,
    }
}

fn check_tile(files: &Files<'_>, tile: TileId, size: u64) -> Result<Relation, Fault> {
    let proven = TileId::at(tile.level(), tile.index(), size);
    let relation = relation(tile.width(), proven.map(TileId::width));
    if matches!(relation, Relation::Same) {
        return Ok(relation);
    }
    let bytes = files.read(&tile.path())?;
    if bytes.len() != usize::from(tile.width()) * Hash::LEN {
        return Err(Fault::wrong(
            tile,
            format!("it has {} bytes instead of {} hashes", bytes.len(), tile.width()),
        ));
    }
    let known = match proven {
        Some(proven) => files.read(&proven.path())?,
        None => Vec::new(),
    };
    if common_part_differs(&bytes, &known) {
        return Err(Fault::wrong(tile, format!("it contradicts the tree of {size} entries")));
    }
    Ok(relation)
}

fn check_bundle(files: &Files<'_>, bundle: BundleId, size: u64) -> Result<Relation, Fault> {
    let proven = BundleId::at(bundle.index(), size);
    let relation = relation(bundle.width(), proven.map(BundleId::width));
    if matches!(relation, Relation::Same) {
        return Ok(relation);
    }
    let bytes = files.read(&bundle.path())?;
    decode_bundle(bundle, &bytes).map_err(|error| Fault::wrong(bundle, error.to_string()))?;
    let known = match proven {
        Some(proven) => files.read(&proven.path())?,
        None => Vec::new(),
    };
    if common_part_differs(&bytes, &known) {
        return Err(Fault::wrong(bundle, format!("it contradicts the log of {size} entries")));
    }
    Ok(relation)
}

fn common_part_differs(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).any(|(a, b)| a != b)
}
