//! A PostgreSQL server of one test, on a socket in a temporary folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use countersign_index::Place;
use postgres::{Client, Config, NoTls};

const USER: &str = "countersign";
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    databases: AtomicU32,
}

impl Server {
    /// `None`, with a note, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        // Not in memory: the user that the server runs as must reach it, and shared memory may be small.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let made = as_other(&programs.join("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", USER, "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = as_other(&programs.join("postgres"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, folder, databases: AtomicU32::new(0) };
        let start = Instant::now();
        while server.config("postgres").connect(NoTls).is_err() {
            assert!(start.elapsed() < PATIENCE, "the server did not start");
            thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder.path()).user(USER).dbname(database);
        config
    }

    /// An empty database.
    pub(crate) fn fresh(&self) -> Place {
        let name = format!("index_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client = self.config("postgres").connect(NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let socket = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{USER}@{socket}/{name}").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: it stops at once, and takes its own children along.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

/// Runs a statement that the product never would.
pub(crate) fn run(place: &Place, statement: &str) {
    let Place::Postgres(config) = place else { panic!("{place}") };
    let mut client: Client = config.connect(NoTls).unwrap();
    client.batch_execute(statement).unwrap();
}

/// The server refuses to run as root.
fn as_other(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

/// The folder with `initdb` and `postgres`: Debian keeps them off the search path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let found = folders.into_iter().find(|folder| folder.join("initdb").is_file());
    if found.is_none() {
        // Says so, and fails where it must be there.
        countersign_testkit::peers::find("initdb");
    }
    found
}
