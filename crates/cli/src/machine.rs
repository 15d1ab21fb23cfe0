//! What the commands of a user's machine share: finding a product, its metadata and where it is installed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use countersign_base::code;
use countersign_base::name::{Channel, NameError, Platform, ProductName, RepoName, Version};
use countersign_client::{Home, Repository, Trusted, Want, load, transport};
use countersign_verify::{DEFAULT_CHANNEL, Release, Verified, Wanted};

use crate::error::CliError;
use crate::site::Site;

/// `NAME/PRODUCT[@VERSION]`, or `PRODUCT[@VERSION]` where one trusted repository has it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) repository: Option<RepoName>,
    pub(crate) product: ProductName,
    pub(crate) version: Option<Version>,
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (rest, version) = match text.split_once('@') {
            Some((rest, version)) => (rest, Some(version.parse()?)),
            None => (text, None),
        };
        let (repository, product) = match rest.split_once('/') {
            Some((repository, product)) => (Some(repository.parse()?), product),
            None => (None, rest),
        };
        Ok(Self { repository, product: product.parse()?, version })
    }
}

/// Where products are installed, for the commands that look there.
#[derive(Debug, Args)]
pub(crate) struct RootArgs {
    /// Folder of the installed products; active files are at DIR/PRODUCT/current [default: `installed` in
    /// the folder of --home]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl RootArgs {
    pub(crate) fn path(&self, site: &Site) -> Result<PathBuf, CliError> {
        match &self.root {
            Some(root) => Ok(root.clone()),
            None => Ok(site.home()?.join("installed")),
        }
    }
}

/// Which of a product's releases, for the commands that choose one.
#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
    /// Platform to take [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Channel to take the newest release from
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<Channel>,
}

impl ChoiceArgs {
    pub(crate) fn platform(&self) -> Result<Platform, CliError> {
        self.platform.clone().map_or_else(this_platform, Ok)
    }

    pub(crate) fn channel(&self) -> Result<Channel, CliError> {
        match &self.channel {
            Some(channel) => Ok(channel.clone()),
            None => Ok(DEFAULT_CHANNEL.parse::<Channel>()?),
        }
    }
}

/// The platform that this binary was built for, in the usual names.
pub(crate) fn this_platform() -> Result<Platform, CliError> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    Ok(format!("{os}/{arch}").parse::<Platform>()?)
}

/// The repositories that this machine trusts.
pub(crate) fn home(site: &Site) -> Result<Home, CliError> {
    Ok(Home::new(site.home()?))
}

/// The trusted repository that the target means: the named one, or the only one that has the product.
pub(crate) fn repository_of(target: &Target, site: &Site) -> Result<Repository, CliError> {
    let home = home(site)?;
    if let Some(name) = &target.repository {
        return Ok(home.repository(name)?);
    }
    let repositories = home.repositories()?;
    if repositories.is_empty() {
        return Err(no_repository());
    }
    let mut having = Vec::new();
    for repository in repositories {
        if known_products(&repository, site)?.contains(&target.product) {
            having.push(repository);
        }
    }
    let product = &target.product;
    match having.len() {
        1 => Ok(having.remove(0)),
        0 => Err(CliError::new(
            code::INSTALL_PRODUCT_UNKNOWN,
            format!("no trusted repository has a product `{product}`"),
        )
        .fix("`countersign list` shows what there is")),
        _ => {
            let names: Vec<String> = having.iter().map(|one| format!("{}/{product}", one.name())).collect();
            Err(CliError::new(
                code::INSTALL_AMBIGUOUS,
                format!("{} trusted repositories have a product `{product}`", having.len()),
            )
            .fix(format!("say which: {}", names.join(" or "))))
        }
    }
}

pub(crate) fn no_repository() -> CliError {
    CliError::new(code::TRUST_REPO_UNKNOWN, "no repository is trusted on this machine yet")
        .fix("`countersign trust add NAME URL ANCHOR`, with the anchor line that the publisher gives out")
}

/// By the metadata at hand or, where that has expired or is incomplete, by what the repository has now.
fn known_products(repository: &Repository, site: &Site) -> Result<Vec<ProductName>, CliError> {
    let trusted = load(repository, &Want::All, site.now).or_else(|_| {
        let transport = transport::open(repository.location());
        countersign_client::refresh(repository, &*transport, &Want::All, site.now)
    })?;
    Ok(trusted.set.products())
}

/// The repository's metadata brought up to date.
pub(crate) fn refresh(
    repository: &Repository,
    product: &ProductName,
    site: &Site,
) -> Result<Trusted, CliError> {
    let transport = transport::open(repository.location());
    let products = [product.clone()];
    Ok(countersign_client::refresh(repository, &*transport, &Want::Products(&products), site.now)?)
}

/// The files of the release that is wanted.
pub(crate) fn select(
    trusted: &Trusted,
    product: &ProductName,
    version: Option<&Version>,
    platform: &Platform,
    channel: &Channel,
) -> Result<Vec<Verified<Release>>, CliError> {
    let wanted = Wanted { product, platform, version, channel };
    trusted.set.select(&wanted).map_err(|error| {
        let error = CliError::from(error);
        match error.code {
            code::INSTALL_PRODUCT_UNKNOWN => error.fix("`countersign list` shows what there is"),
            code::INSTALL_VERSION_UNKNOWN => {
                error.fix(format!("`countersign list {product}` shows every version and its platforms"))
            }
            _ => error,
        }
    })
}
