//! `countersign log repair`: put back what the signed checkpoint requires.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_log::repair;
use countersign_log::repair::{Help, Left, Made, Mended, Repaired, Was, remove_partial};
use countersign_store::{StoreError, durable};
use countersign_tlog::TlogProof;
use countersign_tlog::proof::MAX_PROOF_BYTES;
use serde::Serialize;

use super::fsck::{counted, kept, newest_policy, of_checkpoint};
use super::local::PRIVATE;
use super::mirror::{Belief, BeliefArgs};
use super::source::{is_url, source};
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// Put back what a log's checkpoint requires: tiles from entries, entries from other copies
///
/// DIR is a repository, or a log's folder: then --vkey or --policy say whose it is, or the key that `log serve` keeps with
/// it. Hash tiles are made from what lies below them. Entries
/// come from other bundles of the log, its write-ahead log, the proofs in the repository, and a mirror. Nothing is
/// written that does not hash to the signed checkpoint, and the checkpoint itself is never written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log repair ./repo
  countersign log repair ./log --vkey log.example.com+1a2b3c4d+AaBb... \\
      --from https://mirror.example.org/log
  countersign log repair ./log --remove-partial")]
pub(crate) struct RepairArgs {
    /// A repository's folder, or a log's
    dir: PathBuf,
    #[command(flatten)]
    belief: BeliefArgs,
    /// A mirror of the log to take from what is nowhere else: its URL, s3://BUCKET/PREFIX, or its folder
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
    /// If the log is whole then, remove the partial tiles and bundles of earlier sizes whose full ones are there, as
    /// C2SP tlog-tiles allows: one that takes an entry at a time gathers many
    #[arg(long)]
    remove_partial: bool,
}

#[derive(Serialize)]
struct Done {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    origin: String,
    size: u64,
    root: String,
    mended: Vec<File>,
    left: Vec<Unmended>,
    /// Partial files that were removed, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
}

#[derive(Serialize)]
struct File {
    path: String,
    was: &'static str,
    from: &'static str,
}

#[derive(Serialize)]
struct Unmended {
    path: String,
    why: String,
}

impl From<Mended> for File {
    fn from(mended: Mended) -> Self {
        let was = match mended.was {
            Was::Missing => "missing",
            Was::Wrong => "wrong",
        };
        let from = match mended.from {
            Made::Log => "what lies below it",
            Made::Bundles => "other bundles of the log",
            Made::Offered => "the write-ahead log or proofs",
            Made::Source => "the mirror",
        };
        Self { path: mended.path, was, from }
    }
}

impl From<Left> for Unmended {
    fn from(left: Left) -> Self {
        Self { path: left.path, why: left.why }
    }
}

impl Done {
    fn new(repaired: Repaired) -> Self {
        let whole = repaired.left.is_empty();
        Self {
            ok: whole,
            code: (!whole).then(|| code::LOG_STORAGE_CORRUPT.name()),
            origin: repaired.origin,
            size: repaired.size,
            root: repaired.root.to_string(),
            mended: repaired.mended.into_iter().map(File::from).collect(),
            left: repaired.left.into_iter().map(Unmended::from).collect(),
            removed: None,
        }
    }
}

impl Report for Done {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![match (self.mended.len(), self.left.len()) {
            (0, 0) => format!("log {} is whole: nothing to put back", self.origin),
            (mended, 0) => {
                format!("log {} is whole again: {} put back", self.origin, counted(mended as u64, "file"))
            }
            (mended, left) => {
                format!(
                    "log {} is not whole: {} put back, {left} left",
                    self.origin,
                    counted(mended as u64, "file")
                )
            }
        }];
        let file = |file: &File| format!("put back  {} was {}, made from {}", file.path, file.was, file.from);
        lines.extend(self.mended.iter().map(file));
        lines.extend(self.left.iter().map(|left| format!("left      {}: {}", left.path, left.why)));
        let removed = |removed: &u64| {
            format!("removed   {} whose full ones are there", counted(*removed, "partial file"))
        };
        lines.extend(self.removed.as_ref().map(removed));
        lines
    }
}

pub(crate) fn run(args: &RepairArgs, site: &Site) -> Result<ExitCode, CliError> {
    let mut help = Help::default();
    if is_url(&args.dir.to_string_lossy()) {
        let what =
            format!("a log is repaired in its folder, and `{}` is none", escape(&args.dir.to_string_lossy()));
        return Err(CliError::new(code::USAGE, what)
            .fix("name the log's folder; what a bucket has lost, copy there from a mirror of the log"));
    }
    let given = args.belief.read()?;
    let own = given.is_none();
    let given = match given {
        None => kept(&args.dir)?,
        given => given,
    };
    let (public, belief) = match given {
        Some(belief) => {
            help.take_write_ahead_log(&args.dir.join(PRIVATE))?;
            (args.dir.clone(), belief)
        }
        None => {
            let (_, policy) = newest_policy(&args.dir, site)?;
            help.take_write_ahead_log(&args.dir.join(PRIVATE).join("log"))?;
            take_proofs(&args.dir.join("metadata"), &mut help)?;
            (args.dir.join("log"), Belief::Policy(policy))
        }
    };
    let source = args.from.as_deref().map(source).transpose()?;
    help.source = source.as_deref();
    let repaired = repair(&public, belief.trust(site.now), &help);
    let repaired = repaired.map_err(|error| of_checkpoint(error, &public, own && public == args.dir))?;
    let mut done = Done::new(repaired);
    if args.remove_partial && done.ok {
        done.removed = Some(remove_partial(&public, belief.trust(site.now))?);
    }
    site.out.report(&done)?;
    if done.ok {
        return Ok(ExitCode::SUCCESS);
    }
    let error = CliError::new(code::LOG_STORAGE_CORRUPT, "not everything could be put back");
    Ok(site.out.exit(&match args.from {
        None => error.fix("name a mirror of the log with --from, or restore the files from a copy"),
        Some(_) => error.fix("name another mirror with --from, or restore the files from a copy"),
    }))
}

/// The entries that the proofs beside a repository's metadata carry.
fn take_proofs(metadata: &Path, help: &mut Help<'_>) -> Result<(), CliError> {
    let files = fs::read_dir(metadata).map_err(StoreError::io("list", metadata))?;
    for file in files {
        let path = file.map_err(StoreError::io("list", metadata))?.path();
        if path.extension().is_none_or(|extension| extension != "tlog-proof") {
            continue;
        }
        // One that does not read helps nobody, and does no harm.
        if let Ok(Some(bytes)) = durable::read(&path, MAX_PROOF_BYTES as u64)
            && let Ok(TlogProof { extra: Some(entry), index, .. }) = TlogProof::parse(&bytes)
        {
            help.take(index, entry);
        }
    }
    Ok(())
}
