//! The project's own chores, run as `cargo xtask <chore>`.
//!
//! `tidy` holds the house rules that no compiler knows, `test` is the one test command, `peers` installs
//! what the interop tests run against, `bench` measures the budgets of the design, `fuzz` looks for inputs that
//! break a parser.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]

mod bench;
mod fuzz;
mod peers;
mod sh;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  tidy [--fix]   check the house rules; --fix writes what is generated
  test           everything that must pass before a change lands
  peers          install the programs that the interop tests run against
  bench [-n N]   measure the budgets (N runs each, default 11)
  bench log [--quick | --only SECTION]
                 measure the log, the witness and Rekor v2 beside other people's
  fuzz [TARGET [SECONDS]]
                 run the fuzz targets whose name contains TARGET (default all, 60 seconds each)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = sh::root();
    let done = match args.as_slice() {
        ["tidy"] => tidy::run(&root, false),
        ["tidy", "--fix"] => tidy::run(&root, true),
        ["test"] => test::run(&root),
        ["peers"] => peers::run(&root),
        ["bench"] => bench::run(&root, bench::DEFAULT_RUNS),
        ["bench", "-n", runs] => match runs.parse() {
            Ok(runs) if runs > 0 => bench::run(&root, runs),
            _ => usage(),
        },
        ["bench", "log"] => bench::run_log(&root, bench::Extent::Full, None),
        ["bench", "log", "--quick"] => bench::run_log(&root, bench::Extent::Quick, None),
        ["bench", "log", "--only", section] => bench::run_log(&root, bench::Extent::Full, Some(section)),
        ["fuzz"] => fuzz::run(&root, "", fuzz::DEFAULT_SECONDS),
        ["fuzz", target] => fuzz::run(&root, target, fuzz::DEFAULT_SECONDS),
        ["fuzz", target, seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::run(&root, target, seconds),
            Err(_) => usage(),
        },
        _ => usage(),
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> bool {
    eprintln!("{USAGE}");
    false
}
