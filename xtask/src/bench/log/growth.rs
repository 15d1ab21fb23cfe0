//! What changes as a log grows: memory, opening, proofs; then copies of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::told::Told;
use super::usage::Usage;
use super::{Bench, Row, Table, copies};
use crate::bench::clock::{Runs, median_wall};
use crate::sh;

/// How often opening is timed.
const OPENINGS: usize = 5;

pub(super) fn measure(bench: &Bench, table: &mut Table) {
    let folder = bench.place();
    let mut before = 0;
    for &size in bench.extent.sizes() {
        let grown = grow(bench, &folder, size - before);
        let (rate, resident) = (grown.clone().map(|grown| grown.rate), grown.map(|grown| grown.resident_mib));
        table.add(Row::new(format!("log grown to {size} entries of 256 B"), "entries/s", rate));
        table.add(Row::new("  memory, most of it", "MiB", resident));
        let opened = open(bench, &folder);
        let (time, proof, vkey) = match opened {
            Ok(opened) => (Ok(opened.milliseconds), Ok(opened.proof_us), opened.vkey),
            Err(error) => (Err(error.clone()), Err(error), String::new()),
        };
        table.add(Row::new("  opening it", "ms", time));
        table.add(Row::new("  proof of inclusion, in process, median", "us", proof));
        let public = folder.join("public");
        let cold = median_wall(Runs(OPENINGS), || {
            let mut proof = bench.programs.ours();
            proof.args(["log", "proof"]).arg(&public).arg((size / 3).to_string()).args(["--vkey", &vkey]);
            proof
        });
        table.add(Row::new("  `log proof` as a process", "ms", cold));
        // Copies of the middle size: the last is there for memory and opening.
        if bench.extent.sizes().get(1) == Some(&size) {
            copies::measure(bench, table, &public, &vkey, size);
        }
        before = size;
    }
    let killed = kill(bench, &folder).and_then(|()| open(bench, &folder)).map(|opened| opened.milliseconds);
    table.add(Row::new("opening it after kill -9 under load", "ms", killed));
}

#[derive(Debug, Clone)]
struct Grown {
    rate: f64,
    resident_mib: f64,
}

fn load(bench: &Bench, folder: &Path) -> Command {
    let mut load = Command::new(&bench.programs.append);
    load.arg(folder).args(["256", "3600", "--bytes", "256", "--at-once", "16"]);
    load
}

/// Lets the log grow by so many entries, and looks at the process meanwhile.
fn grow(bench: &Bench, folder: &Path, entries: u64) -> Result<Grown, String> {
    let mut load = load(bench, folder);
    load.args(["--entries", &entries.to_string()]).stdout(Stdio::piped());
    let mut process = load.spawn().map_err(|error| error.to_string())?;
    let mut resident_mib = 0.0_f64;
    while running(&mut process)? {
        if let Ok(usage) = Usage::of(process.id()) {
            resident_mib = resident_mib.max(usage.resident_mib);
        }
        thread::sleep(Duration::from_millis(50));
    }
    let out = process.wait_with_output().map_err(|error| error.to_string())?;
    let told = Told::parse(&String::from_utf8_lossy(&out.stdout))?;
    Ok(Grown { rate: told.rate, resident_mib })
}

fn running(process: &mut Child) -> Result<bool, String> {
    process.try_wait().map(|status| status.is_none()).map_err(|error| error.to_string())
}

/// Kills a load in its second second.
fn kill(bench: &Bench, folder: &Path) -> Result<(), String> {
    let mut process = load(bench, folder).stdout(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if !running(&mut process)? {
            return Err("it ended before it was killed".to_owned());
        }
        thread::sleep(Duration::from_millis(50));
    }
    process.kill().and_then(|()| process.wait()).map(drop).map_err(|error| error.to_string())
}

struct Opened {
    milliseconds: f64,
    proof_us: f64,
    vkey: String,
}

/// Opens the log some times; the first one counts where it differs from the next, so one is taken after a kill.
fn open(bench: &Bench, folder: &Path) -> Result<Opened, String> {
    let mut open = Command::new(&bench.programs.append);
    let text = sh::output(open.arg(folder).arg("--open"))?;
    let mut lines = text.lines();
    let mut numbers = lines.next().unwrap_or_default().split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), lines.nth(1)) {
        (Some(Ok(milliseconds)), Some(Ok(proof_us)), Some(vkey)) => {
            Ok(Opened { milliseconds, proof_us, vkey: vkey.to_owned() })
        }
        _ => Err(format!("it says `{}`", text.trim())),
    }
}
