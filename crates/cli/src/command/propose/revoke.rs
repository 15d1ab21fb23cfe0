//! `countersign propose revoke`: a key counts for nothing any more.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use countersign_publish::proposal::{Intent, RevokeIntent, RevokeReason};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::member;
use crate::site::Site;

/// Propose that a key counts for nothing any more
///
/// Once it is published, no client accepts what only that key vouches for, as soon as it refreshes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign propose revoke ./repo alice.pub --reason compromised\n  countersign propose revoke ./repo ed25519:1a2b... \\\n      --reason lost --replacement alice-2.pub"
)]
pub(crate) struct RevokeArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The key: its .pub file, or the public key
    key: String,
    /// Why: somebody else may have it, its holder has left, or nobody has it any more
    #[arg(long, value_enum)]
    reason: Reason,
    /// The key in its place: its .pub file, or HOLDER=KEY [default: none, its roles have a key less]
    #[arg(long, value_name = "KEY")]
    replacement: Option<String>,
    #[command(flatten)]
    propose: ProposeArgs,
}

/// Why a key is revoked.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Reason {
    /// Somebody else has it, or may have it
    Compromised,
    /// Its holder has left, or it is replaced in good order
    Retired,
    /// Nobody has it any more
    Lost,
}

impl From<Reason> for RevokeReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Compromised => Self::Compromised,
            Reason::Retired => Self::Retired,
            Reason::Lost => Self::Lost,
        }
    }
}

pub(super) fn run(args: &RevokeArgs, site: &Site) -> Result<ExitCode, CliError> {
    let key = member::public_key(&args.key)?;
    let replacement = args.replacement.as_deref().map(member::parse).transpose()?;
    let name = format!("revoke-{}", member::label(&args.key));
    let intent = Intent::Revoke(RevokeIntent { key, reason: args.reason.into(), replacement });
    propose(&args.repo, &intent, &name, &args.propose.by_user()?, site)
}
