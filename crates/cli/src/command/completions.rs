//! `countersign completions SHELL`: a completion script for a shell.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use crate::args::Cli;
use crate::error::CliError;
use crate::site::Site;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign completions bash > ~/.local/share/bash-completion/completions/countersign"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &CompletionsArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "countersign", &mut script);
    site.out.raw(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
