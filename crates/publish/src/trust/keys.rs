//! Keys as a file lists them, and what goes with them: second keys and the names of holders.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_crypto::PublicKey;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{KeyTable, RoleKeys, key_id};
use countersign_tuf::{Envelope, Role};
use countersign_verify::extension;

use crate::error::PublishError;
use crate::proposal::{Member, set_holders};

/// The member of `x-countersign` with second keys, which the editors keep themselves.
const PAIRS: &str = "pairs";

/// A holder's key in a role, and its second one if it has two (ADR 0009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: PublicKey,
    pub(super) pair: Option<PublicKey>,
}

/// The keys of a role that can be used.
pub(super) fn listed(table: &KeyTable, keys: &RoleKeys) -> Vec<Listed> {
    let read = |id: &String| {
        let listed = table.get(id)?;
        Some(Listed { key: listed.usable()?.clone(), pair: listed.pair().map(|pair| pair.key().clone()) })
    };
    keys.keyids.iter().filter_map(read).collect()
}

/// The second key that a member owes from now on: the one that is named, else the one that the file has for that key.
pub(crate) fn second_of(table: &KeyTable, member: &Member) -> Option<PublicKey> {
    let held = || table.get(&key_id(&member.key))?.pair().map(|pair| pair.key().clone());
    member.pair.clone().or_else(held)
}

/// Refuses to drop second keys that the file does not have, or that the same change names.
///
/// # Errors
/// `usage`.
pub(crate) fn check_drops(
    table: &KeyTable,
    dropped: &BTreeSet<String>,
    members: &[Member],
) -> Result<(), PublishError> {
    let is_paired = |id: &String| table.get(id).is_some_and(|key| key.pair().is_some());
    let is_named = |member: &Member| member.pair.is_some() && dropped.contains(&key_id(&member.key));
    if dropped.iter().all(is_paired) && !members.iter().any(is_named) {
        return Ok(());
    }
    let reason = "a second key is dropped where there is one, and is not named at the same time";
    Err(PublishError::ProposalUsage { reason })
}

/// The first keys alone, as editors take them.
pub(super) fn first(listed: &[Listed]) -> Vec<PublicKey> {
    listed.iter().map(|listed| listed.key.clone()).collect()
}

/// A draft as the type of its role.
pub(super) fn parsed<T: Role>(draft: &Draft) -> Result<T, PublishError> {
    Ok(Envelope::<T>::parse(draft.role(), &draft.to_bytes()?)?.signed)
}

/// The members of a file's `x-countersign` for its next version, whose holders are those of the keys in `staying` and of
/// `new`. Pairs are left to the editors, which keep them with their keys.
pub(super) fn members<T: Role>(
    file: &T,
    staying: &BTreeSet<String>,
    new: &[Member],
) -> Result<BTreeMap<String, Json>, PublishError> {
    let mut members = extension::members(file);
    members.remove(PAIRS);
    set_holders(&mut members, staying, new)?;
    Ok(members)
}
