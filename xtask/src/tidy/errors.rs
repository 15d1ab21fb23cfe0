//! Error codes: unique, a page each with the same sections, an index that is generated, no stale page.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{File, Tree};

const CODES: &str = "crates/base/src/code.rs";
const PAGES: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";

/// The sections of a page, in this wording.
const SECTIONS: &[&str] = &["What happened", "Why it is an error", "What to do", "Example"];

/// One line of the table in `code.rs`.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    line: usize,
    name: &'a str,
    class: &'a str,
    summary: &'a str,
    /// The comment above its group.
    group: &'a str,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(table) = tree.get(CODES) else {
        return vec![Finding::new(CODES, 1, "absent", "error codes are made in its `codes!` table")];
    };
    let (entries, mut findings) = entries(table);
    let mut names = BTreeSet::new();
    for entry in &entries {
        if !names.insert(entry.name) {
            let what = format!("`{}` is listed twice", entry.name);
            findings.push(Finding::new(CODES, entry.line, what, "give the second another name"));
        }
        if !is_kebab(entry.name) {
            let what = format!("`{}` is not kebab-case", entry.name);
            findings.push(Finding::new(CODES, entry.line, what, "use words of a-z joined by `-`"));
        }
        match tree.get(&format!("{PAGES}{}.md", entry.name)) {
            Some(page) => findings.extend(page_findings(page, entry.name)),
            None => {
                let what = format!("`{}` has no page", entry.name);
                let remedy = format!("write {PAGES}{}.md", entry.name);
                findings.push(Finding::new(CODES, entry.line, what, remedy));
            }
        }
    }
    for file in tree.files().filter(|file| file.path != INDEX) {
        let name = file.path.strip_prefix(PAGES).and_then(|name| name.strip_suffix(".md"));
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            findings.push(Finding::new(
                &file.path,
                1,
                format!("no error code `{name}` exists"),
                "delete the page",
            ));
        }
    }
    if tree.get(INDEX).is_none_or(|index| index.text != index_text(&entries)) {
        findings.push(Finding::new(
            INDEX,
            1,
            "is not in step with the codes",
            "run `cargo xtask tidy --fix`",
        ));
    }
    findings
}

/// The index, where it is not in step.
pub(super) fn fixes(tree: &Tree) -> Option<(String, String)> {
    let text = index_text(&entries(tree.get(CODES)?).0);
    let current = tree.get(INDEX).is_some_and(|index| index.text == text);
    (!current).then(|| (INDEX.to_owned(), text))
}

/// The entries of the table, and what in it was not understood.
fn entries(table: &File) -> (Vec<Entry<'_>>, Vec<Finding>) {
    let mut entries = Vec::new();
    let mut findings = Vec::new();
    let mut group = "Codes";
    let inside = table.lines().skip_while(|(_, line)| *line != "codes! {").skip(1);
    for (number, line) in inside.take_while(|(_, line)| *line != "}") {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("// ") {
            group = comment.trim_end_matches('.');
        } else if let Some(entry) = entry(number, line, group) {
            entries.push(entry);
        } else if !line.is_empty() {
            let remedy = "write `NAME = \"name\", Class, \"summary\";` on one line";
            findings.push(Finding::new(CODES, number, "a line of the table that is not an entry", remedy));
        }
    }
    if entries.is_empty() {
        findings.push(Finding::new(CODES, 1, "no error codes found", "keep them in `codes! { .. }`"));
    }
    (entries, findings)
}

fn entry<'a>(line: usize, text: &'a str, group: &'a str) -> Option<Entry<'a>> {
    let (_, rest) = text.strip_suffix("\";")?.split_once(" = \"")?;
    let (name, rest) = rest.split_once("\", ")?;
    let (class, summary) = rest.split_once(", \"")?;
    Some(Entry { line, name, class, summary, group })
}

fn is_kebab(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.split('-').all(is_part)
}

fn page_findings(page: &File, name: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if page.text.lines().next() != Some(&format!("# {name}")) {
        findings.push(Finding::new(
            &page.path,
            1,
            "the title is not the code",
            format!("begin it with `# {name}`"),
        ));
    }
    for section in SECTIONS {
        let what = match body(&page.text, section) {
            None => format!("no section `{section}`"),
            Some("") => format!("the section `{section}` is empty"),
            Some(_) => continue,
        };
        findings.push(Finding::new(&page.path, 1, what, format!("write it under `## {section}`")));
    }
    findings
}

