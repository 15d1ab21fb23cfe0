//! Finds the programs that nobody here wrote and that tests run against; see `tests/peers/README.md`.
//!
//! `COUNTERSIGN_PEERS` names the folder of their scripts; otherwise they are looked for on the search path.

use std::path::PathBuf;

use crate::absent;

/// The program of this name, or `None` with a note on standard error.
///
/// # Panics
/// If it is absent and `CI=true`.
pub fn find(name: &str) -> Option<PathBuf> {
    let found = absent::on_search_path(name).into_iter().find(|program| program.is_file());
    if found.is_none() {
        absent::note(&format!("the peer `{name}` is not installed"), "cargo xtask peers");
    }
    found
}
