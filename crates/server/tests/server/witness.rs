//! The tlog-witness protocol over the wire: our witness, our cosigner, and requests byte by byte.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_base::code::{self, Explain as _};
use countersign_client::{BaseUrl, HttpCosigner};
use countersign_crypto::{Algorithm, SecretKey, Signer};
use countersign_log::witness::Rate;
use countersign_log::{CosignError, Cosigner, LogList, Witness};
use countersign_server::{ServeError, WitnessService, serve_witness};
use countersign_store::{Disk, RealDisk};
use countersign_testkit::faulty_disk::{self, Fault, FaultyDisk, Then};
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

fn open(state: &std::path::Path) -> Witness {
    open_on(Arc::new(RealDisk), state)
}

fn open_on(disk: Arc<dyn Disk>, state: &std::path::Path) -> Witness {
    let log_key: VerifierKey = Named { name: ORIGIN, key: &key(1) }.vkey(1).parse().expect("a key");
    let signers: Vec<Box<dyn Signer>> = vec![Box::new(key(2))];
    Witness::open_on(disk, state, NAME, signers, LogList::new([log_key])).expect("a witness")
}

fn live(state: &std::path::Path) -> Live {
    let witness = open(state);
    serve(WitnessService::new(Arc::new(witness), Arc::new(now)))
}

fn serve(service: WitnessService) -> Live {
    Live::start(move |listening, until| serve_witness(service, listening, until))
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

/// The value of a line of `/metrics`.
fn metric(server: &Live, name: &str) -> f64 {
    let (head, body) = server.get("/metrics");
    assert!(head.starts_with("http/1.1 200") && head.contains("version=0.0.4"), "{head}");
    let text = String::from_utf8(body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn an_operator_sees_what_the_witness_does() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
    cosigner.cosign(&request(0, 3, 1)).unwrap();
    cosigner.cosign(&request(3, 5, 1)).unwrap();
    cosigner.cosign(&request(3, 5, 1)).unwrap_err();
    server.get("/no-such-thing");
    for (name, value) in [
        ("countersign_witness_requests_total{status=\"200\"}", 2.0),
        ("countersign_witness_requests_total{status=\"409\"}", 1.0),
        ("countersign_witness_requests_total{status=\"404\"}", 1.0),
        ("countersign_witness_requests_total{status=\"500\"}", 0.0),
        ("countersign_witness_cosigned_total", 2.0),
        ("countersign_witness_commit_seconds_count", 2.0),
        ("countersign_witness_commit_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("countersign_witness_logs_listed", 1.0),
        ("countersign_witness_logs_cosigned", 1.0),
        ("countersign_witness_failed", 0.0),
    ] {
        assert_eq!(metric(&server, name), value, "{name}");
    }
    assert!(metric(&server, "process_resident_memory_bytes") > 1e6);
    let (head, _) = server.request("POST", "/metrics", "content-length: 0\r\n");
    assert!(head.starts_with("http/1.1 405"), "{head}");
    server.stop().unwrap();
}

/// Labels are from fixed lists, whatever strangers ask for.
#[test]
fn d26_requests_do_not_make_series() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let series = || String::from_utf8(server.get("/metrics").1).unwrap().lines().count();
    let before = series();
    for number in 0..50 {
        server.get(&format!("/{number}?status={number}"));
        server.request(&format!("METHOD{number}"), "/add-checkpoint", "");
    }
    assert_eq!(series(), before);
    server.stop().unwrap();
}

/// One that says how long it is is refused unread, one that does not when it is too long.
#[test]
fn d26_an_oversize_body_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let head = |more: &str| format!("POST /add-checkpoint HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let mut stream = server.connect();
    stream.write_all(head("content-length: 999999999\r\n").as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");

    let mut stream = server.connect();
    stream.write_all(head("transfer-encoding: chunked\r\n").as_bytes()).unwrap();
    let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
    let sent = (0..1000).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 1000, "it takes 16 MiB");
    let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
    cosigner.cosign(&request(0, 3, 1)).unwrap();
    server.stop().unwrap();
}

#[test]
fn d26_who_announces_large_requests_and_sends_none_keeps_no_memory_from_others() {
    let state = tempfile::tempdir().unwrap();
    let server = live(state.path());
    let begin = |length: usize| {
        let mut stream = server.connect();
        write!(
            stream,
            "POST /add-checkpoint HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let idle: Vec<_> = (0..40).map(|_| begin(250_000)).collect();
    // The server has seen those before it sees this one.
    let mut large = begin(200_000);
    large.write_all(&[b'x'; 200_000]).unwrap();
    let mut answer = String::new();
    large.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "it is read, and no request: {answer}");
    drop(idle);
    server.stop().unwrap();
}

#[test]
fn d26_an_address_that_asks_too_often_waits() {
    let state = tempfile::tempdir().unwrap();
    let service = WitnessService::new(Arc::new(open(state.path())), Arc::new(now));
    let server = serve(service.with_address_rate(Rate::per_second(1)));
    // Ten at once; the clock of this witness stands still.
    for _ in 0..10 {
        assert!(server.get("/").0.starts_with("http/1.1 404"));
    }
    let (head, _) = server.get("/");
    assert!(head.starts_with("http/1.1 429") && head.contains("\r\nretry-after: 1\r\n"), "{head}");
    assert!(
        metric(&server, "countersign_witness_requests_total{status=\"429\"}") >= 1.0,
        "the operator is not stopped"
    );
    server.stop().unwrap();
}

/// After a failed sync the witness answers nobody, and the server says why it ends.
#[test]
fn l17_when_the_storage_fails_the_server_ends() {
    let folder = tempfile::tempdir_in(faulty_disk::scratch()).unwrap();
    let steps = {
        let root = folder.path().join("count");
        std::fs::create_dir(&root).unwrap();
        let disk = FaultyDisk::counting(&root);
        let witness = open_on(disk.clone(), &root.join("state"));
        assert_eq!(witness.answer(&request(0, 3, 1).encode(), now()).unwrap().status, 200);
        disk.steps()
    };
    let root = folder.path().join("fail");
    std::fs::create_dir(&root).unwrap();
    // The first step behind the first request: the write of the second one.
    let disk = FaultyDisk::failing(&root, steps, Fault::NoSpace, Then::GoesOn);
    let witness = open_on(disk, &root.join("state"));
    let server = serve(WitnessService::new(Arc::new(witness), Arc::new(now)));
    let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
    cosigner.cosign(&request(0, 3, 1)).unwrap();
    assert!(matches!(cosigner.cosign(&request(3, 5, 1)), Err(CosignError::Unavailable(_))));
    let error = server.ended().unwrap_err();
    assert!(matches!(error, ServeError::Witness(_)), "{error}");
    assert_eq!(error.code(), code::LOG_STORAGE_FAILED);
    // The next start finds what was cosigned.
    let server = live(&root.join("state"));
    let mut cosigner = HttpCosigner::new(NAME, &server.url.parse().unwrap());
    cosigner.cosign(&request(3, 5, 1)).unwrap();
    server.stop().unwrap();
}
