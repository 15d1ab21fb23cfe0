//! The witness protocol: requests, decisions, answers.

use countersign_crypto::sha256;
use countersign_tlog::merkle::{EMPTY_ROOT, Hash, root_of_leaves};
use countersign_tlog::tile::TileSet;
use countersign_tlog::witness::*;
use countersign_tlog::{Checkpoint, SignedCheckpoint, checkpoint};
use proptest::prelude::*;

use crate::support::{ORIGIN, code, cosign, ed25519, leaves, log_key, now, signed, text, tiles, vectors};

/// A witness of one log in memory: what `decide` leaves to its caller.
struct Memory {
    log: KnownLog,
    held: Option<Held>,
}

impl Memory {
    fn new(origin: &str, keys: Vec<countersign_tlog::VerifierKey>) -> Self {
        Self { log: KnownLog { origin: origin.to_owned(), keys }, held: None }
    }

    fn add(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let request = AddCheckpoint::parse(body)?;
        let known = request.signed().checkpoint().origin() == self.log.origin;
        let new = decide(&request, known.then_some(&self.log), self.held.as_ref())?;
        self.held = Some(Held { size: new.size(), root: *new.root() });
        Ok(())
    }
}

#[test]
fn add_checkpoint_vectors() {
    for (_, vector) in vectors("tlog/witness", "add-checkpoint.json") {
        let origin = text(&vector, "log_origin");
        let mut witness = Memory::new(origin, vec![text(&vector, "log_vkey").parse().unwrap()]);
        for step in vector["steps"].as_array().unwrap() {
            let body = text(step, "request_body").as_bytes();
            if let Ok(request) = AddCheckpoint::parse(body) {
                assert_eq!(request.encode(), body);
            }
            let result = witness.add(body);
            let status = result.as_ref().map_or_else(Refusal::status, |()| 200);
            // The source answers an unknown log with 403 (caution); the specification asks for 404.
            let known = text(step, "request_body").contains(&format!("\n{origin}\n"));
            let expect = if known { step["status"].as_u64().unwrap() } else { 404 };
            assert_eq!(u64::from(status), expect, "{}: {result:?}", step["step"]);
            if let (Some(body), Err(refusal)) = (step["response_body"].as_str(), &result) {
                assert_eq!((refusal.body().as_str(), refusal.content_type()), (body, SIZE_CONTENT_TYPE));
            }
        }
        let held = witness.held.unwrap();
        assert_eq!(Some(held.size), vector["final_state"]["size"].as_u64());
        assert_eq!(held.root.to_string(), text(&vector["final_state"], "root_hash_hex"));
    }
}

fn witness() -> Memory {
    Memory::new(ORIGIN, vec![log_key(ORIGIN, &ed25519("log"))])
}

fn root(size: u64) -> Hash {
    root_of_leaves(&leaves(size))
}

fn proof(old: u64, new: u64) -> Vec<Hash> {
    let (tiles, root) = tiles(new);
    TileSet::verified(new, &root, &tiles).unwrap().consistency_proof(old, new).unwrap()
}

/// A request from `old` to `new` that an honest log would send.
fn request(old: u64, new: u64) -> AddCheckpoint {
    let proof = if old == 0 { Vec::new() } else { proof(old, new) };
    AddCheckpoint::new(old, proof, signed(new, root(new), &[])).unwrap()
}

fn status(result: &Result<(), Refusal>) -> u16 {
    result.as_ref().map_or_else(Refusal::status, |()| 200)
}

#[test]
fn an_honest_log_is_followed() {
    let mut witness = witness();
    for (old, new) in [(0, 0), (0, 3), (3, 3), (3, 4), (4, 300), (300, 300)] {
        witness.add(&request(old, new).encode()).unwrap_or_else(|error| panic!("{old} to {new}: {error}"));
        assert_eq!(witness.held, Some(Held { size: new, root: root(new) }));
    }
}

