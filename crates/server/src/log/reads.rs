//! A log's public files: checkpoint, tiles, entry bundles.
//!
//! Spec: <https://c2sp.org/tlog-tiles>, "APIs". Tiles and bundles never change, so they may be cached for good; a
//! checkpoint may not. Only canonical paths exist. Bundles go out compressed with gzip to who accepts it, as long as
//! there is memory for that; without, they are streamed as they are.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use countersign_tlog::tile::{BundleId, TileId};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OwnedSemaphorePermit;

use super::body::Budget;
use crate::ServeError;
use crate::file::{Opened, open_below, read_chunk};
use crate::listen::{Listening, Until, run};
use crate::repository::{not_found, plain, prepare};
use crate::resource::Resource;

/// Largest bundle that is compressed; larger ones are streamed.
const MAX_COMPRESSED_BYTES: u64 = 1024 * 1024;

const BINARY: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves the public files of a log that nobody here writes to, such as a mirror, until told to stop. Blocks the calling
/// thread.
///
/// # Errors
/// `serve-failed`
pub fn serve_log_files(public: &Path, listening: Listening, until: Until) -> Result<(), ServeError> {
    let reads = Reads::new(public, Budget::default());
    run(Router::new().fallback(answer).with_state(reads), listening, until)
}

async fn answer(State(reads): State<Reads>, request: Request) -> Response {
    reads.answer(request.method(), request.uri().path(), request.headers()).await
}

/// A folder with a log's public files.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    root: Arc<PathBuf>,
    budget: Budget,
}

/// Which file a path means.
struct Named {
    resource: Resource,
    is_bundle: bool,
}

impl Reads {
    pub(crate) fn new(root: &Path, budget: Budget) -> Self {
        Self { root: Arc::new(root.to_owned()), budget }
    }

    /// Answers a request for `path`, which begins with a slash.
    pub(crate) async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let Some(named) = named(path) else { return not_found() };
        let is_get = method == Method::GET;
        if !is_get && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, &[(ALLOW, "GET, HEAD")]);
        }
        let headers = headers.clone();
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || this.read(&named, &headers, is_get));
        match task.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => not_found(),
            _ => plain(StatusCode::INTERNAL_SERVER_ERROR, &[]),
        }
    }

    fn read(&self, named: &Named, headers: &HeaderMap, is_get: bool) -> io::Result<Response> {
        if named.is_bundle && accepts_gzip(headers) {
            let opened = open_below(&self.root, &named.resource.components)?;
            // For the file and for what it is compressed to.
            let memory = usize::try_from(opened.length).unwrap_or(usize::MAX).saturating_mul(2);
            if opened.length <= MAX_COMPRESSED_BYTES
                && let Some(place) = self.budget.take(memory)
            {
                return compressed(&opened, is_get, place);
            }
        }
        let mut response = prepare(&self.root, &named.resource, headers, is_get)?;
        if named.is_bundle {
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        Ok(response)
    }
}

/// What a canonical path names; `None` for what no log serves.
fn named(path: &str) -> Option<Named> {
    let path = path.strip_prefix('/')?;
    let is_bundle = BundleId::from_str(path).is_ok();
    let is_tile = is_bundle || TileId::from_str(path).is_ok();
    if !is_tile && path != "checkpoint" {
        return None;
    }
    let components = path.split('/').map(str::to_owned).collect();
    let content_type = if is_tile { BINARY } else { TEXT };
    let resource = Resource { components, content_type, immutable: is_tile, digest: None };
    Some(Named { resource, is_bundle })
}

/// A bundle in gzip. The memory is given back when the peer has taken all of it.
fn compressed(opened: &Opened, is_get: bool, place: OwnedSemaphorePermit) -> io::Result<Response> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < opened.length {
        let at = bytes.len() as u64;
        bytes.extend(read_chunk(&opened.file, at, opened.length - at)?);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    encoder.write_all(&bytes)?;
    let body = encoder.finish()?;
    let length = body.len();
    let body =
        if is_get { Body::from(Bytes::from_owner(Placed { body, _place: place })) } else { Body::empty() };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in [
        (CONTENT_TYPE, BINARY),
        (CONTENT_ENCODING, "gzip"),
        (VARY, "accept-encoding"),
        (CACHE_CONTROL, crate::resource::IMMUTABLE),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Bytes with the memory that they were promised.
struct Placed {
    body: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Whether `gzip` is among the encodings that the peer takes (RFC 9110 section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let Some(list) = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else { return false };
    list.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_paths_name_something() {
        for (path, immutable, bundle) in [
            ("/checkpoint", false, false),
            ("/tile/0/000", true, false),
            ("/tile/1/x001/067.p/12", true, false),
            ("/tile/entries/000", true, true),
            ("/tile/entries/x001/067.p/255", true, true),
        ] {
            let named = named(path).unwrap();
            assert_eq!((named.resource.immutable, named.is_bundle), (immutable, bundle), "{path}");
        }
        for path in [
            "/",
            "checkpoint",
            "/checkpoint/",
            "//checkpoint",
            "/Checkpoint",
            "/check%70oint",
            "/.countersign/checkpoint",
            "/tile",
            "/tile/0/0",
            "/tile/0/000.p/256",
            "/tile/0/000.p/0",
            "/tile/64/000",
            "/tile/../.countersign/checkpoint",
            "/tile/entries/../../checkpoint",
            "/tile/entries/000.p",
        ] {
            assert!(named(path).is_none(), "{path}");
        }
    }

    #[test]
    fn gzip_is_for_who_accepts_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(["gzip", "br, gzip;q=0.5", "GZIP", "identity,gzip ; q=1"].into_iter().all(accepts));
        assert!(!["", "identity", "gzip;q=0", "gzip;q=0.0", "gzip;q=x", "xgzip"].into_iter().any(accepts));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
