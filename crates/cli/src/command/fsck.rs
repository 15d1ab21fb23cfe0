//! `countersign fsck`: everything that is installed against its records, and a damaged record from its copy.

use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::name::ProductName;
use countersign_install::{Finding, View};
use serde::Serialize;

use crate::command::install::open;
use crate::error::CliError;
use crate::machine::{RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// Hash everything that is installed and compare it with its records
///
/// Looks at every generation on disk and at the store, where `status` looks at what is active. Exits with 1 if
/// anything differs. Installing a version again makes a whole generation of it; a damaged one from before is
/// collected when newer ones have taken its place.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign fsck\n  countersign fsck acme/node --root /opt/acme --repair"
)]
pub(crate) struct FsckArgs {
    /// Only this product
    #[arg(value_name = "NAME/PRODUCT")]
    target: Option<Target>,
    #[command(flatten)]
    root: RootArgs,
    /// Restore a damaged record from its second copy first
    #[arg(long)]
    repair: bool,
}

#[derive(Serialize)]
struct Findings {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    products: Vec<String>,
    repaired: Vec<String>,
    problems: Vec<Problem>,
    #[serde(skip)]
    records_damaged: bool,
}

#[derive(Serialize)]
struct Problem {
    path: String,
    problem: String,
}

impl Report for Findings {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.repaired.iter().map(|product| format!("the record of {product} is restored")).collect();
        lines.extend(self.problems.iter().map(|one| format!("`{}`: {}", one.path, one.problem)));
        if self.products.is_empty() {
            lines.push("nothing is installed here".to_owned());
        } else if self.ok {
            lines.push(format!("{}: every file is what was verified", self.products.join(", ")));
        } else if self.records_damaged {
            lines.push("restore the record first: `countersign fsck --repair`".to_owned());
        } else {
            lines.push("install the damaged version again: NAME/PRODUCT@VERSION".to_owned());
        }
        lines
    }
}

pub(crate) fn run(args: &FsckArgs, site: &Site) -> Result<ExitCode, CliError> {
    let root = args.root.path(site)?;
    let view = View::open(&root);
    let products: Vec<ProductName> = match &args.target {
        Some(target) => vec![target.product.clone()],
        None => view.list()?.into_iter().map(|listed| listed.product).collect(),
    };
    let mut repaired = Vec::new();
    if args.repair && !products.is_empty() {
        let mut installer = open(&root, site)?;
        for product in &products {
            if installer.repair(product)? {
                repaired.push(product.to_string());
            }
        }
    }
    let mut found: Vec<Finding> = Vec::new();
    for product in &products {
        found.extend(view.fsck(product)?);
    }
    found.extend(view.fsck_store()?);
    let problems: Vec<Problem> = found
        .iter()
        .map(|one| Problem { path: one.path.display().to_string(), problem: one.problem.to_string() })
        .collect();
    let ok = problems.is_empty();
    let class = code::INSTALL_CONTENT_CHANGED.class();
    site.out.report(&Findings {
        ok,
        code: (!ok).then(|| code::INSTALL_CONTENT_CHANGED.name()),
        products: products.iter().map(ToString::to_string).collect(),
        repaired,
        problems,
        records_damaged: found
            .iter()
            .any(|one| matches!(one.problem, countersign_install::Problem::Record(_))),
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(class.exit_status()) })
}