#[test]
fn each_refusal_has_its_status_and_changes_nothing() {
    // Attack L03, in the order of the specification.
    let mut witness = witness();
    witness.add(&request(0, 5).encode()).unwrap();
    let held = witness.held;
    let strange = |origin: &str, word: &str, size: u64| {
        let body = Checkpoint::new(origin, size, root(size)).unwrap();
        let line = checkpoint::sign(&body, &ed25519(word), now()).unwrap();
        SignedCheckpoint::new(body, vec![line]).unwrap()
    };
    let new = |old, proof, signed| AddCheckpoint::new(old, proof, signed).unwrap().encode();
    let fork = Checkpoint::new(ORIGIN, 5, sha256(b"fork")).unwrap();
    let fork =
        SignedCheckpoint::new(fork.clone(), vec![checkpoint::sign(&fork, &ed25519("log"), now()).unwrap()]);
    let good = String::from_utf8(request(5, 8).encode()).unwrap();
    for (body, expect, name) in [
        (good.replacen("old 5", "old 05", 1).into_bytes(), 400, "log-proof-malformed"),
        (new(5, proof(5, 8), strange("log.example/other", "log", 8)), 404, "witness-log-unknown"),
        (new(5, proof(5, 8), strange(ORIGIN, "stranger", 8)), 403, "log-key-unknown"),
        (good.replacen("\n8\n", "\n9\n", 1).into_bytes(), 403, "log-signature-invalid"),
        // No signature that could be read is no signature of a trusted key either.
        (good[..good.len() - 2].to_owned().into_bytes(), 400, "log-proof-malformed"),
        ((good[..good.len() - 3].to_owned() + "\n").into_bytes(), 403, "log-proof-malformed"),
        ((good[..good.find('\u{2014}').unwrap()].to_owned()).into_bytes(), 403, "log-proof-malformed"),
        (new(9, Vec::new(), signed(8, root(8), &[])), 400, "witness-conflict"),
        (request(4, 8).encode(), 409, "witness-conflict"),
        (request(0, 5).encode(), 409, "witness-conflict"),
        (new(5, Vec::new(), signed(8, root(8), &[])), 422, "witness-inconsistent"),
        (new(5, [proof(5, 8), proof(5, 8)].concat(), signed(8, root(8), &[])), 422, "witness-inconsistent"),
        (new(5, proof(4, 8), signed(8, root(8), &[])), 422, "witness-inconsistent"),
        (new(5, proof(5, 8), signed(8, root(9), &[])), 422, "witness-inconsistent"),
        (new(5, Vec::new(), fork.unwrap()), 422, "witness-inconsistent"),
        (new(5, proof(5, 8), signed(5, root(5), &[])), 422, "witness-inconsistent"),
    ] {
        let result = witness.add(&body);
        assert_eq!((status(&result), code(&result)), (expect, name), "{}", String::from_utf8_lossy(&body));
        assert_eq!(witness.held, held);
        let refusal = result.unwrap_err();
        let is_size = refusal.content_type() == SIZE_CONTENT_TYPE;
        assert_eq!(is_size, expect == 409);
        assert!(refusal.body().ends_with('\n') && refusal.body().lines().count() == 1);
        assert!(!is_size || refusal.body() == "5\n");
    }
    witness.add(good.as_bytes()).unwrap();
}

#[test]
fn from_nothing_there_is_nothing_to_prove() {
    let mut witness = witness();
    let surplus = AddCheckpoint::new(0, proof(5, 8), signed(8, root(8), &[])).unwrap();
    assert_eq!(status(&witness.add(&surplus.encode())), 422);
    // An empty tree with another root can only be written by hand.
    let body =
        Checkpoint::parse(&signed(8, root(8), &[]).checkpoint().encode().replace("\n8\n", "\n0\n")).unwrap();
    let line = checkpoint::sign(&body, &ed25519("log"), now()).unwrap();
    let wrong = SignedCheckpoint::new(body, vec![line]).unwrap();
    assert_eq!(status(&witness.add(&AddCheckpoint::new(0, Vec::new(), wrong).unwrap().encode())), 422);
    assert_eq!(witness.held, None);
    // Having cosigned the empty tree is as good as having cosigned nothing.
    witness.add(&AddCheckpoint::new(0, Vec::new(), signed(0, EMPTY_ROOT, &[])).unwrap().encode()).unwrap();
    witness.add(&request(0, 8).encode()).unwrap();
}

