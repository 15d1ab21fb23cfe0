//! A remote signer on loopback, honest and not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use countersign_base::Explain as _;
use countersign_base::code;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_keys::place::{self, MAX_REMOTE_MESSAGE_BYTES, Settings};
use countersign_testkit::tokens::{Behaviour, RemoteSigner};

use super::{MESSAGE, Person, refusal, signs};

const TOKEN: &str = "s3cr3t-t0k3n";

fn key(algorithm: Algorithm, seed: u8) -> SecretKey {
    SecretKey::from_seed(algorithm, &[seed; 32]).unwrap()
}

fn start(algorithm: Algorithm) -> RemoteSigner {
    RemoteSigner::start(key(algorithm, 1), key(algorithm, 2))
}

fn person() -> Person {
    Person::with(Settings::default())
}

fn person_with_token(file: &Path) -> Person {
    Person::with(Settings { signer_token_file: Some(file.to_owned()), ..Settings::default() })
}

#[test]
fn keys_of_every_scheme_sign() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign()) {
        let server = start(algorithm);
        let expected = key(algorithm, 1).public_key().clone();
        for expected in [None, Some(&expected)] {
            signs(&server.url(), expected, &mut person());
        }
        assert_eq!(server.heard().iter().filter(|heard| heard.request == "POST /key/sign").count(), 2);
    }
}

#[test]
fn the_whole_message_is_sent() {
    let server = start(Algorithm::Ed25519);
    let signer = signs(&server.url(), None, &mut person());
    let heard = server.heard();
    let body = String::from_utf8(heard[1].body.clone()).unwrap();
    assert!(body.contains("eyJzaWduZWQiOnsiX3R5cGUiOiJ0aW1lc3RhbXAi"), "{body}");
    let longest = vec![7; MAX_REMOTE_MESSAGE_BYTES];
    signer.public_key().verify(&longest, &signer.sign(&longest).unwrap()).unwrap();
    let before = server.heard().len();
    let error = signer.sign(&vec![7; MAX_REMOTE_MESSAGE_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), code::LIMIT_EXCEEDED);
    assert_eq!(server.heard().len(), before);
}

#[test]
fn d29_a_signature_that_is_not_by_the_key_never_comes_out() {
    let server = start(Algorithm::EcdsaP256Sha256);
    let signer = signs(&server.url(), None, &mut person());
    for lie in [Behaviour::BadSignature, Behaviour::OtherMessage, Behaviour::OtherKey] {
        server.behave(lie.clone());
        assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_KEY_MISMATCH, "{lie:?}");
    }
    server.behave(Behaviour::Honest);
    signer.public_key().verify(MESSAGE, &signer.sign(MESSAGE).unwrap()).unwrap();
}

#[test]
fn another_key_is_refused_before_anything_is_signed() {
    let server = start(Algorithm::Ed25519);
    let expected = key(Algorithm::Ed25519, 2).public_key().clone();
    assert_eq!(refusal(&server.url(), Some(&expected), &mut person()), code::SIGNER_KEY_MISMATCH);
    assert!(server.heard().iter().all(|heard| heard.request.starts_with("GET ")));
}

#[test]
fn the_bearer_token_is_sent_and_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let server = start(Algorithm::Ed25519);
    server.behave(Behaviour::Wants(TOKEN.to_owned()));
    signs(&server.url(), None, &mut person_with_token(file.path()));
    let wanted = format!("Bearer {TOKEN}");
    assert!(server.heard().iter().all(|heard| heard.authorization.as_deref() == Some(&wanted)));

    assert_eq!(refusal(&server.url(), None, &mut person()), code::SIGNER_REFUSED);
    let twice = format!("{TOKEN}\n{TOKEN}\n");
    for (content, mode) in
        [("", 0o600), ("two words\n", 0o600), ("a=b", 0o600), (&twice, 0o600), (TOKEN, 0o644)]
    {
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        let before = server.heard().len();
        let error = place::open(&super::place(&server.url()), None, &mut person_with_token(file.path()));
        let error = error.err().unwrap();
        assert_eq!(error.code(), code::SIGNER_UNAVAILABLE, "{content:?}");
        assert!(!format!("{error} {error:?}").contains(TOKEN));
        assert_eq!(server.heard().len(), before, "nothing was sent");
    }
}

