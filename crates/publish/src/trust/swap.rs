//! A key that goes, and what comes in its place, wherever it is used.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_crypto::PublicKey;
use countersign_tuf::editor::{Draft, NewDelegation, RootEditor, TargetsEditor};
use countersign_tuf::metadata::{KeyTable, RoleKeys, TARGETS, TOP_LEVEL, key_id};
use countersign_tuf::{Role, Root, Targets};
use countersign_verify::{EXTENSION, extension};

use super::ended::{ROTATED, set_ended};
use super::keys::{Listed, first, listed, members, parsed, second_of};
use super::{policy, root};
use crate::current::Current;
use crate::error::PublishError;
use crate::proposal::{Member, Planning};

/// A key that goes, and the one that comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swap<'a> {
    pub(super) from: &'a PublicKey,
    pub(super) to: Option<&'a Member>,
    /// Why it never comes back; `None` if it goes on with a second key beside it.
    pub(super) ended: Option<&'static str>,
}

impl Swap<'_> {
    /// The keys of a role after the swap; `None` if it is not among them.
    ///
    /// # Errors
    /// [`PublishError::KeyNeeded`] if too few are left, or half of a holder's two.
    fn apply(
        &self,
        role: &str,
        (table, keys): (&KeyTable, &RoleKeys),
        same_holder: bool,
    ) -> Result<Option<Vec<Listed>>, PublishError> {
        let threshold = keys.threshold;
        let keys = &listed(table, keys);
        let needed = |keys| PublishError::KeyNeeded { role: role.to_owned(), threshold, keys };
        let mut after = Vec::with_capacity(keys.len());
        let mut found = false;
        for listed in keys {
            let (is_first, is_second) = (listed.key == *self.from, listed.pair.as_ref() == Some(self.from));
            found |= is_first || is_second;
            match self.to {
                _ if !is_first && !is_second => after.push(listed.clone()),
                // The other half stays with its holder, unless it is replaced as well. Nobody gets another's.
                Some(to) if is_first => {
                    let stays = || listed.pair.clone().filter(|_| same_holder);
                    let pair = second_of(table, to).or_else(stays);
                    after.push(Listed { key: to.key.clone(), pair });
                }
                Some(to) => after.push(Listed { key: listed.key.clone(), pair: Some(to.key.clone()) }),
                // A holder of two keys does not become a holder of one without being asked.
                None if is_second => return Err(needed(keys.len())),
                None => {}
            }
        }
        if after.len() < threshold as usize {
            return Err(needed(after.len()));
        }
        Ok(found.then_some(after))
    }

    /// Whether the file says that the key which goes is of the holder whose key comes.
    fn is_of_one<T: Role>(&self, file: &T) -> bool {
        let was = extension::holder(file, &key_id(self.from));
        let same = |(was, to): (&str, &Member)| was.eq_ignore_ascii_case(&to.holder);
        was.zip(self.to).is_some_and(same)
    }

    /// Writes down the key, and its second one in this file if that is among those `left_over`.
    fn write_end(
        &self,
        members: &mut BTreeMap<String, Json>,
        table: &KeyTable,
        left_over: &BTreeSet<PublicKey>,
    ) {
        if let Some(why) = self.ended {
            set_ended(members, self.from, why);
        }
        if let Some(second) = self.second(table).filter(|second| left_over.contains(second)) {
            set_ended(members, &second, self.ended.unwrap_or(ROTATED));
        }
    }

    /// The second key of the one that goes, in a file with these keys.
    fn second(&self, table: &KeyTable) -> Option<PublicKey> {
        table.get(&key_id(self.from))?.pair().map(|pair| pair.key().clone())
    }

    fn comes(&self) -> Vec<Member> {
        self.to.cloned().into_iter().collect()
    }
}

/// New root, targets and products in which the key is used no more; only those that change.
///
/// # Errors
/// [`PublishError::KeyNeeded`], `usage` for a key that is not used; codes of the editors.
pub(super) fn plan(planning: &Planning<'_>, swap: Swap<'_>) -> Result<Vec<Draft>, PublishError> {
    let left_over = left_over(planning.current, swap)?;
    let root = in_root(planning, swap, &left_over)?;
    let new_root = root.as_ref().map(parsed::<Root>).transpose()?;
    let targets = in_targets(planning, swap, &left_over)?;
    let targets = match (targets, &new_root) {
        (None, Some(root)) => root::renewed_targets(planning, root)?,
        (targets, _) => targets,
    };
    let mut drafts: Vec<Draft> = root.into_iter().chain(targets).collect();
    if drafts.is_empty() {
        return Err(PublishError::ProposalUsage {
            reason: "no role and no policy of this repository uses that key",
        });
    }
    let targets = drafts.iter().find(|draft| draft.role() == TARGETS);
    let products = targets.map(|targets| products_to_sign(planning, targets)).transpose()?;
    drafts.extend(products.into_iter().flatten());
    Ok(drafts)
}

/// The next versions of the products that these new targets leave with too few of their signatures.
pub(crate) fn products_to_sign(planning: &Planning<'_>, targets: &Draft) -> Result<Vec<Draft>, PublishError> {
    let (current, mut drafts) = (planning.current, Vec::new());
    let targets = parsed::<Targets>(targets)?;
    let Some(delegations) = targets.delegations() else { return Ok(drafts) };
    for role in delegations.roles() {
        if lacks(current, &role.name, delegations.keys(), &role.keys)? {
            drafts.push(renewed(planning, &role.name, current.product(&role.name)?)?);
        }
    }
    Ok(drafts)
}

