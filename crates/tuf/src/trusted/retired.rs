//! Keys that earlier files listed for a role: a refusal names one that signs again (attack M22).
//!
//! They decide between two refusals only, so a few that are not remembered weaken nothing.

use countersign_crypto::PublicKey;

use crate::limits::MAX_KEYS;
use crate::metadata::{Delegations, Key, KeyTable, Root, TOP_LEVEL};

/// At most [`MAX_KEYS`] keys. Whether one is listed now is seen when it matters.
#[derive(Debug, Clone, Default)]
pub(super) struct Retired(Vec<RetiredKey>);

#[derive(Debug, Clone)]
struct RetiredKey {
    role: String,
    keyid: String,
    key: PublicKey,
}

impl Retired {
    /// The keys that once were `role`'s, with their ids.
    pub(super) fn of(&self, role: &str) -> impl Iterator<Item = (&String, &PublicKey)> {
        self.0
            .iter()
            .filter(move |retired| retired.role == role)
            .map(|retired| (&retired.keyid, &retired.key))
    }

    /// Adds the keys that `next` takes from the roles of `before`.
    pub(super) fn add_root(&mut self, before: &Root, next: &Root) {
        for role in TOP_LEVEL {
            let listed = before.role_keys(role).map_or(&[][..], |keys| &keys.keyids);
            let stays =
                |keyid: &&String| next.role_keys(role).is_some_and(|keys| keys.keyids.contains(keyid));
            for keyid in listed.iter().filter(|keyid| !stays(keyid)) {
                self.add(role, keyid, before.keys());
            }
        }
    }

    /// Adds the keys that an older targets file delegated to.
    pub(super) fn add_delegations(&mut self, older: &Delegations) {
        for role in older.roles() {
            for keyid in &role.keys.keyids {
                self.add(&role.name, keyid, older.keys());
            }
        }
    }

    fn add(&mut self, role: &str, keyid: &str, table: &KeyTable) {
        let Some(key) = table.get(keyid).and_then(Key::usable) else { return };
        let known = self.0.iter().any(|retired| retired.role == role && retired.keyid == keyid);
        if !known && self.0.len() < MAX_KEYS {
            self.0.push(RetiredKey { role: role.to_owned(), keyid: keyid.to_owned(), key: key.clone() });
        }
    }
}
