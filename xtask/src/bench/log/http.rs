//! The log over HTTP: one load on `countersign log serve` and on the personality of Tessera's POSIX storage, and
//! Tessera's own load on both.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::inside::{SHARES, wait_rows};
use super::server::Server;
use super::told::{Figure, Outcome, Told, in_turns};
use super::{Bench, Extent, Row, Table};

/// Connections, each with one entry in flight. Tessera's personality waits a second for 256 entries.
const CONNECTIONS: [u32; 3] = [64, 256, 700];
/// Seconds of load that do not count.
const WARM_SECONDS: f64 = 1.0;

/// Whose log it is.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Ours,
    Tessera,
}

/// A load of the generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// `add` or `rekor`.
    pub(super) kind: &'static str,
    pub(super) connections: u32,
    pub(super) seconds: f64,
    /// Entries a second, if not as many as are taken.
    pub(super) rate: Option<f64>,
    /// Entries of runs with different numbers differ.
    pub(super) run: u32,
}

impl Load {
    /// Plays it to a server that runs.
    pub(super) fn play(&self, bench: &Bench, server: &Server) -> Outcome {
        let mut load = Command::new(&bench.programs.http_load);
        load.args([self.kind, &server.address, "--connections", &self.connections.to_string()]);
        load.args(["--seconds", &self.seconds.to_string(), "--run", &self.run.to_string()]);
        if let Some(rate) = self.rate {
            load.args(["--rate", &rate.to_string()]);
        }
        let before = server.usage()?;
        let told = Told::by(&mut load)?;
        let after = server.usage()?;
        let answered = told.number("answered")?;
        let (cpu, written) = (after.cpu_us_each(&before, answered), after.written_each(&before, answered));
        let memory = after.resident_mib;
        let cost = format!("{cpu:.2} us of processor time an entry\n{written:.0} bytes written an entry\n");
        Ok(told.and(&format!("{cost}{memory:.1} MiB resident\n")))
    }
}

pub(super) fn measure(bench: &Bench, table: &mut Table) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for connections in CONNECTIONS {
        let play = |whose| move |_| play(bench, whose, connections, None);
        let (one, other) = in_turns(bench.extent.rounds(), play(Whose::Ours), play(Whose::Tessera));
        let mut row =
            Row::new(format!("over HTTP, 256 B, {connections} connections"), "entries/s", rate(&one));
        row = row.peer("Tessera's personality", Some(rate(&other)));
        table.add(row);
        ours.extend(one.map(|told| At { connections, told }));
        theirs.extend(other.map(|told| At { connections, told }));
    }
    let best = |all: Vec<At>| {
        let best = all.into_iter().max_by(|one, other| one.told.rate.total_cmp(&other.told.rate));
        best.ok_or_else(|| "nothing was measured".to_owned())
    };
    let (ours, theirs) = (best(ours), best(theirs));
    best_rows(table, &ours, &theirs);
    for share in SHARES {
        let at = |best: &Result<At, String>, whose| {
            let At { connections, told } = best.clone()?;
            // Enough that a wait is the log's, never that of a connection.
            play(bench, whose, connections.max(256), Some(told.rate * f64::from(share) / 100.0))
        };
        let (ours, theirs) = (at(&ours, Whose::Ours), at(&theirs, Whose::Tessera));
        wait_rows(table, &format!("over HTTP at {share} % of its most"), &ours, &theirs);
    }
    let (ours, theirs) = (hammer(bench, Whose::Ours), hammer(bench, Whose::Tessera));
    table.add(
        Row::new("over HTTP, Tessera's hammer, 256 writers", "entries/s", ours)
            .peer("Tessera's personality", Some(theirs)),
    );
}

/// A run with so many connections.
#[derive(Debug, Clone)]
struct At {
    connections: u32,
    told: Told,
}

fn rate(told: &Outcome) -> Result<f64, String> {
    told.as_ref().map(|told| told.rate).map_err(Clone::clone)
}

