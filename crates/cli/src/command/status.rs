//! `countersign status`: is what is installed intact, and is what is trusted fresh?

use std::process::ExitCode;

use clap::Args;
use countersign_base::name::ProductName;
use countersign_base::text::escape;
use countersign_base::{Class, code};
use countersign_client::{Want, load};
use countersign_install::{Listed, Look, Status, View};
use serde::Serialize;

use crate::error::CliError;
use crate::machine::{self, RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// Check what is installed, file by file, and how fresh the trusted metadata is
///
/// Exits with 1 if an installed file was changed, its version was yanked, or metadata cannot be trusted any more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign status\n  countersign status acme/node --json")]
pub(crate) struct StatusArgs {
    /// Only this product
    #[arg(value_name = "NAME/PRODUCT")]
    target: Option<Target>,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(Serialize)]
struct Overview {
    ok: bool,
    /// The first trouble's code, for scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    products: Vec<Product>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<Damaged>,
    repositories: Vec<Repository>,
}

#[derive(Serialize)]
struct Product {
    product: String,
    repository: String,
    version: String,
    platform: String,
    path: String,
    intact: bool,
    problems: Vec<String>,
    /// Why the publisher has taken the version back.
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
}

/// A product whose record does not say what is installed.
#[derive(Serialize)]
struct Damaged {
    product: String,
    code: &'static str,
    problem: String,
}

#[derive(Serialize)]
struct Repository {
    repository: String,
    trusted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fresh_until: Option<String>,
}

impl Report for Overview {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for product in &self.products {
            let state = if product.intact { "intact" } else { "CHANGED" };
            lines.push(format!(
                "{}/{} {}  {}  {state}  {}",
                product.repository, product.product, product.version, product.platform, product.path
            ));
            lines.extend(product.problems.iter().map(|problem| format!("  {problem}")));
            if !product.problems.is_empty() {
                let (repository, name, version) = (&product.repository, &product.product, &product.version);
                lines.push(format!(
                    "  fix: `countersign fsck` tells more; `countersign install {repository}/{name}@{version}` puts it right"
                ));
            }
            if let Some(reason) = &product.yanked {
                lines.push(format!("  YANKED by its publisher: {}", escape(reason)));
                lines.push(
                    "  fix: `countersign update`, or `countersign rollback` where nothing newer is out"
                        .to_owned(),
                );
            }
            if let Some(previous) = &product.previous {
                lines.push(format!("  rollback would go to {previous}"));
            }
            if let Some(floor) = &product.floor {
                lines.push(format!("  nothing below {floor} can be installed"));
            }
        }
        for damaged in &self.damaged {
            lines.push(format!("{}  DAMAGED  {} ({})", damaged.product, damaged.problem, damaged.code));
        }
        for repository in &self.repositories {
            let name = &repository.repository;
            match (&repository.problem, &repository.fresh_until) {
                (Some(problem), _) => {
                    lines.push(format!("repository {name}  NOT TRUSTED NOW  {problem}"));
                    lines.extend(repository.fix.as_ref().map(|fix| format!("  fix: {fix}")));
                }
                (None, Some(until)) => lines.push(format!("repository {name}  fresh until {until}")),
                (None, None) => lines.push(format!("repository {name}")),
            }
        }
        if lines.is_empty() {
            lines.push("nothing is installed and no repository is trusted".to_owned());
        }
        lines
    }
}

pub(crate) fn run(args: &StatusArgs, site: &Site) -> Result<ExitCode, CliError> {
    let view = View::open(&args.root.path(site)?);
    let mut overview = Overview {
        ok: true,
        code: None,
        products: Vec::new(),
        damaged: Vec::new(),
        repositories: Vec::new(),
    };
    match &args.target {
        Some(target) => overview.add_product(&view.status(&target.product, Look::Files)?, site),
        None => {
            for Listed { product, .. } in view.list()? {
                match view.status(&product, Look::Files) {
                    Ok(status) => overview.add_product(&status, site),
                    // One that cannot be judged must not hide the others.
                    Err(error) => overview.add_damaged(&product, error.into()),
                }
            }
        }
    }
    for repository in machine::home(site)?.repositories()? {
        overview.add_repository(&repository, site);
    }
    let class = overview
        .code
        .and_then(countersign_base::Code::find)
        .map_or(Class::Refused, countersign_base::Code::class);
    let ok = overview.ok;
    site.out.report(&overview)?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(class.exit_status()) })
}

impl Overview {
    fn add_damaged(&mut self, product: &ProductName, error: CliError) {
        self.fail(error.code.name());
        self.damaged.push(Damaged {
            product: product.to_string(),
            code: error.code.name(),
            problem: error.what,
        });
    }

    fn add_product(&mut self, status: &Status, site: &Site) {
        let problems: Vec<String> = status.findings.iter().flatten().map(ToString::to_string).collect();
        if !problems.is_empty() {
            self.fail(code::INSTALL_CONTENT_CHANGED.name());
        }
        let releases = machine::kept_releases(status, site);
        let yanked = machine::yanked(&releases, &status.active.version).map(str::to_owned);
        if yanked.is_some() {
            self.fail(code::INSTALL_YANKED.name());
        }
        self.products.push(Product {
            product: status.product.to_string(),
            repository: status.active.repository_name.to_string(),
            version: status.active.version.to_string(),
            platform: status.active.platform.to_string(),
            path: status.path.display().to_string(),
            intact: problems.is_empty(),
            problems,
            yanked,
            previous: status.previous.as_ref().map(ToString::to_string),
            floor: status.floor.as_ref().map(ToString::to_string),
        });
    }

    fn add_repository(&mut self, repository: &countersign_client::Repository, site: &Site) {
        let loaded = load(repository, &Want::All, site.now);
        let mut entry = Repository {
            repository: repository.name().to_string(),
            trusted: loaded.is_ok(),
            problem: None,
            fix: None,
            fresh_until: None,
        };
        match loaded {
            Ok(trusted) => {
                let tuf = trusted.set.tuf();
                let top_level = ["root", "timestamp", "snapshot", "targets"];
                let roles = top_level.into_iter().chain(tuf.roles().map(|(role, _)| role));
                let soonest =
                    roles.filter_map(|role| tuf.version_and_expiry(role)).map(|(_, expires)| expires).min();
                entry.fresh_until = soonest.map(|time| time.to_string());
            }
            Err(error) => {
                let error = CliError::from(error);
                self.fail(error.code.name());
                entry.problem = Some(format!("{} ({})", error.what, error.code));
                entry.fix = match error.code {
                    // It says nothing about the publisher: newer metadata may be there to fetch.
                    code::TUF_EXPIRED => Some(
                        "`countersign update` or `verify FILE --refresh` fetch newer metadata; if that does not help, check the clock"
                            .to_owned(),
                    ),
                    _ => error.fix,
                };
            }
        }
        self.repositories.push(entry);
    }

    fn fail(&mut self, code: &'static str) {
        self.ok = false;
        self.code = self.code.or(Some(code));
    }
}
