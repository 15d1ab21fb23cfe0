//! A file has one subject; past 700 lines it seldom has.

use super::Finding;
use super::tree::Tree;

const MAX_LINES: usize = 700;

/// Longer files, each with the reason why it is still one subject.
const LONGER: &[(&str, &str)] = &[];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    judge(tree, LONGER)
}

fn judge(tree: &Tree, longer: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.lines().count();
        if lines > MAX_LINES && !longer.iter().any(|(path, _)| *path == file.path) {
            let what = format!("{lines} lines, more than {MAX_LINES}");
            let remedy = "split it by subject, or list it with a reason in xtask/src/tidy/size.rs";
            findings.push(Finding::new(&file.path, MAX_LINES + 1, what, remedy));
        }
    }
    for (path, _) in longer {
        if tree.get(path).is_none_or(|file| file.lines().count() <= MAX_LINES) {
            findings.push(Finding::new(
                path,
                1,
                "listed as long and is not",
                "strike it from xtask/src/tidy/size.rs",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_listed_and_only_they() {
        let long = "\n".repeat(MAX_LINES + 1);
        let tree = Tree::of(&[("a.rs", &long), ("b.rs", &long[1..]), ("c.md", &long)]);
        let found = |longer: &[(&str, &str)]| -> Vec<String> {
            judge(&tree, longer).into_iter().map(|finding| finding.path).collect()
        };
        assert_eq!(found(&[]), ["a.rs"]);
        assert_eq!(found(&[("a.rs", "one table")]), [""; 0]);
        assert_eq!(found(&[("a.rs", "one table"), ("b.rs", "x"), ("gone.rs", "x")]), ["b.rs", "gone.rs"]);
    }
}
