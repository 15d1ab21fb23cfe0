//! How a new metadata file differs from the old one, in plain words.
//!
//! Every difference is collected first. Each part below takes those that it puts into words; what nobody took is
//! shown as it is, so nothing is hidden, whatever a later version adds. All text is safe on a terminal.

mod keys;
mod targets;

use std::collections::BTreeMap;

use countersign_base::Json;
use countersign_base::canonical::rfc8785;
use countersign_base::text::escape;
use countersign_crypto::sha256;
use countersign_tuf::metadata::{ROOT, TARGETS};
use countersign_verify::EXTENSION;

/// Longest value that is shown whole, in bytes.
const MAX_SHOWN_BYTES: usize = 400;

/// The differences that are not in words yet: where, what was there, what is there now. Objects are gone into; an
/// array is one value.
pub(super) struct Differences<'a> {
    old: Option<&'a Json>,
    new: &'a Json,
    left: BTreeMap<Vec<String>, (Option<Json>, Option<Json>)>,
}

/// What changes in a role's file, a line each.
pub(super) fn changes(role: &str, old: Option<&Json>, new: &Json) -> Vec<String> {
    let mut differences = Differences::of(old, new);
    // The version and the expiry stand above the lines; the proposal and its proposer above all.
    for silent in [["version"].as_slice(), &["expires"], &[EXTENSION, "proposal"], &[EXTENSION, "proposer"]] {
        differences.take(silent);
    }
    if old.is_none() {
        // What every new file has.
        for (member, value) in [("_type", TARGETS), ("spec_version", "1.0.34")] {
            if new.get(member).and_then(Json::as_str) == Some(value) {
                differences.take(&[member]);
            }
        }
        if new.get("targets").and_then(Json::as_object).is_some_and(BTreeMap::is_empty) {
            differences.take(&["targets"]);
        }
    }
    let mut lines = match role {
        ROOT => keys::root(&mut differences),
        TARGETS => keys::targets(&mut differences),
        _ => Vec::new(),
    };
    if role != ROOT {
        lines.extend(targets::entries(&mut differences));
        lines.extend(targets::extension(&mut differences));
    }
    lines.extend(differences.rest());
    lines
}

impl<'a> Differences<'a> {
    fn of(old: Option<&'a Json>, new: &'a Json) -> Self {
        let mut left = BTreeMap::new();
        collect(&mut Vec::new(), old, Some(new), &mut left);
        Self { old, new, left }
    }

    /// Takes all differences at `path` and below it; whether there are any.
    fn take(&mut self, path: &[&str]) -> bool {
        let before = self.left.len();
        self.left.retain(|at, _| !starts_with(at, path));
        self.left.len() < before
    }

    /// The names below `path` where there is a difference.
    fn names(&self, path: &[&str]) -> Vec<String> {
        let below = self.left.keys().filter(|at| starts_with(at, path));
        let mut names: Vec<String> = below.filter_map(|at| at.get(path.len()).cloned()).collect();
        names.dedup();
        names
    }

    /// What stands at `path` in the old file and in the new one.
    fn at(&self, path: &[&str]) -> (Option<&'a Json>, Option<&'a Json>) {
        let find = |from: Option<&'a Json>| path.iter().try_fold(from?, |value, name| value.get(name));
        (find(self.old), find(Some(self.new)))
    }

    /// What nobody put into words.
    fn rest(self) -> Vec<String> {
        let line = |(path, (old, new)): (Vec<String>, (Option<Json>, Option<Json>))| {
            let path = escape(&path.join("."));
            match (old, new) {
                (None, Some(new)) => format!("also sets `{path}` to {}", shown(&new)),
                (Some(old), None) => format!("also removes `{path}`, which was {}", shown(&old)),
                (Some(old), Some(new)) => {
                    format!("also changes `{path}` from {} to {}", shown(&old), shown(&new))
                }
                (None, None) => format!("also touches `{path}`"),
            }
        };
        self.left.into_iter().map(line).collect()
    }
}

fn starts_with(at: &[String], path: &[&str]) -> bool {
    at.len() >= path.len() && at.iter().zip(path).all(|(one, two)| one == two)
}

fn collect(
    at: &mut Vec<String>,
    old: Option<&Json>,
    new: Option<&Json>,
    out: &mut BTreeMap<Vec<String>, (Option<Json>, Option<Json>)>,
) {
    if old == new {
        return;
    }
    let members = |value: Option<&Json>| value.and_then(Json::as_object).cloned();
    let (before, after) = (members(old), members(new));
    let empty = |members: &Option<BTreeMap<_, _>>| members.as_ref().is_none_or(BTreeMap::is_empty);
    // An object against nothing or against another object is gone into; anything else is one difference.
    let objects = (before.is_some() || old.is_none()) && (after.is_some() || new.is_none());
    let goes_in = objects && !(empty(&before) && empty(&after));
    if !goes_in {
        out.insert(at.clone(), (old.cloned(), new.cloned()));
        return;
    }
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        at.push(name.clone());
        collect(at, before.get(name), after.get(name), out);
        at.pop();
    }
}

/// A value as it stands, or its length and digest if it is long.
fn shown(value: &Json) -> String {
    let bytes = rfc8785(value);
    match String::from_utf8(bytes) {
        Ok(text) if text.len() <= MAX_SHOWN_BYTES => format!("`{}`", escape(&text)),
        Ok(text) => format!("{} bytes with SHA-256 {}", text.len(), sha256(text.as_bytes())),
        Err(_) => "what is no text".to_owned(),
    }
}
