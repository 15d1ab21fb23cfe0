//! `countersign update`: the newest release of what is installed.

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::{ProductName, RepoName};
use countersign_base::{Class, code};
use countersign_install::{Listed, Look, Status, View};
use serde::Serialize;

use crate::command::install::{Choice, Installed, install};
use crate::error::CliError;
use crate::machine::{self, ChoiceArgs, RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// Update installed products to their newest release
///
/// Each stays on the channel and platform that it was installed from, unless others are named. One that cannot be
/// updated is told, and keeps no other from its update.
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
    #[serde(flatten)]
    trouble: Option<Trouble>,
}

/// What went wrong with some of the products.
#[derive(Serialize)]
struct Trouble {
    ok: bool,
    /// A refusal's code if there is one, else the first.
    code: &'static str,
    #[serde(skip)]
    class: Class,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    product: String,
    code: &'static str,
    message: String,
}

impl Report for Updated {
    fn lines(&self) -> Vec<String> {
        if self.updated.is_empty() && self.trouble.is_none() {
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
    let (mut updated, mut errors) = (Vec::new(), Vec::new());
    for Listed { product, status } in view.list()? {
        match status.map_err(CliError::from).and_then(|status| update(&status, None, args, site)) {
            Ok(installed) => updated.push(installed),
            Err(error) => errors.push((product, error)),
        }
    }
    let report = Updated { updated, trouble: Trouble::of(&errors) };
    site.out.report(&report)?;
    if !site.out.is_json() {
        for (product, mut error) in errors {
            error.what = format!("`{product}` is not updated: {}", error.what);
            site.out.error(&error);
        }
    }
    Ok(report.trouble.map_or(ExitCode::SUCCESS, |trouble| ExitCode::from(trouble.class.exit_status())))
}

impl Trouble {
    fn of(errors: &[(ProductName, CliError)]) -> Option<Self> {
        let refused = errors.iter().find(|(_, error)| error.class == Class::Refused);
        let (_, worst) = refused.or_else(|| errors.first())?;
        let failed = errors.iter().map(|(product, error)| Failed {
            product: product.to_string(),
            code: error.code.name(),
            message: error.what.clone(),
        });
        Some(Self { ok: false, code: worst.code.name(), class: worst.class, failed: failed.collect() })
    }
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
    install(&choice, &args.root.path(site)?, site).map_err(|error| {
        let version = &active.version;
        match machine::yanked(&machine::kept_releases(status, site), version) {
            // What is newest now is older than what is active, because that was yanked.
            Some(reason) if error.code == code::INSTALL_DOWNGRADE => {
                let product = &status.product;
                machine::yanked_error(product, version, reason)
                    .because("there is no newer release to update to")
                    .fix(format!(
                        "`countersign rollback {product}`, or install an older version with --downgrade"
                    ))
            }
            _ => error,
        }
    })
}
