//! Shares of a key: any k give it back, fewer nothing, and a wrong one is named (attack D30 plays this end to end).

use countersign_base::code::{self, Explain as _};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_keys::escrow::{self, MAX_SHARES, Share};
use countersign_keys::{KeyInfo, KeysError, NewKey, Passphrase, Place, Protection, Stage};
use proptest::prelude::*;

use crate::scene::{PASSPHRASE, Scene, code, new, now, passphrase, works};

/// A key and its shares as texts.
fn split(scene: &Scene, info: &KeyInfo, needed: u8, count: u8) -> Vec<String> {
    let mut ask = |_: &KeyInfo| Passphrase::new(PASSPHRASE.to_owned());
    let shares = scene.keys.split(info, &mut ask, needed, count).unwrap();
    shares.iter().map(|share| share.to_text().to_string()).collect()
}

fn parsed(texts: &[String]) -> Vec<Share> {
    (1..).zip(texts).map(|(number, text)| Share::parse(&format!("{number}.share"), text).unwrap()).collect()
}

/// What the message names.
fn said<T: core::fmt::Debug>(outcome: Result<T, KeysError>) -> (code::Code, String) {
    let error = outcome.unwrap_err();
    (error.code(), error.to_string())
}

/// The hex digits of the secret, to be found nowhere.
fn seed_of(scene: &Scene, name: &str) -> String {
    let text = String::from_utf8(scene.bytes(&format!("{name}.key"))).unwrap();
    text.split("\"seed\": \"").nth(1).unwrap()[..64].to_owned()
}

#[test]
fn a_lost_key_is_recovered_whole() {
    let scene = Scene::new();
    let product = "node".parse().unwrap();
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign()) {
        let asked = NewKey {
            algorithm,
            stage: Stage::Release,
            product: Some(&product),
            expires: Some(now().plus_days(400)),
            cadence_days: Some(90),
            ..new(algorithm.name())
        };
        let info = scene.keys.create(&asked, now(), Protection::Unencrypted).unwrap();
        let texts = split(&scene, &info, 2, 3);
        let elsewhere = Scene::new();
        let got = elsewhere.keys.recover(&parsed(&texts[1..]), Protection::Unencrypted).unwrap();
        assert_eq!(got, info);
        assert_eq!(elsewhere.bytes(&format!("{algorithm}.key")), scene.bytes(&format!("{algorithm}.key")));
        works(&*elsewhere.open(&got, "").unwrap(), &info);
    }
}

#[test]
fn recovery_overwrites_nothing_and_seals_anew() {
    let scene = Scene::new();
    let info = scene.sealed("a");
    let shares = parsed(&split(&scene, &info, 2, 2));
    let sealing = passphrase("a new one");
    assert_eq!(code(scene.keys.recover(&shares, Protection::Passphrase(&sealing))), code::KEY_EXISTS);
    works(&*scene.open(&info, PASSPHRASE).unwrap(), &info);
    // The secret alone was lost.
    std::fs::remove_file(scene.file("a.key")).unwrap();
    scene.keys.recover(&shares, Protection::Passphrase(&sealing)).unwrap();
    works(&*scene.open(&info, "a new one").unwrap(), &info);
    // Another key took the name.
    let other = Scene::new();
    other.plain("a");
    std::fs::remove_file(other.file("a.key")).unwrap();
    assert_eq!(code(other.keys.recover(&shares, Protection::Unencrypted)), code::KEY_EXISTS);
    assert_eq!(other.names(), ["a.pub"]);
}

