//! `countersign key rotate`: the proposal that swaps a key of one's own everywhere.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_keys::KeyDir;
use countersign_publish::proposal::{Intent, RotateIntent};

use crate::command::propose::{ProposeArgs, propose};
use crate::error::CliError;
use crate::member;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// Propose another key in place of one, wherever the repository lists it
///
/// The same as `propose rotate`, for a key that is named as in the folder. Make the new key with `key new` first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign key rotate ./repo alice-2026 --to alice-2027 --keys ./keys")]
pub(crate) struct RotateArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The key's name
    name: String,
    /// The key in its place: its name in the folder, its .pub file, or HOLDER=KEY
    #[arg(long, value_name = "KEY")]
    to: String,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &RotateArgs, site: &Site) -> Result<ExitCode, CliError> {
    let dir = KeyDir::open(&args.keys.keys)?;
    let from = dir.find(&args.name)?;
    let to = member::in_folder(&args.to, &dir)?;
    let by = args.propose.by_holder(&from.holder)?;
    let intent = Intent::Rotate(RotateIntent { from: from.public, to });
    propose(&args.repo, &intent, &format!("rotate-{}", args.name), &by, site)
}
