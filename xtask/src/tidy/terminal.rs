//! One place writes to the terminal: the printer of `cli`, with its progress bar.
//!
//! It escapes, honours `--quiet` and `--json` and keeps data on standard output; nothing may go round it.

use super::Finding;
use super::source::mentions;
use super::tree::{File, Tree};

/// The printer, and the bar that it allows.
const PRINTER: &[&str] = &["crates/cli/src/printer.rs", "crates/cli/src/progress.rs"];

const MACROS: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !may_write(file)) {
        for mention in mentions(&file.product) {
            let last = mention.path.last().map_or("", String::as_str);
            // A lone `stdout` is a variable; the function is imported or called by its path.
            let stream = mention.path.len() > 1 && matches!(last, "stdout" | "stderr");
            if stream || MACROS.contains(&last) {
                let what = format!("`{}` outside the printer", mention.path.join("::"));
                let remedy = "return the text or an error; crates/cli/src/printer.rs writes it";
                findings.push(Finding::new(&file.path, mention.line, what, remedy));
            }
        }
    }
    findings
}

fn may_write(file: &File) -> bool {
    let printer = PRINTER.contains(&file.path.as_str());
    printer || matches!(file.crate_folder(), None | Some("testkit")) || file.path.ends_with("/build.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn writing_elsewhere_is_found() {
        for line in
            ["println!(a);", "std::eprint!(a);", "io::stdout().lock();", "use std::io::{self, stderr};"]
        {
            assert_eq!(found("crates/cli/src/list.rs", &format!("\n{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn children_tests_and_the_printer_may() {
        assert_eq!(
            found("crates/cli/src/run.rs", "Command::new(a).stdout(b); let stdout = child.stdout;\n"),
            [0_usize; 0]
        );
        assert_eq!(found("crates/cli/tests/cli/main.rs", "println!(a);\n"), [0_usize; 0]);
        assert_eq!(found("crates/cli/src/printer.rs", "io::stdout();\n"), [0_usize; 0]);
        assert_eq!(found("xtask/src/main.rs", "println!(a);\n"), [0_usize; 0]);
    }
}
