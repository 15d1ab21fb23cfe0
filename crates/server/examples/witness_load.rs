//! How many checkpoints a second the witness cosigns over HTTP, each durable before its answer.
//!
//! Starts a witness in a process of its own, on loopback, and plays logs to it: every log has a connection, and asks for
//! its next checkpoint when it has the cosignature of the last, as logs do. Checkpoints and proofs are made before the
//! clock starts. Prints requests a second, and the median and 99th percentile of the wait in milliseconds; how many
//! checkpoints shared a sync, and the witness's memory after a tenth of the time and at the end; then what the disk can
//! do, because most of the wait is for it.
//!
//! `witness_load FOLDER [LOGS [SECONDS [ed25519|both]]]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey, Signer};
use countersign_log::{LogList, Witness};
use countersign_server::{Listening, Until, WitnessService, serve_witness};
use countersign_store::{Disk as _, RealDisk, durable};
use countersign_tlog::merkle::{self, Hash, HashReader, MerkleError, Node};
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{Checkpoint, SignedCheckpoint, VerifierKey, checkpoint};

type Failure = Box<dyn Error + Send + Sync>;

/// Checkpoints made for each log and second: more than it can ask for.
const PREPARED: u64 = 6_000;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (serves, args) = match args.split_first() {
        Some((first, rest)) if first == SERVE => (true, rest),
        _ => (false, &args[..]),
    };
    let folder = Path::new(args.first().ok_or("witness_load FOLDER [LOGS [SECONDS [ed25519|both]]]")?);
    let logs: u8 = args.get(1).map_or(Ok(16), |text| text.parse())?;
    let seconds: u64 = args.get(2).map_or(Ok(3), |text| text.parse())?;
    let two_keys = args.get(3).is_some_and(|kind| kind == "both");
    if serves {
        return serve(folder, logs, two_keys);
    }
    let each = PREPARED * seconds / if logs > 4 { 4 } else { 1 };
    let played: Vec<Vec<Vec<u8>>> = (0..logs).map(|log| requests(log, each)).collect::<Result<_, _>>()?;
    std::fs::create_dir_all(folder)?;
    let witness = Served::start(args)?;
    play(&witness, played, Duration::from_secs(seconds))?;
    calibrate(folder)
}

/// The word that makes this program the witness.
const SERVE: &str = "--serve";

fn now() -> Result<Timestamp, Failure> {
    Ok("2026-11-21T14:00:00Z".parse()?)
}

fn origin(log: u8) -> String {
    format!("log.example/{log}")
}

fn log_key(log: u8) -> Result<SecretKey, Failure> {
    Ok(SecretKey::from_seed(Algorithm::Ed25519, &[100 + log; 32])?)
}

/// Is the witness, until it is killed. Prints its address.
fn serve(folder: &Path, logs: u8, two_keys: bool) -> Result<(), Failure> {
    let mut signers = vec![Box::new(SecretKey::from_seed(Algorithm::Ed25519, &[2; 32])?) as Box<dyn Signer>];
    if two_keys {
        signers.push(Box::new(SecretKey::from_seed(Algorithm::MlDsa44, &[3; 32])?));
    }
    let mut known = LogList::default();
    for log in 0..logs {
        known.add(VerifierKey::for_log(&origin(log), log_key(log)?.public_key())?);
    }
    let witness = Witness::open(&folder.join("state"), "witness.example/load", signers, known)?;
    let listening = Listening::bind("127.0.0.1:0")?;
    println!("{}", listening.address());
    let now = now()?;
    let service = WitnessService::new(Arc::new(witness), Arc::new(move || now));
    Ok(serve_witness(service, listening, Until::Interrupted)?)
}

/// The witness in its process.
struct Served {
    process: Child,
    address: String,
}

