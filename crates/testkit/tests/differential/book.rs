//! `docs/tuf-differences.md`: a row a difference.

use std::collections::BTreeSet;

/// What one client did otherwise in one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) scenario: String,
    pub(crate) client: &'static str,
    /// `accepts`, `refuses`, ...: the column of that name.
    pub(crate) what: &'static str,
    /// For whoever reads a failure; not in the book.
    pub(crate) details: String,
}

struct Row<'a> {
    scenario: &'a str,
    client: &'a str,
    what: &'a str,
    why: &'a str,
}

/// The rows of its table: scenario, client, what it does, why ours is right.
fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [scenario, client, what, why, ""] = cells[..] else { return None };
        Some(Row { scenario: scenario.trim_end_matches('`'), client, what, why })
    })
}

/// What is in one of the two only. Rows of clients that are not installed are left alone.
pub(crate) fn compare(
    text: &str,
    found: &[Difference],
    names: &BTreeSet<&str>,
    installed: &[&str],
) -> Vec<String> {
    let mut out = Vec::new();
    let same = |row: &Row<'_>, found: &Difference| {
        row.scenario == found.scenario && row.client == found.client && row.what == found.what
    };
    for difference in found {
        if !rows(text).any(|row| same(&row, difference)) {
            let Difference { scenario, client, what, details } = difference;
            out.push(format!("missing: | `{scenario}` | {client} | {what} | .. |\n    {details}"));
        }
    }
    for row in rows(text) {
        let Row { scenario, client, what, why } = row;
        if !names.contains(scenario) {
            out.push(format!("no scenario of that name: `{scenario}`"));
        } else if why.is_empty() {
            out.push(format!("no reason: `{scenario}` {client}"));
        } else if installed.contains(&client) && !found.iter().any(|found| same(&row, found)) {
            out.push(format!("no longer so: `{scenario}` {client} {what}"));
        }
    }
    out
}

#[test]
fn a_line_too_many_and_one_too_few_are_found() {
    let text = "# Differences\n\n| scenario | client | what | why |\n| --- | --- | --- | --- |\n\
                | `a` | go-tuf | accepts | section 4 |\n";
    let difference =
        |what| Difference { scenario: "a".to_owned(), client: "go-tuf", what, details: String::new() };
    let names = BTreeSet::from(["a"]);
    assert!(compare(text, &[difference("accepts")], &names, &["go-tuf"]).is_empty());
    assert_eq!(compare(text, &[], &names, &["go-tuf"]), ["no longer so: `a` go-tuf accepts"]);
    assert_eq!(compare(text, &[], &names, &[]), [""; 0]);
    assert_eq!(compare(text, &[difference("fails")], &names, &["go-tuf"]).len(), 2);
    assert_eq!(compare(text, &[], &BTreeSet::new(), &[]), ["no scenario of that name: `a`"]);
}
