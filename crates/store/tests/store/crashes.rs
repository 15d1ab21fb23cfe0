//! D13, L17: a crash or failure at every step leaves the old or the new content, and keeps what was promised.

use std::path::Path;
use std::sync::Arc;

use countersign_store::{Cell as _, Dir, Disk, Objects as _, StoreError, durable};
use countersign_testkit::faulty_disk::{self, Fault, FaultyDisk, Loss, Then};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(faulty_disk::scratch()).expect("a temporary folder")
}

/// Runs `work` with each step failing in each way, and gives `check` what `work` returned and each aftermath.
fn at_every_step<T>(
    prepare: impl Fn(&Path),
    work: impl Fn(Arc<dyn Disk>, &Path) -> Result<T, StoreError>,
    check: impl Fn(&Result<T, StoreError>, &Path, &str),
) {
    let run = |plan: Option<(usize, Fault, Then)>| {
        let temp = scratch();
        let root = temp.path().join("root");
        std::fs::create_dir(&root).expect("a folder in it");
        prepare(&root);
        let disk = match plan {
            None => FaultyDisk::counting(&root),
            Some((at, fault, then)) => FaultyDisk::failing(&root, at, fault, then),
        };
        let outcome = work(Arc::clone(&disk) as Arc<dyn Disk>, &root);
        for loss in Loss::ALL {
            let to = temp.path().join(format!("{loss:?}"));
            disk.after(loss, &to);
            check(&outcome, &to, &format!("{plan:?} {loss:?}"));
        }
        disk.steps()
    };
    let steps = run(None);
    assert!(steps >= 3, "the work takes steps");
    for at in 0..steps {
        for fault in Fault::ALL {
            for then in [Then::Dies, Then::GoesOn] {
                run(Some((at, fault, then)));
            }
        }
    }
}

#[test]
fn a_file_is_old_or_new_and_new_once_promised() {
    at_every_step(
        |root| std::fs::write(root.join("file"), b"old content").unwrap(),
        |disk, root| durable::write_atomic(&*disk, &root.join("file"), b"new", 0o644),
        |outcome, after, case| {
            let found = std::fs::read(after.join("file")).unwrap();
            if outcome.is_ok() {
                assert_eq!(found, b"new", "{case}");
            } else {
                assert!(found == b"new" || found == b"old content", "{case}: {found:?}");
            }
        },
    );
}

#[test]
fn objects_in_new_folders_are_whole_or_absent_and_there_once_promised() {
    at_every_step(
        |_| {},
        |disk, root| {
            let dir = Dir::open_on(disk, &root.join("log"), 0o644)?;
            let mut promised = Vec::new();
            for name in ["tile/0/x001/000", "tile/0/x001/001", "tile/1/000"] {
                dir.put_if_absent(name, name.as_bytes())?;
                promised.push(name);
            }
            Ok(promised)
        },
        |outcome, after, case| {
            let dir = Dir::open(&after.join("log")).unwrap();
            for name in dir.list("").unwrap() {
                assert_eq!(dir.get(&name).unwrap().unwrap(), name.as_bytes(), "{case}");
            }
            for name in outcome.iter().flatten() {
                assert!(dir.get(name).unwrap().is_some(), "{case}: {name} was promised");
            }
        },
    );
}

#[test]
fn objects_put_together_are_whole_or_absent_and_all_there_once_promised() {
    let names = ["tile/0/x001/000", "tile/0/x001/001", "tile/1/000", "old"];
    let objects = names.map(|name| (name.to_owned(), name.as_bytes().to_vec()));
    at_every_step(
        |root| {
            Dir::open(&root.join("log")).unwrap().put_if_absent("old", b"old").unwrap();
        },
        |disk, root| Dir::open_on(disk, &root.join("log"), 0o644)?.put_all_if_absent(&objects),
        |outcome, after, case| {
            let dir = Dir::open(&after.join("log")).unwrap();
            for name in dir.list("").unwrap() {
                assert_eq!(dir.get(&name).unwrap().unwrap(), name.as_bytes(), "{case}");
            }
            for name in names.iter().filter(|_| outcome.is_ok()) {
                assert!(dir.get(name).unwrap().is_some(), "{case}: {name} was promised");
            }
        },
    );
}

#[test]
fn a_second_process_makes_durable_what_the_first_left_in_the_cache() {
    // The first process dies at any step; the second finds its files, answers, and then the power goes.
    let first = |disk: Arc<dyn Disk>, root: &Path| -> Result<(), StoreError> {
        Dir::open_on(disk, &root.join("log"), 0o644)?.put_if_absent("tile/0/000", b"x").map(drop)
    };
    let temp = scratch();
    let count = FaultyDisk::counting(temp.path());
    first(count.clone(), temp.path()).unwrap();
    for at in 0..count.steps() {
        let temp = scratch();
        let root = temp.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let disk = FaultyDisk::failing(&root, at, Fault::Lost, Then::GoesOn);
        first(disk.clone(), &root).unwrap_err();
        first(disk.clone(), &root).unwrap();
        let after = temp.path().join("after");
        disk.after(Loss::Unsynced, &after);
        assert_eq!(std::fs::read(after.join("log/tile/0/000")).unwrap(), b"x", "step {at}");
    }
}

#[test]
fn a_cell_holds_the_old_or_the_new_value() {
    at_every_step(
        |root| {
            Dir::open(root).unwrap().cell("checkpoint").unwrap().create(b"1").unwrap();
        },
        |disk, root| {
            let cell = Dir::open_on(disk, root, 0o600)?.cell("checkpoint")?;
            let held = cell.load()?.expect("created before");
            cell.replace(held, b"2").map(drop)
        },
        |outcome, after, case| {
            let held = Dir::open(after).unwrap().cell("checkpoint").unwrap().load().unwrap().unwrap();
            let good = held.bytes() == b"2" || (outcome.is_err() && held.bytes() == b"1");
            assert!(good, "{case}: {:?}", held.bytes());
        },
    );
}

#[test]
fn a_link_says_the_old_or_the_new_target() {
    at_every_step(
        |root| std::os::unix::fs::symlink("1", root.join("current")).unwrap(),
        |disk, root| durable::replace_symlink(&*disk, "2".as_ref(), &root.join("current")),
        |outcome, after, case| {
            let target = std::fs::read_link(after.join("current")).unwrap();
            let good = target == Path::new("2") || (outcome.is_err() && target == Path::new("1"));
            assert!(good, "{case}: {target:?}");
        },
    );
}

#[test]
fn the_faulty_disk_forgets_what_was_not_synced() {
    let temp = scratch();
    let root = temp.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let disk = FaultyDisk::counting(&root);
    let left = |name: &str| {
        let after = temp.path().join(name);
        disk.after(Loss::Unsynced, &after);
        std::fs::read(after.join("file")).ok()
    };
    let mut file = disk.create_new(&root.join("temp"), 0o644).unwrap();
    disk.write(&mut file, b"one").unwrap();
    disk.rename(&root.join("temp"), &root.join("file")).unwrap();
    assert_eq!(left("neither"), None);
    disk.sync_dir(&root).unwrap();
    assert_eq!(left("name only").unwrap(), b"");
    disk.sync(&file).unwrap();
    assert_eq!(left("both").unwrap(), b"one");
    disk.write(&mut file, b"two").unwrap();
    assert_eq!(left("later bytes").unwrap(), b"one");
    disk.remove_file(&root.join("file")).unwrap();
    assert_eq!(left("removed, not synced").unwrap(), b"one");
}
