//! A log over HTTP: its files, and the doors by which entries come in.
//!
//! - `GET /checkpoint`, `GET /tile/..`: <https://c2sp.org/tlog-tiles>.
//! - `POST /add`, where anything is admitted: the body is the entry, the answer its index in decimal. This is what the
//!   personalities of Tessera speak. An entry that is in the log already is answered with its first index.
//! - `POST /metadata/ROLE`, where metadata is admitted: the body is a metadata file of that role, judged under the
//!   repository's logged root chain; the answer is JSON with role, version, SHA-256, index and the entry in base64.
//! - `POST /api/v2/log/entries`, where hashed records are admitted: Rekor v2 ([`crate::rekor`]).
//!
//! Entries are acknowledged when they are durable. What cannot be taken is refused with a status and a code: 400, 403,
//! 409, 413; 429 and 503 with `Retry-After`. A log that fails stops serving. `GET /metrics` is for the operator.

mod answer;
mod body;
mod limit;
mod line;
mod metrics;
mod proofs;
mod reads;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::ALLOW;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::percent_decode;
use countersign_log::witness::Rate;
use countersign_log::{
    Admission, Log, LogError, MAX_ENTRY_BYTES, Publication, Sequencer, Settings, Submission,
};
use countersign_store::Dir;
use countersign_tlog::VerifierKey;
use countersign_tuf::limits::{MAX_ROLE_NAME_BYTES, MAX_TARGETS_BYTES};
use serde_json::json;

use crate::ServeError;
use crate::listen::{Listening, StopHandle, Until, run_in, stop};
use crate::places::Places;
use crate::rekor;
use crate::repository::plain;
use crate::witness::Clock;
pub(crate) use answer::{Refusal, fresh, json_document};
pub(crate) use body::Budget;
use limit::Limit;
pub(crate) use line::Line;
use metrics::Answers;
use proofs::Proofs;
use reads::Reads;
pub use reads::serve_log_files;

/// Connections served at once. Submitters wait for a disk and for witnesses, so there are more than for files.
const MAX_CONNECTIONS: usize = 1024;
/// Of them for one address: behind a proxy all have one.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 768;
/// How often it is looked whether the log has failed.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// What a log's server is made of.
pub struct LogParts {
    /// The log, open.
    pub log: Sequencer,
    /// Its public folder.
    pub public: PathBuf,
    /// What it takes.
    pub admits: Admits,
    /// What it has admitted, for a log that takes metadata.
    pub admission: Option<Admission>,
    /// Who must cosign.
    pub publication: Publication,
    /// Bounds and intervals.
    pub settings: Settings,
    /// How much one address (one /64 of IPv6) may submit; `None` is without a bound, as behind a proxy.
    pub address_rate: Option<Rate>,
    /// The clock.
    pub clock: Clock,
}

/// What a log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// Metadata of one repository, whose entries the log computes.
    Metadata,
    /// Hashed records whose signature verifies.
    Rekor,
    /// Any bytes, and hashed records.
    Anything,
}

/// One log's server.
pub(crate) struct Site {
    pub(crate) line: Line,
    pub(crate) key: VerifierKey,
    pub(crate) budget: Budget,
    pub(crate) places: Arc<Places>,
    pub(crate) answers: Answers,
    limit: Limit,
    clock: Clock,
    admits: Admits,
    reads: Reads,
}

/// Why a log's server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeLogError {
    /// It could not listen, or the system refused something.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The log could not be started.
    #[error(transparent)]
    Start(#[from] LogError),
    /// The log failed; nothing was acknowledged after that.
    #[error(transparent)]
    Log(Arc<LogError>),
}

