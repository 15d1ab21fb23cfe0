//! `countersign list`: what is installed, and what the trusted repositories offer.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use countersign_base::text::escape;
use countersign_client::{Repository, Trusted, Want, load};
use countersign_install::View;
use serde::Serialize;

use crate::error::CliError;
use crate::machine::{self, RootArgs, Target};
use crate::printer::Report;
use crate::site::Site;

/// List what is installed and what the trusted repositories offer
///
/// Looks at what this machine has; `update` or `verify --refresh` fetch first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign list\n  countersign list acme/node")]
pub(crate) struct ListArgs {
    /// Only this product, with all of its versions
    #[arg(value_name = "NAME/PRODUCT")]
    target: Option<Target>,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(Serialize)]
struct Listing {
    ok: bool,
    installed: Vec<Installed>,
    available: Vec<Available>,
}

#[derive(Serialize)]
struct Installed {
    repository: String,
    product: String,
    version: String,
    platform: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<String>,
}

/// One version of a product.
#[derive(Serialize)]
struct Available {
    repository: String,
    product: String,
    version: String,
    channel: String,
    platforms: Vec<String>,
    /// Why the publisher has taken it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    yanked: Option<String>,
}

impl Report for Listing {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for one in &self.installed {
            let state = if one.yanked.is_some() { "  YANKED" } else { "" };
            lines.push(format!(
                "installed  {}/{} {}  {}{state}  {}",
                one.repository, one.product, one.version, one.platform, one.path
            ));
        }
        for one in &self.available {
            lines.push(format!(
                "available  {}/{} {}  {}  {}",
                one.repository,
                one.product,
                one.version,
                one.channel,
                one.platforms.join(", ")
            ));
            lines.extend(one.yanked.as_ref().map(|reason| format!("           yanked: {}", escape(reason))));
        }
        if lines.is_empty() {
            lines.push("nothing is installed, and no trusted repository offers anything".to_owned());
        }
        lines
    }
}

pub(crate) fn run(args: &ListArgs, site: &Site) -> Result<ExitCode, CliError> {
    let wanted = |product: &str| args.target.as_ref().is_none_or(|target| target.product.as_str() == product);
    let mut installed = Vec::new();
    for listed in View::open(&args.root.path(site)?).list()? {
        if !wanted(listed.product.as_str()) {
            continue;
        }
        let status = listed.status?;
        installed.push(Installed {
            repository: status.active.repository_name.to_string(),
            product: status.product.to_string(),
            version: status.active.version.to_string(),
            platform: status.active.platform.to_string(),
            path: status.path.display().to_string(),
            yanked: machine::yanked(&machine::kept_releases(&status, site), &status.active.version)
                .map(str::to_owned),
        });
    }
    let home = machine::home(site)?;
    let named = args.target.as_ref().and_then(|target| target.repository.as_ref());
    let repositories = match named {
        Some(name) => vec![home.repository(name)?],
        None => home.repositories()?,
    };
    let mut available = Vec::new();
    for repository in &repositories {
        let trusted = load(repository, &Want::All, site.now)?;
        available.extend(offers(repository, &trusted, &wanted, args.target.is_some())?);
    }
    site.out.report(&Listing { ok: true, installed, available })?;
    Ok(ExitCode::SUCCESS)
}

/// The newest version of each product and channel, or with `every` all versions.
fn offers(
    repository: &Repository,
    trusted: &Trusted,
    wanted: &impl Fn(&str) -> bool,
    every: bool,
) -> Result<Vec<Available>, CliError> {
    let mut versions = BTreeMap::new();
    for product in trusted.set.products() {
        if !wanted(product.as_str()) {
            continue;
        }
        for verified in trusted.set.all(&product)? {
            let release = verified.value();
            if every || (release.is_newest() && release.yanked.is_none()) {
                let key = (product.clone(), release.path.version.clone(), release.channel.clone());
                let (platforms, yanked): &mut (Vec<String>, Option<String>) =
                    versions.entry(key).or_default();
                yanked.clone_from(&release.yanked);
                let platform = release.path.platform.to_string();
                if platforms.last() != Some(&platform) {
                    platforms.push(platform);
                }
            }
        }
    }
    let offers = versions.into_iter().map(|((product, version, channel), (platforms, yanked))| Available {
        repository: repository.name().to_string(),
        product: product.to_string(),
        version: version.to_string(),
        channel: channel.to_string(),
        platforms,
        yanked,
    });
    Ok(offers.collect())
}
