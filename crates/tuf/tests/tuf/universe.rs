//! A small universe of metadata, and clients that are fed it in any order.
//!
//! The files contradict each other: several of one version, by old and by new keys, fresh and expired, listing each
//! other or not. Whatever the order, refused or taken, a client must end in a state that the plain order of
//! specification section 5 reaches too. [`play`] takes its choices as bytes, so that proptest and a fuzz target (which
//! includes this file) make them alike.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use countersign_base::{Json, Timestamp as Time};
use countersign_crypto::{Algorithm, PublicKey, SecretKey, Signer, sha256};
use countersign_tuf::editor::{
    Draft, NewDelegation, RootEditor, SnapshotEditor, TargetsEditor, TimestampEditor,
};
use countersign_tuf::metadata::{Coverage, Hashes, MetaFile, TargetFile};
use countersign_tuf::{Envelope, Role, Root, TrustedSet};

/// Most steps of one play; a longer one reaches nothing new and only takes time.
const MAX_STEPS: usize = 40;

/// Seeds of the keys that roles have before and after a rotation.
const ROOT_KEYS: [u8; 2] = [1, 2];
const TIMESTAMP_KEYS: [u8; 2] = [31, 32];
const SNAPSHOT_KEYS: [u8; 2] = [21, 22];
const TARGETS_KEYS: [u8; 2] = [11, 12];
const NODE_KEYS: [u8; 2] = [41, 42];

/// Every file, by the step that takes it.
struct Universe {
    first: Vec<u8>,
    roots: Vec<Vec<u8>>,
    timestamps: Vec<Vec<u8>>,
    snapshots: Vec<Vec<u8>>,
    targets: Vec<Vec<u8>>,
    nodes: Vec<Vec<u8>>,
}

static UNIVERSE: LazyLock<Universe> = LazyLock::new(Universe::new);

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn now() -> Time {
    time("2026-11-21T14:00:00Z")
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap()
}

fn publics(seeds: &[u8]) -> Vec<PublicKey> {
    seeds.iter().map(|&seed| key(seed).public_key().clone()).collect()
}

