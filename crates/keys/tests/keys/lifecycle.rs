//! The end of a key: expiry, rotation that is due, marks, and keys that are elsewhere.

use std::fs;

use countersign_base::Timestamp;
use countersign_base::code::{self, Explain as _};
use countersign_crypto::Algorithm;
use countersign_keys::lifecycle::{KeyState, Mark, MarkKind};
use countersign_keys::{KeyInfo, KeyRef, MAX_CADENCE_DAYS, NewKey, Passphrase, Place, Protection};

use crate::scene::{PASSPHRASE, Scene, code, new, now, passphrase, works};

fn mark(kind: MarkKind) -> Mark {
    Mark { kind, at: now(), why: "the laptop was stolen".to_owned() }
}

fn lasting(scene: &Scene, name: &str, expires: Option<Timestamp>, cadence_days: Option<u32>) -> KeyInfo {
    scene.keys.create(&NewKey { expires, cadence_days, ..new(name) }, now(), Protection::Unencrypted).unwrap()
}

#[test]
fn an_expired_key_signs_nothing_and_nobody_is_asked() {
    let scene = Scene::new();
    let end = now().plus_days(30);
    let asked = NewKey { expires: Some(end), ..new("a") };
    let info = scene.keys.create(&asked, now(), Protection::Passphrase(&passphrase(PASSPHRASE))).unwrap();
    let mut right = |_: &KeyInfo| Passphrase::new(PASSPHRASE.to_owned());
    let before = Timestamp::from_unix(end.as_unix() - 1).unwrap();
    works(&*scene.keys.signer(&info, &mut right, before).unwrap(), &info);
    let mut nobody = |_: &KeyInfo| panic!("asked for an expired key");
    for late in [end, end.plus_days(1)] {
        let error = scene.keys.signer(&info, &mut nobody, late).err().unwrap();
        assert_eq!(error.code(), code::KEY_EXPIRED);
        assert!(error.to_string().contains("2026-12-21"), "{error}");
        assert!(error.fix().unwrap().contains("key rotate a"));
    }
}

#[test]
fn an_expiry_cannot_be_put_off_in_the_public_file() {
    let scene = Scene::new();
    let info = lasting(&scene, "a", Some(now().plus_days(1)), None);
    let text = String::from_utf8(scene.bytes("a.pub")).unwrap();
    let later = text.replace(&info.expires.unwrap().to_string(), &now().plus_days(1000).to_string());
    assert_ne!(text, later);
    scene.replace("a.pub", later.as_bytes());
    assert_eq!(scene.open_code(&scene.keys.find("a").unwrap(), ""), code::KEY_MALFORMED);
    scene.replace("a.pub", text.as_bytes());
    works(&*scene.open(&scene.keys.find("a").unwrap(), "").unwrap(), &info);
}

#[test]
fn lifetimes_make_sense() {
    let scene = Scene::new();
    let make = |expires, cadence_days| {
        let asked = NewKey { expires, cadence_days, ..new("a") };
        code(scene.keys.create(&asked, now(), Protection::Unencrypted))
    };
    assert_eq!(make(Some(now()), None), code::USAGE);
    assert_eq!(make(None, Some(0)), code::USAGE);
    assert_eq!(make(None, Some(MAX_CADENCE_DAYS + 1)), code::USAGE);
    assert_eq!(scene.names(), [""; 0]);
    let info = lasting(&scene, "a", Some(now().plus_seconds(1)), Some(MAX_CADENCE_DAYS));
    assert_eq!(scene.keys.find("a").unwrap(), info);
}

#[test]
fn what_is_due_first_comes_first() {
    let scene = Scene::new();
    lasting(&scene, "never", None, None);
    lasting(&scene, "expires", Some(now().plus_days(20)), Some(365));
    lasting(&scene, "rotates", Some(now().plus_days(365)), Some(10));
    let ended = lasting(&scene, "ended", Some(now().plus_days(1)), None);
    scene.keys.mark(&ended, &mark(MarkKind::Retired)).unwrap();
    let at = |days| {
        let due = scene.keys.due(now().plus_days(days)).unwrap();
        due.into_iter()
            .map(|due| (due.info.name.to_string(), due.overdue, due.state == KeyState::Expired))
            .collect::<Vec<_>>()
    };
    let order = |late: bool, over: bool| {
        [("rotates", late, false), ("expires", false, over), ("ended", false, false), ("never", false, false)]
            .map(|(name, overdue, expired)| (name.to_owned(), overdue, expired))
    };
    assert_eq!(at(9), order(false, false));
    assert_eq!(at(10), order(true, false));
    assert_eq!(at(20), order(true, true));
}

