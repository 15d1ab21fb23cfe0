//! Plays submitters to a log over HTTP, and says how many entries a second it took and how long each waited.
//!
//! Any log that takes an entry by `POST /add` and answers with its index, or hashed records as Rekor v2 does. Each
//! connection is kept, and sends its next entry when it has the answer to the last. With `--rate` entries fall due at
//! that pace whether there are answers or not, and the wait counts from then: a log that is behind is seen to be.
//!
//! The first line is entries a second, and the median and 99th percentile of the wait in milliseconds; then what was
//! refused, with its status, and what the load itself cost.
//!
//! `countersign-http-load add|rekor HOST:PORT [--connections N] [--seconds S] [--bytes N] [--rate R] [--run N]`
//!
//! Entries of two runs with different numbers (`--run`) differ.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

mod load;
mod requests;
mod wire;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use load::{Load, Tally};
use requests::Requests;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "countersign-http-load add|rekor HOST:PORT [--connections N] [--seconds S] [--bytes N] [--rate R] [--run N]";
/// Hashed records made for each second, where no rate is asked for. Each is signed before the clock starts.
const RECORDS_PER_SECOND: f64 = 12_000.0;

fn main() -> Result<(), Failure> {
    let mut plain = Vec::new();
    let (mut connections, mut seconds, mut bytes, mut rate, mut run) = (64, 5.0, 256, None, 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        match arg.as_str() {
            "--connections" => connections = value()?.parse()?,
            "--seconds" => seconds = value()?.parse()?,
            "--bytes" => bytes = value()?.parse()?,
            "--rate" => rate = Some(value()?.parse::<f64>()?),
            "--run" => run = value()?.parse()?,
            _ => plain.push(arg),
        }
    }
    let [kind, address] = plain.as_slice() else { return Err(USAGE.into()) };
    let requests = match kind.as_str() {
        "add" => Requests::entries(address, run, bytes),
        "rekor" => {
            let count = rate.unwrap_or(RECORDS_PER_SECOND) * seconds;
            Requests::records(address, run, count as u64 + connections)?
        }
        _ => return Err(USAGE.into()),
    };
    let load = Load { address: address.clone(), connections, time: Duration::from_secs_f64(seconds), rate };
    report(load::play(&load, &Arc::new(requests))?)
}

fn report(mut tally: Tally) -> Result<(), Failure> {
    let waits = &mut tally.waits;
    waits.sort_unstable();
    let answered = waits.len();
    let wait = |part: usize| waits.get(answered * part / 100).map_or(0.0, |wait| f64::from(*wait) / 1e3);
    println!("{:.1} {:.2} {:.2}", answered as f64 / tally.took.as_secs_f64(), wait(50), wait(99));
    println!("{answered} answered, the last after {:.1} s", tally.took.as_secs_f64());
    for (status, count) in &tally.refused {
        println!("{count} refused with {status}");
    }
    println!(
        "{:.1} us of processor time an entry for the load itself",
        cpu_seconds()? * 1e6 / answered.max(1) as f64
    );
    Ok(())
}

fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before may hold spaces; user and system time are the 14th and 15th field, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).map_or(Ok(0.0), |text| text.parse::<f64>());
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
