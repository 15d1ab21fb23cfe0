//! Key files that are not what they should be: each damage gives its code, and none gives another key.

use std::fs;
use std::process::Command;

use countersign_base::code;
use countersign_keys::{KeyInfo, MAX_KEY_FILE_BYTES, MAX_WORK_FACTOR, Protection, WORK_FACTOR};
use proptest::prelude::*;

use crate::scene::{PASSPHRASE, Scene, code, new, now, works};

/// `text` with `from` replaced, which must be there.
fn swapped(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = core::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn a_plain_secret_changed_in_one_way_is_malformed() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let good = scene.bytes("a.key");
    let seed = core::str::from_utf8(&good).unwrap().split("\"seed\": \"").nth(1).unwrap()[..64].to_owned();
    let cases = [
        ("empty", Vec::new()),
        ("cut", good[..good.len() / 2].to_vec()),
        ("tail", [&good[..], b"x"].concat()),
        ("array", b"[]".to_vec()),
        ("unknown field", swapped(&good, "\"seed\"", "\"more\": 1, \"seed\"")),
        ("field twice", swapped(&good, "\"seed\"", "\"kind\": \"secretkey\", \"seed\"")),
        ("no seed", swapped(&good, &format!(",\n  \"seed\": \"{seed}\""), "")),
        ("short seed", swapped(&good, &seed, &seed[2..])),
        ("long seed", swapped(&good, &seed, &format!("{seed}00"))),
        ("seed not hex", swapped(&good, &seed, &seed.replace(&seed[..1], "g"))),
        ("another seed", swapped(&good, &seed, &"5a".repeat(32))),
        ("version", swapped(&good, "0.0.1", "0.0.2")),
        ("kind", swapped(&good, "secretkey", "publickey")),
        ("another scheme", swapped(&good, "ed25519:", "ecdsa-p256:")),
        ("another stage than the .pub", swapped(&good, "\"root\"", "\"log\"")),
        ("another holder than the .pub", swapped(&good, "\"alice\"", "\"mallory\"")),
        ("the .pub itself", scene.bytes("a.pub")),
    ];
    for (what, bytes) in cases {
        scene.replace("a.key", &bytes);
        assert_eq!(scene.open_code(&info, ""), code::KEY_MALFORMED, "{what}");
    }
    scene.replace("a.key", &good);
    works(&*scene.open(&info, "").unwrap(), &info);
}

#[test]
fn a_public_file_changed_in_one_way_is_malformed() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let good = scene.bytes("a.pub");
    let cases = [
        ("empty", Vec::new()),
        ("tail", [&good[..], b"x"].concat()),
        ("unknown field", swapped(&good, "\"stage\"", "\"more\": 1, \"stage\"")),
        ("version", swapped(&good, "0.0.1", "0.0.2")),
        ("kind", swapped(&good, "publickey", "secretkey")),
        ("name", swapped(&good, "\"a\"", "\"b\"")),
        ("name of a path", swapped(&good, "\"a\"", "\"../a\"")),
        ("stage", swapped(&good, "\"root\"", "\"roof\"")),
        ("holder", swapped(&good, "\"alice\"", "\"\"")),
        ("time", swapped(&good, "2026", "26")),
        ("public key", swapped(&good, "ed25519:", "ed25519:00")),
    ];
    for (what, bytes) in cases {
        scene.replace("a.pub", &bytes);
        assert_eq!(code(scene.keys.list()), code::KEY_MALFORMED, "{what}");
        assert_eq!(code(scene.keys.find("a")), code::KEY_MALFORMED, "{what}");
    }
    let weak = format!("ed25519:{}", "00".repeat(32));
    scene.replace("a.pub", &swapped(&good, &info.public.to_string(), &weak));
    assert_eq!(code(scene.keys.list()), code::KEY_WEAK);
    scene.replace("a.pub", &good);
    assert_eq!(scene.keys.list().unwrap(), [info]);
}

#[test]
fn two_keys_files_cannot_be_exchanged() {
    let scene = Scene::new();
    let (a, b) = (scene.plain("a"), scene.plain("b"));
    let (key_a, key_b) = (scene.bytes("a.key"), scene.bytes("b.key"));
    scene.replace("a.key", &key_b);
    scene.replace("b.key", &key_a);
    assert_eq!(scene.open_code(&a, ""), code::KEY_MALFORMED);
    assert_eq!(scene.open_code(&b, ""), code::KEY_MALFORMED);
}

/// Exhaustive over the bits of a plain file: what opens is the same key, or nothing does.
#[test]
fn no_flipped_bit_gives_another_key() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let good = scene.bytes("a.key");
    let mut opened = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        scene.replace("a.key", &bytes);
        if let Ok(signer) = scene.open(&info, "") {
            assert_eq!(signer.public_key(), &info.public, "bit {bit}");
            opened += 1;
        }
    }
    // White space, and upper-case digits of the seed.
    assert!(opened < good.len(), "{opened} of {} flips opened", good.len() * 8);
}

