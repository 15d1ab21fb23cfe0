//! The documents that name a log to Sigstore's clients.

use countersign_attest::{log_id, trust};
use countersign_base::{Explain as _, Timestamp, code};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_tlog::VerifierKey;
use serde_json::Value;

fn key(origin: &str, algorithm: Algorithm) -> VerifierKey {
    let secret = SecretKey::from_seed(algorithm, &[7; 32]).unwrap();
    VerifierKey::for_log(origin, secret.public_key()).unwrap()
}

#[test]
fn a_log_whose_origin_is_a_host_can_be_named() {
    let key = key("log.example.com", Algorithm::Ed25519);
    let start = Timestamp::from_unix(1_700_000_000).unwrap();
    let root: Value =
        serde_json::from_str(&trust::trusted_root(std::slice::from_ref(&key), start).unwrap()).unwrap();
    let log = &root["tlogs"][0];
    assert_eq!(log["baseUrl"], "https://log.example.com");
    assert_eq!(log["publicKey"]["keyDetails"], "PKIX_ED25519");
    assert_eq!(log["publicKey"]["validFor"]["start"], "2023-11-14T22:13:20Z");
    let config = trust::signing_config(&key, "http://127.0.0.1:1", start).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["rekorTlogUrls"][0]["url"], "http://127.0.0.1:1");
    assert_eq!(config["rekorTlogUrls"][0]["majorApiVersion"], 2);
}

#[test]
fn the_log_id_begins_with_the_key_id() {
    let key = key("log.example.com", Algorithm::Ed25519);
    assert_eq!(log_id(&key)[..4], key.id().to_be_bytes());
}

#[test]
fn a_log_that_clients_would_take_for_another_is_not_named() {
    let start = Timestamp::EPOCH;
    for origin in ["log.example.com/one", "log.example.com:80", "LOG.example", "log..example", "-x.example"] {
        let error = trust::trusted_root(&[key(origin, Algorithm::Ed25519)], start).unwrap_err();
        assert_eq!(error.code(), code::USAGE, "{origin}");
    }
    assert!(trust::check(&key("log.example.com", Algorithm::MlDsa44)).is_err());
}
