//! D05 (c), D11: files, links and records that somebody changed.

use std::io::{Read as _, Seek as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use countersign_base::code;

use super::*;
use crate::{Look, Problem, Repair};

/// Changes a read-only file in place, as somebody with the right to do so can.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let bits = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(std::io::SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
    fs::set_permissions(path, bits).unwrap();
}

#[test]
fn a_changed_file_is_found_named_not_run_and_mended_by_installing_again() {
    let place = place(&["1.0.0", "1.1.0"]);
    let path = place.join("node/generations/2/node");
    overwrite(&path, 20, b"evil");
    let findings = place.view().fsck(&product()).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].path, path);
    assert!(matches!(findings[0].problem, Problem::Changed { .. }));
    assert_eq!(place.view().fsck_store().unwrap().len(), 1, "the store has the same file");
    let status = place.view().status(&product(), Look::Files).unwrap();
    assert_eq!(status.findings.unwrap(), findings);
    assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_CONTENT_CHANGED);
    place.view().open_verified(&product(), "node.1").unwrap();

    let done = install(&place.root, "1.1.0").unwrap();
    assert!(done.changed);
    assert_active(&place.root, "1.1.0");
    // The damaged generation is not the one to go back to.
    assert_eq!(rollback(&place.root).unwrap().generation.number, 1);
}

#[test]
fn every_kind_of_difference_is_named() {
    type Change<'c> = (&'c str, &'c str, &'c dyn Fn(&Path), &'c dyn Fn(&Problem) -> bool);
    let changes: [Change<'_>; 6] = [
        ("missing", "1/node", &|p| fs::remove_file(p).unwrap(), &|p| *p == Problem::Missing),
        (
            "a link",
            "1/node",
            &|p| {
                fs::rename(p, p.with_extension("moved")).unwrap();
                symlink("node.moved", p).unwrap();
            },
            &|p| *p == Problem::Missing || *p == Problem::Extra,
        ),
        (
            "shorter",
            "1/node",
            &|p| fs::OpenOptions::new().write(true).open(p).unwrap().set_len(9).unwrap(),
            &|p| matches!(p, Problem::Length { found: 9, .. }),
        ),
        (
            "not executable",
            "1/node",
            &|p| fs::set_permissions(p, fs::Permissions::from_mode(0o444)).unwrap(),
            &|p| *p == Problem::Mode { listed: 0o555, found: 0o444 },
        ),
        ("extra file", "1/extra", &|p| fs::write(p, b"").unwrap(), &|p| *p == Problem::Extra),
        ("extra folder", "7", &|p| fs::create_dir(p).unwrap(), &|p| *p == Problem::Extra),
    ];
    for (case, path, change, expected) in changes {
        let place = place(&["1.0.0"]);
        assert_eq!(place.view().fsck(&product()).unwrap(), [], "{case}");
        change(&place.join("node/generations").join(path));
        let findings = place.view().fsck(&product()).unwrap();
        assert!(
            !findings.is_empty() && findings.iter().all(|one| expected(&one.problem)),
            "{case}: {findings:?}"
        );
        // Whatever it is, installing the same version again gives a whole one.
        install(&place.root, "1.0.0").unwrap();
        assert_active(&place.root, "1.0.0");
    }
}

#[test]
fn rollback_to_a_changed_generation_is_refused() {
    let place = place(&["1.0.0", "1.1.0"]);
    overwrite(&place.join("node/generations/1/node.1"), 0, b"x");
    assert_code(rollback(&place.root), code::INSTALL_CONTENT_CHANGED);
    assert_active(&place.root, "1.1.0");
}

