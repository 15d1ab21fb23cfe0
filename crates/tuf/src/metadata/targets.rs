//! Targets metadata, top-level and delegated: files and whom else to ask (specification 4.5).

use std::collections::BTreeMap;

use countersign_base::Json;

use super::fields::Fields;
use super::key::KeyTable;
use super::{Common, Delegations, Role, RoleKeys, TARGETS, TargetFile, pairs};
use crate::error::TufError;
use crate::limits::{MAX_PATH_BYTES, MAX_TARGETS_BYTES};

/// Targets metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    common: Common,
    targets: BTreeMap<String, TargetFile>,
    delegations: Option<Delegations>,
    signed: Json,
}

impl Targets {
    /// The entry of `path`, compared byte by byte. Whether this role has a say over the path is for
    /// [`crate::TrustedSet::find_target`] to decide.
    pub fn target(&self, path: &str) -> Option<&TargetFile> {
        self.targets.get(path)
    }

    /// All entries, in the order of their paths.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &TargetFile)> {
        self.targets.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Whom this role delegates to.
    pub const fn delegations(&self) -> Option<&Delegations> {
        self.delegations.as_ref()
    }

    /// Keys and threshold of a role that this one delegates to.
    pub fn role_keys(&self, role: &str) -> Option<&RoleKeys> {
        self.delegations.as_ref()?.role_keys(role)
    }

    /// Holds the file to what we write, as [`super::Root::check_strict`] does for root.
    ///
    /// # Errors
    /// `tuf-key-invalid`, `tuf-threshold-invalid`.
    pub fn check_strict(&self) -> Result<(), TufError> {
        self.delegations.as_ref().map_or(Ok(()), Delegations::check_strict)
    }
}

impl Role for Targets {
    const TYPE: &'static str = TARGETS;
    const MAX_BYTES: usize = MAX_TARGETS_BYTES;

    fn from_signed(signed: Json) -> Result<Self, TufError> {
        let fields = Fields::new(&signed, "signed")?;
        let common = Common::read(&fields)?;
        let mut targets = BTreeMap::new();
        for (path, entry) in fields.object("targets")? {
            if path.len() > MAX_PATH_BYTES {
                return Err(fields.error("targets", "has an overlong path"));
            }
            targets.insert(path.clone(), TargetFile::read(path, entry)?);
        }
        let delegations =
            fields.optional("delegations").map(|value| Delegations::read(value, &signed)).transpose()?;
        if delegations.is_none() {
            pairs::attach(&signed, &mut KeyTable::new())?;
        }
        Ok(Self { common, targets, delegations, signed })
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn signed(&self) -> &Json {
        &self.signed
    }
}
