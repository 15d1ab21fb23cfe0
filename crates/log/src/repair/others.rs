//! Files that are not the signed tree's own: those of earlier sizes, and what does not belong there.

use countersign_store::Objects as _;
use countersign_tlog::merkle::Hash;
use countersign_tlog::tile::{BundleId, TileId, decode_bundle, encode_bundle};

use super::{Made, Repair};
use crate::mirror::MirrorError;
use crate::mirror::source::beginning;
use crate::tree::TILES;

impl Repair<'_> {
    /// Looks at every file beside those of the signed tree, which are in order or told by now.
    pub(super) fn others(&mut self) -> Result<(), MirrorError> {
        // Below a tile that could not be put back nothing is known to be right.
        let proven = !self.unsettled;
        for name in self.public.list(TILES)? {
            if let Ok(id) = name.parse::<BundleId>() {
                if proven {
                    self.other_bundle(id)?;
                }
            } else if let Ok(id) = name.parse::<TileId>() {
                if proven {
                    self.other_tile(id)?;
                }
            } else {
                let why = "it is not the name of a tile or entry bundle: take it away by hand".to_owned();
                self.leave(name, why)?;
            }
        }
        Ok(())
    }

    /// A partial tile of an earlier size is the beginning of the one that the signed tree has there.
    fn other_tile(&mut self, id: TileId) -> Result<(), MirrorError> {
        let own = TileId::at(id.level(), id.index(), self.tree.size());
        let Some(own) = own.filter(|own| own.width() > id.width()) else { return Ok(()) };
        if self.is_told(&own.path()) {
            return Ok(());
        }
        let Some(own) = self.read(&own.path())? else { return Ok(()) };
        let length = usize::from(id.width()) * Hash::LEN;
        own.get(..length).map_or(Ok(()), |bytes| self.put(&id.path(), bytes, Made::Log))
    }

    /// Likewise a partial bundle.
    fn other_bundle(&mut self, id: BundleId) -> Result<(), MirrorError> {
        let own = BundleId::at(id.index(), self.tree.size());
        let Some(own) = own.filter(|own| own.width() > id.width()) else { return Ok(()) };
        if self.is_told(&own.path()) {
            return Ok(());
        }
        let Some(bytes) = self.read(&own.path())? else { return Ok(()) };
        let bytes = if own.is_full() {
            beginning(id, &bytes)?
        } else {
            let entries = decode_bundle(own, &bytes)?;
            encode_bundle(&entries[..usize::from(id.width())])?
        };
        self.put(&id.path(), &bytes, Made::Bundles)
    }

    /// Whether the file is not right, as told by now.
    fn is_told(&self, path: &str) -> bool {
        self.left.iter().any(|left| left.path == path)
            || self.survey.as_ref().is_some_and(|survey| survey.may_have(path))
    }
}
