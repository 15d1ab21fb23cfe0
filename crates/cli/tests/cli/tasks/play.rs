//! Plays a page: each person has a machine, and what differs from run to run is no difference.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use countersign_testkit::tokens::{PIN, SoftHsm};

use super::page::{Page, Step, Typed};
use super::running::{Addresses, Running};

const PASSPHRASE: &str = "a passphrase for tests";

/// The machines of a page: a folder for each person, and one that all can reach, `$SHARE`.
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) faketime: Option<PathBuf>,
    days: u32,
    tokens: BTreeMap<String, SoftHsm>,
    /// What the pages call by name because it is another each time: `$ANCHOR` and the like.
    names: BTreeMap<String, String>,
    /// Folders of the programs that a page needs, where they were found.
    tools: Vec<PathBuf>,
    /// Who has left a server running.
    running: BTreeMap<String, Running>,
    addresses: Addresses,
}

impl Stage {
    pub(crate) fn new(dir: PathBuf) -> Self {
        fs::create_dir_all(dir.join("share")).unwrap();
        Self {
            dir,
            faketime: None,
            days: 0,
            tokens: BTreeMap::new(),
            names: BTreeMap::new(),
            tools: Vec::new(),
            running: BTreeMap::new(),
            addresses: Addresses::new(),
        }
    }

    /// Makes a program reachable that was found here: a person calls it by its name.
    pub(crate) fn give_tool(&mut self, program: &Path) {
        self.tools.extend(program.parent().map(Path::to_owned));
    }

    /// Gives a person a drawer of tokens.
    pub(crate) fn give_tokens(&mut self, who: &str, hsm: SoftHsm) {
        self.tokens.insert(who.to_owned(), hsm);
    }

    /// Begins with all that another stage has. The repository is served from another place then.
    pub(crate) fn copy(&mut self, other: &Self) {
        let mut from = other.dir.clone().into_os_string();
        from.push("/.");
        let copied = Command::new("cp").arg("-a").arg(from).arg(&self.dir).status().unwrap();
        assert!(copied.success());
        let (old, new) = (other.dir.display().to_string(), self.dir.display().to_string());
        self.names =
            other.names.iter().map(|(name, text)| (name.clone(), text.replace(&old, &new))).collect();
        for who in ["bob", "user"] {
            let command = "countersign trust set-url acme $URL".to_owned();
            let who = who.to_owned();
            let typed = Typed { line: 0, who, command, seen: Vec::new(), left_running: false };
            self.type_in(&typed).unwrap();
        }
    }

    /// Plays all of it, and fails with every place where what is seen is not what the page says.
    #[track_caller]
    pub(crate) fn play(&mut self, name: &str, page: &Page) {
        let mut differences = String::new();
        for step in &page.steps {
            match step {
                Step::Later(days) => {
                    assert!(self.faketime.is_some(), "{name} needs a clock, and does not say so at its top");
                    self.days += days;
                }
                Step::Interrupted(who) => {
                    let ended = self.running.remove(who).expect("who left a server running").interrupt();
                    assert!(ended.success(), "{name}: the server of {who} ended with {ended}");
                }
                Step::Typed(typed) => {
                    if let Err(difference) = self.type_in(typed) {
                        differences.push_str(&format!("{name}:{}: {difference}\n", typed.line));
                    }
                }
            }
        }
        assert!(differences.is_empty(), "{differences}");
    }

    fn type_in(&mut self, typed: &Typed) -> Result<(), String> {
        let machine = self.dir.join(&typed.who);
        fs::create_dir_all(&machine).unwrap();
        if typed.left_running {
            return self.leave_running(&machine, typed);
        }
        let output = self.command(&machine, typed).output().unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        self.note_down(&typed.who, &text);
        let refused = typed.seen.iter().any(|line| line.starts_with("error["));
        let told = || format!("{}$ {}\n{text}", typed.who, typed.command);
        if refused == output.status.success() {
            return Err(format!("it ended with {}\n{}", status(&output), told()));
        }
        let (seen, wanted) = (self.plain(&text), self.plain(&typed.seen.join("\n")));
        if typed.seen.is_empty() || is_same(&seen, &wanted) {
            return Ok(());
        }
        Err(format!("something else is seen\n{}", told()))
    }

    fn leave_running(&mut self, machine: &Path, typed: &Typed) -> Result<(), String> {
        let (running, seen) = Running::start(self.command(machine, typed), typed.seen.len());
        self.running.insert(typed.who.clone(), running);
        let text = seen.join("\n");
        self.note_down(&typed.who, &text);
        if self.plain(&text) == self.plain(&typed.seen.join("\n")) {
            return Ok(());
        }
        Err(format!("something else is seen\n{}$ {}\n{text}", typed.who, typed.command))
    }

