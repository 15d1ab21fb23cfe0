//! What tells Sigstore's clients of a log: where to send, and what to believe.
//!
//! Spec: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>: `SigningConfig` 0.2 and
//! `TrustedRoot` 0.1, which every client reads.
//!
//! Clients take the host of the log's `baseUrl` for its origin (sigstore-go 1.2, `verify/tlog.go`), so a log can be
//! named to them only if its origin is a host and nothing else.

use countersign_base::Timestamp;
use countersign_base::code::{self, Code, Explain};
use countersign_base::text::escape;
use countersign_crypto::Algorithm;
use countersign_tlog::VerifierKey;
use serde_json::{Value, json};

use crate::log_entry::log_id;
use crate::protojson::base64;

/// Why a log cannot be named to Sigstore's clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Its origin is not a bare host name.
    #[error("sigstore clients cannot name the log `{}`: its origin is not the name of a host alone", escape(.0))]
    Origin(String),
    /// Its key is none that they verify checkpoints with.
    #[error("sigstore clients cannot verify checkpoints of the log `{}`: its key is {}", escape(.origin), .algorithm)]
    Key {
        /// The log.
        origin: String,
        /// Of its key.
        algorithm: Algorithm,
    },
}

impl Explain for TrustError {
    fn code(&self) -> Code {
        code::USAGE
    }

    fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Origin(_) => "serve a log of its own for them, with --origin log.example.com".to_owned(),
            Self::Key { .. } => "serve a log of its own for them, with an ed25519 key".to_owned(),
        })
    }
}

/// Says whether Sigstore's clients can verify entries of the log with this key.
///
/// # Errors
/// `usage`: they take the origin for a host name, and checkpoints that are signed with Ed25519.
pub fn check(key: &VerifierKey) -> Result<(), TrustError> {
    if key.public_key().algorithm() != Algorithm::Ed25519 {
        let algorithm = key.public_key().algorithm();
        return Err(TrustError::Key { origin: key.name().to_owned(), algorithm });
    }
    check_origin(key.name())
}

/// Says whether a log of this origin can be named to Sigstore's clients.
///
/// # Errors
/// `usage`: it is not the name of a host alone.
pub fn check_origin(origin: &str) -> Result<(), TrustError> {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if origin.split('.').all(label) { Ok(()) } else { Err(TrustError::Origin(origin.to_owned())) }
}

/// The trusted root with these logs: a JSON document, ending in a line break.
///
/// # Errors
/// As [`check`].
pub fn trusted_root(logs: &[VerifierKey], valid_from: Timestamp) -> Result<String, TrustError> {
    let logs = logs.iter().map(|key| instance(key, valid_from)).collect::<Result<Vec<_>, _>>()?;
    Ok(text(&json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": logs,
        "certificateAuthorities": [],
        "ctlogs": [],
        "timestampAuthorities": [],
    })))
}

fn instance(key: &VerifierKey, valid_from: Timestamp) -> Result<Value, TrustError> {
    check(key)?;
    let id = json!({ "keyId": base64(&log_id(key)) });
    Ok(json!({
        "baseUrl": format!("https://{}", key.name()),
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": base64(&key.public_key().to_spki_der()),
            "keyDetails": "PKIX_ED25519",
            "validFor": { "start": valid_from.to_string() },
        },
        "logId": id,
    }))
}

/// The signing configuration that sends records to the log at `url`: a JSON document, ending in a line break.
pub fn signing_config(key: &VerifierKey, url: &str, valid_from: Timestamp) -> Result<String, TrustError> {
    check(key)?;
    Ok(text(&json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "rekorTlogUrls": [{
            "url": url,
            "majorApiVersion": 2,
            "validFor": { "start": valid_from.to_string() },
            "operator": key.name(),
        }],
        "rekorTlogConfig": { "selector": "ANY" },
        "tsaConfig": { "selector": "ANY" },
    })))
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
