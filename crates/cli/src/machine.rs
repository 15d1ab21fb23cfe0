//! What the commands of a user's machine share: finding a product, its metadata and where it is installed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use countersign_base::code;
use countersign_base::name::{Channel, NameError, Platform, ProductName, RepoName, Version};
use countersign_client::{Hearing, Home, Mirrors, Panel, Repository, Trusted, Want, load, load_as_proven};
use countersign_install::Status;
use countersign_verify::{Agreed, Claim, DEFAULT_CHANNEL, Release, Verified, VerifyError, Wanted};

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
        channel(self.channel.as_ref())
    }
}

/// The channel that is named, or the one that is meant when none is.
pub(crate) fn channel(named: Option<&Channel>) -> Result<Channel, CliError> {
    match named {
        Some(channel) => Ok(channel.clone()),
        None => Ok(DEFAULT_CHANNEL.parse::<Channel>()?),
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

/// The trusted repository that the target means: the named one, the only one that has the product, or the first of
/// those that must agree on it.
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
        let known = known(&repository, site)?;
        if known.set.products().contains(&target.product) {
            having.push((repository, known));
        }
    }
    let product = &target.product;
    if let Some(first) = first_to_agree(&home, product, &having)? {
        return Ok(having.swap_remove(first).0);
    }
    match having.len() {
        1 => Ok(having.remove(0).0),
        0 => Err(CliError::new(
            code::INSTALL_PRODUCT_UNKNOWN,
            format!("no trusted repository has a product `{product}`"),
        )
        .fix("`countersign list` shows what there is")),
        _ => {
            let names: Vec<String> =
                having.iter().map(|(one, _)| format!("{}/{product}", one.name())).collect();
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

/// The metadata at hand or, where that has expired or is incomplete, what the repository has now.
fn known(repository: &Repository, site: &Site) -> Result<Trusted, CliError> {
    Ok(load(repository, &Want::All, site.now).or_else(|_| {
        let mirrors = repository.transport();
        let refreshed = countersign_client::refresh(repository, &mirrors, &Want::All, site.now);
        warn_of(&mirrors, site);
        refreshed
    })?)
}

/// Where several repositories must agree on the product's files, which of `having` is asked first.
fn first_to_agree(
    home: &Home,
    product: &ProductName,
    having: &[(Repository, Trusted)],
) -> Result<Option<usize>, CliError> {
    let Some(map) = home.map()? else { return Ok(None) };
    let some_release = having.iter().find_map(|(_, known)| known.set.all(product).ok()?.into_iter().next());
    let mapping = some_release.and_then(|release| map.covering(&release.value().path).next().cloned());
    let names = mapping.map(|mapping| mapping.repositories).unwrap_or_default();
    let place = |name: &RepoName| having.iter().position(|(repository, _)| repository.name() == name);
    Ok(names.iter().find_map(place))
}

/// The repository's metadata brought up to date.
pub(crate) fn refresh(
    repository: &Repository,
    mirrors: &Mirrors,
    product: &ProductName,
    site: &Site,
) -> Result<Trusted, CliError> {
    let products = [product.clone()];
    Ok(countersign_client::refresh(repository, mirrors, &Want::Products(&products), site.now)?)
}

/// Tells which of a repository's places were not good enough.
pub(crate) fn warn_of(mirrors: &Mirrors, site: &Site) {
    for bad in mirrors.turned_away() {
        site.out.warn(&format!("{} is passed over: {} ({})", bad.place, bad.message, bad.code));
    }
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

/// Asks the repositories that must agree on these files, if any must. Gives the names of those that list the same.
pub(crate) fn agreed(
    repository: &Repository,
    trusted: &Trusted,
    files: &[Verified<Release>],
    site: &Site,
) -> Result<Vec<RepoName>, CliError> {
    let home = home(site)?;
    let mut panel = Panel::open(&home, Hearing::Refreshed, site.now)?;
    panel.knows(repository, trusted);
    let mut names = Vec::new();
    for file in files {
        if let Agreed::By(agreeing) = panel.check(&Claim::of(file.value()))? {
            names.extend(agreeing);
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The releases of an installed product by the metadata at hand, also where that has expired: for what cannot be taken
/// back, such as a floor or a yank. None without usable metadata.
pub(crate) fn kept_releases(status: &Status, site: &Site) -> Vec<Verified<Release>> {
    let releases = || {
        let repository = home(site).ok()?.repository(&status.active.repository_name).ok()?;
        let want = Want::Products(std::slice::from_ref(&status.product));
        let trusted = load(&repository, &want, site.now).or_else(|_| load_as_proven(&repository, &want));
        trusted.ok()?.set.all(&status.product).ok()
    };
    releases().unwrap_or_default()
}

/// Why a version of them has been yanked, if it has.
pub(crate) fn yanked<'a>(releases: &'a [Verified<Release>], version: &Version) -> Option<&'a str> {
    let mut releases = releases.iter().map(Verified::value);
    releases.find(|release| release.path.version == *version)?.yanked.as_deref()
}

/// The refusal of a version that has been yanked.
pub(crate) fn yanked_error(product: &ProductName, version: &Version, reason: &str) -> CliError {
    let (product, version) = (product.to_string(), version.to_string());
    VerifyError::Yanked { product, version, reason: reason.to_owned() }.into()
}
