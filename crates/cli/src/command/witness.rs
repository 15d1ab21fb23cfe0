//! `countersign witness`: cosign other people's logs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::site::Site;

/// Witness transparency logs
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    dir: PathBuf,
}

pub(crate) fn run(command: &WitnessCommand, _site: &Site) -> Result<ExitCode, CliError> {
    let WitnessCommand::Serve(_args) = command;
    Ok(ExitCode::SUCCESS)
}
