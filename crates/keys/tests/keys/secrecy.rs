//! Nothing that can be printed shows a secret, and a sealed file holds none (attack D04 plays this end to end).

use std::sync::Arc;

use countersign_base::code::Explain;
use countersign_crypto::Signer as _;
use countersign_keys::lifecycle::{Mark, MarkKind};
use countersign_keys::usage::{Purpose, Recorded, UsageLog};
use countersign_keys::{KeyInfo, KeysError, NewKey, Protection};
use countersign_store::RealDisk;

use crate::scene::{PASSPHRASE, Scene, new, now, passphrase};

/// The seed's hex digits in a plain file.
fn seed(plain: &[u8]) -> String {
    core::str::from_utf8(plain).unwrap().split("\"seed\": \"").nth(1).unwrap()[..64].to_owned()
}

fn shown(error: &KeysError) -> String {
    let mut text = format!("{error} {error:?} {}", error.fix().unwrap_or_default());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[test]
fn passphrases_and_requests_show_nothing() {
    let passphrase = passphrase(PASSPHRASE);
    assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
    assert!(!format!("{:?}", Protection::Passphrase(&passphrase)).contains("horse"));
}

#[test]
fn errors_about_a_damaged_secret_do_not_quote_it() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let good = scene.bytes("a.key");
    let seed = seed(&good);
    let text = core::str::from_utf8(&good).unwrap();
    // Each of these makes a JSON parser say what it found, if it is let.
    for damaged in [
        text.replace(&format!("\"seed\": \"{seed}\""), &format!("\"seed\": {{\"{seed}\": 1}}")),
        text.replace("\"seed\"", &format!("\"{seed}\"")),
        text.replace("\"secretkey\"", &format!("\"{seed}\"")),
        text.replace("\"root\"", &format!("\"{seed}\"")),
        text.replace(&info.public.to_string(), &format!("ed25519:{seed}ff")),
        text.replace(&info.public.to_string(), &format!("{seed}:00")),
    ] {
        assert_ne!(damaged, text);
        scene.replace("a.key", damaged.as_bytes());
        let error = scene.open(&info, "").err().unwrap();
        let shown = shown(&error);
        assert!(!shown.contains(&seed[..16]), "{shown}");
    }
}

#[test]
fn a_sealed_file_does_not_hold_its_seed() {
    let scene = Scene::new();
    scene.sealed("a");
    let sealed = scene.bytes("a.key");
    let mut identity = age::scrypt::Identity::new(PASSPHRASE.to_owned().into());
    identity.set_max_work_factor(20);
    let plain = age::decrypt(&identity, &sealed).unwrap();
    let seed = seed(&plain);
    let raw = hex_bytes(&seed);
    assert!(!sealed.windows(16).any(|window| window == &seed.as_bytes()[..16]));
    assert!(!sealed.windows(8).any(|window| window == &raw[..8]));
    let public = String::from_utf8(scene.bytes("a.pub")).unwrap();
    assert!(!public.contains(&seed[..16]));
    let wrong = scene.open(&scene.keys.find("a").unwrap(), "my other passphrase").err().unwrap();
    assert!(!shown(&wrong).contains("other"), "{wrong}");
}

/// Attack D04, the part of it that lies in files: descriptions, marks, records and the log of usage.
#[test]
fn no_file_but_the_secret_itself_holds_a_part_of_it() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let seed = seed(&scene.bytes("a.key"));
    let mut nobody = |_: &KeyInfo| panic!("not sealed");
    drop(scene.keys.split(&info, &mut nobody, 2, 3).unwrap());
    let log = Arc::new(UsageLog::open(&scene.keys.usage_path(), Arc::new(RealDisk), now()).unwrap());
    let purpose = Purpose { role: "root".to_owned(), why: "a test".to_owned() };
    let signer = scene.keys.signer(&info, &mut nobody, now()).unwrap();
    let signer = Recorded::new(signer, Arc::clone(&log), info.clone(), purpose, now());
    signer.sign(b"message").unwrap();
    assert!(!format!("{signer:?} {log:?}").contains(&seed[..8]));
    log.finish().unwrap();
    signer.sign(b"another message").unwrap();
    drop((signer, log));
    let mark = Mark { kind: MarkKind::Retired, at: now(), why: "a test".to_owned() };
    scene.keys.mark(&info, &mark).unwrap();
    let raw = hex_bytes(&seed);
    let mut looked = 0;
    let mut folders = vec![scene.keys.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let found = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            let holds = found(&seed.as_bytes()[..16]) || found(&raw[..8]);
            assert_eq!(holds, path.ends_with("a.key"), "{}", path.display());
            looked += 1;
        }
    }
    assert!(looked > 8, "{looked}");
}

fn hex_bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn errors_show_foreign_text_escaped() {
    let scene = Scene::new();
    let new = NewKey { name: "\x1b[31mred", ..new("a") };
    let error = scene.keys.create(&new, now(), Protection::Unencrypted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key name `\\u{1b}[31mred` cannot be used: it must begin with a letter or digit"
    );
}
