//! Requests are taken as they should be, and one thing wrong is one refusal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::hashedrekord::Recorded;
use countersign_attest::{HashedRekord, Inclusion, LogEntry, RekorError, hashedrekord};
use countersign_base::{Explain as _, Sha256Digest, code};
use countersign_tlog::merkle::leaf_hash;
use serde_json::{Value, json};

const P256: &str = include_str!("../data/p256.json");
const CERTIFICATE: &str = include_str!("../data/certificate.json");
const RSA: &str = include_str!("../data/rsa2048.json");

fn admit(request: &Value) -> Result<Value, RekorError> {
    HashedRekord::admit(request.to_string().as_bytes())
        .map(|record| serde_json::from_slice(record.entry()).unwrap())
}

fn changed(request: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut value: Value = serde_json::from_str(request).unwrap();
    change(&mut value["hashedRekordRequestV002"]);
    value
}

#[test]
fn the_entry_is_the_one_that_rekor_makes() {
    let request = include_bytes!("../data/rekor-tiles.json");
    let record = HashedRekord::admit(request).unwrap();
    assert_eq!(record.entry(), include_bytes!("../data/rekor-tiles.entry"));
}

#[test]
fn each_scheme_is_checked_over_the_digest() {
    for (request, hash) in [
        (P256, "SHA2_256"),
        (include_str!("../data/p384.json"), "SHA2_384"),
        (include_str!("../data/p521.json"), "SHA2_512"),
        (RSA, "SHA2_256"),
        (include_str!("../data/rsa3072.json"), "SHA2_256"),
        (CERTIFICATE, "SHA2_256"),
    ] {
        let entry = admit(&serde_json::from_str(request).unwrap()).unwrap();
        assert_eq!(entry["spec"]["hashedRekordV002"]["data"]["algorithm"], hash);
        for field in ["digest", "content"] {
            let forged = changed(request, |request| {
                let value = if field == "digest" {
                    &mut request["digest"]
                } else {
                    &mut request["signature"]["content"]
                };
                // The last whole byte of the value, still base64.
                let mut text = value.as_str().unwrap().to_owned();
                let at = text.trim_end_matches('=').len() - 4;
                let other = if &text[at..=at] == "A" { "B" } else { "A" };
                text.replace_range(at..=at, other);
                *value = text.into();
            });
            let error = admit(&forged).unwrap_err();
            assert_eq!(error.code(), code::LOG_ENTRY_UNAUTHORISED, "{field}: {error}");
        }
    }
}

#[test]
fn another_spelling_of_a_request_makes_the_same_entry() {
    let plain = admit(&serde_json::from_str(P256).unwrap()).unwrap();
    let by_number = changed(P256, |request| request["signature"]["verifier"]["keyDetails"] = 5.into());
    assert_eq!(admit(&by_number).unwrap(), plain);
    let url_safe = changed(P256, |request| {
        let text = request["signature"]["content"].as_str().unwrap().replace('+', "-").replace('/', "_");
        request["signature"]["content"] = text.trim_end_matches('=').into();
    });
    assert_eq!(admit(&url_safe).unwrap(), plain);
    let with_more = changed(P256, |request| {
        request["unknown"] = json!({ "a": 1 });
        request["signature"]["verifier"]["x509Certificate"] = Value::Null;
    });
    assert_eq!(admit(&with_more).unwrap(), plain);
}

#[test]
fn what_is_not_a_request_is_refused_as_what_it_is() {
    let verifier =
        |change: fn(&mut Value)| changed(P256, |request| change(&mut request["signature"]["verifier"]));
    let key = serde_json::from_str::<Value>(RSA).unwrap()["hashedRekordRequestV002"]["signature"]["verifier"]
        ["publicKey"]
        .clone();
    let other_key = changed(P256, |request| request["signature"]["verifier"]["publicKey"] = key);
    for (request, want) in [
        (json!({}), code::LOG_ENTRY_MALFORMED),
        (json!({ "dsseRequestV002": {} }), code::LOG_ENTRY_MALFORMED),
        (json!([]), code::LOG_ENTRY_MALFORMED),
        (json!({ "hashedRekordRequestV002": 7 }), code::LOG_ENTRY_MALFORMED),
        (changed(P256, |request| request["digest"] = Value::Null), code::LOG_ENTRY_MALFORMED),
        (changed(P256, |request| request["digest"] = "".into()), code::LOG_ENTRY_MALFORMED),
        (changed(P256, |request| request["digest"] = "%".into()), code::LOG_ENTRY_MALFORMED),
        (changed(P256, |request| request["digest"] = "AAAA".into()), code::LOG_ENTRY_MALFORMED),
        (changed(P256, |request| request["signature"] = "x".into()), code::LOG_ENTRY_MALFORMED),
        (verifier(|verifier| verifier["publicKey"] = Value::Null), code::LOG_ENTRY_MALFORMED),
        (verifier(|verifier| verifier["keyDetails"] = Value::Null), code::LOG_ENTRY_MALFORMED),
        (verifier(|verifier| verifier["keyDetails"] = "PKIX_ED25519".into()), code::LOG_ENTRY_MALFORMED),
        (verifier(|verifier| verifier["keyDetails"] = "PKIX_ED25519_PH".into()), code::LOG_ENTRY_MALFORMED),
        (verifier(|verifier| verifier["key_details"] = 5.into()), code::LOG_ENTRY_MALFORMED),
        (
            verifier(|verifier| verifier["x509Certificate"] = json!({ "rawBytes": "AAAA" })),
            code::LOG_ENTRY_MALFORMED,
        ),
        (other_key, code::KEY_MALFORMED),
        (
            changed(RSA, |request| {
                request["signature"]["verifier"]["keyDetails"] = "PKIX_RSA_PKCS1V15_3072_SHA256".into();
            }),
            code::LOG_ENTRY_MALFORMED,
        ),
    ] {
        let error = admit(&request).unwrap_err();
        assert_eq!(error.code(), want, "{request}: {error}");
    }
}

