//! How fast the log takes entries in this process: durable before acknowledged, in tiles, signed and
//! published right after, duplicates looked for.
//!
//! Writers offer entries and wait for their indices before they offer the next; with `--rate` they offer so
//! many a second together, and the wait counts from when an entry was due. The first line is entries a
//! second, and the median and 99th percentile of the wait for an index in milliseconds; further lines say
//! what it cost. With `--disk` it also says what the disk does without a log: the same bytes appended and
//! synced, in the same batches. With `--open` the log is only opened: how long that took, and how long a
//! proof of inclusion takes.
//!
//! `append FOLDER [WRITERS [SECONDS]] [--entries N] [--bytes N] [--at-once N] [--rate N]`
//! `[--duplicates PERCENT] [--open] [--disk]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

mod load;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::{Log, LogKey, Publication, Sequencer, Settings};

use load::Load;

/// What was asked for.
struct Arguments {
    folder: PathBuf,
    load: Load,
    /// Say how long opening takes, and a proof of inclusion, and stop.
    open: bool,
    disk: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { folder, load, open: only_open, disk } = arguments()?;
    let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
    let start = Instant::now();
    let log = open(&folder, now)?;
    let opened = start.elapsed();
    if only_open {
        println!("{:.1} {:.1}", opened.as_secs_f64() * 1e3, prove(&log)?);
        println!("ms to open {} entries, us to prove one of them; {} MiB at most", log.size(), peak_mib()?);
        println!("{}", log.key().verifier());
        return Ok(());
    }
    let before = log.size();
    let log = Log::start(log, Publication::Unwitnessed, Settings::default(), Arc::new(move || now))?;
    let (cpu, written) = (cpu_seconds()?, written_bytes()?);
    let start = Instant::now();
    let load::Tally { mut waits, busy } = load::play(&log, &load)?;
    let failure = log.stop();
    let elapsed = start.elapsed().as_secs_f64();
    if let Some(error) = failure {
        return Err(Box::new(error));
    }
    let status = log.status();
    let entries = (status.acknowledged - before) as f64;
    waits.sort_unstable();
    let wait = |part: usize| waits.get(waits.len() * part / 100).map_or(0.0, |wait| f64::from(*wait) / 1e3);
    println!("{:.0} {:.2} {:.2}", entries / elapsed, wait(50), wait(99));
    println!(
        "{} entries signed and {:?} published, {} duplicates",
        status.signed, status.published, status.duplicates
    );
    println!("{} offers refused as busy, {:.0} entries a sync", busy, entries / status.batches.max(1) as f64);
    println!("{:.2} us of processor time an entry", (cpu_seconds()? - cpu) * 1e6 / entries);
    println!("{:.0} bytes written an entry", (written_bytes()? - written) / entries);
    println!("{} MiB of memory at most", peak_mib()?);
    if disk {
        calibrate(&folder, load.bytes, entries / status.batches.max(1) as f64)?;
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut plain = Vec::new();
    let (mut open, mut disk) = (false, false);
    let mut load = Load {
        writers: 256,
        time: Duration::from_secs(3),
        entries: None,
        bytes: 1024,
        at_once: 16,
        rate: None,
        duplicates: 0,
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
            "--open" => open = true,
            "--disk" => disk = true,
            _ => plain.push(arg),
        }
    }
    let folder = plain.first().ok_or("append FOLDER [WRITERS [SECONDS]]")?.into();
    if let Some(writers) = plain.get(1) {
        load.writers = writers.parse()?;
    }
    if let Some(seconds) = plain.get(2) {
        load.time = Duration::from_secs_f64(seconds.parse()?);
    }
    Ok(Arguments { folder, load, open, disk })
}

fn open(folder: &Path, now: Timestamp) -> Result<Sequencer, Box<dyn Error>> {
    let secret = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32])?;
    let key = LogKey::new("bench.example/log", Box::new(secret))?;
    Ok(Sequencer::open(&folder.join("private"), &folder.join("public"), key, now)?)
}

/// The median time of a proof of inclusion, in microseconds, for entries all over the log.
fn prove(log: &Sequencer) -> Result<f64, Box<dyn Error>> {
    const PROOFS: u64 = 1_001;
    let size = log.size();
    let mut times = Vec::new();
    for number in 0..PROOFS.min(size) {
        let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let start = Instant::now();
        log.proof(index, size)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6))
}

/// What the disk does without a log: batches of that many entries, appended and synced, and written over and
/// synced.
fn calibrate(folder: &Path, bytes: usize, entries: f64) -> Result<(), Box<dyn Error>> {
    let batch = vec![0xa5; (entries * bytes as f64) as usize];
    let path = folder.join("calibration");
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
