//! Making keys: what is written, with which mode, and what is never overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign_base::code::{self, Explain};
use countersign_base::name::KeyName;
use countersign_crypto::Algorithm;
use countersign_keys::{KeyDir, NewKey, Protection, Stage};
use proptest::prelude::*;

use crate::scene::{PASSPHRASE, Scene, code, new, now, passphrase, works};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_scheme_that_signs_can_be_kept_and_opened() {
    let scene = Scene::new();
    let product = "node".parse().unwrap();
    for algorithm in Algorithm::ALL {
        let asked = NewKey {
            name: algorithm.name(),
            stage: Stage::Release,
            product: Some(&product),
            holder: "Zoe of the build team",
            algorithm,
            ..new("")
        };
        let made = scene.keys.create(&asked, now(), Protection::Unencrypted);
        if !algorithm.can_sign() {
            assert_eq!(code(made), code::USAGE);
            continue;
        }
        let info = made.unwrap();
        assert_eq!(
            (info.stage, info.product.as_ref(), info.created),
            (Stage::Release, Some(&product), now())
        );
        assert_eq!(info.holder, asked.holder);
        assert_eq!(scene.keys.find(asked.name).unwrap(), info);
        assert_eq!(scene.keys.find_public(&info.public).unwrap().as_ref(), Some(&info));
        works(&*scene.open(&info, "").unwrap(), &info);
    }
    assert_eq!(scene.keys.list().unwrap().len(), 5);
}

#[test]
fn files_have_their_modes_and_nothing_else_is_left() {
    let scene = Scene::new();
    scene.plain("a");
    scene.sealed("b");
    assert_eq!(scene.names(), ["a.key", "a.pub", "b.key", "b.pub"]);
    assert_eq!(mode(scene.keys.path()), 0o700);
    for name in ["a.key", "b.key"] {
        assert_eq!(mode(&scene.file(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&scene.file("a.pub")) & 0o600, 0o600);
    assert_eq!(mode(&scene.file("a.pub")) & 0o133, 0, "nobody else writes, nobody runs it");
}

#[test]
fn public_files_have_a_fixed_form() {
    let scene = Scene::new();
    let info = scene.plain("root-1");
    let text = String::from_utf8(scene.bytes("root-1.pub")).unwrap();
    let want = format!(
        r#"{{
  "apiVersion": "0.0.1",
  "kind": "publickey",
  "name": "root-1",
  "stage": "root",
  "holder": "alice",
  "created": "2026-11-21T14:00:00Z",
  "public": "{}"
}}
"#,
        info.public
    );
    assert_eq!(text, want);
}

#[test]
fn keys_differ_and_are_listed_by_name() {
    let scene = Scene::new();
    let (b, a) = (scene.plain("b"), scene.plain("a"));
    assert_ne!(a.public, b.public);
    assert_eq!(scene.keys.list().unwrap(), [a, b]);
}

#[test]
fn a_key_is_never_overwritten() {
    let scene = Scene::new();
    scene.plain("a");
    let before = (scene.bytes("a.key"), scene.bytes("a.pub"));
    assert_eq!(code(scene.keys.create(&new("a"), now(), Protection::Unencrypted)), code::KEY_EXISTS);
    let sealing = passphrase(PASSPHRASE);
    assert_eq!(code(scene.keys.create(&new("a"), now(), Protection::Passphrase(&sealing))), code::KEY_EXISTS);
    assert_eq!((scene.bytes("a.key"), scene.bytes("a.pub")), before);
    // A public file alone, such as a colleague's, is not overwritten either.
    fs::remove_file(scene.file("a.key")).unwrap();
    assert_eq!(code(scene.keys.create(&new("a"), now(), Protection::Unencrypted)), code::KEY_EXISTS);
    assert_eq!(scene.bytes("a.pub"), before.1);
    assert_eq!(scene.names(), ["a.pub"], "no temporary file is left");
}

#[test]
fn an_interrupted_key_is_completed_not_replaced() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    let before = (scene.bytes("a.key"), scene.bytes("a.pub"));
    // As after a crash between the two files.
    fs::remove_file(scene.file("a.pub")).unwrap();
    assert_eq!(scene.keys.list().unwrap(), []);
    assert_eq!(code(scene.keys.find("a")), code::KEY_NOT_FOUND);

    let (right, wrong) = (passphrase(PASSPHRASE), passphrase("wrong"));
    let make = |new: &NewKey<'_>, protection| scene.keys.create(new, now().plus_days(1), protection);
    assert_eq!(code(make(&new("a"), Protection::Unencrypted)), code::KEY_EXISTS);
    assert_eq!(code(make(&new("a"), Protection::Passphrase(&wrong))), code::KEY_PASSPHRASE_WRONG);
    let other = NewKey { stage: Stage::Log, ..new("a") };
    assert_eq!(code(make(&other, Protection::Passphrase(&right))), code::KEY_EXISTS);
    assert_eq!(scene.names(), ["a.key"]);

    assert_eq!(make(&new("a"), Protection::Passphrase(&right)).unwrap(), info, "the first key, at its time");
    assert_eq!((scene.bytes("a.key"), scene.bytes("a.pub")), before);
}

