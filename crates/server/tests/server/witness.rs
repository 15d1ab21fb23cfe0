//! The tlog-witness protocol over the wire: our witness, our cosigner, and requests byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_client::{BaseUrl, HttpCosigner};
use countersign_crypto::{Algorithm, SecretKey, Signer};
use countersign_log::{CosignError, Cosigner, LogList, Witness};
use countersign_server::serve_witness;
use countersign_testkit::sim::log::{Named, SimLog};
use countersign_tlog::checkpoint::origin_hash;
use countersign_tlog::tile::TileSet;
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{SignedCheckpoint, VerifierKey, cosignature};

use crate::live::Live;

const ORIGIN: &str = "log.example/witnessed";
const NAME: &str = "witness.example/w1";

fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[byte; 32]).unwrap()
}

fn log(size: usize) -> SimLog {
    let entries = (0..size).map(|number| number.to_string().into_bytes()).collect();
    SimLog { origin: ORIGIN.to_owned(), entries }
}

/// A request to extend from `old` to `new` entries, signed by the key of that seed.
fn request(old: u64, new: u64, signed_by: u8) -> AddCheckpoint {
    let log = log(usize::try_from(new).unwrap());
    let secret = key(signed_by);
    let note = log.checkpoint(new, Named { name: ORIGIN, key: &secret }, &[], now());
    let tiles: BTreeMap<_, _> =
        log.tiles(new).into_iter().filter_map(|(path, bytes)| Some((path.parse().ok()?, bytes))).collect();
    let proof = match old {
        0 => Vec::new(),
        _ => TileSet::verified(new, &log.root(new), &tiles).unwrap().consistency_proof(old, new).unwrap(),
    };
    AddCheckpoint::new(old, proof, SignedCheckpoint::parse(note.as_bytes()).unwrap()).unwrap()
}

fn live(state: &std::path::Path) -> Live {
    let log_key: VerifierKey = Named { name: ORIGIN, key: &key(1) }.vkey(1).parse().unwrap();
    let signers: Vec<Box<dyn Signer>> = vec![Box::new(key(2))];
    let witness = Arc::new(Witness::open(state, NAME, signers, LogList::new([log_key])).unwrap());
    Live::start(move |listening, until| serve_witness(witness, Arc::new(now), listening, until))
}

#[test]
fn a_log_gets_cosignatures_one_after_the_other() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let base: BaseUrl = server.url.parse().unwrap();
    let mut cosigner = HttpCosigner::new(NAME, &base);
    let verifier: VerifierKey = Named { name: NAME, key: &key(2) }.vkey(4).parse().unwrap();
    for (old, new) in [(0, 3), (3, 3), (3, 300), (300, 301)] {
        let request = request(old, new, 1);
        let signatures = cosigner.cosign(&request).unwrap();
        assert_eq!(signatures.len(), 1);
        let checkpoint = request.signed().checkpoint();
        assert_eq!(cosignature::verify(&signatures[0], &verifier, checkpoint).unwrap(), now());
    }
    assert_eq!(cosigner.cosign(&request(3, 400, 1)), Err(CosignError::Conflict { size: 301 }));
    assert_eq!(cosigner.cosign(&request(301, 400, 9)), Err(CosignError::LogUnknown));
    let mut forked = log(400);
    forked.entries[5] = b"another".to_vec();
    let secret = key(1);
    let note = forked.checkpoint(400, Named { name: ORIGIN, key: &secret }, &[], now());
    let honest = request(301, 400, 1);
    let fork =
        AddCheckpoint::new(301, honest.proof().to_vec(), SignedCheckpoint::parse(note.as_bytes()).unwrap());
    assert!(matches!(cosigner.cosign(&fork.unwrap()), Err(CosignError::Inconsistent(_))));
    let hash = origin_hash(ORIGIN);
    let (head, body) = server.get(&format!("/{hash}/checkpoint"));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(SignedCheckpoint::parse(&body).unwrap().checkpoint().size(), 301);
    server.stop().unwrap();
    // After a restart it remembers.
    let server = live(state.path());
    let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
    assert_eq!(cosigner.cosign(&request(0, 400, 1)), Err(CosignError::Conflict { size: 301 }));
    server.stop().unwrap();
    assert!(matches!(cosigner.cosign(&request(301, 400, 1)), Err(CosignError::Unavailable(_))));
}

#[test]
fn requests_that_are_not_of_the_protocol() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let hash = origin_hash(ORIGIN);
    for (method, path, status) in [
        ("GET", "/add-checkpoint", "405"),
        ("PUT", "/add-checkpoint", "405"),
        ("POST", &format!("/{hash}/checkpoint"), "405"),
        ("GET", &format!("/{hash}/checkpoint"), "404"),
        ("GET", &format!("/{}/checkpoint", hash.to_string().to_uppercase()), "404"),
        ("GET", "/../../etc/passwd/checkpoint", "404"),
        ("GET", "/", "404"),
        ("POST", "/add-checkpoint", "400"),
    ] {
        let (head, _) = server.request(method, path, "content-length: 0\r\n");
        assert_eq!(head.split(' ').nth(1), Some(status), "{method} {path}");
    }
    let (head, _) = server.request("POST", "/add-checkpoint", "content-length: 99999999\r\n");
    assert_eq!(head.split(' ').nth(1), Some("413"), "{head}");
    let conflict = {
        let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
        cosigner.cosign(&request(7, 9, 1))
    };
    assert_eq!(conflict, Err(CosignError::Conflict { size: 0 }));
    server.stop().unwrap();
}