#[test]
fn no_and_not_there_are_told_apart() {
    let mut server = start(Algorithm::Ed25519);
    let signer = signs(&server.url(), None, &mut person());
    for (behaviour, code) in [
        (Behaviour::Refuses("only timestamps are signed here".to_owned()), code::SIGNER_REFUSED),
        (Behaviour::Wants(TOKEN.to_owned()), code::SIGNER_REFUSED),
        (Behaviour::Says(404, Vec::new()), code::KEY_NOT_FOUND),
        (Behaviour::Says(413, Vec::new()), code::LIMIT_EXCEEDED),
        (Behaviour::Says(503, b"{\"reason\":\"the module restarts\"}".to_vec()), code::SIGNER_UNAVAILABLE),
        (Behaviour::Says(200, b"ok".to_vec()), code::SIGNER_UNAVAILABLE),
        (Behaviour::Says(200, b"{}".to_vec()), code::SIGNER_UNAVAILABLE),
        (Behaviour::Says(200, b"{\"signature\":\"?\"}".to_vec()), code::SIGNER_UNAVAILABLE),
        (Behaviour::Says(200, b"{\"signature\":\"\"}".to_vec()), code::SIGNER_KEY_MISMATCH),
        (Behaviour::Says(200, vec![b' '; 17 * 1024]), code::SIGNER_UNAVAILABLE),
        (Behaviour::HangsUp, code::SIGNER_UNAVAILABLE),
    ] {
        server.behave(behaviour.clone());
        assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code, "{behaviour:?}");
    }
    server.behave(Behaviour::Refuses("only timestamps are signed here".to_owned()));
    assert!(signer.sign(MESSAGE).unwrap_err().to_string().contains("only timestamps"));
    server.behave(Behaviour::Honest);
    signer.sign(MESSAGE).unwrap();
    server.stop();
    assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_UNAVAILABLE);
}

#[test]
fn a_redirect_is_not_followed_and_the_token_stays_here() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), TOKEN).unwrap();
    let elsewhere = start(Algorithm::Ed25519);
    let server = start(Algorithm::Ed25519);
    let signer = signs(&server.url(), None, &mut person_with_token(file.path()));
    server.behave(Behaviour::Redirects(format!("{}sign", elsewhere.url())));
    assert_eq!(signer.sign(MESSAGE).unwrap_err().code(), code::SIGNER_UNAVAILABLE);
    assert!(elsewhere.heard().is_empty());
}

#[test]
fn each_signer_is_sent_its_own_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (first, second) = (start(Algorithm::Ed25519), start(Algorithm::Ed25519));
    let origin = second.url().replace("key/", "");
    let lines = format!("{} one\n{origin} broad\n\n{} two\n", first.url(), second.url());
    fs::write(file.path(), lines).unwrap();
    for (server, token) in [(&first, "one"), (&second, "two")] {
        server.behave(Behaviour::Wants(token.to_owned()));
        signs(&server.url(), None, &mut person_with_token(file.path()));
    }

    // A signer that no line is for is sent nothing, or what is for all.
    let third = start(Algorithm::Ed25519);
    signs(&third.url(), None, &mut person_with_token(file.path()));
    assert!(third.heard().iter().all(|heard| heard.authorization.is_none()));
    fs::write(file.path(), format!("{} one\nall\n", first.url())).unwrap();
    third.behave(Behaviour::Wants("all".to_owned()));
    signs(&third.url(), None, &mut person_with_token(file.path()));
}
