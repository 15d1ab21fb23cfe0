//! The doors by which entries come in.

use axum::extract::Request;
use axum::http::header::ALLOW;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use countersign_attest::hashedrekord::MAX_REQUEST_BYTES;
use countersign_base::code;
use countersign_base::text::percent_decode;
use countersign_log::{MAX_ENTRY_BYTES, Submission};
use countersign_tuf::limits::{MAX_ROLE_NAME_BYTES, MAX_TARGETS_BYTES};
use serde_json::json;

use super::front::Front;
use super::{Admits, Line, Refusal, Site, json_document, line};
use crate::rekor;
use crate::repository::{fresh, plain};

/// Where entries come in.
pub(super) enum Door {
    Add,
    Records,
    /// Of this role, as it stands in the path.
    Metadata(String),
}

impl Door {
    pub(super) fn named(path: &str) -> Option<Self> {
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
            (Self::Add, Admits::Rekor) => "this log takes signature records of Rekor only",
            (Self::Add, _) => "this log computes its entries itself",
            (Self::Records, _) => "this log takes no hashed records",
            (Self::Metadata(_), _) => "this log takes no metadata",
        };
        Err(Refusal::new(StatusCode::FORBIDDEN, code::LOG_ENTRY_UNAUTHORISED, why))
    }

    pub(super) async fn answer(&self, site: &Site, request: Request) -> Response {
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
        let passed_on = site.front.as_ref().is_some_and(|front| front.has_passed_on(&request));
        // Counted where it came in.
        if !passed_on {
            site.limit.count(&request, (site.clock)()).map_err(Refusal::too_often)?;
        }
        let Some(line) = site.line.get() else {
            // Whoever passed this on has seen another leader: none is passed on twice.
            let front = site.front.as_ref().filter(|_| !passed_on).ok_or_else(Refusal::leaderless)?;
            return self.pass_on(site, front, request).await;
        };
        match self {
            Self::Add => add(site, line, request).await,
            Self::Records => {
                let patience = if passed_on { line::FORWARDED } else { line::DIRECT };
                rekor::create(site, line, request, patience).await
            }
            Self::Metadata(role) => metadata(site, line, role, request).await,
        }
    }

    /// Has the process that leads do it.
    async fn pass_on(&self, site: &Site, front: &Front, request: Request) -> Result<Response, Refusal> {
        let (path, limit) = match self {
            Self::Add => ("add".to_owned(), MAX_ENTRY_BYTES),
            Self::Records => (rekor::PATH.trim_start_matches('/').to_owned(), MAX_REQUEST_BYTES),
            Self::Metadata(role) => (format!("metadata/{}", decoded(role)?), MAX_TARGETS_BYTES),
        };
        // Where nobody is to be asked, that is said at once.
        front.leader()?;
        let (head, body) = request.into_parts();
        let body = site.read(&head.headers, body, limit).await?;
        // Only now: who sends slowly keeps no turn from others.
        front.forward(front.turn()?, path, body).await
    }
}

async fn add(site: &Site, line: &Line, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = site.read(&head.headers, body, MAX_ENTRY_BYTES).await?;
    if body.bytes.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, code::LOG_ENTRY_MALFORMED, "the entry is empty"));
    }
    let index = line.add(body.bytes.to_vec()).await?.index;
    Ok(fresh(StatusCode::OK, "text/plain; charset=utf-8", index.to_string().into_bytes()))
}

/// The name of a role from a path.
fn decoded(role: &str) -> Result<String, Refusal> {
    let role = Some(role).filter(|role| role.len() <= MAX_ROLE_NAME_BYTES);
    let role = role.and_then(|role| String::from_utf8(percent_decode(role)?).ok());
    role.filter(|role| !role.is_empty()).ok_or_else(Refusal::nameless)
}

async fn metadata(site: &Site, line: &Line, role: &str, request: Request) -> Result<Response, Refusal> {
    let role = decoded(role)?;
    let (head, body) = request.into_parts();
    let body = site.read(&head.headers, body, MAX_TARGETS_BYTES).await?;
    let submission = Submission { role, bytes: body.bytes.to_vec() };
    let admitted = line.admit(submission).await?;
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
