//! What tests run against and do not bring: where it is looked for, and what its absence means.
//!
//! With `CI=true` the absence of a thing fails the test that wants it; elsewhere the test says what it did not run and
//! passes.

use std::path::PathBuf;

/// Says that `what` is not there, and what helps.
///
/// # Panics
/// If `CI=true`.
pub(crate) fn note(what: &str, remedy: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{what}: {remedy}");
    #[expect(clippy::print_stderr, reason = "a test run must say what it left out")]
    {
        eprintln!("not run: {what} ({remedy})");
    }
}

/// Where a program may be: in the folder of scripts that `cargo xtask peers` has made, then on the search path.
pub(crate) fn on_search_path(name: &str) -> Vec<PathBuf> {
    let peers = std::env::var_os("COUNTERSIGN_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    peers.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).collect()
}
