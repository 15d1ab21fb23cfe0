//! What the log admits: L14, L15, M22 and the rules of the module.

use std::fs;
use std::path::Path;

use countersign_base::code::{self, Explain as _};
use countersign_base::{Anchor, Timestamp};
use countersign_crypto::{Algorithm, SecretKey, Signer, sha256};
use countersign_log::{Admission, LogError, Sequencer, Submission};
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tuf::editor::{NewDelegation, RootEditor, SnapshotEditor, TargetsEditor};
use countersign_tuf::metadata::{Coverage, Hashes, MetaFile, TargetFile};
use countersign_tuf::{Envelope, Root, Targets};
use countersign_verify::Leaf;

use crate::support::{log_key, now, quick, scratch, secret};

fn coverage() -> Coverage {
    Coverage::Paths(vec!["node/*/*/*".to_owned()])
}

fn later() -> Timestamp {
    now().plus_days(300)
}

fn keys(numbers: &[u8]) -> Vec<countersign_crypto::PublicKey> {
    numbers.iter().map(|number| secret(*number).public_key().clone()).collect()
}

fn submission(role: &str, draft: countersign_tuf::editor::Draft, signers: &[u8]) -> Submission {
    let secrets: Vec<_> = signers.iter().map(|number| secret(*number)).collect();
    let signers: Vec<&dyn Signer> = secrets.iter().map(|secret| secret as &dyn Signer).collect();
    Submission { role: role.to_owned(), bytes: draft.signed_by(&signers).expect("signatures") }
}

/// Root 2 of (10, 11, 12), targets 20, snapshot 30, timestamp 31.
fn root() -> Submission {
    let mut editor = RootEditor::new(later());
    editor.set_role("root", &keys(&[10, 11, 12]), 2).expect("keys");
    for (role, number) in [("targets", 20), ("snapshot", 30), ("timestamp", 31)] {
        editor.set_role(role, &keys(&[number]), 1).expect("a key");
    }
    submission("root", editor.finish().expect("a root"), &[10, 11])
}

/// The root after `held`, with another targets key.
fn rotated(held: &Submission, targets: u8, signers: &[u8]) -> Submission {
    let held = Envelope::<Root>::parse("root", &held.bytes).expect("a root").signed;
    let mut editor = RootEditor::next(&held);
    editor.set_role("targets", &keys(&[targets]), 1).expect("a key");
    submission("root", editor.finish().expect("a root"), signers)
}

/// Targets that delegate `node` to 2 of (40, 41, 42).
fn targets(version: u64, signer: u8) -> Submission {
    let mut editor = TargetsEditor::new("targets", later());
    editor.set_version(version);
    let keys = keys(&[40, 41, 42]);
    let delegation =
        NewDelegation { name: "node", keys: &keys, threshold: 2, terminating: true, coverage: coverage() };
    editor.set_delegation(&delegation).expect("a delegation");
    submission("targets", editor.finish().expect("targets"), &[signer])
}

/// A version of `node` that lists these names, each with its own content.
fn node(version: u64, names: &[&str], signers: &[u8]) -> Submission {
    let mut editor = TargetsEditor::new("node", later());
    editor.set_version(version);
    for name in names {
        let hashes = Hashes { sha256: Some(sha256(name.as_bytes())), ..Hashes::default() };
        let file = TargetFile { length: name.len() as u64, hashes, custom: None };
        editor.set_target(&format!("node/1.0.0/linux-amd64/{name}"), &file).expect("a target");
    }
    submission("node", editor.finish().expect("targets"), signers)
}

fn snapshot(version: u64, node: &Submission) -> Submission {
    let mut editor = SnapshotEditor::new(later());
    editor.set_version(version).set_meta("node", &MetaFile::describe(1, &node.bytes));
    submission("snapshot", editor.finish().expect("a snapshot"), &[30])
}

fn open(disk: std::sync::Arc<dyn Disk>, root: &Path) -> Result<(Sequencer, Admission), LogError> {
    let private = root.join("private");
    let log = Sequencer::open_on(disk.clone(), &private, &root.join("log"), log_key(), now())?;
    let admission = Admission::open_on(disk, &private, &log, now())?;
    Ok((log, admission))
}

