//! `countersign install`: from a name to running files, through every check.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::{Channel, Platform, ProductName, RepoName, Version};
use countersign_base::{Class, Explain as _, code};
use countersign_client::transport::{FetchError, Transport};
use countersign_client::{Mirrors, Repository, Trouble, in_turn};
use countersign_install::{Activated, DEFAULT_KEPT_GENERATIONS, InstallError, Installer, Request, View};
use countersign_verify::{Release, Verified};
use serde::Serialize;

use crate::error::CliError;
use crate::evidence::Evidence;
use crate::machine::{self, ChoiceArgs, RootArgs, Target};
use crate::printer::{Notice, Report};
use crate::progress::Progress;
use crate::site::Site;

/// Verify and install a product's newest release, or the named version
///
/// Fetches metadata and files, checks signatures, log proofs and witnesses, then makes the release active in one
/// step. Whatever is refused leaves what was active before active and unchanged.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign install acme/node\n  countersign install acme/node@1.4.0 --root /opt/acme"
)]
pub(crate) struct InstallArgs {
    /// NAME/PRODUCT[@VERSION]; PRODUCT alone where one trusted repository has it
    #[arg(value_name = "NAME/PRODUCT[@VERSION]")]
    target: Target,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Allow the version that is named to be older than the active one; never one below the floor
    #[arg(long)]
    downgrade: bool,
}

/// What `install` and `update` print.
#[derive(Serialize)]
pub(crate) struct Installed {
    ok: bool,
    changed: bool,
    repository: String,
    product: String,
    version: String,
    platform: String,
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    path: String,
    files: Vec<String>,
    /// The repositories that list the same files, where several must.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agreed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    /// What else happened; people were told when it did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<Notice>,
}

impl Installed {
    pub(crate) fn new(repository: &str, product: &ProductName, done: &Activated) -> Self {
        let generation = &done.generation;
        Self {
            ok: true,
            changed: done.changed,
            repository: repository.to_owned(),
            product: product.to_string(),
            version: generation.version.to_string(),
            platform: generation.platform.to_string(),
            channel: generation.channel.to_string(),
            replaced: done.replaced.as_ref().map(ToString::to_string),
            path: done.path.display().to_string(),
            files: generation.files.iter().map(|file| file.name.to_string()).collect(),
            agreed: Vec::new(),
            evidence: None,
            notices: Vec::new(),
        }
    }

    /// Adds what had to be put in order before.
    pub(crate) fn after(mut self, installer: &Installer) -> Self {
        let notice = |recovered: &countersign_install::Recovered| Notice {
            code: code::INSTALL_RECOVERED.name(),
            message: recovered.to_string(),
        };
        self.notices = installer.recovered().iter().map(notice).collect();
        self
    }

    /// Adds which places of the repository were not good enough.
    fn passing_over(mut self, mirrors: &Mirrors) -> Self {
        self.notices.extend(mirrors.turned_away().into_iter().map(|bad| Notice {
            code: bad.code.name(),
            message: format!("{} is passed over: {}", bad.place, bad.message),
        }));
        self
    }

    pub(crate) fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = Some(evidence);
        self
    }
}

