//! `countersign propose yank`: a version that shall no longer be installed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::{ProductName, Version};
use countersign_publish::proposal::{Intent, YankIntent};

use super::{ProposeArgs, propose};
use crate::error::CliError;
use crate::site::Site;

/// Propose to take a version back: no client installs it any more, and those that have it say so
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign propose yank ./repo node 1.4.0 \\\n      --reason 'loses data on restart; take 1.4.1'"
)]
pub(crate) struct YankArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product
    name: ProductName,
    /// The version, of all channels and platforms
    version: Version,
    /// Why, in a line for those who have it installed
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &YankArgs, site: &Site) -> Result<ExitCode, CliError> {
    let (product, version, reason) = (args.name.clone(), args.version.clone(), args.reason.clone());
    let name = format!("yank-{product}-{version}");
    let intent = Intent::Yank(YankIntent { product, version, reason });
    propose(&args.repo, &intent, &name, &args.propose.by_user()?, site)
}
