//! L03: a witness signs one line of descent, whatever it is asked.

use std::path::Path;

use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::witness::Rate;
use countersign_log::{LogKey, LogList, Response, Sequencer, Witness};
use countersign_testkit::vectors;
use countersign_tlog::checkpoint::{self, origin_hash};
use countersign_tlog::merkle::Hash;
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{Checkpoint, SignedCheckpoint, cosignature};

use crate::support::{
    Asked as _, ORIGIN, WITNESS, entries, log_of, log_vkey, now, quick, scratch, secret, witness,
};

/// A log whose trees the requests are about.
pub(crate) struct Asker {
    log: Sequencer,
}

impl Asker {
    pub(crate) fn new(root: &Path) -> Self {
        Self { log: log_of(root, 20) }
    }

    /// The honest checkpoint of a size.
    pub(crate) fn at(&self, size: u64) -> SignedCheckpoint {
        let root = crate::reference::mth(&entries(0, size));
        signed(ORIGIN, size, root, &secret(1))
    }

    pub(crate) fn request(&self, old: u64, new: u64) -> Vec<u8> {
        body(old, self.log.consistency(old, new).expect("a proof"), self.at(new))
    }
}

pub(crate) fn signed(origin: &str, size: u64, root: Hash, key: &SecretKey) -> SignedCheckpoint {
    let text = format!("{origin}\n{size}\n{}\n", base64(root.as_bytes()));
    let checkpoint = Checkpoint::parse(&text).expect("a checkpoint");
    let signature = checkpoint::sign(&checkpoint, key, now()).expect("a signature");
    SignedCheckpoint::new(checkpoint, vec![signature]).expect("a note")
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() { ALPHABET[digit].into() } else { '=' });
        }
    }
    text
}

pub(crate) fn body(old: u64, proof: Vec<Hash>, signed: SignedCheckpoint) -> Vec<u8> {
    AddCheckpoint::new(old, proof, signed).expect("a request").encode()
}

pub(crate) fn text(response: &Response) -> (u16, String) {
    (response.status, String::from_utf8(response.body.clone()).expect("text"))
}

pub(crate) fn latest_size(witness: &Witness) -> Option<u64> {
    let latest = witness.latest(&origin_hash(ORIGIN)).expect("readable");
    latest.map(|bytes| SignedCheckpoint::parse(&bytes).expect("a checkpoint").checkpoint().size())
}

#[test]
fn an_honest_log_is_cosigned_and_shown_to_monitors() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let witness = witness(quick(temp.path()), temp.path());
    assert_eq!(latest_size(&witness), None);
    for (old, new) in [(0, 0), (0, 3), (3, 3), (3, 8), (8, 20)] {
        let response = witness.add_checkpoint(&asker.request(old, new), now());
        let (status, lines) = text(&response);
        assert_eq!(status, 200, "{lines}");
        let signature = countersign_tlog::NoteSignature::parse(lines.strip_suffix('\n').unwrap()).unwrap();
        let time =
            cosignature::verify(&signature, &witness.verifiers()[0], asker.at(new).checkpoint()).unwrap();
        assert_eq!(time, now());
    }
    let latest = witness.latest(&origin_hash(ORIGIN)).unwrap().unwrap();
    SignedCheckpoint::open(&latest, ORIGIN, &[log_vkey()]).expect("with the log's signature");
    let latest = SignedCheckpoint::open(&latest, ORIGIN, witness.verifiers()).expect("and the witness's");
    assert_eq!(latest.checkpoint(), asker.at(20).checkpoint());
    assert!(witness.latest(&origin_hash("other")).unwrap().is_none());
}

