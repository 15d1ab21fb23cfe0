//! Signed notes and verifier keys: public vectors and limits.

use countersign_base::Explain;
use countersign_tlog::note::*;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{code, ed25519, log_key, strings, text, vectors};

/// Types 0x02 and 0x05 are of other systems and are not read here.
fn is_foreign(vkey: &str) -> bool {
    matches!(vkey.parse::<VerifierKey>(), Err(VkeyError::Type { byte: 0x02 | 0x05 }))
}

#[test]
fn vkey_vectors() {
    for (_, cases) in vectors("tlog/signed-note", "vkeys.json") {
        for case in cases.as_array().unwrap() {
            let vkey = text(case, "vkey");
            let parsed = vkey.parse::<VerifierKey>();
            let expect = text(case, "expect") == "accept" && !is_foreign(vkey);
            assert_eq!(parsed.is_ok(), expect, "{vkey:.60}: {} {parsed:?}", text(case, "reason"));
            if let Ok(key) = parsed {
                assert_eq!(key.to_string(), vkey);
            }
        }
    }
}

fn note_bytes(case: &Value) -> Vec<u8> {
    use base64::Engine as _;
    match case["note_base64"].as_str() {
        Some(base64) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
        None => text(case, "note").as_bytes().to_vec(),
    }
}

#[test]
fn note_vectors() {
    for (_, cases) in vectors("tlog/signed-note", "notes.json") {
        for case in cases.as_array().unwrap() {
            let id = text(case, "id");
            let vkeys = strings(&case["verifier_keys"]);
            let foreign = vkeys.iter().any(|vkey| is_foreign(vkey));
            let keys: Vec<VerifierKey> = vkeys.iter().filter_map(|vkey| vkey.parse().ok()).collect();
            let note = Note::parse(&note_bytes(case));
            let verified = note.as_ref().map_err(Clone::clone).and_then(|note| note.verify(&keys));
            // The key of another system is an unknown one, so the note has no known signature.
            let expect = text(case, "expect") == "accept" && !foreign;
            assert_eq!(verified.is_ok(), expect, "{id}: {} {verified:?}", text(case, "reason"));
            if let (Ok(note), Ok(verified)) = (&note, &verified) {
                assert_eq!(note.encode(), note_bytes(case), "{id}");
                let names: Vec<&str> = verified.iter().map(|signature| signature.key.name()).collect();
                assert_eq!(names, strings(&case["verified"]), "{id}");
            }
            if case["well_formed"].as_bool() == Some(true) {
                assert_eq!(code(&verified), "log-key-unknown", "{id}");
            }
        }
    }
}

#[test]
fn signing_vectors() {
    use base64::Engine as _;
    use countersign_crypto::{Algorithm, SecretKey};
    for (_, cases) in vectors("tlog/signed-note", "signing.json") {
        for case in cases.as_array().unwrap() {
            let id = text(case, "id");
            let parts: Vec<&str> = text(case, "signer_key").splitn(5, '+').collect();
            let key = base64::engine::general_purpose::STANDARD.decode(parts[4]).unwrap();
            let key = SecretKey::from_seed(Algorithm::Ed25519, key[1..].try_into().unwrap()).unwrap();
            if let Some(vkey) = case["verifier_key"].as_str() {
                assert_eq!(log_key(parts[2], &key).to_string(), vkey, "{id}");
            }
            let Some(body) = case["text"].as_str() else { continue };
            let signature = sign_note(body, parts[2], &key);
            match case["expect_note"].as_str() {
                Some(expect) => {
                    let note = Note::new(body.to_owned(), vec![signature.unwrap()]).unwrap();
                    assert_eq!(note.encode(), expect.as_bytes(), "{id}");
                }
                None => assert_eq!(code(&signature), "log-proof-malformed", "{id}"),
            }
        }
    }
}

fn signed(body: &str, words: &[&str]) -> Note {
    let signatures = words.iter().map(|word| sign_note(body, word, &ed25519(word)).unwrap()).collect();
    Note::new(body.to_owned(), signatures).unwrap()
}

