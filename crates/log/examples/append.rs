//! How fast the log takes entries in this process: durable before acknowledged, in tiles, signed and published right
//! after, duplicates looked for.
//!
//! Writers offer entries and wait for their indices before they offer the next; with `--rate` they offer so many a
//! second together, and the wait counts from when an entry was due. The first line is entries a second, and the median
//! and 99th percentile of the wait for an index in milliseconds; further lines say what it cost. With `--disk` it also
//! says what the disk does without a log: the same bytes appended and synced, in the same batches.
//!
//! `append FOLDER [WRITERS [SECONDS]] [--entries N] [--bytes N] [--at-once N] [--rate N] [--duplicates PERCENT]
//! [--open] [--disk]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::pipeline::Accepted;
use countersign_log::{Log, LogKey, Publication, Sequencer, Settings};

/// What was asked for.
#[derive(Debug, Clone)]
struct Load {
    folder: PathBuf,
    writers: u64,
    time: Duration,
    /// Ends after so many entries, if that is sooner.
    entries: Option<u64>,
    /// Bytes of an entry.
    bytes: usize,
    /// Entries that a writer offers at once; it waits for the indices of all of them.
    at_once: u64,
    /// Entries a second of all writers; as fast as they can if `None`.
    rate: Option<f64>,
    /// Of a hundred entries, so many were offered before.
    duplicates: u64,
    /// Say how long opening takes, and stop.
    open: bool,
    disk: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = arguments()?;
    let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
    let start = Instant::now();
    let log = open(&load.folder, now)?;
    let opened = start.elapsed();
    if load.open {
        let size = log.size();
        println!("{:.1} ms to open {size} entries, {} MiB at most", opened.as_secs_f64() * 1e3, peak_mib()?);
        return Ok(());
    }
    let before = log.size();
    let log = Log::start(log, Publication::Unwitnessed, Settings::default(), Arc::new(move || now))?;
    let (cpu, written) = (cpu_seconds()?, written_bytes()?);
    let start = Instant::now();
    let (mut waits, busy) = offer_all(&log, &load)?;
    let failure = log.stop();
    let elapsed = start.elapsed().as_secs_f64();
    if let Some(error) = failure {
        return Err(Box::new(error));
    }
    let status = log.status();
    let entries = (status.acknowledged - before) as f64;
    waits.sort_unstable();
    let wait = |part: usize| waits.get(waits.len() * part / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    println!("{:.0} {:.2} {:.2}", entries / elapsed, wait(50), wait(99));
    println!(
        "{} entries signed and {:?} published, {} duplicates",
        status.signed, status.published, status.duplicates
    );
    println!("{} offers refused as busy, {:.0} entries a sync", busy, entries / status.batches.max(1) as f64);
    println!("{:.2} us of processor time an entry", (cpu_seconds()? - cpu) * 1e6 / entries);
    println!("{:.0} bytes written an entry", (written_bytes()? - written) / entries);
    println!("{} MiB of memory at most", peak_mib()?);
    if load.disk {
        calibrate(&load, entries / status.batches.max(1) as f64)?;
    }
    Ok(())
}

fn arguments() -> Result<Load, Box<dyn Error>> {
    let mut plain = Vec::new();
    let mut load = Load {
        folder: PathBuf::new(),
        writers: 256,
        time: Duration::from_secs(3),
        entries: None,
        bytes: 1024,
        at_once: 16,
        rate: None,
        duplicates: 0,
        open: false,
        disk: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        match arg.as_str() {
            "--entries" => load.entries = Some(value()?.parse()?),
            "--bytes" => load.bytes = value()?.parse()?,
            "--at-once" => load.at_once = value()?.parse()?,
            "--rate" => load.rate = Some(value()?.parse()?),
            "--duplicates" => load.duplicates = value()?.parse()?,
            "--open" => load.open = true,
            "--disk" => load.disk = true,
            _ => plain.push(arg),
        }
    }
    load.folder = plain.first().ok_or("append FOLDER [WRITERS [SECONDS]]")?.into();
    if let Some(writers) = plain.get(1) {
        load.writers = writers.parse()?;
    }
    if let Some(seconds) = plain.get(2) {
        load.time = Duration::from_secs_f64(seconds.parse()?);
    }
    Ok(load)
}

fn open(folder: &Path, now: Timestamp) -> Result<Sequencer, Box<dyn Error>> {
    let secret = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32])?;
    let key = LogKey::new("bench.example/log", Box::new(secret))?;
    Ok(Sequencer::open(&folder.join("private"), &folder.join("public"), key, now)?)
}

