//! The house rules that no compiler knows. A module a rule; each returns findings with place and remedy.
//!
//! Not here: what rustc, clippy and cargo-deny hold already (lints in the root manifest, `deny.toml`).

mod attacks;
mod dependencies;
mod edges;
mod errors;
mod headers;
mod links;
mod purity;
mod size;
mod source;
mod terminal;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use crate::sh;
use crate::workspace::Workspace;
use tree::Tree;

/// One broken rule: where, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    what: String,
    remedy: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line.max(1), self.what, self.remedy)
    }
}

/// Checks every rule and prints what is broken; true where nothing is. With `fix`, writes generated files first.
pub(crate) fn run(root: &Path, fix: bool) -> bool {
    match check(root, fix) {
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            let count = findings.len();
            eprintln!(
                "tidy: {}",
                if count == 0 { "nothing to do".to_owned() } else { format!("{count} findings") }
            );
            count == 0
        }
        Err(error) => {
            eprintln!("tidy: could not run: {error}");
            false
        }
    }
}

fn check(root: &Path, fix: bool) -> Result<Vec<Finding>, String> {
    let catalogue = attacks::Catalogue::load(root)?;
    let mut tree = Tree::load(root)?;
    if fix {
        for (path, text) in errors::fixes(&tree).into_iter().chain(attacks::fixes(&tree)) {
            eprintln!("tidy: wrote {path}");
            tree.write(root, &path, text)?;
        }
    }
    let workspace = Workspace::load(root)?;
    let mut findings = edges::check(&workspace, &tree);
    findings.extend(edges::check_linked(&workspace, |package| {
        sh::output(
            sh::cargo(root).args(["tree", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"]),
        )
    })?);
    findings.extend(purity::check(&tree));
    findings.extend(headers::check(&tree));
    findings.extend(errors::check(&tree));
    findings.extend(links::check(&tree));
    match &catalogue {
        Some(catalogue) => findings.extend(attacks::check(&tree, catalogue)),
        None if sh::ci() => findings.push(attacks::absent()),
        None => eprintln!("tidy: not run: attack ids (no catalogue; COUNTERSIGN_ATTACKS names its file)"),
    }
    findings.extend(terminal::check(&tree));
    findings.extend(size::check(&tree));
    findings.extend(text::check(&tree));
    findings.extend(dependencies::check(&workspace, &tree));
    Ok(findings)
}
