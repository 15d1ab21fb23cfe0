//! `countersign log fsck`: prove a whole log.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use countersign_base::{Anchor, Explain, code};
use countersign_crypto::sha256;
use countersign_log::repair::{Problem, Survey, survey};
use countersign_log::{FsckReport, LogError, Trust, fsck_source, fsck_watched};
use countersign_store::durable;
use countersign_tlog::policy::Policy;
use countersign_tuf::limits::MAX_ROOT_BYTES;
use countersign_tuf::{Role as _, TrustedSet};
use countersign_verify::root_policy;
use serde::Serialize;

use super::index::{IndexReport, compare};
use super::local::keys_folder;
use super::mirror::{Belief, BeliefArgs, parallel, unbelieved};
use super::proof::entries;
use super::reader::{CHECKPOINT, kept_key};
use super::source::{is_url, source};
use crate::error::CliError;
use crate::printer::Report;
use crate::progress::{Progress, Unit};
use crate::site::Site;

/// Prove a whole log: every entry, every tile, the checkpoint and its witnesses
///
/// LOG is a repository, whose newest root says which log and witnesses to expect, or a log's folder or URL: then --vkey
/// or --policy say so, or the key that `log serve` keeps with its folder. Of a URL everything is fetched that the
/// checkpoint requires, and nothing is kept. In a folder all files that are missing or wrong are named, up to 1,000;
/// of a URL the first one is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log fsck ./repo
  countersign log fsck ./log --vkey log.example.com+1a2b3c4d+AaBb...
  countersign log fsck https://log.example.com --policy policy.txt")]
pub(crate) struct FsckArgs {
    /// A repository's folder, a log's folder, a log's URL, or s3://BUCKET/PREFIX
    #[arg(value_name = "LOG")]
    log: String,
    #[command(flatten)]
    belief: BeliefArgs,
    /// Compare an index with the log as well: sqlite:PATH or postgres://USER@HOST/DATABASE [default: the one that
    /// `log index` makes in the log's folder]
    #[arg(long, value_name = "PLACE", num_args = 0..=1, default_missing_value = "")]
    index: Option<String>,
    /// Files to fetch at once from a URL
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = parallel)]
    parallel: usize,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<IndexReport>,
    #[serde(skip)]
    served: bool,
}

impl Proven {
    /// `served`: from outside, where nothing is seen but what the checkpoint requires.
    fn new(report: FsckReport, served: bool) -> Self {
        Self {
            ok: true,
            anchor: None,
            served,
            origin: report.origin,
            size: report.size,
            root: report.root.to_string(),
            tiles: report.tiles,
            bundles: report.bundles,
            older: report.older,
            ahead: report.ahead,
            witnesses: report.witnesses,
            index: None,
        }
    }
}

impl Report for Proven {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("log {} is whole: {}", self.origin, entries(self.size)),
            format!("root      {}", self.root),
            format!(
                "proven    {}, {}{}",
                counted(self.tiles, "tile"),
                counted(self.bundles, "entry bundle"),
                match self.served {
                    true => " as they are served".to_owned(),
                    false => format!(", {} of earlier sizes", counted(self.older, "partial file")),
                }
            ),
        ];
        if let Some(anchor) = &self.anchor {
            lines.push(format!("anchor    {anchor}"));
        }
        if !self.witnesses.is_empty() {
            lines.push(format!("witnessed {}", self.witnesses.join(", ")));
        }
        lines.extend(self.index.as_ref().map(IndexReport::line));
        lines
    }
}

/// What is wrong in a log's folder.
#[derive(Serialize)]
struct Broken {
    ok: bool,
    code: &'static str,
    message: String,
    problems: Vec<Broke>,
    /// How many more there are.
    more: u64,
    fix: Option<String>,
    exit: u8,
}

#[derive(Serialize)]
struct Broke {
    path: String,
    what: String,
}

impl Report for Broken {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.problems.iter().map(|one| format!("{}  {}", one.path, one.what)).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }
}

