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
        _ => ceremonies(target),
    }
}

/// The same of what keys and proposals are written in. The share is of a key that is used for nothing.
fn ceremonies(target: &str) -> &'static [&'static str] {
    match target {
        // A list of one key, and a signature (draft-ietf-sshm-ssh-agent, sections 3.5 and 3.6).
        "agent_answer" => &[
            "\u{c}\0\0\0\u{1}\0\0\u{0}3\0\0\0\u{b}ssh-ed25519\0\0\0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\0\u{5}alice",
            "\u{e}\0\0\0S\0\0\0\u{b}ssh-ed25519\0\0\0@BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
        ],
        "approval" => &[concat!(
            r#"{"apiVersion":"0.0.1","keyid":"337482620aadf42a7d91f8ff2dd2c523d61c602fe7415524ca2ae7774"#,
            r#"33b4d13","kind":"approval","proposal":"42e852b95179232be1aa16bfc9ea43d578bbd220428476cca"#,
            r#"05d835f0fdc4b2e","role":"node","signature":"77596773803f268b6f32cd8ccccffda3fde3c45b3042"#,
            r#"8d764332f44c3a66e219cacc61bc8ce17a71de2833f8b2a05ce8a5381dc93c80215b713220cd50fb9a02"}"#,
        )],
        "intent" => &[
            concat!(
                r#"{"release":{"channel":"stable","files":[{"length":2,"mode":"644","name":"node","sha256":"#,
                r#""73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"}],"platform":"linux/a"#,
                r#"md64","product":"node","version":"1.1.0"}}"#,
            ),
            r#"{"yank":{"product":"node","version":"1.1.0","reason":"loses data"}}"#,
            concat!(
                r#"{"revoke":{"key":"ed25519:f70eccab96dec6b6e3613186bf11aa9a6e8aea1e15a1142b4b66a555d87492"#,
                r#"f9","reason":"lost"}}"#,
            ),
        ],
        "key_share" => &[concat!(
            "This is share 1 of 2 of the secret key `node-1`. Any 2 of them recover it; keep them",
            " apart.\n",
            "\n",
            "countersign-key-share 1\n",
            "key {\"apiVersion\":\"0.0.1\",\"kind\":\"publickey\",\"name\":\"node-1\",\"stage\":\"release\",\"prod",
            "uct\":\"node\",\"holder\":\"node-1\",\"created\":\"2026-11-21T19:54:12Z\",\"public\":\"ed25519:f70",
            "eccab96dec6b6e3613186bf11aa9a6e8aea1e15a1142b4b66a555d87492f9\"}\n",
            "needed 2\n",
            "digest 1 3caffe874b745f68d5f1e97a171aed6b3f274e4c47b6d5a762058bb3655133e7\n",
            "digest 2 55468aa219e8f5bc319b290ef3e1599fdfd9a8d1c042945b911bc436d7e7272d\n",
            "set b78857c024c5695318ebecb82f81dedec0ca71295e52759a9cdcdf22858e8836\n",
            "secret csks1qx484pz0hatnv3sgcq4yhs4lumfkr4nryzh87vs07pn2l8ffafrredug2lqqax7zsa\n",
        )],
        "pkcs11_uri" => &[
            "pkcs11:token=alice;object=node;id=%01%02;serial=0123;type=private?module-path=/usr/lib/p11.so&pin-source=file:/run/pin",
            "ssh-agent:SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "https://kms.example/keys/release-1/",
        ],
        "proposal_statement" => &[concat!(
            r#"{"apiVersion":"0.0.1","base":{"node":{"sha256":"198159bb63d429adadd56fc7eb82abe91babfbaf"#,
            r#"f01fb80a3f27c08f65d16510","version":2}},"created":"2026-11-21T19:54:12Z","expires":"2026"#,
            r#"-12-05T19:54:12Z","intent":{"release":{"channel":"stable","files":[{"length":2,"mode":"6"#,
            r#"44","name":"node","sha256":"73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7"#,
            r#"d9ac"}],"platform":"linux/amd64","product":"node","version":"1.1.0"}},"kind":"proposal","#,
            r#""proposer":"dave","repository":"csn1c68eag4dcvfhf25jwjcn9hnvmuwcmrcr9av5y2r7zf53z4mj9yuq"#,
            r#"ssq9m9","versions":{"node":3},"why":"fixes sync"}"#,
        )],
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
