//! `countersign propose advisory`: a description of a vulnerability, published with the product.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::ProductName;

use super::ProposeArgs;
use crate::command::proposal::Shown;
use crate::error::CliError;
use crate::member;
use crate::publishing;
use crate::site::Site;

/// Propose an advisory about a product, a file in the OSV form
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign propose advisory ./repo node ./GHSA-xxxx-xxxx-xxxx.json")]
pub(crate) struct AdvisoryArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product
    name: ProductName,
    /// The advisory, OSV JSON
    file: PathBuf,
    #[command(flatten)]
    propose: ProposeArgs,
}

pub(super) fn run(args: &AdvisoryArgs, site: &Site) -> Result<ExitCode, CliError> {
    let by = args.propose.by_user()?;
    let out = by.out(&format!("advisory-{}", member::label(&args.file.to_string_lossy())));
    let proposal = publishing::without_keys(&args.repo, site, |publisher| {
        publisher.propose_advisory(&args.name, &args.file, &by.proposed(), &out)
    })?;
    site.out.report(&Shown::proposed(&proposal, site)?)?;
    Ok(ExitCode::SUCCESS)
}
