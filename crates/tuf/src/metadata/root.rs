//! Root metadata: the keys of all top-level roles (specification 4.3).

use std::collections::BTreeMap;

use countersign_base::Json;

use super::fields::Fields;
use super::key::{KeyTable, read_table};
use super::{Common, ROOT, Role, RoleKeys, TOP_LEVEL, pairs};
use crate::error::{TufError, check_count};
use crate::limits::MAX_ROOT_BYTES;

/// Root metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    common: Common,
    consistent_snapshot: bool,
    keys: KeyTable,
    roles: BTreeMap<String, RoleKeys>,
    signed: Json,
}

impl Root {
    /// Whether files carry their version or digest in their name (specification 6.2).
    pub const fn consistent_snapshot(&self) -> bool {
        self.consistent_snapshot
    }

    /// The key table.
    pub const fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// Keys and threshold of a top-level role; `None` for another name.
    pub fn role_keys(&self, role: &str) -> Option<&RoleKeys> {
        self.roles.get(role)
    }

    /// Holds a root to what we write, where others' roots are taken as the specification leaves them: key ids are
    /// digests, every threshold can be met.
    ///
    /// # Errors
    /// `tuf-key-invalid`, `tuf-threshold-invalid`.
    pub fn check_strict(&self) -> Result<(), TufError> {
        check_ids(&self.keys)?;
        self.roles.iter().try_for_each(|(role, keys)| keys.check_reachable(role, &self.keys))
    }
}

impl Role for Root {
    const TYPE: &'static str = ROOT;
    const MAX_BYTES: usize = MAX_ROOT_BYTES;

    fn from_signed(signed: Json) -> Result<Self, TufError> {
        let fields = Fields::new(&signed, "signed")?;
        let common = Common::read(&fields)?;
        let consistent_snapshot = match fields.optional("consistent_snapshot") {
            None => false,
            Some(_) => fields.boolean("consistent_snapshot")?,
        };
        let mut keys = read_table(&fields)?;
        pairs::attach(&signed, &mut keys)?;
        let members = fields.object("roles")?;
        // The four, and `mirrors`, which nobody uses.
        check_count("the number of top-level roles", members.len(), TOP_LEVEL.len() + 1)?;
        let mut roles = BTreeMap::new();
        for role in TOP_LEVEL {
            let member = members.get(role).ok_or(TufError::RoleMissing(role))?;
            let member = Fields::new(member, format!("signed.roles.{role}"))?;
            roles.insert(role.to_owned(), RoleKeys::read(role, &member, &keys)?);
        }
        if members.keys().any(|role| !roles.contains_key(role) && role != "mirrors") {
            return Err(fields.error("roles", "has a role that is not a top-level one"));
        }
        Ok(Self { common, consistent_snapshot, keys, roles, signed })
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn signed(&self) -> &Json {
        &self.signed
    }
}

/// Refuses ids that are not the digest of their key.
pub(super) fn check_ids(keys: &KeyTable) -> Result<(), TufError> {
    match keys.iter().find(|(_, key)| !key.id_is_digest()) {
        Some((keyid, _)) => {
            Err(TufError::KeyForm { keyid: keyid.clone(), reason: "has an id that is not its digest" })
        }
        None => Ok(()),
    }
}