#[test]
fn requests_that_are_not_canonical_are_malformed() {
    let good = String::from_utf8(request(5, 8).encode()).unwrap();
    let line = good.lines().nth(1).unwrap();
    let parse = |text: &str| code(&AddCheckpoint::parse(text.as_bytes()));
    assert_eq!(parse(&good), "ok");
    for (from, to) in [
        ("old 5", "old +5"),
        ("old 5", "old  5"),
        ("old 5", "old -5"),
        ("old 5", "old 9223372036854775808"),
        ("old 5", "Old 5"),
        ("old 5\n", ""),
        (line, &line[..43]),
        (line, &format!("{line} ")),
        ("\n\n", "\n"),
        ("\n8\n", "\n08\n"),
    ] {
        assert_eq!(parse(&good.replacen(from, to, 1)), "log-proof-malformed", "{from:?} to {to:?}");
    }
    assert_eq!(parse(&good.replace('\n', "\r\n")), "log-proof-malformed");
    assert_eq!(parse(""), "log-proof-malformed");
    let many = good.replacen(line, &[line; MAX_PROOF_LINES + 1].join("\n"), 1);
    assert_eq!(parse(&many), "limit-exceeded");
    assert_eq!(parse(&"x".repeat(MAX_REQUEST_BYTES + 1)), "limit-exceeded");
    let most = AddCheckpoint::new(1, vec![EMPTY_ROOT; MAX_PROOF_LINES + 1], signed(8, root(8), &[]));
    assert_eq!(code(&most), "limit-exceeded");
}

#[test]
fn answers_are_read_by_status() {
    let body = Checkpoint::new(ORIGIN, 8, root(8)).unwrap();
    let lines = [cosign(&body, "w1", now()), cosign(&body, "w2", now())];
    let parse = |status, content_type, body: &[u8]| Answer::parse(status, content_type, body);
    let text = encode_cosignatures(&lines);
    assert_eq!(parse(200, None, &text), Ok(Answer::Cosigned(lines.to_vec())));
    for bad in [&text[..text.len() - 1], b"", b"\n", b"hello\n", &[&text[..], b"x\n"].concat()] {
        assert_eq!(code(&parse(200, None, bad)), "witness-unavailable");
    }
    let size = Some("text/x.tlog.size");
    assert_eq!(parse(409, size, b"20852014\n"), Ok(Answer::Conflict(20_852_014)));
    assert_eq!(parse(409, Some("Text/X.tlog.size; charset=utf-8"), b"0\n"), Ok(Answer::Conflict(0)));
    for bad in [&b"1"[..], b"01\n", b"-1\n", b"1\n\n", b"9223372036854775808\n", b""] {
        assert_eq!(code(&parse(409, size, bad)), "witness-unavailable");
    }
    let refused = |status, message: &str| Ok(Answer::Refused { status, message: message.to_owned() });
    assert_eq!(parse(409, Some("text/plain"), b"1\n"), refused(409, "1"));
    assert_eq!(parse(403, None, b"bad\x1b[31m key\nmore"), refused(403, "bad\\u{1b}[31m key"));
    assert_eq!(code(&parse(200, None, &text.repeat(10_000))), "witness-unavailable");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_round_trip(old in 1u64..40, more in 0u64..40) {
        let request = request(old, old + more);
        prop_assert_eq!(AddCheckpoint::parse(&request.encode()), Ok(request));
    }

    #[test]
    fn one_flipped_bit_is_never_cosigned(bit in any::<usize>()) {
        let mut witness = witness();
        witness.add(&request(0, 5).encode()).unwrap();
        let mut body = request(5, 8).encode();
        let at = bit / 8 % body.len();
        body[at] ^= 1 << (bit % 8);
        prop_assert!(witness.add(&body).is_err());
    }
}
