//! `countersign propose release`: files that become a version of a product once enough have signed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_publish::ReleaseOptions;

use super::ProposeArgs;
use crate::command::proposal::Shown;
use crate::command::release::FileProgress;
use crate::error::CliError;
use crate::machine;
use crate::publishing;
use crate::site::Site;

/// Propose files as a version of a product; they are copied into the proposal
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign propose release ./repo node 1.4.0 ./node \\\n      --why 'fixes the sync bug'"
)]
pub(crate) struct ReleaseArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product
    name: ProductName,
    /// The version, a semantic version such as 1.4.0
    version: Version,
    /// The files; their names and whether they are programs are kept
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The platform they are for [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// The channel [default: stable]
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &ReleaseArgs, site: &Site) -> Result<ExitCode, CliError> {
    let platform = args.platform.clone().map_or_else(machine::this_platform, Ok)?;
    let channel = machine::channel(args.channel.as_ref())?;
    let options = ReleaseOptions {
        product: &args.name,
        version: &args.version,
        platform: &platform,
        channel: &channel,
        files: &args.files,
    };
    let by = args.propose.by_user()?;
    let out = by.out(&format!("release-{}-{}-{}", args.name, args.version, platform.path_component()));
    let mut progress = FileProgress::new(&site.out);
    let proposal = publishing::without_keys(&args.repo, site, |publisher| {
        publisher.propose_release(&options, &by.proposed(), &out, &mut |done| progress.set(&done))
    });
    drop(progress);
    site.out.report(&Shown::proposed(&proposal?, site)?)?;
    Ok(ExitCode::SUCCESS)
}
