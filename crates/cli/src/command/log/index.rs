//! `countersign log index`: a read model of a log, made, brought up to date, asked and checked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::{Timestamp, code};
use countersign_index::{Built, Checked, Folders, Log, MAX_FOUND, Place, Query, Row, Term, build, check};
use countersign_log::admission::DOCUMENTS;
use countersign_log::mirror::trusted_checkpoint;
use countersign_log::{Source, Trust};
use countersign_tlog::SignedCheckpoint;
use countersign_tlog::policy::Policy;
use serde::Serialize;

use super::fsck::newest_policy;
use super::local::PRIVATE;
use super::mirror::{Belief, BeliefArgs};
use super::proof::entries;
use super::reader::kept_key;
use super::source::{is_url, source};
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// The index in it, where no place is named.
const DEFAULT: &str = "index.sqlite";

/// Find entries by product, role, version, digest, key and time
///
/// Without --find the index is made, or brought to the size that the log has now. It is a read model in SQLite or
/// PostgreSQL: nothing is only there, and it can be thrown away. LOG is a repository, a log's folder, or a log's URL.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign log index ./repo\n  countersign log index ./repo --find product:node@1.4.0\n  countersign log index https://log.example.com \\\n      --vkey log.example.com+1a2b3c4d+AaBb... \\\n      --to postgres://log@localhost/log\n  countersign log index --to sqlite:log.sqlite \\\n      --find digest:5891b5b5... --find key:9f86d081..."
)]
pub(crate) struct IndexArgs {
    /// The log; not needed to ask an index that --to names
    #[arg(value_name = "LOG", required_unless_present_all = ["to", "find"])]
    log: Option<String>,
    #[command(flatten)]
    belief: BeliefArgs,
    /// Where the index is: sqlite:PATH, or postgres://USER@HOST/DATABASE on this machine [default: .countersign/index.sqlite
    /// in the log's folder]
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Folder of the metadata documents, by SHA-256 or as a repository has them [default: the log's or repository's own]
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Forget what is indexed and begin anew
    #[arg(long, conflicts_with = "find")]
    rebuild: bool,
    /// Show entries: digest:HEX, product:NAME[@VERSION], role:NAME[@NUMBER], key:HEX, leaf:HEX, repository:ANCHOR or
    /// time:FROM..TO, as 2026-11-21..; of several, all must fit
    #[arg(long, value_name = "TERM")]
    find: Vec<String>,
    /// Show entries behind this index
    #[arg(long, value_name = "INDEX", requires = "find")]
    after: Option<u64>,
    /// Show at most so many entries
    #[arg(long, value_name = "N", default_value_t = 100, requires = "find")]
    limit: usize,
}

/// A log that is to be indexed: its files, its checkpoint, its documents.
struct Subject {
    source: Box<dyn Source>,
    signed: SignedCheckpoint,
    seen: Option<Timestamp>,
    documents: Folders,
}

impl Subject {
    fn open(
        log: &str,
        belief: Option<Belief>,
        documents: Option<&Path>,
        site: &Site,
    ) -> Result<Self, CliError> {
        let folder = (!is_url(log)).then(|| Path::new(log));
        let repository = folder.filter(|folder| belief.is_none() && folder.join("metadata").is_dir());
        let (place, belief) = match (belief, repository) {
            (Some(belief), _) => (log.to_owned(), belief),
            (None, Some(repository)) => {
                let (_, policy) = newest_policy(repository, site)?;
                (repository.join("log").to_string_lossy().into_owned(), Belief::Policy(policy))
            }
            (None, None) => (log.to_owned(), Belief::Keys(vec![kept_key(log)?])),
        };
        let source = source(&place)?;
        let signed = trusted_checkpoint(&*source, belief.trust(site.now))?;
        let policy = match belief.trust(site.now) {
            Trust::Policy(policy, now) => Some((policy.clone(), now)),
            Trust::Keys(_) => None,
        };
        let seen = policy.as_ref().and_then(|(policy, now)| {
            let verified = policy.check_checkpoint(&signed.encode(), *now).ok()?;
            Some(verified.proven_time())
        });
        let documents = match (documents, repository, folder) {
            (Some(named), ..) => folders(named, named, policy),
            (None, Some(repository), _) => {
                let own = repository.join(PRIVATE).join("log").join(DOCUMENTS);
                folders(&own, &repository.join("metadata"), policy)
            }
            (None, None, Some(folder)) => Folders::new().with_log(&folder.join(PRIVATE).join(DOCUMENTS)),
            (None, None, None) => Folders::new(),
        };
        Ok(Self { source, signed, seen, documents })
    }

    fn log(&self) -> Log<'_> {
        Log {
            source: &*self.source,
            tree: self.signed.checkpoint(),
            seen: self.seen,
            documents: &self.documents,
        }
    }
}

fn folders(by_digest: &Path, metadata: &Path, policy: Option<(Policy, Timestamp)>) -> Folders {
    Folders::new().with_log(by_digest).with_metadata(metadata, policy)
}