/// Tells all that is wrong in a folder, where one file was found to be.
fn broken(
    error: LogError,
    dir: &Path,
    public: &Path,
    trust: Trust<'_>,
    kept: bool,
    site: &Site,
) -> Result<ExitCode, CliError> {
    let first = match &error {
        LogError::TileMissing { path } | LogError::TileMismatch { path, .. } if path != CHECKPOINT => {
            path.clone()
        }
        _ => return Err(of_checkpoint(error, public, kept)),
    };
    let Survey { mut problems, more } = survey(public, trust)?;
    let error = CliError::from(error);
    if problems.iter().all(|problem| problem.path != first) {
        problems.insert(0, Problem { path: first, what: error.what.clone() });
    }
    let others = problems.len() as u64 - 1 + more;
    let what = match others {
        0 => error.what.clone(),
        _ => format!("{}, and {} as well", error.what, counted(others, "other file")),
    };
    let fix = format!(
        "`countersign log repair {}` makes them again, with --from MIRROR what is nowhere else",
        dir.display()
    );
    let error = CliError { what, ..error }.fix(fix);
    site.out.report(&Broken {
        ok: false,
        code: error.code.name(),
        message: error.what.clone(),
        problems: problems.into_iter().map(|Problem { path, what }| Broke { path, what }).collect(),
        more,
        fix: error.fix.clone(),
        exit: error.class.exit_status(),
    })?;
    Ok(site.out.exit(&error))
}

/// What helps where the public checkpoint itself is missing or damaged: its log signs it, and nobody else can.
///
/// `kept`: the key is the log's own, so that it cannot be the wrong one.
pub(super) fn of_checkpoint(error: impl Explain, public: &Path, kept: bool) -> CliError {
    let error = CliError::from(error);
    let is_key =
        [code::LOG_KEY_UNKNOWN, code::LOG_ORIGIN_MISMATCH, code::LOG_QUORUM_NOT_MET].contains(&error.code);
    if error.fix.is_some() || (is_key && !kept) || !error.what.contains(&format!("`{CHECKPOINT}`")) {
        return error;
    }
    let own = keys_folder(public).is_dir();
    error.fix(match own {
        true => "stop `countersign log serve`, take what is left of `checkpoint` away and start it: it writes the checkpoint anew",
        false => {
            "only the log can sign its checkpoint\n\
             in a mirror: run `countersign log mirror` again; in a repository: publish again"
        }
    })
}

/// A number with its noun.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn run(args: &FsckArgs, site: &Site) -> Result<ExitCode, CliError> {
    let (mut anchor, dir) = (None, Path::new(&args.log));
    let served = is_url(&args.log);
    let given = args.belief.read()?;
    let own = given.is_none();
    let belief = match given {
        None if served => return Err(unbelieved()),
        None => kept(dir)?,
        given => given,
    };
    let mut bar: Option<Progress> = None;
    let mut progress = |done, total| {
        bar.get_or_insert_with(|| Progress::new(&site.out, "entry bundles", total).counting(Unit::Things))
            .set(done);
    };
    let report = match &belief {
        Some(belief) if served => {
            fsck_source(&*source(&args.log)?, belief.trust(site.now), args.parallel, &mut progress)?
        }
        Some(belief) => match fsck_watched(dir, belief.trust(site.now), &mut progress) {
            Ok(report) => report,
            Err(error) => return broken(error, dir, dir, belief.trust(site.now), own, site),
        },
        None => {
            let (found, policy) = newest_policy(dir, site)?;
            anchor = Some(found);
            let (public, trust) = (dir.join("log"), Trust::Policy(&policy, site.now));
            match fsck_watched(&public, trust, &mut progress) {
                Ok(report) => report,
                Err(error) => return broken(error, dir, &public, trust, false, site),
            }
        }
    };
    drop(bar);
    let compared = args.index.as_deref().map(|place| compare(dir, place, belief, site));
    let index = compared.transpose()?;
    let anchor = anchor.map(|anchor| anchor.to_string());
    site.out.report(&Proven { anchor, index, ..Proven::new(report, served) })?;
    Ok(ExitCode::SUCCESS)
}

/// The key that is kept with a log's own folder, for whoever runs the log; `None` for a repository.
pub(super) fn kept(dir: &Path) -> Result<Option<Belief>, CliError> {
    if dir.join("metadata").is_dir() || !keys_folder(dir).is_dir() {
        return Ok(None);
    }
    Ok(Some(Belief::Keys(vec![kept_key(&dir.to_string_lossy())?])))
}

/// The anchor of the repository's first root on disk, and the policy of its newest, to which the chain leads.
pub(super) fn newest_policy(repository: &Path, site: &Site) -> Result<(Anchor, Policy), CliError> {
    let folder = repository.join("metadata");
    let missing = || {
        if repository.join(CHECKPOINT).is_file() || repository.join("tile").is_dir() {
            let what = format!("whose checkpoints are to be believed of `{}`?", repository.display());
            return CliError::new(code::USAGE, what)
                .fix("name the log's key with --vkey, as `log serve` prints it, or a policy with --policy");
        }
        let what = format!("there is neither a repository nor a log in `{}`", repository.display());
        CliError::new(code::PUBLISH_REPO_MISSING, what)
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
