//! `countersign log fsck`: prove a whole log.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::Args;
use countersign_base::{Anchor, code};
use countersign_crypto::sha256;
use countersign_log::{FsckReport, Trust, fsck};
use countersign_store::durable;
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;
use countersign_tuf::limits::MAX_ROOT_BYTES;
use countersign_tuf::{Role as _, TrustedSet};
use countersign_verify::root_policy;
use serde::Serialize;

use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// Prove a whole log: every entry, every tile, the checkpoint and its witnesses
///
/// DIR is a repository, whose newest root says which log and witnesses to expect, or with --vkey a log's folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign log fsck ./repo\n  countersign log fsck ./log --vkey example.com/log+1a2b3c4d+AaBb..."
)]
pub(crate) struct FsckArgs {
    /// A repository's folder, or a log's with --vkey
    dir: PathBuf,
    /// The log's key, where there is no repository to tell it
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
}

#[derive(Serialize)]
struct Proven {
    ok: bool,
    /// Whose word the log's and witnesses' keys are: compare it with the anchor that the publisher gives out.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
    origin: String,
    size: u64,
    root: String,
    tiles: u64,
    bundles: u64,
    older: u64,
    ahead: u64,
    witnesses: Vec<String>,
}

impl From<FsckReport> for Proven {
    fn from(report: FsckReport) -> Self {
        Self {
            ok: true,
            anchor: None,
            origin: report.origin,
            size: report.size,
            root: report.root.to_string(),
            tiles: report.tiles,
            bundles: report.bundles,
            older: report.older,
            ahead: report.ahead,
            witnesses: report.witnesses,
        }
    }
}

impl Report for Proven {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("log {} is whole: {} entries", self.origin, self.size),
            format!("root      {}", self.root),
            format!(
                "proven    {}, {}, {} of earlier sizes",
                counted(self.tiles, "tile"),
                counted(self.bundles, "entry bundle"),
                counted(self.older, "partial file")
            ),
        ];
        if let Some(anchor) = &self.anchor {
            lines.push(format!("anchor    {anchor}"));
        }
        if !self.witnesses.is_empty() {
            lines.push(format!("witnessed {}", self.witnesses.join(", ")));
        }
        lines
    }
}

/// A number with its noun.
fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn run(args: &FsckArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut anchor = None;
    let report = match &args.vkey {
        Some(text) => {
            let key = VerifierKey::from_str(text)
                .map_err(|error| CliError::new(code::USAGE, "the log's key is not a vkey").because(error))?;
            fsck(&args.dir, Trust::Keys(&[key]))?
        }
        None => {
            let (found, policy) = newest_policy(&args.dir, site)?;
            anchor = Some(found);
            fsck(&args.dir.join("log"), Trust::Policy(&policy, site.now))?
        }
    };
    site.out.report(&Proven { anchor: anchor.map(|anchor| anchor.to_string()), ..Proven::from(report) })?;
    Ok(ExitCode::SUCCESS)
}

/// The anchor of the repository's first root on disk, and the policy of its newest, to which the chain leads.
pub(super) fn newest_policy(repository: &Path, site: &Site) -> Result<(Anchor, Policy), CliError> {
    let folder = repository.join("metadata");
    let missing = || {
        CliError::new(
            code::PUBLISH_REPO_MISSING,
            format!("there is no repository in {}", repository.display()),
        )
        .fix("name the folder that `init` made, or a log's folder and its key with --vkey")
    };
    if !folder.is_dir() {
        return Err(missing());
    }
    let root =
        |version: u64| durable::read(&folder.join(format!("{version}.root.json")), MAX_ROOT_BYTES as u64);
    let first = root(1)?.ok_or_else(missing)?;
    let mut set = TrustedSet::new(&first, site.now)?;
    while let Some(next) = root(set.root().version() + 1)? {
        set.update_root(&next)?;
    }
    Ok((Anchor(sha256(&first)), root_policy(set.root())?))
}
