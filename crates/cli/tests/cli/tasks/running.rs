//! Servers that a page leaves running, on addresses that are free.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

/// A program that was left running. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    /// Takes what it goes on to print, so that it never waits for a reader.
    drain: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it, and returns it with the first lines that it prints; fewer if it ends before.
    pub(crate) fn start(mut command: Command, lines: usize) -> (Self, Vec<String>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut seen = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                break;
            }
            seen.push(line.trim_end().to_owned());
        }
        let drain = thread::spawn(move || {
            output.lines().for_each(drop);
        });
        (Self { child, drain: Some(drain) }, seen)
    }

    /// Presses Ctrl-C and waits.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        self.drain.take().map(JoinHandle::join);
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the pages have their servers, and where these are in truth.
pub(crate) struct Addresses(Vec<(String, String)>);

impl Addresses {
    /// Takes a free port for each address that stands in the pages.
    pub(crate) fn new() -> Self {
        let pairs = (8080..8084).map(|port| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            (format!("127.0.0.1:{port}"), free.local_addr().unwrap().to_string())
        });
        Self(pairs.collect())
    }

    /// A command of a page as it is to be run.
    pub(crate) fn real(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (page, real)| text.replace(page, real))
    }

    /// What is seen as a page has it.
    pub(crate) fn as_written(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (page, real)| text.replace(real, page))
    }
}
