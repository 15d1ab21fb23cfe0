//! `countersign release`: files, signed, logged, witnessed and published.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_publish::ReleaseOptions;
use serde::Serialize;

use crate::error::CliError;
use crate::machine;
use crate::passphrase::Passphrases;
use crate::printer::{Printer, Report};
use crate::progress::Progress;
use crate::publishing::{self, KeysArgs, Published};
use crate::site::Site;

/// Release files as a version of a product
///
/// Signs with the product's keys that are at hand, logs the release, has it witnessed, and only then makes it
/// visible. Release other platforms of the same version with further calls.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign release ./repo node 1.4.0 ./node --keys ./keys\n  countersign release ./repo node 1.4.0 ./arm/node --keys ./keys \\\n      --platform linux/arm64"
)]
pub(crate) struct ReleaseArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The product
    name: ProductName,
    /// The version, a semantic version such as 1.4.0
    version: Version,
    /// The files; their names and whether they are programs are kept
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeysArgs,
    /// The platform they are for [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// The channel [default: stable]
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,
}

/// A bar for each file in turn.
pub(crate) struct FileProgress {
    out: Printer,
    bar: Option<(PathBuf, Progress)>,
}

impl FileProgress {
    pub(crate) fn new(out: &Printer) -> Self {
        Self { out: out.clone(), bar: None }
    }

    pub(crate) fn set(&mut self, progress: &countersign_publish::Progress<'_>) {
        if self.bar.as_ref().is_none_or(|(file, _)| file != progress.file) {
            let label = progress.file.display().to_string();
            self.bar = Some((progress.file.to_owned(), Progress::new(&self.out, label, progress.total)));
        }
        if let Some((_, bar)) = &mut self.bar {
            bar.set(progress.done);
        }
    }
}

#[derive(Serialize)]
struct Released {
    ok: bool,
    product: String,
    version: String,
    platform: String,
    channel: String,
    files: Vec<File>,
    threshold: u32,
    signers: Vec<String>,
    #[serde(flatten)]
    published: Published,
}

#[derive(Serialize)]
struct File {
    name: String,
    length: u64,
    sha256: String,
    mode: String,
}

impl Report for Released {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} {} for {} is released to {}",
            self.product, self.version, self.platform, self.channel
        )];
        for file in &self.files {
            lines.push(format!("file      {}  {} bytes  sha256 {}", file.name, file.length, file.sha256));
        }
        lines.push(format!("signed    by {} keys, {} required", self.signers.len(), self.threshold));
        lines.extend(self.published.lines());
        lines
    }
}

pub(crate) fn run(args: &ReleaseArgs, site: &Site) -> Result<ExitCode, CliError> {
    let platform = args.platform.clone().map_or_else(machine::this_platform, Ok)?;
    let channel = machine::channel(args.channel.as_ref())?;
    let options = ReleaseOptions {
        product: &args.name,
        version: &args.version,
        platform: &platform,
        channel: &channel,
        files: &args.files,
    };
    let mut passphrases = Passphrases::new(&site.out);
    let mut progress = FileProgress::new(&site.out);
    let done = publishing::publish(&args.repo, &args.keys.keys, &mut passphrases, site, |publisher| {
        publisher.release(&options, &mut |done| progress.set(&done))
    });
    drop(progress);
    let done = done?;
    let files = done.files.iter().map(|file| File {
        name: file.path.name.to_string(),
        length: file.length,
        sha256: file.sha256.to_string(),
        mode: file.mode.to_string(),
    });
    site.out.report(&Released {
        ok: true,
        product: args.name.to_string(),
        version: args.version.to_string(),
        platform: platform.to_string(),
        channel: channel.to_string(),
        files: files.collect(),
        threshold: done.threshold,
        signers: done.signers.clone(),
        published: Published::new(&done.publication),
    })?;
    Ok(ExitCode::SUCCESS)
}
