//! Numbers about a witness, for its operator.

use std::time::Duration;

/// Upper ends of the classes of [`Histogram`], in seconds.
pub const SECONDS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// How long something took, in classes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Observations in each class of [`SECONDS`]; the last is for what took longer.
    pub counts: [u64; SECONDS.len() + 1],
    /// All observations added up, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Adds an observation.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = SECONDS.iter().position(|end| seconds <= *end).unwrap_or(SECONDS.len());
        self.counts[class] += 1;
        self.sum += seconds;
    }
}

/// What a witness has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Logs that it has cosigned for, ever.
    pub logs: u64,
    /// Checkpoints that wait to become durable.
    pub waiting: u64,
    /// Checkpoints cosigned.
    pub cosigned: u64,
    /// Commits to disk, each for one checkpoint or more, by how long they took.
    pub commits: Histogram,
    /// Length of the state file in bytes.
    pub state_bytes: u64,
    /// Whether its storage has failed, so that it answers no more.
    pub failed: bool,
}

impl Stats {
    /// Counts a commit of so many checkpoints.
    pub(super) fn committed(&mut self, checkpoints: usize, took: Duration, state_bytes: u64) {
        self.cosigned += checkpoints as u64;
        self.commits.observe(took);
        self.state_bytes = state_bytes;
    }
}
