//! D13, D14: a crash, a power loss or a failure at every step leaves the old or the new generation, whole.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use countersign_base::code;
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use super::*;
use crate::Look;

/// What a piece of work may leave active.
struct Case {
    before: &'static [&'static str],
    old: Option<&'static str>,
    new: &'static str,
    /// The floor that the work sets.
    floor: Option<&'static str>,
    work: fn(&mut Installer) -> Result<(), InstallError>,
}

fn upgrade(installer: &mut Installer) -> Result<(), InstallError> {
    install_with(installer, &release("1.1.0"), &request()).map(drop)
}

fn with_floor(installer: &mut Installer) -> Result<(), InstallError> {
    let request = Request { floor: Some(version("1.0.0")), ..request() };
    install_with(installer, &release("1.1.0"), &request).map(drop)
}

fn go_back(installer: &mut Installer) -> Result<(), InstallError> {
    installer.rollback(&product(), None, request().now).map(drop)
}

fn collect(installer: &mut Installer) -> Result<(), InstallError> {
    installer.gc(1).map(drop)
}

#[test]
fn d13_first_installation() {
    at_every_step(&Case { before: &[], old: None, new: "1.1.0", floor: None, work: upgrade });
}

#[test]
fn d13_upgrade() {
    at_every_step(&Case {
        before: &["1.0.0"],
        old: Some("1.0.0"),
        new: "1.1.0",
        floor: Some("1.0.0"),
        work: with_floor,
    });
}

#[test]
fn d13_rollback() {
    at_every_step(&Case {
        before: &["1.0.0", "1.1.0"],
        old: Some("1.1.0"),
        new: "1.0.0",
        floor: None,
        work: go_back,
    });
}

#[test]
fn d13_collection() {
    let before = &["0.8.0", "0.9.0", "1.0.0", "1.1.0"];
    at_every_step(&Case { before, old: Some("1.1.0"), new: "1.1.0", floor: None, work: collect });
}

fn on(disk: Arc<FaultyDisk>, root: &Path, case: &Case) -> Result<(), InstallError> {
    (case.work)(&mut Installer::open_on(disk as Arc<dyn Disk>, root)?)
}

/// A disk that works and does not wait for the real one: these tests make thousands of changes.
fn quick(root: &Path) -> Installer {
    Installer::open_on(FaultyDisk::counting(root), root).unwrap()
}

/// A temporary folder, in memory where there is one: a real disk makes these tests ten times slower.
fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A root with these versions installed.
fn prepared(versions: &[&str]) -> Place {
    let temp = temporary();
    let root = temp.path().join("root");
    fs::create_dir(&root).unwrap();
    for version in versions {
        install_with(&mut quick(&root), &release(version), &request()).unwrap();
    }
    Place { _temp: temp, root }
}

/// Another root with the same content. Its links into the store are files of their own, as after a restore.
fn copied(original: &Place) -> Place {
    let temp = temporary();
    let root = temp.path().join("root");
    FaultyDisk::counting(&original.root).after(Loss::Nothing, &root);
    Place { _temp: temp, root }
}

/// Runs the work with each step failing in each way, and looks at each aftermath.
fn at_every_step(case: &Case) {
    let original = prepared(case.before);
    let mut seen = HashSet::new();
    let mut run = |plan: Option<(usize, Fault, Then)>| {
        let place = copied(&original);
        let disk = match plan {
            None => FaultyDisk::counting(&place.root),
            Some((at, fault, then)) => FaultyDisk::failing(&place.root, at, fault, then),
        };
        let outcome = on(Arc::clone(&disk), &place.root, case);
        if let Err(error) = &outcome {
            assert_eq!(error.code(), code::INSTALL_STORAGE_FAILED, "{plan:?} {error}");
        }
        // What the process itself sees if it goes on.
        if plan.is_none_or(|(_, _, then)| then == Then::GoesOn) {
            check(case, &place.root, &outcome, &format!("{plan:?} live"), &mut seen);
        }
        for loss in Loss::ALL {
            let after = place._temp.path().join(format!("{loss:?}"));
            disk.after(loss, &after);
            check(case, &after, &outcome, &format!("{plan:?} {loss:?}"), &mut seen);
        }
        disk.steps()
    };
    let steps = run(None);
    assert!(steps > 10, "the work takes steps");
    for at in 0..steps {
        for fault in Fault::ALL {
            for then in [Then::Dies, Then::GoesOn] {
                run(Some((at, fault, then)));
            }
        }
    }
}

/// What a crash left, apart from the numbers in temporary names: most steps leave the same as their neighbours.
type Aftermath = (bool, Vec<(String, Vec<u8>)>);

