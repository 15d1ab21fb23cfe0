//! What no file may hold: paths of one machine, hosts of package registries, unfinished work.
//!
//! Registries are reached through their ordinary clients, which know their hosts.

use super::Finding;
use super::tree::{File, Tree};

/// Put together here, so that this file does not hold what it looks for.
const HOSTS: &[&str] = &[
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("python", "hosted."),
    concat!("proxy.", "golang."),
    concat!("sum.", "golang."),
    concat!("static.", "crates."),
    concat!("index.", "crates."),
    concat!("repo.", "maven"),
    concat!("repo1.", "maven"),
    concat!("deb.", "debian."),
];

/// First folders of paths that exist on somebody's machine only.
const FOLDERS: &[&str] = &["work", "root", "farm", "home", "Users"];

const UNFINISHED: &[(&str, &str)] = &[
    (concat!("todo", "!"), "finish it, or return an error that says what is unsupported"),
    (concat!("unimplemented", "!"), "finish it, or return an error that says what is unsupported"),
    (concat!("#[", "ignore"), "make the test run, or delete it"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        for (number, line) in file.lines() {
            if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
                let remedy = "leave the host to the registry's client";
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("names the registry host `{host}`"),
                    remedy,
                ));
            }
            if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
                let remedy = "use a path relative to the repository, or `~` in a text";
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("holds a path below `/{folder}`"),
                    remedy,
                ));
            }
        }
        unfinished(file, &mut findings);
    }
    findings
}

/// Whether `line` holds the absolute path of something in `/<folder>/`.
fn names_folder(line: &str, folder: &str) -> bool {
    let needle = format!("/{folder}/");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        let inside = before.is_some_and(|c| c.is_alphanumeric() || "._-~}>)*/".contains(c));
        !inside && after.is_some_and(char::is_alphanumeric)
    })
}

fn unfinished(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.code.lines().enumerate() {
        for (needle, remedy) in UNFINISHED {
            if line.contains(needle) {
                findings.push(Finding::new(&file.path, index + 1, format!("`{needle}` is left"), *remedy));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn hosts_and_paths_are_found_in_any_file() {
        for host in HOSTS {
            assert_eq!(found("a.md", &format!("\nsee https://{host}/x\n")), [2], "{host}");
        }
        for folder in FOLDERS {
            assert_eq!(found("a.toml", &format!("\nx = \"/{folder}/main\"\n")), [2], "{folder}");
            assert_eq!(found("a.toml", &format!("x = \"some/{folder}/main\"\n")), [0_usize; 0], "{folder}");
        }
    }

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        for (needle, _) in UNFINISHED {
            assert_eq!(found("a.rs", &format!("fn a() {{\n    {needle}\n}}\n")), [2], "{needle}");
            assert_eq!(found("a.rs", &format!("// no {needle} here\nlet a = \"{needle}\";\n")), [0_usize; 0]);
            assert_eq!(found("a.md", &format!("no {needle} here\n")), [0_usize; 0]);
        }
    }
}
