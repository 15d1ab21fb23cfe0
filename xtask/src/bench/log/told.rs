//! What a load program says: three numbers, then lines of a number and what it is.

use std::process::Command;

use crate::sh;

/// A run, or why there is none.
pub(super) type Outcome = Result<Told, String>;
/// One figure of a run.
pub(super) type Figure = fn(&Told) -> Result<f64, String>;

/// One run of a load.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Entries a second.
    pub(super) rate: f64,
    /// Median wait for an answer, in milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    text: String,
}

impl Told {
    pub(super) fn by(load: &mut Command) -> Result<Self, String> {
        Self::parse(&sh::output(load)?)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut numbers = text.lines().next().unwrap_or_default().split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(rate)), Some(Ok(p50)), Some(Ok(p99))) => {
                Ok(Self { rate, p50, p99, text: text.to_owned() })
            }
            _ => Err(format!("it says `{}`", text.trim())),
        }
    }

    /// This, and what else is known of the run.
    pub(super) fn and(mut self, text: &str) -> Self {
        self.text += text;
        self
    }

    /// The number that a line says before `what`.
    pub(super) fn number(&self, what: &str) -> Result<f64, String> {
        let before = self.text.split(what).next().filter(|before| before.len() < self.text.len());
        let word = before.and_then(|before| before.split_whitespace().next_back());
        word.and_then(|word| word.parse().ok()).ok_or_else(|| format!("it does not say how many {what}"))
    }

    /// Microseconds of processor time an entry, of the process that was measured.
    pub(super) fn cpu(&self) -> Result<f64, String> {
        self.number("us of processor time an entry\n")
    }

    /// Bytes written to the disk an entry.
    pub(super) fn written(&self) -> Result<f64, String> {
        self.number("bytes written an entry")
    }
}

/// The run of the median rate.
pub(super) fn median(runs: Vec<Outcome>) -> Outcome {
    let mut runs = runs.into_iter().collect::<Result<Vec<_>, _>>()?;
    runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).ok_or_else(|| "no run".to_owned())
}

/// Runs two loads in turns, so that both meet the same moods of the machine; the median run of each.
pub(super) fn in_turns(
    rounds: usize,
    mut one: impl FnMut(usize) -> Outcome,
    mut other: impl FnMut(usize) -> Outcome,
) -> (Outcome, Outcome) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        ones.push(one(round));
        others.push(other(round));
    }
    (median(ones), median(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "9000 1.50 7.25\n12.50 us of processor time an entry\n300 bytes written an entry\n";

    #[test]
    fn numbers_are_found_by_what_they_are() {
        let told = Told::parse(TEXT).unwrap();
        assert_eq!((told.rate, told.p50, told.p99), (9000.0, 1.5, 7.25));
        assert_eq!((told.cpu(), told.written()), (Ok(12.5), Ok(300.0)));
        assert!(told.number("entries a sync").is_err());
        assert!(Told::parse("no log here").is_err());
    }

    #[test]
    fn the_median_run_counts() {
        let run = |rate: f64| Ok(Told { rate, p50: rate, p99: 0.0, text: String::new() });
        let rates = [5.0, 1.0, 3.0];
        let (one, other) = in_turns(3, |round| run(rates[round]), |_| Err("gone".to_owned()));
        assert_eq!(one.unwrap().p50, 3.0);
        assert_eq!(other.unwrap_err(), "gone");
    }
}
