//! What holds keys outside this process, for tests: SoftHSM2 tokens, a real SSH agent, a remote signer.

mod remote_signer;
mod softhsm;
mod ssh_agent;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::absent::{self, on_search_path};

pub use remote_signer::{Behaviour, Heard, RemoteSigner};
pub use softhsm::{Fault, PIN, Shim, SoftHsm, Token, with_softhsm};
pub use ssh_agent::SshAgent;

/// The first of `candidates` that is a file, or `None` with a note on standard error.
fn installed(what: &str, package: &str, candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let found = candidates.into_iter().find(|path| path.is_file());
    if found.is_none() {
        absent::note(&format!("`{what}` is not installed"), &format!("apt-get install {package}"));
    }
    found
}

/// Runs `command` to its end and gives what it printed.
///
/// # Panics
/// If it fails.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    shown
}

/// A new folder for the test, of a name that nobody else has.
pub(crate) fn fresh_dir(prefix: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("{prefix}-{}-{number}", std::process::id()));
        match std::fs::create_dir(&dir) {
            Ok(()) => return dir,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("no folder for the test in {}: {error}", dir.display()),
        }
    }
}

/// Removes a test's folder; one that stays behind fails nothing.
fn remove(dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
}
