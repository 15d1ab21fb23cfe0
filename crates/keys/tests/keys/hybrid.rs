//! Hybrid pairs: two keys of one holder, of which one is of ML-DSA.

use std::fs;

use countersign_base::code;
use countersign_crypto::Algorithm;
use countersign_keys::{NewKey, Protection, Stage};

use crate::scene::{Scene, code, new, now, works};

#[test]
fn a_pair_is_alike_in_all_but_name_and_scheme() {
    let scene = Scene::new();
    for (name, second) in [("a", Algorithm::MlDsa44), ("b", Algorithm::MlDsa65)] {
        let asked = NewKey { cadence_days: Some(90), expires: Some(now().plus_days(365)), ..new(name) };
        let (first, half) = scene.keys.create_pair(&asked, second, now(), Protection::Unencrypted).unwrap();
        assert_eq!(half.name.as_str(), format!("{name}-pq"));
        assert_eq!((first.public.algorithm(), half.public.algorithm()), (Algorithm::Ed25519, second));
        assert_eq!((&first.holder, first.stage, first.expires), (&half.holder, half.stage, half.expires));
        assert_eq!(scene.keys.find_pair(&first).unwrap().as_ref(), Some(&half));
        assert_eq!(scene.keys.find_pair(&half).unwrap(), None);
        for info in [&first, &half] {
            works(&*scene.open(info, "").unwrap(), info);
        }
    }
}

#[test]
fn a_pair_needs_one_of_each_kind() {
    let scene = Scene::new();
    let make = |first, second| {
        let asked = NewKey { algorithm: first, ..new("a") };
        code(scene.keys.create_pair(&asked, second, now(), Protection::Unencrypted))
    };
    assert_eq!(make(Algorithm::Ed25519, Algorithm::EcdsaP256Sha256), code::USAGE);
    assert_eq!(make(Algorithm::MlDsa44, Algorithm::MlDsa65), code::USAGE);
    assert_eq!(scene.names(), [""; 0]);
}

#[test]
fn an_interrupted_pair_is_completed() {
    let scene = Scene::new();
    let make = |asked: &NewKey<'_>| {
        scene.keys.create_pair(asked, Algorithm::MlDsa44, now(), Protection::Unencrypted)
    };
    let (first, half) = make(&new("a")).unwrap();
    assert_eq!(code(make(&new("a"))), code::KEY_EXISTS, "a whole one is never made again");
    // As after a crash before the first half was made.
    fs::remove_file(scene.file("a.key")).unwrap();
    fs::remove_file(scene.file("a.pub")).unwrap();
    assert_eq!(code(make(&NewKey { stage: Stage::Log, ..new("a") })), code::KEY_EXISTS, "another kind");
    let (again, same) = make(&new("a")).unwrap();
    assert_eq!(same, half);
    assert_ne!(again.public, first.public);
}

#[test]
fn a_key_of_another_holder_is_no_half() {
    let scene = Scene::new();
    let first = scene.plain("a");
    let other = NewKey { holder: "bob", algorithm: Algorithm::MlDsa44, ..new("a-pq") };
    scene.keys.create(&other, now(), Protection::Unencrypted).unwrap();
    assert_eq!(scene.keys.find_pair(&first).unwrap(), None);
}