impl Report for Installed {
    fn lines(&self) -> Vec<String> {
        let what = format!("{} {} for {}", self.product, self.version, self.platform);
        let what = match (&self.replaced, self.changed) {
            (_, false) => format!("{what} is active already"),
            (Some(old), true) if *old == self.version => {
                format!("{what} is installed anew and active")
            }
            (Some(old), true) => format!("{what} is active, in place of {old}"),
            (None, true) => format!("{what} is installed and active"),
        };
        let mut lines = vec![what];
        lines.extend(
            self.files.iter().map(|file| format!("  {}", Path::new(&self.path).join(file).display())),
        );
        if !self.agreed.is_empty() {
            lines.push(format!("  agreed    {}", self.agreed.join(", ")));
        }
        if let Some(evidence) = &self.evidence {
            lines.extend(evidence.lines().into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

/// A release to make active.
pub(crate) struct Choice<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) product: &'a ProductName,
    pub(crate) version: Option<&'a Version>,
    pub(crate) platform: &'a Platform,
    pub(crate) channel: &'a Channel,
    pub(crate) downgrade: bool,
}

pub(crate) fn run(args: &InstallArgs, site: &Site) -> Result<ExitCode, CliError> {
    let repository = machine::repository_of(&args.target, site)?;
    let (platform, channel) = (args.choice.platform()?, args.choice.channel()?);
    let choice = Choice {
        repository: &repository,
        product: &args.target.product,
        version: args.target.version.as_ref(),
        platform: &platform,
        channel: &channel,
        // What the newest version is, the repository says: going back to that is nobody's wish.
        downgrade: args.downgrade && args.target.version.is_some(),
    };
    let installed = install(&choice, &args.root.path(site)?, site)?;
    site.out.report(&installed)?;
    Ok(ExitCode::SUCCESS)
}

/// Refreshes, downloads what is missing and activates.
pub(crate) fn install(choice: &Choice<'_>, root: &Path, site: &Site) -> Result<Installed, CliError> {
    let mirrors = choice.repository.transport();
    let installed = install_from(&mirrors, choice, root, site);
    machine::warn_of(&mirrors, site);
    Ok(installed?.passing_over(&mirrors))
}

fn install_from(
    mirrors: &Mirrors,
    choice: &Choice<'_>,
    root: &Path,
    site: &Site,
) -> Result<Installed, CliError> {
    let trusted = machine::refresh(choice.repository, mirrors, choice.product, site)?;
    let files = machine::select(&trusted, choice.product, choice.version, choice.platform, choice.channel)?;
    let agreed = machine::agreed(choice.repository, &trusted, &files, site)?;
    // The usual end of an update: nothing is new, and so nothing is locked or written.
    if let Some(done) = View::open(root).already_active(&files) {
        return Ok(installed(choice, &done, &files, &agreed));
    }
    let mut installer = open(root, site)?;
    let request = Request {
        repository_name: choice.repository.name().clone(),
        now: site.now,
        floor: None,
        downgrade: choice.downgrade,
    };
    // What will be refused need not be fetched.
    installer.check(&files, &request)?;
    for release in &files {
        bring(&installer, release, mirrors, site)?;
    }
    let done = installer.activate(&files, &request)?;
    // Old generations are a convenience; failing to remove them takes nothing from what is active now.
    if let Err(error) = installer.gc(DEFAULT_KEPT_GENERATIONS) {
        site.out.warn(&format!("old generations could not be removed: {error}"));
    }
    Ok(installed(choice, &done, &files, &agreed).after(&installer))
}

fn installed(
    choice: &Choice<'_>,
    done: &Activated,
    files: &[Verified<Release>],
    agreed: &[RepoName],
) -> Installed {
    let mut installed = Installed::new(choice.repository.name().as_str(), choice.product, done);
    installed.agreed = agreed.iter().map(ToString::to_string).collect();
    match files.first() {
        Some(file) => installed.with_evidence(Evidence::new(file.report())),
        None => installed,
    }
}

/// Opens the root and says what had to be put in order.
pub(crate) fn open(root: &Path, site: &Site) -> Result<Installer, CliError> {
    let installer = Installer::open(root)?;
    for recovered in installer.recovered() {
        site.out.step(&format!("{}: {recovered}", code::INSTALL_RECOVERED));
    }
    Ok(installer)
}

/// Takes one file into the store, from the first place that has it as it was released.
fn bring(
    installer: &Installer,
    release: &Verified<Release>,
    mirrors: &Mirrors,
    site: &Site,
) -> Result<(), CliError> {
    // Not what this machine's disk refuses.
    let judge = |error: &CliError| Trouble {
        code: error.code,
        class: error.class,
        message: error.what.clone(),
        of_the_place: error.code == code::ARTIFACT_DIGEST_MISMATCH || error.code.name().starts_with("fetch-"),
    };
    in_turn(mirrors, judge, || bring_from(installer, release, mirrors, site))
}

/// Takes one file into the store, resuming an interrupted download.
fn bring_from(
    installer: &Installer,
    release: &Verified<Release>,
    transport: &dyn Transport,
    site: &Site,
) -> Result<(), CliError> {
    let Some(incoming) = installer.receive(release)? else { return Ok(()) };
    let resumed = incoming.resumed_from() > 0;
    match fetch(incoming, release.value(), transport, site) {
        // The part from before may be to blame: once more from the start.
        Err(error) if resumed && error.class == Class::Refused => {
            let Some(mut incoming) = installer.receive(release)? else { return Ok(()) };
            incoming.restart()?;
            fetch(incoming, release.value(), transport, site)
        }
        result => result,
    }
}

fn fetch(
    mut incoming: countersign_install::Incoming<'_>,
    release: &Release,
    transport: &dyn Transport,
    site: &Site,
) -> Result<(), CliError> {
    let mut progress = Progress::new(&site.out, release.path.name.as_str(), release.length);
    let offset = incoming.resumed_from();
    let sent = transport.download(&release.file_path(), release.length, offset, &mut incoming, &mut |done| {
        progress.set(done);
    });
    match sent {
        // The sink's own reason is the better one.
        Ok(()) | Err(FetchError::Sink(_)) => Ok(incoming.finish()?),
        Err(error) if error.class() == Class::Refused => {
            // Nothing of a file that is refused is kept.
            let _: Result<(), InstallError> = incoming.finish();
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}
