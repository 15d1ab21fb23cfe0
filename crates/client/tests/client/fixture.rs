//! A simulated repository behind a transport that counts, and a home to keep what is verified of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use countersign_base::name::ProductName;
use countersign_base::{Explain, Timestamp};
use countersign_client::{
    ClientError, FetchError, Home, Repository, Transport, Trusted, Want, load, refresh,
};
use countersign_testkit::sim::{PRODUCT, Sim};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Serves files from memory and remembers what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) files: Files,
    asked: Mutex<Vec<String>>,
}

impl Served {
    pub(crate) fn new(files: &Files) -> Self {
        Self { files: files.clone(), asked: Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Transport for Served {
    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let what = path.to_owned();
        match self.files.get(path) {
            None => Err(FetchError::NotFound { what }),
            Some(bytes) if bytes.len() as u64 > limit => Err(FetchError::TooLarge { what, limit }),
            Some(bytes) => Ok(bytes.clone()),
        }
    }

    fn download(
        &self,
        _: &str,
        _: u64,
        _: u64,
        _: &mut dyn Write,
        _: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        unreachable!("a refresh downloads no artifact")
    }
}

/// A folder in memory where there is one: thousands of fsyncs there cost nothing.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// A repository with one release, and a home that has never seen it.
pub(crate) struct Fixture {
    pub(crate) sim: Sim,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut sim = Sim::new(now());
        sim.add_release("1.0.0", "node", b"one");
        sim.publish_next(&[PRODUCT]);
        Self { sim, folder: scratch() }
    }

    /// One that the home trusts already.
    pub(crate) fn trusted() -> Self {
        let this = Self::new();
        this.add(&this.sim.files).unwrap();
        this
    }

    pub(crate) fn home(&self) -> Home {
        Home::new(self.folder.path().join("home"))
    }

    pub(crate) fn add(&self, files: &Files) -> Result<(Repository, Trusted), ClientError> {
        let location = "file:///repo".parse().unwrap();
        self.home().add(&"acme".parse().unwrap(), &location, self.sim.anchor(), &Served::new(files), now())
    }

    /// The repository as a new process finds it.
    pub(crate) fn repository(&self) -> Repository {
        self.home().repository(&"acme".parse().unwrap()).unwrap()
    }

    pub(crate) fn refresh_from(&self, files: &Files) -> Result<Trusted, ClientError> {
        refresh(&self.repository(), &Served::new(files), &Want::All, now())
    }

    /// Refreshes from the honest files.
    pub(crate) fn refresh(&self) -> Result<Trusted, ClientError> {
        self.refresh_from(&self.sim.files)
    }

    pub(crate) fn load(&self) -> Result<Trusted, ClientError> {
        load(&self.repository(), &Want::All, now())
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("home/repos/acme")
    }

    /// Publishes the next version of the product's metadata with one more release.
    pub(crate) fn release(&mut self, version: &str) {
        self.sim.add_release(version, "node", version.as_bytes());
        self.sim.publish_next(&[PRODUCT]);
    }
}

/// The code of a refusal; `ok` if there was none.
pub(crate) fn code<T>(result: Result<T, ClientError>) -> &'static str {
    result.map_or_else(|error| error.code().name(), |_| "ok")
}

/// The versions of the product that are verified.
pub(crate) fn versions(trusted: &Trusted) -> Vec<String> {
    let product: ProductName = PRODUCT.parse().unwrap();
    let releases = trusted.set.all(&product).unwrap();
    releases.iter().map(|release| release.value().path.version.to_string()).collect()
}

/// Every file below a folder but locks, with its bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}
