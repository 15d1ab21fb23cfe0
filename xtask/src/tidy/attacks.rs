//! Every attack of the catalogue has a test named by its id, or a reason why not yet.
//!
//! A row is played end to end, by the tests of `cli`; one that is must not be called pending. Tests in other crates
//! are the row where it is about that crate alone (a crash at every system call), else a part of it: then the row
//! may stay pending, with what is missing as its reason.
//!
//! The catalogue is kept outside the project; `COUNTERSIGN_ATTACKS` names its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use super::tree::{File, Tree};

const PENDING: &str = "docs/attacks-pending.md";

/// Where rows are played against the real program.
const END_TO_END: &str = "crates/cli/tests/";

/// The ids of the catalogue.
pub(super) struct Catalogue {
    ids: BTreeSet<String>,
}

impl Catalogue {
    /// Reads the catalogue; `None` where it is absent.
    pub(super) fn load(root: &Path) -> Result<Option<Self>, String> {
        let file = std::env::var_os("COUNTERSIGN_ATTACKS")
            .map_or_else(|| root.join("..").join("shared").join("attacks.md"), Into::into);
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let ids: BTreeSet<String> = text.lines().filter_map(row).map(|(id, _)| id.to_owned()).collect();
        if ids.is_empty() { Err("the attack catalogue has no rows".to_owned()) } else { Ok(Self { ids }) }
    }

    /// Whether ids of this letter exist: `x09_..` may well be another name.
    fn has_family(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known.as_bytes()[0] == id.as_bytes()[0])
    }
}

/// What to say where nothing may be left out and the catalogue is absent.
pub(super) fn absent() -> Finding {
    let remedy = "set COUNTERSIGN_ATTACKS to the attack catalogue";
    Finding::new(PENDING, 1, "the attack catalogue is absent, so its ids were not compared", remedy)
}

pub(super) fn check(tree: &Tree, catalogue: &Catalogue) -> Vec<Finding> {
    let tests = tests(tree);
    let mut findings = Vec::new();
    let mut pending = BTreeSet::new();
    for (line, id, reason) in tree.get(PENDING).map(pending_rows).unwrap_or_default() {
        let mut say = |what: String, remedy: &str| findings.push(Finding::new(PENDING, line, what, remedy));
        if !catalogue.ids.contains(id) {
            say(format!("{id} is not in the attack catalogue"), "strike the row");
        } else if let Some((path, at)) = tests.get(id).filter(is_whole) {
            say(format!("{id} has a test ({path}:{at})"), "strike the row (`cargo xtask tidy --fix` does)");
        } else if reason.is_empty() {
            say(format!("{id} is pending without a reason"), "say what is missing for its test");
        }
        if !pending.insert(id) {
            say(format!("{id} is pending twice"), "strike one row");
        }
    }
    for (id, (path, line)) in &tests {
        if !catalogue.ids.contains(id) && catalogue.has_family(id) {
            let what = format!("a test named by {id}, which is not in the attack catalogue");
            findings.push(Finding::new(path, *line, what, "name it by its row, or without an id"));
        }
    }
    for id in &catalogue.ids {
        if !tests.contains_key(id) && !pending.contains(id.as_str()) {
            let remedy = format!("write a test `{}_..`, or add the row with a reason", id.to_lowercase());
            findings.push(Finding::new(PENDING, 1, format!("{id} has no test and is not pending"), remedy));
        }
    }
    findings
}

/// The pending file without the rows that have a test by now, where there are such.
pub(super) fn fixes(tree: &Tree) -> Option<(String, String)> {
    let file = tree.get(PENDING)?;
    let tests = tests(tree);
    let stays = |line: &&str| row(line).is_none_or(|(id, _)| tests.get(id).filter(is_whole).is_none());
    let text: String = file.text.split_inclusive('\n').filter(stays).collect();
    (text != file.text).then(|| (PENDING.to_owned(), text))
}

/// The id and the rest of a table row that begins with an id, such as `| M01 | .. |`.
fn row(line: &str) -> Option<(&str, &str)> {
    let (id, rest) = line.trim().strip_prefix('|')?.split_once('|')?;
    let id = id.trim();
    is_id(id).then_some((id, rest))
}

fn is_id(id: &str) -> bool {
    matches!(id.as_bytes(), [letter, tens, ones]
        if letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit())
}

fn pending_rows(file: &File) -> Vec<(usize, &str, &str)> {
    file.lines()
        .filter_map(|(number, line)| {
            let (id, rest) = row(line)?;
            Some((number, id, rest.trim().trim_end_matches('|').trim()))
        })
        .collect()
}

/// A test's file and line.
type Place = (String, usize);

