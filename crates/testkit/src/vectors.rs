//! Finds the public test vectors, which are kept outside this repository.
//!
//! `COUNTERSIGN_VECTORS` names their folder; otherwise it is `../shared/vectors` beside the checkout.

use std::path::{Path, PathBuf};

use crate::absent;

/// The folder of one set, such as `tlog/proof`, or `None` with a note on standard error.
///
/// # Panics
/// If it is absent and `CI=true`.
pub fn dir(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("COUNTERSIGN_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"), PathBuf::from);
    let dir = root.join(set);
    if dir.is_dir() {
        return Some(dir);
    }
    absent::note(
        &format!("public vectors `{set}` are absent from {}", root.display()),
        "set COUNTERSIGN_VECTORS",
    );
    None
}

/// Every file under `dir` whose name ends with `suffix`, sorted, with its path below `dir`.
///
/// # Panics
/// If the folder cannot be read or holds no such file: an empty test is no test.
pub fn files(dir: &Path, suffix: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).expect("vectors folder is readable") {
            let path = entry.expect("vectors folder is readable").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let name = path.strip_prefix(dir).expect("below the folder");
                found.push((name.to_string_lossy().into_owned(), path));
            }
        }
    }
    assert!(!found.is_empty(), "no {suffix} file in {}", dir.display());
    found.sort();
    found
}
