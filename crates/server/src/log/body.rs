//! Reading a request's body: never more than a limit, and no more of large ones at once than memory is set aside for.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// Bodies up to this size need no place: there are as many as connections, and those are counted.
const SMALL_BYTES: usize = 16 * 1024;
/// Memory for larger ones.
const LARGE_BUDGET_BYTES: usize = 64 * 1024 * 1024;
const KIB: usize = 1024;

/// The memory for large bodies.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A body, and the memory that it occupies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BUDGET_BYTES / KIB)))
    }
}

impl Budget {
    /// Memory for `bytes` bytes, if there is some left now.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(kib).ok()
    }

    /// Reads a body of at most `limit` bytes. One that says that it is longer is refused unread.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Refusal> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        // Without a length, as much is set aside as may come.
        let expected = match length {
            Some(length) => usize::try_from(length).ok().filter(|length| *length <= limit),
            None => Some(limit),
        }
        .ok_or_else(|| Refusal::too_large(limit))?;
        let place = match expected {
            0..=SMALL_BYTES => None,
            large => Some(self.take(large).ok_or_else(Refusal::no_memory)?),
        };
        // Also an error of the connection, which nobody reads the answer of.
        let bytes = to_bytes(body, limit).await.map_err(|_| Refusal::too_large(limit))?;
        Ok(Held { bytes, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_once_and_comes_back() {
        let budget = Budget::default();
        let held = budget.take(LARGE_BUDGET_BYTES).unwrap();
        assert!(budget.take(1).is_none());
        drop(held);
        assert!(budget.take(LARGE_BUDGET_BYTES).is_some());
        assert!(budget.take(usize::MAX).is_none());
    }
}
