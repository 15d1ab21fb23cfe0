//! Cosigning: what is published, and what stops it.

use std::fs;
use std::sync::{Arc, Mutex};

use countersign_base::code::{self, Code, Explain as _};
use countersign_log::cosign::read_response;
use countersign_log::{CosignError, Cosigner, LogList};
use countersign_tlog::NoteSignature;
use countersign_tlog::policy::Policy;
use countersign_tlog::witness::AddCheckpoint;

use crate::support::{
    WITNESS, cosigners, entries, entry, log_of, log_vkey, now, open, policy, quick, scratch, secret, witness,
};

/// The old sizes of the requests so far.
type Asked = Arc<Mutex<Vec<u64>>>;

/// A witness that answers as it is told, and counts the requests.
struct Scripted {
    name: String,
    answers: Vec<Result<Vec<NoteSignature>, CosignError>>,
    asked: Asked,
}

impl Cosigner for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        self.asked.lock().expect("unpoisoned").push(request.old());
        self.answers.remove(0)
    }
}

fn scripted(answers: Vec<Result<Vec<NoteSignature>, CosignError>>) -> (Vec<Box<dyn Cosigner>>, Asked) {
    let asked = Asked::default();
    let scripted = Scripted { name: WITNESS.to_owned(), answers, asked: Arc::clone(&asked) };
    (vec![Box::new(scripted)], asked)
}

#[test]
fn a_published_checkpoint_meets_the_policy_and_can_be_renewed() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    assert!(log.published().unwrap().is_none());
    let witness = witness(quick(root), root);
    for size in [5, 5, 9] {
        log.append(&entries(5, size), now()).unwrap();
        let bytes = log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
        assert_eq!(fs::read(root.join("log/checkpoint")).unwrap(), bytes);
        let verified = policy().check_checkpoint(&bytes, now()).unwrap();
        assert_eq!(verified.checkpoint().size(), size);
        assert_eq!(log.published().unwrap().unwrap().encode(), bytes);
    }
}

#[test]
fn a_witness_that_fails_stops_publication_and_is_named() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    let witness = witness(quick(root), root);
    let before = log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
    log.append(&[entry(5)], now()).unwrap();
    let unavailable = || CosignError::Unavailable("no route".to_owned());
    let cases: Vec<(CosignError, Code)> = vec![
        (unavailable(), code::WITNESS_UNAVAILABLE),
        (CosignError::LogUnknown, code::WITNESS_LOG_UNKNOWN),
        (CosignError::Inconsistent("no".to_owned()), code::WITNESS_INCONSISTENT),
    ];
    for (answer, expected) in cases {
        let (mut cosigners, _) = scripted(vec![Err(answer)]);
        let error = log.publish(&mut cosigners, &policy(), now()).unwrap_err();
        assert_eq!(error.code(), expected);
        assert!(error.to_string().contains(WITNESS), "{error}");
        assert_eq!(fs::read(root.join("log/checkpoint")).unwrap(), before);
    }
    let error = log.publish(&mut [], &policy(), now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_QUORUM_NOT_MET, "nobody was asked");
    log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
}

#[test]
fn a_conflict_is_answered_once_with_the_witness_size() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    let conflict = |size| Err(CosignError::Conflict { size });
    let (mut cosigners, asked) = scripted(vec![conflict(3), conflict(4)]);
    let error = log.publish(&mut cosigners, &policy(), now()).unwrap_err();
    assert_eq!(error.code(), code::WITNESS_CONFLICT);
    assert_eq!(*asked.lock().unwrap(), [0, 3]);
    let (mut cosigners, asked) = scripted(vec![conflict(6)]);
    let error = log.publish(&mut cosigners, &policy(), now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_STORAGE_ROLLBACK, "it has seen more than there is");
    assert_eq!(*asked.lock().unwrap(), [0]);
}

#[test]
fn signatures_that_are_not_the_witness_own_are_left_out() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    let checkpoint = log.signed().checkpoint().clone();
    let sign = |name: &str, number| {
        countersign_tlog::cosignature::cosign(&checkpoint, name, &secret(number), now()).unwrap()
    };
    let good = sign(WITNESS, 2);
    let key = countersign_tlog::VerifierKey::for_witness(WITNESS, secret(2).public_key()).unwrap();
    let mut broken = good.bytes().to_vec();
    broken[20] ^= 1;
    let broken = NoteSignature::new(&key, broken);
    // A broken signature under a known key would make readers refuse the whole note.
    let (mut cosigners, _) = scripted(vec![Ok(vec![broken.clone(), sign("other", 3), good.clone()])]);
    let bytes = log.publish(&mut cosigners, &policy(), now()).unwrap();
    let note = countersign_tlog::SignedCheckpoint::parse(&bytes).unwrap();
    assert_eq!(note.note().signatures()[1..], [good]);
    for bad in [vec![broken], vec![sign("other", 3)], vec![sign(WITNESS, 3)]] {
        let (mut cosigners, _) = scripted(vec![Ok(bad)]);
        let error = log.publish(&mut cosigners, &policy(), now()).unwrap_err();
        assert_eq!(error.code(), code::LOG_COSIGNATURE_INVALID);
    }
}

#[test]
fn a_policy_without_witnesses_publishes_nothing() {
    let temp = scratch();
    let mut log = log_of(temp.path(), 5);
    let none = Policy::parse(format!("log {}\nquorum none\n", log_vkey()).as_bytes()).unwrap();
    let error = log.publish(&mut [], &none, now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_POLICY_INVALID);
    assert!(!temp.path().join("log/checkpoint").exists());
}

#[test]
fn answers_are_read_as_the_protocol_says() {
    let text = Some("text/plain");
    assert_eq!(read_response(404, text, b"unknown\n"), Err(CosignError::LogUnknown));
    assert_eq!(read_response(403, text, b"\n"), Err(CosignError::LogUnknown));
    assert_eq!(
        read_response(409, Some("text/x.tlog.size"), b"12\n"),
        Err(CosignError::Conflict { size: 12 })
    );
    assert!(matches!(read_response(422, text, b"x\n"), Err(CosignError::Inconsistent(_))));
    for (status, kind, body) in [
        (409, "text/plain", "12\n"),
        (409, "text/x.tlog.size", "012\n"),
        (409, "text/x.tlog.size", "12"),
        (200, "text/plain", "not a signature\n"),
        (200, "text/plain", ""),
        (500, "text/plain", "x"),
        (302, "text/plain", ""),
    ] {
        let error = read_response(status, Some(kind), body.as_bytes()).unwrap_err();
        assert!(matches!(error, CosignError::Unavailable(_)), "{status} {body:?}: {error}");
    }
}

#[test]
fn a_log_that_the_witness_does_not_know_is_told_so() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    let witness = witness(quick(root), root);
    witness.replace_logs(LogList::default());
    let error = log.publish(&mut cosigners(&witness), &policy(), now()).unwrap_err();
    assert_eq!(error.code(), code::WITNESS_LOG_UNKNOWN);
    witness.replace_logs(LogList::new([log_vkey()]));
    log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
}