#[test]
fn sixteen_signatures_pass_and_too_many_do_not() {
    let words: Vec<String> = (0..=MAX_SIGNATURES).map(|number| format!("key-{number}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let key = log_key("key-15", &ed25519("key-15"));
    for count in [16, MAX_SIGNATURES] {
        let note = Note::parse(&signed("text\n", &words[..count]).encode()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap().len(), 1);
    }
    let mut bytes = signed("text\n", &words[..MAX_SIGNATURES]).encode();
    bytes.extend(sign_note("text\n", words[MAX_SIGNATURES], &ed25519("more")).unwrap().to_line().bytes());
    assert_eq!(code(&Note::parse(&bytes)), "limit-exceeded");
    assert_eq!(code(&Note::parse(&vec![b'a'; MAX_NOTE_BYTES + 1])), "limit-exceeded");
}

#[test]
fn a_broken_signature_of_a_known_key_spoils_the_note() {
    // Attack L04 (f): it stands beside a good one.
    let note = String::from_utf8(signed("text\n", &["a", "b"]).encode()).unwrap();
    let keys = ["a", "b"].map(|word| log_key(word, &ed25519(word)));
    assert_eq!(code(&Note::parse(note.as_bytes()).unwrap().verify(&keys)), "ok");
    let other = note.replace("text", "next");
    let good = other.replace("text", "next").replace(
        other.lines().nth(2).unwrap(),
        sign_note("next\n", "a", &ed25519("a")).unwrap().to_line().trim_end(),
    );
    let note = Note::parse(good.as_bytes()).unwrap();
    assert_eq!(code(&note.verify(&keys[..1])), "ok");
    assert_eq!(code(&note.verify(&keys)), "log-signature-invalid");
    assert_eq!(code(&note.verify(&keys[1..])), "log-signature-invalid");
}

#[test]
fn a_key_with_the_same_name_and_id_is_not_the_known_key() {
    // Attack L04 (c): four bytes of id are cheap to hit, so a stranger's signature may claim them.
    let known = log_key("log", &ed25519("honest"));
    let strange = sign_note("text\n", "log", &ed25519("stranger")).unwrap();
    let mut bytes = known.id().to_be_bytes().to_vec();
    bytes.extend_from_slice(strange.bytes());
    let forged = NoteSignature::new(&known, strange.bytes().to_vec());
    let note = Note::new("text\n".to_owned(), vec![forged]).unwrap();
    assert_eq!(code(&note.verify(std::slice::from_ref(&known))), "log-signature-invalid");
    // Under its own id it is of an unknown key, and ignored.
    let note = Note::new("text\n".to_owned(), vec![strange]).unwrap();
    assert_eq!(code(&note.verify(&[known])), "log-key-unknown");
}

#[test]
fn lines_that_are_not_signatures_are_named() {
    let good = String::from_utf8(signed("text\n", &["a"]).encode()).unwrap();
    let line = good.lines().nth(2).unwrap().to_owned();
    for bad in [
        line.replace('\u{2014}', "-"),
        line.replace("a ", "a\u{a0}b "),
        line.replace(" a ", " a+b "),
        line.replace(" a ", "  "),
        line.trim_end_matches('=').to_owned(),
        format!("{line} "),
        format!("{line}\r"),
        "\u{2014} a AAAAAA==".to_owned(),
        "\u{2014} a AAAA".to_owned(),
    ] {
        let note = good.replace(&line, &bad);
        assert_eq!(code(&Note::parse(note.as_bytes())), "log-proof-malformed", "{bad:?}");
    }
    for bad in [&good[..good.len() - 1], "text\n\n", "text\n", "", "\n\n", "te\u{1}xt\n\n"] {
        assert_eq!(code(&Note::parse(bad.as_bytes())), "log-proof-malformed", "{bad:?}");
    }
    assert_eq!(code(&Note::parse(b"\xff\n\n\n")), "log-proof-malformed");
}

#[test]
fn base64_has_one_form() {
    // The last character before the padding has unused bits; a second spelling must not pass.
    let good = String::from_utf8(signed("text\n", &["a"]).encode()).unwrap();
    let at = good.rfind('=').unwrap() - 1;
    let mut bytes = good.clone().into_bytes();
    bytes[at] += 1;
    assert_eq!(code(&Note::parse(good.as_bytes())), "ok");
    assert_eq!(code(&Note::parse(&bytes)), "log-proof-malformed");
}

#[test]
fn messages_name_the_key_without_control_characters() {
    let error = NoteError::Signature { name: "log\u{202e}".to_owned() };
    assert_eq!(error.to_string(), "the signature of `log\\u{202e}` is broken");
    assert_eq!(error.code().name(), "log-signature-invalid");
}

proptest! {
    #[test]
    fn notes_round_trip(body in "([a-zé —]{0,12}\n){1,4}", words in prop::collection::vec("[a-z]{1,8}", 1..4)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let note = signed(&body, &words);
        prop_assert_eq!(Note::parse(&note.encode()), Ok(note));
    }

    #[test]
    fn what_parses_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..160) {
        let mut seed = signed("text\nmore\n", &["a", "b"]).encode();
        if let Some(byte) = bytes.first() {
            let at = cut % seed.len();
            seed[at] = *byte;
        }
        for input in [bytes, seed] {
            if let Ok(note) = Note::parse(&input) {
                prop_assert_eq!(note.encode(), input);
            }
        }
    }
}
