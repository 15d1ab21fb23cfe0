//! Programs that nobody here wrote read what we serve, and cosign what we log.
//!
//! They are installed by `cargo xtask peers`; see tests/peers/README.md for what each is.

mod cosign;
mod tessera;
mod tuf;
mod witness;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use countersign_crypto::{Algorithm, SecretKey};
use countersign_testkit::peers;
use countersign_testkit::sim::log::{Named, to_base64};

use crate::lab::{Lab, REPO, Run};
use crate::publisher::{Publisher, active, text};
use crate::server::{Process, serve};

const SEED: [u8; 32] = [7; 32];
const WITNESS: &str = "witness.example/omni";

/// Fetches a file as any web client would.
fn get(url: &str, path: &str) -> Vec<u8> {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 ") || answer.starts_with(b"HTTP/1.0 200 "), "{path}");
    answer.split_off(end + 4)
}

/// What the peer prints, if it succeeds.
#[track_caller]
fn told(command: &mut Command) -> String {
    let output = output(command);
    let shown = format!("{}{}", text_of(&output.stdout), text_of(&output.stderr));
    assert!(output.status.success(), "{command:?} -> {}\n{shown}", output.status);
    shown
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The log's verifier key, as the repository's own policy has it.
fn log_key(publisher: &Publisher) -> String {
    let root: serde_json::Value =
        serde_json::from_slice(&fs::read(publisher.repo().join("metadata/1.root.json")).unwrap()).unwrap();
    let policy = root["signed"]["x-countersign"]["policy"].clone();
    let lines: Vec<String> = match policy.as_str() {
        Some(text) => text.lines().map(str::to_owned).collect(),
        None => serde_json::from_value(policy).unwrap(),
    };
    lines.iter().find_map(|line| line.strip_prefix("log ")).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn tessera_fsck_proves_our_log() {
    let Some(fsck) = peers::find("tessera-fsck") else { return };
    let publisher = Publisher::with(&["1.0.0", "1.1.0", "1.2.0"]);
    let server = serve(&publisher.repo());
    let machine = Lab::new();
    let key = machine.path("log.vkey");
    fs::write(&key, log_key(&publisher)).unwrap();
    let run = || {
        let mut command = Command::new(&fsck);
        command.arg(format!("{}/log/", server.url())).arg(&key);
        command
    };
    told(&mut run());
    // A twin: one byte of one tile, and it says so.
    let mut tiles: Vec<PathBuf> = crate::publisher::every_file(&publisher.repo().join("log/tile/0"));
    tiles.sort_by_key(|tile| fs::metadata(publisher.repo().join("log/tile/0").join(tile)).unwrap().len());
    let tile = publisher.repo().join("log/tile/0").join(tiles.pop().unwrap());
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert_eq!(output(&mut run()).status.code(), Some(1));
}

#[test]
fn go_sumdb_note_opens_our_checkpoint() {
    let Some(gonote) = peers::find("gonote") else { return };
    let publisher = Publisher::with(&["1.0.0"]);
    let server = serve(&publisher.repo());
    let machine = Lab::new();
    let note = machine.path("checkpoint");
    let bytes = get(server.url(), "log/checkpoint");
    fs::write(&note, &bytes).unwrap();
    let key = log_key(&publisher);
    let said = told(Command::new(&gonote).arg(&note).arg(&key));
    assert!(said.starts_with(&format!("verified {}\n", key.split('+').next().unwrap())), "{said}");
    // A twin: another size under the same signature.
    let mut lines: Vec<String> = text_of(&bytes).split('\n').map(str::to_owned).collect();
    lines[1] = "9".to_owned();
    fs::write(&note, lines.join("\n")).unwrap();
    assert!(!output(Command::new(&gonote).arg(&note).arg(&key)).status.success());
}

/// The witness of transparency-dev, with the logs that it knows.
fn omniwitness(program: &Path, lab: &Lab, port: u16, logs: &str) -> Process {
    let key = SecretKey::from_seed(Algorithm::Ed25519, &SEED).unwrap();
    let id: String =
        Named { name: WITNESS, key: &key }.key_id(1).iter().map(|b| format!("{b:02x}")).collect();
    let secret = to_base64(&[&[1][..], &SEED].concat());
    fs::write(lab.path("witness.key"), format!("PRIVATE+KEY+{WITNESS}+{id}+{secret}")).unwrap();
    fs::write(lab.path("logs.yaml"), logs).unwrap();
    let mut command = Command::new(program);
    command.args(["--listen", &format!("127.0.0.1:{port}"), "--metrics_listen", ""]);
    command.arg("--private_key_path").arg(lab.path("witness.key"));
    command.arg("--additional_logs").arg(lab.path("logs.yaml"));
    command.arg("--db_file").arg(lab.path("witness.db"));
    let process = Process::start(&mut command);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "the witness does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

#[test]
fn a_witness_that_nobody_here_wrote_cosigns_our_checkpoint() {
    let Some(program) = peers::find("omniwitness") else { return };
    let lab = Lab::new();
    // Free now; nobody else on loopback asks for a port in between, or the start fails.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = SecretKey::from_seed(Algorithm::Ed25519, &SEED).unwrap();
    let witness = format!("{} http://127.0.0.1:{port}", Named { name: WITNESS, key: &key }.vkey(4));
    let (repo, keys) = (text(&lab.path("repo")), text(&lab.path("keys")));
    let init = [
        "init",
        &repo,
        "--keys",
        &keys,
        "--unencrypted",
        "--witness",
        &witness,
        "--origin",
        "log.example/omni",
    ];

    // The witness is not up, then up and does not know the log: each time we are told the log's key for its operator.
    let vkey = |run: Run| {
        assert_eq!(run.status(), Some(3), "{}", run.text());
        let json = run.json();
        let fix = json["fix"].as_str().unwrap_or_default().to_owned();
        let found =
            fix.split_whitespace().find(|word| word.starts_with("log.example/omni+")).map(str::to_owned);
        found.unwrap_or_else(|| panic!("the log's key is not told: {}", run.text()))
    };
    let told = vkey(lab.run(&init));
    let unknowing = omniwitness(&program, &lab, port, "Logs: []\n");
    assert_eq!(vkey(lab.run(&init)), told);
    drop(unknowing);

    let logs =
        format!("Logs:\n  - Origin: log.example/omni\n    URL: http://127.0.0.1:1/\n    PublicKey: {told}\n");
    let _witness = omniwitness(&program, &lab, port, &logs);
    let made = lab.run(&init).ok().json();
    let anchor = made["anchor"].as_str().unwrap();
    lab.run(&["product", "add", &repo, "node", "--keys", &keys, "--unencrypted"]).ok();
    let file = text(&lab.path("node"));
    fs::write(&file, "#!/bin/sh\necho node 1.0.0\n").unwrap();
    let released = lab
        .run(&["release", &repo, "node", "1.0.0", &file, "--keys", &keys, "--platform", "linux/amd64"])
        .ok();
    assert_eq!(released.json()["witnesses"], serde_json::json!([WITNESS]));

    let server = serve(Path::new(&repo));
    lab.run(&["trust", "add", REPO, server.url(), anchor]).ok();
    let installed = lab.node("install").ok().json();
    let cosigners =
        installed["evidence"]["roles"].as_array().unwrap().last().unwrap()["log"]["cosigners"].clone();
    assert_eq!(cosigners[0]["name"], WITNESS, "{installed}");
    assert!(active(&lab.path("root")).is_some());
}