#[test]
fn a_marked_key_signs_nothing_and_no_mark_is_lifted() {
    let scene = Scene::new();
    let (info, other) = (scene.plain("a"), scene.plain("b"));
    for (kind, held) in [
        (MarkKind::Retired, MarkKind::Retired),
        (MarkKind::Revoked, MarkKind::Revoked),
        (MarkKind::Retired, MarkKind::Revoked),
    ] {
        assert_eq!(scene.keys.mark(&info, &mark(kind)).unwrap().kind, held);
        assert_eq!(scene.keys.state(&info, now()).unwrap(), KeyState::Ended(mark(held)));
        let error = scene.open(&info, "").err().unwrap();
        assert_eq!(error.code(), code::KEY_REVOKED);
        assert!(error.to_string().contains(held.name()), "{error}");
        assert!(error.to_string().ends_with("the laptop was stolen"), "{error}");
    }
    works(&*scene.open(&other, "").unwrap(), &other);
    assert_eq!(scene.keys.list().unwrap().len(), 2, "a marked key is still known");
}

#[test]
fn a_mark_that_is_damaged_or_of_another_key_keeps_the_key_shut() {
    let scene = Scene::new();
    let (a, b) = (scene.plain("a"), scene.plain("b"));
    scene.keys.mark(&a, &mark(MarkKind::Revoked)).unwrap();
    let good = String::from_utf8(scene.bytes("a.end")).unwrap();
    for (what, text) in [
        ("empty", String::new()),
        ("state", good.replace("revoked", "fine")),
        ("kind", good.replace("keyend", "publickey")),
        ("time", good.replace("2026", "26")),
        ("reason", good.replace("the laptop was stolen", "")),
        ("unknown field", good.replace("\"state\"", "\"more\": 1, \"state\"")),
        ("another key", good.replace(&a.public.to_string(), &b.public.to_string())),
    ] {
        assert_ne!(text, good, "{what}");
        scene.replace("a.end", text.as_bytes());
        assert_eq!(scene.open_code(&a, ""), code::KEY_MALFORMED, "{what}");
    }
    scene.replace("a.end", good.as_bytes());
    assert_eq!(scene.open_code(&a, ""), code::KEY_REVOKED);
    for why in ["", "two\nlines", &"x".repeat(513)] {
        let bad = Mark { why: why.to_owned(), ..mark(MarkKind::Revoked) };
        assert_eq!(code(scene.keys.mark(&b, &bad)), code::USAGE, "{why:?}");
    }
}

#[test]
fn a_marked_key_does_not_come_back_under_another_name() {
    let scene = Scene::new();
    let (info, other) = (lasting(&scene, "a", None, None), lasting(&scene, "b", None, None));
    scene.keys.check_unmarked(&info.public).unwrap();
    scene.keys.mark(&info, &mark(MarkKind::Revoked)).unwrap();
    // The mark alone is enough: the key itself was taken away.
    fs::remove_file(scene.keys.path().join("a.key")).unwrap();
    fs::remove_file(scene.keys.path().join("a.pub")).unwrap();
    let error = scene.keys.check_unmarked(&info.public).unwrap_err();
    assert_eq!(error.code(), code::KEY_REVOKED);
    assert!(error.to_string().contains("the laptop was stolen"), "{error}");
    scene.keys.check_unmarked(&other.public).unwrap();
    // Nor as the key in a token, whose `.pub` would say nothing of the mark.
    let place: Place = "pkcs11:token=alice;object=release".parse().unwrap();
    assert_eq!(code(scene.keys.adopt(&new("token"), &place, &info.public, now())), code::KEY_REVOKED);
    scene.keys.adopt(&new("token"), &place, &other.public, now()).unwrap();
    // A damaged mark may be of any key.
    fs::write(scene.keys.path().join("c.end"), "{}").unwrap();
    assert_eq!(code(scene.keys.check_unmarked(&other.public)), code::KEY_MALFORMED);
}

