//! `countersign completions SHELL`: a completion script for a shell.

use std::process::ExitCode;

use clap::{Args, Command};
use serde_json::json;

use crate::error::CliError;
use crate::site::Site;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign completions bash \\\n      > ~/.local/share/bash-completion/completions/countersign"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &CompletionsArgs, mut program: Command, site: &Site) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "countersign", &mut script);
    let (shell, script) = (args.shell.to_string(), String::from_utf8_lossy(&script).into_owned());
    if site.out.is_json() {
        site.out.raw(&format!("{:#}\n", json!({ "shell": shell, "script": script })))?;
    } else {
        site.out.raw(&script)?;
    }
    Ok(ExitCode::SUCCESS)
}