/// A repository with its first versions logged, in one batch.
fn begun(root_dir: &Path) -> (Sequencer, Admission) {
    let (mut log, mut admission) = open(quick(root_dir), root_dir).expect("a new log");
    let node = node(1, &["a", "b"], &[40, 41]);
    let batch = [root(), targets(1, 20), node.clone(), snapshot(1, &node)];
    let admitted = admission.admit(&mut log, &batch, now()).expect("the honest twin");
    assert_eq!(admitted.iter().map(|a| a.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    (log, admission)
}

fn refused(root_dir: &Path, batch: &[Submission]) -> LogError {
    let (mut log, mut admission) = begun(root_dir);
    let size = log.size();
    let error = admission.admit(&mut log, batch, now()).expect_err("it must be refused");
    assert_eq!(log.size(), size, "nothing was logged");
    let next = node(2, &["a"], &[41, 42]);
    admission.admit(&mut log, &[next], now()).expect("the honest submit right after");
    error
}

#[test]
fn a_batch_whose_documents_rest_on_each_other_is_admitted() {
    let temp = scratch();
    let (mut log, admission) = begun(temp.path());
    assert_eq!(admission.repository(), Some(Anchor(sha256(&root().bytes))));
    let logged = admission.find(&log, "node", 1).unwrap().unwrap();
    let leaf = Leaf::parse(&logged.leaf).unwrap();
    assert_eq!((leaf.role.as_str(), leaf.version, leaf.sha256), ("node", 1, logged.sha256));
    assert_eq!(leaf.encode(), log.entry(logged.index).unwrap());
    let document = admission.document(&logged.sha256).unwrap().unwrap();
    assert_eq!(document.len() as u64, leaf.length);
    assert_eq!(leaf.repository, Anchor(sha256(&root().bytes)));
    log.integrate(now()).unwrap();
}

#[test]
fn the_log_computes_what_a_version_changes() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let changes = |leaf: &[u8]| Leaf::parse(leaf).unwrap().changes;
    let first = admission.find(&log, "node", 1).unwrap().unwrap();
    assert_eq!(changes(&first.leaf).unwrap().added.len(), 2);
    let second = &admission.admit(&mut log, &[node(2, &["b", "c"], &[40, 42])], now()).unwrap()[0];
    let second = changes(&second.leaf).unwrap();
    let names = |list: &[countersign_verify::leaf::ChangedTarget]| -> Vec<String> {
        list.iter().map(|target| target.path.rsplit('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&second.added), names(&second.removed)), (vec!["c".to_owned()], vec!["a".to_owned()]));
    assert_eq!(changes(&admission.find(&log, "root", 1).unwrap().unwrap().leaf), None);

    // L15: a list of changes over 32 KiB is left out.
    let many: Vec<String> = (0..400).map(|number| format!("file-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let large = &admission.admit(&mut log, &[node(3, &many, &[40, 42])], now()).unwrap()[0];
    assert_eq!(changes(&large.leaf), None);
}

#[test]
fn l14_a_second_content_of_a_version_is_refused_and_the_first_again_gets_its_index() {
    let temp = scratch();
    let error = refused(temp.path(), &[node(1, &["a", "x"], &[40, 41])]);
    assert_eq!(error.code(), code::LOG_DUPLICATE_VERSION);
    // Also within one batch, and for a root.
    let temp = scratch();
    let batch = [node(3, &["a"], &[40, 41]), node(3, &["b"], &[40, 41])];
    assert_eq!(refused(temp.path(), &batch).code(), code::LOG_DUPLICATE_VERSION);
    let temp = scratch();
    let other = submission(
        "root",
        {
            let mut editor = RootEditor::new(later());
            for role in ["root", "targets", "snapshot", "timestamp"] {
                editor.set_role(role, &keys(&[90]), 1).unwrap();
            }
            editor.finish().unwrap()
        },
        &[90],
    );
    assert_eq!(refused(temp.path(), &[other]).code(), code::LOG_DUPLICATE_VERSION);

    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let again = admission.admit(&mut log, &[node(1, &["a", "b"], &[40, 41]), root()], now()).unwrap();
    assert_eq!(again.iter().map(|a| a.index).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(log.size(), 4);
}

#[test]
fn l15_m22_what_the_keys_do_not_vouch_for_is_refused() {
    for (case, batch) in [
        ("one of two keys", vec![node(2, &["a"], &[40])]),
        ("one key twice", vec![node(2, &["a"], &[40, 40])]),
        ("a key of another role", vec![node(2, &["a"], &[40, 20])]),
        ("an unknown key", vec![targets(2, 99)]),
        (
            "a role that nobody delegates to",
            vec![{
                let mut other = node(2, &["a"], &[40, 41]);
                other.role = "other".to_owned();
                other
            }],
        ),
        ("a root signed by the new keys only", vec![rotated(&root(), 21, &[99, 98])]),
        (
            "a key that a root in the same batch removed",
            vec![rotated(&root(), 21, &[10, 12]), targets(2, 20)],
        ),
        (
            "a delegation that nobody vouches for since",
            vec![rotated(&root(), 21, &[10, 12]), node(2, &["a"], &[40, 41])],
        ),
    ] {
        let temp = scratch();
        let error = refused(temp.path(), &batch);
        assert_eq!(error.code(), code::LOG_ENTRY_UNAUTHORISED, "{case}: {error}");
    }
}

#[test]
fn l15_what_is_no_metadata_is_refused() {
    let timestamp = Submission { role: "timestamp".to_owned(), bytes: b"{}".to_vec() };
    let temp = scratch();
    assert_eq!(refused(temp.path(), &[timestamp]).code(), code::LOG_ENTRY_MALFORMED);
    let temp = scratch();
    let garbage = Submission { role: "node".to_owned(), bytes: b"{}".to_vec() };
    assert_eq!(refused(temp.path(), &[garbage]).code(), code::LOG_ENTRY_UNAUTHORISED);
}

#[test]
fn after_a_rotation_the_new_keys_count() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let batch = [rotated(&root(), 21, &[10, 12]), targets(2, 21), node(2, &["a"], &[40, 41])];
    admission.admit(&mut log, &batch, now()).unwrap();
    assert_eq!(admission.highest_version("root"), 2);
}

#[test]
fn m03_a_version_number_is_never_used_twice() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let node_1 = node(1, &["a", "b"], &[40, 41]);
    // The online key was stolen and went far ahead.
    admission.admit(&mut log, &[snapshot(2_147_483_647, &node_1), snapshot(2, &node_1)], now()).unwrap();
    assert_eq!(admission.highest_version("snapshot"), 2_147_483_647);
    assert_eq!(admission.next_version("snapshot", 1), 3, "the honest publisher goes on from its own");
    assert_eq!(admission.next_version("snapshot", 2_147_483_646), 2_147_483_648);
    assert_eq!((admission.highest_version("other"), admission.next_version("other", 0)), (0, 1));
    drop((log, admission));
    let (_, admission) = open(quick(temp.path()), temp.path()).unwrap();
    assert_eq!(admission.next_version("snapshot", 1), 3, "also after reopening");
}

#[test]
fn the_state_is_rebuilt_from_entries_and_documents() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    // An entry of another kind stands in between.
    log.append(&[b"something else".to_vec()], now()).unwrap();
    admission.admit(&mut log, &[rotated(&root(), 21, &[10, 12]), targets(2, 21)], now()).unwrap();
    let before = admission.find(&log, "targets", 2).unwrap();
    drop((log, admission));
    let (mut log, mut admission) = open(quick(temp.path()), temp.path()).unwrap();
    assert_eq!(admission.find(&log, "targets", 2).unwrap(), before);
    assert_eq!(admission.repository(), Some(Anchor(sha256(&root().bytes))));
    admission.check(&[targets(3, 21)], now()).unwrap();
    assert_eq!(admission.check(&[targets(3, 20)], now()).unwrap_err().code(), code::LOG_ENTRY_UNAUTHORISED);
    let next = &admission.admit(&mut log, &[node(2, &["b"], &[40, 41])], now()).unwrap()[0];
    assert_eq!(Leaf::parse(&next.leaf).unwrap().changes.unwrap().removed.len(), 1, "it knows version 1");
    drop((log, admission));

    let document = temp.path().join("private/documents").join(sha256(&root().bytes).to_string());
    let good = fs::read(&document).unwrap();
    fs::write(&document, b"{}").unwrap();
    assert_eq!(open(quick(temp.path()), temp.path()).unwrap_err().code(), code::LOG_STORAGE_CORRUPT);
    fs::remove_file(&document).unwrap();
    assert_eq!(open(quick(temp.path()), temp.path()).unwrap_err().code(), code::LOG_STORAGE_ROLLBACK);
    fs::write(&document, good).unwrap();
    open(quick(temp.path()), temp.path()).unwrap();
}

#[test]
fn l14_l16_no_version_is_forgotten_by_a_crash_at_any_step() {
    let work = |disk: std::sync::Arc<FaultyDisk>, root_dir: &Path| -> Result<(), LogError> {
        let (mut log, mut admission) = open(disk, root_dir)?;
        admission.admit(&mut log, &[node(2, &["a"], &[40, 41])], now()).map(drop)
    };
    let temp = scratch();
    let prepared = temp.path().join("prepared");
    fs::create_dir(&prepared).unwrap();
    drop(begun(&prepared));
    let count = temp.path().join("count");
    crate::support::copy(&prepared, &count);
    let counting = FaultyDisk::counting(&count);
    work(counting.clone(), &count).unwrap();
    for at in 0..counting.steps() {
        let run = scratch();
        let root_dir = run.path().join("run");
        crate::support::copy(&prepared, &root_dir);
        let disk =
            FaultyDisk::failing(&root_dir, at, [Fault::Torn, Fault::DoneButFailed][at % 2], Then::Dies);
        let promised = work(disk.clone(), &root_dir).is_ok();
        for loss in Loss::ALL {
            let after = run.path().join(format!("{loss:?}"));
            disk.after(loss, &after);
            let (mut log, mut admission) =
                open(quick(&after), &after).unwrap_or_else(|e| panic!("{at} {loss:?}: {e}"));
            assert!(admission.highest_version("node") == 2 || !promised, "{at} {loss:?}");
            // The publisher goes on with what is in the log, or with the next number.
            let next = admission.next_version("node", 1);
            let again = admission.admit(&mut log, &[node(next, &["c"], &[40, 41])], now()).unwrap();
            assert_eq!(again[0].index, next + 2, "{at} {loss:?}");
        }
    }
}

#[test]
fn a_nested_delegation_holds_as_long_as_all_above_it_do() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let held = Envelope::<Targets>::parse("node", &node(1, &["a"], &[40, 41]).bytes).unwrap().signed;
    let mut editor = TargetsEditor::next("node", &held);
    let sub_keys = keys(&[50]);
    editor
        .set_delegation(&NewDelegation {
            name: "node-nightly",
            keys: &sub_keys,
            threshold: 1,
            terminating: false,
            coverage: coverage(),
        })
        .unwrap();
    let parent = submission("node", editor.finish().unwrap(), &[40, 41]);
    let nightly = |version, signer| {
        let mut editor = TargetsEditor::new("node-nightly", later());
        editor.set_version(version);
        submission("node-nightly", editor.finish().unwrap(), &[signer])
    };
    assert_eq!(admission.check(&[nightly(1, 50)], now()).unwrap_err().code(), code::LOG_ENTRY_UNAUTHORISED);
    admission.admit(&mut log, &[parent, nightly(1, 50)], now()).unwrap();
    assert_eq!(admission.check(&[nightly(2, 40)], now()).unwrap_err().code(), code::LOG_ENTRY_UNAUTHORISED);

    // Targets now gives `node` other keys; what the old ones delegated no longer counts.
    let mut editor = TargetsEditor::new("targets", later());
    editor.set_version(2);
    let new_keys = keys(&[60]);
    editor
        .set_delegation(&NewDelegation {
            name: "node",
            keys: &new_keys,
            threshold: 1,
            terminating: true,
            coverage: coverage(),
        })
        .unwrap();
    let replaced = submission("targets", editor.finish().unwrap(), &[20]);
    admission.check(&[nightly(2, 50)], now()).unwrap();
    admission.admit(&mut log, &[replaced], now()).unwrap();
    assert_eq!(admission.check(&[nightly(2, 50)], now()).unwrap_err().code(), code::LOG_ENTRY_UNAUTHORISED);
}

/// V22: the log counts holders of two keys as clients do, so it takes nothing that they would refuse.
#[test]
fn v22_a_holder_of_two_keys_is_counted_as_clients_count() {
    let temp = scratch();
    let (mut log, mut admission) = begun(temp.path());
    let second = |number| SecretKey::from_seed(Algorithm::MlDsa65, &[number; 32]).expect("a key");
    let mut editor = TargetsEditor::new("targets", later());
    let keys = keys(&[40, 41, 42]);
    let delegation =
        NewDelegation { name: "node", keys: &keys, threshold: 2, terminating: true, coverage: coverage() };
    editor.set_version(2).set_delegation(&delegation).expect("a delegation");
    for number in [40, 41] {
        editor.set_pair(secret(number).public_key(), Some(second(number).public_key())).expect("a pair");
    }
    let targets = submission("targets", editor.finish().expect("targets"), &[20]);
    admission.admit(&mut log, &[targets], now()).expect("pairs are no hindrance");

    let unsigned = TargetsEditor::new("node", later());
    let draft = |version| {
        let mut editor = unsigned.clone();
        editor.set_version(version);
        editor.finish().expect("targets")
    };
    let signed = |version, firsts: &[u8], seconds: &[u8]| {
        let keys: Vec<SecretKey> =
            firsts.iter().map(|n| secret(*n)).chain(seconds.iter().map(|n| second(*n))).collect();
        let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
        let bytes = draft(version).signed_by(&signers).expect("signatures");
        Submission { role: "node".to_owned(), bytes }
    };
    for (firsts, seconds) in [(&[40, 41][..], &[40][..]), (&[40], &[40, 41]), (&[41, 42], &[])] {
        let error = admission.admit(&mut log, &[signed(2, firsts, seconds)], now()).expect_err("a half");
        assert_eq!(error.code(), code::LOG_ENTRY_UNAUTHORISED);
        let source = std::error::Error::source(&error).expect("the rule of TUF").to_string();
        assert!(
            source.contains("lacks its ML-DSA signature") || source.contains("lacks its classical"),
            "{source}"
        );
    }
    admission.admit(&mut log, &[signed(2, &[40, 41], &[40, 41])], now()).expect("both holders");
    admission.admit(&mut log, &[signed(3, &[40, 42], &[40])], now()).expect("a holder of one key beside");
}
