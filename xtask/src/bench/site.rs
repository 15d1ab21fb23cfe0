//! A publisher, a server and a user in a folder, driven by the commands that people type.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sh;

/// A publisher's repositories and a user's home, with the files that are released.
///
/// `repository` has the products `big` (10 MiB), `huge` (100 MiB), `small` (1 MiB) and `tiny`; `single` has one
/// release, of `big` and `known`.
pub(super) struct Site {
    binary: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) repository: PathBuf,
    /// 10 MiB.
    pub(super) file: PathBuf,
    /// 100 MiB.
    pub(super) huge: PathBuf,
    /// 1 KiB, released.
    pub(super) known: PathBuf,
    /// 1 KiB, to be released again and again.
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
            huge: folder.join("huge.bin"),
            known: folder.join("known.bin"),
            tiny: folder.join("tiny.bin"),
            anchor: String::new(),
        };
        let small = folder.join("small.bin");
        let files = [(&site.file, 10 << 20), (&site.huge, 100 << 20), (&small, 1 << 20)];
        for (path, length) in files.into_iter().chain([(&site.known, 1 << 10), (&site.tiny, 1 << 10)]) {
            fs::write(path, noise(length)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        site.anchor = site.start("repository", &["big", "huge", "small", "tiny"])?;
        for (product, file) in [("big", &site.file), ("huge", &site.huge), ("small", &small)] {
            sh::output(&mut site.release(product, "1.0.0", file))?;
        }
        site.trust("home", "local", "repository", &site.anchor)?;
        let anchor = site.start("single", &["big"])?;
        let both = [site.file.as_path(), site.known.as_path()];
        sh::output(site.publisher(&["release"], "single").args(["big", "1.0.0"]).args(both))?;
        site.trust("verifier", "single", "single", &anchor)?;
        Ok(site)
    }

    /// A new repository with these products; its anchor.
    fn start(&self, repository: &str, products: &[&str]) -> Result<String, String> {
        let said = sh::output(self.publisher(&["init"], repository).arg("--unencrypted"))?;
        for product in products {
            sh::output(self.publisher(&["product", "add"], repository).arg("--unencrypted").arg(product))?;
        }
        Ok(said.lines().next_back().unwrap_or_default().to_owned())
    }

    /// A command of the publisher, on a repository with its keys.
    fn publisher(&self, words: &[&str], repository: &str) -> Command {
        let mut publisher = Command::new(&self.binary);
        publisher.args(words).arg(self.folder.join(repository));
        publisher.arg("--keys").arg(self.folder.join(format!("{repository}-keys")));
        publisher
    }

    /// `countersign release` of one file.
    pub(super) fn release(&self, product: &str, version: &str, file: &Path) -> Command {
        let mut release = self.publisher(&["release"], "repository");
        release.args([product, version]).arg(file);
        release
    }

    /// Lets the user of a home trust a repository as it lies in its folder.
    fn trust(&self, home: &str, name: &str, repository: &str, anchor: &str) -> Result<(), String> {
        let url = format!("file://{}", self.folder.join(repository).display());
        sh::output(self.at(home).args(["trust", "add", name, &url, anchor])).map(drop)
    }

    fn at(&self, home: &str) -> Command {
        let mut user = Command::new(&self.binary);
        user.arg("--home").arg(self.folder.join(home)).arg("--quiet");
        user
    }

    /// A command of the user: words, then paths.
    pub(super) fn user<const W: usize, const P: usize>(
        &self,
        words: [&str; W],
        paths: [&Path; P],
    ) -> Command {
        let mut user = self.at("home");
        user.args(words).args(paths);
        user
    }

    /// `verify` by the user who trusts the repository with one release.
    pub(super) fn verify(&self, file: &Path) -> Command {
        let mut verify = self.at("verifier");
        verify.arg("verify").arg(file);
        verify
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

    /// The target path of the file of 1 MiB, as its role lists it.
    pub(super) fn small_target(&self) -> Result<String, String> {
        let released = "small/1.0.0";
        let mut platforms = fs::read_dir(self.repository.join("targets").join(released))
            .map_err(|error| error.to_string())?;
        let platform = platforms.next().and_then(Result::ok).ok_or("nothing is released")?;
        Ok(format!("{released}/{}/small.bin", platform.file_name().display()))
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

    /// Removes what was made there, to give its space back.
    pub(super) fn remove(&self) {
        for count in 1..=self.count.get() {
            let _ = fs::remove_dir_all(self.stem.with_extension(count.to_string()));
        }
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