fn is_whole((path, _): &&Place) -> bool {
    path.starts_with(END_TO_END)
}

/// Where the first test of each id stands, an end-to-end one before others.
fn tests(tree: &Tree) -> BTreeMap<String, Place> {
    let mut found = BTreeMap::new();
    for file in tree.rust().filter(|file| file.crate_folder().is_some()) {
        let mut marked = false;
        for (index, line) in file.code.lines().enumerate() {
            marked |= line.contains("#[test]") || line.contains("::test]") || line.contains("::test(");
            let Some(name) = function(line) else { continue };
            if std::mem::take(&mut marked)
                && let Some((id, _)) = name.split_once('_')
                && is_id(&id.to_uppercase())
            {
                let here = (file.path.clone(), index + 1);
                let first = found.entry(id.to_uppercase()).or_insert_with(|| here.clone());
                if is_whole(&&here) && !is_whole(&&*first) {
                    *first = here;
                }
            }
        }
    }
    found
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[cfg(test)]
mod unit {
    use super::*;

    const CATALOGUE: &str = "| id | attack |\n|---|---|\n| M01 | a |\n| L02 | b |\n\n| GO-1 | M01 |\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let catalogue = Catalogue::parse(CATALOGUE).unwrap();
        check(&Tree::of(files), &catalogue).into_iter().map(|finding| finding.what).collect()
    }

    fn test(name: &str) -> String {
        format!("#[test]\nfn {name}() {{}}\n")
    }

    #[test]
    fn each_id_is_tested_or_pending() {
        let (m01, l02) = (test("m01_old_timestamp"), test("l02_smaller_checkpoint"));
        let pending = "| id | reason |\n|---|---|\n| L02 | no log yet |\n";
        assert_eq!(found(&[("crates/cli/tests/a.rs", &m01), ("crates/log/src/b.rs", &l02)]), [""; 0]);
        assert_eq!(found(&[("crates/cli/tests/a.rs", &m01), (PENDING, pending)]), [""; 0]);
        assert_eq!(found(&[("crates/cli/tests/a.rs", &m01)]), ["L02 has no test and is not pending"]);
        assert_eq!(
            found(&[("xtask/a.rs", &m01), (PENDING, pending)]),
            ["M01 has no test and is not pending"]
        );
    }

    #[test]
    fn a_name_alone_is_no_test() {
        let pending = "| L02 | no log yet |\n";
        let mut helper = "fn m01_helper() {}\n".to_owned();
        assert_eq!(found(&[("crates/a/tests/a.rs", &helper), (PENDING, pending)]).len(), 1);
        helper.insert_str(0, "// #[test]\n");
        assert_eq!(found(&[("crates/a/tests/a.rs", &helper), (PENDING, pending)]).len(), 1);
    }

    #[test]
    fn wrong_rows_and_names_are_found() {
        let tests = test("m01_a") + &test("l02_b");
        let with = |extra: &str| found(&[("crates/a/tests/a.rs", &tests), (PENDING, extra)]);
        assert_eq!(with("| M01 | later |\n"), [""; 0]);
        let whole = [
            ("crates/a/tests/a.rs", &*tests),
            ("crates/cli/tests/b.rs", &*tests),
            (PENDING, "| M01 | later |\n"),
        ];
        assert_eq!(found(&whole), ["M01 has a test (crates/cli/tests/b.rs:2)"]);
        assert_eq!(with("| M77 | later |\n"), ["M77 is not in the attack catalogue"]);
        assert_eq!(
            found(&[
                ("crates/a/tests/a.rs", &tests),
                ("crates/a/tests/b.rs", &(test("m77_c") + &test("x09_d")))
            ]),
            ["a test named by M77, which is not in the attack catalogue"]
        );
        let m01 = test("m01_a");
        let pending = |rows: &str| found(&[("crates/a/tests/a.rs", &m01), (PENDING, rows)]);
        assert_eq!(pending("| L02 | |\n"), ["L02 is pending without a reason"]);
        assert_eq!(pending("| L02 | x |\n| L02 | x |\n"), ["L02 is pending twice"]);
    }

    #[test]
    fn fixing_strikes_what_is_tested() {
        let tree = Tree::of(&[
            ("crates/cli/tests/a.rs", &test("m01_a")),
            (PENDING, "# t\n| M01 | x |\n| L02 | x |\n"),
        ]);
        assert_eq!(fixes(&tree), Some((PENDING.to_owned(), "# t\n| L02 | x |\n".to_owned())));
        assert_eq!(fixes(&Tree::of(&[(PENDING, "| L02 | x |\n")])), None);
    }

    #[test]
    fn an_empty_catalogue_is_no_catalogue() {
        assert!(Catalogue::parse("# Attacks\n").is_err());
    }
}