#[test]
fn l03_a_to_f_each_refusal_has_its_status() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let witness = witness(quick(temp.path()), temp.path());
    assert_eq!(witness.add_checkpoint(&asker.request(0, 8), now()).status, 200);
    let proof = |old, new| asker.log.consistency(old, new).unwrap();
    let good = asker.at(20);
    let other_root = crate::reference::mth(&entries(100, 120));
    let surplus = [proof(8, 20), vec![other_root]].concat();
    let cases = [
        (
            "(a) unknown origin",
            404,
            body(8, proof(8, 20), signed("other", 20, *good.checkpoint().root(), &secret(1))),
        ),
        (
            "(b) unknown key",
            403,
            body(8, proof(8, 20), signed(ORIGIN, 20, *good.checkpoint().root(), &secret(9))),
        ),
        ("(b) broken signature", 403, {
            let broken = String::from_utf8(asker.request(8, 20)).unwrap();
            broken.replacen("\n20\n", "\n19\n", 1).into_bytes()
        }),
        ("(c) old above size", 400, body(9, vec![], asker.at(8))),
        ("(d) stale old", 409, asker.request(3, 20)),
        ("(d) old from the future", 409, asker.request(12, 20)),
        ("(e) bad proof", 422, body(8, proof(7, 20), good.clone())),
        ("(e) surplus proof", 422, body(8, surplus, good.clone())),
        ("(e) no proof", 422, body(8, vec![], good)),
        ("(e) other tree", 422, body(8, proof(8, 20), signed(ORIGIN, 20, other_root, &secret(1)))),
        ("(f) same size, other root", 422, body(8, vec![], signed(ORIGIN, 8, other_root, &secret(1)))),
        ("(f) surplus at the same size", 422, body(8, vec![other_root], asker.at(8))),
        ("no request", 400, b"old 8\n".to_vec()),
    ];
    let before = witness.latest(&origin_hash(ORIGIN)).unwrap();
    for (case, status, request) in cases {
        let response = witness.add_checkpoint(&request, now());
        assert_eq!(response.status, status, "{case}: {}", text(&response).1);
        if status == 409 {
            assert_eq!(
                (response.content_type, text(&response).1.as_str()),
                ("text/x.tlog.size", "8\n"),
                "{case}"
            );
        }
        assert_eq!(witness.latest(&origin_hash(ORIGIN)).unwrap(), before, "{case}");
    }
    assert_eq!(
        witness.add_checkpoint(&asker.request(8, 20), now()).status,
        200,
        "the honest request right after"
    );
}

#[test]
fn l03_e_from_size_zero_nothing_is_to_be_proven() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let witness = witness(quick(temp.path()), temp.path());
    let hash = *asker.at(3).checkpoint().root();
    assert_eq!(witness.add_checkpoint(&body(0, vec![hash], asker.at(3)), now()).status, 422);
    let empty = signed(ORIGIN, 0, hash, &secret(1));
    assert_eq!(witness.add_checkpoint(&body(0, vec![], empty), now()).status, 422);
    assert_eq!(latest_size(&witness), None);
}

#[test]
fn two_keys_of_a_witness_give_two_cosignatures() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let post_quantum = SecretKey::from_seed(Algorithm::MlDsa44, &[3; 32]).unwrap();
    let logs = LogList::new([log_vkey()]);
    let keys: Vec<Box<dyn countersign_crypto::Signer>> = vec![Box::new(secret(2)), Box::new(post_quantum)];
    let witness = Witness::open(&temp.path().join("witness"), WITNESS, keys, logs).unwrap();
    for (old, new) in [(0, 8), (8, 20)] {
        let response = witness.add_checkpoint(&asker.request(old, new), now());
        assert_eq!(response.status, 200);
        let lines = text(&response).1;
        for (line, key) in lines.lines().zip(witness.verifiers()) {
            let signature = countersign_tlog::NoteSignature::parse(line).unwrap();
            cosignature::verify(&signature, key, asker.at(new).checkpoint()).unwrap();
        }
        assert_eq!(lines.lines().count(), 2);
    }
}

