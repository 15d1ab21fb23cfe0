//! The log in process: entries a second, waits, and what an entry costs.

use std::process::Command;

use super::told::{Figure, Outcome, Told, median};
use super::{Bench, Row, Table};

/// How many writers offer entries.
const WRITERS: u32 = 256;
/// Shares of the most that each takes, for waits under a load that comes at its own pace.
pub(super) const SHARES: [u32; 3] = [10, 50, 90];

/// What is offered.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Bytes of an entry.
    bytes: u32,
    /// Entries that each writer has in flight.
    at_once: u32,
    /// Entries a second; as many as it takes if `None`.
    rate: Option<f64>,
}

/// How Tessera is set up: entries of a batch and the longest wait for it to fill, time between checkpoints.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    batch: &'static str,
    age: &'static str,
    checkpoint: &'static str,
}

/// The first are its defaults. For each load, the one with which Tessera takes most counts.
const TUNINGS: [Tuning; 3] = [
    Tuning { batch: "256", age: "250ms", checkpoint: "10s" },
    Tuning { batch: "512", age: "5ms", checkpoint: "1s" },
    Tuning { batch: "1024", age: "5ms", checkpoint: "1s" },
];

pub(super) fn measure(bench: &Bench, table: &mut Table) {
    let shape = Shape { bytes: 256, at_once: 16, rate: None };
    most(bench, table, shape, "256 B, 4096 in flight", Some(4.0));
    most(bench, table, Shape { bytes: 1024, ..shape }, "1 KiB, 4096 in flight", None);
    let lone = Shape { at_once: 1, ..shape };
    let best = most(bench, table, lone, "256 B, 256 in flight", None);
    shares(bench, table, lone, &best);
}

/// As much as each takes. Returns our rate, and Tessera's with what it was set up when it took most.
fn most(bench: &Bench, table: &mut Table, shape: Shape, what: &str, times: Option<f64>) -> Best {
    let mut runs: [Vec<Outcome>; 1 + TUNINGS.len()] = Default::default();
    for _ in 0..bench.extent.rounds() {
        runs[0].push(ours(bench, shape));
        for (place, tuning) in TUNINGS.into_iter().enumerate() {
            runs[1 + place].push(tessera(bench, shape, tuning));
        }
    }
    let [ours, theirs @ ..] = runs.map(median);
    let rate = |told: &Outcome| told.as_ref().map(|told| told.rate).map_err(Clone::clone);
    let best = best_tuning(&theirs);
    let tuning = &TUNINGS[best];
    let label = format!("in process, {what} (Tessera: {} entries or {})", tuning.batch, tuning.age);
    let mut row = Row::new(label, "entries/s", rate(&ours))
        .peer("Tessera", Some(rate(&theirs[best])))
        .peer("Tessera's defaults", Some(rate(&theirs[0])));
    if let (Some(times), Ok(theirs)) = (times, rate(&theirs[best])) {
        row = row.at_least(theirs * times);
    }
    table.add(row);
    bench.clear();
    let rows: [(&str, &'static str, Figure); 4] = [
        ("  wait for the index, median", "ms", |told| Ok(told.p50)),
        ("  wait for the index, 99 of 100", "ms", |told| Ok(told.p99)),
        ("  processor time an entry, load included", "us", Told::cpu),
        ("  bytes written to disk an entry", "B", Told::written),
    ];
    for (what, unit, of) in rows {
        let value = |told: &Outcome| told.as_ref().map_err(Clone::clone).and_then(of);
        table.add(Row::new(what, unit, value(&ours)).peer("Tessera", Some(value(&theirs[best]))));
    }
    Best { ours: rate(&ours), theirs: rate(&theirs[best]), tuning: TUNINGS[best] }
}

/// The place of the one that takes most.
fn best_tuning(outcomes: &[Outcome]) -> usize {
    let rate = |outcome: &Outcome| outcome.as_ref().map_or(0.0, |told| told.rate);
    let best = outcomes.iter().enumerate().max_by(|one, other| rate(one.1).total_cmp(&rate(other.1)));
    best.map_or(0, |(place, _)| place)
}

/// The most that each takes.
struct Best {
    ours: Result<f64, String>,
    theirs: Result<f64, String>,
    tuning: Tuning,
}

/// Waits when entries come at a share of the most that each takes.
fn shares(bench: &Bench, table: &mut Table, shape: Shape, best: &Best) {
    for share in SHARES {
        let at = |rate: f64| Shape { rate: Some(rate * f64::from(share) / 100.0), ..shape };
        let ours = best.ours.clone().and_then(|rate| ours(bench, at(rate)));
        let theirs = best.theirs.clone().and_then(|rate| tessera(bench, at(rate), best.tuning));
        wait_rows(table, &format!("in process at {share} % of its most"), &ours, &theirs);
    }
}

/// The waits of ours and of Tessera.
pub(super) fn wait_rows(table: &mut Table, what: &str, ours: &Outcome, theirs: &Outcome) {
    let rate = |told: &Outcome| told.as_ref().map_or(0.0, |told| told.rate);
    let what = format!("{what} ({:.0}/s; Tessera {:.0}/s)", rate(ours), rate(theirs));
    let median = |told: &Outcome| told.as_ref().map(|told| told.p50).map_err(Clone::clone);
    let most = |told: &Outcome| told.as_ref().map(|told| told.p99).map_err(Clone::clone);
    let wait = Row::new(format!("{what}: wait, median"), "ms", median(ours));
    table.add(wait.peer("Tessera", Some(median(theirs))));
    table.add(Row::new("  99 of 100", "ms", most(ours)).peer("Tessera", Some(most(theirs))));
}

fn ours(bench: &Bench, shape: Shape) -> Outcome {
    let folder = bench.place();
    let mut load = Command::new(&bench.programs.append);
    load.arg(&folder).arg(WRITERS.to_string()).arg(bench.extent.seconds().to_string());
    load.args(["--bytes", &shape.bytes.to_string(), "--at-once", &shape.at_once.to_string()]);
    if let Some(rate) = shape.rate {
        load.args(["--rate", &rate.to_string()]);
    }
    Told::by(&mut load)
}

fn tessera(bench: &Bench, shape: Shape, tuning: Tuning) -> Outcome {
    let folder = bench.place();
    let mut load = Command::new(bench.programs.peer("tessera-append")?);
    load.args(["-batch", tuning.batch, "-age", tuning.age, "-checkpoint", tuning.checkpoint]);
    load.args(["-writers", &WRITERS.to_string(), "-seconds", &bench.extent.seconds().to_string()]);
    load.args(["-bytes", &shape.bytes.to_string(), "-at-once", &shape.at_once.to_string()]);
    if let Some(rate) = shape.rate {
        load.args(["-rate", &rate.to_string()]);
    }
    load.arg(&folder);
    Told::by(&mut load)
}
