//! Where the quickstart plays: runs commands of this binary in its folder and tells what they did.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign_base::name::ProductName;
use countersign_base::{Code, code};
use serde_json::Value;

use super::{MARK, REPOSITORY, Step};
use crate::error::CliError;
use crate::printer::Line;
use crate::site::Site;

/// The public folders of a repository; everything else in it stays with the publisher.
const PUBLIC: [&str; 3] = ["metadata", "targets", "log"];
/// How long the installed program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// A release to make.
pub(super) struct Release {
    pub(super) version: &'static str,
    pub(super) what: &'static str,
}

/// The folder, the product, and what was done so far.
pub(super) struct Stage<'a> {
    dir: PathBuf,
    program: PathBuf,
    product: ProductName,
    files: Vec<PathBuf>,
    pub(super) site: &'a Site,
    who: &'static str,
    steps: Vec<Step>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        dir: &Path,
        product: ProductName,
        files: Vec<PathBuf>,
        site: &'a Site,
    ) -> Result<Self, CliError> {
        let dir = fs::canonicalize(dir).map_err(|error| CliError::reading(dir, &error))?;
        let program = std::env::current_exe().map_err(|error| {
            CliError::new(code::FILE_UNREADABLE, "this program cannot find itself").because(error)
        })?;
        let stage = Self { dir, program, product, files, site, who: "", steps: Vec::new() };
        stage.write_readme("The quickstart was interrupted. Remove this folder and run it again.\n")?;
        stage.tell(Line::Title, "Each command shown here is the one that runs, after:")?;
        stage.tell(Line::Command, &format!("cd {}", stage.dir.display()))?;
        stage.tell(Line::Command, "export COUNTERSIGN_HOME=$PWD/user/home")?;
        if let Some(alias) = stage.alias() {
            stage.tell(Line::Command, &alias)?;
        }
        Ok(stage)
    }

    /// What a shell needs to find this program, if it would not.
    fn alias(&self) -> Option<String> {
        let hidden = self.program.parent().is_some_and(|folder| !on_path(folder));
        hidden.then(|| format!("alias countersign={}", self.program.display()))
    }

    pub(super) const fn product(&self) -> &ProductName {
        &self.product
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    pub(super) fn first_file(&self) -> String {
        self.files[0].display().to_string()
    }

    /// The name of the first file, as it is installed.
    fn first_name(&self) -> String {
        self.files[0].file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// A heading; the steps that follow are this person's.
    pub(super) fn scene(&mut self, who: &'static str, title: &str) -> Result<(), CliError> {
        self.who = who;
        self.tell(Line::Title, title)
    }

    pub(super) fn note(&self, text: &str) -> Result<(), CliError> {
        self.tell(Line::Note, text)
    }

    /// Runs a command that must succeed; gives its JSON.
    pub(super) fn run(&mut self, what: &str, args: &[&str]) -> Result<Value, CliError> {
        let answer = self.call(args)?;
        if answer["code"].is_string() {
            return Err(unexpected(what, &answer));
        }
        self.done(what, &shown(args, &self.dir), None)?;
        Ok(answer)
    }

    /// Runs a command that must be refused with exactly this code.
    pub(super) fn refused(&mut self, what: &str, expected: Code, args: &[&str]) -> Result<(), CliError> {
        let answer = self.call(args)?;
        if answer["code"] != expected.name() {
            return Err(unexpected(what, &answer));
        }
        self.done(what, &shown(args, &self.dir), Some(expected))?;
        let message = answer["message"].as_str().unwrap_or_default();
        self.note(&format!("error[{expected}]: {message}"))
    }

    /// Runs a command whose result is not shown: setting a scene.
    pub(super) fn quietly(&self, args: &[&str]) -> Result<Value, CliError> {
        let answer = self.call(args)?;
        if answer["code"].is_string() { Err(unexpected("setting a scene", &answer)) } else { Ok(answer) }
    }

    pub(super) fn release(&mut self, release: &Release) -> Result<(), CliError> {
        let product = self.product.to_string();
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let mut args = vec!["release", "publisher/repo", &product, release.version];
        args.extend(files.iter().map(String::as_str));
        args.extend(["--keys", "publisher/keys"]);
        self.run(release.what, &args)?;
        Ok(())
    }

    /// Copies the public folders to a mirror, as `rsync` to a web server would.
    pub(super) fn mirror(&mut self, to: &str) -> Result<(), CliError> {
        self.replace_public("publisher/repo", to)?;
        let command =
            format!("cp -r publisher/repo/metadata publisher/repo/targets publisher/repo/log {to}/");
        self.done("puts the public folders on a mirror, which nobody needs to trust", &command, None)
    }

    /// A copy of a mirror as it is now.
    pub(super) fn keep_copy(&self, from: &str, to: &str) -> Result<(), CliError> {
        self.replace_public(from, to)
    }

    /// A copy of a folder with everything in it.
    pub(super) fn copy_all(&self, from: &str, to: &str) -> Result<(), CliError> {
        copy_tree(&self.path(from), &self.path(to)).map_err(|error| self.storage(to, error))
    }

    fn replace_public(&self, from: &str, to: &str) -> Result<(), CliError> {
        for folder in PUBLIC {
            let (from, to) = (self.path(from).join(folder), self.path(to).join(folder));
            copy_tree(&from, &to).map_err(|error| self.storage(folder, error))?;
        }
        Ok(())
    }

    /// Starts the installed program, to show that it is one.
    pub(super) fn run_installed(&mut self) -> Result<(), CliError> {
        let name = self.first_name();
        let path = format!("user/installed/{}/current/{name}", self.product);
        let said = first_line(Command::new(self.path(&path)).arg("--version").current_dir(&self.dir));
        let what = match &said {
            Some(said) => format!("runs it; it says: {said}"),
            None => "finds it installed (it is not a program that says its version)".to_owned(),
        };
        self.done(&what, &format!("{path} --version"), None)
    }

    /// The last words, and the folder's guide.
    pub(super) fn close(&mut self, anchor: &str) -> Result<(), CliError> {
        let product = &self.product;
        let file = self.first_name();
        let alias = self.alias().map(|alias| format!("{alias}\n")).unwrap_or_default();
        self.write_readme(&format!(
            "# What is here\n\n\
             - `publisher/repo`: the repository; `publisher/keys`: its keys and its witness (unencrypted: a demo)\n\
             - `mirror`: the public part of the repository, as users fetch it\n\
             - `user/home`: what the user's machine trusts; `user/installed`: what it runs\n\
             - `attacks`: what the attackers served\n\n\
             The trust anchor:\n\n    {anchor}\n\n\
             # Try\n\n\
             In this folder:\n\n\
             ```sh\n\
             export COUNTERSIGN_HOME=$PWD/user/home\n\
             {alias}\
             countersign list {REPOSITORY}/{product}\n\
             countersign verify user/installed/{product}/current/{file}\n\
             countersign status --root user/installed\n\
             countersign update {REPOSITORY}/{product} --root user/installed\n\
             countersign log fsck publisher/repo\n\
             ```\n\n\
             And a release of your own, which the user sees when it is on the mirror:\n\n\
             ```sh\n\
             countersign release publisher/repo {product} 1.2.0 FILE --keys publisher/keys\n\
             cp -r publisher/repo/metadata publisher/repo/targets publisher/repo/log mirror/\n\
             countersign update {REPOSITORY}/{product} --root user/installed\n\
             ```\n\n\
             Over HTTP instead: `countersign serve mirror --listen 127.0.0.1:8080`, and in another terminal\n\
             `countersign trust set-url {REPOSITORY} http://127.0.0.1:8080`.\n"
        ))?;
        self.tell(Line::Title, "What this showed, and what not")?;
        self.note("Every file was accepted only with: the product's signers, 2 of 2; a place in the log; a witness's")?;
        self.note(
            "word that the log has one history. The witness ran on this machine: it shows the mechanism and",
        )?;
        self.note(
            "gives no independence. Keys were kept unencrypted and in one place, which yours should not be.",
        )?;
        self.note(&format!("Look around: {}", self.path(MARK).display()))
    }

    pub(super) fn storage(&self, what: &str, error: impl ToString) -> CliError {
        CliError::new(code::STORAGE_FAILED, format!("cannot write {what} in {}", self.dir.display()))
            .because(error)
    }

    fn write_readme(&self, text: &str) -> Result<(), CliError> {
        fs::write(self.path(MARK), text).map_err(|error| self.storage(MARK, error))
    }

    fn tell(&self, line: Line, text: &str) -> Result<(), CliError> {
        self.site.out.story(line, text)
    }

    fn done(&mut self, what: &str, command: &str, refused: Option<Code>) -> Result<(), CliError> {
        self.tell(if refused.is_some() { Line::Refused } else { Line::Done }, what)?;
        self.tell(Line::Command, command)?;
        self.steps.push(Step {
            who: self.who,
            what: what.to_owned(),
            command: command.to_owned(),
            refused: refused.map(Code::name),
        });
        Ok(())
    }

    fn call(&self, args: &[&str]) -> Result<Value, CliError> {
        let broken = |reason: String| {
            CliError::new(code::INTERNAL_ERROR, format!("`countersign {}` did not answer", args.join(" ")))
                .because(reason)
        };
        let output = Command::new(&self.program)
            .arg("--json")
            .args(args)
            .current_dir(&self.dir)
            .env("COUNTERSIGN_HOME", self.path("user/home"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| broken(error.to_string()))?;
        serde_json::from_slice(&output.stdout).map_err(|error| broken(error.to_string()))
    }
}

fn unexpected(what: &str, answer: &Value) -> CliError {
    let message = answer["message"].as_str().unwrap_or("it was accepted");
    let known = answer["code"].as_str().and_then(Code::find).unwrap_or(code::INTERNAL_ERROR);
    let error = CliError::new(known, message).because(format!("while the quickstart was at: {what}"));
    match answer["fix"].as_str() {
        Some(fix) => error.fix(fix),
        None => error,
    }
}

/// A command as one would type it in the quickstart's folder.
fn shown(args: &[&str], dir: &Path) -> String {
    let dir = dir.display().to_string();
    let words = args.iter().map(|arg| {
        let arg = arg.replace(&dir, "$PWD");
        if arg.contains([' ', '\'']) { format!("'{arg}'") } else { arg }
    });
    format!("countersign {}", words.collect::<Vec<_>>().join(" "))
}

fn on_path(folder: &Path) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|entry| entry == folder))
}

/// The first line that a program prints on standard output within [`PATIENCE`].
fn first_line(command: &mut Command) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if child.try_wait().ok()?.is_some() {
            let output = child.wait_with_output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            return text.lines().next().map(|line| line.chars().take(60).collect());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Copies files and folders; what is there already is replaced.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
