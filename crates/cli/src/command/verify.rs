//! `countersign verify FILE`: what is known about a file, from the evidence that this machine has.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use clap::Args;
use countersign_base::name::RepoName;
use countersign_base::{Sha256Digest, code};
use countersign_client::{Hearing, Panel, Repository, Trusted, Want, load, refresh};
use countersign_crypto::Sha256;
use countersign_verify::{Agreed, Claim, Release, Verified, VerifyError};
use serde::Serialize;

use crate::error::CliError;
use crate::evidence::Evidence;
use crate::machine;
use crate::printer::Report;
use crate::progress::Progress;
use crate::site::Site;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Check a file: is it, byte for byte, what a trusted publisher released?
///
/// Works offline on what this machine has. A file that no trusted repository lists is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign verify ./node\n  countersign verify ./node --refresh --json"
)]
pub(crate) struct VerifyArgs {
    /// File to check
    file: PathBuf,
    /// Ask only this trusted repository
    #[arg(long, value_name = "NAME")]
    repo: Option<RepoName>,
    /// Fetch the newest metadata first
    #[arg(long)]
    refresh: bool,
}

/// What `verify` prints: each place where the file's bytes were released.
#[derive(Serialize)]
struct Verdict {
    ok: bool,
    file: String,
    sha256: String,
    length: u64,
    releases: Vec<Match>,
}

#[derive(Serialize)]
struct Match {
    repository: String,
    anchor: String,
    product: String,
    version: String,
    platform: String,
    channel: String,
    name: String,
    newest: bool,
    newest_version: String,
    /// The repositories that list the same file, where several must.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agreed: Vec<String>,
    #[serde(flatten)]
    evidence: Evidence,
}

impl Match {
    fn new(repository: &Repository, verified: &Verified<Release>, agreed: &Agreed) -> Self {
        let release = verified.value();
        Self {
            repository: repository.name().to_string(),
            anchor: release.repository.to_string(),
            product: release.path.product.to_string(),
            version: release.path.version.to_string(),
            platform: release.path.platform.to_string(),
            channel: release.channel.to_string(),
            name: release.path.name.to_string(),
            newest: release.is_newest(),
            newest_version: release.newest.to_string(),
            agreed: match agreed {
                Agreed::By(names) => names.iter().map(ToString::to_string).collect(),
                Agreed::NotMapped => Vec::new(),
            },
            evidence: Evidence::new(verified.report()),
        }
    }
}

impl Report for Verdict {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} is verified", self.file), format!("  sha256    {}", self.sha256)];
        for found in &self.releases {
            lines.push(format!(
                "  release   {} {} for {}, channel {}, file {}",
                found.product, found.version, found.platform, found.channel, found.name
            ));
            lines.push(format!("  from      {} ({})", found.repository, found.anchor));
            if !found.agreed.is_empty() {
                lines.push(format!("  agreed    {}", found.agreed.join(", ")));
            }
            lines.extend(found.evidence.lines().into_iter().map(|line| format!("  {line}")));
            lines.push(if found.newest {
                "  newest    yes".to_owned()
            } else {
                format!("  newest    no: {} is out", found.newest_version)
            });
        }
        lines
    }
}

pub(crate) fn run(args: &VerifyArgs, site: &Site) -> Result<ExitCode, CliError> {
    let file = open(&args.file)?;
    // The file is hashed while the metadata is verified: neither needs the other, and both take milliseconds.
    let (metadata, hashed) = thread::scope(|scope| {
        let metadata = scope.spawn(|| metadata(args, site));
        let hashed = hash(file, &args.file, site);
        (metadata.join(), hashed)
    });
    let (sha256, length) = hashed?;
    let metadata = metadata.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let Found { releases, failures } = find(sha256, length, &metadata, args, site)?;
    if releases.is_empty() {
        // A repository that could not be judged may be the one that lists the file: say so first.
        return Err(failures.into_iter().next().unwrap_or_else(|| unknown(sha256, args.refresh)));
    }
    for failure in failures {
        site.out.warn(&format!("another trusted repository does not count: {}", failure.what));
    }
    let file = args.file.display().to_string();
    site.out.report(&Verdict { ok: true, file, sha256: sha256.to_string(), length, releases })?;
    Ok(ExitCode::SUCCESS)
}

