//! Keys that were taken away for good: whoever had one may still have it, so none comes back as somebody's new key.
//!
//! A rotation or revocation writes it down in `x-countersign.ended` of each file that listed the key (`verify`). A key
//! that is merely left out, because its holder no longer signs a product, has not ended.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_crypto::PublicKey;
use countersign_tlog::policy::Policy;
use countersign_tuf::metadata::{ROOT, TARGETS, key_id};
use countersign_verify::extension::{self, ENDED};

use super::policy;
use crate::current::Current;
use crate::error::PublishError;
use crate::proposal::{Intent, Member, RootChange};

/// The reason of a key that another followed.
pub(crate) const ROTATED: &str = "rotated";

/// Refuses an intent that brings a key which has ended here, as anybody's first or second key, as the log's or as a
/// witness's.
///
/// # Errors
/// `key-revoked`; `tuf-malformed`, `log-policy-invalid`.
pub(crate) fn check_none_returns(current: &Current, intent: &Intent) -> Result<(), PublishError> {
    let members: &[Member] = match intent {
        Intent::Product(product) => &product.signers,
        Intent::Rotate(rotate) => core::slice::from_ref(&rotate.to),
        Intent::Revoke(revoke) => revoke.replacement.as_slice(),
        Intent::Root(change) => return check_root(current, change),
        Intent::Release(_) | Intent::Yank(_) | Intent::Advisory(_) | Intent::Renew(_) => &[],
    };
    check_members(current, members)
}

/// Refuses a key that has ended here.
///
/// # Errors
/// `key-revoked`, `tuf-malformed`.
pub(crate) fn check_not_ended(current: &Current, key: &PublicKey) -> Result<(), PublishError> {
    let keyid = key_id(key);
    let in_root = extension::ended(ROOT, current.root(), &keyid).map_err(PublishError::Extension)?;
    let in_targets =
        extension::ended(TARGETS, current.targets()?, &keyid).map_err(PublishError::Extension)?;
    match in_root.or(in_targets).map(str::to_owned) {
        None => Ok(()),
        Some(why) => Err(PublishError::KeyEnded { keyid, why }),
    }
}

/// Writes down that a key has ended, into the members of a file's `x-countersign`.
pub(super) fn set_ended(extension: &mut BTreeMap<String, Json>, key: &PublicKey, why: &str) {
    let mut ended = extension.get(ENDED).and_then(Json::as_object).cloned().unwrap_or_default();
    ended.insert(key_id(key), Json::from(why));
    extension.insert(ENDED.to_owned(), Json::Object(ended));
}

fn check_members(current: &Current, members: &[Member]) -> Result<(), PublishError> {
    let mut keys = members.iter().flat_map(|member| core::iter::once(&member.key).chain(&member.pair));
    keys.try_for_each(|key| check_not_ended(current, key))
}

fn check_root(current: &Current, change: &RootChange) -> Result<(), PublishError> {
    change.roles.values().try_for_each(|role| check_members(current, &role.signers))?;
    let Some(lines) = &change.policy else { return Ok(()) };
    let known: BTreeSet<_> = keys(&current.policy).collect();
    let next = policy::parsed(lines)?;
    keys(&next).filter(|key| !known.contains(key)).try_for_each(|key| check_not_ended(current, key))
}

/// The keys of a policy's log and witnesses.
fn keys(policy: &Policy) -> impl Iterator<Item = &PublicKey> {
    let logs = policy.logs().iter().map(|log| log.key.public_key());
    logs.chain(policy.witnesses().iter().map(|witness| witness.key.public_key()))
}
