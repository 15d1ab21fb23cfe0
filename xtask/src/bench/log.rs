//! Measures the log beside other people's: the same load, on one disk, in one run.
//!
//! The load is a program of its own in both worlds: `crates/log/examples/append.rs` and `tests/peers/tessera-append` in
//! process, one program for every log over HTTP. Where a figure varies, ours and the peer's are taken in turns, and the
//! median run of each counts. What each figure means, and what came out: docs/performance.md.

mod copies;
mod growth;
mod http;
mod inside;
mod programs;
mod rekor;
mod server;
mod told;
mod usage;
mod witness;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::{Runs, bandwidth, disk_sync, small_syncs};
use super::table::{Row, Table};
use programs::Programs;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// To see that all of it works: some minutes.
    Quick,
    /// What counts: most of an hour.
    Full,
}

impl Extent {
    /// Length of one run of a load in seconds.
    const fn seconds(self) -> f64 {
        match self {
            Self::Quick => 2.0,
            Self::Full => 4.0,
        }
    }

    /// How many runs a figure is the median of.
    const fn rounds(self) -> usize {
        match self {
            Self::Quick => 1,
            Self::Full => 3,
        }
    }

    /// Sizes to which a log grows.
    const fn sizes(self) -> &'static [u64] {
        match self {
            Self::Quick => &[10_000, 100_000, 400_000],
            Self::Full => &[100_000, 1_000_000, 10_000_000],
        }
    }
}

/// What each measurement works with.
struct Bench {
    programs: Programs,
    /// Where logs are made. On the disk that is measured.
    folder: PathBuf,
    extent: Extent,
    places: Cell<u32>,
}

/// How long the disk is left alone after much was removed: it is told which blocks are free, and that takes it a while.
const SETTLE: Duration = Duration::from_secs(3);

impl Bench {
    /// A folder for a log, not there yet.
    fn place(&self) -> PathBuf {
        self.places.set(self.places.get() + 1);
        self.folder.join(format!("log-{}", self.places.get()))
    }

    /// Removes all logs, and lets the disk settle. Not between runs that are compared: removing slows what comes next.
    fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::create_dir_all(&self.folder);
        let _ = Command::new("sync").status();
        thread::sleep(SETTLE);
    }
}

/// Measures some figures and adds them to the table.
type Section = fn(&Bench, &mut Table);

/// Every section, by the name that `--only` knows.
const SECTIONS: [(&str, Section); 7] = [
    ("disk", disk),
    ("process", inside::measure),
    ("http", http::measure),
    ("rekor", rekor::measure),
    ("witness", witness::measure),
    ("growth", growth::measure),
    // Once more: some disks give much for a while, and then less.
    ("disk", disk),
];

/// Measures and prints the table, of all sections or of one; false where nothing could be measured.
pub(crate) fn run(root: &Path, extent: Extent, only: Option<&str>) -> bool {
    if only.is_some_and(|only| SECTIONS.iter().all(|(name, _)| *name != only)) {
        eprintln!("bench: the sections are disk, process, http, rekor, witness and growth");
        return false;
    }
    let start = Instant::now();
    let folder = root.join("target").join("bench-log");
    let bench =
        prepare(root, &folder).map(|programs| Bench { programs, folder, extent, places: Cell::new(0) });
    let bench = match bench {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("bench: {error}");
            return false;
        }
    };
    let mut table = Table::default();
    machine();
    for (name, measure) in SECTIONS.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        eprintln!("bench: {name}, after {:.0} s", start.elapsed().as_secs_f64());
        measure(&bench, &mut table);
        bench.clear();
    }
    print!("{table}");
    // Gigabytes that nobody looks at again.
    let _ = fs::remove_dir_all(&bench.folder);
    true
}

fn prepare(root: &Path, folder: &Path) -> Result<Programs, String> {
    let programs = Programs::build(root)?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(programs)
}

/// What it runs on, as far as Linux tells.
fn machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine: {cores} processors,{}", model.trim_start_matches(['\t', ':']));
    println!("load before the start: {}", read("/proc/loadavg").trim());
}

/// What one sync costs: the unit of everything that is durable.
fn disk(bench: &Bench, table: &mut Table) {
    const TIMES: usize = 301;
    let syncs = small_syncs(&bench.folder, TIMES);
    let over = syncs.as_ref().map(|syncs| syncs.0).map_err(Clone::clone);
    let append = syncs.map(|syncs| syncs.1);
    table.add(Row::new("disk: 4 KiB written over and fdatasync, median", "ms", over));
    table.add(Row::new("disk: 4 KiB appended and fdatasync, median", "ms", append));
    let most = bandwidth(&bench.folder, 512);
    table.add(Row::new("disk: 512 MiB appended, synced for each MiB", "MB/s", most));
    let file = disk_sync(&bench.folder, Runs(TIMES));
    table.add(Row::new("disk: a new file of 8 KiB, it and its folder synced", "ms", file));
}