/// The place that is named, else the one in the log's folder.
fn place(named: Option<&str>, log: Option<&str>) -> Result<Place, CliError> {
    match (named, log.filter(|log| !log.contains("://"))) {
        (Some(text), _) => Ok(text.parse()?),
        (None, Some(folder)) => Ok(Place::sqlite(Path::new(folder).join(PRIVATE).join(DEFAULT))),
        (None, None) => Err(CliError::new(code::USAGE, "where is the index to be?")
            .fix("name a place with --to: sqlite:PATH or postgres://USER@HOST/DATABASE")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Indexed {
    ok: bool,
    origin: String,
    from: u64,
    size: u64,
    root: String,
    place: String,
    /// Metadata entries whose document was not at hand: their keys are not known.
    without_document: u64,
}

impl Report for Indexed {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} has {} of {}", self.place, entries(self.size), self.origin)];
        if self.size > self.from {
            lines.push(format!("indexed   {} from {} on", entries(self.size - self.from), self.from));
        }
        if self.without_document > 0 {
            lines.push(format!(
                "keys      not known for {} whose metadata is not at hand",
                entries(self.without_document)
            ));
        }
        lines
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    ok: bool,
    origin: String,
    /// The tree that was searched.
    size: u64,
    root: String,
    entries: Vec<Entry>,
    /// Whether there may be more: go on with --after.
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    index: u64,
    leaf_hash: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_by: Option<String>,
    files: Vec<File>,
    keys: Vec<String>,
}

#[derive(Serialize)]
struct File {
    change: &'static str,
    sha256: String,
    path: String,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let file = |file: countersign_index::Artifact| File {
            change: file.change.name(),
            sha256: file.digest,
            path: file.path,
        };
        Self {
            index: row.index,
            leaf_hash: row.leaf.to_string(),
            kind: row.kind.name(),
            repository: row.repository,
            role: row.role,
            version: row.version,
            digest: row.digest,
            logged_by: row.logged_by.map(|time| time.to_string()),
            files: row.artifacts.into_iter().map(file).collect(),
            keys: row.keys,
        }
    }
}

impl Report for Found {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in &self.entries {
            let what = match (&entry.role, entry.version) {
                (Some(role), Some(version)) => format!("{role} version {version}"),
                _ => entry.kind.to_owned(),
            };
            let by = entry.logged_by.as_ref().map_or_else(String::new, |time| format!("  by {time}"));
            lines.push(format!("{}  {what}{by}", entry.index));
            lines.extend(entry.digest.iter().map(|digest| format!("    digest {digest}")));
            lines.extend(entry.keys.iter().map(|key| format!("    key    {key}")));
            lines.push(format!("    leaf   {}", entry.leaf_hash));
            lines.extend(
                entry.files.iter().map(|file| format!("    {} {}  {}", file.change, file.path, file.sha256)),
            );
        }
        let count = self.entries.len();
        let more = if self.more { ", and perhaps more: go on with --after" } else { "" };
        lines.push(format!("{count} of {} of {}{more}", entries(self.size), self.origin));
        lines
    }
}

pub(crate) fn run(args: &IndexArgs, site: &Site) -> Result<ExitCode, CliError> {
    let place = place(args.to.as_deref(), args.log.as_deref())?;
    if !args.find.is_empty() {
        return find(args, &place, site);
    }
    let log = args.log.as_deref().ok_or_else(|| CliError::new(code::USAGE, "which log is to be indexed?"))?;
    let subject = Subject::open(log, args.belief.read()?, args.documents.as_deref(), site)?;
    let mut database = place.open()?;
    if args.rebuild {
        database.clear()?;
    }
    let Built { from, size, without_document } = build(subject.log(), &mut *database)?;
    let tree = subject.signed.checkpoint();
    site.out.report(&Indexed {
        ok: true,
        origin: tree.origin().to_owned(),
        from,
        size,
        root: tree.root().to_string(),
        place: place.to_string(),
        without_document,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn find(args: &IndexArgs, place: &Place, site: &Site) -> Result<ExitCode, CliError> {
    let terms = args.find.iter().map(|text| text.parse()).collect::<Result<Vec<Term>, _>>()?;
    if terms.len() > countersign_index::MAX_TERMS {
        let what = format!("more than {} terms are not looked for at once", countersign_index::MAX_TERMS);
        return Err(CliError::new(code::USAGE, what));
    }
    let limit = args.limit.min(MAX_FOUND);
    let mut database = place.open_existing()?;
    let (head, rows) = database.find(&Query { terms, after: args.after, limit })?;
    site.out.report(&Found {
        ok: true,
        origin: head.origin,
        size: head.size,
        root: head.root.to_string(),
        more: rows.len() == limit,
        entries: rows.into_iter().map(Entry::from).collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What `log fsck --index` adds.
#[derive(Debug, Serialize)]
pub(super) struct IndexReport {
    place: String,
    /// Entries that it has, each as the log has it.
    size: u64,
    /// Entries that it has not yet.
    behind: u64,
    /// Metadata entries whose keys could not be compared.
    unchecked: u64,
}

impl IndexReport {
    pub(super) fn line(&self) -> String {
        let behind =
            if self.behind > 0 { format!(", {} behind the log", self.behind) } else { String::new() };
        format!("index     {} agrees in {}{behind}", self.place, entries(self.size))
    }
}

/// Compares the index at `named`, or at its usual place, with the log.
pub(super) fn compare(
    log: &Path,
    named: &str,
    belief: Option<Belief>,
    site: &Site,
) -> Result<IndexReport, CliError> {
    let log = log.to_string_lossy();
    let place = place(Some(named).filter(|named| !named.is_empty()), Some(&log))?;
    let subject = Subject::open(&log, belief, None, site)?;
    let Checked { size, behind, unchecked } = check(subject.log(), &mut *place.open_existing()?)?;
    Ok(IndexReport { place: place.to_string(), size, behind, unchecked })
}
