//! Rekor v2 as its clients meet it: a record in, a proof out that verifies offline.

use std::fs;
use std::str::FromStr as _;
use std::thread;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::{Algorithm, SecretKey, ecdsa_prehash};
use countersign_tlog::merkle::{Hash, leaf_hash, verify_inclusion};
use countersign_tlog::{SignedCheckpoint, VerifierKey};
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::log::{Answer, Live};

const PATH: &str = "/api/v2/log/entries";

/// A signed record of the blob with this number.
pub(crate) fn record(number: u64) -> String {
    let key = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[9; 32]).unwrap();
    let blob = number.to_be_bytes();
    let digest = ecdsa_prehash(Algorithm::EcdsaP256Sha256, &blob).unwrap();
    let verifier = json!({
        "publicKey": { "rawBytes": STANDARD.encode(key.public_key().to_spki_der()) },
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
    });
    let signature = json!({ "content": STANDARD.encode(key.sign(&blob).unwrap()), "verifier": verifier });
    json!({ "hashedRekordRequestV002": { "digest": STANDARD.encode(digest), "signature": signature } })
        .to_string()
}

/// Verifies an answer with nothing but the log's key; its index and the size of its tree.
#[track_caller]
fn verified(answer: &Answer, key: &VerifierKey) -> (u64, u64) {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let entry = answer.json();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let hash = |value: &Value| countersign_base::Sha256Digest(bytes(value).try_into().unwrap());
    let proof = &entry["inclusionProof"];
    let note = proof["checkpoint"]["envelope"].as_str().unwrap();
    let signed = SignedCheckpoint::open(note.as_bytes(), key.name(), std::slice::from_ref(key)).unwrap();
    let checkpoint = signed.checkpoint();
    let path: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
    let index: u64 = entry["logIndex"].as_str().unwrap().parse().unwrap();
    let leaf = leaf_hash(&bytes(&entry["canonicalizedBody"]));
    verify_inclusion(index, checkpoint.size(), &leaf, checkpoint.root(), &path).unwrap();
    assert_eq!(proof["treeSize"].as_str(), Some(checkpoint.size().to_string().as_str()));
    assert_eq!(hash(&proof["rootHash"]), *checkpoint.root());
    (index, checkpoint.size())
}

#[test]
fn each_answer_is_a_proof() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "rekor"]);
    let key = VerifierKey::from_str(&log.vkey).unwrap();
    // Side by side, beyond the width of a tile.
    let mut indices: Vec<u64> = thread::scope(|scope| {
        let post = |thread: u64| {
            let (log, key) = (&log, &key);
            move || -> Vec<u64> {
                let mut http = log.connect();
                let numbers = thread * 100..thread * 100 + 40;
                numbers.map(|number| verified(&http.post(PATH, record(number).as_bytes()), key).0).collect()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(post(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    indices.sort_unstable();
    assert_eq!(indices, (0..320).collect::<Vec<u64>>());
    // Below the prefix that they write to, clients also read.
    let mut http = log.connect();
    assert_eq!(http.get("/api/v2/checkpoint").body, http.get("/checkpoint").body);
    assert_eq!(http.get("/api/v2/tile/0/000").body, http.get("/tile/0/000").body);
    assert!(log.terminate().success());
    lab.run(&["log", "fsck", lab.path("log").to_str().unwrap(), "--vkey", &key.to_string()]).ok();
}

#[test]
fn an_answer_has_the_word_of_the_witness_and_waits_for_no_poll() {
    let lab = Lab::new();
    let logs = lab.path("logs");
    fs::write(&logs, "").unwrap();
    let dir = lab.path("witness");
    let serve = ["witness", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let named = ["--name", "w.example/1", "--unencrypted", "--logs", logs.to_str().unwrap()];
    let witness = Live::start(&lab, &[&serve[..], &named].concat());
    let spec = format!("{} {}", witness.vkey, witness.url);
    let log = Live::log(&lab, "log", &["--admit", "rekor", "--witness", &spec]);
    fs::write(lab.path("logs.new"), format!("{}\n", log.vkey)).unwrap();
    fs::rename(lab.path("logs.new"), &logs).unwrap();
    let key = VerifierKey::from_str(&log.vkey).unwrap();
    let mut http = log.connect();
    // The witness reads its list once a second.
    verified(&http.post(PATH, record(0).as_bytes()), &key);
    let mut waits = Vec::new();
    for number in 1..=30 {
        let start = Instant::now();
        let answer = http.post(PATH, record(number).as_bytes());
        waits.push(start.elapsed());
        assert!(answer.text().contains("w.example/1"), "cosigned");
        assert_eq!(verified(&answer, &key), (number, number + 1));
    }
    waits.sort_unstable();
    println!("a record, witnessed: median {:?}, worst {:?}", waits[15], waits[29]);
    // Far below any interval at which something could be looked for, also without optimisation on a slow disk.
    assert!(waits[15].as_millis() < 500, "{:?}", waits[15]);
}
