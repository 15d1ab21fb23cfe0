//! A real `ssh-agent` with keys of `ssh-keygen`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{fresh_dir, installed, on_search_path, remove, run};

/// A running agent. It ends with this value.
#[derive(Debug)]
pub struct SshAgent {
    dir: PathBuf,
    agent: Child,
}

impl SshAgent {
    /// Starts one without keys; `None` where OpenSSH is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Option<Self> {
        let program = installed("ssh-agent", "openssh-client", on_search_path("ssh-agent"))?;
        installed("ssh-keygen", "openssh-client", on_search_path("ssh-keygen"))?;
        let dir = fresh_dir("countersign-agent");
        let mut command = Command::new(program);
        command.arg("-D").arg("-a").arg(dir.join("socket")).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ends it with the process that runs the test, if that is killed: no prompt program, no display.
        let mut agent = command.env_remove("SSH_ASKPASS").env_remove("DISPLAY").spawn().expect("it starts");
        // It prints where it listens once it does.
        let mut line = String::new();
        let stdout = agent.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it prints its socket");
        assert!(line.contains("SSH_AUTH_SOCK"), "ssh-agent said {line:?}");
        Some(Self { dir, agent })
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Adds a new key of `kind` (`ed25519`, `ecdsa-256`, ...), and gives its fingerprint, `SHA256:...`.
    ///
    /// # Panics
    /// If OpenSSH refuses.
    pub fn add(&self, kind: &str, comment: &str) -> String {
        self.add_with(kind, comment, &[])
    }

    /// As [`SshAgent::add`], but a person is asked before each use. Nobody is there to answer: that is a no.
    ///
    /// # Panics
    /// If OpenSSH refuses.
    pub fn add_confirmed(&self, kind: &str, comment: &str) -> String {
        self.add_with(kind, comment, &["-c"])
    }

    fn add_with(&self, kind: &str, comment: &str, options: &[&str]) -> String {
        let file = self.dir.join(format!("key-{}", self.count()));
        let (kind, bits) = kind.split_once('-').map_or((kind, None), |(kind, bits)| (kind, Some(bits)));
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-C", comment, "-f"]).arg(&file);
        if let Some(bits) = bits {
            keygen.args(["-b", bits]);
        }
        run(&mut keygen);
        let mut add = Command::new("ssh-add");
        run(add.args(["-q"]).args(options).arg(&file).env("SSH_AUTH_SOCK", self.socket()));
        self.fingerprint(&file)
    }

    /// Takes out all keys.
    ///
    /// # Panics
    /// If the agent is gone.
    pub fn remove_keys(&self) {
        run(Command::new("ssh-add").args(["-q", "-D"]).env("SSH_AUTH_SOCK", self.socket()));
    }

    /// Ends it; its socket stays as a crash would leave it.
    pub fn stop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.dir).expect("the folder is ours").count()
    }

    fn fingerprint(&self, file: &Path) -> String {
        let shown = run(Command::new("ssh-keygen").arg("-lf").arg(file));
        shown.split_whitespace().nth(1).expect("bits, fingerprint, comment").to_owned()
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        self.stop();
        remove(&self.dir);
    }
}
