//! A witness over HTTP.
//!
//! Spec: <https://c2sp.org/tlog-witness>. `POST /add-checkpoint` and `GET /<origin hash>/checkpoint`, both under one
//! prefix. The decisions, and what must be durable before an answer, are `countersign-log`'s.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use countersign_base::{Sha256Digest, Timestamp};
use countersign_log::Witness;
use countersign_tlog::witness::MAX_REQUEST_BYTES;

use crate::ServeError;
use crate::listen::{Listening, Until, run};
use crate::repository::{not_found, plain};

/// Reads the clock: a witness says when it cosigned, so this is asked once for each request.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
struct Site {
    witness: Arc<Witness>,
    clock: Clock,
}

/// Serves `witness` until told to stop. Blocks the calling thread.
///
/// # Errors
/// `serve-failed`.
pub fn serve_witness(
    witness: Arc<Witness>,
    clock: Clock,
    listening: Listening,
    until: Until,
) -> Result<(), ServeError> {
    run(Router::new().fallback(answer).with_state(Site { witness, clock }), listening, until)
}

async fn answer(State(site): State<Site>, request: Request) -> Response {
    if request.uri().path() == "/add-checkpoint" {
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "POST")]);
        }
        return add_checkpoint(site, request.into_body()).await;
    }
    let Some(origin_hash) = origin_hash(request.uri().path()) else { return not_found() };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "GET, HEAD")]);
    }
    match tokio::task::spawn_blocking(move || site.witness.latest(&origin_hash)).await {
        Ok(Ok(Some(note))) => text(StatusCode::OK, "text/plain; charset=utf-8", note),
        Ok(Ok(None)) => not_found(),
        _ => plain(StatusCode::INTERNAL_SERVER_ERROR, &[]),
    }
}

async fn add_checkpoint(site: Site, body: Body) -> Response {
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, &[]);
    };
    // On a thread that may block: the witness syncs its state to disk before it answers.
    let now = (site.clock)();
    let task = tokio::task::spawn_blocking(move || site.witness.add_checkpoint(&body, now));
    match task.await {
        Ok(response) => {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            text(status, response.content_type, response.body)
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, &[]),
    }
}

/// The SHA-256 in `/<64 lower-case hex digits>/checkpoint`.
fn origin_hash(path: &str) -> Option<Sha256Digest> {
    let hash = path.strip_prefix('/')?.strip_suffix("/checkpoint")?;
    hash.parse::<Sha256Digest>().ok().filter(|digest| digest.to_string() == hash)
}

/// An answer that no cache keeps.
fn text(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
