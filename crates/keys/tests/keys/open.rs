//! Opening keys: passphrases, who is asked and how often, permissions.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use countersign_base::code::{self, Explain};
use countersign_keys::{KeyInfo, KeysError, MAX_PASSPHRASE_BYTES, Passphrase, Protection};

use crate::scene::{PASSPHRASE, Scene, code, new, now, passphrase, works};

#[test]
fn the_passphrase_opens_a_sealed_key_and_no_other_does() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    works(&*scene.open(&info, PASSPHRASE).unwrap(), &info);
    assert_eq!(scene.open_code(&info, "Correct horse battery staple"), code::KEY_PASSPHRASE_WRONG);
    assert_eq!(scene.open_code(&info, ""), code::KEY_PASSPHRASE_MISSING);
}

#[test]
fn a_plain_key_asks_for_nothing() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let mut ask = |_: &KeyInfo| panic!("asked for a passphrase");
    let signer = scene.keys.signer(&info, &mut ask, now()).unwrap();
    works(&*signer, &info);
    assert!(!scene.keys.is_sealed(&info).unwrap());
}

#[test]
fn a_passphrase_asked_once_opens_several_keys() {
    let scene = Scene::new();
    let keys = [scene.sealed("a"), scene.sealed("b")];
    let mut asked = Vec::new();
    let mut held: Option<Passphrase> = None;
    for info in &keys {
        let mut ask = |info: &KeyInfo| {
            let answer = held.get_or_insert_with(|| {
                asked.push(info.name.to_string());
                passphrase(PASSPHRASE)
            });
            Ok(answer.clone())
        };
        works(&*scene.keys.signer(info, &mut ask, now()).unwrap(), info);
    }
    assert_eq!(asked, ["a"], "the first key was named, the second not asked about");
}

#[test]
fn what_the_callback_says_is_passed_on() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    let mut count = 0;
    let mut ask = |info: &KeyInfo| {
        count += 1;
        let reason = "the input is not a terminal".to_owned();
        Err(KeysError::PassphraseMissing { key: info.name.to_string(), reason })
    };
    let result = scene.keys.signer(&info, &mut ask, now());
    let error = result.err().unwrap();
    assert_eq!(error.code(), code::KEY_PASSPHRASE_MISSING);
    assert_eq!(error.to_string(), "the key `a` needs a passphrase: the input is not a terminal");
    assert_eq!(count, 1);
}

#[test]
fn a_wrong_passphrase_is_not_asked_for_again() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    let mut count = 0;
    let mut ask = |_: &KeyInfo| {
        count += 1;
        Passphrase::new("wrong".into())
    };
    let result = scene.keys.signer(&info, &mut ask, now());
    assert_eq!((code(result), count), (code::KEY_PASSPHRASE_WRONG, 1));
}

#[test]
fn passphrases_have_a_length() {
    assert_eq!(code(Passphrase::new(String::new())), code::KEY_PASSPHRASE_MISSING);
    assert_eq!(code(Passphrase::new("x".repeat(MAX_PASSPHRASE_BYTES + 1))), code::KEY_PASSPHRASE_MISSING);
    assert!(Passphrase::new("x".repeat(MAX_PASSPHRASE_BYTES)).is_ok());
}

#[test]
fn a_secret_that_others_can_get_at_is_refused() {
    let scene = Scene::new();
    for info in [scene.plain("plain"), scene.sealed("sealed")] {
        let path = scene.file(&format!("{}.key", info.name));
        for mode in [0o640, 0o620, 0o604, 0o602, 0o666, 0o444] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = scene.open(&info, PASSPHRASE).err().unwrap();
            assert_eq!(error.code(), code::KEY_STORAGE_FAILED, "{mode:o}");
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
            assert_eq!(error.fix().unwrap(), format!("chmod 600 `{}`", path.display()));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            works(&*scene.open(&info, PASSPHRASE).unwrap(), &info);
        }
    }
}

#[test]
fn a_link_to_a_secret_is_followed_and_judged_by_its_target() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let target = scene.outside().join("elsewhere");
    fs::rename(scene.file("a.key"), &target).unwrap();
    std::os::unix::fs::symlink(&target, scene.file("a.key")).unwrap();
    works(&*scene.open(&info, "").unwrap(), &info);
    fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(scene.open_code(&info, ""), code::KEY_STORAGE_FAILED);
    fs::remove_file(&target).unwrap();
    assert_eq!(scene.open_code(&info, ""), code::KEY_NOT_FOUND);
}

#[test]
fn a_key_without_its_secret_cannot_sign() {
    let scene = Scene::new();
    let info = scene.plain("a");
    fs::remove_file(scene.file("a.key")).unwrap();
    assert_eq!(scene.keys.find_public(&info.public).unwrap(), None);
    assert_eq!(scene.keys.list().unwrap(), []);
    assert_eq!(code(scene.keys.find("a")), code::KEY_NOT_FOUND);
    assert_eq!(scene.open_code(&info, ""), code::KEY_NOT_FOUND);
}

/// Whoever could change the folder or the `.pub` would decide which key signs.
#[test]
fn what_others_can_change_signs_nothing() {
    let scene = Scene::new();
    let info = scene.keys.create(&new("a"), now(), Protection::Unencrypted).unwrap();
    let (folder, public) = (scene.keys.path().to_owned(), scene.keys.path().join("a.pub"));
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (path, good) in [(&folder, 0o700), (&public, 0o644)] {
        for mode in [good | 0o020, good | 0o002] {
            set(path, mode);
            let error = scene.open(&info, "").err().unwrap();
            assert_eq!(error.code(), code::KEY_STORAGE_FAILED, "{mode:o}");
            assert!(error.fix().unwrap().starts_with("chmod go-w"), "{error}");
        }
        set(path, good);
        works(&*scene.open(&info, "").unwrap(), &info);
    }
    // Others can read it, or add to it what they cannot replace.
    for mode in [0o755, 0o1777] {
        set(&folder, mode);
        works(&*scene.open(&info, "").unwrap(), &info);
    }
}