fn sign(draft: Draft, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = seeds.iter().map(|&seed| key(seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    draft.signed_by(&signers).unwrap()
}

/// When a file expires: version 2 has, so that no play is stuck with it for want of newer ones.
fn expiry(version: u64) -> Time {
    time(if version == 2 { "2026-11-20T00:00:00Z" } else { "2027-01-01T00:00:00Z" })
}

impl Universe {
    fn new() -> Self {
        let first = sign(first_root().finish().unwrap(), &ROOT_KEYS[..1]);
        let nodes = versions(&NODE_KEYS, node);
        let targets = versions(&TARGETS_KEYS, top);
        let mut snapshots = Vec::new();
        for listed in [1_usize, 3] {
            snapshots.extend(versions(&SNAPSHOT_KEYS, |version| {
                let mut editor = SnapshotEditor::new(expiry(version));
                editor.set_version(version);
                // By version alone, or as the very bytes.
                let plain = MetaFile { version: listed as u64, length: None, hashes: None };
                let exact = MetaFile::describe(listed as u64, &targets[listed - 1]);
                editor.set_meta("targets", if version == 3 { &exact } else { &plain });
                if version != 4 {
                    editor.set_meta("node", &plain);
                }
                editor.finish().unwrap()
            }));
        }
        let mut timestamps = Vec::new();
        for (place, snapshot) in snapshots.iter().enumerate() {
            let listed = snapshot_version(snapshot);
            let plain = MetaFile { version: listed, length: None, hashes: None };
            let exact = MetaFile::describe(listed, snapshot);
            // Up with the snapshots and against them, so that neither version stands in for the other.
            for version in [1 + (place % 5) as u64, 5 - (place % 5) as u64] {
                for (seed, listed) in
                    [(TIMESTAMP_KEYS[0], &plain), (TIMESTAMP_KEYS[0], &exact), (TIMESTAMP_KEYS[1], &exact)]
                {
                    let mut editor = TimestampEditor::new(expiry(version), listed);
                    editor.set_version(version);
                    timestamps.push(sign(editor.finish().unwrap(), &[seed]));
                }
            }
        }
        Self { roots: roots(&first), first, timestamps, snapshots, targets, nodes }
    }
}

fn first_root() -> RootEditor {
    let mut root = RootEditor::new(time("2027-01-01T00:00:00Z"));
    root.set_role("root", &publics(&ROOT_KEYS[..1]), 1).unwrap();
    root.set_role("timestamp", &publics(&TIMESTAMP_KEYS[..1]), 1).unwrap();
    root.set_role("snapshot", &publics(&SNAPSHOT_KEYS[..1]), 1).unwrap();
    root.set_role("targets", &publics(&TARGETS_KEYS[..1]), 1).unwrap();
    root
}

/// Roots 2 to 4, each in several forms that a former root's keys allow or not.
fn roots(first: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for version in 2..=4_u64 {
        for form in 0..8_u8 {
            let mut root = RootEditor::next(&Envelope::<Root>::parse("root", first).unwrap().signed);
            for _ in 2..version {
                let draft = root.finish().unwrap();
                root = RootEditor::next(&Root::from_signed(draft.signed().clone()).unwrap());
            }
            let mut signers = ROOT_KEYS.to_vec();
            match form {
                // As before.
                0 => {}
                1 => _ = root.set_role("timestamp", &publics(&TIMESTAMP_KEYS[1..]), 1).unwrap(),
                2 => _ = root.set_role("timestamp", &publics(&TIMESTAMP_KEYS), 1).unwrap(),
                3 => _ = root.set_role("snapshot", &publics(&SNAPSHOT_KEYS[1..]), 1).unwrap(),
                4 => _ = root.set_role("targets", &publics(&TARGETS_KEYS[1..]), 1).unwrap(),
                5 => _ = root.set_role("root", &publics(&ROOT_KEYS[1..]), 1).unwrap(),
                6 => _ = root.set_expires(time("2026-11-20T00:00:00Z")),
                _ => signers = vec![ROOT_KEYS[1]],
            }
            out.push(sign(root.finish().unwrap(), &signers));
        }
    }
    out
}

/// Versions 1 to 5 of a file, each by the old and by the new key.
fn versions(keys: &[u8; 2], make: impl Fn(u64) -> Draft) -> Vec<Vec<u8>> {
    let both = keys.iter().flat_map(|&seed| (1..=5).map(move |version| (version, seed)));
    both.map(|(version, seed)| sign(make(version), &[seed])).collect()
}

fn top(version: u64) -> Draft {
    let mut editor = TargetsEditor::new("targets", expiry(version));
    editor.set_version(version);
    let coverage = Coverage::Paths(vec!["node/*".to_owned()]);
    let keys = publics(if version == 3 { &NODE_KEYS[1..] } else { &NODE_KEYS[..1] });
    let new = NewDelegation { name: "node", keys: &keys, threshold: 1, coverage, terminating: true };
    editor.set_delegation(&new).unwrap();
    editor.finish().unwrap()
}

fn node(version: u64) -> Draft {
    let mut editor = TargetsEditor::new("node", expiry(version));
    editor.set_version(version);
    let content = version.to_be_bytes();
    let hashes = Hashes { sha256: Some(sha256(&content)), ..Hashes::default() };
    editor.set_target("node/a", &TargetFile { length: 8, hashes, custom: None }).unwrap();
    editor.finish().unwrap()
}

fn snapshot_version(bytes: &[u8]) -> u64 {
    Envelope::<countersign_tuf::Snapshot>::parse("snapshot", bytes).unwrap().signed.version()
}

/// What a client trusts, file by file.
fn state(set: &TrustedSet) -> BTreeMap<String, Json> {
    let mut out = BTreeMap::from([("root".to_owned(), set.root().signed().clone())]);
    out.extend(set.timestamp().map(|file| ("timestamp".to_owned(), file.signed().clone())));
    out.extend(set.snapshot().map(|file| ("snapshot".to_owned(), file.signed().clone())));
    out.extend(set.roles().map(|(role, file)| (role.to_owned(), file.signed().clone())));
    out
}

/// The steps that were taken and whose files are still trusted.
#[derive(Default)]
struct Taken<'a> {
    roots: Vec<&'a [u8]>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

/// Feeds a client what `choices` say: two bytes a step, what to do and with which file. Gives the roles that it trusts.
///
/// # Panics
/// If a refused file changes what is trusted, a version goes back, or the plain order does not reach the state.
pub(crate) fn play(choices: &[u8]) -> Vec<String> {
    let universe = &*UNIVERSE;
    let mut set = TrustedSet::new(&universe.first, now()).unwrap();
    let mut taken = Taken::default();
    for choice in choices.chunks_exact(2).take(MAX_STEPS) {
        let (before, since) = (state(&set), set.online_keys_since());
        let role = step(&mut set, universe, choice[0], choice[1], &mut taken);
        let after = state(&set);
        assert!(role.is_some() || before == after, "a refused file changed what is trusted");
        let back = went_back(&before, &after);
        assert!(back.is_none() || set.online_keys_since() > since, "{back:?} went back");
        taken.files.retain(|role, _| after.contains_key(*role));
        if role.is_some() {
            check_reached_plainly(&set, universe, &taken);
        }
    }
    state(&set).into_keys().collect()
}

/// What has a lower version than before, or is no longer there: a file, or one that the snapshot lists.
fn went_back(before: &BTreeMap<String, Json>, after: &BTreeMap<String, Json>) -> Option<String> {
    let versions = |state: &BTreeMap<String, Json>| {
        let files = ["root", "timestamp", "snapshot"]
            .into_iter()
            .filter_map(|role| Some((role.to_owned(), state.get(role)?.get("version")?.as_integer()?)));
        let meta = state.get("snapshot").and_then(|snapshot| snapshot.get("meta")?.as_object());
        let listed = meta.into_iter().flatten();
        let listed =
            listed.filter_map(|(name, file)| Some((name.clone(), file.get("version")?.as_integer()?)));
        files.chain(listed).collect::<BTreeMap<_, _>>()
    };
    let after = versions(after);
    let before = versions(before).into_iter();
    before
        .filter(|(name, version)| after.get(name).is_none_or(|after| after < version))
        .map(|(name, _)| name)
        .next()
}

/// One step; the role whose file was taken. A large `what` tries one file after the other until one is taken, as chance
/// alone seldom gets to the targets.
fn step<'a>(
    set: &mut TrustedSet,
    universe: &'a Universe,
    what: u8,
    which: u8,
    taken: &mut Taken<'a>,
) -> Option<&'static str> {
    let (role, files) = match what % 5 {
        0 => ("root", &universe.roots),
        1 => ("timestamp", &universe.timestamps),
        2 => ("snapshot", &universe.snapshots),
        3 => ("targets", &universe.targets),
        _ => ("node", &universe.nodes),
    };
    let tries = if what >= 64 { files.len() } else { 1 };
    // Now and then a file of another kind.
    let files = if what == 63 { &universe.targets } else { files };
    let had = set.version_and_expiry(role);
    let from = usize::from(which) % files.len();
    let mut tried = files.iter().cycle().skip(from).take(tries);
    let file = tried.find(|file| offer(set, role, what % 4 == 3, file))?;
    match role {
        "root" => taken.roots.push(file),
        // The same version again is no news; the file that was held stays (5.4.3.1).
        "timestamp" if had == set.version_and_expiry(role) => {}
        _ => _ = taken.files.insert(role, file.clone()),
    }
    Some(role)
}

