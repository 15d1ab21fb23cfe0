//! `countersign log serve`: a log over HTTP.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_base::Timestamp;
use countersign_log::witness::Rate;
use countersign_log::{Publication, Settings};
use countersign_server::{
    Admits, Listening, LogEvent, LogParts, LogService, SharedLogParts, Tell, Until, serve_log,
    serve_shared_log,
};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;
use serde_json::json;

use super::cleaning::keep_clean;
use super::events::say;
use super::local::{Admit, LocalArgs, LocalLog};
use super::making::check_spelling;
use super::shared::{SharedArgs, SharedLog, bucket_url};
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
///
/// In a bucket of an S3-compatible server, any number of processes on any machines serve one log, with the same key.
/// One of them leads: it takes entries in, and signs. The others serve what is published and pass submissions on to it,
/// and one of them takes over within seconds when it is gone. Standard error says what this process is. Credentials
/// and server are read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL
/// and AWS_CA_BUNDLE. A server whose conditional writes are not atomic is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign log serve ./log --origin log.example.com --admit rekor \\
      --listen 127.0.0.1:8080
  countersign log serve ./log --listen 127.0.0.1:8080 \\
      --witness 'witness.example/w1+1a2b3c4d+BAA... https://witness.example'
  countersign log serve s3://logs/main --keys ./keys --listen 127.0.0.1:8080 \\
      --advertise https://log-1.example.com")]
pub(crate) struct ServeArgs {
    /// The log's folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "LOG")]
    place: PathBuf,
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
    #[command(flatten)]
    shared: SharedArgs,
}

pub(crate) fn run(args: &ServeArgs, site: &Site) -> Result<ExitCode, CliError> {
    // An address that cannot be had is told before a log is made.
    let bucket = bucket_url(&args.place)?;
    if bucket.is_none() {
        check_spelling(&args.place)?;
    }
    let listening = Listening::bind(&args.listen)?;
    let Some(url) = bucket else {
        args.shared.refuse()?;
        let LocalLog { log, public, admits, admission, policy } =
            LocalLog::open(&args.place, &args.local, args.admit, Admit::Metadata, site)?;
        let service = args.service(admits.admits(), policy, site);
        announce(&listening, log.key().verifier(), site)?;
        keep_clean(&public, log.key().verifier().clone(), site.out.clone())?;
        serve_log(LogParts { log, public, admission, service }, listening, Until::Interrupted)?;
        return Ok(ExitCode::SUCCESS);
    };
    let log = SharedLog::open(&url, &args.local, &args.shared, args.admit, site)?;
    announce(&listening, &log.key, site)?;
    let parts = SharedLogParts {
        candidate: log.candidate,
        look: log.look,
        public: Arc::new(log.bucket),
        key: log.key,
        url: log.url,
        secret: log.secret,
        service: args.service(log.admits, log.policy, site),
    };
    let served = serve_shared_log(parts, listening, Until::Interrupted);
    served.map_err(|error| log.conflict.explain(error.into()))?;
    Ok(ExitCode::SUCCESS)
}

/// The two lines by which scripts and people find the server, and know the log.
fn announce(listening: &Listening, key: &VerifierKey, site: &Site) -> Result<(), CliError> {
    let (url, vkey) = (listening.url(), key.to_string());
    if site.out.is_json() {
        site.out.raw(&format!("{}\n", json!({ "listening": url, "vkey": vkey })))
    } else {
        site.out.raw(&format!("listening on {url}\nvkey {vkey}\n"))
    }
}

impl ServeArgs {
    fn service(&self, admits: Admits, policy: Option<Policy>, site: &Site) -> LogService {
        let start = site.now;
        let out = site.out.clone();
        let tell: Tell = Arc::new(move |event: LogEvent<'_>| say(&out, &event));
        let publication = match policy {
            None => Publication::Unwitnessed,
            Some(policy) => {
                let cosigners = policy.witnesses().iter().map(publishing::connect).collect();
                Publication::Witnessed { policy, cosigners }
            }
        };
        LogService {
            admits,
            publication,
            settings: Settings { renew: Some(RENEW), ..Settings::default() },
            address_rate: self.per_address.map(Rate::per_second),
            // A clock that breaks while serving must not go back before the start.
            clock: Arc::new(move || -> Timestamp { site::now().map_or(start, |now| now.max(start)) }),
            tell,
        }
    }
}
