//! All Wycheproof files in the vectors folder, by file: a file of a kind that is not handled fails the test.

use countersign_crypto::{Algorithm, PublicKey, SignatureError};
use countersign_testkit::vectors;
use serde_json::Value;

/// How the tests of one file are judged.
#[derive(Clone, Copy)]
enum Rule {
    /// `result` is our verdict.
    AsListed,
    /// The scheme is not offered, so each signature, valid or not, must be refused under this one.
    OtherScheme,
    /// The parameter set is not offered, so each key must be refused.
    OtherKey,
}

#[test]
fn wycheproof_verdicts() {
    let Some(dir) = vectors::dir("wycheproof") else { return };
    for (name, path) in vectors::files(&dir, "_test.json") {
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (algorithm, rule) = plan(&name);
        let mut count = 0;
        for group in file["testGroups"].as_array().unwrap() {
            let key = public_key(algorithm, group);
            for test in group["tests"].as_array().unwrap() {
                let got = key.as_ref().is_ok_and(|key| judge(key, group, test).is_ok());
                assert_eq!(got, want(rule, test), "{name} {}: {}", test["tcId"], test["comment"]);
                count += 1;
            }
            if matches!(rule, Rule::OtherKey) {
                assert!(key.is_err(), "{name}: a key of another parameter set was read");
            }
        }
        assert_eq!(file["numberOfTests"], count, "{name}");
    }
}

fn plan(name: &str) -> (Algorithm, Rule) {
    match name {
        "ed25519_test.json" => (Algorithm::Ed25519, Rule::AsListed),
        "ecdsa_secp256r1_sha256_test.json" | "ecdsa_secp256r1_sha256_p1363_test.json" => {
            (Algorithm::EcdsaP256Sha256, Rule::AsListed)
        }
        "ecdsa_secp384r1_sha384_test.json" | "ecdsa_secp384r1_sha384_p1363_test.json" => {
            (Algorithm::EcdsaP384Sha384, Rule::AsListed)
        }
        // P-384 goes with SHA-384 only here.
        "ecdsa_secp384r1_sha256_test.json" => (Algorithm::EcdsaP384Sha384, Rule::OtherScheme),
        "mldsa_44_verify_test.json" => (Algorithm::MlDsa44, Rule::AsListed),
        "mldsa_65_verify_test.json" => (Algorithm::MlDsa65, Rule::AsListed),
        // ML-DSA-87 is not offered.
        "mldsa_87_verify_test.json" => (Algorithm::MlDsa65, Rule::OtherKey),
        other => panic!("{other}: say how this file is judged"),
    }
}

fn want(rule: Rule, test: &Value) -> bool {
    let valid = match test["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("result `{other}` is neither"),
    };
    // A context other than the empty one is another scheme here (aws-lc-rs takes none), so a signature that is
    // valid with it must not verify without: the cases are not left out, their verdict is turned round.
    let other_context = test["ctx"].as_str().is_some_and(|context| !context.is_empty());
    matches!(rule, Rule::AsListed) && valid && !other_context
}

fn public_key(algorithm: Algorithm, group: &Value) -> Result<PublicKey, countersign_crypto::KeyError> {
    let hex = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let raw = match &group["publicKey"] {
        Value::String(raw) => hex::decode(raw).unwrap(),
        key if key["uncompressed"].is_string() => hex(&key["uncompressed"]),
        key => hex(&key["pk"]),
    };
    let key = PublicKey::from_raw(algorithm, &raw)?;
    assert_eq!(hex::encode(key.to_spki_der()), group["publicKeyDer"].as_str().unwrap());
    assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()).as_ref(), Ok(&key));
    if let Some(pem) = group["publicKeyPem"].as_str() {
        assert_eq!(PublicKey::from_spki_pem(pem).as_ref(), Ok(&key));
        assert_eq!(key.to_spki_pem().trim_end(), pem.trim_end());
    }
    Ok(key)
}

fn judge(key: &PublicKey, group: &Value, test: &Value) -> Result<(), SignatureError> {
    let bytes = |field: &str| hex::decode(test[field].as_str().unwrap()).unwrap();
    let (message, signature) = (bytes("msg"), bytes("sig"));
    if group["type"] == "EcdsaP1363Verify" {
        key.verify_fixed(&message, &signature)
    } else {
        key.verify(&message, &signature)
    }
}