#[test]
fn older_shares_are_not_taken_back_where_newer_ones_are_known() {
    let scene = Scene::new();
    let info = scene.plain("a");
    assert_eq!(scene.keys.escrowed(&info).unwrap(), None);
    let older = parsed(&split(&scene, &info, 2, 3));
    let newer = parsed(&split(&scene, &info, 3, 5));
    let newest = scene.keys.escrowed(&info).unwrap().unwrap();
    assert_eq!((newest.set, newest.needed, newest.count), (newer[0].set_id(), 3, 5));
    std::fs::remove_file(scene.file("a.key")).unwrap();
    let (code, said) = said(scene.keys.recover(&older, Protection::Unencrypted));
    assert_eq!(code, code::KEY_SHARE_INVALID);
    assert!(said.starts_with("share 1 of the key `a` (`1.share`)") && said.contains("split anew"), "{said}");
    let good = scene.bytes("a.escrow");
    scene.replace("a.escrow", b"{}");
    assert_eq!(crate::scene::code(scene.keys.recover(&newer, Protection::Unencrypted)), code::KEY_MALFORMED);
    scene.replace("a.escrow", &good);
    scene.keys.recover(&newer, Protection::Unencrypted).unwrap();
    assert_eq!(
        Scene::new().keys.recover(&older, Protection::Unencrypted).unwrap(),
        info,
        "elsewhere they work"
    );
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let mut nobody = |_: &KeyInfo| panic!("not sealed");
    for (needed, count) in [(0, 3), (1, 3), (4, 3), (2, 1), (2, MAX_SHARES + 1), (255, 255)] {
        assert_eq!(
            code(scene.keys.split(&info, &mut nobody, needed, count)),
            code::USAGE,
            "{needed}/{count}"
        );
    }
    assert_eq!(scene.keys.split(&info, &mut nobody, MAX_SHARES, MAX_SHARES).unwrap().len(), 16);
    let place: Place = "pkcs11:token=alice;object=release".parse().unwrap();
    let token = scene.keys.adopt(&new("token"), &place, &info.public, now()).unwrap();
    assert_eq!(code(scene.keys.split(&token, &mut nobody, 2, 3)), code::USAGE);
}

#[test]
fn too_few_shares_are_told_and_none_is() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let shares = parsed(&split(&scene, &info, 3, 5));
    let (code, said) = said(escrow::recover(&shares[..2]));
    assert_eq!(
        (code, said.as_str()),
        (code::KEY_SHARE_THRESHOLD, "2 of the 3 shares that recover the key `a` are here")
    );
    assert_eq!(escrow::recover(&[]).unwrap_err().code(), code::KEY_SHARE_THRESHOLD);
    assert!(escrow::recover(&shares[..3]).is_ok());
}

#[test]
fn a_share_given_twice_or_of_another_set_is_named() {
    let scene = Scene::new();
    let (a, b) = (scene.plain("a"), scene.plain("b"));
    let shares = parsed(&split(&scene, &a, 3, 5));
    let older = parsed(&split(&scene, &a, 3, 5));
    let others = parsed(&split(&scene, &b, 3, 5));
    let pick =
        |list: &[&Share]| escrow::recover(&list.iter().map(|share| (*share).clone()).collect::<Vec<_>>());
    let twice = said(pick(&[&shares[0], &shares[1], &shares[1]]));
    assert_eq!(twice.0, code::KEY_SHARE_INVALID);
    assert!(
        twice.1.starts_with("share 2 of the key `a` (`2.share`)") && twice.1.ends_with("given twice"),
        "{}",
        twice.1
    );
    for (foreign, name) in [(&older[3], "a"), (&others[3], "b")] {
        let (code, said) = said(pick(&[&shares[0], foreign, &shares[2], &shares[4]]));
        assert_eq!(code, code::KEY_SHARE_INVALID);
        assert!(said.starts_with(&format!("share 4 of the key `{name}` (`4.share`)")), "{said}");
        assert!(said.contains("another set"), "{said}");
    }
    assert_eq!(pick(&[&older[0], &older[1], &older[2]]).unwrap().info, a, "old shares are good shares");
}

/// Exhaustive over the characters of a share: another one in its place never parses.
#[test]
fn no_character_of_a_share_can_be_changed() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let text = split(&scene, &info, 2, 3).remove(1);
    assert!(text.is_ascii());
    for at in 0..text.len() {
        for with in [b'q', b'\n'] {
            let mut bytes = text.clone().into_bytes();
            if bytes[at] == with {
                continue;
            }
            bytes[at] = with;
            let changed = String::from_utf8(bytes).unwrap();
            let outcome = Share::parse("bob.share", &changed);
            // Only the last line break is free.
            if at == text.len() - 1 && with == b'\n' {
                continue;
            }
            let (code, said) = said(outcome);
            assert_eq!(code, code::KEY_SHARE_INVALID, "{at}");
            assert!(said.contains("`bob.share`"), "{said}");
        }
    }
    let dos = text.replace('\n', " \r\n") + "\n\n";
    assert_eq!(Share::parse("x", &dos).unwrap().index(), 2, "line ends and blanks at the end are free");
    assert_eq!(Share::parse("x", text.trim_end()).unwrap().index(), 2);
    for cut in 0..text.len() - 1 {
        assert_eq!(said(Share::parse("x", &text[..cut])).0, code::KEY_SHARE_INVALID, "{cut}");
    }
    let long = text.clone() + &"\n".repeat(escrow::MAX_SHARE_BYTES);
    assert_eq!(said(Share::parse("x", &long)).0, code::KEY_SHARE_INVALID);
}

