//! `countersign log mirror`: copy and verify another log.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use countersign_base::{Class, Explain as _, Timestamp, code};
use countersign_log::mirror::{MAX_PARALLEL, Update};
use countersign_log::{Mirror, MirrorError, Source, Trust};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;
use serde::Serialize;
use serde_json::json;

use super::fsck::counted;
use super::proof::entries;
use super::reader::read_policy;
use super::sigstore::vkey;
use super::source::source;
use crate::error::CliError;
use crate::printer::Report;
use crate::site::{self, Site};

/// Copy and verify another log
///
/// Fetches SOURCE's checkpoint, tiles and entries, proves all of it, and puts only what is right into DEST, which any web
/// server or `countersign serve` can serve in the log's place. Run again it goes on where it was, also after a crash. A
/// log that goes back, or shows another history than before, is refused, and both checkpoints are kept as evidence.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log mirror https://log.example.com ./mirror \\
      --vkey log.example.com+1a2b3c4d+AaBb...
  countersign log mirror https://dl.example.com/acme/log ./mirror \\
      --policy policy.txt --follow 60")]
pub(crate) struct MirrorArgs {
    /// The log: its URL, s3://BUCKET/PREFIX, or its folder; that of a repository is below its `log`
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The mirror's folder, made at the first run
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    #[command(flatten)]
    belief: BeliefArgs,
    /// Look again and again, with so many seconds in between [default: look once and end]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    follow: Option<u64>,
    /// Files to fetch at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = parallel)]
    parallel: usize,
}

/// Whose word a log's checkpoints need.
#[derive(Debug, Args)]
pub(super) struct BeliefArgs {
    /// The log's key; several while it changes its key
    #[arg(long, value_name = "VKEY", conflicts_with = "policy")]
    vkey: Vec<String>,
    /// A file with the logs and witnesses to believe, as C2SP tlog-policy; then checkpoints must meet its quorum
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Whose word a log's checkpoints need.
pub(super) enum Belief {
    /// The log's keys.
    Keys(Vec<VerifierKey>),
    /// A quorum.
    Policy(Policy),
}

impl BeliefArgs {
    /// `None` where nothing is said.
    pub(super) fn read(&self) -> Result<Option<Belief>, CliError> {
        if let Some(path) = &self.policy {
            return Ok(Some(Belief::Policy(read_policy(path)?)));
        }
        if self.vkey.is_empty() {
            return Ok(None);
        }
        Ok(Some(Belief::Keys(self.vkey.iter().map(|text| vkey(text)).collect::<Result<_, _>>()?)))
    }
}

impl Belief {
    pub(super) fn trust(&self, now: Timestamp) -> Trust<'_> {
        match self {
            Self::Keys(keys) => Trust::Keys(keys),
            Self::Policy(policy) => Trust::Policy(policy, now),
        }
    }
}

pub(super) fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_PARALLEL).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX_PARALLEL}")),
    }
}

/// Nobody was named whose word a log's checkpoints need.
pub(super) fn unbelieved() -> CliError {
    CliError::new(code::USAGE, "whose checkpoints are to be believed?")
        .fix("name the log's key with --vkey, or a policy with --policy")
}

/// What one look brought.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mirrored {
    ok: bool,
    origin: String,
    /// The size that the mirror had.
    from: u64,
    size: u64,
    root: String,
    witnesses: Vec<String>,
    bytes: u64,
    /// Entry bundles that an interrupted run had brought.
    resumed: u64,
    /// Partial tiles and bundles that gave way to full ones.
    removed: u64,
    seconds: f64,
    /// Where something was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_per_second: Option<u64>,
    /// What the threads waited for most: `source`, `hashing` or `disk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
}

impl Mirrored {
    fn new(update: Update, took: Duration) -> Self {
        let spent = update.spent;
        let most = [(spent.source, "source"), (spent.hashing, "hashing"), (spent.disk, "disk")];
        let seconds = took.as_secs_f64();
        let entries = update.size - update.from;
        Self {
            ok: true,
            origin: update.origin,
            from: update.from,
            size: update.size,
            root: update.root.to_string(),
            witnesses: update.witnesses,
            bytes: update.bytes,
            resumed: update.resumed,
            removed: update.removed,
            seconds: (seconds * 1000.0).round() / 1000.0,
            entries_per_second: (entries > 0).then_some((entries as f64 / seconds.max(0.001)) as u64),
            limit: most
                .into_iter()
                .max_by_key(|(spent, _)| *spent)
                .map(|(_, name)| name)
                .filter(|_| entries > 0),
        }
    }
}

impl Report for Mirrored {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("mirror of {} has {}", self.origin, entries(self.size))];
        lines.push(format!("root      {}", self.root));
        if let (Some(rate), Some(limit)) = (self.entries_per_second, self.limit) {
            let limit = match limit {
                "source" => "the source",
                "disk" => "this machine's disk",
                other => other,
            };
            lines.push(format!(
                "copied    {}, {} bytes in {} s: {rate} entries a second, waiting mostly for {limit}",
                entries(self.size - self.from),
                self.bytes,
                self.seconds,
            ));
        }
        if self.removed > 0 {
            lines.push(format!(
                "removed   {} whose full ones are there",
                counted(self.removed, "partial file")
            ));
        }
        if !self.witnesses.is_empty() {
            lines.push(format!("witnessed {}", self.witnesses.join(", ")));
        }
        lines
    }
}

pub(crate) fn run(args: &MirrorArgs, site: &Site) -> Result<ExitCode, CliError> {
    let belief = args.belief.read()?.ok_or_else(unbelieved)?;
    let source = source(&args.source)?;
    let mut mirror = Mirror::open(&args.dest)?;
    let Some(pause) = args.follow else {
        let done = look(&mut mirror, &*source, &belief, args.parallel, site.now)?;
        site.out.report(&done)?;
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        match look(&mut mirror, &*source, &belief, args.parallel, site::now()?) {
            Ok(done) if site.out.is_json() => {
                site.out.json_line(&json!(done))?;
            }
            Ok(done) if done.size > done.from => site.out.report(&done)?,
            Ok(_) => {}
            // An outage passes, and a cache that is behind catches up; what readers see is as good as it was.
            Err(error @ MirrorError::Rollback { .. }) => site.out.warn_now(&error.to_string()),
            Err(error) if error.class() == Class::Unavailable && error.code() != code::LOG_STORAGE_FAILED => {
                site.out.warn_now(&error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        thread::sleep(Duration::from_secs(pause));
    }
}

fn look(
    mirror: &mut Mirror,
    source: &dyn Source,
    belief: &Belief,
    parallel: usize,
    now: Timestamp,
) -> Result<Mirrored, MirrorError> {
    let start = Instant::now();
    let update = mirror.update(source, belief.trust(now), parallel)?;
    Ok(Mirrored::new(update, start.elapsed()))
}