/// How long each offer waited for its indices, and how many were refused.
fn offer_all(log: &Log, load: &Load) -> Result<(Vec<Duration>, u64), Box<dyn Error>> {
    // Entries of one run are not those of another.
    let run = log.status().acknowledged;
    let start = Instant::now();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..load.writers)
            .map(|writer| scope.spawn(move || offer(log, load, run, writer, start)))
            .collect();
        writers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let (mut waits, mut busy) = (Vec::new(), 0);
    for outcome in outcomes {
        let (waited, refused) = outcome.map_err(|_| "a writer failed")?;
        waits.extend(waited);
        busy += refused;
    }
    Ok((waits, busy))
}

fn offer(log: &Log, load: &Load, run: u64, writer: u64, start: Instant) -> (Vec<Duration>, u64) {
    let (mut waits, mut busy) = (Vec::new(), 0);
    let every = load.rate.map(|rate| Duration::from_secs_f64((load.writers * load.at_once) as f64 / rate));
    // Writers that keep a rate do not all begin at once.
    let first = every.unwrap_or_default().mul_f64(writer as f64 / load.writers as f64);
    let rounds = load.entries.map_or(u64::MAX, |entries| entries.div_ceil(load.writers * load.at_once));
    for round in 0..rounds {
        let due = match every {
            Some(every) => start + first + every.mul_f64(round as f64),
            None => Instant::now(),
        };
        if due >= start + load.time {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let number = |place| {
            let number = round * load.at_once + place;
            if number % 100 < load.duplicates { number / 2 } else { number }
        };
        let entries = (0..load.at_once).map(|place| entry(load.bytes, run, writer, number(place))).collect();
        match wait(log, entries) {
            Some(true) => waits.push(due.elapsed()),
            Some(false) => {
                busy += 1;
                thread::sleep(Duration::from_millis(1));
            }
            None => break,
        }
    }
    (waits, busy)
}

/// Whether the entries were taken; `None` if the log has stopped.
fn wait(log: &Log, entries: Vec<Vec<u8>>) -> Option<bool> {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Option<Vec<Accepted>>>(1);
    let offered = log.submit_all(entries, move |outcome| drop(sender.send(outcome.ok())));
    match offered {
        Ok(()) => receiver.recv().ok().flatten().map(|_| true),
        Err(countersign_log::LogError::Busy) => Some(false),
        Err(_) => None,
    }
}

/// Bytes that differ for each entry and do not compress well.
fn entry(length: usize, run: u64, writer: u64, number: u64) -> Vec<u8> {
    let mut state = ((run << 20) ^ (writer << 40) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 24);
    for part in [run, writer, number] {
        bytes.extend(part.to_be_bytes());
    }
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length.max(24));
    bytes
}

/// What the disk does without a log: batches of that many entries, appended and synced, and written over and synced.
fn calibrate(load: &Load, entries: f64) -> Result<(), Box<dyn Error>> {
    let batch = vec![0xa5; (entries * load.bytes as f64) as usize];
    let path = load.folder.join("calibration");
    let rounds = (128 * 1024 * 1024 / batch.len().max(1)).clamp(16, 512);
    for what in ["appended", "written over"] {
        let mut file = match what {
            "appended" => File::create(&path)?,
            _ => File::options().write(true).open(&path)?,
        };
        let mut waits = Vec::new();
        let start = Instant::now();
        for _ in 0..rounds {
            let one = Instant::now();
            file.write_all(&batch)?;
            file.sync_data()?;
            waits.push(one.elapsed());
        }
        let rate = (rounds * batch.len()) as f64 / start.elapsed().as_secs_f64() / 1e6;
        waits.sort_unstable();
        let (median, bytes) = (waits[waits.len() / 2].as_secs_f64() * 1e3, batch.len());
        println!("disk: {bytes} bytes {what} and synced, {median:.2} ms in the median, {rate:.0} MB/s");
    }
    fs::remove_file(path)?;
    Ok(())
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name before may hold spaces; user and system time are the 14th and 15th field, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).map_or(Ok(0.0), |text| text.parse::<f64>());
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn written_bytes() -> Result<f64, Box<dyn Error>> {
    number_in("/proc/self/io", "write_bytes:")
}

fn peak_mib() -> Result<u64, Box<dyn Error>> {
    Ok((number_in("/proc/self/status", "VmHWM:")? / 1024.0) as u64)
}

fn number_in(path: &str, name: &str) -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
