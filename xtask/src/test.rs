//! The one test command: everything that must pass before a change lands, cheap gates first.
//!
//! All steps run even where one fails, so that one run tells everything. What cannot run because a registry
//! is out of reach is named at the end; with `CI=true` nothing may be left out.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{fuzz, peers, sh, tidy};

/// Our client with the command line of tuf-conformance; the differential tests drive it.
const TUF_CLIENT: &str = "countersign-testkit/tuf-client";
/// What is linted beyond the default: that client, and the load of `bench log`, which no test runs.
const LINTED: &str = "countersign-testkit/tuf-client,countersign-testkit/load";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

/// What ran, with what verdict, and how long it took.
#[derive(Default)]
struct Report {
    steps: Vec<(String, Verdict, Duration)>,
}

impl Report {
    fn step(&mut self, name: &str, run: impl FnOnce() -> bool) {
        eprintln!("== {name}");
        let start = Instant::now();
        let verdict = if run() { Verdict::Passed } else { Verdict::Failed };
        self.steps.push((name.to_owned(), verdict, start.elapsed()));
    }

    fn not_run(&mut self, name: &str) {
        self.steps.push((name.to_owned(), Verdict::NotRun, Duration::ZERO));
    }

    /// Whether nothing failed and, where `complete` is asked for, nothing was left out.
    fn passed(&self, complete: bool) -> bool {
        let bad = |verdict| verdict == Verdict::Failed || (complete && verdict == Verdict::NotRun);
        !self.steps.iter().any(|(_, verdict, _)| bad(*verdict))
    }

    fn print(&self) {
        eprintln!();
        for (name, verdict, time) in &self.steps {
            let verdict = match verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::NotRun => "not run",
            };
            eprintln!("{verdict:8} {:7.1} s  {name}", time.as_secs_f64());
        }
    }
}

/// Runs everything; true where all of it passed.
pub(crate) fn run(root: &Path) -> bool {
    let mut report = Report::default();
    report.step("tidy", || tidy::run(root, false));
    report.step("format", || sh::passes(sh::cargo(root).args(["fmt", "--all", "--check"])));
    if sh::ci() {
        report.step("Cargo.lock is committed as it is used", || lock_is_committed(root));
    }
    let mut installed = None;
    report.step("peers", || {
        installed = Some(peers::install(root));
        true
    });
    let peers = installed.unwrap_or_else(|| peers::install(root));
    report.step("clippy", || {
        let mut clippy = sh::cargo(root);
        clippy.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            LINTED,
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]);
        sh::passes(&mut clippy)
    });
    let deny = peers.bin.join("cargo-deny");
    if deny.is_file() {
        report.step("cargo-deny", || {
            let check =
                ["--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
            sh::passes(Command::new(deny).current_dir(root).args(check))
        });
    }
    report.step("tests", || {
        let mut test = sh::cargo(root);
        // All of it, also behind a failure: one run tells everything.
        test.args(["test", "--workspace", "--locked", "--quiet", "--no-fail-fast", "--features", TUF_CLIENT])
            .env("COUNTERSIGN_PEERS", &peers.bin);
        sh::passes(&mut test)
    });
    if fuzz::is_possible() {
        report.step("fuzz targets, a short pass", || fuzz::run(root, "", fuzz::SHORT_SECONDS));
    } else {
        report.not_run("fuzz targets: there is no C++ compiler");
    }
    for program in &peers.missing {
        report.not_run(&format!("what needs `{program}`"));
    }
    report.print();
    report.passed(sh::ci())
}

/// Whether what cargo resolved here is what the commit says.
fn lock_is_committed(root: &Path) -> bool {
    sh::passes(Command::new("git").current_dir(root).args([
        "diff",
        "--exit-code",
        "--stat",
        "HEAD",
        "--",
        "Cargo.lock",
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_out_passes_only_where_it_may() {
        let mut report = Report::default();
        report.step("one", || true);
        assert!(report.passed(true));
        report.not_run("two");
        assert!(report.passed(false));
        assert!(!report.passed(true));
        report.step("three", || false);
        assert!(!report.passed(false));
    }
}
