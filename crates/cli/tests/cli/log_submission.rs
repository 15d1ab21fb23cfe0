//! L15: what strangers submit to a log.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::{Anchor, Code, code};
use countersign_testkit::sim::Sim;
use countersign_verify::Leaf;

use crate::lab::{Lab, first_release, now};
use crate::log::{Answer, Http, Live, command, published_size, wait_for_size};

/// A signed request, as clients of Rekor send it.
const RECORD: &str = include_str!("../../../attest/tests/data/p256.json");
/// The rule is 5 s for the 99th percentile.
const MAX_HONEST: Duration = Duration::from_secs(5);
/// Peak resident memory of an attacked process.
const MAX_MEMORY_KIB: u64 = 256 * 1024;

#[track_caller]
fn refused(answer: &Answer, status: u16, code: Code) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let text = answer.json();
    // Rekor's clients are told in the form of Rekor.
    let said = text["code"].as_str().or_else(|| text["message"].as_str()?.split(':').next());
    assert_eq!(said, Some(code.name()), "{text}");
}

/// A server that admits metadata, and the repository whose first versions are logged there.
fn with_metadata(lab: &Lab) -> (Live, Sim) {
    let sim = first_release();
    let log = Live::log(lab, "log", &["--admit", "metadata"]);
    let mut http = log.connect();
    for (index, role) in ["root", "targets", "node", "snapshot"].iter().enumerate() {
        let answer = http.post(&format!("/metadata/{role}"), &sim.envelope(role));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["index"].as_u64(), Some(index as u64));
    }
    (log, sim)
}

/// A further version of the product's role, with its signature.
fn next_node(sim: &mut Sim, version: &str) -> Vec<u8> {
    sim.add_release(version, "node", version.as_bytes());
    let next = sim.version("node") + 1;
    sim.set_version("node", next);
    sim.envelope("node")
}

#[test]
fn l15_sizes_at_an_open_log() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let mut http = log.connect();
    assert_eq!(http.post("/add", &[7; 65_535]).index(), 0, "the largest entry passes");
    refused(&http.post("/add", b""), 400, code::LOG_ENTRY_MALFORMED);
    for length in [65_536, 1_000_000] {
        let answer = log.connect().try_send("POST", "/add", "", &vec![7; length]);
        refused(&answer.unwrap(), 413, code::LOG_ENTRY_TOO_LARGE);
    }
    // Without a length said beforehand.
    let chunked = "transfer-encoding: chunked\r\n";
    let mut body = b"10000\r\n".to_vec();
    body.extend([7; 65_536]);
    body.extend(b"\r\n0\r\n\r\n");
    let answer = log.connect().send_chunked("/add", chunked, &body);
    refused(&answer, 413, code::LOG_ENTRY_TOO_LARGE);
    assert_eq!(http.post("/add", b"honest").index(), 1, "the size is as it was");
    wait_for_size(&mut http, 2);
    let file = lab.path("large");
    fs::write(&file, [7; 65_536]).unwrap();
    let add = ["log", "add", &log.url, file.to_str().unwrap(), "--vkey", &log.vkey];
    lab.run(&add).refused(code::LOG_ENTRY_TOO_LARGE);
    fs::write(&file, b"").unwrap();
    lab.run(&add).refused(code::LOG_ENTRY_MALFORMED);
}

