//! What stands at the top of a Rust file: its purpose, its specification, and no unsafe code.

use super::Finding;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let header = header(file);
        if header.is_empty() {
            let remedy = "begin it with `//!`: what it is for, what it takes, what is not here";
            findings.push(Finding::new(&file.path, 1, "no module header", remedy));
        } else if is_format_module(file) && !header.contains("<https://") {
            let remedy = "add a line such as `//! Spec: <https://c2sp.org/tlog-tiles>, \"Partial Tiles\".`";
            findings.push(Finding::new(&file.path, 1, "a format module that links no specification", remedy));
        }
        if is_root(file) && !file.code.contains("#![forbid(unsafe_code)]") {
            let remedy = "add `#![forbid(unsafe_code)]` below the header";
            findings.push(Finding::new(&file.path, 1, "unsafe code is not forbidden", remedy));
        }
    }
    findings
}

/// The `//!` lines that begin a file; attributes and blank lines may stand before them.
fn header(file: &File) -> String {
    let before = |line: &&str| line.trim().is_empty() || line.starts_with("#!");
    let lines = file.text.lines().skip_while(before).take_while(|line| line.starts_with("//!"));
    lines.flat_map(|line| [line.trim_start_matches("//!"), "\n"]).collect::<String>().trim().to_owned()
}

/// Each module directly in `tlog` implements a published format; its parts are told by its own header.
fn is_format_module(file: &File) -> bool {
    let Some(path) = file.path.strip_prefix("crates/tlog/src/") else { return false };
    let module = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    // `text` is what the formats share.
    !module.contains('/') && !matches!(module, "lib" | "text")
}

fn is_root(file: &File) -> bool {
    let mut parts = file.path.rsplit('/');
    matches!(parts.next(), Some("lib.rs" | "main.rs")) && parts.next() == Some("src")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(found("crates/a/src/b.rs", "//! Why.\nfn a() {}\n"), [""; 0]);
        assert_eq!(found("fuzz/b.rs", "#![no_main]\n//! Why.\n"), [""; 0]);
        assert_eq!(found("crates/a/src/b.rs", "fn a() {}\n"), ["no module header"]);
        assert_eq!(found("crates/a/src/b.rs", "//!\nfn a() {}\n"), ["no module header"]);
        assert_eq!(found("crates/a/tests/b.rs", "// Why.\n"), ["no module header"]);
    }

    #[test]
    fn a_format_links_its_specification() {
        assert_eq!(
            found(
                "crates/tlog/src/tile.rs",
                "//! Tiles.\n//! Spec: <https://c2sp.org/tlog-tiles>\nfn a() {}\n"
            ),
            [""; 0]
        );
        assert_eq!(
            found("crates/tlog/src/tile.rs", "//! Tiles.\nfn a() {}\n"),
            ["a format module that links no specification"]
        );
        assert_eq!(found("crates/tlog/src/tile/mod.rs", "//! Tiles.\n").len(), 1);
        assert_eq!(found("crates/tlog/src/tile/path.rs", "//! Paths.\n"), [""; 0]);
    }

    #[test]
    fn a_crate_forbids_unsafe_code() {
        let root = "crates/a/src/lib.rs";
        assert_eq!(found(root, "//! Why.\n#![forbid(unsafe_code)]\n"), [""; 0]);
        assert_eq!(found(root, "//! Why.\n// #![forbid(unsafe_code)]\n"), ["unsafe code is not forbidden"]);
    }
}
