//! Entry bundles: up to 256 entries, each with its length as two big-endian bytes before it.

use super::{BundleId, TILE_WIDTH, TileError};
use crate::merkle::{Hash, leaf_hash};

/// Longest entry that a bundle can hold.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Longest bundle: 256 entries of the longest kind.
pub const MAX_BUNDLE_BYTES: usize = 256 * (MAX_ENTRY_BYTES + 2);

/// Puts entries one after the other, each with its length.
///
/// # Errors
/// `log-entry-too-large` for an entry over [`MAX_ENTRY_BYTES`].
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    let mut out = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 2).sum());
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLarge { got: entry.len() })?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// The entries of a bundle: exactly as many as its width says, to the last byte.
///
/// # Errors
/// `log-tile-mismatch`, naming the bundle.
pub fn decode_bundle(bundle: BundleId, bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let cut = || TileError::Bundle { bundle };
    let mut entries = Vec::with_capacity(usize::from(bundle.width()));
    let mut rest = bytes;
    for _ in 0..bundle.width() {
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (entry, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(cut)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(cut()) }
}

/// The entries of a bundle, each of which hashes to its leaf.
///
/// `leaves` are the hashes of the level-0 tile at the bundle's place; they may go beyond a partial bundle.
///
/// # Errors
/// `log-tile-mismatch`, naming the bundle.
pub fn check_bundle<'b>(
    bundle: BundleId,
    bytes: &'b [u8],
    leaves: &[Hash],
) -> Result<Vec<&'b [u8]>, TileError> {
    let entries = decode_bundle(bundle, bytes)?;
    for (offset, entry) in entries.iter().enumerate() {
        if leaves.get(offset) != Some(&leaf_hash(entry)) {
            return Err(TileError::Entry { bundle, index: bundle.first_leaf() + offset as u64 });
        }
    }
    Ok(entries)
}

/// The bundles that appending `entries` to a log of `size` entries makes, full and partial.
///
/// `partial` is the last bundle as it was, empty where `size` is a multiple of 256.
///
/// # Errors
/// `log-entry-too-large`; `log-tile-mismatch` if `partial` is not the last bundle of such a log.
pub fn append_to_bundles<E: AsRef<[u8]>>(
    size: u64,
    partial: &[u8],
    entries: &[E],
) -> Result<Vec<(BundleId, Vec<u8>)>, TileError> {
    let width = u64::from(TILE_WIDTH);
    match BundleId::at(size / width, size) {
        Some(last) => {
            decode_bundle(last, partial)?;
        }
        None if partial.is_empty() => {}
        None => {
            let bundle = BundleId::at(size / width, size.saturating_add(1)).ok_or_else(|| no_room(size))?;
            return Err(TileError::Bundle { bundle });
        }
    }
    let new = size.saturating_add(entries.len() as u64);
    let mut rest = entries;
    let mut bytes = partial.to_vec();
    let mut bundles = Vec::new();
    let mut filled = (size % width) as usize;
    let mut index = size / width;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(usize::from(TILE_WIDTH) - filled));
        bytes.extend(encode_bundle(now)?);
        let id = BundleId::at(index, new).ok_or_else(|| no_room(size))?;
        bundles.push((id, core::mem::take(&mut bytes)));
        (rest, filled, index) = (later, 0, index + 1);
    }
    Ok(bundles)
}

fn no_room(size: u64) -> TileError {
    TileError::Merkle(crate::merkle::MerkleError::SizeLimit { size })
}
