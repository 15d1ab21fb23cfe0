//! RSA-PSS: verified with SHA-256 and a 32-byte salt, nothing else.

use countersign_base::{Explain, code};
use countersign_base::{canonical, json};
use countersign_crypto::{Algorithm, KeyError, PublicKey, SecretKey, SignatureError};
use countersign_testkit::vectors;

const MESSAGE: &[u8] = b"countersign";
const GOOD: &[u8] = include_bytes!("../data/rsa/pss-sha256-salt32.sig");

fn key() -> PublicKey {
    PublicKey::from_spki_pem(include_str!("../data/spki/ok/rsa-2048.pem")).unwrap()
}

#[test]
fn v21_an_rsa_signature_wrong_in_one_way_is_refused() {
    let key = key();
    assert_eq!(key.verify(MESSAGE, GOOD), Ok(()));
    let mut flipped = GOOD.to_vec();
    flipped[100] ^= 1;
    let cases: [(&str, &[u8], &[u8]); 11] = [
        ("another message", b"countersigm", GOOD),
        ("flipped bit", MESSAGE, &flipped),
        ("salt of 20 bytes", MESSAGE, include_bytes!("../data/rsa/pss-sha256-salt20.sig")),
        ("PKCS#1 v1.5 padding", MESSAGE, include_bytes!("../data/rsa/pkcs1-sha256.sig")),
        ("SHA-1", MESSAGE, include_bytes!("../data/rsa/pss-sha1-salt20.sig")),
        ("trailer", MESSAGE, include_bytes!("../data/rsa/pss-trailer-bd.sig")),
        ("padding that is not zero", MESSAGE, include_bytes!("../data/rsa/pss-nonzero-padding.sig")),
        ("separator", MESSAGE, include_bytes!("../data/rsa/pss-separator-02.sig")),
        ("bit above the encoded message", MESSAGE, include_bytes!("../data/rsa/pss-top-bit-set.sig")),
        ("cut", MESSAGE, &GOOD[..255]),
        ("empty", MESSAGE, b""),
    ];
    for (what, message, signature) in cases {
        assert_eq!(key.verify(message, signature), Err(SignatureError::Invalid), "{what}");
    }
    let longer = [GOOD, &[0]].concat();
    assert_eq!(key.verify(MESSAGE, &longer), Err(SignatureError::Invalid), "longer");
}

#[test]
fn v21_weak_rsa_keys_are_refused() {
    for (weak, want) in [
        (include_str!("../data/spki/key-weak/rsa-1024.pem"), KeyError::RsaTooShort { bits: 1024 }),
        (include_str!("../data/spki/key-weak/rsa-2047.pem"), KeyError::RsaTooShort { bits: 2047 }),
        (include_str!("../data/spki/key-weak/rsa-exponent-1.pem"), KeyError::RsaExponent),
        (include_str!("../data/spki/key-weak/rsa-exponent-even.pem"), KeyError::RsaExponent),
    ] {
        let error = PublicKey::from_spki_pem(weak).unwrap_err();
        assert_eq!(error, want);
        assert_eq!(error.code(), code::KEY_WEAK);
    }
}

#[test]
fn rsa_is_for_verifying_only() {
    let error = SecretKey::from_seed(Algorithm::RsaPssSha256, &[1; 32]).unwrap_err();
    assert_eq!(error, KeyError::VerifyOnly(Algorithm::RsaPssSha256));
    assert_eq!(error.code(), code::USAGE);
    assert_eq!(key().verify_fixed(MESSAGE, GOOD), Err(SignatureError::Form));
}

/// Signatures by other TUF implementations (securesystemslib, tough), which must agree on the salt.
#[test]
fn rsa_signatures_of_other_tuf_implementations_verify() {
    let Some(dir) = vectors::dir("tuf") else { return };
    let mut verified = 0;
    for (name, path) in vectors::files(&dir, "root.json") {
        let Ok(root) = json::parse(&std::fs::read(path).unwrap()) else { continue };
        let (Some(signed), Some(signatures)) = (root.get("signed"), root.get("signatures")) else { continue };
        let message = canonical::olpc(signed);
        for signature in signatures.as_array().unwrap_or_default() {
            let text = |field: &str| signature.get(field).and_then(json::Json::as_str).unwrap_or_default();
            let Some(key) = signed.get("keys").and_then(|keys| keys.get(text("keyid"))) else { continue };
            if key.get("keytype").and_then(json::Json::as_str) != Some("rsa") {
                continue;
            }
            let pem = key.get("keyval").and_then(|value| value.get("public")).and_then(json::Json::as_str);
            let key = PublicKey::from_spki_pem(pem.unwrap()).unwrap();
            let got = key.verify(&message, &hex::decode(text("sig")).unwrap());
            // The folder's name says so: this one was signed, then changed.
            let damaged = name.contains("invalid-root-json-signature");
            assert_eq!(got.is_ok(), !damaged, "{name}: {got:?}");
            verified += usize::from(got.is_ok());
        }
    }
    assert!(verified > 0);
}
