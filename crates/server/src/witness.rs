//! A witness over HTTP.
//!
//! Spec: <https://c2sp.org/tlog-witness>. `POST /add-checkpoint` and `GET /<origin hash>/checkpoint`, both under one
//! prefix; and `GET /metrics` for the operator. The decisions, and what must be durable before an answer, are
//! `countersign-log`'s. When the storage has failed, the server stops: only a new start finds out what is on disk.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use countersign_base::Sha256Digest;
use countersign_log::witness::{Rate, SECONDS};
use countersign_log::{Witness, WitnessError};
use countersign_tlog::witness::MAX_REQUEST_BYTES;

use crate::ServeError;
use crate::body::{Budget, Unread};
use crate::limit::Limit;
use crate::listen::{
    Hangup, Listening, MAX_BLOCKING_THREADS, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, StopHandle, Until,
    run_in, stop,
};
use crate::metrics::{Page, Statuses};
use crate::places::Places;
use crate::repository::{fresh, is_read, not_found, plain};

/// Reads the clock: a witness says when it cosigned, so this is asked once for each request.
pub use countersign_log::pipeline::Clock;

/// Hears of each failure of the witness itself. Whoever asked is told nothing but that there was one.
pub type OnFailure = Arc<dyn Fn(&WitnessError) + Send + Sync>;

/// Memory for large requests.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// A witness and how it is served.
pub struct WitnessService {
    witness: Arc<Witness>,
    clock: Clock,
    address_rate: Option<Rate>,
    on_failure: OnFailure,
    on_hangup: Option<Hangup>,
}

impl core::fmt::Debug for WitnessService {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WitnessService").field("witness", &self.witness).finish_non_exhaustive()
    }
}

impl WitnessService {
    /// Serves `witness` by this clock.
    pub fn new(witness: Arc<Witness>, clock: Clock) -> Self {
        Self { witness, clock, address_rate: None, on_failure: Arc::new(|_| {}), on_hangup: None }
    }

    /// Answers one address (one /64 of IPv6) at most at this rate.
    #[must_use]
    pub fn with_address_rate(self, rate: Rate) -> Self {
        Self { address_rate: Some(rate), ..self }
    }

    /// Tells failures of the witness itself.
    #[must_use]
    pub fn on_failure(self, tell: OnFailure) -> Self {
        Self { on_failure: tell, ..self }
    }

    /// Does this at each SIGHUP, in a thread that may block.
    #[must_use]
    pub fn on_hangup(self, act: Hangup) -> Self {
        Self { on_hangup: Some(act), ..self }
    }
}

/// What all requests share.
struct Site {
    witness: Arc<Witness>,
    clock: Clock,
    on_failure: OnFailure,
    limit: Limit,
    budget: Budget,
    places: Arc<Places>,
    statuses: Statuses,
    /// Taken by the failure that ends the server.
    failed: Mutex<(Option<StopHandle>, Option<WitnessError>)>,
}

/// Serves a witness until told to stop, or until its storage fails. Blocks the calling thread.
///
/// # Errors
/// `serve-failed`; `log-storage-failed`.
pub fn serve_witness(service: WitnessService, listening: Listening, until: Until) -> Result<(), ServeError> {
    let places = Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS);
    let (failed, stopped) = stop();
    let site = Arc::new(Site {
        witness: service.witness,
        clock: service.clock,
        on_failure: service.on_failure,
        limit: Limit::new(service.address_rate),
        budget: Budget::new(REQUEST_BYTES),
        places: Arc::clone(&places),
        statuses: Statuses::default(),
        failed: Mutex::new((Some(failed), None)),
    });
    let app = Router::new().fallback(answer).with_state(Arc::clone(&site));
    let served = run_in(app, listening, until.or(stopped), places, MAX_BLOCKING_THREADS, service.on_hangup);
    let failure = site.failed.lock().unwrap_or_else(PoisonError::into_inner).1.take();
    match failure {
        Some(failure) => Err(ServeError::Witness(failure)),
        None => served,
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    if request.uri().path() == "/metrics" {
        return metrics(&site, request.method());
    }
    let response = match site.limit.count(&request, (site.clock)()) {
        Ok(()) => route(&site, request).await,
        Err(seconds) => too_often(seconds),
    };
    site.statuses.count(response.status());
    response
}

