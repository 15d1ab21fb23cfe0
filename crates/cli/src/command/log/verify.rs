//! `countersign log verify`: what a saved proof proves of an entry, offline.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::{Timestamp, code};
use countersign_log::{MAX_ENTRY_BYTES, Trusted};
use countersign_tlog::TlogProof;
use countersign_tlog::merkle::{leaf_hash, verify_inclusion};
use countersign_tlog::proof::MAX_PROOF_BYTES;
use serde::Serialize;

use super::add::read_at_most;
use super::mirror::{Belief, BeliefArgs, unbelieved};
use super::proof::entries;
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// Check offline that an entry is in a log, by a saved proof
///
/// Needs the proof as `log proof` and `log add --proof` save it, the entry, and the log's key or a policy; no network,
/// and no file of the log. With a policy the log's witnesses must have seen the tree that the entry is in, so that
/// nobody was shown another one; with a key alone, the log's word is all there is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log verify note.tlog-proof note.txt --policy policy.txt
  countersign log verify note.tlog-proof note.txt \\
      --vkey log.example.com+1a2b3c4d+AaBb...")]
pub(crate) struct VerifyArgs {
    /// The proof, a C2SP tlog-proof; `-` is standard input
    proof: PathBuf,
    /// The file with the entry, as it was added; `-` is standard input
    entry: PathBuf,
    #[command(flatten)]
    belief: BeliefArgs,
}

/// What is proven.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proven {
    ok: bool,
    origin: String,
    index: u64,
    leaf_hash: String,
    size: u64,
    root: String,
    /// Witnesses that count, with a policy.
    witnesses: Vec<String>,
    /// By when as many of them as the policy wants had all seen the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_time: Option<String>,
    #[serde(skip)]
    entry: String,
}

impl Report for Proven {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{} is entry {} of log {}", self.entry, self.index, self.origin),
            format!("leaf      {}", self.leaf_hash),
            format!("tree      {}, root {}, signed by the log", entries(self.size), self.root),
        ];
        match &self.proven_time {
            Some(time) => {
                lines
                    .push(format!("witnessed {}, as the policy wants, by {time}", self.witnesses.join(", ")));
                lines.push(
                    "Whoever relies on these witnesses cannot be shown a log without this entry.".to_owned(),
                );
            }
            None => {
                lines.push("witnessed not looked at: no policy was given".to_owned());
                lines.push(
                    "The log says so. Whether it says the same to others, only witnesses can tell."
                        .to_owned(),
                );
            }
        }
        lines
    }
}

pub(crate) fn run(args: &VerifyArgs, site: &Site) -> Result<ExitCode, CliError> {
    let belief = args.belief.read()?.ok_or_else(unbelieved)?;
    let stdin = Path::new("-");
    if args.proof == stdin && args.entry == stdin {
        return Err(CliError::new(code::USAGE, "proof and entry cannot both be standard input"));
    }
    let proof = TlogProof::parse(&read_at_most(&args.proof, MAX_PROOF_BYTES)?)?;
    let name =
        if args.entry == stdin { "the entry".to_owned() } else { format!("`{}`", args.entry.display()) };
    // Of more than an entry can have, a byte more is read: it is not one.
    let entry = read_at_most(&args.entry, MAX_ENTRY_BYTES)?;
    let tree = check(&proof, &entry, &belief, site.now).map_err(|error| {
        advise(error, &name, entry.len(), &proof, |carried| check(&proof, carried, &belief, site.now).is_ok())
    })?;
    let checkpoint = tree.signed().checkpoint();
    site.out.report(&Proven {
        ok: true,
        origin: checkpoint.origin().to_owned(),
        index: proof.index,
        leaf_hash: leaf_hash(&entry).to_string(),
        size: checkpoint.size(),
        root: checkpoint.root().to_string(),
        witnesses: tree.witnesses().to_vec(),
        proven_time: tree.proven_time().map(|time| time.to_string()),
        entry: name,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What may be the reason where the entry is not the one of the proof.
fn advise(
    error: CliError,
    name: &str,
    length: usize,
    proof: &TlogProof,
    is_proven: impl Fn(&[u8]) -> bool,
) -> CliError {
    if error.code != code::LOG_INCLUSION_INVALID {
        return error;
    }
    let what = format!("{name} is not entry {} of this log, or was changed", proof.index);
    let error = CliError::new(code::LOG_INCLUSION_INVALID, what).because(error.what);
    error.fix(match proof.extra.as_deref() {
        _ if length > MAX_ENTRY_BYTES => {
            "no entry is as long: if its digest was logged, give the file with the digest as it was added"
        }
        Some(carried) if is_proven(carried) => {
            "the proof is good for the entry that it carries itself: metadata is logged as an entry that describes \
             it, and `countersign verify` checks both"
        }
        _ => "give the very bytes that were added (a newline at the end counts), and the proof of that entry",
    })
}

/// Signature or quorum first, then the place in the tree.
fn check(proof: &TlogProof, entry: &[u8], belief: &Belief, now: Timestamp) -> Result<Trusted, CliError> {
    let trusted = belief.trust(now).open(&proof.checkpoint)?;
    let tree = trusted.signed().checkpoint();
    verify_inclusion(proof.index, tree.size(), &leaf_hash(entry), tree.root(), &proof.hashes)?;
    Ok(trusted)
}
