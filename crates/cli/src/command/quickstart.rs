//! `countersign quickstart`
use std::process::ExitCode;
use clap::Args;
use crate::error::CliError;
use crate::site::Site;

#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {}

pub(crate) fn run(_args: &QuickstartArgs, _site: &Site) -> Result<ExitCode, CliError> {
    Ok(ExitCode::SUCCESS)
}
