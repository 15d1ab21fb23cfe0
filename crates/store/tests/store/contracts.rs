//! The contracts on a directory, and what a directory promises beyond them, on a healthy disk.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use countersign_store::durable::{self, Staged};
use countersign_store::{Cell, Dir, Lock, Objects, RealDisk, StoreError};
use countersign_testkit::contracts::Backend;

struct Folder(tempfile::TempDir);

impl Backend for Folder {
    fn objects(&self) -> Box<dyn Objects> {
        Box::new(Dir::open(self.0.path()).expect("the folder is there"))
    }

    fn cell(&self, name: &str) -> Box<dyn Cell> {
        let dir = Dir::open(self.0.path()).expect("the folder is there");
        Box::new(dir.cell(name).expect("the name is good"))
    }
}

countersign_testkit::storage_contracts!(Some(Folder(tempfile::tempdir().unwrap())));

#[test]
fn list_leaves_unfinished_files_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    dir.put_if_absent("b/1", b"x").unwrap();
    fs::write(temp.path().join("b/.tmp-1-1"), b"half").unwrap();
    assert_eq!(dir.list("").unwrap(), ["b/1"]);
    assert_eq!(durable::remove_stale(&RealDisk, &temp.path().join("b")).unwrap(), 1);
    assert!(!temp.path().join("b/.tmp-1-1").exists());
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
fn of_objects_put_together_on_a_directory_all_are_staged_before_one_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    dir.put_if_absent("a/2", b"two").unwrap();
    let objects = [("a/1", b"one"), ("a/2", b"bad")].map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    dir.put_all_if_absent(&objects).unwrap_err();
    assert_eq!(dir.list("").unwrap(), ["a/2"]);
}
