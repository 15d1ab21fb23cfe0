//! A witness at the other end of HTTP.
//!
//! Spec: <https://c2sp.org/tlog-witness>, `add-checkpoint`.

use std::time::Duration;

use countersign_log::cosign::{CosignError, Cosigner, read_response};
use countersign_tlog::NoteSignature;
use countersign_tlog::witness::{AddCheckpoint, MAX_ANSWER_BYTES};

use crate::transport::{BaseUrl, HttpTransport};

/// Longest wait for one answer, which is a line or two.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks one witness for cosignatures. Nothing that it answers is verified here: the log does that.
#[derive(Debug)]
pub struct HttpCosigner {
    name: String,
    transport: HttpTransport,
}

impl HttpCosigner {
    /// The witness called `name` (as in its verifier key), with this submission prefix.
    pub fn new(name: impl Into<String>, prefix: &BaseUrl) -> Self {
        Self { name: name.into(), transport: HttpTransport::new(prefix).within(PATIENCE) }
    }
}

impl Cosigner for HttpCosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        let answer = self
            .transport
            .post("add-checkpoint", &request.encode(), MAX_ANSWER_BYTES as u64)
            .map_err(|error| CosignError::Unavailable(error.to_string()))?;
        let content_type = Some(answer.content_type.as_str()).filter(|text| !text.is_empty());
        read_response(answer.status, content_type, &answer.body)
    }
}
