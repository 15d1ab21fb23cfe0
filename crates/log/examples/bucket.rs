//! What a log in a bucket of versitygw on loopback can do: latency of a lone entry, and entries a second.
//!
//! `cargo run --release -p countersign-log --example bucket -- [ENTRIES]`
#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use countersign_bucket::{Bucket, Settings};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::{Candidate, Log, LogError, LogKey, Publication, Seen, SharedPlace, Turn};
use countersign_testkit::s3::{ACCESS_KEY, SECRET_KEY, Versity};

const WRITERS: u64 = 16;
const LONE: u64 = 300;
/// Entries of one submission of the throughput run.
const TOGETHER: u64 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let entries: u64 = std::env::args().nth(1).map_or(Ok(200_000), |count| count.parse())?;
    let Some(server) = Versity::start() else { return Ok(()) };
    server.make_bucket("log");
    let settings = Settings::new(ACCESS_KEY, SECRET_KEY)?.with_endpoint(&server.endpoint())?;
    let bucket = Bucket::open(&"s3://log/log".parse()?, &settings)?;
    let cache = std::env::temp_dir().join(format!("countersign-bucket-{}", std::process::id()));
    let log = lead(&bucket, &cache)?;
    lone(&log)?;
    throughput(&log, entries)?;
    let begun = Instant::now();
    log.stop();
    println!("stopped and handed over in {:?}", begun.elapsed());
    let begun = Instant::now();
    let log = lead(&bucket, &cache)?;
    println!("taken over with {} entries in {:?}", log.signed().checkpoint().size(), begun.elapsed());
    log.stop();
    Ok(std::fs::remove_dir_all(&cache)?)
}

fn lead(bucket: &Bucket, cache: &std::path::Path) -> Result<Log, Box<dyn Error>> {
    let place = SharedPlace {
        leader: Arc::new(bucket.cell(SharedPlace::LEADER)?),
        checkpoint: Arc::new(bucket.cell(SharedPlace::CHECKPOINT)?),
        objects: Arc::new(bucket.clone()),
        cache: cache.to_owned(),
    };
    let key = LogKey::new("log.example", Box::new(SecretKey::from_seed(Algorithm::Ed25519, &[1; 32])?))?;
    let mut candidate = Candidate::new(place, key, None, Duration::from_secs(5))?;
    let seen = candidate.look(Instant::now())?;
    let now: countersign_base::Timestamp = "2026-11-21T14:00:00Z".parse()?;
    match candidate.lead(now)? {
        Turn::Ours(log) => {
            let settings = countersign_log::Settings::default();
            Ok(Log::start(*log, Publication::Unwitnessed, settings, Arc::new(move || now))?)
        }
        Turn::Theirs(_) => Err(format!("{:?} is not {:?}", seen, Seen::Free).into()),
    }
}

fn lone(log: &Log) -> Result<(), LogError> {
    let (mut durable, mut published) = (Vec::new(), Vec::new());
    for number in 0..LONE {
        let begun = Instant::now();
        let accepted = log.ticket(format!("lone entry {number}").into_bytes())?.wait()?;
        durable.push(begun.elapsed());
        log.await_published(accepted.index).wait()?;
        published.push(begun.elapsed());
    }
    println!("a lone entry, durable: {}; published: {}", quantiles(durable), quantiles(published));
    Ok(())
}

fn throughput(log: &Log, entries: u64) -> Result<(), LogError> {
    let begun = Instant::now();
    let each = entries / WRITERS;
    let latencies = thread::scope(|scope| {
        let write = |writer: u64| {
            move || {
                let mut latencies = Vec::new();
                for from in (0..each).step_by(TOGETHER as usize) {
                    let batch = (from..each.min(from + TOGETHER))
                        .map(|number| format!("{:0200} {number}", writer).into_bytes())
                        .collect();
                    let (sender, receiver) = std::sync::mpsc::channel();
                    let begun = Instant::now();
                    log.submit_all(batch, move |outcome| drop(sender.send(outcome)))?;
                    receiver.recv().map_err(|_| LogError::Stopped)??;
                    latencies.push(begun.elapsed());
                }
                Ok(latencies)
            }
        };
        let threads: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(LogError::Stopped)))
            .collect::<Result<Vec<Vec<Duration>>, LogError>>()
    })?;
    let durable = begun.elapsed();
    let last = log.status().acknowledged - 1;
    log.await_published(last).wait()?;
    let all = begun.elapsed();
    let status = log.status();
    println!(
        "{entries} entries of {WRITERS} writers, {TOGETHER} at a time: {:.0}/s durable, {:.0}/s published, {} batches, \
         durable after {}",
        entries as f64 / durable.as_secs_f64(),
        entries as f64 / all.as_secs_f64(),
        status.batches,
        quantiles(latencies.concat()),
    );
    Ok(())
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:.1?}, p99 {:.1?}", at(50), at(99))
}
