//! Finds the programs that nobody here wrote and that tests run against; see `tests/peers/README.md`.
//!
//! `COUNTERSIGN_PEERS` names the folder of their scripts; otherwise they are looked for on the search path. With
//! `CI=true` their absence fails the test; elsewhere the test says what it did not run and passes.

use std::path::PathBuf;

/// The program of this name, or `None` with a note on standard error.
///
/// # Panics
/// If it is absent and `CI=true`.
pub fn find(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("COUNTERSIGN_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    let found = found.into_iter().find(|program| program.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "the peer `{name}` is not installed: run `cargo xtask peers`");
        #[expect(clippy::print_stderr, reason = "a test run must say what it left out")]
        {
            eprintln!("not run: the peer `{name}` is not installed (`cargo xtask peers`)");
        }
    }
    found
}