/// The next version of a file with the same content, for others to sign.
pub(super) fn renewed(planning: &Planning<'_>, role: &str, file: &Targets) -> Result<Draft, PublishError> {
    let expiries = planning.expiries;
    let days = if role == TARGETS { expiries.targets_days } else { expiries.product_days };
    let mut editor = TargetsEditor::next(role, file);
    editor.set_version((planning.version)(role)).set_expires(planning.now.plus_days(days));
    Ok(editor.finish()?)
}

/// Whether the present file of a role would be refused under these keys: those of its signers who stay are too few.
///
/// A role that was not loaded is not affected by what is planned: all whose keys change, first or second, are.
pub(super) fn lacks(
    current: &Current,
    role: &str,
    table: &KeyTable,
    keys: &RoleKeys,
) -> Result<bool, PublishError> {
    let Some(signers) = current.signers(role) else { return Ok(false) };
    let before = match role {
        TARGETS => Some(current.root().keys()),
        _ => current.targets()?.delegations().map(|delegations| delegations.keys()),
    };
    let pair = |table: &KeyTable, id: &String| {
        table.get(id).and_then(|key| key.pair()).map(|pair| pair.key().clone())
    };
    let stays = |id: &&String| {
        signers.signed.contains(*id) && before.is_some_and(|before| pair(before, id) == pair(table, id))
    };
    Ok(keys.keyids.iter().filter(stays).count() < keys.threshold as usize)
}

/// Second keys of the one that goes which are in nobody's hands afterwards, neither in root nor in targets: whoever had
/// the one may have the other.
fn left_over(current: &Current, swap: Swap<'_>) -> Result<BTreeSet<PublicKey>, PublishError> {
    let (root, targets) = (current.root(), current.targets()?);
    let of_root = TOP_LEVEL.into_iter().filter_map(|role| Some((role, root.role_keys(role)?)));
    let mut roles: Vec<_> =
        of_root.map(|(name, keys)| (name, root.keys(), keys, swap.is_of_one(root))).collect();
    if let Some(all) = targets.delegations() {
        let same = swap.is_of_one(targets);
        roles.extend(all.roles().iter().map(|role| (role.name.as_str(), all.keys(), &role.keys, same)));
    }
    let mut seconds: BTreeSet<_> = roles.iter().filter_map(|(_, table, ..)| swap.second(table)).collect();
    for (role, table, keys, same_holder) in roles {
        let after = swap.apply(role, (table, keys), same_holder)?.unwrap_or_else(|| listed(table, keys));
        for held in after {
            seconds.remove(&held.key);
            if let Some(pair) = &held.pair {
                seconds.remove(pair);
            }
        }
    }
    Ok(seconds)
}

fn in_root(
    planning: &Planning<'_>,
    swap: Swap<'_>,
    left_over: &BTreeSet<PublicKey>,
) -> Result<Option<Draft>, PublishError> {
    let root = planning.current.root();
    let policy = policy::swapped(&planning.current.policy, swap)?;
    let mut changed = Vec::new();
    for role in TOP_LEVEL {
        let Some(keys) = root.role_keys(role) else { continue };
        if let Some(after) = swap.apply(role, (root.keys(), keys), swap.is_of_one(root))? {
            changed.push((role, after, keys.threshold));
        }
    }
    if changed.is_empty() && policy.is_none() {
        return Ok(None);
    }
    let mut editor = RootEditor::next(root);
    editor.set_expires(planning.now.plus_days(planning.expiries.root_days));
    for (role, keys, threshold) in &changed {
        editor.set_role(role, &first(keys), *threshold)?;
    }
    let comes = if changed.is_empty() { Vec::new() } else { swap.comes() };
    let mut members = members(root, &ids_without(root.keys(), swap.from), &comes)?;
    swap.write_end(&mut members, root.keys(), left_over);
    if let Some(lines) = policy {
        members.insert(policy::MEMBER.to_owned(), Json::from(lines));
    }
    editor.set_extension(EXTENSION, Json::Object(members));
    for listed in changed.iter().flat_map(|(_, keys, _)| keys) {
        editor.set_pair(&listed.key, listed.pair.as_ref())?;
    }
    root::checked(editor.finish()?, &planning.current.policy).map(Some)
}

fn in_targets(
    planning: &Planning<'_>,
    swap: Swap<'_>,
    left_over: &BTreeSet<PublicKey>,
) -> Result<Option<Draft>, PublishError> {
    let targets = planning.current.targets()?;
    let Some(delegations) = targets.delegations() else { return Ok(None) };
    let mut editor = TargetsEditor::next(TARGETS, targets);
    let mut changed = Vec::new();
    for role in delegations.roles() {
        let keys = (delegations.keys(), &role.keys);
        let Some(after) = swap.apply(&role.name, keys, swap.is_of_one(targets))? else { continue };
        editor.set_delegation(&NewDelegation {
            name: &role.name,
            keys: &first(&after),
            threshold: role.keys.threshold,
            coverage: role.coverage.clone(),
            terminating: role.terminating,
        })?;
        changed.extend(after);
    }
    if changed.is_empty() {
        return Ok(None);
    }
    editor
        .set_version((planning.version)(TARGETS))
        .set_expires(planning.now.plus_days(planning.expiries.targets_days));
    let mut members = members(targets, &ids_without(delegations.keys(), swap.from), &swap.comes())?;
    swap.write_end(&mut members, delegations.keys(), left_over);
    if !members.is_empty() {
        editor.set_extension(EXTENSION, Json::Object(members));
    }
    for listed in &changed {
        editor.set_pair(&listed.key, listed.pair.as_ref())?;
    }
    Ok(Some(editor.finish()?))
}

fn ids_without(table: &KeyTable, gone: &PublicKey) -> BTreeSet<String> {
    let gone = key_id(gone);
    table.keys().filter(|id| **id != gone).cloned().collect()
}
