//! What a submitter is told: an answer, or a refusal with its code, status and when to come back.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use countersign_attest::RekorError;
use countersign_base::code::{self, Class, Code, Explain};
use countersign_log::LogError;
use serde_json::json;

use crate::body::Unread;
use crate::repository::fresh;

/// After how many seconds a submitter that could not be served may try again.
const RETRY_SECONDS: u64 = 1;

const JSON: &str = "application/json";

/// Why a submission was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
    /// In so many seconds it may be tried again.
    retry: u64,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry: RETRY_SECONDS }
    }

    /// The body has more than `limit` bytes.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body has more than the {limit} bytes that are taken here");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::LOG_ENTRY_TOO_LARGE, message)
    }

    /// The body, of which `limit` bytes are taken, was not read.
    pub(crate) fn unread(why: Unread, limit: usize) -> Self {
        match why {
            Unread::TooLarge => Self::too_large(limit),
            Unread::NoMemory => Self::no_memory(),
        }
    }

    /// More work is waiting than is done in a moment.
    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::LOG_BUSY, "the log is busy; try again")
    }

    /// The address has submitted as much as one may.
    pub(crate) fn too_often(seconds: u64) -> Self {
        let message = "this address submits more than one may; try again later";
        Self { retry: seconds, ..Self::new(StatusCode::TOO_MANY_REQUESTS, code::SERVER_LIMIT, message) }
    }

    /// As many large bodies are being read as there is memory for.
    fn no_memory() -> Self {
        let message = "too many large bodies are being sent at once; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::SERVER_LIMIT, message)
    }

    /// The log has stopped, or is being stopped.
    pub(crate) fn stopped() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::LOG_STORAGE_FAILED, "the log takes no more entries")
    }

    /// No process leads the log that this one could ask.
    pub(crate) fn leaderless() -> Self {
        let message = "no process that takes submissions leads the log at the moment; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::LOG_BUSY, message)
    }

    /// The process that leads was asked, and did not answer.
    pub(crate) fn unanswered() -> Self {
        let message =
            "the process that leads the log did not answer; send it again: what was taken keeps its index";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::LOG_BUSY, message)
    }

    /// The role in the path is no role's name.
    pub(crate) fn nameless() -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::LOG_ENTRY_MALFORMED, "the role's name is not one")
    }

    /// The entry is in the log, and no checkpoint that shows it could be published in time.
    pub(crate) fn unpublished(index: u64) -> Self {
        let message =
            format!("entry {index} is durable and waits for witnesses; the same request will find it");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::WITNESS_UNAVAILABLE, message)
    }

    /// The proof of an entry cannot be made, or does not verify.
    pub(crate) fn unproven() -> Self {
        let message = "the log cannot prove the entry";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::LOG_STORAGE_CORRUPT, message)
    }

    /// What a client of the log sees: the code and one line.
    pub(crate) fn into_response(self) -> Response {
        let body = json!({ "code": self.code.name(), "message": self.message });
        self.response(body.to_string())
    }

    /// What a client of Rekor sees: `google.rpc.Status`, as its gateway sends it.
    pub(crate) fn into_rpc_response(self) -> Response {
        // google.rpc.Code.
        let number = match self.status.as_u16() {
            400 | 413 => 3,
            403 => 7,
            409 => 6,
            429 => 8,
            503 => 14,
            _ => 2,
        };
        let message = format!("{}: {}", self.code, self.message);
        self.response(json!({ "code": number, "message": message, "details": [] }).to_string())
    }

    fn response(self, body: String) -> Response {
        let retry = self.retry;
        let mut response = fresh(self.status, JSON, body.into_bytes());
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
        }
        response
    }
}

impl From<&LogError> for Refusal {
    fn from(error: &LogError) -> Self {
        // Metadata that cannot be read is malformed, whoever signed it.
        let code = match error {
            LogError::Unauthorised { source, .. } if is_malformed(source.code()) => code::LOG_ENTRY_MALFORMED,
            other => other.code(),
        };
        let message = match error {
            LogError::Unauthorised { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        if code == code::LOG_ENTRY_MALFORMED
            || code == code::LOG_ENTRY_TOO_LARGE
            || code == code::LOG_ENTRY_UNAUTHORISED
            || code == code::LOG_DUPLICATE_VERSION
        {
            return Self::new(status(code), code, message);
        }
        if code == code::LOG_BUSY {
            return Self::busy();
        }
        // What is wrong on our side is told to the operator, and to the submitter only by its code.
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, "the log cannot take entries now")
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::from(&error)
    }
}

impl From<RekorError> for Refusal {
    fn from(error: RekorError) -> Self {
        use std::error::Error as _;
        let message = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::new(status(error.code()), error.code(), message)
    }
}

fn is_malformed(code: Code) -> bool {
    [code::TUF_MALFORMED, code::TUF_NONCANONICAL, code::TUF_SPEC_UNSUPPORTED, code::LIMIT_EXCEEDED]
        .contains(&code)
}

/// The status that goes with a code of a refused submission.
fn status(code: Code) -> StatusCode {
    if code == code::LOG_ENTRY_TOO_LARGE || code == code::LIMIT_EXCEEDED {
        StatusCode::PAYLOAD_TOO_LARGE
    } else if code == code::LOG_ENTRY_UNAUTHORISED {
        StatusCode::FORBIDDEN
    } else if code == code::LOG_DUPLICATE_VERSION {
        StatusCode::CONFLICT
    } else if code.class() == Class::Unavailable {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::BAD_REQUEST
    }
}

/// A document in JSON.
pub(crate) fn json_document(status: StatusCode, body: String) -> Response {
    fresh(status, JSON, body.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_come_back_is_told_when() {
        let busy = Refusal::from(LogError::Busy).into_response();
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(busy.headers().contains_key(RETRY_AFTER));
        let malformed = Refusal::from(LogError::EntryEmpty { place: 0 }).into_response();
        assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);
        assert!(!malformed.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn what_is_wrong_inside_is_not_told_to_strangers() {
        let refusal = Refusal::from(LogError::StorageCorrupt("`/secret/place` is damaged".to_owned()));
        assert_eq!(refusal.code, code::LOG_STORAGE_CORRUPT);
        assert!(!refusal.message.contains("secret"), "{}", refusal.message);
    }
}
