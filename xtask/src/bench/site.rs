//! A publisher, a server and a user in a folder, driven by the commands that people type.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sh;

/// The size of the large release.
pub(super) const RELEASE_BYTES: usize = 10 << 20;

/// A repository with the products `big` (10 MiB), `small` (1 MiB) and `tiny` (1 KiB), trusted by a user.
pub(super) struct Site {
    binary: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) repository: PathBuf,
    /// The released file of `big`.
    pub(super) file: PathBuf,
    /// The file that `tiny` is released from.
    pub(super) tiny: PathBuf,
    anchor: String,
}

impl Site {
    /// Makes everything anew below `folder`.
    pub(super) fn create(binary: &Path, folder: &Path) -> Result<Self, String> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut site = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            repository: folder.join("repository"),
            file: folder.join("big.bin"),
            tiny: folder.join("tiny.bin"),
            anchor: String::new(),
        };
        let small = folder.join("small.bin");
        for (path, length) in [(&site.file, RELEASE_BYTES), (&small, 1 << 20), (&site.tiny, 1 << 10)] {
            fs::write(path, noise(length)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let said = sh::output(site.publisher("init").arg("--unencrypted"))?;
        site.anchor = said.lines().next_back().unwrap_or_default().to_owned();
        for product in ["big", "small", "tiny"] {
            sh::output(site.publisher("product").arg("--unencrypted").arg(product))?;
        }
        sh::output(&mut site.release("big", "1.0.0", &site.file))?;
        sh::output(&mut site.release("small", "1.0.0", &small))?;
        let url = format!("file://{}", site.repository.display());
        sh::output(&mut site.user(["trust", "add", "local", &url, &site.anchor], []))?;
        Ok(site)
    }

    /// `countersign init|product add` on the repository with its keys.
    fn publisher(&self, command: &str) -> Command {
        let mut publisher = Command::new(&self.binary);
        publisher.arg(command);
        if command == "product" {
            publisher.arg("add");
        }
        publisher.arg(&self.repository).arg("--keys").arg(self.folder.join("keys"));
        publisher
    }

    /// `countersign release` of one file.
    pub(super) fn release(&self, product: &str, version: &str, file: &Path) -> Command {
        let mut release = Command::new(&self.binary);
        release.arg("release").arg(&self.repository).args([product, version]).arg(file);
        release.arg("--keys").arg(self.folder.join("keys"));
        release
    }

    /// A command of the user: words, then paths.
    pub(super) fn user<const W: usize, const P: usize>(
        &self,
        words: [&str; W],
        paths: [&Path; P],
    ) -> Command {
        let mut user = Command::new(&self.binary);
        user.arg("--home").arg(self.folder.join("home")).arg("--quiet").args(words).args(paths);
        user
    }

    /// Serves the repository on loopback until the value is dropped.
    pub(super) fn server(&self) -> Result<Server, String> {
        let mut serve = Command::new(&self.binary);
        serve.arg("serve").arg(&self.repository).args(["--listen", "127.0.0.1:0"]);
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = serve.spawn().map_err(|error| format!("serve: {error}"))?;
        let mut first = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut first).map_err(|error| format!("serve: {error}"))?;
        }
        let url = first.trim().strip_prefix("listening on ").unwrap_or_default().to_owned();
        let server = Server { child, url };
        if server.url.is_empty() { Err(format!("serve said `{}`", first.trim())) } else { Ok(server) }
    }

    /// Paths that do not exist, one after another.
    pub(super) fn fresh_folders(&self, name: &str) -> FreshFolders {
        FreshFolders { stem: self.folder.join(name), count: Cell::new(0) }
    }
}

/// A running `countersign serve`.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
}

impl Server {
    /// Lets the user trust the repository as served here.
    pub(super) fn trust(&self, name: &str, site: &Site) -> Result<(), String> {
        sh::output(&mut site.user(["trust", "add", name, &self.url, &site.anchor], [])).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) struct FreshFolders {
    stem: PathBuf,
    count: Cell<usize>,
}

impl FreshFolders {
    pub(super) fn next(&self) -> PathBuf {
        self.count.set(self.count.get() + 1);
        self.stem.with_extension(self.count.get().to_string())
    }
}

/// Bytes that do not compress, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
