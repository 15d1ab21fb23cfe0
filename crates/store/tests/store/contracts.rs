//! The contracts as their comments state them, on a healthy disk.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use countersign_store::durable::{self, Put, Staged};
use countersign_store::{Cell as _, Dir, Lock, Objects as _, RealDisk, StoreError};

#[test]
fn an_object_is_created_once_and_never_changes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    assert_eq!(dir.get("tile/0/000").unwrap(), None);
    assert_eq!(dir.put_if_absent("tile/0/000", b"one").unwrap(), Put::Created);
    assert_eq!(dir.put_if_absent("tile/0/000", b"one").unwrap(), Put::AlreadySame);
    for other in [&b"two"[..], b"longer than one", b""] {
        let error = dir.put_if_absent("tile/0/000", other).unwrap_err();
        assert!(matches!(error, StoreError::Different { .. }), "{error}");
    }
    assert_eq!(dir.get("tile/0/000").unwrap().unwrap(), b"one");
}

#[test]
fn list_shows_finished_objects_in_order() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    for name in ["b/2", "b/1", "a", "b/c/3"] {
        dir.put_if_absent(name, b"x").unwrap();
    }
    fs::write(temp.path().join("b/.tmp-1-1"), b"half").unwrap();
    assert_eq!(dir.list("").unwrap(), ["a", "b/1", "b/2", "b/c/3"]);
    assert_eq!(dir.list("b").unwrap(), ["b/1", "b/2", "b/c/3"]);
    assert!(dir.list("absent").unwrap().is_empty());
    assert_eq!(durable::remove_stale(&RealDisk, &temp.path().join("b")).unwrap(), 1);
    assert!(!temp.path().join("b/.tmp-1-1").exists());
}

#[test]
fn a_cell_is_replaced_only_by_who_has_seen_the_latest() {
    let temp = tempfile::tempdir().unwrap();
    let one = Dir::open(temp.path()).unwrap().cell("checkpoint").unwrap();
    let two = Dir::open(temp.path()).unwrap().cell("checkpoint").unwrap();
    assert!(one.load().unwrap().is_none());
    let held = one.create(b"1").unwrap();
    assert!(matches!(two.create(b"1").unwrap_err(), StoreError::Conflict { .. }));
    let stale = two.load().unwrap().unwrap();
    let held = one.replace(held, b"2").unwrap();
    assert!(matches!(two.replace(stale, b"3").unwrap_err(), StoreError::Conflict { .. }));
    assert_eq!(held.bytes(), b"2");
    assert_eq!(two.load().unwrap().unwrap().bytes(), b"2");
}

#[test]
fn of_many_writers_of_a_cell_each_increment_counts_once() {
    let temp = tempfile::tempdir().unwrap();
    Dir::open(temp.path()).unwrap().cell("n").unwrap().create(b"0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cell = Dir::open(temp.path()).unwrap().cell("n").unwrap();
                let mut done = 0;
                while done < 10 {
                    let held = cell.load().unwrap().unwrap();
                    let next: u32 = std::str::from_utf8(held.bytes()).unwrap().parse::<u32>().unwrap() + 1;
                    match cell.replace(held, next.to_string().as_bytes()) {
                        Ok(_) => done += 1,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let cell = Dir::open(temp.path()).unwrap().cell("n").unwrap();
    assert_eq!(cell.load().unwrap().unwrap().bytes(), b"40");
}

#[test]
fn a_lock_excludes_until_it_is_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("lock");
    let held = Lock::try_acquire(&path).unwrap();
    assert!(Lock::try_acquire(&path).unwrap_err().is_locked());
    drop(held);
    Lock::try_acquire(&path).unwrap();
}

#[test]
fn reading_stops_at_the_limit() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    durable::write_atomic(&RealDisk, &path, b"12345", 0o644).unwrap();
    assert_eq!(durable::read(&path, 5).unwrap().unwrap(), b"12345");
    assert!(matches!(durable::read(&path, 4).unwrap_err(), StoreError::TooLarge { limit: 4, .. }));
    assert_eq!(durable::read(&temp.path().join("absent"), 4).unwrap(), None);
    assert!(durable::read(temp.path(), 4).is_err(), "a folder is not a file");
}

#[test]
fn a_staged_file_has_its_mode_and_vanishes_when_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("tool");
    let mut staged = Staged::create(&RealDisk, temp.path(), 0o600).unwrap();
    staged.write_all(b"#!/bin/sh\n").unwrap();
    staged.set_mode(0o755).unwrap();
    staged.replace(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);

    let unfinished = Staged::create(&RealDisk, temp.path(), 0o600).unwrap();
    assert!(unfinished.path().unwrap().exists());
    drop(unfinished);
    let second = Staged::create(&RealDisk, temp.path(), 0o600).unwrap();
    assert!(!second.create_at(&path).unwrap(), "never over an existing file");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_link_is_swapped_in_one_step() {
    let temp = tempfile::tempdir().unwrap();
    let link = temp.path().join("current");
    for target in ["generations/1", "generations/2"] {
        durable::replace_symlink(&RealDisk, target.as_ref(), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(target));
    }
    assert!(durable::remove(&RealDisk, &link).unwrap());
    assert!(!durable::remove(&RealDisk, &link).unwrap());
}

#[test]
fn of_objects_put_together_one_that_differs_is_refused_and_unchanged() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    dir.put_if_absent("a/2", b"two").unwrap();
    let objects = |second: &[u8]| {
        [("a/1", b"one".as_slice()), ("a/2", second), ("b/3", b"three")]
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    };
    let error = dir.put_all_if_absent(&objects(b"other")).unwrap_err();
    assert!(matches!(error, StoreError::Different { path } if path.ends_with("a/2")));
    assert_eq!(dir.list("").unwrap(), ["a/2"]);
    dir.put_all_if_absent(&objects(b"two")).unwrap();
    assert_eq!(dir.list("").unwrap(), ["a/1", "a/2", "b/3"]);
    assert_eq!(dir.get("a/2").unwrap().unwrap(), b"two");
}

#[test]
fn many_objects_are_put_together() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    let objects: Vec<_> =
        (0..300_u16).map(|n| (format!("{}/{n}", n % 7), n.to_be_bytes().to_vec())).collect();
    dir.put_all_if_absent(&objects).unwrap();
    assert_eq!(dir.list("").unwrap().len(), objects.len());
    for (name, bytes) in &objects {
        assert_eq!(dir.get(name).unwrap().as_ref(), Some(bytes));
    }
}
