//! What a rotation of the online keys is (TUF 1.0.34 section 5.3.11, ADR 0010), for clients and for publishers.

use std::collections::BTreeSet;

use countersign_crypto::PublicKey;

use crate::metadata::{Key, RoleKeys, Root, SNAPSHOT, TIMESTAMP};

/// Whether a client that goes from one root to the next drops the timestamp and snapshot that it holds, so that lower
/// numbers are no rollback for it: one of their holders is gone, has another key, or more of them must sign.
pub fn rotates_online_keys(old: &Root, new: &Root) -> bool {
    [TIMESTAMP, SNAPSHOT].iter().any(|role| !outlives(role, old, new))
}

/// Whether all that the old root's holders signed as `role` counts under the new one too: none of them is gone and no more
/// of them must sign.
///
/// Holders that only joined do not make a rotation (ADR 0010): dropping the copies then would let whoever is between
/// client and repository go back to an older timestamp.
fn outlives(role: &str, old: &Root, new: &Root) -> bool {
    let listed = |root: &Root, keys: &RoleKeys| -> BTreeSet<_> {
        keys.keyids.iter().map(|id| key_of((id.clone(), root.keys().get(id).cloned()))).collect()
    };
    match (old.role_keys(role), new.role_keys(role)) {
        (Some(before), Some(after)) => {
            after.threshold <= before.threshold && listed(old, before).is_subset(&listed(new, after))
        }
        _ => false,
    }
}

/// A holder by the bytes of the keys where they are known, else by the id.
fn key_of((keyid, key): (String, Option<Key>)) -> (Option<PublicKey>, Option<PublicKey>, String) {
    let pair = key.as_ref().and_then(Key::pair).map(|pair| pair.key().clone());
    match key.as_ref().and_then(Key::material) {
        Some(public) => (Some(public.clone()), pair, String::new()),
        None => (None, pair, keyid),
    }
}