/// Each at the number of connections at which it takes most.
fn best_rows(table: &mut Table, ours: &Result<At, String>, theirs: &Result<At, String>) {
    let rows: [(&str, &'static str, Figure); 6] = [
        ("over HTTP, each at its best", "entries/s", |told| Ok(told.rate)),
        ("  wait for the index, median", "ms", |told| Ok(told.p50)),
        ("  wait for the index, 99 of 100", "ms", |told| Ok(told.p99)),
        ("  processor time of the server an entry", "us", Told::cpu),
        ("  bytes written to disk an entry", "B", Told::written),
        ("  memory of the server after it", "MiB", |told| told.number("MiB resident")),
    ];
    for (place, (what, unit, of)) in rows.into_iter().enumerate() {
        let value =
            |best: &Result<At, String>| best.as_ref().map_err(Clone::clone).and_then(|best| of(&best.told));
        let theirs = value(theirs);
        let mut row = Row::new(what, unit, value(ours));
        if let (0, Ok(theirs)) = (place, &theirs) {
            row = row.at_least(theirs * 3.0);
        }
        table.add(row.peer("Tessera's personality", Some(theirs)));
    }
}

/// One load on a new log.
fn play(bench: &Bench, whose: Whose, connections: u32, rate: Option<f64>) -> Outcome {
    start(bench, whose).and_then(|server| {
        let warm = Load { kind: "add", connections, seconds: WARM_SECONDS, rate, run: 0 };
        warm.play(bench, &server)?;
        Load { seconds: bench.extent.seconds(), run: 1, ..warm }.play(bench, &server)
    })
}

fn start(bench: &Bench, whose: Whose) -> Result<Server, String> {
    let folder = bench.place();
    match whose {
        Whose::Ours => Server::ours(&bench.programs, &folder, "any"),
        Whose::Tessera => Server::tessera(&bench.programs, &folder),
    }
}

/// Tessera's load generator, which verifies what it reads: entries a second under the checkpoint, once it runs.
///
/// # Errors
/// Where it does not end well: it does when the log has as many entries as it was told to write.
fn hammer(bench: &Bench, whose: Whose) -> Result<f64, String> {
    start(bench, whose).and_then(|server| hammer_on(bench, &server))
}

fn hammer_on(bench: &Bench, server: &Server) -> Result<f64, String> {
    let goal = if bench.extent == Extent::Quick { 20_000 } else { 200_000 };
    // It begins with the log's checkpoint, and Tessera's first one is that of an entry.
    Load { kind: "add", connections: 256, seconds: WARM_SECONDS, rate: None, run: 2 }.play(bench, server)?;
    let mut hammer = Command::new(bench.programs.peer("tessera-hammer")?);
    hammer.args([
        "--log_url",
        &format!("{}/", server.url()),
        "--log_public_key",
        &server.vkey,
        "--show_ui=false",
    ]);
    hammer.args(["--num_writers=256", "--max_write_ops=100000", "--dup_chance=0", "--leaf_min_size=256"]);
    hammer.args(["--max_runtime=3m", &format!("--leaf_write_goal={goal}")]);
    let mut hammer =
        hammer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    let mut seen = Vec::new();
    let status = loop {
        seen.push((Instant::now(), server.size()?));
        if let Some(status) = hammer.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        return Err(format!("the hammer ends with {status}"));
    }
    growth(&seen).ok_or_else(|| "the log did not grow".to_owned())
}

/// Entries a second, between the first growth that was seen and the last.
fn growth(seen: &[(Instant, f64)]) -> Option<f64> {
    let steps: Vec<_> = seen.windows(2).filter(|pair| pair[1].1 > pair[0].1).map(|pair| pair[1]).collect();
    let (first, last) = (steps.first()?, steps.last()?);
    let seconds = last.0.duration_since(first.0).as_secs_f64();
    (seconds > 0.0).then(|| (last.1 - first.1) / seconds)
}
