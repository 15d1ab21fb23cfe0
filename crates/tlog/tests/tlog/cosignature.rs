//! Cosignatures of both kinds: own and public vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_base::Timestamp;
use countersign_crypto::sha256;
use countersign_tlog::cosignature::*;
use countersign_tlog::note::{NoteSignature, SignatureType, VerifierKey};
use countersign_tlog::{Checkpoint, SignedCheckpoint};

use crate::support::{ORIGIN, code, ed25519, log_key, ml_dsa, now, strings, text, vectors, witness_key};

#[test]
fn note_vectors() {
    for (_, cases) in vectors("tlog/cosignature", "notes.json") {
        for case in cases.as_array().unwrap() {
            let id = text(case, "id");
            let keys: Vec<VerifierKey> =
                strings(&case["verifier_keys"]).iter().map(|vkey| vkey.parse().unwrap()).collect();
            let signed = SignedCheckpoint::parse(text(case, "note").as_bytes()).unwrap();
            let verified = signed.note().verify(&keys);
            assert_eq!(verified.is_ok(), text(case, "expect") == "accept", "{id}: {verified:?}");
            for signature in verified.unwrap_or_default() {
                assert_eq!(signature.timestamp, case["timestamp"].as_u64(), "{id}");
                let line = signed.note().signatures().iter().find(|line| line.claims(signature.key)).unwrap();
                let time = verify(line, signature.key, signed.checkpoint()).unwrap();
                assert_eq!(Some(time.as_unix()), case["timestamp"].as_u64(), "{id}");
            }
        }
    }
}

#[test]
fn timestamp_vectors() {
    for (_, cases) in vectors("tlog/cosignature", "timestamps.json") {
        for case in cases.as_array().unwrap() {
            let line = format!("\u{2014} name {}", text(case, "signature_base64"));
            // A time is eight bytes before a signature of 64.
            let time = NoteSignature::parse(&line).filter(|line| line.bytes().len() == 8 + 64).map(|line| {
                let (time, _) = line.bytes().split_first_chunk::<8>().unwrap();
                u64::from_be_bytes(*time)
            });
            assert_eq!(time, case["timestamp"].as_u64(), "{}", text(case, "id"));
        }
    }
}

#[test]
fn ml_dsa_44_key_vector() {
    for (_, case) in vectors("tlog/cosignature", "mldsa44.json") {
        let key: VerifierKey = text(&case, "vkey").parse().unwrap();
        assert_eq!(key.kind(), SignatureType::MlDsa44Cosignature);
        assert_eq!(key.public_key().as_raw().len() as u64, case["key_bytes"].as_u64().unwrap());
        assert!(text(&case, "vkey_as_published_with_wrong_key_id").parse::<VerifierKey>().is_err());
        let line = cosign(&checkpoint(), "w", &ml_dsa("w"), now()).unwrap();
        assert_eq!(line.bytes().len() as u64, 8 + case["signature_bytes"].as_u64().unwrap());
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 7, sha256(b"root")).unwrap()
}

/// The same signature with another time in front.
fn redated(signature: &NoteSignature, key: &VerifierKey, time: u64) -> NoteSignature {
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(&signature.bytes()[8..]);
    NoteSignature::new(key, bytes)
}

#[test]
fn both_kinds_vouch_for_one_checkpoint_at_one_time() {
    for key in [ed25519("w"), ml_dsa("w")] {
        let vkey = witness_key("w.example", &key);
        let line = cosign(&checkpoint(), "w.example", &key, now()).unwrap();
        assert_eq!(verify(&line, &vkey, &checkpoint()), Ok(now()));
        // Attack L07 (a): of another size, root or origin.
        for other in [
            Checkpoint::new(ORIGIN, 8, sha256(b"root")).unwrap(),
            Checkpoint::new(ORIGIN, 7, sha256(b"other")).unwrap(),
            Checkpoint::new("log.example/other", 7, sha256(b"root")).unwrap(),
        ] {
            assert_eq!(code(&verify(&line, &vkey, &other)), "log-cosignature-invalid");
        }
        // Attack L07 (b), (f): no time, and one that cannot be. The signature covers the time.
        for time in [0, now().as_unix() + 1, MAX_TIME, MAX_TIME + 1, u64::MAX] {
            let line = redated(&line, &vkey, time);
            assert_eq!(code(&verify(&line, &vkey, &checkpoint())), "log-cosignature-invalid", "{time}");
        }
        let short = NoteSignature::new(&vkey, line.bytes()[..7].to_vec());
        assert_eq!(code(&verify(&short, &vkey, &checkpoint())), "log-cosignature-invalid");
        let stranger = witness_key("w.example", &ed25519("stranger"));
        assert_eq!(code(&verify(&line, &stranger, &checkpoint())), "log-cosignature-invalid");
    }
}

#[test]
fn an_epoch_is_no_time_to_cosign_at() {
    let result = cosign(&checkpoint(), "w.example", &ed25519("w"), Timestamp::EPOCH);
    assert_eq!(code(&result), "usage");
}

