//! Encodings of public keys: each key has one value, whatever it was read from.

use std::path::Path;

use countersign_base::{Explain, code};
use countersign_crypto::{Algorithm, KeyError, PublicKey, SecretKey};
use countersign_testkit::vectors;

fn keys() -> Vec<PublicKey> {
    let signing = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign());
    let mut keys: Vec<PublicKey> = signing
        .map(|algorithm| SecretKey::from_seed(algorithm, &[1; 32]).unwrap().public_key().clone())
        .collect();
    keys.push(PublicKey::from_spki_pem(include_str!("../data/spki/ok/rsa-2048.pem")).unwrap());
    assert_eq!(keys.len(), Algorithm::ALL.len());
    keys
}

#[test]
fn every_encoding_gives_the_same_key_back() {
    for key in keys() {
        assert_eq!(PublicKey::from_raw(key.algorithm(), key.as_raw()).as_ref(), Ok(&key));
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).as_ref(), Ok(&key));
        assert_eq!(PublicKey::from_spki_pem(&key.to_spki_pem()).as_ref(), Ok(&key));
        assert_eq!(key.to_string().parse().as_ref(), Ok(&key));
        assert!(!key.to_string().contains(char::is_whitespace), "one token");
    }
}

#[test]
fn pem_files_give_the_code_of_their_folder() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/spki");
    for (name, path) in vectors::files(&dir, ".pem") {
        let text = std::fs::read_to_string(path).unwrap();
        let got = PublicKey::from_spki_pem(&text).map_or_else(|error| error.code().name(), |_| "ok");
        let want = Path::new(&name).parent().unwrap().to_str().unwrap();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn no_bit_of_the_der_form_is_free() {
    for key in keys() {
        let der = key.to_spki_der();
        // The prefix and the first bytes of the key; a flip in the key itself gives another key or none.
        for bit in 0..der.len().min(64) * 8 {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(
                PublicKey::from_spki_der(&changed).as_ref(),
                Ok(&key),
                "{} bit {bit}",
                key.algorithm()
            );
        }
        for cut in [1, der.len() / 2, der.len() - 1] {
            assert!(PublicKey::from_spki_der(&der[..cut]).is_err(), "{} cut to {cut}", key.algorithm());
        }
        assert!(
            PublicKey::from_spki_der(&[&der[..], &[0]].concat()).is_err(),
            "{} with a tail",
            key.algorithm()
        );
    }
}

#[test]
fn rewritten_rsa_keys_are_refused_or_equal() {
    let key = PublicKey::from_spki_pem(include_str!("../data/spki/ok/rsa-2048.pem")).unwrap();
    let der = key.to_spki_der();
    let identifier = &der[4..19];
    let modulus = &der[32..289];
    assert_eq!((identifier[0], modulus[0], modulus.len()), (0x30, 0, 257), "where the parts are");
    let spki = |identifier: &[u8], modulus: &[u8]| {
        let key = element(0x30, &[element(2, modulus), element(2, &[1, 0, 1])].concat());
        element(0x30, &[identifier.to_vec(), element(3, &[&[0], &key[..]].concat())].concat())
    };
    assert_eq!(spki(identifier, modulus), der);
    let refused = [
        ("a length in more bytes than it needs", [&[0x30, 0x83, 0x00], &der[2..]].concat()),
        ("a modulus with another zero in front", spki(identifier, &[&[0], modulus].concat())),
        ("a negative modulus", spki(identifier, &modulus[1..])),
        ("NULL parameters left out", spki(&element(0x30, &identifier[2..13]), modulus)),
    ];
    for (what, changed) in refused {
        let error = PublicKey::from_spki_der(&changed).unwrap_err();
        assert_eq!(error.code(), code::KEY_MALFORMED, "{what}: {error}");
    }
    // Other white space in PEM is the same key, so it counts once.
    let pem = key.to_spki_pem();
    for same in [pem.replace('\n', "\r\n"), pem.trim_end().to_owned(), format!("\n{pem}\n")] {
        assert_eq!(PublicKey::from_spki_pem(&same).as_ref(), Ok(&key));
    }
    let padded = include_str!("../data/spki/ok/ecdsa-p256.pem");
    assert!(padded.contains("=="));
    let unpadded = padded.replace('=', "");
    for bad in [format!("x{pem}"), format!("{pem}x"), format!("{pem}{pem}"), unpadded, String::new()] {
        let error = PublicKey::from_spki_pem(&bad).unwrap_err();
        assert_eq!(error.code(), code::KEY_MALFORMED, "{error}");
    }
}

/// One DER element, its length in the shortest form.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len() as u16;
    let [high, low] = len.to_be_bytes();
    let head = match len {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head[..], content].concat()
}

#[test]
fn text_must_be_exactly_algorithm_and_lowercase_hex() {
    for key in keys() {
        let text = key.to_string();
        let (name, digits) = text.split_once(':').unwrap();
        for bad in [
            format!("{name}:{}", digits.to_uppercase()),
            format!("{}:{digits}", name.to_uppercase()),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{text}0"),
            format!("{text}00"),
            format!("{name}{digits}"),
            format!("{name}:"),
        ] {
            let error = bad.parse::<PublicKey>().unwrap_err();
            assert_eq!(error.code(), code::KEY_MALFORMED, "{error}");
        }
    }
    let long = format!("ed25519:{}", "00".repeat(5000));
    assert_eq!(long.parse::<PublicKey>(), Err(KeyError::TooLong));
}

#[test]
fn v21_a_key_of_one_kind_is_not_read_as_another() {
    let keys = keys();
    for key in &keys {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != key.algorithm()) {
            assert!(
                PublicKey::from_raw(algorithm, key.as_raw()).is_err(),
                "{} as {algorithm}",
                key.algorithm()
            );
        }
    }
}

#[test]
fn v21_points_off_the_curve_and_hybrid_points_are_refused() {
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384] {
        let key = SecretKey::from_seed(algorithm, &[1; 32]).unwrap();
        let raw = key.public_key().as_raw();
        let mut off_curve = raw.to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        assert_eq!(PublicKey::from_raw(algorithm, &off_curve), Err(KeyError::Invalid(algorithm)));
        let mut hybrid = raw.to_vec();
        hybrid[0] = 6 | (raw[raw.len() - 1] & 1);
        assert_eq!(PublicKey::from_raw(algorithm, &hybrid), Err(KeyError::NotUncompressed(algorithm)));
        let compressed = PublicKey::from_raw(algorithm, &raw[..raw.len() / 2 + 1]);
        assert!(matches!(compressed, Err(KeyError::Length { .. })));
    }
}

#[test]
fn weak_algorithms_are_refused_by_name() {
    for name in [
        "md5",
        "MD5",
        "sha1",
        "SHA-1",
        "rsa-sha1",
        "rsassa-pss-sha1",
        "dsa",
        "dsa-1024",
        "rsa1024",
        "rsa-512",
    ] {
        assert_eq!(name.parse::<Algorithm>(), Err(KeyError::Weak(name.to_owned())));
        assert_eq!(name.parse::<Algorithm>().unwrap_err().code(), code::KEY_WEAK);
    }
    for name in ["", "ed448", "Ed25519", "rsa-2048", "ecdsa", "sha256"] {
        assert_eq!(name.parse::<Algorithm>(), Err(KeyError::Unsupported(name.to_owned())));
    }
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
    }
}

#[test]
fn errors_show_foreign_text_escaped() {
    let error = "\x1b[2Jsha1".parse::<Algorithm>().unwrap_err();
    assert_eq!(error.to_string(), "`\\u{1b}[2Jsha1` is too weak to be used");
}
