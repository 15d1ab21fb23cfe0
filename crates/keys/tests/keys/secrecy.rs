//! Nothing that can be printed shows a secret, and a sealed file holds none (attack D04 plays this end to end).

use countersign_base::code::Explain;
use countersign_keys::{KeysError, NewKey, Protection};

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

fn hex_bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn errors_show_foreign_text_escaped() {
    let scene = Scene::new();
    let new = NewKey { name: "\x1b[31mred", ..new("a") };
    let error = scene.keys.create(&new, now(), Protection::Unencrypted).unwrap_err();
    assert_eq!(error.to_string(), "key name `\\u{1b}[31mred` cannot be used: it must begin with a-z or 0-9");
}
