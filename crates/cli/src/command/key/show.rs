//! `countersign key show`: all that is known about one key without opening it.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Shown;
use crate::error::CliError;
use crate::printer::Report;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// Show one key: whose it is, what it signs, where it is, its public half
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign key show node-1 --keys ./keys")]
pub(crate) struct ShowArgs {
    /// The key's name
    name: String,
    #[command(flatten)]
    keys: KeysArgs,
}

#[derive(Serialize)]
struct One {
    ok: bool,
    #[serde(flatten)]
    key: Shown,
}

impl Report for One {
    fn lines(&self) -> Vec<String> {
        self.key.lines()
    }
}

pub(super) fn run(args: &ShowArgs, site: &Site) -> Result<ExitCode, CliError> {
    let (_, due) = super::find(&args.keys.keys, &args.name, site)?;
    site.out.report(&One { ok: true, key: Shown::new(&due) })?;
    Ok(ExitCode::SUCCESS)
}
