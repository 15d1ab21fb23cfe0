//! Which keys sign a role, and how many of them must.

use std::collections::BTreeMap;

use countersign_crypto::PublicKey;

use super::fields::Fields;
use super::key::KeyTable;
use crate::error::{TufError, check_count};
use crate::limits::{MAX_KEY_ID_BYTES, MAX_ROLE_KEYS};

/// Keys and threshold of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Ids of the keys, in the order of the file; each stands for another key. An id may be unknown.
    pub keyids: Vec<String>,
    /// How many of the keys must sign, from 1.
    pub threshold: u32,
}

impl RoleKeys {
    /// Reads `keyids` and `threshold` of `role`; `keys` tells which ids are one key.
    pub(super) fn read(role: &str, fields: &Fields<'_>, keys: &KeyTable) -> Result<Self, TufError> {
        let threshold =
            fields.required("threshold")?.as_integer().and_then(|number| u32::try_from(number).ok());
        let threshold = match threshold {
            Some(threshold) if threshold > 0 => threshold,
            _ => return Err(TufError::ThresholdInvalid { role: role.to_owned() }),
        };
        let keyids = fields.texts("keyids", MAX_KEY_ID_BYTES)?;
        check_count("the number of keys of a role", keyids.len(), MAX_ROLE_KEYS)?;
        let role_keys = Self { keyids, threshold };
        role_keys.check_distinct(role, keys)?;
        Ok(role_keys)
    }

    /// Refuses a role that no set of signatures can satisfy.
    ///
    /// # Errors
    /// `tuf-key-invalid` without a single known key, `tuf-threshold-invalid` if the threshold is above the number of
    /// ids. An unknown id among them is ignored only when signatures are counted.
    pub fn check_reachable(&self, role: &str, keys: &KeyTable) -> Result<(), TufError> {
        if !self.keyids.iter().any(|keyid| keys.contains_key(keyid)) {
            return Err(TufError::NoKeys(role.to_owned()));
        }
        if self.threshold as usize > self.keyids.len() {
            return Err(TufError::ThresholdUnreachable {
                role: role.to_owned(),
                threshold: self.threshold,
                keys: self.keyids.len(),
            });
        }
        Ok(())
    }

    /// One key under two ids would count twice with clients that count ids (attack M10).
    fn check_distinct(&self, role: &str, keys: &KeyTable) -> Result<(), TufError> {
        let mut by_id = BTreeMap::new();
        let mut by_key: BTreeMap<&PublicKey, &String> = BTreeMap::new();
        for keyid in &self.keyids {
            let twice = by_id.insert(keyid, ()).map(|()| keyid);
            let key = keys.get(keyid).and_then(super::Key::material);
            let first = twice.or_else(|| key.and_then(|key| by_key.insert(key, keyid)));
            if let Some(first) = first {
                return Err(TufError::KeyDuplicate {
                    role: role.to_owned(),
                    first: first.clone(),
                    second: keyid.clone(),
                });
            }
        }
        Ok(())
    }
}
