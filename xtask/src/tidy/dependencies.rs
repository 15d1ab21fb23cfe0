//! Every direct dependency has its line of reason in docs/dependencies.md, and no line is stale.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::{File, Tree};
use crate::workspace::Workspace;

const PAGE: &str = "docs/dependencies.md";
const MANIFEST: &str = "Cargo.toml";

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else {
        return vec![Finding::new(PAGE, 1, "absent", "write a table with a row for each direct dependency")];
    };
    let used = workspace.direct_dependencies();
    let mut findings = unused(&used, tree);
    let mut listed = BTreeSet::new();
    for (line, name, cells) in rows(page) {
        let Some(licence) = used.get(name) else {
            findings.push(Finding::new(
                PAGE,
                line,
                format!("`{name}` is not a direct dependency"),
                "strike the row",
            ));
            continue;
        };
        if !listed.insert(name) {
            findings.push(Finding::new(PAGE, line, format!("`{name}` has two rows"), "strike one"));
        }
        if cells.iter().any(|cell| cell.is_empty()) || cells.len() != 3 {
            let remedy = "say what it does for us, what writing it would cost, and its licence";
            findings.push(Finding::new(PAGE, line, format!("the row of `{name}` has an empty cell"), remedy));
        } else if cells[2] != *licence {
            let what = format!("`{name}` is under `{licence}`, not `{}`", cells[2]);
            findings.push(Finding::new(
                PAGE,
                line,
                what,
                "correct the row, and look whether deny.toml allows it",
            ));
        }
    }
    for name in used.keys().filter(|name| !listed.contains(*name)) {
        let remedy =
            format!("add `| {name} | what it does for us | what writing it would cost | {} |`", used[name]);
        findings.push(Finding::new(PAGE, 1, format!("no row for `{name}`"), remedy));
    }
    findings
}

/// Rows of the tables: line, first cell without backticks, the other cells.
fn rows(page: &File) -> impl Iterator<Item = (usize, &str, Vec<&str>)> {
    page.lines().filter_map(|(line, text)| {
        let row = text.strip_prefix('|')?.strip_suffix('|')?;
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((line, name, cells.collect()))
    })
}

/// Versions in the root manifest that no crate takes.
fn unused(used: &BTreeMap<&str, &str>, tree: &Tree) -> Vec<Finding> {
    let Some(manifest) = tree.get(MANIFEST) else { return Vec::new() };
    let section = manifest.lines().skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let entries = section.take_while(|(_, line)| !line.starts_with('['));
    let names = entries.filter_map(|(number, line)| Some((number, line.split_once([' ', '=', '.'])?.0)));
    names
        .filter(|(_, name)| {
            !name.starts_with("countersign-") && !name.starts_with('#') && !used.contains_key(name)
        })
        .map(|(line, name)| {
            Finding::new(MANIFEST, line, format!("no crate uses `{name}`"), "strike the line")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fake::workspace;

    fn found(page: &str) -> Vec<String> {
        let house = workspace(&[("base", &[("hex", "", false), ("countersign-tuf", "", true)])]);
        let manifest = "[workspace.dependencies]\nhex = \"1\"\n";
        let tree = Tree::of(&[(PAGE, page), (MANIFEST, manifest)]);
        check(&house, &tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn the_table_is_complete_and_current() {
        assert_eq!(found("| `hex` | a | b | unknown |\n"), [""; 0]);
        assert_eq!(found("# none\n"), ["no row for `hex`"]);
        assert_eq!(
            found("| `hex` | a | b | unknown |\n| `gone` | a | b | MIT |\n"),
            ["`gone` is not a direct dependency"]
        );
        assert_eq!(
            found("| `hex` | a | b | unknown |\n| `hex` | a | b | unknown |\n"),
            ["`hex` has two rows"]
        );
        assert_eq!(found("| `hex` | | b | unknown |\n"), ["the row of `hex` has an empty cell"]);
        assert_eq!(found("| `hex` | a | b | GPL-3.0 |\n"), ["`hex` is under `unknown`, not `GPL-3.0`"]);
    }

    #[test]
    fn the_root_manifest_lists_what_is_used() {
        let house = workspace(&[("base", &[("hex", "", false)])]);
        let manifest = "[workspace.dependencies]\ncountersign-base = 1\nhex = 1\n# why\ngone.workspace = 2\n[profile.dev]\nx = 1\n";
        let tree = Tree::of(&[(PAGE, "| `hex` | a | b | unknown |\n"), (MANIFEST, manifest)]);
        assert_eq!(
            check(&house, &tree),
            [Finding::new(MANIFEST, 5, "no crate uses `gone`", "strike the line")]
        );
    }
}
