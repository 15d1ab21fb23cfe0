//! `countersign update`: the newest release of what is installed.

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::RepoName;
use countersign_install::{Look, Status, View};
use serde::Serialize;

use crate::command::install::{Choice, Installed, install};
use crate::error::CliError;
use crate::machine::{self, ChoiceArgs, RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// Update installed products to their newest release
///
/// Each stays on the channel and platform that it was installed from, unless others are named.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign update            everything installed\n  countersign update acme/node"
)]
pub(crate) struct UpdateArgs {
    /// What to update [default: everything installed]
    #[arg(value_name = "NAME/PRODUCT")]
    target: Option<Target>,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
}

#[derive(Serialize)]
struct Updated {
    updated: Vec<Installed>,
}

impl Report for Updated {
    fn lines(&self) -> Vec<String> {
        if self.updated.is_empty() {
            return vec!["nothing is installed here".to_owned()];
        }
        self.updated.iter().flat_map(Report::lines).collect()
    }
}

pub(crate) fn run(args: &UpdateArgs, site: &Site) -> Result<ExitCode, CliError> {
    let root = args.root.path(site)?;
    let view = View::open(&root);
    if let Some(target) = &args.target {
        let status = view.status(&target.product, Look::Records)?;
        let installed = update(&status, target.repository.as_ref(), args, site)?;
        site.out.report(&installed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut updated = Vec::new();
    for listed in view.list()? {
        updated.push(update(&listed.status?, None, args, site)?);
    }
    site.out.report(&Updated { updated })?;
    Ok(ExitCode::SUCCESS)
}

fn update(
    status: &Status,
    named: Option<&RepoName>,
    args: &UpdateArgs,
    site: &Site,
) -> Result<Installed, CliError> {
    let active = &status.active;
    let repository = machine::home(site)?.repository(named.unwrap_or(&active.repository_name))?;
    let choice = Choice {
        repository: &repository,
        product: &status.product,
        version: args.target.as_ref().and_then(|target| target.version.as_ref()),
        platform: args.choice.platform.as_ref().unwrap_or(&active.platform),
        channel: args.choice.channel.as_ref().unwrap_or(&active.channel),
        downgrade: false,
    };
    install(&choice, &args.root.path(site)?, site)
}
