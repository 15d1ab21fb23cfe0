//! `countersign publish`: a proposal that enough have signed becomes visible.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_keys::KeyDir;
use countersign_keys::lifecycle::{Mark, MarkKind};
use countersign_publish::Proposal;
use countersign_publish::proposal::{Intent, RevokeReason};
use serde::Serialize;

use crate::error::CliError;
use crate::passphrase::Passphrases;
use crate::printer::Report;
use crate::publishing::{self, KeysArgs, Published};
use crate::site::Site;

/// Publish a proposal that enough have signed
///
/// Logs it, has it witnessed, and only then makes it visible. Needs the online keys and the log's key; who has signed
/// is judged by the repository as it stands.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign publish ./repo ./proposal --keys ./online-keys")]
pub(crate) struct PublishArgs {
    /// The repository's folder
    repo: PathBuf,
    /// The proposal's folder
    proposal: PathBuf,
    #[command(flatten)]
    keys: KeysArgs,
}

#[derive(Serialize)]
struct Done {
    ok: bool,
    proposal: String,
    kind: &'static str,
    what: String,
    /// The keys of this folder that sign nothing more from now on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended_keys: Vec<String>,
    #[serde(flatten)]
    published: Published,
}

impl Report for Done {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("published {}", self.what)];
        lines.extend(self.published.lines());
        let note = |key| format!("note      the key {key} in this folder signs nothing more");
        lines.extend(self.ended_keys.iter().map(note));
        lines
    }
}

pub(crate) fn run(args: &PublishArgs, site: &Site) -> Result<ExitCode, CliError> {
    let proposal = Proposal::open(&args.proposal, site.now)?;
    let keys = &args.keys.keys;
    let mut passphrases = Passphrases::new(&site.out);
    let done = publishing::publish(&args.repo, keys, &mut passphrases, site, |publisher| {
        publisher.publish_proposal(&proposal)
    })?;
    // It is published whatever becomes of the marks, which only keep this folder's hands off the keys.
    let ended_keys = end_keys(keys, &proposal, site).unwrap_or_else(|error| {
        site.out.warn(&format!("a key that ended could not be marked as ended: {}", error.what));
        Vec::new()
    });
    site.out.report(&Done {
        ok: true,
        proposal: proposal.path().display().to_string(),
        kind: proposal.intent().kind(),
        what: proposal.intent().describe(),
        ended_keys,
        published: Published::new(&done),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Marks the key that was rotated or revoked and the second one that went with it, as far as they are in this folder.
fn end_keys(keys: &Path, proposal: &Proposal, site: &Site) -> Result<Vec<String>, CliError> {
    let kind = match proposal.intent() {
        Intent::Rotate(_) => MarkKind::Retired,
        Intent::Revoke(revoke) => match revoke.reason {
            RevokeReason::Retired => MarkKind::Retired,
            RevokeReason::Compromised | RevokeReason::Lost => MarkKind::Revoked,
        },
        _ => return Ok(Vec::new()),
    };
    let dir = KeyDir::open(keys)?;
    let mut ended = Vec::new();
    for info in dir.list()? {
        if proposal.ends(&info.public)? {
            dir.mark(&info, &Mark { kind, at: site.now, why: proposal.intent().describe() })?;
            ended.push(info.name.to_string());
        }
    }
    Ok(ended)
}
