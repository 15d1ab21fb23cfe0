//! A server in a thread, and requests byte by byte.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_client::{HttpTransport, Location};
use countersign_server::{Listening, ServeError, StopHandle, Until, serve_repository, stop};

pub(crate) struct Live {
    pub(crate) url: String,
    stop: Option<StopHandle>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Live {
    pub(crate) fn repository(root: &Path) -> Self {
        let root = root.to_owned();
        Self::start(move |listening, until| serve_repository(&root, listening, until))
    }

    /// Runs `serve` in a thread of its own.
    pub(crate) fn start(
        serve: impl FnOnce(Listening, Until) -> Result<(), ServeError> + Send + 'static,
    ) -> Self {
        let listening = Listening::bind("127.0.0.1:0").unwrap();
        let url = listening.url();
        let (handle, stop) = stop();
        let thread = std::thread::spawn(move || serve(listening, Until::Stopped(stop)));
        Self { url, stop: Some(handle), thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub(crate) fn transport(&self) -> HttpTransport {
        match self.url.parse().unwrap() {
            Location::Http(base) => HttpTransport::new(&base),
            Location::Directory(_) => panic!("not a URL"),
        }
    }

    /// One request on a connection of its own: head (status line and headers in lower case) and body.
    pub(crate) fn request(&self, method: &str, target: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect();
        write!(stream, "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let body = answer.split_off(end.min(answer.len()));
        (String::from_utf8(answer).unwrap().to_lowercase(), body)
    }

    pub(crate) fn get(&self, target: &str) -> (String, Vec<u8>) {
        self.request("GET", target, "")
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn stop(mut self) -> Result<(), ServeError> {
        self.stop.take().unwrap().stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

pub(crate) const DIGEST: &str = "abababababababababababababababababababababababababababababababab";

/// Files of a repository; what is in them does not matter here.
pub(crate) fn repository() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    let big: Vec<u8> = (0..1_000_000u32).flat_map(|number| number.to_le_bytes()).collect();
    for (path, content) in [
        ("metadata/1.root.json", &b"{\"root\":1}"[..]),
        ("metadata/1.root.json.tlog-proof", b"proof"),
        ("metadata/1.%2e%2e%2fx.json", b"odd"),
        ("metadata/timestamp.json", b"{}"),
        (&format!("targets/node/1.0.0/linux-amd64/{DIGEST}.node"), &big),
        ("attestations/sha256/ab.jsonl", b"{}\n"),
        ("log/checkpoint", b"origin\n"),
        ("log/tile/0/000.p/3", b"tile"),
        (".countersign/log/secret", b"secret"),
        ("metadata/.hidden", b"secret"),
        ("keys/root.key", b"secret"),
        ("README", b"secret"),
        ("../outside", b"secret"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    (folder, root)
}
