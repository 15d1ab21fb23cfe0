//! Checkpoints: the text form, and public vectors.

use countersign_crypto::sha256;
use countersign_tlog::merkle::EMPTY_ROOT;
use countersign_tlog::note::VerifierKey;
use countersign_tlog::{Checkpoint, SignedCheckpoint, checkpoint};
use proptest::prelude::*;

use crate::support::{ORIGIN, code, ed25519, log_key, ml_dsa, now, signed, strings, text, vectors};

#[test]
fn body_vectors() {
    for (_, cases) in vectors("tlog/checkpoint", "bodies.json") {
        for case in cases.as_array().unwrap() {
            let (id, body) = (text(case, "id"), text(case, "body"));
            // The hashes of the source are not 32 bytes long (README): a hash takes their place. Only the other
            // rules are tested; empty extension lines, which the source lets through, the specification forbids.
            let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
            let body = body.replace(case["hash_base64"].as_str().unwrap_or("\0"), hash);
            let empty_line = case["rest"].as_str().is_some_and(|rest| rest.starts_with('\n'));
            let expect = text(case, "expect") == "accept" && !empty_line;
            let parsed = Checkpoint::parse(&body);
            assert_eq!(parsed.is_ok(), expect, "{id}: {parsed:?}");
            if let Ok(checkpoint) = parsed {
                assert_eq!(checkpoint.encode(), body, "{id}");
                assert_eq!(checkpoint.origin(), text(case, "origin"), "{id}");
                assert_eq!(checkpoint.size(), case["size"].as_u64().unwrap(), "{id}");
                let rest: Vec<&str> = case["rest"].as_str().unwrap_or_default().lines().collect();
                assert_eq!(checkpoint.extensions(), rest, "{id}");
            }
        }
    }
}

#[test]
fn signed_checkpoint_vectors() {
    for (_, cases) in vectors("tlog/checkpoint", "checkpoints.json") {
        for case in cases.as_array().unwrap() {
            let vkeys = strings(&case["verifier_keys"]);
            let keys: Vec<VerifierKey> = vkeys.iter().filter_map(|vkey| vkey.parse().ok()).collect();
            // RFC 6962 tree head signatures (0x05) are not supported: their key is an unknown one.
            let expect = text(case, "expect") == "accept" && keys.len() == vkeys.len();
            let opened = SignedCheckpoint::open(text(case, "note").as_bytes(), text(case, "origin"), &keys);
            assert_eq!(opened.is_ok(), expect, "{}: {opened:?}", text(case, "id"));
            let reason = case["reason"].as_str().unwrap_or_default();
            if reason.starts_with("origin") {
                assert_eq!(code(&opened), "log-origin-mismatch");
            } else if reason.starts_with("size changed") {
                assert_eq!(code(&opened), "log-signature-invalid");
            }
        }
    }
}

#[test]
fn origin_hash_is_the_witness_path() {
    for (_, cases) in vectors("tlog/checkpoint", "origin-ids.json") {
        for case in cases.as_array().unwrap() {
            let origin = text(case, "origin");
            let other = sha256(format!("o:{origin}").as_bytes());
            assert_eq!(other.to_string(), text(case, "sha256_hex"));
            assert_eq!(checkpoint::origin_hash(origin), sha256(origin.as_bytes()));
            assert_ne!(checkpoint::origin_hash(origin), other);
        }
    }
}

