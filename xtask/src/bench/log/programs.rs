//! What is run: our release build, our load, and the peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{peers, sh};

/// Programs by path.
pub(super) struct Programs {
    pub(super) countersign: PathBuf,
    /// The load in process.
    pub(super) append: PathBuf,
    /// The load over HTTP.
    pub(super) http_load: PathBuf,
    pub(super) witness_load: PathBuf,
    peers: PathBuf,
}

impl Programs {
    pub(super) fn build(root: &Path) -> Result<Self, String> {
        let target = root.join("target").join("release");
        build(root, &["countersign"])?;
        build(root, &["countersign-log", "--example", "append"])?;
        build(root, &["countersign-server", "--example", "witness_load"])?;
        build(root, &["countersign-testkit", "--features", "load", "--bin", "countersign-http-load"])?;
        Ok(Self {
            countersign: target.join("countersign"),
            append: target.join("examples/append"),
            http_load: target.join("countersign-http-load"),
            witness_load: target.join("examples/witness_load"),
            peers: peers::install_for_bench(root),
        })
    }

    /// The peer of this name.
    pub(super) fn peer(&self, name: &str) -> Result<PathBuf, String> {
        let script = self.peers.join(name);
        if script.is_file() { Ok(script) } else { Err(format!("{name} is not installed")) }
    }

    pub(super) fn ours(&self) -> Command {
        Command::new(&self.countersign)
    }
}

fn build(root: &Path, package: &[&str]) -> Result<(), String> {
    let mut build = sh::cargo(root);
    build.args(["build", "--release", "--locked", "--package"]).args(package);
    if sh::passes(&mut build) { Ok(()) } else { Err(format!("the release build of {} failed", package[0])) }
}
