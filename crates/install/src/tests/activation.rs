//! What may become active, and what becomes of it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use countersign_base::code;

use super::*;
use crate::{EventKind, Look};

#[test]
fn installs_updates_and_rolls_back() {
    let place = place(&["1.0.0"]);
    assert_active(&place.root, "1.0.0");
    let done = install(&place.root, "1.1.0").unwrap();
    assert!(done.changed);
    assert_eq!((done.generation.number, done.replaced), (2, Some(version("1.0.0"))));
    assert_eq!(done.path, place.join("node/current"));
    assert_active(&place.root, "1.1.0");
    assert_eq!(rollback(&place.root).unwrap().generation.version, version("1.0.0"));
    assert_active(&place.root, "1.0.0");
    assert_code(rollback(&place.root), code::INSTALL_NO_PREVIOUS);

    let history = place.view().history(&product()).unwrap();
    let events: Vec<_> =
        history.events.iter().map(|event| (event.kind, event.generation, event.committed)).collect();
    use EventKind::{Install, Rollback};
    assert_eq!(events, [(Install, 1, true), (Install, 2, true), (Rollback, 1, true)]);
    assert_eq!(history.active, Some(1));
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
    assert_eq!(place.view().fsck_store().unwrap(), []);
    assert_eq!(leftovers(&place.root), Vec::<PathBuf>::new());
}

#[test]
fn files_are_read_only_links_into_the_store_with_the_released_mode() {
    let place = place(&["1.0.0"]);
    for (name, bits) in [("node", 0o555), ("node.1", 0o444)] {
        let info = fs::metadata(place.join("node/current").join(name)).unwrap();
        assert_eq!(info.permissions().mode() & 0o7777, bits, "{name}");
        assert_eq!(info.nlink(), 2, "{name}");
    }
}

#[test]
fn the_active_version_again_changes_nothing() {
    let place = place(&["1.0.0"]);
    let before = contents(&place.root);
    let done = install(&place.root, "1.0.0").unwrap();
    assert!(!done.changed);
    assert_eq!(done.generation.number, 1);
    assert_eq!(contents(&place.root), before);
}

#[test]
fn an_older_version_needs_to_be_meant() {
    let place = place(&["1.0.0", "1.1.0"]);
    let before = contents(&place.root);
    assert_code(install(&place.root, "1.0.0"), code::INSTALL_DOWNGRADE);
    assert_eq!(contents(&place.root), before);
    let meant = Request { downgrade: true, ..request() };
    install_with(&mut Installer::open(&place.root).unwrap(), &release("1.0.0"), &meant).unwrap();
    assert_active(&place.root, "1.0.0");
    // Back to what was active before, which is a newer version.
    assert_eq!(rollback(&place.root).unwrap().generation.version, version("1.1.0"));
}

#[test]
fn rollback_after_an_update_that_followed_a_rollback_skips_what_was_left() {
    let place = place(&["1.0.0", "1.1.0"]);
    rollback(&place.root).unwrap();
    install(&place.root, "1.2.0").unwrap();
    assert_eq!(rollback(&place.root).unwrap().generation.version, version("1.0.0"));
}

#[test]
fn d05_nothing_below_the_floor_becomes_active() {
    let place = place(&["1.0.0", "1.1.0"]);
    let mut installer = Installer::open(&place.root).unwrap();
    // (b) The publisher's floor comes with a release, the user's with the request; `downgrade` does not help.
    let meant = Request { downgrade: true, ..request() };
    let mut older = release("1.0.0");
    older.releases[1].floor = Some(version("1.0.1"));
    assert_code(install_with(&mut installer, &older, &meant), code::INSTALL_BELOW_FLOOR);
    let by_user = Request { floor: Some(version("1.0.1")), ..meant.clone() };
    assert_code(install_with(&mut installer, &release("1.0.0"), &by_user), code::INSTALL_BELOW_FLOOR);
    // The twin, exactly at the floor.
    let at_floor = Request { floor: Some(version("1.1.0")), ..request() };
    assert!(!install_with(&mut installer, &release("1.1.0"), &at_floor).unwrap().changed);
    // It was kept, although nothing was installed, and holds for rollback and without being said again.
    assert_code(installer.rollback(&product(), None, request().now), code::INSTALL_BELOW_FLOOR);
    assert_code(install_with(&mut installer, &release("1.0.0"), &meant), code::INSTALL_BELOW_FLOOR);
    drop(installer);
    assert_active(&place.root, "1.1.0");
}

#[test]
fn d05_the_floor_only_rises_and_survives_removal_of_the_product() {
    let place = place(&["1.0.0"]);
    let mut installer = Installer::open(&place.root).unwrap();
    assert_eq!(installer.raise_floor(&product(), &version("0.9.0")).unwrap(), version("0.9.0"));
    assert_eq!(installer.raise_floor(&product(), &version("0.8.0")).unwrap(), version("0.9.0"));
    drop(installer);
    // (d) Reinstalling does not reset it.
    fs::remove_dir_all(place.join("node")).unwrap();
    let meant = Request { downgrade: true, ..request() };
    let mut installer = Installer::open(&place.root).unwrap();
    assert_code(install_with(&mut installer, &release("0.8.0"), &meant), code::INSTALL_BELOW_FLOOR);
    install_with(&mut installer, &release("1.0.0"), &request()).unwrap();
    drop(installer);
    assert_active(&place.root, "1.0.0");
    assert_eq!(place.view().floor(&product()).unwrap(), Some(version("0.9.0")));
}