#[test]
fn a_name_that_has_a_mark_is_not_used_again() {
    let scene = Scene::new();
    let info = scene.plain("a");
    scene.keys.mark(&info, &mark(MarkKind::Revoked)).unwrap();
    fs::remove_file(scene.file("a.key")).unwrap();
    fs::remove_file(scene.file("a.pub")).unwrap();
    assert_eq!(code(scene.keys.create(&new("a"), now(), Protection::Unencrypted)), code::KEY_EXISTS);
}

#[test]
fn a_key_elsewhere_is_described_and_never_overwritten() {
    let scene = Scene::new();
    let public = scene.plain("a").public;
    let place: Place = "pkcs11:token=alice;object=release".parse().unwrap();
    let info = scene.keys.adopt(&new("token"), &place, &public, now()).unwrap();
    assert_eq!((&info.place, &info.public), (&place, &public));
    assert_eq!(scene.keys.find("token").unwrap(), info);
    assert!(!scene.keys.is_sealed(&info).unwrap());
    assert!(!scene.file("token.key").exists());
    let text = String::from_utf8(scene.bytes("token.pub")).unwrap();
    assert!(text.contains("\"place\": \"pkcs11:token=alice;object=release\""), "{text}");

    assert_eq!(code(scene.keys.adopt(&new("token"), &place, &public, now())), code::KEY_EXISTS);
    assert_eq!(code(scene.keys.adopt(&new("a"), &place, &public, now())), code::KEY_EXISTS);
    assert_eq!(code(scene.keys.create(&new("token"), now(), Protection::Unencrypted)), code::KEY_EXISTS);
    assert_eq!(code(scene.keys.adopt(&new("b"), &Place::File, &public, now())), code::USAGE);
    let other = NewKey { algorithm: Algorithm::MlDsa44, ..new("b") };
    assert_eq!(code(scene.keys.adopt(&other, &place, &public, now())), code::USAGE);
    assert_eq!(scene.names(), ["a.key", "a.pub", "token.pub"]);
}

#[test]
fn a_public_file_names_no_module_and_no_odd_place() {
    let scene = Scene::new();
    let public = scene.plain("a").public;
    let typed: Place = "pkcs11:token=alice;object=release?module-path=/tmp/evil.so".parse().unwrap();
    let info = scene.keys.adopt(&new("token"), &typed, &public, now()).unwrap();
    let text = String::from_utf8(scene.bytes("token.pub")).unwrap();
    assert!(!text.contains("evil"), "{text}");
    assert_eq!(info, scene.keys.find("token").unwrap());
    for place in ["pkcs11:token=alice;object=release?module-path=/tmp/evil.so", "file", "", "ftp://x/"] {
        scene.replace("token.pub", text.replace("pkcs11:token=alice;object=release", place).as_bytes());
        assert_eq!(code(scene.keys.find("token")), code::KEY_MALFORMED, "{place}");
    }
}

#[test]
fn a_key_is_named_by_its_file_or_its_place() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let mut nobody = |_: &KeyInfo| panic!("not sealed");
    for name in ["a.key", "a.pub"] {
        let reference = KeyRef::parse(scene.file(name).to_str().unwrap()).unwrap();
        let opened = reference.open(&mut nobody, now()).unwrap();
        assert_eq!(opened.info.as_ref(), Some(&info));
        assert_eq!(opened.usage_dir, Some(scene.keys.usage_path()));
        works(&*opened.signer, &info);
        assert!(!format!("{opened:?}").contains("seed"));
    }
    assert!(matches!(KeyRef::parse("a.key"), Ok(KeyRef::Described { dir, .. }) if dir.as_os_str() == "."));
    assert!(matches!(KeyRef::parse("pkcs11:token=alice;object=release"), Ok(KeyRef::Elsewhere(_))));
    for text in ["", "a", "a.pem", "keys/", ".key"] {
        assert_eq!(code(KeyRef::parse(text)), code::USAGE, "{text:?}");
    }
    assert_eq!(code(KeyRef::parse("A B.key")), code::NAME_INVALID);
    assert_eq!(code(KeyRef::parse("nowhere/a.key").unwrap().open(&mut nobody, now())), code::KEY_NOT_FOUND);
}