/// The text below a heading of the second level.
fn body<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("\n## {heading}\n"))?;
    Some(after.find("\n## ").map_or(after, |end| &after[..end]).trim())
}

fn index_text(entries: &[Entry<'_>]) -> String {
    let mut text = "\
# Error codes

<!-- Generated by `cargo xtask tidy --fix` from crates/base/src/code.rs. -->

Each refusal and failure of `countersign` has one of these codes. They are stable: scripts may rely on them
(field `code` of `--json`), and none is ever renamed or reused. `countersign explain CODE` prints the page.

The exit status says what kind it is: 1 refused (something is not trustworthy), 2 usage or configuration,
3 unavailable (says nothing about trust), 70 a bug in us.
"
    .to_owned();
    let mut group = "";
    for entry in entries {
        if entry.group != group {
            group = entry.group;
            text += &format!("\n## {group}\n\n| code | exit status | what happened |\n| --- | --- | --- |\n");
        }
        let Entry { name, summary, .. } = entry;
        text += &format!("| [{name}]({name}.md) | {} | {summary} |\n", exit_status(entry.class));
    }
    text
}

fn exit_status(class: &str) -> &'static str {
    match class {
        "Refused" => "1",
        "Usage" => "2",
        "Unavailable" => "3",
        _ => "70",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "codes! {\n    // The log.\n    A = \"log-a\", Refused, \"it is bad\";\n}\n";
    const PAGE: &str =
        "# log-a\n\n## What happened\nx\n\n## Why it is an error\nx\n\n## What to do\nx\n\n## Example\nx\n";

    fn found(table: &str, pages: &[(&str, &str)]) -> Vec<String> {
        let mut files = vec![(CODES, table)];
        files.extend(pages);
        let tree = Tree::of(&files);
        let index = fixes(&tree).unwrap().1;
        files.push((INDEX, &index));
        check(&Tree::of(&files)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_code_with_its_page_is_fine() {
        assert_eq!(found(TABLE, &[("docs/errors/log-a.md", PAGE)]), [""; 0]);
    }

    #[test]
    fn codes_and_pages_are_in_step() {
        assert_eq!(found(TABLE, &[]), ["`log-a` has no page"]);
        let pages = [("docs/errors/log-a.md", PAGE), ("docs/errors/log-b.md", PAGE)];
        assert_eq!(found(TABLE, &pages), ["no error code `log-b` exists"]);
        let twice = TABLE.replace("}", "    B = \"log-a\", Usage, \"again\";\n}");
        assert_eq!(found(&twice, &pages[..1]), ["`log-a` is listed twice"]);
        let odd = TABLE.replace("log-a", "log_a");
        let page = PAGE.replace("log-a", "log_a");
        assert_eq!(found(&odd, &[("docs/errors/log_a.md", &page)]), ["`log_a` is not kebab-case"]);
        let strange = TABLE.replace("}", "    B = why;\n}");
        assert_eq!(found(&strange, &pages[..1]), ["a line of the table that is not an entry"]);
    }

    #[test]
    fn a_page_has_its_sections() {
        let with = |from: &str, to: &str| found(TABLE, &[("docs/errors/log-a.md", &PAGE.replace(from, to))]);
        assert_eq!(with("Why it is an error", "Why"), ["no section `Why it is an error`"]);
        assert_eq!(with("# log-a\n", "# log-b\n"), ["the title is not the code"]);
        assert_eq!(with("## Example\nx\n", ""), ["no section `Example`"]);
        assert_eq!(with("## What to do\nx\n", "## What to do\n"), ["the section `What to do` is empty"]);
    }

    #[test]
    fn a_stale_index_is_found() {
        let tree = Tree::of(&[(CODES, TABLE), ("docs/errors/log-a.md", PAGE), (INDEX, "old")]);
        assert_eq!(check(&tree)[0].what, "is not in step with the codes");
        let (_, text) = fixes(&tree).unwrap();
        assert!(text.contains("\n## The log\n"));
        assert!(text.contains("\n| [log-a](log-a.md) | 1 | it is bad |\n"));
    }
}