#[test]
fn d11_a_file_swapped_in_the_store_before_activation_is_not_installed() {
    let place = place(&["1.0.0"]);
    let mut installer = Installer::open(&place.root).unwrap();
    let new = release("1.1.0");
    for (release, content) in new.releases.iter().zip(&new.contents) {
        take_in(&installer, release, content).unwrap();
    }
    let before = contents(&place.join("node"));
    let stored = place.join(".countersign/store").join(format!("{}-x", new.releases[0].sha256));
    // (a) replaced by another file, (a) by a link to one, (b) written to through a descriptor kept open.
    let good = fs::read(&stored).unwrap();
    let evil = vec![b'e'; good.len()];
    let swaps: [&dyn Fn(); 3] = [
        &|| {
            fs::remove_file(&stored).unwrap();
            fs::write(&stored, &evil).unwrap();
            fs::set_permissions(&stored, fs::Permissions::from_mode(0o555)).unwrap();
        },
        &|| {
            fs::remove_file(&stored).unwrap();
            symlink(place.join("node/current/node"), &stored).unwrap();
        },
        &|| overwrite(&stored, 100, b"evil"),
    ];
    for swap in swaps {
        swap();
        let outcome = installer.activate_releases(&new.releases.iter().collect::<Vec<_>>(), &request());
        assert_code(outcome, code::INSTALL_CONTENT_CHANGED);
        assert_eq!(contents(&place.join("node")), before);
        // The honest operation right after: what is bad is sent again.
        assert!(take_in(&installer, &new.releases[0], &new.contents[0]).unwrap());
    }
    install_with(&mut installer, &new, &request()).unwrap();
    assert_active(&place.root, "1.1.0");
}

#[test]
fn d11_a_flipped_link_is_not_followed() {
    let place = place(&["1.0.0", "1.1.0"]);
    let current = place.join("node/current");
    let flips: [&dyn Fn(); 4] = [
        &|| symlink("generations/1", &current).unwrap(),
        &|| symlink("/etc", &current).unwrap(),
        &|| symlink("generations/01", &current).unwrap(),
        &|| {},
    ];
    for (index, flip) in flips.iter().enumerate() {
        fs::remove_file(&current).unwrap();
        flip();
        assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_CONTENT_CHANGED);
        assert_code(place.view().status(&product(), Look::Records), code::INSTALL_CONTENT_CHANGED);
        assert_code(rollback(&place.root), code::INSTALL_CONTENT_CHANGED);
        let findings = place.view().fsck(&product()).unwrap();
        assert!(
            findings.iter().any(|one| matches!(one.problem, Problem::Link { .. })),
            "{index}: {findings:?}"
        );
        // An older version is still a downgrade, whatever the link says; the same one again mends it.
        assert_code(install(&place.root, "1.0.0"), code::INSTALL_DOWNGRADE);
        install(&place.root, "1.1.0").unwrap();
        assert_active(&place.root, "1.1.0");
    }
}

#[test]
fn a_folder_in_place_of_the_link_is_named_and_not_removed() {
    let place = place(&["1.0.0"]);
    let current = place.join("node/current");
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    fs::write(current.join("mine"), b"mine").unwrap();
    assert_code(place.view().status(&product(), Look::Records), code::INSTALL_CONTENT_CHANGED);
    assert_code(install(&place.root, "1.1.0"), code::INSTALL_STATE_DAMAGED);
    fs::rename(&current, place.join("aside")).unwrap();
    install(&place.root, "1.1.0").unwrap();
    assert_active(&place.root, "1.1.0");
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
}

#[test]
fn d11_what_is_run_is_what_was_hashed() {
    let place = place(&["1.0.0"]);
    let mut open = place.view().open_verified(&product(), "node").unwrap();
    // Another file, another folder in its place: the descriptor is still that of the verified one.
    fs::rename(place.join("node/generations/1"), place.join("moved")).unwrap();
    fs::create_dir(place.join("node/generations/1")).unwrap();
    fs::write(place.join("node/generations/1/node"), b"evil").unwrap();
    let mut bytes = Vec::new();
    open.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, release("1.0.0").contents[0]);
    assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_CONTENT_CHANGED);
}

#[test]
fn a_name_that_is_not_the_products_is_not_opened() {
    let place = place(&["1.0.0"]);
    for name in ["other", "", ".", "..", "../1/node", "/etc/passwd"] {
        assert_code(place.view().open_verified(&product(), name), code::FILE_NOT_FOUND);
    }
}

#[test]
fn links_planted_where_we_write_are_not_followed() {
    for planted in [".countersign", ".countersign/store", ".countersign/products", "node", "node/generations"]
    {
        let place = place(&["1.0.0"]);
        let outside = place._temp.path().join("outside");
        fs::rename(place.join(planted), &outside).unwrap();
        symlink(&outside, place.join(planted)).unwrap();
        let before = contents(&outside);
        assert_code(install(&place.root, "1.1.0"), code::INSTALL_STATE_DAMAGED);
        assert_eq!(contents(&outside), before, "{planted}");
        // The repair that the message names.
        fs::remove_file(place.join(planted)).unwrap();
        fs::rename(&outside, place.join(planted)).unwrap();
        install(&place.root, "1.1.0").unwrap();
        assert_active(&place.root, "1.1.0");
    }
}

