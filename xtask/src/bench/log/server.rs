//! Servers in processes of their own, on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::programs::Programs;
use super::usage::Usage;
use crate::sh;

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The origin of every log here; for Rekor v2 it must be the name of a host.
const ORIGIN: &str = "log.bench.example";

/// A server that runs until this is dropped.
pub(super) struct Server {
    process: Child,
    /// `HOST:PORT`.
    pub(super) address: String,
    pub(super) vkey: String,
    /// What stands before the log's paths.
    prefix: &'static str,
}

impl Server {
    /// `countersign log serve`.
    pub(super) fn ours(programs: &Programs, folder: &Path, admit: &str) -> Result<Self, String> {
        let mut serve = programs.ours();
        serve.args(["log", "serve"]).arg(folder).args([
            "--origin",
            ORIGIN,
            "--admit",
            admit,
            "--unencrypted",
        ]);
        let (process, address, mut lines) = listening(serve)?;
        let vkey = line(&mut lines, "vkey ")?;
        Ok(Self { process, address, vkey, prefix: "" })
    }

    /// `countersign serve` with a log's public folder.
    pub(super) fn files(programs: &Programs, folder: &Path) -> Result<Self, String> {
        let mut serve = programs.ours();
        serve.arg("serve").arg(folder);
        let (process, address, _) = listening(serve)?;
        Ok(Self { process, address, vkey: String::new(), prefix: "" })
    }

    /// The personality that Tessera has for its POSIX storage.
    pub(super) fn tessera(programs: &Programs, folder: &Path) -> Result<Self, String> {
        let key = folder.with_extension("key");
        let vkey =
            sh::output(Command::new(programs.peer("tessera-append")?).args(["key", ORIGIN]).arg(&key))?;
        let address = free_address()?;
        let mut serve = Command::new(programs.peer("tessera-posix")?);
        serve.arg("--storage_dir").arg(folder).args(["--listen", &address]).arg("--private_key").arg(&key);
        Self::start(serve, address, vkey.trim(), "")
    }

    /// Sigstore's Rekor v2, on Tessera's POSIX storage, with the shortest interval between checkpoints. It looks for new
    /// ones once a second all the same.
    pub(super) fn rekor_tiles(programs: &Programs, folder: &Path) -> Result<Self, String> {
        let key = folder.with_extension("pem");
        let mut make = Command::new("openssl");
        sh::output(make.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key))?;
        let address = free_address()?;
        let (_, port) = address.split_once(':').unwrap_or_default();
        let (grpc, metrics) = (free_address()?, free_address()?);
        let port_of = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut serve = Command::new(programs.peer("rekor-server-posix")?);
        serve.args(["serve", "--hostname", "bench.example", "--log-level", "error", "--http-port", port]);
        serve.args(["--grpc-port", &port_of(&grpc), "--http-metrics-port", &port_of(&metrics)]);
        serve.args([
            "--checkpoint-interval",
            "100ms",
            "--pushback-max-outstanding",
            "16384",
            "--signer-filepath",
        ]);
        serve.arg(&key).arg("--storage-dir").arg(folder);
        Self::start(serve, address.clone(), "", "/api/v2")
    }

    fn start(mut serve: Command, address: String, vkey: &str, prefix: &'static str) -> Result<Self, String> {
        serve.stdout(Stdio::null()).stderr(Stdio::null());
        let name = serve.get_program().display().to_string();
        let process = serve.spawn().map_err(|error| format!("{name}: {error}"))?;
        let mut server = Self { process, address, vkey: vkey.to_owned(), prefix };
        let start = Instant::now();
        while server.get("/healthz").is_err() {
            if let Ok(Some(status)) = server.process.try_wait() {
                return Err(format!("{name}: {status}"));
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("{name} does not answer"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn usage(&self) -> Result<Usage, String> {
        Usage::of(self.process.id())
    }

    /// Entries under the checkpoint that readers see; 0 where there is none yet.
    pub(super) fn size(&self) -> Result<f64, String> {
        let answer = self.get(&format!("{}/checkpoint", self.prefix))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(body.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0.0))
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let get = || {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        get().map_err(|error: std::io::Error| format!("{}: {error}", self.address))
    }
}

type Lines = std::io::Lines<BufReader<ChildStdout>>;

/// Starts a server of ours. Its address, and what it says after that.
fn listening(mut serve: Command) -> Result<(Child, String, Lines), String> {
    serve.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = serve.spawn().map_err(|error| format!("countersign: {error}"))?;
    let stdout = process.stdout.take().ok_or("no pipe")?;
    let mut lines = BufReader::new(stdout).lines();
    match line(&mut lines, "listening on http://") {
        Ok(address) => Ok((process, address, lines)),
        Err(error) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(error)
        }
    }
}

/// What the next line says after `before`.
fn line(lines: &mut Lines, before: &str) -> Result<String, String> {
    let line = lines.next().and_then(Result::ok).unwrap_or_default();
    line.strip_prefix(before).map(str::to_owned).ok_or_else(|| format!("the server says `{line}`"))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address that nobody listens on now, for servers that do not tell which one they took.
fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.to_string()).map_err(|error| format!("no free port: {error}"))
}
