//! `countersign quickstart`: the whole of it on one machine, attacks included.
//!
//! Each command that is shown is the command that runs: this very binary, in the quickstart's folder. Only what
//! attackers do is done by code of its own ([`attack`]), on copies, with the publisher's keys at hand.

mod attack;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use countersign_base::code;
use countersign_base::name::ProductName;
use serde::Serialize;

use self::stage::{Release, Stage};
use crate::error::CliError;
use crate::printer::Report;
use crate::site::Site;

/// The file that marks a quickstart's folder, and explains it.
const MARK: &str = "README.md";
/// What the one user of this machine calls the repository.
const REPOSITORY: &str = "demo";

/// Try everything on this machine in a few seconds: publish, verify, install, update, roll back, be attacked
///
/// Needs no network, account or root. Leaves a folder to look around in.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign quickstart\n  countersign quickstart --dir /tmp/try ./my-program"
)]
pub(crate) struct QuickstartArgs {
    /// Folder to make
    #[arg(long, value_name = "DIR", default_value = "countersign-quickstart")]
    dir: PathBuf,
    /// Files to release [default: this program itself]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What `quickstart` prints with `--json`.
#[derive(Serialize)]
struct Summary {
    ok: bool,
    dir: String,
    anchor: String,
    product: String,
    steps: Vec<Step>,
}

/// One thing that was done.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    who: &'static str,
    what: String,
    command: String,
    /// The code of a refusal; absent for what succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
}

impl Report for Summary {
    fn lines(&self) -> Vec<String> {
        // The steps were shown while they were done.
        Vec::new()
    }
}

pub(crate) fn run(args: &QuickstartArgs, site: &Site) -> Result<ExitCode, CliError> {
    let files = files(&args.files)?;
    let product = product(&files[0])?;
    make_dir(&args.dir)?;
    let mut stage = Stage::new(&args.dir, product, files, site)?;
    let anchor = publish_and_use(&mut stage)?;
    attack::all(&mut stage)?;
    stage.close(&anchor)?;
    let summary = Summary {
        ok: true,
        dir: args.dir.display().to_string(),
        anchor,
        product: stage.product().to_string(),
        steps: stage.into_steps(),
    };
    site.out.report(&summary)?;
    Ok(ExitCode::SUCCESS)
}

/// The honest part: a publisher's and a user's day.
fn publish_and_use(stage: &mut Stage<'_>) -> Result<String, CliError> {
    stage.scene("publisher", "The publisher")?;
    let keys = ["--keys", "publisher/keys", "--unencrypted"];
    let made = stage.run(
        "makes a repository: root 2 of 3 keys, a log, a witness with its own key and state",
        &[&["init", "publisher/repo"], &keys[..]].concat(),
    )?;
    let anchor = made["anchor"].as_str().unwrap_or_default().to_owned();
    let product = stage.product().to_string();
    let add = ["product", "add", "publisher/repo", &product];
    stage.run("adds a product whose releases two people must sign", &[&add[..], &keys[..]].concat())?;
    stage
        .release(&Release { version: "1.0.0", what: "releases 1.0.0: signed by both, logged, witnessed" })?;
    stage.mirror("mirror")?;

    stage.scene("user", "A user, who knows one line")?;
    stage.note(&format!("the anchor: {anchor}"))?;
    let url = stage.url("mirror");
    stage.run("trusts the anchor", &["trust", "add", REPOSITORY, &url, &anchor])?;
    let file = stage.first_file();
    stage.run("verifies a file, offline", &["verify", &file])?;
    let target = format!("{REPOSITORY}/{product}");
    let root = ["--root", "user/installed"];
    stage.run("installs 1.0.0", &[&["install", &format!("{target}@1.0.0")], &root[..]].concat())?;

    stage.scene("publisher", "The publisher, a day later")?;
    stage.keep_copy("mirror", "attacks/older-repository")?;
    stage.release(&Release { version: "1.1.0", what: "releases 1.1.0" })?;
    stage.mirror("mirror")?;

    stage.scene("user", "The user")?;
    stage.run("updates to 1.1.0", &[&["update", &target], &root[..]].concat())?;
    stage.run_installed()?;
    stage.run(
        "rolls back to 1.0.0, which is still on the disk",
        &[&["rollback", &target], &root[..]].concat(),
    )?;
    Ok(anchor)
}

/// The files to release, which must exist; this program itself if none is named.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    if named.is_empty() {
        let itself = std::env::current_exe().map_err(|error| {
            CliError::new(code::FILE_UNREADABLE, "this program cannot find itself").because(error)
        })?;
        return Ok(vec![itself]);
    }
    named.iter().map(|file| fs::canonicalize(file).map_err(|error| CliError::reading(file, &error))).collect()
}

/// A product named after its first file, as far as its name can be one.
fn product(file: &Path) -> Result<ProductName, CliError> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(stem.parse().or_else(|_| "demo-product".parse::<ProductName>())?)
}

/// Makes the folder, or says that it is there already. Nothing that exists is touched.
fn make_dir(dir: &Path) -> Result<(), CliError> {
    if dir.join(MARK).exists() {
        return Err(CliError::new(
            code::QUICKSTART_EXISTS,
            format!("the quickstart has run in {} before", dir.display()),
        )
        .fix(format!(
            "look around in it ({}), or choose another folder with --dir",
            dir.join(MARK).display()
        )));
    }
    let used = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if used || (dir.exists() && !dir.is_dir()) {
        return Err(CliError::new(
            code::PUBLISH_DIR_NOT_EMPTY,
            format!("{} is in use for something else", dir.display()),
        )
        .fix("choose another folder with --dir"));
    }
    let failed =
        |error| CliError::new(code::STORAGE_FAILED, format!("cannot make {}", dir.display())).because(error);
    fs::create_dir_all(dir).map_err(failed)
}
