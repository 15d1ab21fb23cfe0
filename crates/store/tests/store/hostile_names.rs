//! Nothing that a name or a planted link says makes a write leave its folder.

use std::fs;
use std::os::unix::fs::symlink;

use countersign_store::{Dir, Objects as _, RealDisk, StoreError, durable};

#[test]
fn names_that_could_mean_another_file_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(&temp.path().join("store")).unwrap();
    let long = "x".repeat(256);
    for name in
        ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a/.", "a\\b", "a\0b", "a\nb", ".tmp-1", &long]
    {
        let error = dir.put_if_absent(name, b"x").unwrap_err();
        assert!(matches!(error, StoreError::Name { .. }), "{name:?}: {error}");
        assert!(matches!(dir.get(name).unwrap_err(), StoreError::Name { .. }), "{name:?}");
    }
    for name in ["a", "b/c", "..a", "%2e%2e%2fa", "é", &long[1..]] {
        dir.put_if_absent(name, b"x").unwrap();
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_link_at_the_target_is_replaced_and_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    let dir = Dir::open(&temp.path().join("store")).unwrap();
    symlink(&victim, dir.root().join("file")).unwrap();
    dir.put_if_absent("file", b"new").unwrap_err();
    assert!(dir.get("file").is_err(), "reading does not follow it either");
    dir.replace("file", b"new").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(dir.get("file").unwrap().unwrap(), b"new");
}

#[test]
fn a_link_in_place_of_a_folder_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let outside = temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let dir = Dir::open(&temp.path().join("store")).unwrap();
    symlink(&outside, dir.root().join("tile")).unwrap();
    let error = dir.put_if_absent("tile/0", b"x").unwrap_err();
    assert!(matches!(error, StoreError::Name { .. }), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn links_planted_at_temporary_names_are_passed_over() {
    let temp = tempfile::tempdir().unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    let folder = temp.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for number in 0..1000 {
        symlink(&victim, folder.join(format!("{}{}-{number}", durable::TEMP_PREFIX, std::process::id())))
            .unwrap();
    }
    durable::write_atomic(&RealDisk, &folder.join("file"), b"new", 0o644).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}
