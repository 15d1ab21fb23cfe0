//! `countersign rollback`: back to the generation before, which is on this disk.

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::Version;
use countersign_client::{Want, load, load_as_proven};
use countersign_install::{Look, Status};

use crate::command::install::{Installed, open};
use crate::error::CliError;
use crate::machine::{self, RootArgs, Target};
use crate::site::Site;

/// Go back to the version that was active before
///
/// Needs no network. Its files are hashed again first; nothing below the floor becomes active.
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
    let floor = publishers_floor(&status, site);
    let done = installer.rollback(&status.product, floor.as_ref(), site.now)?;
    let repository = done.generation.repository_name.to_string();
    site.out.report(&Installed::new(&repository, &status.product, &done).after(&installer))?;
    Ok(ExitCode::SUCCESS)
}

/// The publisher's floor by the metadata at hand. Without usable metadata the floor on record still holds.
fn publishers_floor(status: &Status, site: &Site) -> Option<Version> {
    let repository = machine::home(site).ok()?.repository(&status.active.repository_name).ok()?;
    let want = Want::Products(std::slice::from_ref(&status.product));
    // A floor only rises: one that was verified holds after its metadata has expired.
    let trusted = load(&repository, &want, site.now).or_else(|_| load_as_proven(&repository, &want)).ok()?;
    let releases = trusted.set.all(&status.product).ok()?;
    releases.first().and_then(|release| release.value().floor.clone())
}
