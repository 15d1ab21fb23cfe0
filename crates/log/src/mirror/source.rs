//! Where a log is read from: its files by name, from anywhere. Nothing that comes out is trusted.

use countersign_base::Sha256Digest;
use countersign_base::code::{Class, Code, Explain};
use countersign_store::Dir;
use countersign_tlog::merkle::Hash;
use countersign_tlog::note::MAX_NOTE_BYTES;
use countersign_tlog::tile::{
    BundleId, MAX_BUNDLE_BYTES, MAX_TILE_BYTES, TileId, decode_bundle, encode_bundle,
};

use super::MirrorError;
use crate::tree::CHECKPOINT;

/// A log's public files. Asked from several threads at once.
pub trait Source: Send + Sync {
    /// The file at `path` below the log's prefix (`tile/0/000`), `None` if there is none.
    ///
    /// # Errors
    /// It cannot be had, or has more than `limit` bytes.
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError>;
}

/// Why a file could not be had: another layer's error as far as it matters here.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    what: String,
    code: Code,
    class: Class,
    fix: Option<String>,
}

impl SourceError {
    /// Takes over what another error says.
    pub fn new(error: &dyn Explain) -> Self {
        Self { what: error.to_string(), code: error.code(), class: error.class(), fix: error.fix() }
    }
}

impl Explain for SourceError {
    fn code(&self) -> Code {
        self.code
    }

    fn class(&self) -> Class {
        self.class
    }

    fn fix(&self) -> Option<String> {
        self.fix.clone()
    }
}

/// A log's public folder on this machine.
impl Source for Dir {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let file = self.path(path).map_err(|error| SourceError::new(&error))?;
        countersign_store::durable::read(&file, limit).map_err(|error| SourceError::new(&error))
    }
}

/// The checkpoint as it is served.
pub(crate) fn checkpoint(source: &dyn Source) -> Result<Vec<u8>, MirrorError> {
    let bytes = source.fetch(CHECKPOINT, MAX_NOTE_BYTES as u64)?;
    bytes.ok_or_else(|| MirrorError::Missing { path: CHECKPOINT.to_owned() })
}

/// A tile's hashes. Where a partial one is gone because the full one exists, the beginning of that
/// (tlog-tiles, "Partial Tiles").
pub(crate) fn tile(source: &dyn Source, id: TileId) -> Result<Vec<Hash>, MirrorError> {
    let get = |id: TileId| source.fetch(&id.path(), MAX_TILE_BYTES as u64);
    let mut bytes = get(id)?;
    if bytes.is_none() && !id.is_full() {
        bytes = get(id.full())?;
        if let Some(bytes) = bytes.as_mut().filter(|bytes| bytes.len() == MAX_TILE_BYTES) {
            bytes.truncate(usize::from(id.width()) * Hash::LEN);
        }
    }
    let bytes = bytes.ok_or_else(|| MirrorError::Missing { path: id.path() })?;
    match bytes.as_chunks() {
        (hashes, []) if hashes.len() == usize::from(id.width()) => {
            Ok(hashes.iter().copied().map(Sha256Digest).collect())
        }
        _ => Err(countersign_tlog::tile::TileError::Length { tile: id, got: bytes.len() }.into()),
    }
}

/// An entry bundle's bytes; where a partial one is gone, as many entries of the full one.
pub(crate) fn bundle(source: &dyn Source, id: BundleId) -> Result<Vec<u8>, MirrorError> {
    let get = |id: BundleId| source.fetch(&id.path(), MAX_BUNDLE_BYTES as u64);
    let missing = || MirrorError::Missing { path: id.path() };
    match get(id)? {
        Some(bytes) => Ok(bytes),
        None if id.is_full() => Err(missing()),
        None => beginning(id, &get(id.full())?.ok_or_else(missing)?),
    }
}

/// A partial bundle from the full one at its place.
pub(crate) fn beginning(id: BundleId, full: &[u8]) -> Result<Vec<u8>, MirrorError> {
    let entries = decode_bundle(id.full(), full)?;
    Ok(encode_bundle(&entries[..usize::from(id.width())])?)
}

/// A tile's bytes.
pub(crate) fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}