#[test]
fn two_readings_of_one_request_and_more_bytes_than_any_are_refused() {
    let twice = P256.replacen("\"digest\":", "\"digest\": \"AAAA\", \"digest\":", 1);
    assert_eq!(HashedRekord::admit(twice.as_bytes()).unwrap_err().code(), code::LOG_ENTRY_MALFORMED);
    let padded = format!("{P256}{}", " ".repeat(hashedrekord::MAX_REQUEST_BYTES));
    assert_eq!(HashedRekord::admit(padded.as_bytes()).unwrap_err().code(), code::LOG_ENTRY_TOO_LARGE);
    let whole = format!("{P256}{}", " ".repeat(hashedrekord::MAX_REQUEST_BYTES - P256.len()));
    assert!(HashedRekord::admit(whole.as_bytes()).is_ok());
}

#[test]
fn a_certificate_that_is_cut_or_grows_is_refused() {
    let original: Value = serde_json::from_str(CERTIFICATE).unwrap();
    let path = "/hashedRekordRequestV002/signature/verifier/x509Certificate/rawBytes";
    let text = original.pointer(path).unwrap().as_str().unwrap();
    for other in [&text[..text.len() - 8], &text[4..], &format!("{}AAAA", text.trim_end_matches('='))] {
        let mut request = original.clone();
        *request.pointer_mut(path).unwrap() = other.into();
        let error = admit(&request).unwrap_err();
        assert_eq!(error.code(), code::LOG_ENTRY_MALFORMED, "{error}");
    }
}

#[test]
fn the_answer_is_protobuf_json() {
    let entry = LogEntry {
        index: 7,
        log_id: [1; 32],
        body: b"{}".to_vec(),
        inclusion: Inclusion {
            size: 9,
            root: leaf_hash(b"x"),
            path: vec![Sha256Digest([2; 32])],
            checkpoint: "log.example\n9\nroot\n\n\u{2014} sig\n".to_owned(),
        },
    };
    let json: Value = serde_json::from_str(&entry.to_json()).unwrap();
    assert_eq!(json["logIndex"], "7", "64-bit numbers are strings");
    assert_eq!(json["inclusionProof"]["treeSize"], "9");
    assert_eq!(json["inclusionProof"]["hashes"][0], "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
    assert_eq!(json["inclusionProof"]["checkpoint"]["envelope"], entry.inclusion.checkpoint);
    assert_eq!(json["canonicalizedBody"], "e30=");
    assert_eq!(json["kindVersion"], json!({ "kind": "hashedrekord", "version": "0.0.2" }));
}

#[test]
fn an_entry_tells_its_digest_and_its_key() {
    let entry = include_bytes!("../data/rekor-tiles.entry");
    let recorded = Recorded::read(entry).unwrap();
    let value: Value = serde_json::from_slice(entry).unwrap();
    let record = &value["spec"]["hashedRekordV002"];
    let digest = record["data"]["digest"].as_str().unwrap();
    assert_eq!(STANDARD.encode(&recorded.digest), digest);
    let key = &record["signature"]["verifier"]["publicKey"]["rawBytes"];
    assert_eq!(STANDARD.encode(&recorded.verifier), key.as_str().unwrap());
    let text = core::str::from_utf8(entry).unwrap();
    for (from, to) in
        [("hashedrekord", "dsse"), ("0.0.2", "0.0.1"), ("publicKey", "privateKey"), (digest, "%")]
    {
        assert!(text.contains(from));
        assert_eq!(Recorded::read(text.replacen(from, to, 1).as_bytes()), None, "{from}");
    }
    assert_eq!(Recorded::read(b"no JSON"), None);
}
