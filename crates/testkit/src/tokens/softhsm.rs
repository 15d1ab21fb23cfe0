//! SoftHSM2: PKCS#11 tokens that are folders, one store a test.
//!
//! SoftHSM2 takes its configuration from the environment of the process that loads it, and PKCS#11's state is the
//! process's. So a test that loads it runs in a process of its own, [`with_softhsm`]; a test of the program gives
//! [`SoftHsm::environment`] to the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{fresh_dir, installed, on_search_path, remove, run};

/// The user PIN of every token.
pub const PIN: &str = "271828";
const SO_PIN: &str = "31415926";

/// Tells a test that it is the process that loads the module.
const CHILD: &str = "COUNTERSIGN_TEST_SOFTHSM";
const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Its name among the peers of `cargo xtask peers`.
const MODULE: &str = "libsofthsm2.so";
/// Where distributions put it.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const SHIM: &str = include_str!("shim.c");

/// A store of tokens of its own, gone with this value.
#[derive(Debug)]
pub struct SoftHsm {
    dir: PathBuf,
    module: PathBuf,
    util: PathBuf,
    owned: bool,
}

/// A token in a [`SoftHsm`].
#[derive(Debug, Clone)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    dir: PathBuf,
}

/// Runs `body` in a process of its own, in which SoftHSM2 finds a new and empty store.
///
/// `test` is the calling test's path in its binary, such as `place::pkcs11::signs`: that is what the process runs.
///
/// # Panics
/// If `body` does, or if there is no such test.
pub fn with_softhsm(test: &str, body: impl FnOnce(&SoftHsm)) {
    let Some((module, util)) = programs() else { return };
    if let Some(dir) = std::env::var_os(CHILD) {
        return body(&SoftHsm { dir: PathBuf::from(dir), module, util, owned: false });
    }
    let hsm = SoftHsm::create(module, util);
    let binary = std::env::current_exe().expect("a test binary has a path");
    let mut command = Command::new(binary);
    command.args([test, "--exact", "--nocapture"]).env(CHILD, &hsm.dir).envs(hsm.environment());
    let shown = run(&mut command);
    assert!(shown.contains("1 passed"), "there is no test `{test}`:\n{shown}");
}

/// The module and the tool.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let modules = on_search_path(MODULE).into_iter().chain(MODULES.map(PathBuf::from));
    let module = installed(MODULE, "softhsm2", modules)?;
    let util = installed("softhsm2-util", "softhsm2", on_search_path("softhsm2-util"))?;
    Some((module, util))
}

impl SoftHsm {
    /// A new and empty store; `None` where SoftHSM2 is not installed.
    pub fn new() -> Option<Self> {
        programs().map(|(module, util)| Self::create(module, util))
    }

