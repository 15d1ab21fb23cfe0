//! How fast the log takes entries in this process: durable before acknowledged, in tiles and under a signed
//! checkpoint right after, duplicates looked for.
//!
//! Writers wait each for the index of their entry before they offer the next; whatever waits is one batch. Prints
//! entries a second, and the median and 99th percentile of the wait for an index in milliseconds.
//!
//! `append FOLDER [WRITERS [SECONDS]]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::{LogKey, Sequencer};

const ENTRY_BYTES: usize = 1024;
/// Entries that a writer offers at once; it waits for the indices of all of them.
const AT_ONCE: u64 = 16;

/// A writer's entries and where it waits for their indices.
type Offer = (Vec<Vec<u8>>, SyncSender<u64>);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().ok_or("append FOLDER [WRITERS [SECONDS]]")?;
    let writers = args.get(1).map_or(Ok(256), |text| text.parse())?;
    let seconds = args.get(2).map_or(Ok(3), |text| text.parse())?;
    let (sender, receiver) = channel();
    let end = Instant::now() + Duration::from_secs(seconds);
    let offering: Vec<_> = (0..writers)
        .map(|writer| {
            let sender = sender.clone();
            thread::spawn(move || offer(writer, &sender, end))
        })
        .collect();
    drop(sender);
    let start = Instant::now();
    let size = sequence(Path::new(folder), &receiver)?;
    let elapsed = start.elapsed();
    let mut waits: Vec<Duration> = Vec::new();
    for writer in offering {
        waits.extend(writer.join().map_err(|_| "a writer failed")?);
    }
    waits.sort_unstable();
    let wait = |part: usize| waits.get(waits.len() * part / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    println!("{:.0} {:.2} {:.2}", size as f64 / elapsed.as_secs_f64(), wait(50), wait(99));
    Ok(())
}

/// Offers entries until `end`; how long each waited.
fn offer(writer: u64, sender: &Sender<Offer>, end: Instant) -> Vec<Duration> {
    let mut waits = Vec::new();
    for round in 0.. {
        let entries = (0..AT_ONCE).map(|place| entry(writer, round * AT_ONCE + place)).collect();
        let (reply, index) = sync_channel(1);
        let start = Instant::now();
        if start >= end || sender.send((entries, reply)).is_err() || index.recv().is_err() {
            break;
        }
        waits.push(start.elapsed());
    }
    waits
}

/// Takes what waits as one batch, until no writer is left; how many entries the log has then.
fn sequence(folder: &Path, offers: &Receiver<Offer>) -> Result<u64, Box<dyn Error>> {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
    let secret = SecretKey::from_seed(Algorithm::Ed25519, &[7; 32])?;
    let key = LogKey::new("bench.example/log", Box::new(secret))?;
    let mut log = Sequencer::open(&folder.join("private"), &folder.join("public"), key, now)?;
    while let Ok(first) = offers.recv() {
        let (mut entries, mut replies) = (Vec::new(), Vec::new());
        for (offered, reply) in std::iter::once(first).chain(offers.try_iter()) {
            entries.extend(offered);
            replies.push(reply);
        }
        let indices = log.append(&entries, now)?;
        for (reply, index) in replies.iter().zip(indices.chunks(AT_ONCE as usize)) {
            // A writer that went away does not want its index.
            let _ = reply.send(index.first().copied().unwrap_or_default());
        }
        log.integrate(now)?;
    }
    Ok(log.signed().checkpoint().size())
}

/// Bytes that differ for each entry and do not compress well.
fn entry(writer: u64, number: u64) -> Vec<u8> {
    let mut state = (writer << 40 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    bytes.extend(writer.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    while bytes.len() < ENTRY_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes
}