impl Served {
    fn start(args: &[String]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg(SERVE).args(args).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let stdout = process.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self { process, address: address.trim_end().to_owned() })
    }

    /// The value of a line of its metrics.
    fn metric(&self, name: &str) -> Result<f64, Failure> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("no {name}"))?.parse()?)
    }

    fn memory_mib(&self) -> Result<f64, Failure> {
        Ok(self.metric("process_resident_memory_bytes")? / f64::from(1 << 20))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays all logs for so long and prints what came of it.
fn play(witness: &Served, played: Vec<Vec<Vec<u8>>>, length: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    let asking: Vec<_> = played
        .into_iter()
        .map(|requests| {
            let address = witness.address.clone();
            thread::spawn(move || ask(TcpStream::connect(address)?, &requests, start + length))
        })
        .collect();
    thread::sleep(length / 10);
    let memory = witness.memory_mib()?;
    let mut waits = Vec::new();
    for log in asking {
        waits.extend(log.join().map_err(|_| "a log failed")??);
    }
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort_unstable();
    println!("{rate:.0} {:.2} {:.2}", percentile(&waits, 50), percentile(&waits, 99));
    let syncs = witness.metric("countersign_witness_commit_seconds_count")?;
    println!(
        "{:.1} checkpoints a sync; memory {memory:.1} MiB, then {:.1} MiB",
        waits.len() as f64 / syncs,
        witness.memory_mib()?
    );
    Ok(())
}

/// In milliseconds.
fn percentile(sorted: &[Duration], part: usize) -> f64 {
    sorted.get(sorted.len() * part / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
}

/// What durable writes cost here, now.
fn calibrate(folder: &Path) -> Result<(), Failure> {
    const TIMES: u32 = 200;
    let timed = |act: &mut dyn FnMut() -> Result<(), Failure>| -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let start = Instant::now();
            act()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(percentile(&times, 50))
    };
    let file = folder.join("calibration");
    let whole = timed(&mut || Ok(durable::write_atomic(&RealDisk, &file, &[7; 8192], 0o600)?))?;
    let mut open = RealDisk.open_append(&file)?;
    let append = timed(&mut || {
        RealDisk.write(&mut open, &[7; 600])?;
        Ok(RealDisk.sync(&open)?)
    })?;
    std::fs::remove_file(&file)?;
    println!(
        "disk: an 8 KiB file written, synced and its folder synced takes {whole:.2} ms; 600 bytes appended and synced {append:.2} ms"
    );
    Ok(())
}

/// Asks for one checkpoint after the other; how long each answer took.
fn ask(mut stream: TcpStream, requests: &[Vec<u8>], end: Instant) -> Result<Vec<Duration>, Failure> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut waits = Vec::new();
    for request in requests {
        let start = Instant::now();
        if start >= end {
            break;
        }
        stream.write_all(request)?;
        read_cosignature(&mut reader)?;
        waits.push(start.elapsed());
    }
    Ok(waits)
}

/// Reads an answer, which must be a cosignature.
fn read_cosignature(reader: &mut BufReader<TcpStream>) -> Result<(), Failure> {
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("the witness answers {}", line.trim()).into());
    }
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if body.starts_with("\u{2014} ".as_bytes()) { Ok(()) } else { Err("no cosignature".into()) }
}

/// The requests of a log that grows by one leaf at a time, as they go over the wire.
fn requests(log: u8, count: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let (origin, key, now) = (origin(log), log_key(log)?, now()?);
    let mut tree = Tree::default();
    let mut requests = Vec::new();
    for old in 0..count {
        tree.push(merkle::leaf_hash(&old.to_be_bytes()));
        let new = old + 1;
        let proof = if old == 0 { Vec::new() } else { merkle::consistency_proof(old, new, &tree)? };
        let checkpoint = Checkpoint::new(&origin, new, merkle::tree_root(new, &tree)?)?;
        let signature = checkpoint::sign(&checkpoint, &key, now)?;
        let signed = SignedCheckpoint::new(checkpoint, vec![signature])?;
        let body = AddCheckpoint::new(old, proof, signed)?.encode();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        requests.push([head.as_bytes(), &body].concat());
    }
    Ok(requests)
}

/// Every complete subtree of a log, by level.
#[derive(Default)]
struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            let [.., left, right] = &self.levels[level][..] else { return };
            if self.levels[level].len() % 2 == 1 {
                return;
            }
            hash = merkle::node_hash(left, right);
        }
    }
}

impl HashReader for Tree {
    type Error = MerkleError;

    fn node(&self, node: Node) -> Result<Hash, MerkleError> {
        let stored = self.levels.get(usize::from(node.level));
        let hash = stored.and_then(|level| level.get(usize::try_from(node.index).ok()?));
        hash.copied().ok_or(MerkleError::SizeLimit { size: u64::MAX })
    }
}
