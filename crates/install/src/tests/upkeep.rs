//! Collecting what is no longer needed.

use super::*;
use crate::{Collected, DEFAULT_KEPT_GENERATIONS, Look};

fn gc(root: &Path, keep: usize) -> Collected {
    Installer::open(root).unwrap().gc(keep).unwrap()
}

#[test]
fn old_generations_go_and_take_only_their_own_content() {
    let place = place(&[]);
    let mut installer = Installer::open(&place.root).unwrap();
    for index in 0..7 {
        let program = format!("program {index}").into_bytes();
        let shared = b"the same in every version".to_vec();
        let parts = vec![("node", FileMode::Executable, program), ("LICENSE", FileMode::Plain, shared)];
        install_with(&mut installer, &files(&format!("1.{index}.0"), parts), &request()).unwrap();
    }
    let collected = installer.gc(DEFAULT_KEPT_GENERATIONS).unwrap();
    assert_eq!(collected.generations, [(product(), 1), (product(), 2)]);
    assert_eq!(collected.files, 2);
    drop(installer);
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
    assert_eq!(fs::read_dir(place.join(".countersign/store")).unwrap().count(), 5 + 1);
    assert_eq!(gc(&place.root, DEFAULT_KEPT_GENERATIONS), Collected::default());
}

#[test]
fn the_active_generation_and_the_one_before_it_stay() {
    let place = place(&["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    rollback(&place.root).unwrap();
    rollback(&place.root).unwrap();
    // Active is 2, before it was 1; the newest is 4.
    assert_eq!(gc(&place.root, 0).generations, [(product(), 3), (product(), 4)]);
    assert_active(&place.root, "1.1.0");
    assert_eq!(rollback(&place.root).unwrap().generation.version, version("1.0.0"));
    // Numbers are not used again.
    assert_eq!(install(&place.root, "1.4.0").unwrap().generation.number, 5);
}

#[test]
fn d15_nothing_that_may_be_live_goes_when_the_link_was_changed() {
    let place = place(&["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"]);
    let current = place.join("node/current");
    rollback(&place.root).unwrap();
    fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink("generations/2", &current).unwrap();
    // On record as active is 4, before it was 3, named is 2.
    assert_eq!(gc(&place.root, 0).generations, [(product(), 1), (product(), 5)]);
    fs::remove_file(&current).unwrap();
    assert_eq!(gc(&place.root, 0).generations, [(product(), 2)]);
    install(&place.root, "1.3.0").unwrap();
    assert_active(&place.root, "1.3.0");
}

#[test]
fn unfinished_downloads_and_unneeded_content_go() {
    let place = place(&["1.0.0"]);
    let installer = Installer::open(&place.root).unwrap();
    let next = release("1.1.0");
    take_in(&installer, &next.releases[0], &next.contents[0]).unwrap();
    let mut incoming = installer.receive_release(&next.releases[1]).unwrap().unwrap();
    incoming.write_all(b"m").unwrap();
    drop(incoming);
    assert_eq!(leftovers(&place.root).len(), 1);
    drop(installer);
    let collected = gc(&place.root, 5);
    assert_eq!((collected.files, collected.generations.len()), (2, 0));
    assert_eq!(collected.bytes, next.releases[0].length + 1);
    assert_eq!(leftovers(&place.root).len(), 0);
    assert_active(&place.root, "1.0.0");
}

#[test]
fn products_are_listed_by_name_and_live_side_by_side() {
    let place = place(&["1.0.0"]);
    let mut other = release("2.0.0");
    for release in &mut other.releases {
        release.path.product = "wallet".parse().unwrap();
    }
    install_with(&mut Installer::open(&place.root).unwrap(), &other, &request()).unwrap();
    let list = place.view().list().unwrap();
    let names: Vec<_> = list.iter().map(|one| (one.product.as_str(), one.status.is_ok())).collect();
    assert_eq!(names, [("node", true), ("wallet", true)]);
    gc(&place.root, 1);
    assert_active(&place.root, "1.0.0");
    let wallet = place.view().status(&"wallet".parse().unwrap(), Look::Files).unwrap();
    assert_eq!(wallet.findings, Some(vec![]));
}

#[test]
fn a_foreign_folder_with_a_number_of_its_own_is_left_alone() {
    let place = place(&["1.0.0"]);
    fs::create_dir(place.join("node/generations/2")).unwrap();
    fs::write(place.join("node/generations/2/mine"), b"mine").unwrap();
    assert_eq!(install(&place.root, "1.1.0").unwrap().generation.number, 3);
    assert_eq!(fs::read(place.join("node/generations/2/mine")).unwrap(), b"mine");
}
