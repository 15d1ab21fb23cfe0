//! Which crate may use which: the order of the design, a crate may use the ones above it.

use super::Finding;
use super::tree::Tree;
use crate::workspace::{Dependency, Package, Workspace};

/// Every crate folder, from the bottom of the house to its roof. ARCHITECTURE.md tells what each is for.
const ORDER: &[&str] = &[
    "base", "crypto", "tlog", "tuf", "attest", "sbom", "verify", "store", "bucket", "log", "index", "client",
    "keys", "publish", "install", "build", "monitor", "server", "cli", "testkit",
];

/// Crates without file, socket, clock or randomness.
pub(super) const PURE: &[&str] = &["base", "crypto", "tlog", "tuf", "attest", "sbom", "verify"];

/// What a pure crate must not depend on directly.
const WORLDLY: &[&str] = &[
    "age",
    "axum",
    "fs4",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "rustix",
    "rustls",
    "socket2",
    "tempfile",
    "tokio",
    "ureq",
];

/// What a pure crate must not link, however it comes in.
const HTTP: &[&str] = &["axum", "h2", "hyper", "reqwest", "rustls", "tokio", "ureq"];

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let Some(folder) = package.crate_folder() else { continue };
        let manifest = format!("crates/{folder}/Cargo.toml");
        let at = |name: &str| line_of(tree, &manifest, name);
        if package.name != package_of(folder) {
            let what = format!("the package is named `{}`", package.name);
            findings.push(Finding::new(
                &manifest,
                at("name"),
                what,
                format!("name it `{}`", package_of(folder)),
            ));
        }
        let Some(level) = ORDER.iter().position(|name| *name == folder) else {
            let remedy = "put it where it belongs in ORDER (xtask/src/tidy/edges.rs) and in ARCHITECTURE.md";
            findings.push(Finding::new(
                &manifest,
                1,
                format!("the crate `{folder}` has no place in the order"),
                remedy,
            ));
            continue;
        };
        for dependency in product(package) {
            if let Some((what, remedy)) = judge(folder, level, dependency) {
                findings.push(Finding::new(&manifest, at(&dependency.name), what, remedy));
            }
        }
    }
    findings
}

/// Asks `linked` (cargo tree) for what each pure crate links, and refuses HTTP in it.
pub(super) fn check_linked(
    workspace: &Workspace,
    linked: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let Some(folder) = package.crate_folder().filter(|folder| PURE.contains(folder)) else { continue };
        let list = linked(&package.name)?;
        for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
            if HTTP.contains(&name) {
                let what = format!("`{folder}` links `{name}`");
                let remedy =
                    format!("see `cargo tree -p {} -i {name}`, and drop the edge it came by", package.name);
                findings.push(Finding::new(&format!("crates/{folder}/Cargo.toml"), 1, what, remedy));
            }
        }
    }
    findings.dedup();
    Ok(findings)
}

/// What is shipped: normal and build dependencies.
fn product(package: &Package) -> impl Iterator<Item = &Dependency> {
    package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"))
}

fn judge(folder: &str, level: usize, dependency: &Dependency) -> Option<(String, String)> {
    let name = dependency.name.as_str();
    if dependency.path.is_none() {
        return (PURE.contains(&folder) && WORLDLY.contains(&name)).then(|| {
            (
                format!("the pure crate `{folder}` depends on `{name}`"),
                "move what needs it to an edge crate".to_owned(),
            )
        });
    }
    if name == "countersign-testkit" {
        return Some((format!("`{folder}` ships `testkit`"), "make it a dev-dependency".to_owned()));
    }
    let above = ORDER.iter().position(|folder| package_of(folder) == name);
    match above {
        Some(above) if above < level => None,
        _ => Some((
            format!("`{folder}` may not use `{name}`"),
            format!("a crate may use the ones above it: {}", ORDER[..level].join(", ")),
        )),
    }
}

fn package_of(folder: &str) -> String {
    if folder == "cli" { "countersign".to_owned() } else { format!("countersign-{folder}") }
}

fn line_of(tree: &Tree, manifest: &str, name: &str) -> usize {
    let begins = |line: &str| {
        line.trim_start_matches('"').strip_prefix(name).is_some_and(|rest| !rest.starts_with('-'))
    };
    let file = tree.get(manifest);
    file.and_then(|file| file.lines().find(|(_, line)| begins(line))).map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fake::{Crate, workspace};

    fn found(crates: &[Crate<'_>]) -> Vec<String> {
        check(&workspace(crates), &Tree::of(&[])).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn down_the_list_only() {
        assert_eq!(
            found(&[("tlog", &[("countersign-base", "", true)]), ("cli", &[("countersign-tlog", "", true)])]),
            [""; 0]
        );
        assert_eq!(
            found(&[("tlog", &[("countersign-tuf", "", true)])]),
            ["`tlog` may not use `countersign-tuf`"]
        );
        assert_eq!(
            found(&[("tlog", &[("countersign-tlog", "build", true)])]),
            ["`tlog` may not use `countersign-tlog`"]
        );
        assert_eq!(found(&[("store", &[("xtask", "", true)])]), ["`store` may not use `xtask`"]);
    }

    #[test]
    fn testkit_is_for_tests() {
        assert_eq!(found(&[("tlog", &[("countersign-testkit", "dev", true)])]), [""; 0]);
        assert_eq!(found(&[("cli", &[("countersign-testkit", "", true)])]), ["`cli` ships `testkit`"]);
    }

    #[test]
    fn pure_crates_stay_out_of_the_world() {
        assert_eq!(
            found(&[("verify", &[("ureq", "", false)])]),
            ["the pure crate `verify` depends on `ureq`"]
        );
        assert_eq!(
            found(&[("verify", &[("tempfile", "dev", false)]), ("client", &[("ureq", "", false)])]),
            [""; 0]
        );
    }

    #[test]
    fn every_crate_has_a_place() {
        assert_eq!(found(&[("misc", &[])]), ["the crate `misc` has no place in the order"]);
    }

    #[test]
    fn http_is_found_however_deep() {
        let house = workspace(&[("verify", &[]), ("client", &[])]);
        let good = check_linked(&house, |_| Ok("countersign-verify v1\nhyperbole v1\n".into())).unwrap();
        assert_eq!(good, []);
        let bad =
            check_linked(&house, |_| Ok("countersign-verify v1\nhyper v1.8.1\nhyper v1.8.1 (*)\n".into()))
                .unwrap();
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].what, "`verify` links `hyper`");
    }

    #[test]
    fn the_line_is_named() {
        let house = workspace(&[("tlog", &[("countersign-tuf", "", true)])]);
        let manifest = "[dependencies]\ncountersign-tuf-x = 1\ncountersign-tuf.workspace = true\n";
        let findings = check(&house, &Tree::of(&[("crates/tlog/Cargo.toml", manifest)]));
        assert_eq!(findings[0].line, 3);
    }
}
