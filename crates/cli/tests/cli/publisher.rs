//! A publisher for one test: a repository made by the real commands, and machines that trust it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, REPO, Run, program};

/// The files of a release, by name: content, and whether it is a program.
pub(crate) type Files = BTreeMap<String, (Vec<u8>, bool)>;

/// The content of every file and link of a folder.
pub(crate) type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// A repository with one product, `node`, and all of its keys.
pub(crate) struct Publisher {
    lab: Lab,
    anchor: String,
}

/// What is in release `version`: a program, a file that never changes, and one of some kilobytes.
pub(crate) fn files(version: &str) -> Files {
    let data: Vec<u8> = version.bytes().cycle().take(5000).collect();
    Files::from([
        ("LICENSE".to_owned(), (b"do what you like\n".to_vec(), false)),
        ("data.bin".to_owned(), (data, false)),
        ("node".to_owned(), (program(version), true)),
    ])
}

impl Publisher {
    /// `init` and `product add`, with keys that no passphrase protects.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let (repo, keys) = (lab.path("repo"), lab.path("keys"));
        let (repo, keys) = (repo.to_str().unwrap(), keys.to_str().unwrap());
        let made = lab.run(&["init", repo, "--keys", keys, "--unencrypted"]).ok();
        let anchor = made.json()["anchor"].as_str().unwrap().to_owned();
        lab.run(&["product", "add", repo, "node", "--keys", keys, "--unencrypted"]).ok();
        Self { lab, anchor }
    }

    /// The same with these versions released.
    pub(crate) fn with(versions: &[&str]) -> Self {
        let publisher = Self::new();
        for version in versions {
            publisher.release(version).ok();
        }
        publisher
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.lab.path("repo")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.lab.path("keys")
    }

    pub(crate) fn anchor(&self) -> &str {
        &self.anchor
    }

    /// A path of this publisher's machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.lab.path(name)
    }

    /// The machine itself, to run other commands on.
    pub(crate) const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// `release` of [`files`] as `version`.
    pub(crate) fn release(&self, version: &str) -> Run {
        let args = self.release_args(version);
        self.lab.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The arguments of that, with the files written.
    pub(crate) fn release_args(&self, version: &str) -> Vec<String> {
        let folder = self.lab.path(&format!("build-{version}"));
        fs::create_dir_all(&folder).unwrap();
        let mut args = vec!["release".to_owned(), text(&self.repo()), "node".to_owned(), version.to_owned()];
        for (name, (content, program)) in files(version) {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }))
                .unwrap();
            args.push(text(&path));
        }
        args.extend(["--keys".to_owned(), text(&self.keys())]);
        args.extend(["--platform".to_owned(), "linux/amd64".to_owned()]);
        args
    }

    /// `log fsck` of the repository.
    pub(crate) fn fsck(&self) -> Run {
        self.lab.run(&["log", "fsck", self.repo().to_str().unwrap()])
    }

    /// `trust add` on another machine, by the anchor alone.
    pub(crate) fn trusted_by(&self, machine: &Lab, url: &str) -> Run {
        machine.run(&["trust", "add", REPO, url, &self.anchor])
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// `file://` of a folder.
pub(crate) fn file_url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// What `root` has active of `node`: `None` if nothing is.
pub(crate) fn active(root: &Path) -> Option<Files> {
    let mut found = Files::new();
    for entry in fs::read_dir(root.join("node/current")).ok()? {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        let name = entry.file_name().into_string().unwrap();
        found.insert(name, (fs::read(entry.path()).unwrap(), mode & 0o100 != 0));
    }
    Some(found)
}

/// Copies a folder of plain files, without what is in folders named with a dot.
pub(crate) fn copy_public(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            if !name.to_str().unwrap().starts_with('.') {
                copy_public(&entry.path(), &to.join(name));
            }
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Every file below `folder`, with its path below it, sorted.
pub(crate) fn every_file(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every file and link below `folder` with its content, but locks and what only a build left.
pub(crate) fn everything(folder: &Path) -> Tree {
    let read = |path: PathBuf| {
        let full = folder.join(&path);
        let bytes = match fs::read_link(&full) {
            Ok(target) => target.into_os_string().into_encoded_bytes(),
            Err(_) => fs::read(&full).unwrap(),
        };
        (path, bytes)
    };
    let lock = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_str().unwrap().ends_with("lock"));
    every_file(folder).into_iter().filter(|path| !lock(path)).map(read).collect()
}

/// The same command, deaf to nothing: a shell that starts something in the background has it ignore Ctrl-C, and that
/// is inherited down to here.
fn listening(command: &Command, signal: &str) -> Command {
    let mut fresh = match signal {
        "INT" => Command::new("/usr/bin/env"),
        _ => Command::new(command.get_program()),
    };
    if signal == "INT" {
        fresh.arg("--default-signal=INT").arg(command.get_program());
    }
    fresh.args(command.get_args());
    fresh.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    fresh
}

/// Runs `command`, sends it the signal after a while, and gives its exit status: `None` if the signal ended it.
pub(crate) fn cut_short(command: &mut Command, signal: &str, after: Duration) -> Option<i32> {
    let mut fresh = listening(command, signal);
    let mut child = fresh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    if child.try_wait().unwrap().is_none() {
        // Not yet waited for, so the number is still this process's.
        let pid = rustix::process::Pid::from_child(&child);
        let signal = match signal {
            "INT" => rustix::process::Signal::INT,
            _ => rustix::process::Signal::KILL,
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }
    child.wait().unwrap().code()
}