async fn route(site: &Arc<Site>, request: Request) -> Response {
    if request.uri().path() == "/add-checkpoint" {
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "POST")]);
        }
        return add_checkpoint(site, request).await.unwrap_or_else(|refused| refused);
    }
    let Some(origin_hash) = origin_hash(request.uri().path()) else { return not_found() };
    if !is_read(request.method()) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "GET, HEAD")]);
    }
    // On a thread that may block: the first one makes durable what was found at the start.
    let this = Arc::clone(site);
    match tokio::task::spawn_blocking(move || this.witness.latest(&origin_hash)).await {
        Ok(Ok(Some(note))) => fresh(StatusCode::OK, "text/plain; charset=utf-8", note),
        Ok(Ok(None)) => not_found(),
        Ok(Err(error)) => {
            site.fail(error);
            plain(StatusCode::INTERNAL_SERVER_ERROR, &[])
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, &[]),
    }
}

async fn add_checkpoint(site: &Arc<Site>, request: Request) -> Result<Response, Response> {
    let (head, body) = request.into_parts();
    let body = site.budget.read(&head.headers, body, MAX_REQUEST_BYTES).await.map_err(unread)?;
    // On a thread that may block: the witness syncs its state to disk before it answers.
    let this = Arc::clone(site);
    let task = tokio::task::spawn_blocking(move || this.witness.answer(&body.bytes, (this.clock)()));
    let answer = match task.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            site.fail(error);
            return Err(failed());
        }
        Err(_) => return Err(failed()),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = fresh(status, answer.content_type, answer.body);
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// What a stranger is told of a failure of our own.
fn failed() -> Response {
    let said = b"the witness cannot work at present\n".to_vec();
    fresh(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", said)
}

/// What a stranger is told whose request was not read.
fn unread(why: Unread) -> Response {
    match why {
        Unread::TooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, &[]),
        Unread::NoMemory => plain(StatusCode::SERVICE_UNAVAILABLE, &[(RETRY_AFTER, "1")]),
    }
}

impl Site {
    /// Tells a failure, and ends the server if it is final.
    fn fail(&self, error: WitnessError) {
        if !error.is_final() {
            return (self.on_failure)(&error);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one says what happened; those after it that the witness has stopped.
        if failed.1.is_none() || matches!(failed.1, Some(WitnessError::Stopped)) {
            failed.1 = Some(error);
        }
        if let Some(stop) = failed.0.take() {
            stop.stop();
        }
    }
}

fn metrics(site: &Site, method: &Method) -> Response {
    if !is_read(method) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "GET, HEAD")]);
    }
    let (stats, connections) = (site.witness.stats(), site.places.occupancy());
    let mut page = Page::default();
    page.statuses("countersign_witness_requests_total", "Requests by the answer's status.", &site.statuses);
    page.counter(
        "countersign_witness_cosigned_total",
        "Checkpoints cosigned since the start.",
        stats.cosigned,
    );
    page.gauge("countersign_witness_waiting", "Checkpoints that wait to become durable.", stats.waiting);
    let listed = site.witness.logs().iter().count() as u64;
    page.gauge("countersign_witness_logs_listed", "Logs in the list of logs.", listed);
    page.gauge("countersign_witness_logs_cosigned", "Logs that were ever cosigned for.", stats.logs);
    let (counts, sum) = (&stats.commits.counts, stats.commits.sum);
    page.histogram(
        "countersign_witness_commit_seconds",
        "Time to write and sync the checkpoints that came in together.",
        &SECONDS,
        counts,
        sum,
    );
    page.gauge("countersign_witness_state_bytes", "Length of the state file.", stats.state_bytes);
    page.gauge("countersign_witness_failed", "1 if the storage has failed.", u64::from(stats.failed));
    page.connections(connections);
    page.process();
    page.into_response()
}

/// The SHA-256 in `/<64 lower-case hex digits>/checkpoint`.
fn origin_hash(path: &str) -> Option<Sha256Digest> {
    let hash = path.strip_prefix('/')?.strip_suffix("/checkpoint")?;
    hash.parse::<Sha256Digest>().ok().filter(|digest| digest.to_string() == hash)
}

fn too_often(seconds: u64) -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, &[]);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
