//! What people and scripts read, as files to review: the main job, the usual errors, and the help of every command.
//!
//! A change that is meant: `INSTA_UPDATE=always cargo test -p countersign --test cli snapshots`, for the help with
//! `COUNTERSIGN_BLESS=1` as well, and a look at the difference.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use insta::{Settings, assert_snapshot};

use crate::lab::Lab;
use crate::publisher::text;

/// One machine that prints what it is told to run, and what it sees.
struct Session {
    lab: Lab,
    json: bool,
    seen: String,
}

impl Session {
    fn new(json: bool) -> Self {
        let lab = Lab::new();
        fs::write(lab.path("node"), "#!/bin/sh\necho node 1.0.0\n").unwrap();
        fs::set_permissions(lab.path("node"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(lab.path("README"), "Read me\n").unwrap();
        Self { lab, json, seen: String::new() }
    }

    /// Runs `line`, split at spaces, in the machine's folder.
    fn run(&mut self, line: &str) -> String {
        self.run_with(line, |_| {})
    }

    fn run_with(&mut self, line: &str, change: impl FnOnce(&mut Command)) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.env_clear().env("COUNTERSIGN_HOME", self.lab.path("home")).current_dir(self.lab.path(""));
        command.args(line.split_whitespace()).args(self.json.then_some("--json"));
        change(&mut command);
        let output = command.output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let status = output.status.code().unwrap();
        // Strictly, as ours is read: one document, no name twice.
        assert!(!self.json || countersign_base::json::parse(stdout.as_bytes()).is_ok(), "{line}: {stdout}");
        write!(self.seen, "$ countersign {line}\n{stdout}{stderr}").unwrap();
        if status != 0 {
            writeln!(self.seen, "[exit status {status}]").unwrap();
        }
        self.seen.push('\n');
        stdout
    }

    /// The repository of the main job, without a word about it; its anchor.
    fn prepare(&mut self) -> String {
        let seen = std::mem::take(&mut self.seen);
        let json = std::mem::replace(&mut self.json, false);
        let anchor = self.run("init repo --keys keys --unencrypted").lines().last().unwrap().to_owned();
        self.run("product add repo node --keys keys --unencrypted");
        self.run("release repo node 1.0.0 node README --keys keys --platform linux/amd64");
        self.run(&format!("trust add acme file://{} {anchor}", text(&self.lab.path("repo"))));
        (self.seen, self.json) = (seen, json);
        anchor
    }

    /// Everything seen, with what differs from run to run named instead.
    #[track_caller]
    fn compare(self, name: &str) {
        let mut settings = Settings::clone_current();
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.add_filter(&text(&self.lab.path("")).trim_end_matches('/').replace('.', r"\."), "/DIR");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]");
        settings.add_filter(r"csn1[0-9a-z]{40,}", "[ANCHOR]");
        settings.add_filter(r"\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{40,}", "+[VKEY]");
        settings.add_filter(r"ed25519:[0-9a-f]{64}", "[PUBLIC KEY]");
        settings.add_filter(r"countersign\.local/repo-[0-9a-f]{8}", "countersign.local/repo-[ID]");
        settings.add_filter(r"countersign\.local/[0-9a-f]{8}", "countersign.local/[ID]");
        settings.add_filter(r"\([0-9a-f]{8}(, [0-9a-f]{8})*\)", "([KEY IDS])");
        // The digests of the files are the same in every run, those of what is signed are not.
        settings.add_filter(r#"(?m)(root +|"root": "|^ +")[0-9a-f]{64}"#, "$1[SHA256]");
        settings.bind(|| assert_snapshot!(name, self.seen));
    }
}

/// From nothing to a release that somebody else runs, and back.
fn main_job(session: &mut Session) {
    let anchor = session.run("init repo --keys keys --unencrypted");
    let anchor = match session.json {
        true => {
            serde_json::from_str::<serde_json::Value>(&anchor).unwrap()["anchor"].as_str().unwrap().to_owned()
        }
        false => anchor.lines().last().unwrap().to_owned(),
    };
    session.run("product add repo node --keys keys --unencrypted");
    session.run("release repo node 1.0.0 node README --keys keys --platform linux/amd64");
    session.run(&format!("trust add acme file://{} {anchor}", text(&session.lab.path("repo"))));
    session.run("trust list");
    session.run("verify node");
    session.run("install acme/node --root root --platform linux/amd64");
    session.run("list --root root");
    session.run("update --root root");
    fs::write(session.lab.path("node"), "#!/bin/sh\necho node 1.1.0\n").unwrap();
    session.run("release repo node 1.1.0 node README --keys keys --platform linux/amd64");
    session.run("update acme/node --root root");
    session.run("status --root root");
    session.run("history acme/node --root root");
    session.run("fsck --root root");
    session.run("rollback acme/node --root root");
    session.run("renew repo --keys keys");
    session.run("log fsck repo");
    session.run("trust remove acme");
}

#[test]
fn the_main_job_as_text() {
    let mut session = Session::new(false);
    main_job(&mut session);
    session.compare("main_job");
}

#[test]
fn the_main_job_as_json() {
    let mut session = Session::new(true);
    main_job(&mut session);
    session.compare("main_job_json");
}

/// The errors that people meet first.
fn usual_errors(session: &mut Session) {
    session.run("install node");
    session.run("list");
    session.run("trust add acme file:///DIR/repo");
    session.run("trust add acme file:///DIR/repo csn1qqqq");
    session.run("trust add acme http://example.com csn1qqqq");
    session.run("instal acme/node");
    session.run("install");
    session.run("install Acme/Node");
    session.run("release repo node 1.0 node --keys keys");
    session.run("serve repo --listen 127.0.0.1:0");
    session.run("init repo --keys keys");
    let anchor = session.prepare();
    let wrong = anchor.replace(&anchor[20..22], "qq");
    session.run(&format!("trust add other file://{} {wrong}", text(&session.lab.path("repo"))));
    session
        .run("trust add other file:///none csn1rx5udlc77ktlhw5ugqez543mkagwtc9h9zdwapxladuakmxst0csz2u8a5");
    session.run("init repo --keys keys --unencrypted");
    session.run("product add repo node --keys keys --unencrypted");
    session.run("release repo node 1.0.0 node --keys keys --platform linux/amd64");
    session.run("release repo nod 1.1.0 node --keys keys");
    session.run("release repo node 1.1.0 nothing --keys keys");
    session.run("release repo node 1.1.0 node --keys other-keys");
    session.run("verify nothing");
    session.run("install acme/nod");
    session.run("install acme/node@2.0.0 --platform linux/amd64");
    session.run("update acme/node --root root");
    session.run("install acme/node --root root --platform linux/amd64");
    session.run("rollback acme/node --root root");
    fs::write(session.lab.path("node"), "something else\n").unwrap();
    session.run("verify node");
    // Somebody changes what is installed, and what is served.
    let installed = session.lab.path("root/node/current/README");
    fs::remove_file(&installed).unwrap();
    fs::write(&installed, "Read this\n").unwrap();
    session.run("status --root root");
    session.run("fsck --root root");
    let proof = session.lab.path("repo/metadata/2.node.json.tlog-proof");
    fs::remove_file(&proof).unwrap();
    session.run(&format!("trust add acme file://{} {anchor} --home fresh", text(&session.lab.path("repo"))));
    session.run("install acme/node --root root --platform linux/amd64");
    session.run("trust list --home node");
    session.run_with("list", |command| {
        command.env_remove("COUNTERSIGN_HOME");
    });
    session.run("explain no-such-code");
    session.run("explain trust-anchor-missing");
}

#[test]
fn the_usual_errors_as_text() {
    let mut session = Session::new(false);
    usual_errors(&mut session);
    session.compare("errors");
}

#[test]
fn the_usual_errors_as_json() {
    let mut session = Session::new(true);
    usual_errors(&mut session);
    session.compare("errors_json");
}

const PREFACE: &str = "\
# The command line

What `--help` says of each command. This page is made by the tests of the binary and compared by them:
`COUNTERSIGN_BLESS=1 cargo test -p countersign --test cli snapshots` writes it anew.
";

/// The help of a command and of all below it.
fn help(words: &[&str], page: &mut String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output = command.env_clear().args(words).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.is_empty(), "{words:?}");
    let name = ["countersign"].iter().chain(words).copied().collect::<Vec<_>>().join(" ");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
    let commands = lines.iter().skip_while(|line| **line != "Commands:").skip(1);
    for line in commands.take_while(|line| line.starts_with("  ")) {
        // Deeper lines go on with a description.
        let Some(below) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else { continue };
        let below = below.split(' ').next().unwrap();
        if below != "help" {
            help(&[words, &[below]].concat(), page);
        }
    }
}

#[test]
fn the_reference_page_is_the_help() {
    let mut page = PREFACE.to_owned();
    help(&[], &mut page);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/cli.md is not what --help says: write it with COUNTERSIGN_BLESS=1"
    );
}
