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
//!
//! A log on shared storage has any number of such servers. Each is a front end: it serves the files, and passes
//! submissions on to the one that leads ([`front`]). Each leads when it can ([`lead`]), and then takes them itself.
//! None goes back: what has lost the lead ends.

mod answer;
mod door;
mod front;
mod lead;
mod line;
mod metrics;
mod parts;
mod proofs;
mod reads;
mod share;
mod told;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use countersign_log::{Log, LogError};
use countersign_store::Dir;
use countersign_tlog::VerifierKey;

use crate::ServeError;
use crate::body::{Budget, Held};
use crate::limit::Limit;
use crate::listen::{Listening, MAX_BLOCKING_THREADS, Until, run_in, stop};
use crate::places::Places;
use crate::rekor;
use crate::repository::is_read;
use crate::witness::Clock;
pub(crate) use answer::{Refusal, json_document};
use door::Door;
use front::Front;
use lead::Ending;
pub(crate) use line::Line;
use metrics::Answers;
pub use metrics::WITNESS_FAILING;
pub use parts::{Admits, LogParts, LogService, ServeLogError, SharedLogParts};
use proofs::Proofs;
use reads::Reads;
pub use reads::serve_log_files;
pub use told::{LogEvent, Tell};

/// Connections served at once. Submitters wait for a disk and for witnesses, so there are more than for files.
const MAX_CONNECTIONS: usize = 1024;
/// Of them for one address: behind a proxy all have one.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 768;

/// Memory for large bodies.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// One log's server.
pub(crate) struct Site {
    /// The log, if this process leads it.
    line: OnceLock<Line>,
    /// For a log that other processes may lead.
    front: Option<Front>,
    pub(crate) key: VerifierKey,
    budget: Budget,
    pub(crate) places: Arc<Places>,
    pub(crate) answers: Answers,
    limit: Limit,
    clock: Clock,
    admits: Admits,
    reads: Reads,
}

impl Site {
    /// Of a process that does not lead yet.
    fn new(
        key: VerifierKey,
        front: Option<Front>,
        reads: impl FnOnce(Budget) -> Reads,
        service: &LogService,
    ) -> Self {
        let budget = Budget::new(BODY_BYTES);
        Self {
            line: OnceLock::new(),
            front,
            key,
            reads: reads(budget.clone()),
            budget,
            places: Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS),
            answers: Answers::default(),
            limit: Limit::new(service.address_rate),
            clock: Arc::clone(&service.clock),
            admits: service.admits,
        }
    }

    /// Reads the body of a submission, of at most `limit` bytes.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Refusal> {
        self.budget.read(headers, body, limit).await.map_err(|why| Refusal::unread(why, limit))
    }
}

/// Serves a log until told to stop. Blocks the calling thread. When it ends, all that it acknowledged is in the log.
///
/// # Errors
/// `serve-failed`; or what the log failed with.
pub fn serve_log(parts: LogParts, listening: Listening, until: Until) -> Result<(), ServeLogError> {
    let LogParts { log, public, admission, service } = parts;
    let key = log.key().verifier().clone();
    let site = Arc::new(Site::new(key, None, |budget| Reads::folder(&public, budget), &service));
    let publication = told::reporting(service.publication, &service.tell);
    let log = Arc::new(Log::start(log, publication, service.settings, Arc::clone(&service.clock))?);
    let proofs = Proofs::new(Arc::new(Dir::existing(&public).map_err(LogError::from)?));
    let line = Line::new(Arc::clone(&log), admission, proofs, service.clock);
    let line = site.line.get_or_init(|| line).clone();
    let (failed, stopped) = stop();
    let ending = Arc::new(Ending::default());
    let until_end = Arc::clone(&ending);
    let watch = move || {
        told::watch(&line, &until_end, &service.tell);
        failed.stop();
    };
    std::thread::Builder::new().name("log-watch".to_owned()).spawn(watch).map_err(ServeError::System)?;
    let places = Arc::clone(&site.places);
    let app = Router::new().fallback(answer).with_state(site);
    let served = run_in(app, listening, until.or(stopped), places, MAX_BLOCKING_THREADS, None);
    ending.end();
    match log.stop() {
        Some(failure) => Err(ServeLogError::Log(failure)),
        None => Ok(served?),
    }
}

/// Serves a log on shared storage until told to stop: as a front end of whoever leads it, and as the leader from when
/// this process can be that. Blocks the calling thread. When it ends, all that it acknowledged is in the log, and
/// another process can lead at once.
///
/// # Errors
/// `serve-failed`; or what the log failed with, `log-writer-conflict` if another process has taken the lead.
pub fn serve_shared_log(
    parts: SharedLogParts,
    listening: Listening,
    until: Until,
) -> Result<(), ServeLogError> {
    let SharedLogParts { candidate, look, public, key, url, secret, service } = parts;
    let files = Arc::clone(&public);
    let front = Front::new(url, secret);
    let site = Arc::new(Site::new(key, Some(front), |budget| Reads::objects(files, budget), &service));
    let (failed, stopped) = stop();
    let leading = lead::start(lead::Start { candidate, look, public, service }, &site, failed)?;
    let app = Router::new().fallback(answer).with_state(Arc::clone(&site));
    let threads = MAX_BLOCKING_THREADS + reads::MAX_FETCHES + front::MAX_FORWARDS;
    let places = Arc::clone(&site.places);
    let served = run_in(app, listening, until.or(stopped), places, threads, None);
    leading.end(&site)?;
    Ok(served?)
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
    let (head, _) = request.into_parts();
    let path = head.uri.path();
    let response = site.reads.answer(&head, path.strip_prefix(rekor::READ_PREFIX).unwrap_or(path)).await;
    site.answers.reads.count(response.status());
    response
}