/// Whether the client takes this file, as a kept or a fetched one.
fn offer(set: &mut TrustedSet, role: &str, kept: bool, file: &[u8]) -> bool {
    match role {
        "root" => set.update_root(file).is_ok(),
        "timestamp" if kept => set.restore_timestamp(file).is_ok(),
        "timestamp" => set.update_timestamp(file).is_ok(),
        "snapshot" if kept => set.restore_snapshot(file).is_ok(),
        "snapshot" => set.update_snapshot(file).is_ok(),
        "targets" => set.update_targets(file).is_ok(),
        _ => set.update_delegated("node", "targets", file).is_ok(),
    }
}

/// A client that does everything in the specification's order, with the same files, trusts the same.
fn check_reached_plainly(set: &TrustedSet, universe: &Universe, taken: &Taken<'_>) {
    let mut plain = TrustedSet::new(&universe.first, now()).unwrap();
    for root in &taken.roots {
        plain.update_root(root).unwrap();
    }
    let file = |role: &str| taken.files.get(role);
    if set.targets().is_none() {
        // Perhaps kept copies only, which may have expired: then they are good kept copies under the newest root.
        for (role, file) in &taken.files {
            match *role {
                "timestamp" => plain.restore_timestamp(file).unwrap(),
                "snapshot" => _ = plain.restore_snapshot(file).unwrap(),
                role => panic!("{role} is trusted without targets"),
            }
        }
    } else {
        plain.update_timestamp(file("timestamp").unwrap()).unwrap();
        plain.update_snapshot(file("snapshot").unwrap()).unwrap();
        plain.update_targets(file("targets").unwrap()).unwrap();
        if let Some(node) = file("node") {
            plain.update_delegated("node", "targets", node).unwrap();
        }
    }
    assert_eq!(state(&plain), state(set), "the plain order reaches something else");
    assert_eq!(plain.snapshot_is_current(), set.snapshot_is_current());
}
