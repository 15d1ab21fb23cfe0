//! A new root: who signs the top-level roles, for how long it is good, and the transparency policy.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_tlog::policy::Policy;
use countersign_tuf::Root;
use countersign_tuf::editor::{Draft, RootEditor};
use countersign_tuf::metadata::{TARGETS, TOP_LEVEL, key_id};
use countersign_verify::{EXTENSION, root_policy};

use super::handover::check_origin;
use super::keys::{check_drops, members, parsed, second_of};
use super::policy;
use super::swap::{lacks, renewed};
use crate::error::PublishError;
use crate::proposal::{Member, Planning, RootChange};

/// Most days that a root can be good for: longer, and nobody remembers how to make the next.
const MAX_ROOT_DAYS: u32 = 3660;

/// Plans a change of root. One that names nothing renews it as it is.
///
/// # Errors
/// `usage` for an expiry out of range or a second key that there is not, `tuf-malformed` for a role that is not a top-level one, `tuf-threshold-invalid`,
/// `tuf-key-duplicate`, `log-policy-invalid`, `log-origin-mismatch` for another log.
pub(crate) fn plan_root(planning: &Planning<'_>, change: &RootChange) -> Result<Vec<Draft>, PublishError> {
    let current = planning.current;
    let days = match change.expires_days {
        None => planning.expiries.root_days,
        Some(days) if (1..=MAX_ROOT_DAYS).contains(&days) => u64::from(days),
        Some(_) => return Err(PublishError::ProposalUsage { reason: "a root is good for 1 to 3660 days" }),
    };
    let mut editor = RootEditor::next(current.root());
    editor.set_expires(planning.now.plus_days(days));
    for (role, new) in &change.roles {
        let keys: Vec<_> = new.signers.iter().map(|member| member.key.clone()).collect();
        editor.set_role(role, &keys, new.threshold)?;
    }
    let signers: Vec<Member> = change.roles.values().flat_map(|role| role.signers.iter().cloned()).collect();
    check_members(&signers)?;
    let mut members = members(current.root(), &listed_after(current.root(), change), &signers)?;
    if let Some(lines) = &change.policy {
        members.insert(policy::MEMBER.to_owned(), Json::from(policy::checked_lines(lines)?));
    }
    editor.set_extension(EXTENSION, Json::Object(members));
    let before = current.root().keys();
    check_drops(before, &change.drop_pairs, &signers)?;
    for member in &signers {
        // A key that changes its role takes its second one along.
        editor.set_pair(&member.key, second_of(before, member).as_ref())?;
    }
    for key in change.drop_pairs.iter().filter_map(|id| before.get(id)?.usable()) {
        editor.set_pair(key, None)?;
    }
    let draft = checked(editor.finish()?, &current.policy)?;
    let root = parsed::<Root>(&draft)?;
    let targets = renewed_targets(planning, &root)?;
    Ok(core::iter::once(draft).chain(targets).collect())
}

/// The next version of targets, if too few of those who signed the present one have a say in it under `root`.
pub(super) fn renewed_targets(planning: &Planning<'_>, root: &Root) -> Result<Option<Draft>, PublishError> {
    let current = planning.current;
    let Some(keys) = root.role_keys(TARGETS) else { return Ok(None) };
    if lacks(current, TARGETS, root.keys(), keys)? {
        return renewed(planning, TARGETS, current.targets()?).map(Some);
    }
    Ok(None)
}

/// A root whose policy clients can use, of the log that the repository has.
pub(super) fn checked(draft: Draft, present: &Policy) -> Result<Draft, PublishError> {
    let next = root_policy(&parsed::<Root>(&draft)?).map_err(PublishError::SelfCheck)?;
    check_origin(present, &next)?;
    Ok(draft)
}

/// One key with two holders or two second keys: which of them is meant cannot be told.
fn check_members(members: &[Member]) -> Result<(), PublishError> {
    let mut known = BTreeMap::new();
    for member in members {
        if known.insert(&member.key, member).is_some_and(|other| other != member) {
            let reason = "one key stands in two roles with different holders or second keys";
            return Err(PublishError::ProposalUsage { reason });
        }
    }
    Ok(())
}

/// Ids of the keys that the next root lists.
fn listed_after(root: &Root, change: &RootChange) -> BTreeSet<String> {
    let kept = TOP_LEVEL.iter().filter(|role| !change.roles.contains_key(**role));
    let kept = kept.filter_map(|role| root.role_keys(role)).flat_map(|keys| keys.keyids.iter().cloned());
    let new = change.roles.values().flat_map(|role| role.signers.iter().map(|member| key_id(&member.key)));
    kept.chain(new).collect()
}
