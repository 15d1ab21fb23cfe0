//! A log's server for one test, and HTTP as it is on the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::Lab;

/// `countersign log serve`, or a witness, killed by its id at the end of the test.
pub(crate) struct Live {
    pub(crate) url: String,
    /// What it is known by.
    pub(crate) vkey: String,
    child: Child,
    _out: BufReader<std::process::ChildStdout>,
}

impl Live {
    /// Runs a server of this machine and reads its first two lines.
    pub(crate) fn start(lab: &Lab, args: &[&str]) -> Self {
        Self::spawn(&mut command(lab, args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = |prefix: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().strip_prefix(prefix).unwrap_or_else(|| panic!("`{line}`")).to_owned()
        };
        let (url, vkey) = (line("listening on "), line("vkey "));
        Self { url, vkey, child, _out: out }
    }

    /// A new log in `name`, without a passphrase, on a free port.
    pub(crate) fn log(lab: &Lab, name: &str, more: &[&str]) -> Self {
        let dir = lab.path(name);
        let mut args = vec!["log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        if !dir.exists() {
            args.extend(["--origin", "log.example", "--unencrypted"]);
        }
        args.extend(more);
        Self::start(lab, &args)
    }

    pub(crate) fn connect(&self) -> Http {
        Http::connect(&self.url)
    }

    /// Asks it to end, as an operator does.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The binary without `--json`, as the first lines of a server are for people.
pub(crate) fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", lab.path("user"));
    command.arg("--home").arg(lab.path("home")).args(args);
    command
}

/// A connection that is kept.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The index that `/add` answers.
    #[track_caller]
    pub(crate) fn index(&self) -> u64 {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text().parse().unwrap()
    }

    /// The value of a header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Http {
    pub(crate) fn connect(url: &str) -> Self {
        Self::try_connect(url).unwrap()
    }

    /// As [`Http::connect`], to a server that may be gone.
    pub(crate) fn try_connect(url: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", b"")
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, "", body)
    }

    /// `headers` end in CRLF each.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap()
    }

    /// As [`Http::send`]; a server that refuses a body may close before it has all of it.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let length = body.len();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n")
                .into_bytes();
        request.extend_from_slice(body);
        // The answer may be there although not all was taken.
        let written = self.stream.get_mut().write_all(&request);
        let answer = self.answer(method);
        if answer.is_err() { written.and(answer) } else { answer }
    }

    /// A body whose framing the caller has done.
    pub(crate) fn send_chunked(&mut self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
        request.extend_from_slice(body);
        let written = self.stream.get_mut().write_all(&request);
        self.answer("POST").or_else(|error| written.and(Err(error))).unwrap()
    }

    fn answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = if method == "HEAD" { 0 } else { length.map_or(0, |length| length.parse().unwrap()) };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head, body })
    }
}

/// An address to come back to: below the ports that the system gives to who asks for any, so that nobody has it meanwhile.
pub(crate) fn quiet_address() -> String {
    let first = 12_000 + std::process::id() % 16_000;
    let free = |port: &u32| TcpListener::bind(format!("127.0.0.1:{port}")).is_ok();
    // Each has some of its own to choose from: one that is free may be one whose process is away.
    let from = first + NEXT_PORT.fetch_add(50, Ordering::Relaxed);
    let port = (from..from + 50).find(free).unwrap();
    format!("127.0.0.1:{port}")
}

/// How many ports this process has looked at for it.
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// The size in the checkpoint that readers see; 0 before there is one.
pub(crate) fn published_size(http: &mut Http) -> u64 {
    let answer = http.get("/checkpoint");
    if answer.status == 404 {
        return 0;
    }
    assert_eq!(answer.status, 200);
    answer.text().lines().nth(1).unwrap().parse().unwrap()
}

/// Waits until the checkpoint that readers see covers `size` entries.
pub(crate) fn wait_for_size(http: &mut Http, size: u64) {
    for _ in 0..1000 {
        if published_size(http) >= size {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no checkpoint of {size} entries in ten seconds");
}