const HASH: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn only_canonical_text_parses() {
    let parse = |text: &str| code(&Checkpoint::parse(text));
    assert_eq!(parse(&format!("log\n0\n{HASH}\n")), "ok");
    assert_eq!(parse(&format!("log\n9223372036854775807\n{HASH}\n")), "ok");
    assert_eq!(parse(&format!("log with spaces + plus\n1\n{HASH}\nextension\nline two\n")), "ok");
    let long = "o".repeat(checkpoint::MAX_ORIGIN_BYTES + 1);
    for size in
        ["00", "01", "+1", "-1", " 1", "1 ", "", "9223372036854775808", "18446744073709551616", "1e3", "٣"]
    {
        assert_eq!(parse(&format!("log\n{size}\n{HASH}\n")), "log-proof-malformed", "{size:?}");
    }
    for bad in [
        String::new(),
        "log\n1\n".to_owned(),
        format!("log\n1\n{HASH}"),
        format!("\n1\n{HASH}\n"),
        format!("{long}\n1\n{HASH}\n"),
        format!("lo\tg\n1\n{HASH}\n"),
        format!("log\r\n1\r\n{HASH}\r\n"),
        format!("log\n1\n{HASH}\n\n"),
        format!("log\n1\n{HASH}\n\nline\n"),
        format!("log\n1\n{}\n", &HASH[..43]),
        format!("log\n1\n{}\n", HASH.replace("FU=", "FV=")),
        "log\n1\nAAAA\n".to_owned(),
    ] {
        assert_eq!(parse(&bad), "log-proof-malformed", "{bad:?}");
    }
    let lines = "x\n".repeat(checkpoint::MAX_EXTENSION_LINES + 1);
    assert_eq!(parse(&format!("log\n1\n{HASH}\n{lines}")), "limit-exceeded");
    assert_eq!(parse(&"x".repeat(checkpoint::MAX_CHECKPOINT_TEXT_BYTES + 1)), "limit-exceeded");
}

#[test]
fn an_empty_tree_has_the_empty_root() {
    let wrong = sha256(b"not empty");
    assert_eq!(code(&Checkpoint::new(ORIGIN, 0, EMPTY_ROOT)), "ok");
    assert_eq!(code(&Checkpoint::new(ORIGIN, 0, wrong)), "log-proof-malformed");
    assert_eq!(code(&Checkpoint::new(ORIGIN, 1 << 63, wrong)), "log-proof-malformed");
    assert_eq!(code(&Checkpoint::new("a\nb", 1, wrong)), "log-proof-malformed");
}

#[test]
fn a_log_signs_with_either_kind_of_key() {
    let root = sha256(b"root");
    let body = Checkpoint::new(ORIGIN, 7, root).unwrap();
    for key in [ed25519("log"), ml_dsa("log")] {
        let signature = checkpoint::sign(&body, &key, now()).unwrap();
        let bytes = SignedCheckpoint::new(body.clone(), vec![signature]).unwrap().encode();
        let known = [log_key(ORIGIN, &key)];
        assert_eq!(code(&SignedCheckpoint::open(&bytes, ORIGIN, &known)), "ok");
        assert_eq!(code(&SignedCheckpoint::open(&bytes, "other", &known)), "log-origin-mismatch");
        let strange = [log_key(ORIGIN, &ed25519("stranger"))];
        assert_eq!(code(&SignedCheckpoint::open(&bytes, ORIGIN, &strange)), "log-key-unknown");
        let other = String::from_utf8(bytes).unwrap().replace("\n7\n", "\n8\n");
        assert_eq!(code(&SignedCheckpoint::open(other.as_bytes(), ORIGIN, &known)), "log-signature-invalid");
    }
}

#[test]
fn signatures_are_added_once() {
    let one = signed(7, sha256(b"root"), &["w1"]);
    let two = signed(7, sha256(b"root"), &["w1", "w2"]);
    assert_eq!(one.with_signatures(two.note().signatures()).unwrap(), two);
}

proptest! {
    #[test]
    fn checkpoints_round_trip(origin in "[ -~é]{1,60}", size in 1u64..1 << 63, hash in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint::new(&origin, size, countersign_base::Sha256Digest(hash)).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn what_parses_is_canonical(origin in "[a-z\n]{0,4}", size in "[0-9+ ]{0,4}", rest in "[a-z\n]{0,6}") {
        let text = format!("{origin}\n{size}\n{HASH}\n{rest}");
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.encode(), text);
        }
    }
}