/// A holder who can compute everything that the format asks for changes their own share: they are named.
#[test]
fn a_forged_share_is_outvoted_and_a_forged_set_does_not_give_the_key() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let shares = parsed(&split(&scene, &info, 2, 4));
    let other = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32]).unwrap();
    // All consistent in itself, and of a secret that is not the key's.
    let forged = escrow::split(&info, &other, 2, 4).unwrap();
    let (code, said_) = said(escrow::recover(&[shares[0].clone(), forged[1].clone(), shares[2].clone()]));
    assert_eq!(code, code::KEY_SHARE_INVALID);
    assert!(said_.starts_with("share 2 of the key `a`"), "{said_}");
    let (code, said_) = said(escrow::recover(&forged[..2]));
    assert_eq!(code, code::KEY_SHARE_INVALID);
    assert!(said_.contains("does not give the key"), "{said_}");
    assert!(escrow::recover(&shares).is_ok());
}

#[test]
fn shares_and_errors_show_no_secret() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let seed = seed_of(&scene, "a");
    let texts = split(&scene, &info, 2, 3);
    for text in &texts {
        assert!(!text.contains(&seed[..8]), "{text}");
    }
    let share = Share::parse("x", &texts[0]).unwrap();
    let secret = texts[0].split("secret ").last().unwrap().trim();
    assert!(!format!("{share:?}").contains(&secret[5..]), "{share:?}");
    let broken = texts[0]
        .replace(secret, &secret.replace(&secret[20..21], if &secret[20..21] == "q" { "p" } else { "q" }));
    let error = Share::parse("x", &broken).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&secret[5..15]), "{error:?}");
    let recovered = escrow::recover(&parsed(&texts)).unwrap();
    assert!(!format!("{recovered:?}").contains(&seed[..8]), "{recovered:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_k_of_n_recover_and_fewer_do_not(
        seed: [u8; 32], needed in 2u8..=MAX_SHARES, extra in 0u8..MAX_SHARES, order: u64,
    ) {
        let count = needed.saturating_add(extra).min(MAX_SHARES);
        let key = SecretKey::from_seed(Algorithm::Ed25519, &seed).unwrap();
        let info = info_of(&key);
        let mut shares = escrow::split(&info, &key, needed, count).unwrap();
        shuffle(&mut shares, order);
        let chosen = &shares[..needed.into()];
        let got = escrow::recover(chosen).unwrap();
        prop_assert_eq!(*got.key.seed(), seed);
        prop_assert_eq!(*escrow::recover(&shares).unwrap().key.seed(), seed);
        let few = escrow::recover(&chosen[1..]).unwrap_err();
        prop_assert_eq!(few.code(), code::KEY_SHARE_THRESHOLD);
    }

    #[test]
    fn arbitrary_text_is_no_share(text in "(?s).{0,200}", label in "key|needed|digest|set|secret") {
        for text in [text.clone(), format!("countersign-key-share 1\n{label} {text}")] {
            prop_assert_eq!(Share::parse("x", &text).unwrap_err().code(), code::KEY_SHARE_INVALID);
        }
    }

    /// Whatever is done to the text of one share, it is the one that is named, or nothing was done.
    #[test]
    fn a_tampered_share_is_named(
        seed: [u8; 32], victim in 0usize..5, at: prop::sample::Index, with in " -~", cut: bool,
    ) {
        let key = SecretKey::from_seed(Algorithm::Ed25519, &seed).unwrap();
        let info = info_of(&key);
        let text = escrow::split(&info, &key, 3, 5).unwrap()[victim].to_text().to_string();
        let at = at.index(text.len());
        let changed = format!("{}{}{}", &text[..at], with, &text[(at + usize::from(!cut)).min(text.len())..]);
        match Share::parse("tampered", &changed) {
            Ok(share) => {
                let plain = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
                prop_assert_eq!(plain(&share.to_text()), plain(changed.trim_end()));
            }
            Err(error) => {
                prop_assert_eq!(error.code(), code::KEY_SHARE_INVALID);
                prop_assert!(error.to_string().contains("`tampered`"), "{}", error);
            }
        }
    }
}

/// What a key directory would know of this key.
fn info_of(key: &SecretKey) -> KeyInfo {
    thread_local! {
        static INFO: KeyInfo = Scene::new().plain("a");
    }
    KeyInfo { public: key.public_key().clone(), ..INFO.with(Clone::clone) }
}

fn shuffle<T>(list: &mut [T], mut order: u64) {
    for last in (1..list.len()).rev() {
        list.swap(last, (order % (last as u64 + 1)) as usize);
        order = order.rotate_right(7) ^ 0x9e37_79b9;
    }
}
