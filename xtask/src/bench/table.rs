//! The table: what, measured, budget, ratio to each peer.

use std::fmt;

/// One measurement.
pub(super) struct Row {
    what: String,
    unit: &'static str,
    measured: Result<f64, String>,
    budget: Option<Budget>,
    peers: Vec<(&'static str, Result<f64, String>)>,
}

enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(super) fn new(what: impl Into<String>, unit: &'static str, measured: Result<f64, String>) -> Self {
        Self { what: what.into(), unit, measured, budget: None, peers: Vec::new() }
    }

    pub(super) fn budget(mut self, at_most: f64) -> Self {
        self.budget = Some(Budget::AtMost(at_most));
        self
    }

    pub(super) fn at_least(mut self, at_least: f64) -> Self {
        self.budget = Some(Budget::AtLeast(at_least));
        self
    }

    /// The same by another program; `None` where it is not installed.
    pub(super) fn peer(mut self, name: &'static str, measured: Option<Result<f64, String>>) -> Self {
        self.peers.push((name, measured.unwrap_or_else(|| Err("not installed".to_owned()))));
        self
    }

    fn verdict(&self) -> &'static str {
        match (&self.measured, &self.budget) {
            (Ok(value), Some(Budget::AtMost(most))) if value > most => " OVER",
            (Ok(value), Some(Budget::AtLeast(least))) if value < least => " UNDER",
            _ => "",
        }
    }

    fn measured(&self) -> String {
        match &self.measured {
            Ok(value) => format!("{} {}{}", number(*value), self.unit, self.verdict()),
            Err(_) => "not measured".to_owned(),
        }
    }

    fn bound(&self) -> String {
        match &self.budget {
            Some(Budget::AtMost(most)) => format!("<= {} {}", number(*most), self.unit),
            Some(Budget::AtLeast(least)) => format!(">= {} {}", number(*least), self.unit),
            None => String::new(),
        }
    }

    fn ratios(&self) -> String {
        let ratio = |(name, peer): &(&str, Result<f64, String>)| match (&self.measured, peer) {
            (Ok(ours), Ok(theirs)) => {
                format!("{:.2} of {name} ({} {})", ours / theirs, number(*theirs), self.unit)
            }
            (Err(_), Ok(theirs)) => format!("{name} {} {}", number(*theirs), self.unit),
            (_, Err(why)) => format!("{name}: {why}"),
        };
        self.peers.iter().map(ratio).collect::<Vec<_>>().join("; ")
    }
}

/// All rows.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "budget", "ratio to peer"].map(str::to_owned);
        let body = self.rows.iter().map(|row| [row.what.clone(), row.measured(), row.bound(), row.ratios()]);
        let lines: Vec<[String; 4]> = std::iter::once(head).chain(body).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let (what, measured, budget) = (width(0), width(1), width(2));
        for line in &lines {
            let text =
                format!("{:what$} | {:measured$} | {:budget$} | {}", line[0], line[1], line[2], line[3]);
            writeln!(f, "{}", text.trim_end())?;
        }
        for row in &self.rows {
            if let Err(why) = &row.measured {
                writeln!(f, "not measured: {}: {}", row.what.trim(), why.lines().next().unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_and_peers_are_compared() {
        let mut table = Table::default();
        table.add(
            Row::new("fast", "ms", Ok(5.0))
                .budget(8.0)
                .peer("openssl", Some(Ok(10.0)))
                .peer("minisign", None),
        );
        table.add(Row::new("slow", "ms", Ok(9.0)).budget(8.0));
        table.add(Row::new("few", "entries/s", Ok(9.0)).at_least(171_200.0));
        table.add(Row::new("gone", "ms", Err("no such command".to_owned())).budget(1.0));
        assert_eq!(
            table.to_string(),
            "\
what | measured            | budget              | ratio to peer
fast | 5.0 ms              | <= 8.0 ms           | 0.50 of openssl (10.0 ms); minisign: not installed
slow | 9.0 ms OVER         | <= 8.0 ms           |
few  | 9.0 entries/s UNDER | >= 171200 entries/s |
gone | not measured        | <= 1.0 ms           |
not measured: gone: no such command
"
        );
    }
}
