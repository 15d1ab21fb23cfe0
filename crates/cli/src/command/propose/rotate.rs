//! `countersign propose rotate`: another key in place of one, wherever it is listed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_publish::proposal::{Intent, RotateIntent};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::member;
use crate::site::Site;

/// Propose another key in place of one, wherever the repository lists it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign propose rotate ./repo alice-2026.pub --to alice-2027.pub")]
pub(crate) struct RotateArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The key that goes: its .pub file, or the public key
    from: String,
    /// The key in its place: its .pub file, or HOLDER=KEY
    #[arg(long, value_name = "KEY")]
    to: String,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &RotateArgs, site: &Site) -> Result<ExitCode, CliError> {
    let (from, to) = (member::public_key(&args.from)?, member::parse(&args.to)?);
    let name = format!("rotate-{}", member::label(&args.from));
    let intent = Intent::Rotate(RotateIntent { from, to });
    propose(&args.repo, &intent, &name, &args.propose.by_user()?, site)
}
