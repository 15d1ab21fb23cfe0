//! Keys, thresholds, holders and products.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_base::text::escape;
use countersign_crypto::Algorithm;
use countersign_tuf::metadata::{Key, ROOT, TOP_LEVEL};
use countersign_verify::EXTENSION;
use countersign_verify::extension::{ENDED, HOLDERS, PRODUCTS, SEPARATION};

use super::super::authority::short;
use super::policy::policy;
use super::{Differences, shown};
use crate::product;

/// The member of `x-countersign` with second keys (ADR 0009).
const PAIRS: &str = "pairs";

/// Keys and thresholds of the top-level roles, and the policy.
pub(super) fn root(differences: &mut Differences<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let table = ["keys"];
    let (mut before, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for role in TOP_LEVEL {
        let (old, new) = differences.at(&["roles", role]);
        before.extend(ids(old));
        listed.extend(ids(new));
        if old == new || !(is_plain(old) && is_plain(new)) {
            continue;
        }
        let label = if role == ROOT { "root".to_owned() } else { format!("the {role} role") };
        lines.extend(group(differences, &table, &label, old, new));
        for member in ["keyids", "threshold"] {
            differences.take(&["roles", role, member]);
        }
    }
    lines.extend(holders_and_pairs(differences, &table, &before, &listed));
    lines.extend(policy(differences));
    lines
}

/// Products: who signs them, and whether a second person must agree.
pub(super) fn targets(differences: &mut Differences<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let table = ["delegations", "keys"];
    let (old, new) = differences.at(&["delegations", "roles"]);
    let roles = |value: Option<&Json>| value.and_then(Json::as_array).unwrap_or_default().to_vec();
    let (before, after) = (roles(old), roles(new));
    let plain = [old, new].into_iter().flatten().all(|roles| roles.as_array().is_some());
    if plain && are_plain(&before) && are_plain(&after) && before != after {
        lines.extend(delegations(differences, &table, &before, &after));
        differences.take(&["delegations", "roles"]);
    }
    let all = |roles: &[Json]| roles.iter().flat_map(|role| ids(Some(role))).collect();
    let (before, listed) = (all(&before), all(&after));
    lines.extend(holders_and_pairs(differences, &table, &before, &listed));
    lines.extend(separation(differences));
    lines
}

/// Products that come, go or change.
fn delegations(
    differences: &Differences<'_>,
    table: &[&str],
    before: &[Json],
    after: &[Json],
) -> Vec<String> {
    let mut lines = Vec::new();
    let find = |roles: &[Json], wanted: &str| roles.iter().find(|role| name_of(role) == wanted).cloned();
    for role in after {
        let was = find(before, name_of(role));
        if was.as_ref() == Some(role) {
            continue;
        }
        let label = format!("the product {}", escape(name_of(role)));
        if was.is_none() {
            let below = match is_usual(role) {
                true => format!(", for files below `{}/`", escape(name_of(role))),
                false => String::new(),
            };
            lines.push(format!("adds {label}{below}"));
        }
        lines.extend(group(differences, table, &label, was.as_ref(), Some(role)));
        lines.extend(other_members(&label, was.as_ref(), role));
    }
    for role in before.iter().filter(|role| find(after, name_of(role)).is_none()) {
        lines.push(format!("removes the product {} and all that it lists", escape(name_of(role))));
    }
    let staying = |roles: &[Json], others: &[Json]| -> Vec<String> {
        let names = roles.iter().map(name_of).filter(|role| find(others, role).is_some());
        names.map(str::to_owned).collect()
    };
    if staying(before, after) != staying(after, before) {
        let order: Vec<&str> = after.iter().map(name_of).collect();
        lines.push(format!("changes the order of the products to {}", escape(&order.join(", "))));
    }
    lines
}

/// Whether changes of products need a second person.
fn separation(differences: &mut Differences<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for product in differences.names(&[EXTENSION, PRODUCTS]) {
        let at = [EXTENSION, PRODUCTS, product.as_str(), SEPARATION];
        let (old, new) = differences.at(&at);
        if old == new {
            continue;
        }
        let product = escape(&product);
        match new.map(Json::as_bool) {
            Some(Some(true)) => {
                lines.push(format!("asks for another person than the proposer in every change of {product}"))
            }
            None | Some(Some(false)) => lines
                .push(format!("no longer asks for another person than the proposer in changes of {product}")),
            Some(None) => continue,
        }
        differences.take(&at);
    }
    lines
}

/// Whether a role's keys and threshold are what they are in every file that parses.
fn is_plain(role: Option<&Json>) -> bool {
    let Some(role) = role else { return true };
    let ids = role.get("keyids").and_then(Json::as_array);
    let texts = ids.is_some_and(|ids| ids.iter().all(|id| id.as_str().is_some()));
    texts && role.get("threshold").and_then(Json::as_integer).is_some()
}

/// Whether all of these are plain roles, each of another name.
fn are_plain(roles: &[Json]) -> bool {
    let names: BTreeSet<&str> = roles.iter().map(name_of).collect();
    names.len() == roles.len() && !names.contains("") && roles.iter().all(|role| is_plain(Some(role)))
}

/// The name of a delegation.
fn name_of(role: &Json) -> &str {
    role.get("name").and_then(Json::as_str).unwrap_or_default()
}

/// The key ids that a role lists.
fn ids(role: Option<&Json>) -> Vec<String> {
    let ids = role.and_then(|role| role.get("keyids")).and_then(Json::as_array).unwrap_or_default();
    ids.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// Keys that come, go, and the threshold.
fn group(
    differences: &Differences<'_>,
    table: &[&str],
    label: &str,
    old: Option<&Json>,
    new: Option<&Json>,
) -> Vec<String> {
    let (before, after) = (ids(old), ids(new));
    let mut lines = Vec::new();
    for id in after.iter().filter(|id| !before.contains(id)) {
        lines.push(format!("lets {} sign {label}: {}", name(differences, id), key(differences, table, id)));
    }
    for id in before.iter().filter(|id| !after.contains(id)) {
        lines.push(format!("no longer lets {} sign {label}: key {}", name(differences, id), escape(id)));
    }
    let threshold =
        |role: Option<&Json>| role.and_then(|role| role.get("threshold")).and_then(Json::as_integer);
    match (threshold(old), threshold(new)) {
        (None, Some(new)) => lines.push(format!("{label} needs {new} of {} signatures", after.len())),
        (Some(old), Some(new)) if old != new || before.len() != after.len() => lines.push(format!(
            "{label} needs {new} of {} signatures; it was {old} of {}",
            after.len(),
            before.len()
        )),
        _ => {}
    }
    lines.extend(threshold(new).and_then(|threshold| too_few(differences, &after, threshold)));
    if lines.is_empty() && before != after {
        lines.push(format!("lists the keys of {label} in another order"));
    }
    lines
}

/// A warning where fewer people than signatures are needed, because one of them has several of these keys.
fn too_few<N>(differences: &Differences<'_>, ids: &[String], threshold: N) -> Option<String>
where
    usize: TryFrom<N>,
{
    let threshold = usize::try_from(threshold).ok()?;
    let mut people: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for id in ids {
        let name = name(differences, id);
        people.entry(name.to_ascii_lowercase()).or_insert((name, 0)).1 += 1;
    }
    let mut people: Vec<(String, usize)> = people.into_values().collect();
    people.sort_by_key(|(_, keys)| core::cmp::Reverse(*keys));
    let (mut signatures, mut needed) = (0, Vec::new());
    for (name, keys) in people {
        if signatures < threshold {
            signatures += keys;
            needed.push(name);
        }
    }
    if signatures < threshold || needed.len() >= threshold {
        return None;
    }
    Some(match needed.as_slice() {
        [one] => format!("WARNING: one person, {one}, can meet this threshold alone"),
        some => format!(
            "WARNING: {} people, {}, can meet this threshold of {threshold} among themselves",
            some.len(),
            some.join(", ")
        ),
    })
}

/// Members of a delegation beyond its keys: what it covers, and whatever else there is.
fn other_members(label: &str, old: Option<&Json>, new: &Json) -> Vec<String> {
    let said = ["name", "keyids", "threshold"];
    let members = |role: Option<&Json>| role.and_then(Json::as_object).cloned().unwrap_or_default();
    let (before, after) = (members(old), members(Some(new)));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    // Said where the product comes.
    let usual = if old.is_none() && is_usual(new) { &["paths", "terminating"][..] } else { &[] };
    let said = |name: &str| said.contains(&name) || usual.contains(&name);
    let changed = names.into_iter().filter(|name| !said(name) && before.get(*name) != after.get(*name));
    changed
        .map(|name| match after.get(name) {
            Some(value) => format!("sets `{}` of {label} to {}", escape(name), shown(value)),
            None => format!("removes `{}` of {label}", escape(name)),
        })
        .collect()
}

/// Whether a product has its own folder of targets and nothing else, as every product that is added here.
fn is_usual(role: &Json) -> bool {
    let paths = Json::Array(vec![Json::from(product::pattern(name_of(role)))]);
    role.get("paths") == Some(&paths) && role.get("terminating") == Some(&Json::Bool(true))
}

/// Whose keys they are, second keys, and keys in the table that are of no use.
fn holders_and_pairs(
    differences: &mut Differences<'_>,
    table: &[&str],
    before: &BTreeSet<String>,
    listed: &BTreeSet<String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for id in differences.names(&[EXTENSION, HOLDERS]) {
        let at = [EXTENSION, HOLDERS, id.as_str()];
        let (old, new) = differences.at(&at);
        let was_listed = before.contains(&id);
        match (old.and_then(Json::as_str), new.and_then(Json::as_str)) {
            // Said where the key comes or goes.
            (None, Some(_)) if !was_listed && listed.contains(&id) => {}
            (Some(_), None) if new.is_none() && was_listed && !listed.contains(&id) => {}
            (old, Some(new)) => {
                let was = old.map_or_else(|| "nobody".to_owned(), escape);
                lines.push(format!(
                    "says that the key {} is of {}; it was of {was}",
                    escape(&id),
                    escape(new)
                ));
            }
            (Some(old), None) if new.is_none() => {
                lines.push(format!("no longer says that the key {} is of {}", escape(&id), escape(old)));
            }
            _ => continue,
        }
        differences.take(&at);
    }
    lines.extend(ended(differences));
    for id in differences.names(&[EXTENSION, PAIRS]) {
        let at = [EXTENSION, PAIRS, id.as_str()];
        let who = name(differences, &id);
        match differences.at(&at) {
            (_, Some(new)) => {
                lines.push(format!("asks {who} to sign with a second key as well: {}", second(new)));
            }
            // A holder who goes is asked for none; that is said above.
            (Some(_), None) if before.contains(&id) && !listed.contains(&id) => {}
            (Some(_), None) => lines.push(format!("asks {who} for one key only; it was two")),
            (None, None) => {}
        }
        differences.take(&at);
    }
    for id in differences.names(table) {
        let at = [table, &[id.as_str()]].concat();
        match differences.at(&at) {
            // Ids are digests, so this is no honest file.
            (Some(_), Some(new)) => {
                lines.push(format!("changes the key under the id {} to {}", escape(&id), shown(new)));
            }
            (None, Some(_)) if !listed.contains(&id) => {
                lines.push(format!("lists a key that no role uses: {}", escape(&id)));
            }
            (None, Some(_)) if before.contains(&id) => {
                lines.push(format!("lists the key {}, which a role named before", escape(&id)));
            }
            (Some(_), None) if listed.contains(&id) => {
                lines.push(format!("no longer lists the key {}, which a role uses", escape(&id)));
            }
            _ => {}
        }
        differences.take(&at);
    }
    lines
}

/// Keys that never come back. That one does, or for another reason, is shown as it is.
fn ended(differences: &mut Differences<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for id in differences.names(&[EXTENSION, ENDED]) {
        let at = [EXTENSION, ENDED, id.as_str()];
        if let (None, Some(Json::String(why))) = differences.at(&at) {
            let first = first_of(differences, &id);
            let holder = differences.at(&[EXTENSION, HOLDERS, first.as_ref().unwrap_or(&id)]);
            let holder = holder.0.or(holder.1).and_then(Json::as_str);
            let whose = holder.map_or_else(String::new, |name| format!(" of {}", escape(name)));
            let key = if first.is_some() { "second key" } else { "key" };
            let id = short(&escape(&id));
            lines.push(format!("ends the {key} {id}{whose} for ever: {}", escape(why)));
            differences.take(&at);
        }
    }
    lines
}

/// The id of the key whose second one had this id in the old file.
fn first_of(differences: &Differences<'_>, second: &str) -> Option<String> {
    let (old, _) = differences.at(&[EXTENSION, PAIRS]);
    let mut pairs = old?.as_object()?.iter();
    pairs.find(|(_, key)| id_of(key) == second).map(|(first, _)| first.clone())
}

/// Whose key it is, by the new file or else the old.
fn name(differences: &Differences<'_>, id: &str) -> String {
    let (old, new) = differences.at(&[EXTENSION, HOLDERS, id]);
    let holder = new.or(old).and_then(Json::as_str);
    holder.map_or_else(|| format!("the holder of {}", short(&escape(id))), escape)
}

/// A key that comes, whole, so that it can be compared with what its holder says.
fn key(differences: &Differences<'_>, table: &[&str], id: &str) -> String {
    let (_, new) = differences.at(&[table, &[id]].concat());
    let public = new.and_then(|json| Key::read(id, json).ok()).and_then(|key| key.usable().cloned());
    match public {
        Some(public) if public.algorithm() == Algorithm::Ed25519 => public.to_string(),
        Some(public) => format!("{} key {}", public.algorithm(), escape(id)),
        None => format!("key {}, of a kind that is not known here", escape(id)),
    }
}

/// A second key: its kind and its id, which is its digest.
fn second(json: &Json) -> String {
    let scheme = json.get("scheme").and_then(Json::as_str).unwrap_or_default();
    format!("{} key {}", escape(scheme), id_of(json))
}

/// The id of a key object.
fn id_of(json: &Json) -> String {
    countersign_crypto::sha256(&countersign_base::canonical::olpc(json)).to_string()
}
