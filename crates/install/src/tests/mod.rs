//! Tests of the whole crate on real folders. They are in here because only the crate can take in a `Release`
//! without its evidence; everything below that is the product's own path.

mod activation;
mod crashes;
mod damage;
mod download;
mod races;
mod upkeep;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use countersign_base::name::{ProductName, TargetPath, Version};
use countersign_base::{Anchor, Code, Explain as _, Sha256Digest, Timestamp};
use countersign_crypto::{sha256, sha512};
use countersign_verify::{FileMode, Release};
use tempfile::TempDir;

use crate::{Activated, InstallError, Installer, Request, View};

/// A release with the bytes of its files.
#[derive(Debug, Clone)]
struct Fixture {
    releases: Vec<Release>,
    contents: Vec<Vec<u8>>,
}

/// The product of every fixture.
fn product() -> ProductName {
    "node".parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Two files of `node` of this version: a program and its manual.
fn release(text: &str) -> Fixture {
    let program = format!("#!/bin/sh\necho node {text}\n{}", "x".repeat(3_000)).into_bytes();
    let manual = format!("manual of {text}").into_bytes();
    files(text, vec![("node", FileMode::Executable, program), ("node.1", FileMode::Plain, manual)])
}

fn files(text: &str, files: Vec<(&str, FileMode, Vec<u8>)>) -> Fixture {
    let releases = files.iter().map(|(name, mode, content)| one(text, name, *mode, content)).collect();
    Fixture { releases, contents: files.into_iter().map(|(_, _, content)| content).collect() }
}

fn one(text: &str, name: &str, mode: FileMode, content: &[u8]) -> Release {
    let path: TargetPath = format!("node/{text}/linux-amd64/{name}").parse().unwrap();
    Release {
        repository: Anchor(Sha256Digest([7; 32])),
        length: content.len() as u64,
        sha256: sha256(content),
        sha512: Some(sha512(content)),
        channel: "stable".parse().unwrap(),
        mode,
        newest: path.version.clone(),
        floor: None,
        yanked: None,
        path,
    }
}

fn request() -> Request {
    Request {
        repository_name: "acme".parse().unwrap(),
        now: "2026-11-21T14:00:00Z".parse::<Timestamp>().unwrap(),
        floor: None,
        downgrade: false,
    }
}

/// Takes in one file; whether it had to be sent.
fn take_in(installer: &Installer, release: &Release, content: &[u8]) -> Result<bool, InstallError> {
    let Some(mut incoming) = installer.receive_release(release)? else { return Ok(false) };
    let from = usize::try_from(incoming.resumed_from()).unwrap();
    // The reason for a failed write is what `finish` says.
    let _ = content[from..].chunks(1_000).try_for_each(|chunk| incoming.write_all(chunk));
    incoming.finish()?;
    Ok(true)
}

fn install_with(
    installer: &mut Installer,
    fixture: &Fixture,
    request: &Request,
) -> Result<Activated, InstallError> {
    for (release, content) in fixture.releases.iter().zip(&fixture.contents) {
        take_in(installer, release, content)?;
    }
    installer.activate_releases(&fixture.releases.iter().collect::<Vec<_>>(), request)
}

fn install(root: &Path, text: &str) -> Result<Activated, InstallError> {
    install_with(&mut Installer::open(root)?, &release(text), &request())
}

fn rollback(root: &Path) -> Result<Activated, InstallError> {
    Installer::open(root)?.rollback(&product(), None, request().now)
}

/// A root in a temporary folder, with these versions installed one after the other.
struct Place {
    _temp: TempDir,
    root: PathBuf,
}

fn place(versions: &[&str]) -> Place {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    for version in versions {
        install(&root, version).unwrap();
    }
    Place { _temp: temp, root }
}

impl Place {
    fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn view(&self) -> View {
        View::open(&self.root)
    }
}

/// Asserts that `text` is active below `root` and whole, for every way of looking at it.
#[track_caller]
fn assert_active(root: &Path, text: &str) {
    let fixture = release(text);
    for (release, content) in fixture.releases.iter().zip(&fixture.contents) {
        let path = root.join("node/current").join(release.path.name.as_str());
        assert_eq!(&fs::read(&path).unwrap(), content, "{}", path.display());
    }
    let status = View::open(root).status(&product(), crate::Look::Files).unwrap();
    assert_eq!(status.active.version, version(text));
    assert_eq!(status.findings, Some(vec![]));
}

#[track_caller]
fn assert_code<T: std::fmt::Debug>(outcome: Result<T, InstallError>, code: Code) {
    let error = outcome.expect_err("it must be refused");
    assert_eq!(error.code(), code, "{error}");
}

/// Every path below `root` with what is there, for comparing before and after.
fn contents(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let info = fs::symlink_metadata(&path).unwrap();
            if info.is_dir() {
                found.push((path.clone(), Vec::new()));
                pending.push(path);
            } else if info.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.push((path, target.into_os_string().into_encoded_bytes()));
            } else {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

/// Names anywhere below `root` that only unfinished things have.
fn leftovers(root: &Path) -> Vec<PathBuf> {
    let unfinished = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(".tmp-") || name.ends_with(".partial")
    };
    contents(root).into_iter().map(|(path, _)| path).filter(|path| unfinished(path)).collect()
}