/// Where the file's bytes were released, and what kept other places from counting.
struct Found {
    releases: Vec<Match>,
    failures: Vec<CliError>,
}

fn find(
    sha256: Sha256Digest,
    length: u64,
    metadata: &Metadata,
    args: &VerifyArgs,
    site: &Site,
) -> Result<Found, CliError> {
    let home = machine::home(site)?;
    let hearing = if args.refresh { Hearing::Refreshed } else { Hearing::Kept };
    let mut panel = Panel::open(&home, hearing, site.now)?;
    for (repository, trusted) in metadata {
        if let Ok(trusted) = trusted {
            panel.knows(repository, trusted);
        }
    }
    let mut found = Found { releases: Vec::new(), failures: Vec::new() };
    for (repository, trusted) in metadata {
        let listed = match trusted {
            Ok(trusted) => trusted.set.find(sha256, length).map_err(CliError::from),
            Err(error) => Err(error.clone()),
        };
        match listed {
            Ok(listed) => {
                for verified in &listed {
                    let release = verified.value();
                    if let Some(reason) = &release.yanked {
                        let (product, version) = (&release.path.product, &release.path.version);
                        found.failures.push(machine::yanked_error(product, version, reason));
                        continue;
                    }
                    match panel.check(&Claim::of(verified.value())) {
                        Ok(agreed) => found.releases.push(Match::new(repository, verified, &agreed)),
                        Err(error) => found.failures.push(error.into()),
                    }
                }
            }
            Err(error) => found.failures.push(error),
        }
    }
    Ok(found)
}

fn unknown(sha256: Sha256Digest, refreshed: bool) -> CliError {
    let error = CliError::from(VerifyError::FileUnknown { sha256 });
    if refreshed {
        return error.fix("do not run or install it, unless you know by other means where it is from");
    }
    error.fix("if it was released lately, `--refresh` fetches what is new; else do not run or install it")
}

/// Metadata that expired on this machine says nothing about the publisher: newer may be there to fetch.
fn stale(error: CliError) -> CliError {
    if error.code != code::TUF_EXPIRED {
        return error;
    }
    error.fix("`--refresh` fetches newer metadata; if that does not help, check this machine's clock")
}

/// What each repository that is asked has, verified, or why it cannot be trusted.
type Metadata = Vec<(Repository, Result<Trusted, CliError>)>;

fn metadata(args: &VerifyArgs, site: &Site) -> Result<Metadata, CliError> {
    let home = machine::home(site)?;
    let repositories = match &args.repo {
        Some(name) => vec![home.repository(name)?],
        None => home.repositories()?,
    };
    if repositories.is_empty() {
        return Err(machine::no_repository());
    }
    let trusted = |repository: &Repository| {
        if args.refresh {
            let mirrors = repository.transport();
            let refreshed = refresh(repository, &mirrors, &Want::All, site.now);
            machine::warn_of(&mirrors, site);
            Ok(refreshed?)
        } else {
            load(repository, &Want::All, site.now).map_err(|error| stale(error.into()))
        }
    };
    Ok(repositories.into_iter().map(|one| (one.clone(), trusted(&one))).collect())
}

fn open(path: &Path) -> Result<File, CliError> {
    let reading = |error| CliError::reading(path, &error);
    // Looked at before it is opened: opening a FIFO waits for whoever writes to it.
    if std::fs::metadata(path).map_err(reading)?.is_file() {
        return File::open(path).map_err(reading);
    }
    Err(CliError::new(code::FILE_NOT_REGULAR, format!("{} is not a regular file", path.display())))
}

/// SHA-256 and length of a file, read once.
fn hash(mut file: File, path: &Path, site: &Site) -> Result<(Sha256Digest, u64), CliError> {
    let reading = |error| CliError::reading(path, &error);
    let size = file.metadata().map_err(reading)?.len();
    let mut progress = Progress::new(&site.out, "hashing", size);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        let count = file.read(&mut chunk).map_err(reading)?;
        if count == 0 {
            return Ok((hasher.finish(), length));
        }
        hasher.update(&chunk[..count]);
        length += count as u64;
        progress.set(length);
    }
}
