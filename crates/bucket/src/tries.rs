//! How often and how long a request is tried again.

use std::thread;
use std::time::{Duration, Instant};

/// The first pause is up to this long, each later one up to twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One operation's patience: time runs from its first request.
#[derive(Debug)]
pub(crate) struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: FIRST_PAUSE }
    }

    /// Waits before the next try; false, without waiting, when the time is up.
    ///
    /// The pause is random between nothing and its bound ("full jitter"), so that those who were turned away together
    /// do not come back together.
    pub(crate) fn another(&mut self) -> bool {
        let pause = self.pause.mul_f64(fraction());
        if Instant::now() + pause >= self.until {
            return false;
        }
        thread::sleep(pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

/// A random number in [0, 1); without randomness the middle, which is only less polite.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / (f64::from(u32::MAX) + 1.0))
}
