//! A TUF client as a program: the command line of tuf-conformance.
//!
//! Spec: <https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md>.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use countersign_base::json::{self, Json};

/// How a client is run.
pub struct TufClient {
    /// What reports call it.
    pub name: &'static str,
    run: Run,
}

enum Run {
    /// A process a command, under faketime where the clock is to be another.
    Process { program: PathBuf, faketime: Option<PathBuf> },
    /// A process a command, with `--clock-days`.
    Clocked { program: PathBuf },
    /// One process for all, started with `--batch`.
    Batch { process: Child, input: ChildStdin, output: BufReader<ChildStdout> },
}

/// Exit status and standard error of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// 0 where the client agrees, 1 where it refuses; anything else is not foreseen.
    pub status: i32,
    /// What it says.
    pub text: String,
}

/// A user's machine with one client on it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// A folder of its own.
    pub folder: PathBuf,
    /// The server's URL.
    pub url: String,
    /// How many days its clock is ahead.
    pub clock_days: i32,
}

impl TufClient {
    /// A program whose clock only faketime can change.
    pub const fn process(name: &'static str, program: PathBuf, faketime: Option<PathBuf>) -> Self {
        Self { name, run: Run::Process { program, faketime } }
    }

    /// A program that takes `--clock-days`.
    pub const fn clocked(name: &'static str, program: PathBuf) -> Self {
        Self { name, run: Run::Clocked { program } }
    }

    /// A program that takes `--batch`, started.
    ///
    /// # Panics
    /// If it does not start.
    pub fn batch(name: &'static str, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--batch").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the peer starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { name, run: Run::Batch { process, input, output } }
    }

    /// Whether a machine can have another clock than this one.
    pub const fn has_clock(&self) -> bool {
        !matches!(&self.run, Run::Process { faketime: None, .. })
    }

    /// `init` with this root file.
    ///
    /// # Panics
    /// If the machine's folder cannot be written.
    pub fn init(&mut self, machine: &Machine, root: &[u8]) -> Answered {
        let file = machine.folder.join("initial.json");
        fs::create_dir_all(machine.metadata()).expect("the folder is made");
        fs::write(&file, root).expect("the root is written");
        let words = ["--metadata-dir".into(), machine.metadata().into(), "init".into(), file.into()];
        self.run(&words, 0)
    }

    /// `refresh`.
    pub fn refresh(&mut self, machine: &Machine) -> Answered {
        let mut words = machine.common();
        words.push("refresh".into());
        self.run(&words, machine.clock_days)
    }

    /// `download` of one target.
    ///
    /// # Panics
    /// If the machine's folder cannot be written.
    pub fn download(&mut self, machine: &Machine, target: &str) -> Answered {
        fs::create_dir_all(machine.targets()).expect("the folder is made");
        let mut words = machine.common();
        words.extend(["--target-name".into(), target.into()]);
        words.extend(["--target-base-url".into(), format!("{}/targets", machine.url).into()]);
        words.extend(["--target-dir".into(), machine.targets().into(), "download".into()]);
        self.run(&words, machine.clock_days)
    }

    fn run(&mut self, words: &[OsString], clock_days: i32) -> Answered {
        let clock = clock_days.to_string();
        match &mut self.run {
            Run::Batch { input, output, .. } => {
                let clock = ["--clock-days".to_owned(), clock];
                let words = words.iter().map(|word| word.to_string_lossy().into_owned());
                let words: Vec<String> = clock.into_iter().chain(words).collect();
                ask(input, output, &words)
            }
            Run::Clocked { program } => {
                finish(Command::new(program).args(["--clock-days", &clock]).args(words))
            }
            Run::Process { program, faketime: Some(faketime) } if clock_days != 0 => {
                let days = format!("{clock_days:+}d");
                finish(Command::new(faketime).args(["-f", &days]).arg(program).args(words))
            }
            Run::Process { program, .. } => finish(Command::new(program).args(words)),
        }
    }
}

impl Drop for TufClient {
    fn drop(&mut self) {
        if let Run::Batch { process, .. } = &mut self.run {
            // Already gone is as good.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Machine {
    /// The client's metadata folder.
    pub fn metadata(&self) -> PathBuf {
        self.folder.join("metadata")
    }

    /// Its folder of downloads.
    pub fn targets(&self) -> PathBuf {
        self.folder.join("targets")
    }

    /// The version of a role that it trusts, if any.
    pub fn trusted(&self, role: &str) -> Option<i64> {
        let bytes = fs::read(self.metadata().join(format!("{role}.json"))).ok()?;
        json::parse(&bytes).ok()?.get("signed")?.get("version")?.as_integer()
    }

    /// The contents of all files below its folder of downloads.
    pub fn downloads(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut pending = vec![self.targets()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match fs::read(entry.path()) {
                    Ok(bytes) => found.push(bytes),
                    Err(_) => pending.push(entry.path()),
                }
            }
        }
        found.sort();
        found
    }

    fn common(&self) -> Vec<OsString> {
        let url = format!("{}/metadata", self.url);
        vec!["--metadata-dir".into(), self.metadata().into(), "--metadata-url".into(), url.into()]
    }
}

fn finish(command: &mut Command) -> Answered {
    let output = command.stdin(Stdio::null()).output().expect("the client starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Answered { status: output.status.code().unwrap_or(-1), text }
}

/// One line in, one line out.
fn ask(input: &mut ChildStdin, output: &mut BufReader<ChildStdout>, words: &[String]) -> Answered {
    let words = Json::Array(words.iter().map(|word| Json::from(word.as_str())).collect());
    let mut line = countersign_base::canonical::rfc8785(&words);
    line.push(b'\n');
    input.write_all(&line).expect("the peer listens");
    let mut answer = String::new();
    output.read_line(&mut answer).expect("the peer answers");
    let answer = json::parse(answer.as_bytes()).expect("the peer answers in JSON");
    let status = answer.get("status").and_then(Json::as_integer).expect("a status");
    let text = answer.get("text").and_then(Json::as_str).unwrap_or_default().to_owned();
    Answered { status: i32::try_from(status).unwrap_or(-1), text }
}
