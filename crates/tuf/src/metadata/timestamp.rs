//! Timestamp metadata: which snapshot is the newest (specification 4.6).

use countersign_base::Json;

use super::fields::Fields;
use super::{Common, MetaFile, Role, TIMESTAMP};
use crate::error::TufError;
use crate::limits::MAX_TIMESTAMP_BYTES;

/// Timestamp metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    common: Common,
    snapshot: MetaFile,
    signed: Json,
}

impl Timestamp {
    /// The snapshot it points to.
    pub const fn snapshot(&self) -> &MetaFile {
        &self.snapshot
    }
}

impl Role for Timestamp {
    const TYPE: &'static str = TIMESTAMP;
    const MAX_BYTES: usize = MAX_TIMESTAMP_BYTES;

    fn from_signed(signed: Json) -> Result<Self, TufError> {
        let fields = Fields::new(&signed, "signed")?;
        let common = Common::read(&fields)?;
        let meta = Fields::new(fields.required("meta")?, "signed.meta")?;
        let snapshot = MetaFile::read("snapshot.json", meta.required("snapshot.json")?)?;
        // 4.6: it only describes the snapshot.
        if meta.len() != 1 {
            return Err(fields.error("meta", "describes more than the snapshot"));
        }
        Ok(Self { common, snapshot, signed })
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn signed(&self) -> &Json {
        &self.signed
    }
}