#[test]
fn a_link_in_place_of_a_record_is_replaced_not_followed() {
    let place = place(&["1.0.0"]);
    let copy = place.join("node/history.json");
    let outside = place.join("outside");
    fs::write(&outside, b"mine").unwrap();
    fs::remove_file(&copy).unwrap();
    symlink(&outside, &copy).unwrap();
    install(&place.root, "1.1.0").unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"mine");
    assert!(fs::symlink_metadata(&copy).unwrap().is_file());
    assert_active(&place.root, "1.1.0");
}

#[test]
fn d05_a_damaged_or_missing_record_is_refused_and_repaired_from_its_copy() {
    type Damage<'c> = (&'c str, &'c dyn Fn(&Path));
    let damages: [Damage<'_>; 5] = [
        ("missing", &|path| fs::remove_file(path).unwrap()),
        ("not JSON", &|path| fs::write(path, b"{").unwrap()),
        ("empty", &|path| fs::write(path, b"").unwrap()),
        ("a folder", &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("lowered floor", &|path| {
            let text = fs::read_to_string(path).unwrap();
            let edited = text.replace(r#""floor":"1.0.0""#, r#""floor":"0.1.0""#);
            assert_ne!(text, edited);
            fs::write(path, edited).unwrap();
        }),
    ];
    for (case, damage) in damages {
        let place = place(&["1.0.0", "1.1.0"]);
        Installer::open(&place.root).unwrap().raise_floor(&product(), &version("1.0.0")).unwrap();
        let record = place.join(".countersign/products/node.json");
        damage(&record);
        let meant = Request { downgrade: true, ..request() };
        assert_code(place.view().status(&product(), Look::Records), code::INSTALL_STATE_DAMAGED);
        assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_STATE_DAMAGED);
        assert_code(rollback(&place.root), code::INSTALL_STATE_DAMAGED);
        assert_eq!(place.view().list().unwrap().len(), 1, "{case}");
        let mut installer = Installer::open(&place.root).unwrap();
        let outcome = install_with(&mut installer, &release("0.9.0"), &meant);
        let InstallError::StateDamaged { repair, .. } = outcome.unwrap_err() else { panic!("{case}") };
        assert_eq!(repair, Repair::FromCopy, "{case}");
        assert_code(installer.gc(1), code::INSTALL_STATE_DAMAGED);
        assert!(installer.repair(&product()).unwrap(), "{case}");
        assert!(!installer.repair(&product()).unwrap(), "{case}");
        // The floor is what it was.
        assert_code(install_with(&mut installer, &release("0.9.0"), &meant), code::INSTALL_BELOW_FLOOR);
        drop(installer);
        assert_active(&place.root, "1.1.0");
        assert_eq!(rollback(&place.root).unwrap().generation.version, version("1.0.0"), "{case}");
    }
}

#[test]
fn with_both_records_lost_nothing_is_guessed() {
    let place = place(&["1.0.0"]);
    fs::remove_file(place.join(".countersign/products/node.json")).unwrap();
    fs::remove_file(place.join("node/history.json")).unwrap();
    let mut installer = Installer::open(&place.root).unwrap();
    let outcome = install_with(&mut installer, &release("1.1.0"), &request());
    let InstallError::StateDamaged { repair, .. } = outcome.unwrap_err() else { panic!("refused") };
    assert_eq!(repair, Repair::Reinstall);
    assert_code(installer.repair(&product()), code::INSTALL_STATE_DAMAGED);
    // The repair that the message names.
    fs::rename(place.join("node"), place.join("aside")).unwrap();
    install_with(&mut installer, &release("1.1.0"), &request()).unwrap();
    drop(installer);
    assert_active(&place.root, "1.1.0");
}

#[test]
fn a_lost_copy_is_named_and_mended_by_the_next_change() {
    let place = place(&["1.0.0"]);
    let copy = place.join("node/history.json");
    fs::remove_file(&copy).unwrap();
    assert_active(&place.root, "1.0.0");
    let findings = place.view().fsck(&product()).unwrap();
    assert_eq!((findings.len(), &findings[0].path), (1, &copy));
    install(&place.root, "1.1.0").unwrap();
    assert_eq!(place.view().fsck(&product()).unwrap(), []);
}

#[test]
fn an_older_record_put_back_is_noticed() {
    let place = place(&["1.0.0"]);
    let record = place.join(".countersign/products/node.json");
    let older = fs::read(&record).unwrap();
    Installer::open(&place.root).unwrap().raise_floor(&product(), &version("1.0.0")).unwrap();
    fs::write(&record, older).unwrap();
    assert_code(install(&place.root, "1.1.0"), code::INSTALL_STATE_DAMAGED);
    assert!(Installer::open(&place.root).unwrap().repair(&product()).unwrap());
    assert_eq!(place.view().floor(&product()).unwrap(), Some(version("1.0.0")));
    install(&place.root, "1.1.0").unwrap();
}

/// Writes a record as somebody does who can also compute its checksum.
fn forge(path: &Path, edit: impl Fn(&mut crate::state::State)) {
    let mut state = crate::record::decode(&fs::read(path).unwrap(), &product()).unwrap();
    edit(&mut state);
    fs::write(path, crate::record::encode(&state)).unwrap();
}

#[test]
fn d05_a_forged_record_differs_from_its_copy() {
    let place = place(&["1.0.0"]);
    Installer::open(&place.root).unwrap().raise_floor(&product(), &version("1.0.0")).unwrap();
    let (record, copy) = (place.join(".countersign/products/node.json"), place.join("node/history.json"));
    let (whole, lowered) = (fs::read(&record).unwrap(), Some(version("0.1.0")));
    forge(&record, |state| state.floor = lowered.clone());
    let InstallError::StateDamaged { repair, .. } = install(&place.root, "1.1.0").unwrap_err() else {
        panic!()
    };
    assert_eq!(repair, Repair::Reinstall, "either of them can be the forged one");
    // A forged copy that claims to be newer is taken for a repair, but lowers no floor.
    fs::write(&record, whole).unwrap();
    forge(&copy, |state| (state.floor, state.serial) = (lowered.clone(), state.serial + 1));
    assert_code(install(&place.root, "1.1.0"), code::INSTALL_STATE_DAMAGED);
    assert!(Installer::open(&place.root).unwrap().repair(&product()).unwrap());
    assert_eq!(place.view().floor(&product()).unwrap(), Some(version("1.0.0")));
    install(&place.root, "1.1.0").unwrap();
}

#[test]
fn everything_damaged_at_once_is_mended_by_repair_and_installing_again() {
    let place = place(&["1.0.0", "1.1.0"]);
    overwrite(&place.join("node/generations/2/node"), 20, b"evil");
    fs::remove_file(place.join("node/current")).unwrap();
    fs::remove_file(place.join(".countersign/products/node.json")).unwrap();
    assert_code(install(&place.root, "1.1.0"), code::INSTALL_STATE_DAMAGED);
    assert!(Installer::open(&place.root).unwrap().repair(&product()).unwrap());
    assert_code(place.view().status(&product(), Look::Files), code::INSTALL_CONTENT_CHANGED);
    install(&place.root, "1.1.0").unwrap();
    assert_active(&place.root, "1.1.0");
}

#[test]
fn a_link_in_place_of_a_generation_is_not_followed() {
    let place = place(&["1.0.0"]);
    fs::rename(place.join("node/generations/1"), place.join("moved")).unwrap();
    symlink(place.join("moved"), place.join("node/generations/1")).unwrap();
    assert_code(place.view().open_verified(&product(), "node"), code::INSTALL_CONTENT_CHANGED);
    install(&place.root, "1.0.0").unwrap();
    assert_active(&place.root, "1.0.0");
}

#[test]
fn any_flipped_byte_of_a_record_is_noticed() {
    let place = place(&["1.0.0"]);
    let record = place.join(".countersign/products/node.json");
    let good = fs::read(&record).unwrap();
    // The line feed at the end is not part of the JSON.
    for index in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[index] ^= 1;
        fs::write(&record, &bad).unwrap();
        assert_code(place.view().status(&product(), Look::Records), code::INSTALL_STATE_DAMAGED);
    }
    fs::write(&record, &good).unwrap();
    assert_active(&place.root, "1.0.0");
}
