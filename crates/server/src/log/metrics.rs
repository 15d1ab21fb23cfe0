//! What a log tells its operator.

use axum::response::Response;
use countersign_base::Explain as _;
use countersign_log::LogError;
use countersign_log::pipeline::Status;

use super::{Line, Site};
use crate::metrics::{Page, Statuses};

/// Series of the witnesses that fail a log: submitters read it as well, to say who is waited for.
pub const WITNESS_FAILING: &str = "countersign_log_witness_failing";

/// Answers, by what was asked.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) reads: Statuses,
    pub(crate) submissions: Statuses,
}

pub(crate) fn page(site: &Site) -> Response {
    let mut page = Page::default();
    let answers = &site.answers;
    page.statuses("countersign_log_reads_total", "Reads by the answer's status.", &answers.reads);
    page.statuses(
        "countersign_log_submissions_total",
        "Submissions by the answer's status.",
        &answers.submissions,
    );
    let status = site.line.get().map(Line::status);
    page.gauge(
        "countersign_log_leader",
        "1 if this process takes entries into the log, 0 if another one does.",
        u64::from(status.as_ref().is_some_and(|status| status.failure.is_none())),
    );
    if let Some(front) = &site.front {
        page.gauge("countersign_log_epoch", "Number of the leader's term.", front.epoch());
        page.counter(
            "countersign_log_handovers_total",
            "Changes of the leader since the start.",
            front.handovers(),
        );
        page.counter(
            "countersign_log_forwarded_total",
            "Submissions passed on to the leader.",
            front.forwarded(),
        );
    }
    if let Some(status) = &status {
        leading(&mut page, status);
    }
    page.connections(site.places.occupancy());
    page.process();
    page.into_response()
}

/// How the log goes, for who leads it.
fn leading(page: &mut Page, status: &Status) {
    for (name, help, value) in [
        ("countersign_log_durable_entries", "Entries that are durable.", status.acknowledged),
        ("countersign_log_signed_entries", "Size of the signed tree.", status.signed),
        ("countersign_log_published_entries", "Size of the published tree.", status.published.unwrap_or(0)),
        (
            "countersign_log_waiting_entries",
            "Entries that wait to become durable.",
            status.waiting_entries as u64,
        ),
        ("countersign_log_waiting_bytes", "Their bytes.", status.waiting_bytes as u64),
        (
            "countersign_log_pending_bytes",
            "Bytes of durable entries that wait for tiles.",
            status.pending_bytes as u64,
        ),
        (
            "countersign_log_unpublished_attempts",
            "Attempts since the newest tree could not be published; 0 if it is.",
            status.failing.as_ref().map_or(0, |failing| u64::from(failing.attempts)),
        ),
        (
            "countersign_log_unpublished_seconds",
            "Seconds since the newest tree could not be published; 0 if it is.",
            status.failing.as_ref().map_or(0, |failing| failing.since.elapsed().as_secs()),
        ),
        ("countersign_log_failed", "1 if the log has failed.", u64::from(status.failure.is_some())),
    ] {
        page.gauge(name, help, value);
    }
    page.present(
        WITNESS_FAILING,
        "1 for each witness that did not cosign while the newest tree could not be published.",
        &["witness", "code"],
        &failing(status),
    );
    for (name, help, value) in [
        ("countersign_log_busy_total", "Submissions refused because the queue was full.", status.busy),
        ("countersign_log_duplicates_total", "Entries that were in the log already.", status.duplicates),
        ("countersign_log_batches_total", "Batches made durable with one sync.", status.batches),
    ] {
        page.counter(name, help, value);
    }
}

/// The witnesses of the log's own policy that fail it, and the code that says how.
fn failing(status: &Status) -> Vec<Vec<String>> {
    match status.failing.as_ref().map(|failing| &*failing.error) {
        Some(LogError::Quorum { failed, .. }) => {
            failed.iter().map(|(name, why)| vec![name.clone(), why.code().name().to_owned()]).collect()
        }
        _ => Vec::new(),
    }
}