/// A log signs as often as it likes; what is kept of it is one signature a key.
#[test]
fn a_log_cannot_swell_what_is_kept_of_it() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let witness = witness(quick(temp.path()), temp.path());
    let once = asker.at(8);
    let stranger = checkpoint::sign(once.checkpoint(), &secret(9), now()).unwrap();
    let crowded = once.with_signatures(&[stranger]).unwrap();
    assert_eq!(witness.add_checkpoint(&body(0, vec![], crowded), now()).status, 200);
    let latest = witness.latest(&origin_hash(ORIGIN)).unwrap().unwrap();
    let latest = SignedCheckpoint::parse(&latest).unwrap();
    assert_eq!(latest.note().signatures().len(), 2, "the log's and the witness's");
    assert_eq!(latest.note().signatures()[0], once.note().signatures()[0]);
}

#[test]
fn a_log_that_asks_too_often_waits_and_repetitions_do_not_hold_it_up() {
    let temp = scratch();
    let asker = Asker::new(temp.path());
    let logs = LogList::new([log_vkey()]);
    let state = temp.path().join("witness");
    let witness = Witness::open_on(quick(temp.path()), &state, WITNESS, vec![Box::new(secret(2))], logs)
        .unwrap()
        .with_rate(Rate::per_second(1));
    assert_eq!(witness.add_checkpoint(&asker.request(0, 1), now()).status, 200);
    // Ten at once, of each kind.
    let repeat = asker.request(1, 1);
    let statuses: Vec<u16> = (0..11).map(|_| witness.add_checkpoint(&repeat, now()).status).collect();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429]].concat());
    assert_eq!(witness.add_checkpoint(&asker.request(0, 2), now()).status, 409, "a refusal costs nothing");
    for size in 1..10 {
        assert_eq!(witness.add_checkpoint(&asker.request(size, size + 1), now()).status, 200, "{size}");
    }
    let refused = witness.add_checkpoint(&asker.request(10, 11), now());
    assert_eq!((refused.status, refused.retry_after), (429, Some(1)));
    let later = Timestamp::from_unix(now().as_unix() + 1).unwrap();
    assert_eq!(witness.add_checkpoint(&asker.request(10, 11), later).status, 200);
}

/// `witness/add-checkpoint.json`: requests in order with the status of another witness.
#[test]
fn the_public_requests_get_the_public_answers() {
    let Some(dir) = vectors::dir("tlog/witness") else { return };
    let json = std::fs::read(dir.join("add-checkpoint.json")).unwrap();
    let json = countersign_base::json::parse(&json).unwrap();
    let field = |name: &str| json.get(name).and_then(|value| value.as_str()).unwrap();
    let temp = scratch();
    let seed: Sha256Digest = field("witness_private_key_seed_hex_published_test_key").parse().unwrap();
    let key = SecretKey::from_seed(Algorithm::Ed25519, seed.as_bytes()).unwrap();
    let logs = LogList::parse(field("log_vkey").as_bytes()).unwrap();
    let witness = Witness::open(temp.path(), field("witness_name"), vec![Box::new(key)], logs).unwrap();
    for step in json.get("steps").unwrap().as_array().unwrap() {
        let number = step.get("step").and_then(|value| value.as_integer()).unwrap();
        let request = step.get("request_body").and_then(|value| value.as_str()).unwrap();
        let mut status = step.get("status").and_then(|value| value.as_integer()).unwrap();
        if number == 3 {
            // The vector's own caution: an unknown origin is 404 in the specification as it is now.
            status = 404;
        }
        let response =
            witness.add_checkpoint(request.as_bytes(), Timestamp::from_unix(1_700_000_000).unwrap());
        assert_eq!(i64::from(response.status), status, "step {number}: {}", text(&response).1);
    }
}

#[test]
fn a_log_key_of_another_name_or_kind_is_refused_at_opening() {
    assert!(LogKey::new("with space", Box::new(secret(1))).is_err());
    let p256 = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[5; 32]).unwrap();
    assert!(LogKey::new(ORIGIN, Box::new(p256)).is_err());
}