/// Whoever comes second completes what the first began, or is refused; there is never a second key.
#[test]
fn one_name_at_one_time_gives_one_key() {
    let scene = Scene::new();
    for round in 0..20 {
        let name = format!("k{round}");
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = || scene.keys.create(&new(&name), now(), Protection::Unencrypted);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let held = scene.keys.find(&name).unwrap();
        works(&*scene.open(&held, "").unwrap(), &held);
        assert!(made.iter().any(Result::is_ok), "{made:?}");
        for result in made {
            match result {
                Ok(info) => assert_eq!(info, held),
                Err(error) => assert_eq!(error.code(), code::KEY_EXISTS),
            }
        }
    }
}

#[test]
fn names_and_holders_that_cannot_be_used_are_refused() {
    let scene = Scene::new();
    for name in [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        ".a",
        "-a",
        "A",
        "a b",
        "a..b",
        "é",
        "a\n",
        "a\0",
        &"a".repeat(65),
    ] {
        assert_eq!(
            code(scene.keys.create(&new(name), now(), Protection::Unencrypted)),
            code::NAME_INVALID,
            "{name:?}"
        );
        assert_eq!(code(scene.keys.find(name)), code::NAME_INVALID, "{name:?}");
    }
    for holder in ["", " ", "alice ", "a\nb", "a\u{202e}b", "Zo\u{eb}", &"a".repeat(65)] {
        let new = NewKey { holder, ..new("a") };
        assert_eq!(
            code(scene.keys.create(&new, now(), Protection::Unencrypted)),
            code::NAME_INVALID,
            "{holder:?}"
        );
    }
    assert_eq!(scene.names(), [""; 0]);
    assert_eq!(fs::read_dir(scene.outside()).unwrap().count(), 1, "nothing beside the directory");
    scene.plain(&"a".repeat(64));
    scene.plain("0.b_c-d");
}

#[test]
fn directories_are_made_only_when_asked() {
    let scene = Scene::new();
    let path = scene.outside().join("x/y/keys");
    assert_eq!(code(KeyDir::open(&path)), code::KEY_NOT_FOUND);
    assert!(!scene.outside().join("x").exists());
    let made = KeyDir::open_or_create(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    made.create(&new("a"), now(), Protection::Unencrypted).unwrap();
    assert_eq!(KeyDir::open(&path).unwrap().list().unwrap().len(), 1);
    assert_eq!(KeyDir::open_or_create(&path).unwrap().list().unwrap().len(), 1);

    assert_eq!(code(KeyDir::open_or_create("")), code::KEY_STORAGE_FAILED);

    let file = scene.outside().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(code(KeyDir::open(&file)), code::KEY_NOT_FOUND);
    assert_eq!(code(KeyDir::open_or_create(&file)), code::KEY_STORAGE_FAILED);
    assert_eq!(code(KeyDir::open_or_create(file.join("keys"))), code::KEY_STORAGE_FAILED);
}

#[test]
fn a_directory_that_went_away_is_a_storage_failure() {
    let scene = Scene::new();
    fs::remove_dir(scene.keys.path()).unwrap();
    let error = scene.keys.create(&new("a"), now(), Protection::Unencrypted).unwrap_err();
    assert_eq!(error.code(), code::KEY_STORAGE_FAILED);
    assert!(error.to_string().starts_with("cannot create a file in `"), "{error}");
    assert_eq!(code(scene.keys.list()), code::KEY_STORAGE_FAILED);
}

proptest! {
    #[test]
    fn an_accepted_name_is_one_plain_path_component(text in "\\PC{0,8}|[a-z0-9._-]{1,70}") {
        if let Ok(name) = text.parse::<KeyName>() {
            prop_assert_eq!(name.as_str(), &text);
            let path = std::path::PathBuf::from(format!("{name}.key"));
            prop_assert_eq!(path.components().count(), 1);
            prop_assert!(!text.starts_with('.') && text.len() <= 64);
        }
    }
}