    fn command(&self, machine: &Path, typed: &Typed) -> Command {
        let mut command = match &self.faketime {
            Some(faketime) if self.days > 0 => {
                let mut command = Command::new(faketime);
                command.arg("-f").arg(format!("+{}d", self.days)).arg("/bin/sh");
                command
            }
            _ => Command::new("/bin/sh"),
        };
        let (secret, pin) = (machine.join(".passphrase"), machine.join(".pin"));
        for (file, text) in [(&secret, PASSPHRASE), (&pin, PIN)] {
            fs::write(file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let text = self.addresses.real(&typed.command);
        // What goes on must be the program itself, not a shell that waits for it.
        let exec = if typed.left_running { "exec " } else { "" };
        command.arg("-c").arg(format!("exec 2>&1\n{exec}{text}"));
        command.current_dir(machine).env_clear();
        command.env("HOME", machine).env("USER", &typed.who).env("PATH", self.search_path());
        command.env("SHARE", self.dir.join("share"));
        command.env("COUNTERSIGN_PASSPHRASE_FILE", secret).env("COUNTERSIGN_PIN_FILE", pin).envs(&self.names);
        if let Some(hsm) = self.tokens.get(&typed.who) {
            command.envs(hsm.environment()).env("COUNTERSIGN_PKCS11_MODULE", hsm.module());
        }
        command
    }

    /// What the pages tell people to note down, under the names by which they call it: who prints an anchor has the
    /// repository, in the folder `repo`; the key of `w1.example.org` is `$W1_VKEY`.
    fn note_down(&mut self, who: &str, text: &str) {
        for vkey in text.lines().filter_map(|line| line.strip_prefix("vkey ")) {
            let label = vkey.split(['.', '+']).next().unwrap_or_default().to_uppercase();
            self.names.insert(format!("{label}_VKEY"), vkey.to_owned());
        }
        let Some(anchor) = text.lines().find(|line| line.starts_with("csn1")) else { return };
        let prefix = if who == "publisher" { String::new() } else { format!("{}_", who.to_uppercase()) };
        self.names.insert(format!("{prefix}ANCHOR"), anchor.to_owned());
        let url = format!("file://{}", self.dir.join(who).join("repo").display());
        self.names.insert(format!("{prefix}URL"), url);
    }

    /// The program under test before all others, then the tools that tests bring along, then those that were found.
    fn search_path(&self) -> OsString {
        let program = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().map(Path::to_owned);
        let peers = std::env::var_os("COUNTERSIGN_PEERS").map(PathBuf::from);
        let rest = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        let tools = self.tools.iter().cloned();
        std::env::join_paths(program.into_iter().chain(peers).chain(tools).chain(rest)).unwrap()
    }

    /// Lines without what differs from run to run.
    fn plain(&self, text: &str) -> Vec<String> {
        let here = self.dir.display().to_string();
        let text = self.addresses.as_written(&text.replace(here.trim_end_matches('/'), ""));
        text.lines().map(|line| mask(line.trim_end())).collect()
    }
}

fn status(output: &Output) -> String {
    output.status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}"))
}

/// Whether what is seen is what is wanted, where `...` stands for any lines.
fn is_same(seen: &[String], wanted: &[String]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return seen.is_empty() };
    if first == "..." {
        return (0..=seen.len()).any(|skipped| is_same(&seen[skipped..], rest));
    }
    seen.first() == Some(first) && is_same(&seen[1..], rest)
}

/// A line with its times, digests, keys and anchors replaced by what they are.
///
/// These are words of letters and digits: a time has the form of one, and the others are hex or an anchor.
fn mask(line: &str) -> String {
    if let Some(name) = line.strip_prefix("vkey ").and_then(|vkey| vkey.split('+').next()) {
        return format!("vkey {name}+<key>");
    }
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_ascii_alphanumeric();
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (word, name) = match time(rest) {
            Some(time) => (time, "<time>"),
            None if end == 0 => (&rest[..first.len_utf8()], ""),
            None if is_digest(&rest[..end]) => (&rest[..end], "<hex>"),
            None if rest.starts_with("csn1") && end > 40 => (&rest[..end], "<anchor>"),
            None => (&rest[..end], ""),
        };
        masked.push_str(if name.is_empty() { word } else { name });
        rest = &rest[word.len()..];
    }
    // The tests also run on other machines than the pages were written on.
    let this = format!("{}/{}", std::env::consts::OS, arch());
    masked.replace(&this, "<platform>").replace("linux/amd64", "<platform>")
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A key's id or digest, whole or shortened.
fn is_digest(word: &str) -> bool {
    word.len() >= 8 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A time or a day at the front of `text`.
fn time(text: &str) -> Option<&str> {
    ["0000-00-00T00:00:00Z", "0000-00-00"].into_iter().find_map(|form| {
        let found = text.get(..form.len())?;
        let fits =
            |(letter, form): (char, char)| if form == '0' { letter.is_ascii_digit() } else { letter == form };
        found.chars().zip(form.chars()).all(fits).then_some(found)
    })
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    let key = "ab12".repeat(16);
    assert_eq!(mask(&format!("made 2026-11-21T18:37:13Z, ed25519:{key}")), "made <time>, ed25519:<hex>");
    assert_eq!(mask("rotate by 2027-01-01 (1a2b3c4d)"), "rotate by <time> (<hex>)");
    assert_eq!(mask("needs 2 of 3: alice"), "needs 2 of 3: alice");
    assert!(is_same(&["a".to_owned(), "b".to_owned()], &["...".to_owned(), "b".to_owned()]));
    assert!(!is_same(&["a".to_owned(), "b".to_owned()], &["...".to_owned(), "a".to_owned()]));
}
