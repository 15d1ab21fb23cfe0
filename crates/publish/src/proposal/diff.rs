//! How a new metadata file differs from the old one, in plain words.
//!
//! Every difference is collected first. Each part below takes those that it puts into words; what nobody took is
//! shown as it is, so nothing is hidden, whatever a later version adds. All text is safe on a terminal.

mod keys;
mod policy;
mod targets;

use std::collections::BTreeMap;

use countersign_base::Json;
use countersign_base::canonical::rfc8785;
use countersign_base::text::escape;
use countersign_crypto::sha256;
use countersign_tuf::metadata::{ROOT, TARGETS};
use countersign_verify::EXTENSION;

/// What changes where only the number and the expiry do: the file is signed anew.
const SAME: &str = "changes nothing but its version and its expiry";
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
    // Nor the repository, which a proposal names above all. That it would change is shown.
    if differences.at(&[EXTENSION, "repository"]).0.is_none() {
        differences.take(&[EXTENSION, "repository"]);
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
    if old.is_some() && lines.iter().all(|line| line == targets::REMOVES_NOTHING) {
        return vec![SAME.to_owned()];
    }
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

#[cfg(test)]
mod tests {
    use countersign_base::json;

    use super::*;

    const KEY: &str = r#"{"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519"}"#;

    fn root() -> String {
        let role = r#"{"keyids":["aa","bb"],"threshold":1}"#;
        format!(
            r#"{{"_type":"root","consistent_snapshot":true,"expires":"2027-01-01T00:00:00Z","keys":{{"aa":{KEY},"bb":{KEY}}},
            "roles":{{"root":{role},"snapshot":{role},"targets":{role},"timestamp":{role}}},"spec_version":"1.0.34","version":2,
            "x-countersign":{{"apiVersion":"0.0.1","holders":{{"aa":"alice"}},"pairs":{{"aa":{KEY}}},
            "policy":["log a","witness b"],"proposal":"00","proposer":"alice","strange":[1]}},"x-other":{{"deep":{{"er":null}}}}}}"#
        )
    }

    fn targets() -> String {
        let custom = r#""custom":{"x-countersign":{"channel":"stable","mode":"755","odd":1}}"#;
        let file = format!(r#"{{"hashes":{{"sha256":"{}"}},"length":5,{custom}}}"#, "00".repeat(32));
        format!(
            r#"{{"_type":"targets","delegations":{{"keys":{{"aa":{KEY}}},"roles":[{{"keyids":["aa"],"name":"node",
            "paths":["node/*/*/*"],"terminating":true,"threshold":1}}]}},"expires":"2027-01-01T00:00:00Z",
            "spec_version":"1.0.34","targets":{{"node/1.0.0/linux-amd64/node":{file},"node/advisories/osv/A.json":{file},
            "odd":{file}}},"version":2,"x-countersign":{{"floor":"1.0.0","holders":{{"aa":"alice"}},
            "products":{{"node":{{"separation":true,"odd":1}}}},"yanked":{{"1.0.0":"bad"}}}}}}"#
        )
    }

    /// Every value of a file, changed or taken away one at a time.
    fn variants(value: &Json, at: &mut Vec<String>, out: &mut Vec<(Vec<String>, Option<Json>)>) {
        let other = match value {
            Json::Object(members) => {
                for (name, member) in members {
                    at.push(name.clone());
                    variants(member, at, out);
                    at.pop();
                }
                Json::from("no object")
            }
            Json::Array(items) => Json::Array(items.iter().rev().skip(1).cloned().collect()),
            Json::String(text) => Json::from(format!("{text}x")),
            Json::Integer(number) => Json::Integer(number + 1),
            Json::Bool(value) => Json::from(!value),
            Json::Null => Json::from("something"),
        };
        out.push((at.clone(), Some(other)));
        out.push((at.clone(), None));
    }

    fn set(value: &Json, at: &[String], new: Option<&Json>) -> Option<Json> {
        let Some((name, rest)) = at.split_first() else { return new.cloned() };
        let mut members = value.as_object().cloned().unwrap_or_default();
        match set(&members[name], rest, new) {
            Some(member) => members.insert(name.clone(), member),
            None => members.remove(name),
        };
        Some(Json::Object(members))
    }

    #[test]
    fn no_change_goes_unsaid() {
        let said_above = ["version", "expires", "x-countersign.proposal", "x-countersign.proposer"];
        for (role, text) in [(ROOT, root()), (TARGETS, targets()), ("node", targets())] {
            let old = json::parse(text.as_bytes()).unwrap();
            let mut all = Vec::new();
            variants(&old, &mut Vec::new(), &mut all);
            assert!(all.len() > 50);
            for (at, new) in all {
                let Some(new) = set(&old, &at, new.as_ref()) else { continue };
                let place = at.join(".");
                for (from, to) in [(&old, &new), (&new, &old)] {
                    let mut lines = changes(role, Some(from), to);
                    lines.retain(|line| line != targets::REMOVES_NOTHING && line != SAME);
                    assert!(!lines.is_empty() || said_above.contains(&place.as_str()), "{role} {place}");
                }
            }
            let lines = changes(role, Some(&old), &old);
            assert_eq!(lines, [SAME]);
        }
    }

    #[test]
    fn a_file_for_a_released_version_is_no_new_version() {
        let file = |bytes: u32| {
            let custom = r#""custom":{"x-countersign":{"channel":"stable","mode":"755"}}"#;
            format!(r#"{{"hashes":{{"sha256":"{}"}},"length":{bytes},{custom}}}"#, "00".repeat(32))
        };
        let listed = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| format!("\"node/{path}\":{}", file(5))).collect();
            let text = format!(
                r#"{{"_type":"targets","expires":"2027-01-01T00:00:00Z","spec_version":"1.0.34","version":2,"targets":{{{}}}}}"#,
                files.join(",")
            );
            json::parse(text.as_bytes()).unwrap()
        };
        let old = listed(&["1.0.0/linux-amd64/node"]);
        let added =
            |path: &str| changes("node", Some(&old), &listed(&["1.0.0/linux-amd64/node", path])).remove(0);
        let line = added("1.0.0/linux-arm64/node");
        let said =
            "adds a file to node 1.0.0, which is released already, for linux/arm64, channel stable: `node`";
        assert!(line.starts_with(said), "{line}");
        let line = added("1.0.1/linux-amd64/node");
        assert!(line.starts_with("adds node 1.0.1 for linux/amd64, channel stable: `node`"), "{line}");
    }

    #[test]
    fn lines_are_safe_on_a_terminal() {
        let hostile = "\u{1b}]8;;http://x\u{7}\u{202e}\n";
        let member = |name: &str| Json::object([(name, Json::object([(hostile, Json::from(hostile))]))]);
        for name in ["targets", "x-other", "x-countersign", "keys", "delegations", "roles"] {
            for role in [ROOT, TARGETS, "node"] {
                for line in changes(role, Some(&Json::object::<&str>([])), &member(name)) {
                    assert!(!line.chars().any(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
                }
            }
        }
    }
}