    fn create(module: PathBuf, util: PathBuf) -> Self {
        let dir = fresh_dir("countersign-softhsm");
        let hsm = Self { dir, module, util, owned: true };
        fs::create_dir(hsm.tokens()).expect("the folder is new");
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n",
            hsm.tokens().display()
        );
        fs::write(hsm.dir.join("softhsm2.conf"), configuration).expect("the folder is new");
        hsm
    }

    /// The PKCS#11 module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// What a process that loads the module needs in its environment.
    pub fn environment(&self) -> [(&'static str, PathBuf); 1] {
        [(CONFIGURATION, self.dir.join("softhsm2.conf"))]
    }

    /// Plugs in a new token with [`PIN`]. Labels need not differ.
    pub fn token(&self, label: &str) -> Token {
        let before = self.folders();
        let mut command = Command::new(&self.util);
        command.args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]);
        run(command.envs(self.environment()));
        let dir = self.folders().into_iter().find(|dir| !before.contains(dir)).expect("a token is a folder");
        let name = dir.file_name().expect("it has a name").to_string_lossy().replace('-', "");
        // The folder's name is a UUID that ends in the serial number.
        Token { label: label.to_owned(), serial: name[name.len() - 16..].to_owned(), dir }
    }

    /// Pulls the token out. What a running process knows of it is what SoftHSM2 keeps in memory.
    pub fn pull_out(&self, token: &Token) {
        fs::rename(&token.dir, self.drawer(token)).expect("the token was plugged in");
    }

    /// Plugs a token in that was pulled out.
    pub fn plug_in(&self, token: &Token) {
        fs::rename(self.drawer(token), &token.dir).expect("the token was pulled out");
    }

    /// Runs OpenSC's `pkcs11-tool` on the tokens, logged in with [`PIN`]; `None` where it is not installed.
    ///
    /// # Panics
    /// If it fails.
    pub fn tool(&self, arguments: &[&str]) -> Option<String> {
        let tool = installed("pkcs11-tool", "opensc", on_search_path("pkcs11-tool"))?;
        let mut command = Command::new(tool);
        command.arg("--module").arg(&self.module).args(["--login", "--pin", PIN]).args(arguments);
        Some(run(command.envs(self.environment())))
    }

    /// A module in front of SoftHSM2 that does as it is told; `None` without a C compiler.
    pub fn shim(&self) -> Option<Shim> {
        let compiler = installed("cc", "gcc", on_search_path("cc"))?;
        let (source, module) = (self.dir.join("shim.c"), self.dir.join("shim.so"));
        let shim = Shim { module, control: self.dir.join("fault") };
        shim.set(Fault::None);
        fs::write(&source, SHIM).expect("the folder is ours");
        let define = |name: &str, path: &Path| format!("-D{name}=\"{}\"", path.display());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&shim.module).arg(&source);
        command.arg(define("REAL", &self.module)).arg(define("CONTROL", &shim.control));
        command.arg(define("LOGINS", &shim.logins_file())).arg("-ldl");
        run(&mut command);
        Some(shim)
    }

    fn tokens(&self) -> PathBuf {
        self.dir.join("tokens")
    }

    fn drawer(&self, token: &Token) -> PathBuf {
        self.dir.join(&token.serial)
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.tokens()).expect("the store is there");
        entries.map(|entry| entry.expect("the store is readable").path()).collect()
    }
}

impl Drop for SoftHsm {
    fn drop(&mut self) {
        if self.owned {
            remove(&self.dir);
        }
    }
}

/// What a [`Shim`] does otherwise than SoftHSM2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Signing says that the token was removed.
    Removed,
    /// Signing says that the session is not valid.
    SessionLost,
    /// Signing says "general error", and the token is gone.
    Vanished,
    /// Signing says "general error", and the token is still there.
    Broken,
    /// The signature has one bit flipped.
    BadSignature,
    /// One try is left for the PIN.
    FinalTry,
    /// The token says that it is locked.
    Locked,
    /// The token locks at this PIN.
    LocksNow,
    /// Points of public keys come without their DER.
    RawPoint,
    /// Private keys say that they want the PIN for each signature.
    AlwaysAuthenticates,
}

impl Fault {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Removed => "removed",
            Self::SessionLost => "session-lost",
            Self::Vanished => "vanished",
            Self::Broken => "broken",
            Self::BadSignature => "bad-signature",
            Self::FinalTry => "final-try",
            Self::Locked => "locked",
            Self::LocksNow => "locks-now",
            Self::RawPoint => "raw-point",
            Self::AlwaysAuthenticates => "always-authenticates",
        }
    }
}

/// A PKCS#11 module in front of SoftHSM2 that fails as it is told, and counts logins.
#[derive(Debug)]
pub struct Shim {
    module: PathBuf,
    control: PathBuf,
}

impl Shim {
    /// The module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// What it does from now on, in every process.
    pub fn set(&self, fault: Fault) {
        fs::write(&self.control, fault.word()).expect("the folder is ours");
    }

    /// How often a PIN was sent.
    pub fn logins(&self) -> usize {
        fs::read(self.logins_file()).map_or(0, |bytes| bytes.len())
    }

    fn logins_file(&self) -> PathBuf {
        self.control.with_extension("logins")
    }
}