fn aftermath(root: &Path, outcome: &Result<(), InstallError>) -> Aftermath {
    let mut tree: Vec<(String, Vec<u8>)> = contents(root)
        .into_iter()
        .map(|(path, bytes)| {
            let path = path.strip_prefix(root).unwrap().to_str().unwrap();
            let mode = fs::symlink_metadata(root.join(path)).unwrap().mode();
            let name = path.split_once(".tmp-").map_or(path, |(folder, _)| folder);
            (format!("{name} {mode:o}"), bytes)
        })
        .collect();
    tree.sort();
    (outcome.is_ok(), tree)
}

fn check(
    case: &Case,
    root: &Path,
    outcome: &Result<(), InstallError>,
    context: &str,
    seen_before: &mut HashSet<Aftermath>,
) {
    if !seen_before.insert(aftermath(root, outcome)) {
        return;
    }
    // Before any recovery: whoever looks sees the old or the new one.
    let seen = active(root, context);
    assert!(seen.as_deref() == case.old || seen.as_deref() == Some(case.new), "{context}: {seen:?}");
    if outcome.is_ok() {
        assert_eq!(seen.as_deref(), Some(case.new), "{context}: it was promised");
        let floor = View::open(root).floor(&product()).unwrap();
        assert_eq!(floor, case.floor.map(version), "{context}: so was the floor");
    }
    // The next process recovers, and finds the same.
    drop(quick(root));
    assert_eq!(active(root, context), seen, "{context}: recovery changes nothing that is seen");
    let unfinished = leftovers(root);
    assert!(
        unfinished.iter().all(|path| path.to_string_lossy().ends_with(".partial")),
        "{context}: {unfinished:?}"
    );
    if seen.is_some() {
        assert_eq!(View::open(root).fsck(&product()).unwrap(), [], "{context}");
    }
    // And the honest operation succeeds.
    let done = install_with(&mut quick(root), &release("1.2.0"), &request());
    done.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_active(root, "1.2.0");
    assert_eq!(View::open(root).fsck_store().unwrap(), [], "{context}");
    if let Some(text) = seen {
        let back = quick(root).rollback(&product(), None, request().now).unwrap();
        assert_eq!(back.generation.version, version(&text), "{context}");
    }
}

/// The active version, proven whole.
fn active(root: &Path, context: &str) -> Option<String> {
    match View::open(root).status(&product(), Look::Files) {
        Ok(status) => {
            assert_eq!(status.findings, Some(vec![]), "{context}");
            let text = status.active.version.to_string();
            assert_active(root, &text);
            Some(text)
        }
        Err(InstallError::NotInstalled { .. }) => None,
        Err(error) => panic!("{context}: {error}"),
    }
}

#[test]
fn d13_crashes_during_recovery_lose_nothing_either() {
    // A process that died just before and just after the link was replaced, then one that dies at each step of
    // settling that.
    let place = prepared(&["1.0.0"]);
    let case = Case { before: &["1.0.0"], old: Some("1.0.0"), new: "1.1.0", floor: None, work: upgrade };
    let original = copied(&place);
    let disk = FaultyDisk::counting(&place.root);
    on(Arc::clone(&disk), &place.root, &case).unwrap();
    let mut seen = HashSet::new();
    for first in 0..disk.steps() {
        let place = copied(&original);
        let disk = FaultyDisk::failing(&place.root, first, Fault::DoneButFailed, Then::Dies);
        let outcome = on(Arc::clone(&disk), &place.root, &case);
        let crashed = place._temp.path().join("crashed");
        disk.after(Loss::Unsynced, &crashed);
        for second in 0..100 {
            let again = place._temp.path().join(format!("again-{second}"));
            disk.after(Loss::Unsynced, &again);
            let recovering = FaultyDisk::failing(&again, second, Fault::DoneButFailed, Then::Dies);
            let opened = Installer::open_on(Arc::clone(&recovering) as Arc<dyn Disk>, &again);
            if recovering.steps() <= second {
                break;
            }
            drop(opened);
            for loss in Loss::ALL {
                let after = place._temp.path().join(format!("after-{second}-{loss:?}"));
                recovering.after(loss, &after);
                check(&case, &after, &outcome, &format!("{first} then {second} {loss:?}"), &mut seen);
            }
        }
    }
}

#[test]
fn d14_a_disk_that_takes_nothing_changes_nothing() {
    let place = place(&["1.0.0"]);
    let before = contents(&place.root);
    for fault in [Fault::Lost, Fault::NoSpace] {
        let disk = FaultyDisk::failing(&place.root, 0, fault, Then::Dies);
        assert_code(Installer::open_on(disk, &place.root), code::INSTALL_STORAGE_FAILED);
        assert_eq!(contents(&place.root), before);
    }
    let full =
        Installer::open_on(FaultyDisk::failing(&place.root, 0, Fault::NoSpace, Then::Dies), &place.root);
    assert!(full.unwrap_err().fix().is_some_and(|fix| fix.contains("make room")));
    assert_active(&place.root, "1.0.0");
}
