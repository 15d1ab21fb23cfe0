//! What several test modules use: keys made from a word, small logs, JSON vectors.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::{Explain, Timestamp};
use countersign_crypto::{Algorithm, SecretKey, sha256};
use countersign_tlog::merkle::{Hash, leaf_hash};
use countersign_tlog::policy::{Policy, PolicyLog, PolicyName, PolicyWitness};
use countersign_tlog::tile::{RightEdge, TileId};
use countersign_tlog::{Checkpoint, NoteSignature, SignedCheckpoint, VerifierKey, checkpoint, cosignature};
use serde_json::Value;

pub(crate) const ORIGIN: &str = "log.example/test";

pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// A key that a word stands for.
pub(crate) fn ed25519(word: &str) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, sha256(word.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn ml_dsa(word: &str) -> SecretKey {
    SecretKey::from_seed(Algorithm::MlDsa44, sha256(word.as_bytes()).as_bytes()).unwrap()
}

pub(crate) fn witness_key(name: &str, key: &SecretKey) -> VerifierKey {
    VerifierKey::for_witness(name, key.public_key()).unwrap()
}

pub(crate) fn log_key(name: &str, key: &SecretKey) -> VerifierKey {
    VerifierKey::for_log(name, key.public_key()).unwrap()
}

pub(crate) fn name(text: &str) -> PolicyName {
    PolicyName::new(text.as_bytes()).unwrap()
}

/// The witness `word` cosigns, under the key name `word.example`.
pub(crate) fn cosign(checkpoint: &Checkpoint, word: &str, time: Timestamp) -> NoteSignature {
    cosignature::cosign(checkpoint, &format!("{word}.example"), &ed25519(word), time).unwrap()
}

/// The log [`ORIGIN`] and a threshold of witnesses named by words.
pub(crate) fn policy(witnesses: &[&str], threshold: usize) -> Policy {
    let log = PolicyLog { key: log_key(ORIGIN, &ed25519("log")), url: None };
    let witnesses = witnesses
        .iter()
        .map(|word| PolicyWitness {
            name: name(word),
            key: witness_key(&format!("{word}.example"), &ed25519(word)),
            url: None,
        })
        .collect();
    Policy::k_of_n(vec![log], witnesses, threshold).unwrap()
}

/// Entries of a small log, all different.
pub(crate) fn entries(size: u64) -> Vec<Vec<u8>> {
    (0..size).map(|index| format!("entry {index}").into_bytes()).collect()
}

pub(crate) fn leaves(size: u64) -> Vec<Hash> {
    entries(size).iter().map(|entry| leaf_hash(entry)).collect()
}

/// All tiles of a log of `size` entries, partial ones of that size alone, and its root.
pub(crate) fn tiles(size: u64) -> (BTreeMap<TileId, Vec<u8>>, Hash) {
    let mut edge = RightEdge::new();
    let tiles = edge.append(&leaves(size)).unwrap();
    (tiles.into_iter().map(|tile| (tile.id, tile.bytes)).collect(), edge.root())
}

/// A checkpoint of [`ORIGIN`], signed by the log and cosigned by witnesses at [`now`].
pub(crate) fn signed(size: u64, root: Hash, witnesses: &[&str]) -> SignedCheckpoint {
    let body = Checkpoint::new(ORIGIN, size, root).unwrap();
    let mut signatures = vec![checkpoint::sign(&body, &ed25519("log"), now()).unwrap()];
    signatures.extend(witnesses.iter().map(|word| cosign(&body, word, now())));
    SignedCheckpoint::new(body, signatures).unwrap()
}

/// The code of a refusal, `ok` for none.
pub(crate) fn code<T, E: Explain>(result: &Result<T, E>) -> &'static str {
    result.as_ref().map_or_else(|error| error.code().name(), |_| "ok")
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The JSON files of a vector folder; nothing where the vectors are absent.
pub(crate) fn vectors(set: &str, suffix: &str) -> Vec<(String, Value)> {
    let Some(dir) = countersign_testkit::vectors::dir(set) else { return Vec::new() };
    countersign_testkit::vectors::files(&dir, suffix)
        .into_iter()
        .map(|(name, path)| (name, json(&path)))
        .collect()
}

pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}