#[test]
fn a_sealed_secret_changed_in_one_way_does_not_open() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    let good = scene.bytes("a.key");
    let payload = good.windows(5).position(|window| window == b"\n--- ").unwrap();
    let mut body = good.clone();
    *body.last_mut().unwrap() ^= 1;
    let mut mac = good.clone();
    mac[payload + 6] ^= 1;
    let factor = |to: u8| {
        let (from, to) = (format!(" {WORK_FACTOR}\n"), format!(" {to}\n"));
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&good[..at], to.as_bytes(), &good[at + from.len()..]].concat()
    };
    let cases = [
        ("flipped in the payload", body, code::KEY_MALFORMED),
        ("flipped in the header's MAC", mac, code::KEY_MALFORMED),
        ("cut in the payload", good[..good.len() - 1].to_vec(), code::KEY_MALFORMED),
        ("cut in the header", good[..40].to_vec(), code::KEY_MALFORMED),
        ("tail", [&good[..], b"x"].concat(), code::KEY_MALFORMED),
        ("too much work", factor(MAX_WORK_FACTOR + 1), code::KEY_MALFORMED),
        ("absurd work", factor(63), code::KEY_MALFORMED),
        ("other work", factor(10), code::KEY_PASSPHRASE_WRONG),
    ];
    for (what, bytes, want) in cases {
        scene.replace("a.key", &bytes);
        assert_eq!(scene.open_code(&info, PASSPHRASE), want, "{what}");
    }
    scene.replace("a.key", &good);
    works(&*scene.open(&info, PASSPHRASE).unwrap(), &info);
}

#[test]
fn an_age_file_for_another_kind_of_recipient_is_malformed() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let recipient = age::x25519::Identity::generate().to_public();
    scene.replace("a.key", &age::encrypt(&recipient, &scene.bytes("a.key")).unwrap());
    assert_eq!(scene.open_code(&info, PASSPHRASE), code::KEY_MALFORMED);
}

/// A key that its holder sealed again with another tool, with that tool's work factor.
#[test]
fn a_key_sealed_by_another_age_opens() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let mut recipient = age::scrypt::Recipient::new(PASSPHRASE.to_owned().into());
    recipient.set_work_factor(18);
    scene.replace("a.key", &age::encrypt(&recipient, &scene.bytes("a.key")).unwrap());
    assert!(scene.keys.is_sealed(&info).unwrap());
    works(&*scene.open(&info, PASSPHRASE).unwrap(), &info);
}

#[test]
fn files_that_are_too_large_or_no_files_are_malformed() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let good = scene.bytes("a.key");
    let padded = |len: usize| [&good[..], &vec![b'\n'; len - good.len()]].concat();
    scene.replace("a.key", &padded(MAX_KEY_FILE_BYTES + 1));
    assert_eq!(scene.open_code(&info, ""), code::KEY_MALFORMED);
    scene.replace("a.key", &padded(MAX_KEY_FILE_BYTES));
    works(&*scene.open(&info, "").unwrap(), &info);

    fs::remove_file(scene.file("a.key")).unwrap();
    fs::create_dir(scene.file("a.key")).unwrap();
    assert_eq!(scene.open_code(&info, ""), code::KEY_MALFORMED);
    fs::remove_dir(scene.file("a.key")).unwrap();
    // Reading a FIFO without a writer would wait for ever.
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(scene.file("a.key")).status().unwrap().success());
    assert_eq!(scene.open_code(&info, ""), code::KEY_MALFORMED);
}

#[test]
fn foreign_files_in_the_directory_are_left_alone() {
    let scene = Scene::new();
    let info = scene.plain("a");
    for name in ["README", "id_RSA.pub", ".hidden.pub", ".tmp-x.pub", "colleague.pub", "B.key", ".pub"] {
        fs::write(scene.file(name), "anything").unwrap();
    }
    assert_eq!(scene.keys.list().unwrap(), [info]);
}

#[test]
fn a_directory_of_too_many_keys_is_refused() {
    let scene = Scene::new();
    for index in 0..countersign_keys::MAX_KEYS {
        fs::write(scene.file(&format!("k{index}.pub")), "").unwrap();
    }
    assert_eq!(scene.keys.list().unwrap(), [], "public halves alone");
    fs::write(scene.file("one-more.pub"), "").unwrap();
    assert_eq!(code(scene.keys.list()), code::LIMIT_EXCEEDED);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200), sealed: bool) {
        thread_local! {
            static SCENE: (Scene, KeyInfo) = {
                let scene = Scene::new();
                let info = scene.keys.create(&new("a"), now(), Protection::Unencrypted).unwrap();
                (scene, info)
            };
        }
        SCENE.with(|(scene, info)| {
            let head: &[u8] = if sealed { b"age-encryption.org/v1\n" } else { b"" };
            scene.replace("a.key", &[head, &bytes].concat());
            assert_eq!(scene.open_code(info, PASSPHRASE), code::KEY_MALFORMED);
        });
    }
}
