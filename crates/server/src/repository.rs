//! A repository's static files over HTTP/1.1.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, response};
use axum::response::Response;

use crate::ServeError;
use crate::file::{FileBody, Opened, is_small, open_below, read_chunk};
use crate::listen::{Listening, Until, run};
use crate::range::{self, Wanted};
use crate::resource::Resource;

/// Serves the repository in `directory` until told to stop. Blocks the calling thread.
///
/// GET and HEAD of files in `metadata/ targets/ attestations/ log/`; single ranges; entity tags. Never a
/// hidden file, a listing of a folder, or anything behind a symbolic link.
///
/// # Errors
/// `publish-repo-missing` if there is no `metadata` folder; `serve-failed`.
pub fn serve_repository(directory: &Path, listening: Listening, until: Until) -> Result<(), ServeError> {
    if !directory.join("metadata").is_dir() {
        return Err(ServeError::NoRepository { path: directory.to_owned() });
    }
    let root: Arc<PathBuf> = Arc::new(directory.to_owned());
    run(Router::new().fallback(answer).with_state(root), listening, until)
}

async fn answer(State(root): State<Arc<PathBuf>>, request: Request) -> Response {
    let is_get = request.method() == Method::GET;
    if !is_get && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "GET, HEAD")]);
    }
    let Some(resource) = Resource::parse(request.uri().path()) else { return not_found() };
    let headers = request.headers().clone();
    // Opening and the first read in one go on a thread that may block: small files cost one hop.
    let task = tokio::task::spawn_blocking(move || prepare(&root, &resource, &headers, is_get));
    match task.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => not_found(),
        _ => plain(StatusCode::INTERNAL_SERVER_ERROR, &[]),
    }
}

/// Opens the file and builds the answer, blocking.
pub(crate) fn prepare(
    root: &Path,
    resource: &Resource,
    headers: &HeaderMap,
    is_get: bool,
) -> io::Result<Response> {
    let opened = open_below(root, &resource.components)?;
    let (tag, length) = (entity_tag(resource, &opened), opened.length);
    respond(resource, headers, is_get, &tag, length, |first, end| {
        Ok(if is_small(end - first) {
            Body::from(read_chunk(&opened.file, first, end - first)?)
        } else {
            Body::new(FileBody::new(opened.file, first, end))
        })
    })
}

/// The answer to a request for a resource of `length` bytes; `body` gives those from the first number to before the
/// second.
pub(crate) fn respond(
    resource: &Resource,
    headers: &HeaderMap,
    is_get: bool,
    tag: &str,
    length: u64,
    body: impl FnOnce(u64, u64) -> io::Result<Body>,
) -> io::Result<Response> {
    let mut builder = Response::builder()
        .header(CONTENT_TYPE, resource.content_type)
        .header(CACHE_CONTROL, resource.cache_control())
        .header(ETAG, tag)
        .header(ACCEPT_RANGES, "bytes")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff");
    if text(headers, IF_NONE_MATCH).is_some_and(|wanted| matches_tag(wanted, tag)) {
        return finish(builder.status(StatusCode::NOT_MODIFIED), Body::empty());
    }
    // If-Range: a part only if it is a part of the file that the peer knows (RFC 9110 section 13.1.5).
    let same = text(headers, IF_RANGE).is_none_or(|wanted| wanted == tag);
    let asked = text(headers, RANGE).filter(|_| same && is_get);
    let (first, end) = match range::parse(asked, length) {
        Wanted::Whole => (0, length),
        Wanted::Part { first, end } => {
            let content_range = format!("bytes {first}-{}/{length}", end - 1);
            builder = builder.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, content_range);
            (first, end)
        }
        Wanted::Unsatisfiable => {
            let content_range = format!("bytes */{length}");
            let builder = builder.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return finish(builder.header(CONTENT_RANGE, content_range), Body::empty());
        }
    };
    let body = if is_get { body(first, end)? } else { Body::empty() };
    finish(builder.header(CONTENT_LENGTH, end - first), body)
}

/// The digest in a target's name; elsewhere length and modification time.
fn entity_tag(resource: &Resource, opened: &Opened) -> String {
    match &resource.digest {
        Some(digest) => format!("\"{digest}\""),
        None => format!("\"{:x}-{:x}\"", opened.length, opened.modified),
    }
}

/// Whether an `If-None-Match` list has the tag.
fn matches_tag(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn finish(builder: response::Builder, body: Body) -> io::Result<Response> {
    builder.body(body).map_err(io::Error::other)
}

/// Never cached: the next version of a file that is not there yet may come at any time.
pub(crate) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, &[])
}

/// Whether a method asks for nothing but an answer.
pub(crate) fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// An answer that no cache keeps.
pub(crate) fn fresh(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

/// A status with its name as text.
pub(crate) fn plain(status: StatusCode, headers: &[(HeaderName, &'static str)]) -> Response {
    let mut response = Response::new(Body::from(format!("{status}\n")));
    *response.status_mut() = status;
    let fixed = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "text/plain; charset=utf-8")];
    for (name, value) in fixed.iter().chain(headers) {
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}
