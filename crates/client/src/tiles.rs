//! Consistency proofs from a log's tiles.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use countersign_base::Sha256Digest;
use countersign_tlog::tile::{MAX_TILE_BYTES, TileError, TileId, TileSet, needed_for_consistency};
use countersign_verify::{Link, TransparentSet};

use crate::error::ClientError;
use crate::transport::{FetchError, Transport};

/// The tiles fetched in one run, by log and tree.
///
/// Not kept: the right edge differs from one tree to the next, and the full tiles that a proof needs besides are
/// few. What is not kept cannot be poisoned (attack L11 d).
#[derive(Debug, Default)]
pub(crate) struct Tiles {
    fetched: BTreeMap<(String, u64, Sha256Digest), BTreeMap<TileId, Vec<u8>>>,
}

impl Tiles {
    /// Proves every open link of the set's lineage.
    ///
    /// # Errors
    /// `log-tile-mismatch` or `log-tile-missing`, naming the tile; `log-consistency-invalid`.
    pub(crate) fn prove_links(
        &mut self,
        set: &mut TransparentSet,
        transport: &dyn Transport,
    ) -> Result<(), ClientError> {
        for link in set.lineage().open_links() {
            let proof = self.proof(&link, transport)?;
            set.lineage_mut().prove(&link, &proof)?;
        }
        Ok(())
    }

    fn proof(&mut self, link: &Link, transport: &dyn Transport) -> Result<Vec<Sha256Digest>, ClientError> {
        let failed = |source: TileError| ClientError::Tile { origin: link.origin.clone(), source };
        let needed =
            needed_for_consistency(link.old_size, link.new_size).map_err(|error| failed(error.into()))?;
        let tiles = self.fetched.entry((link.origin.clone(), link.new_size, link.new_root)).or_default();
        for id in needed {
            if let Entry::Vacant(place) = tiles.entry(id) {
                place.insert(fetch(id, link, transport)?);
            }
        }
        let tiles = TileSet::verified(link.new_size, &link.new_root, tiles).map_err(failed)?;
        tiles.consistency_proof(link.old_size, link.new_size).map_err(failed)
    }
}

/// One tile; where a partial one is gone because the full one exists, the beginning of that.
fn fetch(id: TileId, link: &Link, transport: &dyn Transport) -> Result<Vec<u8>, ClientError> {
    let get = |id: TileId| transport.get(&format!("log/{id}"), MAX_TILE_BYTES as u64);
    let mut bytes = match get(id) {
        Err(FetchError::NotFound { .. }) if !id.is_full() => get(id.full()),
        other => other,
    };
    if let (Ok(bytes), false) = (&mut bytes, id.is_full())
        && bytes.len() == MAX_TILE_BYTES
    {
        bytes.truncate(usize::from(id.width()) * Sha256Digest::LEN);
    }
    match bytes {
        Err(FetchError::NotFound { .. }) => {
            Err(ClientError::Tile { origin: link.origin.clone(), source: TileError::Missing { tile: id } })
        }
        other => Ok(other?),
    }
}
