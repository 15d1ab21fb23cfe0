//! Snapshot metadata: the version of every targets file (specification 4.4).

use std::collections::BTreeMap;

use countersign_base::Json;

use super::fields::Fields;
use super::{Common, MetaFile, Role, SNAPSHOT};
use crate::error::TufError;
use crate::limits::MAX_SNAPSHOT_BYTES;

/// Snapshot metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    common: Common,
    meta: BTreeMap<String, MetaFile>,
    signed: Json,
}

impl Snapshot {
    /// What is listed for `role`, without `.json`.
    pub fn file(&self, role: &str) -> Option<&MetaFile> {
        self.meta.get(role)
    }

    /// The listed roles, without `.json`, and what is listed for each.
    pub fn files(&self) -> impl Iterator<Item = (&str, &MetaFile)> {
        self.meta.iter().map(|(role, file)| (role.as_str(), file))
    }
}

impl Role for Snapshot {
    const TYPE: &'static str = SNAPSHOT;
    const MAX_BYTES: usize = MAX_SNAPSHOT_BYTES;

    fn from_signed(signed: Json) -> Result<Self, TufError> {
        let fields = Fields::new(&signed, "signed")?;
        let common = Common::read(&fields)?;
        let mut meta = BTreeMap::new();
        for (name, member) in fields.object("meta")? {
            let role = name
                .strip_suffix(".json")
                .ok_or_else(|| fields.error("meta", "names a file that is not .json"))?;
            meta.insert(role.to_owned(), MetaFile::read(name, member)?);
        }
        Ok(Self { common, meta, signed })
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn signed(&self) -> &Json {
        &self.signed
    }
}
