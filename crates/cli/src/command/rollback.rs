//! `countersign rollback`: back to the generation before, which is on this disk.

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::Version;
use countersign_install::Look;

use crate::command::install::{Installed, open};
use crate::error::CliError;
use crate::machine::{self, RootArgs, Target};
use crate::site::Site;

/// Go back to the version that was active before
///
/// Needs no network. Its files are hashed again first; nothing below the floor becomes active, and nothing
/// that the publisher has yanked.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign rollback acme/node")]
pub(crate) struct RollbackArgs {
    /// The product
    #[arg(value_name = "NAME/PRODUCT")]
    target: Target,
    #[command(flatten)]
    root: RootArgs,
    /// For scripts that give it to every command; generations on this disk are of one platform
    #[arg(long, value_name = "OS/ARCH", hide = true)]
    platform: Option<String>,
}

pub(crate) fn run(args: &RollbackArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut installer = open(&args.root.path(site)?, site)?;
    let status = installer.view().status(&args.target.product, Look::Records)?;
    let releases = machine::kept_releases(&status, site);
    // A floor only rises: one that was verified holds after its metadata has expired. Without usable metadata the floor
    // on record still holds.
    let floor: Option<Version> = releases.first().and_then(|release| release.value().floor.clone());
    if let Some(version) = &status.previous
        && let Some(reason) = machine::yanked(&releases, version)
    {
        return Err(machine::yanked_error(&status.product, version, reason));
    }
    let done = installer.rollback(&status.product, floor.as_ref(), site.now)?;
    let repository = done.generation.repository_name.to_string();
    site.out.report(&Installed::new(&repository, &status.product, &done).after(&installer))?;
    Ok(ExitCode::SUCCESS)
}
