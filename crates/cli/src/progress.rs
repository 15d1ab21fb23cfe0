//! A progress bar on standard error for whatever takes over a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::printer::Printer;

/// How long work goes on before a bar appears: short work would only flicker.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes, shown with their prefixes.
    Bytes,
    /// What the label says.
    Things,
}

/// So much done of a known total.
pub(crate) struct Progress {
    unit: Unit,
    bar: Option<ProgressBar>,
    label: String,
    total: u64,
    done: u64,
    started: Instant,
    wanted: bool,
}

impl Progress {
    pub(crate) fn new(out: &Printer, label: impl Into<String>, total: u64) -> Self {
        Self {
            unit: Unit::Bytes,
            bar: None,
            label: label.into(),
            total,
            done: 0,
            started: Instant::now(),
            wanted: out.shows_progress(),
        }
    }

    /// Counts something else than bytes.
    pub(crate) fn counting(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// So much of the total is done by now.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done;
        if !self.wanted {
            return;
        }
        if self.bar.is_none() && self.started.elapsed() >= PATIENCE {
            self.bar = Some(self.draw());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn draw(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(self.total), ProgressDrawTarget::stderr());
        // What was done before the bar began says nothing about the rate from here on.
        bar.set_position(self.done);
        bar.reset_eta();
        let template = match self.unit {
            Unit::Bytes => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
            Unit::Things => "{msg} [{bar:30}] {human_pos}/{human_len}, {eta} left",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(countersign_base::text::escape(&self.label));
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