#[test]
fn a_floor_can_be_set_before_the_first_installation() {
    let place = place(&[]);
    Installer::open(&place.root).unwrap().raise_floor(&product(), &version("1.0.0")).unwrap();
    assert_code(place.view().status(&product(), Look::Records), code::INSTALL_NOT_INSTALLED);
    assert_code(install(&place.root, "0.9.0"), code::INSTALL_BELOW_FLOOR);
    install(&place.root, "1.0.0").unwrap();
    assert_active(&place.root, "1.0.0");
}

#[test]
fn a_product_of_another_repository_does_not_take_the_place_of_this_one() {
    let place = place(&["1.0.0"]);
    let mut other = release("1.1.0");
    for release in &mut other.releases {
        release.repository = Anchor(Sha256Digest([8; 32]));
    }
    let mut installer = Installer::open(&place.root).unwrap();
    assert_code(install_with(&mut installer, &other, &request()), code::INSTALL_AMBIGUOUS);
    drop(installer);
    assert_active(&place.root, "1.0.0");
}

#[test]
fn files_of_two_releases_are_not_one() {
    let place = place(&[]);
    let mut installer = Installer::open(&place.root).unwrap();
    let (old, new) = (release("1.0.0"), release("1.1.0"));
    let mixed = [&old.releases[0], &new.releases[1]];
    assert_code(installer.activate_releases(&mixed, &request()), code::INTERNAL_ERROR);
    assert_code(installer.activate_releases(&[], &request()), code::INTERNAL_ERROR);
    let twice = [&old.releases[0], &old.releases[0]];
    assert_code(installer.activate_releases(&twice, &request()), code::INTERNAL_ERROR);
}

#[test]
fn content_that_was_not_taken_in_is_not_activated() {
    let place = place(&["1.0.0"]);
    let before = contents(&place.root);
    let mut installer = Installer::open(&place.root).unwrap();
    let new = release("1.1.0");
    let outcome = installer.activate_releases(&new.releases.iter().collect::<Vec<_>>(), &request());
    assert_code(outcome, code::INSTALL_CONTENT_CHANGED);
    assert_eq!(contents(&place.root), before);
    // The same before anything is installed leaves no folder of the product.
    let empty = super::place(&[]);
    let mut installer = Installer::open(&empty.root).unwrap();
    let outcome = installer.activate_releases(&new.releases.iter().collect::<Vec<_>>(), &request());
    assert_code(outcome, code::INSTALL_CONTENT_CHANGED);
    assert!(!empty.join("node").exists());
}

#[test]
fn what_is_not_installed_is_said_so() {
    let place = place(&[]);
    assert_eq!(place.view().list().unwrap().len(), 0);
    assert_code(place.view().status(&product(), Look::Files), code::INSTALL_NOT_INSTALLED);
    assert_code(place.view().history(&product()), code::INSTALL_NOT_INSTALLED);
    assert_code(place.view().fsck(&product()), code::INSTALL_NOT_INSTALLED);
    assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_NOT_INSTALLED);
    assert!(!place.root.exists(), "looking creates nothing");
    assert_code(rollback(&place.root), code::INSTALL_NOT_INSTALLED);
}

#[test]
fn what_is_active_already_is_told_without_the_lock_and_only_if_nothing_is_to_be_done() {
    let place = place(&["1.0.0"]);
    let told = |fixture: &Fixture| {
        place.view().already_active_releases(&fixture.releases.iter().collect::<Vec<_>>())
    };
    let before = contents(&place.root);
    let held = Installer::open(&place.root).unwrap();
    let done = told(&release("1.0.0")).expect("it is active");
    assert!(!done.changed);
    assert_eq!((done.generation.number, done.path), (1, place.join("node/current")));
    drop(held);
    assert_eq!(contents(&place.root), before);

    assert_eq!(told(&release("1.1.0")), None, "another version");
    let mut higher = release("1.0.0");
    higher.releases.iter_mut().for_each(|one| one.floor = Some(version("1.0.0")));
    assert_eq!(told(&higher), None, "a floor to record");
    let mut foreign = release("1.0.0");
    foreign.releases.iter_mut().for_each(|one| one.repository = Anchor(Sha256Digest([8; 32])));
    assert_eq!(told(&foreign), None, "another repository's");
    let mut fewer = release("1.0.0");
    fewer.releases.pop();
    assert_eq!(told(&fewer), None, "other files");
    fs::remove_file(place.join("node/history.json")).unwrap();
    assert_eq!(told(&release("1.0.0")), None, "the record's copy to restore");
    install(&place.root, "1.0.0").unwrap();
    fs::remove_file(place.join("node/current/node")).unwrap();
    assert_eq!(told(&release("1.0.0")), None, "a file to mend");
}
