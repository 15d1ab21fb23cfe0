//! versitygw: an S3 server that keeps objects as files. Its conditional PUT is atomic; it does not fsync.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{ACCESS_KEY, SECRET_KEY};
use crate::peers;

/// It listens 0.1 s after its start; a loaded machine takes longer.
const MAX_START: Duration = Duration::from_secs(30);
/// Ports tried: each was free a moment before.
const MAX_PORTS: usize = 5;
/// For `127.0.0.1` and `localhost`, until 2126; the authority's key was thrown away.
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/s3/tls/server.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/s3/tls/server-key.pem");

/// A running gateway, ended by its process id when dropped.
#[derive(Debug)]
pub struct Versity {
    process: Child,
    address: SocketAddr,
    program: PathBuf,
    folder: Arc<Folder>,
    tls: bool,
}

/// The folder of buckets, gone with the last gateway on it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // One that stays behind fails nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Versity {
    /// Starts one on a free port and an empty folder; `None` where it is not installed.
    ///
    /// # Panics
    /// If it does not start, or is not installed and `CI=true`.
    pub fn start() -> Option<Self> {
        let program = peers::find("versitygw")?;
        let folder = Arc::new(Folder(crate::tokens::fresh_dir("countersign-s3")));
        Some(Self::on(program, folder, false))
    }

    /// Starts one that speaks TLS only, with a certificate of [`AUTHORITY`](super::AUTHORITY) for `127.0.0.1`.
    ///
    /// # Panics
    /// As [`Versity::start`].
    pub fn start_with_tls() -> Option<Self> {
        let program = peers::find("versitygw")?;
        let folder = Arc::new(Folder(crate::tokens::fresh_dir("countersign-s3")));
        Some(Self::on(program, folder, true))
    }

    /// Starts another gateway on the same folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn beside(&self) -> Self {
        Self::on(self.program.clone(), Arc::clone(&self.folder), self.tls)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If there is one of that name.
    pub fn make_bucket(&self, name: &str) {
        std::fs::create_dir(self.bucket(name)).expect("a new bucket");
    }

    /// The folder in which a bucket's objects are files.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// What a program needs in its environment to use it.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
        ]
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again where it was, after [`Versity::kill`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process =
            launch(&self.program, &self.folder.0, self.address, self.tls).expect("its port is still free");
    }

    fn on(program: PathBuf, folder: Arc<Folder>, tls: bool) -> Self {
        for _ in 0..MAX_PORTS {
            let address = free_port();
            if let Some(process) = launch(&program, &folder.0, address, tls) {
                return Self { process, address, program, folder, tls };
            }
        }
        panic!("versitygw does not start");
    }
}

impl Drop for Versity {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// Starts it and waits until it accepts connections; `None` if it ends instead.
fn launch(program: &Path, folder: &Path, address: SocketAddr, tls: bool) -> Option<Child> {
    let mut command = Command::new(program);
    command.args(["--quiet", "--keep-alive", "--port", &address.to_string()]);
    if tls {
        command.args(["--cert", CERTIFICATE, "--key", KEY]);
    }
    command.arg("posix").arg(folder);
    command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().expect("versitygw can be run");
    let start = Instant::now();
    loop {
        if process.try_wait().expect("it is our child").is_some() {
            return None;
        }
        if TcpStream::connect(address).is_ok() {
            return Some(process);
        }
        assert!(start.elapsed() < MAX_START, "versitygw does not listen on {address}");
        thread::sleep(Duration::from_millis(10));
    }
}
