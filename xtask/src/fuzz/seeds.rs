//! What each target begins with: the public vectors of its format, or one good example where there are none.
//!
//! A vector file is a seed, and so is each text in it if it is JSON: the sets wrap notes, proofs and policies so.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Largest seed: libFuzzer is slow on large ones.
const MAX_SEED_BYTES: usize = 64 * 1024;
/// The first byte says how many entries follow, less one.
const BUNDLES: &str = "tlog/tiles/tessera-log/tile/entries";

/// Writes the seeds of a target into its corpus.
pub(super) fn write(root: &Path, target: &str, corpus: &Path) -> Result<(), String> {
    let vectors =
        std::env::var_os("COUNTERSIGN_VECTORS").map_or_else(|| root.join("../shared/vectors"), PathBuf::from);
    let mut seeds: BTreeSet<Vec<u8>> = examples(target).iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "entry_bundle" => seeds.extend(files(&vectors.join(BUNDLES)).iter().filter_map(|path| bundle(path))),
        "trusted_set" => seeds.extend(repositories(&vectors.join("tuf"))),
        _ => seeds.extend(from_sets(&vectors, target)),
    }
    for seed in seeds.iter().filter(|seed| seed.len() <= MAX_SEED_BYTES) {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let path = corpus.join(format!("seed-{:016x}", hasher.finish()));
        fs::write(&path, seed).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Good values of formats that are our own.
fn examples(target: &str) -> &'static [&'static str] {
    match target {
        "anchor" => &["csn1v5ugm9fat69m3kptyqm49n4e7djsn3kcgzee5sz5n5zrg654p57ssqyyuq"],
        "hashedrekord" => &[
            include_str!("../../../crates/attest/tests/data/p256.json"),
            include_str!("../../../crates/attest/tests/data/certificate.json"),
            include_str!("../../../crates/attest/tests/data/rsa2048.json"),
        ],
        "leaf" => &[concat!(
            r#"{"apiVersion":"0.0.1","kind":"tufmetadata","spec":{"changes":{"added":[{"length":7,"path":"#,
            r#""node/1.0.0/linux-amd64/node","sha256":"#,
            r#""0000000000000000000000000000000000000000000000000000000000000000"}],"removed":[]},"length":9,"#,
            r#""repository":"0000000000000000000000000000000000000000000000000000000000000000","role":"node","#,
            r#""sha256":"0000000000000000000000000000000000000000000000000000000000000000","version":12}}"#,
        )],
        "lineage" => &[concat!(
            r#"{"logs":{"log.example/a":{"3":"#,
            r#""0000000000000000000000000000000000000000000000000000000000000000"}},"#,
            r#""provenTime":"2026-11-21T12:00:00Z"}"#,
        )],
        "name" => &[
            "node",
            "1.2.3-rc.1",
            "linux/amd64",
            "2026-11-21T12:00:00Z",
            "node/1.0.0/linux-amd64/node.tar.gz",
        ],
        "public_key" => &["ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"],
        // Each role in turn, by whichever file is taken; a root more, and all again.
        "trusted_orders" => &["nAeAfAgAhA", "nAeAfAgAhAnIeBfCgBhBnAeAfAgAhA"],
        "tile_path" => &["tile/0/x001/x234/067.p/8", "tile/entries/x001/x234/067.p/255", "tile/8/000"],
        _ => &[],
    }
}

/// The files of the sets that hold the target's format, and the texts in them.
fn from_sets(vectors: &Path, target: &str) -> BTreeSet<Vec<u8>> {
    let (sets, part): (&[&str], &str) = match target {
        "tuf_root" => (&["tuf"], "root"),
        "tuf_timestamp" => (&["tuf"], "timestamp"),
        "tuf_snapshot" => (&["tuf"], "snapshot"),
        "tuf_targets" => (&["tuf"], ".json"),
        "json" => (&["tuf", "tlog"], ".json"),
        "note" => (&["tlog/signed-note", "tlog/cosignature", "tlog/checkpoint"], ""),
        "checkpoint" => (&["tlog/cosignature", "tlog/checkpoint", "tlog/tiles"], "c"),
        "tlog_proof" => (&["tlog/proof"], ""),
        "policy" => (&["tlog/policy"], ""),
        "tile_path" => (&["tlog/tiles/tile-paths.json"], ""),
        "add_checkpoint" => (&["tlog/witness"], ""),
        "public_key" => (&["tlog/signed-note/vkeys.json"], ""),
        _ => (&[], ""),
    };
    let mut seeds = BTreeSet::new();
    for path in sets.iter().flat_map(|set| files(&vectors.join(set))) {
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(part));
        let Ok(bytes) = fs::read(&path) else { continue };
        if !named || bytes.is_empty() {
            continue;
        }
        if let Ok(value) = serde_json::from_slice(&bytes) {
            texts(&value, &mut seeds);
        }
        seeds.insert(bytes);
    }
    seeds
}

/// Every file at or below `path`, in order; none where there is nothing.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return if path.is_file() { vec![path.to_owned()] } else { Vec::new() };
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}

fn texts(value: &Value, seeds: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) => _ = seeds.insert(text.as_bytes().to_vec()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, seeds)),
        Value::Object(members) => members.values().for_each(|member| texts(member, seeds)),
        _ => {}
    }
}

/// A stored bundle: its width is the last part of its path, or 256.
fn bundle(path: &Path) -> Option<Vec<u8>> {
    let width = path.file_name()?.to_str()?.parse::<u16>().ok()?;
    let partial = path.parent()?.to_str()?.ends_with(".p");
    let count = if partial { width } else { 256 };
    let mut seed = vec![u8::try_from(count.checked_sub(1)?).ok()?];
    seed.extend(fs::read(path).ok()?);
    Some(seed)
}

/// For each folder of metadata, its files in the order in which a client takes them.
fn repositories(tuf: &Path) -> BTreeSet<Vec<u8>> {
    let folders: BTreeSet<PathBuf> =
        files(tuf).iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    folders.iter().map(|folder| repository(folder)).filter(|seed| !seed.is_empty()).collect()
}

fn repository(folder: &Path) -> Vec<u8> {
    let mut steps: Vec<(u8, u64, PathBuf)> = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (version, role) = match name.split_once('.') {
            Some((version, role)) if role != "json" => (version.parse().unwrap_or(0), role),
            _ => (0, name.as_str()),
        };
        let roles = ["root.json", "timestamp.json", "snapshot.json", "targets.json"];
        if let Some(step) = roles.iter().position(|known| *known == role) {
            steps.push((step as u8, version, path));
        }
    }
    steps.sort();
    let mut seed = Vec::new();
    for (step, _, path) in steps {
        let Ok(file) = fs::read(path) else { continue };
        let Ok(length) = u32::try_from(file.len()) else { continue };
        seed.push(step);
        seed.extend(&length.to_be_bytes()[1..]);
        seed.extend(file);
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_seed_or_a_set() {
        let sources = crate::sh::root().join("fuzz/fuzz_targets");
        for path in files(&sources) {
            let target = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let special = matches!(&*target, "entry_bundle" | "trusted_set");
            let vectors = crate::sh::root().join("../shared/vectors");
            let known = special
                || !examples(&target).is_empty()
                || !vectors.is_dir()
                || !from_sets(&vectors, &target).is_empty();
            assert!(known, "{target} begins with nothing");
        }
    }
}
