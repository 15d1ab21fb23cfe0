//! `countersign log proof`: that an entry is in a log, as a file that verifies offline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::text::escape;
use countersign_log::MAX_ENTRY_BYTES;
use countersign_store::{RealDisk, durable};
use countersign_tlog::merkle::{Hash, leaf_hash};
use countersign_tlog::proof::TlogProof;
use countersign_tlog::{NoteSignature, SignedCheckpoint};
use serde::Serialize;

use super::add::read_entry;
use super::reader::{Head, Inclusion, LogArgs, Reader};
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// Prove that an entry is in a log
///
/// Fetches the log's checkpoint and the tiles that lead to the entry, verifies all of them, and prints the proof as a
/// C2SP tlog-proof, which `log verify` checks offline.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log proof https://log.example.com 12 \\
      --vkey log.example.com+1a2b3c4d+AaBb... > entry.tlog-proof
  countersign log proof ./log --entry note.txt
  countersign log proof ./log \\
      5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")]
pub(crate) struct ProofArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The entry's index, or its leaf hash in hex: SHA-256 of a zero byte and the entry
    #[arg(value_name = "ENTRY", required_unless_present = "file")]
    entry: Option<String>,
    /// A file with the entry, as it was added, instead of ENTRY; `-` is standard input
    #[arg(long = "entry", value_name = "FILE", conflicts_with = "entry")]
    file: Option<PathBuf>,
    /// Write the entry's bytes to this file as well
    #[arg(long, value_name = "FILE")]
    save_entry: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proven {
    ok: bool,
    origin: String,
    index: u64,
    /// Of an entry that was to be added: whether it was in the log already.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
    leaf_hash: String,
    size: u64,
    root: String,
    witnesses: Vec<String>,
    /// The C2SP tlog-proof.
    proof: String,
}

impl Proven {
    pub(super) fn new(head: &Head, inclusion: &Inclusion) -> Self {
        let checkpoint = head.signed.checkpoint();
        Self {
            ok: true,
            origin: checkpoint.origin().to_owned(),
            index: inclusion.index,
            duplicate: None,
            leaf_hash: inclusion.leaf.to_string(),
            size: checkpoint.size(),
            root: checkpoint.root().to_string(),
            witnesses: head.witnesses.clone(),
            proof: String::from_utf8_lossy(&shown(inclusion.proof(head), &head.signed).encode()).into_owned(),
        }
    }

    /// What `log add` says of it: whether it was there before.
    pub(super) const fn of_added(mut self, duplicate: bool) -> Self {
        self.duplicate = Some(duplicate);
        self
    }
}

/// The proof without those signature lines whose names are not fit to be shown: anybody who stands between us and the log
/// can add a line, nothing vouches for it, and this text is for standard output, which may be a terminal (attack D27).
///
/// Lines of other keys than the log's stay: a witness that is not known here may be known to whoever verifies the proof.
fn shown(mut proof: TlogProof, signed: &SignedCheckpoint) -> TlogProof {
    let fit = |line: &&NoteSignature| {
        line.name() == signed.checkpoint().origin() || escape(line.name()) == line.name()
    };
    let lines = signed.note().signatures().iter().filter(fit).cloned().collect();
    if let Ok(signed) = SignedCheckpoint::new(signed.checkpoint().clone(), lines) {
        proof.checkpoint = signed.encode();
    }
    proof
}

/// For `log add`; `log proof` prints the proof itself.
impl Report for Proven {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            match self.duplicate {
                Some(true) => format!("entry {} was in {} already", self.index, self.origin),
                _ => format!("entry {} is in {}", self.index, self.origin),
            },
            format!("leaf      {}", self.leaf_hash),
            format!("tree      {}, root {}", entries(self.size), self.root),
        ];
        if !self.witnesses.is_empty() {
            lines.push(format!("witnessed {}", self.witnesses.join(", ")));
        }
        lines
    }
}

/// A number of entries.
pub(super) fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

/// An entry as it is named.
enum Named {
    Index(u64),
    Leaf(Hash),
}

pub(crate) fn run(args: &ProofArgs, site: &Site) -> Result<ExitCode, CliError> {
    let named = match &args.file {
        Some(path) => Named::Leaf(leaf_hash(&read_entry(path, MAX_ENTRY_BYTES)?)),
        None => named(args.entry.as_deref().unwrap_or_default())?,
    };
    let reader = Reader::open(&args.log, site)?;
    let head = reader.head()?;
    let index = match named {
        Named::Index(index) => index,
        Named::Leaf(leaf) => reader.find(&head, &leaf)?.ok_or_else(|| {
            let what = match &args.file {
                Some(path) => format!("no published entry of the log is `{}`", path.display()),
                None => format!("no published entry of the log has the leaf hash {leaf}"),
            };
            CliError::new(code::LOG_INCLUSION_INVALID, what)
                .fix("if it was added a moment ago it may wait for witnesses: try again in a minute")
        })?,
    };
    let inclusion = reader.prove(&head, index)?;
    if let Named::Leaf(leaf) = named
        && inclusion.leaf != leaf
    {
        let what = format!("the log's tiles changed while entry {index} was looked up");
        return Err(CliError::new(code::LOG_TILE_MISMATCH, what));
    }
    if let Some(path) = &args.save_entry {
        durable::write_atomic(&RealDisk, path, &reader.entry(&head, &inclusion)?, 0o644)?;
    }
    let proven = Proven::new(&head, &inclusion);
    if site.out.is_json() {
        site.out.report(&proven)?;
    } else {
        site.out.raw(&proven.proof)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn named(text: &str) -> Result<Named, CliError> {
    let decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(index) = text.parse().ok().filter(|_| decimal) {
        return Ok(Named::Index(index));
    }
    text.parse().map(Named::Leaf).map_err(|_| {
        CliError::new(code::USAGE, format!("`{}` is no entry", escape(text)))
            .fix("an entry is named by its index, or by its leaf hash in 64 hex digits")
    })
}
