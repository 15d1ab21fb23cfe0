//! What a server tells its operator: Prometheus' text format.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4. Values of labels come from
//! fixed lists, never from a request, so the number of series has a bound.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::places::Occupancy;

/// Statuses that are counted each for itself; all others count as `other`.
const STATUSES: [u16; 15] = [200, 201, 206, 304, 400, 403, 404, 405, 409, 413, 416, 422, 429, 500, 503];
const OTHER: &str = "other";

/// Answers by status.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    counts: [AtomicU64; STATUSES.len() + 1],
}

impl Statuses {
    pub(crate) fn count(&self, status: StatusCode) {
        let place = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len());
        self.counts[place].fetch_add(1, Relaxed);
    }

    fn read(&self) -> impl Iterator<Item = (String, u64)> {
        let labels = STATUSES.iter().map(u16::to_string).chain([OTHER.to_owned()]);
        labels.zip(self.counts.iter().map(|count| count.load(Relaxed)))
    }
}

/// The page under construction.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: impl Display, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A number that only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, value);
    }

    /// A number that grows and shrinks.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.sample(name, value);
    }

    /// A 1 for each thing that is so now, by its labels.
    pub(crate) fn present(&mut self, name: &str, help: &str, labels: &[&str], things: &[Vec<String>]) {
        self.head(name, "gauge", help);
        for values in things {
            let pairs =
                labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", label_value(value)));
            self.sample(format_args!("{name}{{{}}}", pairs.collect::<Vec<_>>().join(",")), 1);
        }
    }

    /// Answers by status.
    pub(crate) fn statuses(&mut self, name: &str, help: &str, statuses: &Statuses) {
        self.head(name, "counter", help);
        for (status, count) in statuses.read() {
            self.sample(format_args!("{name}{{status=\"{status}\"}}"), count);
        }
    }

    /// Durations in classes whose upper ends are `ends`, in seconds; `counts` has one more, for what took longer.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, ends: &[f64], counts: &[u64], sum: f64) {
        self.head(name, "histogram", help);
        let mut total = 0;
        for (place, count) in counts.iter().enumerate() {
            total += count;
            match ends.get(place) {
                Some(end) => self.sample(format_args!("{name}_bucket{{le=\"{end}\"}}"), total),
                None => self.sample(format_args!("{name}_bucket{{le=\"+Inf\"}}"), total),
            }
        }
        self.sample(format_args!("{name}_sum"), sum);
        self.sample(format_args!("{name}_count"), total);
    }

    /// Connections of the server.
    pub(crate) fn connections(&mut self, occupancy: Occupancy) {
        let Occupancy { open, closed, refused } = occupancy;
        self.gauge("countersign_connections", "Open connections.", open as u64);
        self.counter(
            "countersign_connections_displaced_total",
            "Idle connections closed for new ones.",
            closed,
        );
        self.counter("countersign_connections_refused_total", "Connections that found no place.", refused);
    }

    /// Memory that the process has in use, where the system tells it.
    pub(crate) fn process(&mut self) {
        if let Some(bytes) = resident_bytes() {
            self.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", bytes);
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0));
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A label's value as the format wants it.
fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `VmRSS` of this process (Linux, proc(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let (mut page, statuses) = (Page::default(), Statuses::default());
        page.counter("a_total", "What a is.", 3);
        page.gauge("b", "What b is.", 4);
        page.histogram("c_seconds", "What c is.", &[0.5, 1.0], &[1, 0, 2], 9.5);
        assert_eq!(
            page.0,
            "# HELP a_total What a is.\n# TYPE a_total counter\na_total 3\n\
             # HELP b What b is.\n# TYPE b gauge\nb 4\n\
             # HELP c_seconds What c is.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{le=\"0.5\"} 1\nc_seconds_bucket{le=\"1\"} 1\nc_seconds_bucket{le=\"+Inf\"} 3\n\
             c_seconds_sum 9.5\nc_seconds_count 3\n"
        );
        for status in [200, 200, 404, 418, 599] {
            statuses.count(StatusCode::from_u16(status).unwrap());
        }
        let mut page = Page::default();
        page.statuses("d_total", "What d is.", &statuses);
        assert!(
            page.0.contains("d_total{status=\"200\"} 2\n")
                && page.0.contains("d_total{status=\"other\"} 2\n")
        );
        assert_eq!(page.0.lines().count(), 2 + STATUSES.len() + 1, "as many series whatever comes");
    }

    #[test]
    fn the_process_knows_its_memory() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
