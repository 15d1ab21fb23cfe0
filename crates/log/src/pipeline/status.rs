//! How a running log goes: for an operator and for metrics.

use std::sync::Arc;
use std::time::Instant;

use crate::error::LogError;

/// A moment of a running log.
#[derive(Debug, Clone)]
pub struct Status {
    /// Entries that are durable.
    pub acknowledged: u64,
    /// Size of the signed tree.
    pub signed: u64,
    /// Size of the published tree; `None` if nothing was ever published.
    pub published: Option<u64>,
    /// Entries that wait to be made durable.
    pub waiting_entries: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Bytes of acknowledged entries that wait for their tiles, as far as nobody works on them.
    pub pending_bytes: usize,
    /// Submissions refused because the queue was full, since the start.
    pub busy: u64,
    /// Entries that were in the log already, since the start.
    pub duplicates: u64,
    /// Batches made durable, since the start: entries over batches is what shares a sync.
    pub batches: u64,
    /// Why the newest tree is not published, while that is so.
    pub failing: Option<Failing>,
    /// Why the log has stopped.
    pub failure: Option<Arc<LogError>>,
}

/// A publication that does not succeed.
#[derive(Debug, Clone)]
pub struct Failing {
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    pub since: Instant,
    /// What went wrong last: too few cosignatures.
    pub error: Arc<LogError>,
}