#[test]
fn l15_metadata_of_nobody_in_particular() {
    let lab = Lab::new();
    let (log, mut sim) = with_metadata(&lab);
    let mut http = log.connect();
    let honest = next_node(&mut sim, "1.1.0");
    let leaf = sim.leaf("node", &honest);
    let stranger = {
        let mut other = Sim::prepared(now(), |sim| sim.add_key("stranger"));
        other.set_version("node", sim.version("node"));
        other.envelope_by("node", &["stranger"])
    };
    let too_large = vec![b' '; 9 * 1024 * 1024];
    for (path, body, status, code) in [
        ("/metadata/node", &b""[..], 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/node", b"not json", 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/node", b"{\"signed\":{},\"signatures\":[]}", 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/node", &leaf, 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/timestamp", &sim.envelope("timestamp"), 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/", &honest, 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/%zz", &honest, 400, code::LOG_ENTRY_MALFORMED),
        ("/metadata/node", &stranger, 403, code::LOG_ENTRY_UNAUTHORISED),
        ("/metadata/nobody", &honest, 403, code::LOG_ENTRY_UNAUTHORISED),
        ("/metadata/targets", &honest, 403, code::LOG_ENTRY_UNAUTHORISED),
        // The log computes its entries itself.
        ("/add", &leaf, 403, code::LOG_ENTRY_UNAUTHORISED),
        ("/api/v2/log/entries", RECORD.as_bytes(), 403, code::LOG_ENTRY_UNAUTHORISED),
        ("/metadata/node", &too_large, 413, code::LOG_ENTRY_TOO_LARGE),
    ] {
        let answer = log.connect().try_send("POST", path, "", body).unwrap();
        refused(&answer, status, code);
    }
    // The same once by the command, then the honest one right after.
    let file = lab.path("node.json");
    let add = ["log", "add", &log.url, file.to_str().unwrap(), "--role", "node", "--vkey", &log.vkey];
    fs::write(&file, &stranger).unwrap();
    lab.run(&add).refused(code::LOG_ENTRY_UNAUTHORISED);
    fs::write(&file, &honest).unwrap();
    let added = lab.run(&add).ok().json();
    assert_eq!(added["index"], 4, "nothing of all this was logged");
    // Other content under a version that is logged, and a replay.
    sim.add_release("1.1.2", "node", b"other");
    refused(&http.post("/metadata/node", &sim.envelope("node")), 409, code::LOG_DUPLICATE_VERSION);
    for _ in 0..3 {
        assert_eq!(http.post("/metadata/node", &honest).json()["index"], 4, "the first index");
    }
    assert_eq!(published_size(&mut http), 5);
    assert!(log.terminate().success());
    // What was admitted is read back.
    let log = Live::log(&lab, "log", &[]);
    assert_eq!(log.connect().post("/metadata/node", &honest).json()["index"], 4);
}

