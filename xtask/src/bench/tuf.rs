//! Our plain TUF client beside those of others, over the same repository and server.
//!
//! All speak the command line of tuf-conformance; tests/peers/README.md says what each peer is. A process a command, as
//! its user waits for it, with a cache that is warm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::clock::{Runs, median_wall};
use super::site::{Server, Site};
use super::table::{Row, Table};
use crate::sh;

/// Script in `target/peers-bin`, and what the table calls it.
const PEERS: &[(&str, &str)] = &[("tuf-python", "python-tuf"), ("tuf-js", "tuf-js"), ("tuf-go", "go-tuf")];

/// Adds a row for a refresh that finds nothing new, and one for a refresh with a download of 1 MiB.
pub(super) fn clients(root: &Path, site: &Site, runs: Runs, table: &mut Table) {
    let ours = build(root);
    let measure = |what: &dyn Fn(&User<'_>) -> Result<f64, String>| {
        let one =
            |program: PathBuf| site.server().and_then(|server| what(&User::new(program, site, &server)?));
        let peer = |script: &str| {
            let program = root.join("target/peers-bin").join(script);
            program.is_file().then(|| one(program))
        };
        let peers: Vec<_> = PEERS.iter().map(|(script, name)| (*name, peer(script))).collect();
        (ours.clone().and_then(one), peers)
    };
    let rows = [
        ("TUF refresh, nothing new, loopback", 9.0, measure(&|user| user.refresh(runs))),
        ("TUF refresh and 1 MiB, loopback", 90.0, measure(&|user| user.download(runs))),
    ];
    for (what, budget, (ours, peers)) in rows {
        let row = Row::new(what, "ms", ours).budget(budget);
        table.add(peers.into_iter().fold(row, |row, (name, peer)| row.peer(name, peer)));
    }
}

/// The release build of our client.
fn build(root: &Path) -> Result<PathBuf, String> {
    let mut build = sh::cargo(root);
    build.args(["build", "--release", "--locked", "--package", "countersign-testkit"]);
    build.args(["--features", "tuf-client", "--bin", "countersign-tuf-conformance"]);
    sh::output(&mut build).map(|_| root.join("target/release/countersign-tuf-conformance"))
}

/// A client with a folder of its own.
struct User<'a> {
    program: PathBuf,
    site: &'a Site,
    url: &'a str,
    folder: PathBuf,
}

impl<'a> User<'a> {
    /// It starts from root 1.
    fn new(program: PathBuf, site: &'a Site, server: &'a Server) -> Result<Self, String> {
        let name = program.file_name().unwrap_or_default().to_owned();
        let user = Self { program, site, url: &server.url, folder: site.folder.join("tuf").join(name) };
        if user.folder.exists() {
            fs::remove_dir_all(&user.folder).map_err(|error| error.to_string())?;
        }
        fs::create_dir_all(user.metadata()).map_err(|error| error.to_string())?;
        let root = site.repository.join("metadata/1.root.json");
        sh::output(
            Command::new(&user.program).arg("--metadata-dir").arg(user.metadata()).arg("init").arg(root),
        )?;
        Ok(user)
    }

    fn refresh(&self, runs: Runs) -> Result<f64, String> {
        median_wall(runs, || {
            let mut refresh = self.command();
            refresh.arg("refresh");
            refresh
        })
    }

    fn download(&self, runs: Runs) -> Result<f64, String> {
        let target = self.site.small_target()?;
        let folders = self.site.fresh_folders("tuf-download");
        let measured = median_wall(runs, || {
            let (mut download, folder) = (self.command(), folders.next());
            // Not all make it themselves; that it is there already helps nobody.
            let _ = fs::create_dir_all(&folder);
            download.args(["--target-name", &target, "--target-base-url", &format!("{}/targets", self.url)]);
            download.arg("--target-dir").arg(folder).arg("download");
            download
        });
        folders.remove();
        measured
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--metadata-dir").arg(self.metadata());
        command.args(["--metadata-url", &format!("{}/metadata", self.url)]);
        command
    }

    fn metadata(&self) -> PathBuf {
        self.folder.join("metadata")
    }
}
