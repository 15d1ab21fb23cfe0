//! Rekor v2 over HTTP: a hashed record in, the entry with its proof out.
//!
//! Spec: <https://github.com/sigstore/rekor-tiles/blob/main/api/proto/rekor/v2/rekor_service.proto>, in the JSON form of
//! its gateway. The answer waits for the published checkpoint that covers the entry, with the cosignatures of the log's
//! witnesses, and is a proof that verifies offline.
//!
//! A record that is in the log already is answered with its first entry and 201, where rekor-tiles answers 409 and the
//! index: a client whose answer was lost gets it by asking again.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::hashedrekord::MAX_REQUEST_BYTES;
use countersign_attest::{HashedRekord, Inclusion, LogEntry, log_id};
use countersign_log::MAX_ENTRY_BYTES;
use countersign_tlog::merkle::{leaf_hash, verify_inclusion};

use crate::log::{Line, Refusal, Site, json_document};

/// Where records are sent.
pub(crate) const PATH: &str = "/api/v2/log/entries";
/// What stands before the paths of tiles, for clients that read below the prefix that they write to.
pub(crate) const READ_PREFIX: &str = "/api/v2";

/// Waits so long for the checkpoint.
pub(crate) async fn create(
    site: &Site,
    line: &Line,
    request: Request,
    patience: Duration,
) -> Result<Response, Refusal> {
    let entry = log(site, line, request, patience).await?;
    Ok(json_document(StatusCode::CREATED, entry.to_json()))
}

async fn log(site: &Site, line: &Line, request: Request, patience: Duration) -> Result<LogEntry, Refusal> {
    let (head, body) = request.into_parts();
    let request = site.read(&head.headers, body, MAX_REQUEST_BYTES).await?;
    // A signature is checked off the thread that answers; at most as many at once as that pool has threads.
    let checked = tokio::task::spawn_blocking(move || HashedRekord::admit(&request.bytes)).await;
    let body = checked.map_err(|_| Refusal::stopped())??.into_entry();
    if body.len() > MAX_ENTRY_BYTES {
        return Err(Refusal::too_large(MAX_ENTRY_BYTES));
    }
    let index = line.add(body.clone()).await?.index;
    let published = line.published(index, patience).await?;
    let checkpoint = published.signed.checkpoint();
    let (size, root) = (checkpoint.size(), *checkpoint.root());
    let path = line.prove(index, size).await?;
    // What is given out is checked.
    verify_inclusion(index, size, &leaf_hash(&body), &root, &path).map_err(|_| Refusal::unproven())?;
    let inclusion =
        Inclusion { size, root, path, checkpoint: String::from_utf8_lossy(&published.bytes).into_owned() };
    Ok(LogEntry { index, log_id: log_id(&site.key), body, inclusion })
}

/// Bytes in the standard alphabet, padded.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