#[test]
fn l15_a_long_list_of_changes_is_left_out() {
    let lab = Lab::new();
    let (log, mut sim) = with_metadata(&lab);
    for number in 0..400 {
        sim.add_release(&format!("2.0.{number}"), "node", format!("node {number}").as_bytes());
    }
    let bytes = next_node(&mut sim, "2.1.0");
    let answer = log.connect().post("/metadata/node", &bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let leaf = from_base64(answer.json()["leaf"].as_str().unwrap());
    let leaf = Leaf::parse(&leaf).unwrap();
    assert_eq!(
        (leaf.changes, leaf.repository),
        (None, Anchor(countersign_crypto::sha256(&sim.envelope("root"))))
    );
}

#[test]
fn l15_records_whose_signature_does_not_verify() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "rekor"]);
    let mut http = log.connect();
    let path = "/api/v2/log/entries";
    for (body, status, code) in [
        ("", 400, code::LOG_ENTRY_MALFORMED),
        ("{}", 400, code::LOG_ENTRY_MALFORMED),
        (&RECORD.replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), 400, code::LOG_ENTRY_MALFORMED),
        (&RECORD.replacen("\"digest\": \"", "\"digest\": \"AAAA", 1), 400, code::LOG_ENTRY_MALFORMED),
        (&forged(), 403, code::LOG_ENTRY_UNAUTHORISED),
        (&format!("{RECORD}{}", " ".repeat(100_000)), 413, code::LOG_ENTRY_TOO_LARGE),
    ] {
        let answer = log.connect().try_send("POST", path, "", body.as_bytes()).unwrap();
        refused(&answer, status, code);
    }
    refused(&http.post("/add", b"x"), 403, code::LOG_ENTRY_UNAUTHORISED);
    refused(&http.post("/metadata/root", b"{}"), 403, code::LOG_ENTRY_UNAUTHORISED);
    for _ in 0..2 {
        let answer = http.post(path, RECORD.as_bytes());
        assert_eq!(
            (answer.status, answer.json()["logIndex"].as_str()),
            (201, Some("0")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(published_size(&mut http), 1);
}

#[test]
fn l15_a_flood_of_unauthorised_records() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "rekor"]);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let forged = forged();
    let mut waits = Vec::new();
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut http = log.connect();
                while !stop.load(Ordering::Relaxed) {
                    let answer = http.post("/api/v2/log/entries", forged.as_bytes());
                    assert!(matches!(answer.status, 403 | 429 | 503), "{}", answer.text());
                    assert!(answer.status == 403 || answer.header("retry-after").is_some());
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let start = Instant::now();
            let answer = Http::connect(&log.url).post("/api/v2/log/entries", RECORD.as_bytes());
            assert_eq!(answer.status, 201, "{}", answer.text());
            waits.push(start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    waits.sort_unstable();
    let worst = waits[waits.len() * 99 / 100];
    println!("{} forged in 3 s, {} honest, p99 {worst:?}", sent.into_inner(), waits.len());
    assert!(worst < MAX_HONEST, "{worst:?}");
    assert_eq!(published_size(&mut log.connect()), 1, "nothing but the honest record was logged");
    let status = fs::read_to_string(format!("/proc/{}/status", log.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
    // By the command: the log of hashed records takes no other entries.
    let file = lab.path("x");
    fs::write(&file, "x").unwrap();
    let add = ["log", "add", &log.url, file.to_str().unwrap(), "--vkey", &log.vkey];
    lab.run(&add).refused(code::LOG_ENTRY_UNAUTHORISED);
    let shown = command(&lab, &add).output().unwrap();
    assert!(
        String::from_utf8_lossy(&shown.stderr).starts_with("error[log-entry-unauthorised]: "),
        "{shown:?}"
    );
}

#[test]
fn l15_many_large_bodies_at_once() {
    let lab = Lab::new();
    let (log, mut sim) = with_metadata(&lab);
    let address = log.url.strip_prefix("http://").unwrap().to_owned();
    let large = vec![b' '; 8 * 1024 * 1024];
    let announce = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "POST /metadata/node HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n").unwrap();
        stream
    };
    // Announced, and not sent: no memory is set aside for that.
    let mut held: Vec<TcpStream> = (0..8).map(|_| announce()).collect();
    assert_eq!(log.connect().post("/metadata/node", &large).status, 400, "it is read, and is no metadata");
    // Sent but for the last byte: there is memory for so many.
    for stream in &mut held {
        stream.write_all(&large[1..]).unwrap();
    }
    let answer = (0..100).find_map(|_| {
        let answer = log.connect().try_send("POST", "/metadata/node", "", &large).ok()?;
        (answer.status == 503).then_some(answer)
    });
    let answer = answer.unwrap();
    refused(&answer, 503, code::SERVER_LIMIT);
    assert!(answer.header("retry-after").is_some());
    // Who sends what honest people send is served meanwhile.
    let honest = next_node(&mut sim, "1.1.0");
    assert_eq!(log.connect().post("/metadata/node", &honest).json()["index"], 4);
}

/// The record with a bit of its digest changed.
fn forged() -> String {
    let at = RECORD.find("\"digest\": \"").unwrap() + "\"digest\": \"".len();
    let other = if RECORD[at..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &RECORD[..at], &RECORD[at + 1..])
}

/// Standard base64, as the server writes it.
fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte).unwrap() as u32;
    let packed = text.trim_end_matches('=').bytes().map(digit);
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for digit in packed {
        held = (held << 6) | digit;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}
