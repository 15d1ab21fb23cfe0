//! `countersign publish`: a proposal that enough have signed becomes visible.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_crypto::PublicKey;
use countersign_keys::lifecycle::{Mark, MarkKind};
use countersign_keys::{KeyDir, KeysError};
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
    /// The key of this folder that signs nothing more from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_key: Option<String>,
    #[serde(flatten)]
    published: Published,
}

impl Report for Done {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("published {}", self.what)];
        lines.extend(self.published.lines());
        if let Some(key) = &self.ended_key {
            lines.push(format!("note      the key {key} in this folder signs nothing more"));
        }
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
    // It is published whatever becomes of the mark, which only keeps this folder's hands off the key.
    let ended_key = end_key(keys, &proposal, site).unwrap_or_else(|error| {
        site.out.warn(&format!("the old key could not be marked as ended: {error}"));
        None
    });
    site.out.report(&Done {
        ok: true,
        proposal: proposal.path().display().to_string(),
        kind: proposal.intent().kind(),
        what: proposal.intent().describe(),
        ended_key,
        published: Published::new(&done),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Marks the key that was rotated or revoked, if it is in this folder.
fn end_key(keys: &Path, proposal: &Proposal, site: &Site) -> Result<Option<String>, KeysError> {
    let (key, kind): (&PublicKey, _) = match proposal.intent() {
        Intent::Rotate(rotate) => (&rotate.from, MarkKind::Retired),
        Intent::Revoke(revoke) => match revoke.reason {
            RevokeReason::Retired => (&revoke.key, MarkKind::Retired),
            RevokeReason::Compromised | RevokeReason::Lost => (&revoke.key, MarkKind::Revoked),
        },
        _ => return Ok(None),
    };
    let dir = KeyDir::open(keys)?;
    let Some(info) = dir.find_public(key)? else { return Ok(None) };
    dir.mark(&info, &Mark { kind, at: site.now, why: proposal.intent().describe() })?;
    Ok(Some(info.name.to_string()))
}
