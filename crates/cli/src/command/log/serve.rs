//! `countersign log serve`: a log over HTTP.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_base::Timestamp;
use countersign_log::witness::Rate;
use countersign_log::{Publication, Settings};
use countersign_server::{Listening, LogParts, Until, serve_log};
use serde_json::json;

use super::local::{Admit, LocalArgs, LocalLog};
use crate::error::CliError;
use crate::publishing;
use crate::site::{self, Site};

/// How often a tree that does not grow is cosigned again, so that readers see that it is fresh.
const RENEW: Duration = Duration::from_secs(3600);

/// Run a log: takes entries over HTTP, and serves its checkpoint and tiles
///
/// Prints `listening on http://ADDRESS` and then `vkey VKEY`, by which readers know the log. The log and its key are
/// made at the first start. `GET /checkpoint` and `GET /tile/..` are C2SP tlog-tiles. Entries come in by
/// `POST /metadata/ROLE`, by `POST /api/v2/log/entries` as Rekor v2 takes them, or by `POST /add`, depending on what
/// the log admits. An entry is durable when it is acknowledged. Never restore the folder from a backup that is older
/// than what the log has signed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign log serve ./log --origin log.example.com --listen 127.0.0.1:8080 --admit rekor\n  countersign log serve ./log --listen 127.0.0.1:8080 --witness 'witness.example/w1+1a2b3c4d+BAA... https://witness.example'"
)]
pub(crate) struct ServeArgs {
    /// The log's folder
    dir: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// What a new log takes, for good [default: metadata]
    #[arg(long, value_enum, value_name = "WHAT")]
    admit: Option<Admit>,
    /// Submissions that one address may send in a second; others are told to come back. Without this, as many as it can
    #[arg(long, value_name = "N")]
    per_address: Option<u32>,
    #[command(flatten)]
    local: LocalArgs,
}

pub(crate) fn run(args: &ServeArgs, site: &Site) -> Result<ExitCode, CliError> {
    // An address that cannot be had is told before a log is made.
    let listening = Listening::bind(&args.listen)?;
    let LocalLog { log, public, admits, admission, policy } =
        LocalLog::open(&args.dir, &args.local, args.admit, Admit::Metadata, site)?;
    let url = listening.url();
    let vkey = log.key().verifier().to_string();
    if site.out.is_json() {
        site.out.raw(&format!("{}\n", json!({ "listening": url, "vkey": vkey })))?;
    } else {
        site.out.raw(&format!("listening on {url}\nvkey {vkey}\n"))?;
    }
    let start = site.now;
    // A clock that breaks while serving must not go back before the start.
    let clock = Arc::new(move || -> Timestamp { site::now().map_or(start, |now| now.max(start)) });
    let publication = match policy {
        None => Publication::Unwitnessed,
        Some(policy) => {
            let cosigners = policy.witnesses().iter().map(publishing::connect).collect();
            Publication::Witnessed { policy, cosigners }
        }
    };
    let settings = Settings { renew: Some(RENEW), ..Settings::default() };
    let parts = LogParts {
        log,
        public,
        admits: admits.admits(),
        admission,
        publication,
        settings,
        address_rate: args.per_address.map(Rate::per_second),
        clock,
    };
    serve_log(parts, listening, Until::Interrupted)?;
    Ok(ExitCode::SUCCESS)
}