#[test]
fn ml_dsa_44_commits_to_the_cosigners_name() {
    let key = ml_dsa("w");
    let line = cosign(&checkpoint(), "w.example", &key, now()).unwrap();
    let renamed = witness_key("v.example", &key);
    let line = NoteSignature::new(&renamed, line.bytes().to_vec());
    assert_eq!(code(&verify(&line, &renamed, &checkpoint())), "log-cosignature-invalid");
}

#[test]
fn extension_lines_are_covered_by_ed25519_alone() {
    let plain = checkpoint();
    let extended = Checkpoint::parse(&format!("{}extension\n", plain.encode())).unwrap();
    for (key, expect) in [(ed25519("w"), "log-cosignature-invalid"), (ml_dsa("w"), "ok")] {
        let vkey = witness_key("w.example", &key);
        let line = cosign(&plain, "w.example", &key, now()).unwrap();
        assert_eq!(code(&verify(&line, &vkey, &extended)), expect);
        let line = cosign(&extended, "w.example", &key, now()).unwrap();
        assert_eq!(code(&verify(&line, &vkey, &extended)), "ok");
    }
}

#[test]
fn a_type_says_what_was_signed() {
    // Attack L04 (d): the same Ed25519 key as log and as witness has two ids and two messages.
    let key = ed25519("w");
    let line = cosign(&checkpoint(), "w.example", &key, now()).unwrap();
    let as_log = log_key("w.example", &key);
    assert_ne!(as_log.id(), line.id());
    assert_eq!(code(&verify(&line, &as_log, &checkpoint())), "log-cosignature-invalid");
    let line = NoteSignature::new(&as_log, line.bytes().to_vec());
    assert_eq!(code(&verify(&line, &as_log, &checkpoint())), "log-cosignature-invalid");
}

#[test]
fn a_subtree_is_not_a_checkpoint() {
    // Attack L07 (e).
    let (key, hash) = (ml_dsa("w"), sha256(b"root"));
    let vkey = witness_key("w.example", &key);
    let subtree = Subtree { origin: ORIGIN, start: 4, end: 7, hash: &hash };
    let line = cosign_subtree(&subtree, "w.example", &key).unwrap();
    assert_eq!(verify_subtree(&line, &vkey, &subtree), Ok(0));
    assert_eq!(code(&verify(&line, &vkey, &checkpoint())), "log-cosignature-invalid");
    for other in [
        Subtree { start: 0, ..subtree },
        Subtree { end: 8, ..subtree },
        Subtree { origin: "other", ..subtree },
        Subtree { start: 3, ..subtree },
    ] {
        assert_eq!(code(&verify_subtree(&line, &vkey, &other)), "log-cosignature-invalid");
    }
    // From leaf 0 the bytes are those of a checkpoint; without a time they do not cosign one.
    let whole = Subtree { start: 0, ..subtree };
    let line = cosign_subtree(&whole, "w.example", &key).unwrap();
    assert_eq!(verify_subtree(&line, &vkey, &whole), Ok(0));
    assert_eq!(code(&verify(&line, &vkey, &checkpoint())), "log-cosignature-invalid");
    // A dated one is a cosignature of the checkpoint and of the subtree.
    let line = cosign(&checkpoint(), "w.example", &key, now()).unwrap();
    assert_eq!(verify_subtree(&line, &vkey, &whole), Ok(now().as_unix()));
    // With a start above 0 no time can be stated.
    let dated = redated(&cosign_subtree(&subtree, "w.example", &key).unwrap(), &vkey, 1);
    assert_eq!(code(&verify_subtree(&dated, &vkey, &subtree)), "log-cosignature-invalid");
    assert_eq!(code(&cosign_subtree(&subtree, "w.example", &ed25519("w"))), "usage");
}

#[test]
fn the_ml_dsa_44_message_is_as_specified() {
    // Built by hand from the structure in the specification.
    let (key, root) = (ml_dsa("w"), sha256(b"root"));
    let line = cosign(&checkpoint(), "w.example", &key, now()).unwrap();
    let mut message = b"subtree/v1\n\0\x09w.example".to_vec();
    message.extend(now().as_unix().to_be_bytes());
    message.push(ORIGIN.len() as u8);
    message.extend(ORIGIN.as_bytes());
    message.extend(0u64.to_be_bytes());
    message.extend(7u64.to_be_bytes());
    message.extend(root.as_bytes());
    key.public_key().verify(&message, &line.bytes()[8..]).unwrap();
    assert_eq!(line.bytes()[..8], now().as_unix().to_be_bytes());
}

#[test]
fn the_example_of_the_specification_has_its_layout() {
    let signature = "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
    let bytes = STANDARD.decode(signature).unwrap();
    assert_eq!(bytes.len(), 4 + 8 + 64);
    assert_eq!(u64::from_be_bytes(bytes[4..12].try_into().unwrap()), 1_679_315_147);
}
