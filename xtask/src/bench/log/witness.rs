//! The witness: checkpoints cosigned a second, each durable before its answer.

use std::process::Command;

use super::told::{Outcome, Told, median};
use super::{Bench, Row, Table};

pub(super) fn measure(bench: &Bench, table: &mut Table) {
    for (logs, least) in [(1, 1_300.0), (16, 5_000.0)] {
        let told = load(bench, logs);
        let (p50, p99) = (told.clone().map(|told| told.p50), told.clone().map(|told| told.p99));
        let together = told.clone().and_then(|told| told.number("checkpoints a sync"));
        let plural = if logs == 1 { "" } else { "s" };
        let rate = told.map(|told| told.rate);
        table.add(Row::new(format!("witness, {logs} log{plural}"), "checkpoints/s", rate).at_least(least));
        table.add(Row::new("  wait, median", "ms", p50));
        table.add(Row::new("  wait, 99 of 100", "ms", p99));
        table.add(Row::new("  checkpoints that share a sync", "", together));
    }
}

fn load(bench: &Bench, logs: u32) -> Outcome {
    let seconds = bench.extent.seconds().ceil() as u32;
    let run = |_| {
        let mut load = Command::new(&bench.programs.witness_load);
        Told::by(load.arg(bench.place()).args([logs.to_string(), seconds.to_string()]))
    };
    median((0..bench.extent.rounds()).map(run).collect())
}
