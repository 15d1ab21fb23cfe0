//! The `countersign` binary: one file a subcommand, one place that writes to the terminal.
//!
//! A command parses its arguments, calls the crates below and hands the [`printer::Printer`] one report. The
//! clock is read once, here, so that every check of a run sees the same instant.
#![forbid(unsafe_code)]

mod args;
mod command;
mod error;
mod evidence;
mod global;
mod machine;
mod member;
mod passphrase;
mod printer;
mod progress;
mod publishing;
mod site;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::Cli;
use crate::printer::Printer;
use crate::site::Site;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Printer::from_raw_args().usage(&error, Cli::command()),
    };
    let printer = Printer::new(&cli.global);
    let outcome = Site::new(&cli.global, printer.clone())
        .and_then(|site| command::dispatch(cli.command, Cli::command, &site));
    let status = match outcome {
        Ok(status) => status,
        Err(error) => printer.error(&error),
    };
    printer.finish();
    status
}
