//! Released files, advisories, yanks and floors.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::Json;
use countersign_base::name::TargetPath;
use countersign_base::text::escape;
use countersign_tuf::metadata::TargetFile;
use countersign_tuf::{Role as _, Targets};
use countersign_verify::extension::YANKED;
use countersign_verify::{EXTENSION, FileMode, ReleaseInfo};

use super::{Differences, shown};

/// Said where no file goes, so that nobody has to look for it.
pub(super) const REMOVES_NOTHING: &str = "removes nothing";

/// Files that are listed, no longer listed, or listed otherwise.
pub(super) fn entries(differences: &mut Differences<'_>) -> Vec<String> {
    let mut added: BTreeMap<Heading, Vec<String>> = BTreeMap::new();
    let released = released(differences.old);
    let (mut removed, mut others) = (Vec::new(), Vec::new());
    let listed = Targets::from_signed(differences.new.clone()).ok();
    let file = |path: &str| listed.as_ref().and_then(|listed| listed.target(path));
    for path in differences.names(&["targets"]) {
        let at = ["targets", path.as_str()];
        match differences.at(&at) {
            (None, Some(new)) => match release(&path, new, file(&path)) {
                Some((heading, file)) => added.entry(heading).or_default().push(file),
                None => others.push(format!("adds {}", other(&path, new, file(&path)))),
            },
            (Some(_), None) => removed.push(format!("removes {}", named(&path))),
            (Some(old), Some(new)) => match advisory(&path, new, file(&path)) {
                Some(text) => others.push(format!("replaces {text}; it was {}", shown(old))),
                None => {
                    others.push(format!("changes {} from {} to {}", named(&path), shown(old), shown(new)))
                }
            },
            (None, None) => continue,
        }
        differences.take(&at);
    }
    let add = |(heading, files): (Heading, Vec<String>)| {
        let Heading { version, rest } = heading;
        let what = match (released.contains(&version), files.len()) {
            (false, _) => format!("adds {version}{rest}"),
            (true, 1) => format!("adds a file to {version}, which is released already,{rest}"),
            (true, count) => format!("adds {count} files to {version}, which is released already,{rest}"),
        };
        format!("{what}: {}", files.join("; "))
    };
    let mut lines: Vec<String> = added.into_iter().map(add).collect();
    lines.extend(others);
    if removed.is_empty() {
        removed.push(REMOVES_NOTHING.to_owned());
    }
    lines.extend(removed);
    lines
}

/// Yanked versions and the floor.
pub(super) fn extension(differences: &mut Differences<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for version in differences.names(&[EXTENSION, YANKED]) {
        let at = [EXTENSION, YANKED, version.as_str()];
        let (old, new) = differences.at(&at);
        let shown_version = escape(&version);
        match (old.and_then(Json::as_str), new.and_then(Json::as_str)) {
            (None, Some(reason)) if old.is_none() => {
                lines.push(format!("takes {shown_version} back: {}", escape(reason)));
            }
            (Some(was), Some(reason)) => lines.push(format!(
                "changes why {shown_version} was taken back, from `{}` to `{}`",
                escape(was),
                escape(reason)
            )),
            (Some(_), None) if new.is_none() => {
                lines.push(format!("offers {shown_version} again, which was taken back"));
            }
            _ => continue,
        }
        differences.take(&at);
    }
    let at = [EXTENSION, "floor"];
    let (old, new) = differences.at(&at);
    let texts = (old.and_then(Json::as_str).map(escape), new.and_then(Json::as_str).map(escape));
    if old != new && old.is_some() == texts.0.is_some() && new.is_some() == texts.1.is_some() {
        lines.push(match texts {
            (None, Some(new)) => format!("lets no version below {new} be installed"),
            (Some(old), Some(new)) => {
                format!("lets no version below {new} be installed; it was {old}")
            }
            (old, None) => {
                format!("lets every version be installed; the lowest was {}", old.unwrap_or_default())
            }
        });
        differences.take(&at);
    }
    lines
}

/// What a release is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Heading {
    /// `node 1.0.0`
    version: String,
    /// ` for linux/amd64, channel stable`
    rest: String,
}

/// The versions that the old file lists anything of, as [`Heading::version`].
fn released(old: Option<&Json>) -> BTreeSet<String> {
    let listed = old.and_then(|old| old.get("targets")).and_then(Json::as_object);
    let paths = listed.into_iter().flat_map(BTreeMap::keys);
    let targets = paths.filter_map(|path| path.parse::<TargetPath>().ok());
    targets.map(|target| format!("{} {}", target.product, target.version)).collect()
}

/// What a release is, and a file of it. `None` if the entry is not exactly a release's.
fn release(path: &str, entry: &Json, file: Option<&TargetFile>) -> Option<(Heading, String)> {
    let (target, file): (TargetPath, _) = (path.parse().ok()?, file?);
    let info = ReleaseInfo::from_custom(&target, file.custom.as_ref()).ok()?;
    let whole = TargetFile { custom: Some(info.to_custom()), ..file.clone() };
    if whole.to_json() != *entry {
        return None;
    }
    let program = if info.mode == FileMode::Executable { "a program of " } else { "" };
    let heading = Heading {
        version: format!("{} {}", target.product, target.version),
        rest: format!(" for {}, channel {}", target.platform, info.channel),
    };
    let sha256 = file.hashes.sha256?;
    Some((heading, format!("`{}`, {program}{}, sha256 {sha256}", target.name, size(file.length))))
}

/// An advisory. `None` if the entry is not exactly one's.
fn advisory(path: &str, entry: &Json, file: Option<&TargetFile>) -> Option<String> {
    let mut parts = path.split('/').skip(1);
    let id = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("advisories"), Some("osv"), Some(name), None) => name.strip_suffix(".json")?,
        _ => return None,
    };
    let file = file?;
    let modified = file.custom.as_ref()?.get(EXTENSION)?.get("modified")?.as_str()?;
    let custom = Json::object([(EXTENSION, Json::object([("modified", Json::from(modified))]))]);
    let whole = TargetFile { custom: Some(custom), ..file.clone() };
    let sha256 = file.hashes.sha256.filter(|_| whole.to_json() == *entry)?;
    let (id, modified) = (escape(id), escape(modified));
    Some(format!("the advisory {id}, changed on {modified}, {}, sha256 {sha256}", size(file.length)))
}

fn other(path: &str, entry: &Json, file: Option<&TargetFile>) -> String {
    advisory(path, entry, file).unwrap_or_else(|| format!("{}: {}", named(path), shown(entry)))
}

/// A target path as a person reads it.
fn named(path: &str) -> String {
    match path.parse::<TargetPath>() {
        Ok(target) => {
            format!("`{}` of {} {} for {}", target.name, target.product, target.version, target.platform)
        }
        Err(_) => format!("`{}`", escape(path)),
    }
}

/// A length in a unit that a person can compare: `41 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, scale)) = UNITS.into_iter().find(|(_, scale)| bytes >= *scale) else {
        return format!("{bytes} bytes");
    };
    let tenths = bytes / (scale / 10).max(1);
    match tenths {
        10..=99 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", bytes / scale),
    }
}
