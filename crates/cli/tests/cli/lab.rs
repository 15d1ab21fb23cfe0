//! A machine for one test: a client's home, an install root, a served repository, and the binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_base::{Code, Timestamp};
use countersign_testkit::faulty_disk::scratch;
use countersign_testkit::sim::Sim;
use serde_json::Value;
use tempfile::TempDir;

/// The name under which the lab's client trusts the simulated repository.
pub(crate) const REPO: &str = "acme";

/// A released program: prints its version.
pub(crate) fn program(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho node {version}\n").into_bytes()
}

/// The real time, as simulated publishers need it for a client that reads the clock.
pub(crate) fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix(seconds).unwrap()
}

/// A repository with release 1.0.0 published.
pub(crate) fn first_release() -> Sim {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", &program("1.0.0"));
    sim.publish_next(&["node"]);
    sim
}

/// Release 1.1.0 on top, signed but not yet published.
pub(crate) fn second_release(first: &Sim) -> Sim {
    let mut sim = first.clone();
    sim.add_release("1.1.0", "node", &program("1.1.0"));
    sim
}

/// One machine.
pub(crate) struct Lab {
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new_in(scratch()).unwrap() }
    }

    /// A path on this machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder that is served.
    pub(crate) fn served(&self) -> PathBuf {
        self.path("served")
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.served().display())
    }

    /// Serves a simulated repository in place of what was served before.
    pub(crate) fn serve(&self, sim: &Sim) {
        sim.write(&self.served());
    }

    /// Runs the binary with this machine's home, JSON output and nothing from the environment.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, |_| {})
    }

    /// Runs the binary after `change` has had its way with the command.
    pub(crate) fn run_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Run {
        let mut command = self.command(args);
        change(&mut command);
        Run::of(args, command.output().unwrap())
    }

    /// The command that [`Lab::run`] runs.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.path("user"));
        command.arg("--home").arg(self.path("home")).arg("--json").args(args);
        command
    }

    /// Runs the binary where no file can grow beyond some blocks of 512 bytes, as on a full disk.
    pub(crate) fn run_limited(&self, args: &[&str], blocks: u32) -> Run {
        let inner = self.command(args);
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("HOME", self.path("user"));
        // Ignored, the signal becomes an error of the write.
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
        command.arg(inner.get_program()).args(inner.get_args());
        Run::of(args, command.output().unwrap())
    }

    /// Trusts the served repository.
    pub(crate) fn trust(&self, sim: &Sim) -> Run {
        self.run(&["trust", "add", REPO, &self.url(), &sim.anchor().to_string()])
    }

    /// `command acme/node --root ROOT`.
    pub(crate) fn node(&self, command: &str) -> Run {
        let root = self.path("root");
        self.run(&[command, "acme/node", "--root", root.to_str().unwrap(), "--platform", "linux/amd64"])
    }

    /// What the installed program prints.
    pub(crate) fn installed(&self) -> String {
        let output = Command::new(self.path("root/node/current/node")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file, link and folder of the machine but the served one, with content and permission bits.
    pub(crate) fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        for part in ["home", "root", "user"] {
            walk(&self.path(part), &mut found);
        }
        found
    }
}

fn walk(path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let mut text = format!("{:o} ", metadata.permissions().mode());
    if metadata.is_symlink() {
        write!(text, "-> {}", fs::read_link(path).unwrap().display()).unwrap();
    } else if metadata.is_file() {
        write!(text, "{}", fs::read(path).unwrap().escape_ascii()).unwrap();
    } else {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
    found.insert(path.to_owned(), text);
}

/// A finished run of the binary.
pub(crate) struct Run {
    args: String,
    output: Output,
}

impl Run {
    /// The run of these arguments that ended so.
    pub(crate) fn of(args: &[&str], output: Output) -> Self {
        Self { args: args.join(" "), output }
    }

    /// The JSON document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Standard output as it is: a program's that was run.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// The exit status; `None` if a signal ended the run.
    pub(crate) fn status(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// The run was good.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.output.status.code(), Some(0), "{}", self.text());
        self
    }

    /// The run was refused with exactly this code and its exit status.
    #[track_caller]
    pub(crate) fn refused(self, code: Code) -> Self {
        assert_eq!(self.json()["code"], code.name(), "{}", self.text());
        assert_eq!(self.output.status.code(), Some(code.class().exit_status().into()), "{}", self.text());
        self
    }

    /// Everything there is to see, for a failed assertion.
    pub(crate) fn text(&self) -> String {
        let (stdout, stderr) = (&self.output.stdout, &self.output.stderr);
        format!(
            "countersign {} -> {}\n{}{}",
            self.args,
            self.output.status,
            String::from_utf8_lossy(stdout),
            String::from_utf8_lossy(stderr)
        )
    }
}
