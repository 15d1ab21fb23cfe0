//! `countersign key revoke`: the proposal after which a key of one's own counts for nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_keys::KeyDir;
use countersign_publish::proposal::{Intent, RevokeIntent};

use crate::command::propose::{ProposeArgs, Reason, propose};
use crate::error::CliError;
use crate::member;
use crate::publishing::KeysArgs;
use crate::site::Site;

/// Propose that a key counts for nothing any more
///
/// The same as `propose revoke`, for a key that is named as in the folder. Once it is published, no client accepts what
/// only that key vouches for, as soon as it refreshes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign key revoke ./repo alice --reason compromised --keys ./keys\n  countersign key revoke ./repo alice --reason lost --replacement alice-2 \\\n      --keys ./keys"
)]
pub(crate) struct RevokeArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The key's name
    name: String,
    /// Why: somebody else may have it, its holder has left, or nobody has it any more
    #[arg(long, value_enum)]
    reason: Reason,
    /// The key in its place: its name in the folder, its .pub file, or HOLDER=KEY
    #[arg(long, value_name = "KEY")]
    replacement: Option<String>,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &RevokeArgs, site: &Site) -> Result<ExitCode, CliError> {
    let dir = KeyDir::open(&args.keys.keys)?;
    let key = dir.find(&args.name)?;
    let replacement = args.replacement.as_deref().map(|text| member::in_folder(text, &dir)).transpose()?;
    let by = args.propose.by_user()?;
    let intent = Intent::Revoke(RevokeIntent { key: key.public, reason: args.reason.into(), replacement });
    propose(&args.repo, &intent, &format!("revoke-{}", args.name), &by, site)
}