impl Explain for ServeLogError {
    fn code(&self) -> Code {
        match self {
            Self::Serve(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }

    fn fix(&self) -> Option<String> {
        match self {
            Self::Serve(error) => error.fix(),
            Self::Start(error) => error.fix(),
            Self::Log(error) => error.fix(),
        }
    }
}

/// Serves a log until told to stop. Blocks the calling thread. When it ends, all that it acknowledged is in the log.
///
/// # Errors
/// `serve-failed`; or what the log failed with.
pub fn serve_log(parts: LogParts, listening: Listening, until: Until) -> Result<(), ServeLogError> {
    let budget = Budget::default();
    let reads = Reads::new(&parts.public, budget.clone());
    let key = parts.log.key().verifier().clone();
    let log = Log::start(parts.log, parts.publication, parts.settings, Arc::clone(&parts.clock))?;
    let log = Arc::new(log);
    let proofs = Proofs::new(Dir::existing(&parts.public).map_err(LogError::from)?);
    let line = Line::new(Arc::clone(&log), parts.admission, proofs, Arc::clone(&parts.clock));
    let (failed, stopped) = stop();
    watch(line.clone(), failed).map_err(ServeError::System)?;
    let places = Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS);
    let site = Arc::new(Site {
        line,
        key,
        budget,
        places: Arc::clone(&places),
        answers: Answers::default(),
        limit: Limit::new(parts.address_rate),
        clock: parts.clock,
        admits: parts.admits,
        reads,
    });
    let app = Router::new().fallback(answer).with_state(site);
    let served = run_in(app, listening, until.or(stopped), places, None);
    match log.stop() {
        Some(failure) => Err(ServeLogError::Log(failure)),
        None => Ok(served?),
    }
}

/// Stops the server when the log has failed. Ends with the process, or then.
fn watch(line: Line, failed: StopHandle) -> std::io::Result<()> {
    let work = move || {
        while line.status().failure.is_none() {
            std::thread::sleep(WATCH_INTERVAL);
        }
        failed.stop();
    };
    std::thread::Builder::new().name("log-watch".to_owned()).spawn(work).map(drop)
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/metrics" && is_read(request.method()) {
        return metrics::page(&site);
    }
    if let Some(door) = Door::named(path) {
        let response = door.answer(&site, request).await;
        site.answers.submissions.count(response.status());
        return response;
    }
    // Rekor's clients read below the prefix that they write to.
    let path = path.strip_prefix(rekor::READ_PREFIX).unwrap_or(path);
    let response = site.reads.answer(request.method(), path, request.headers()).await;
    site.answers.reads.count(response.status());
    response
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Where entries come in.
enum Door {
    Add,
    Records,
    /// Of this role, as it stands in the path.
    Metadata(String),
}

impl Door {
    fn named(path: &str) -> Option<Self> {
        match path {
            "/add" => Some(Self::Add),
            rekor::PATH => Some(Self::Records),
            _ => path.strip_prefix("/metadata/").map(|role| Self::Metadata(role.to_owned())),
        }
    }

    /// Why this log does not take what comes in there.
    fn check(&self, admits: Admits) -> Result<(), Refusal> {
        let why = match (self, admits) {
            (Self::Add, Admits::Anything)
            | (Self::Records, Admits::Rekor | Admits::Anything)
            | (Self::Metadata(_), Admits::Metadata) => return Ok(()),
            (Self::Add, _) => "this log computes its entries itself",
            (Self::Records, _) => "this log takes no hashed records",
            (Self::Metadata(_), _) => "this log takes no metadata",
        };
        Err(Refusal::new(StatusCode::FORBIDDEN, code::LOG_ENTRY_UNAUTHORISED, why))
    }

    async fn answer(&self, site: &Site, request: Request) -> Response {
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "POST")]);
        }
        let refused = match self {
            Self::Records => Refusal::into_rpc_response,
            _ => Refusal::into_response,
        };
        self.submit(site, request).await.unwrap_or_else(refused)
    }

    async fn submit(&self, site: &Site, request: Request) -> Result<Response, Refusal> {
        self.check(site.admits)?;
        site.limit.count(&request, (site.clock)())?;
        match self {
            Self::Add => add(site, request).await,
            Self::Records => rekor::create(site, request).await,
            Self::Metadata(role) => metadata(site, role, request).await,
        }
    }
}

async fn add(site: &Site, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = site.budget.read(&head.headers, body, MAX_ENTRY_BYTES).await?;
    if body.bytes.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, code::LOG_ENTRY_MALFORMED, "the entry is empty"));
    }
    let index = site.line.add(body.bytes.to_vec()).await?.index;
    Ok(fresh(StatusCode::OK, "text/plain; charset=utf-8", index.to_string().into_bytes()))
}

async fn metadata(site: &Site, role: &str, request: Request) -> Result<Response, Refusal> {
    let malformed = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, code::LOG_ENTRY_MALFORMED, why);
    let role = Some(role).filter(|role| role.len() <= MAX_ROLE_NAME_BYTES);
    let role = role.and_then(|role| String::from_utf8(percent_decode(role)?).ok());
    let role = role.filter(|role| !role.is_empty()).ok_or_else(|| malformed("the role's name is not one"))?;
    let (head, body) = request.into_parts();
    let body = site.budget.read(&head.headers, body, MAX_TARGETS_BYTES).await?;
    let submission = Submission { role, bytes: body.bytes.to_vec() };
    let admitted = site.line.admit(submission).await?;
    let leaf = rekor::base64(&admitted.leaf);
    let document = json!({
        "role": admitted.role,
        "version": admitted.version,
        "sha256": admitted.sha256.to_string(),
        "index": admitted.index,
        "leaf": leaf,
    });
    Ok(json_document(StatusCode::OK, document.to_string()))
}
