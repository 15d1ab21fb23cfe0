//! Installs the programs that the interop tests and the gates run, at pinned versions, once.
//!
//! Each lives in a folder of its own in the cache (`target/peers/<name>-<version>`; `COUNTERSIGN_CACHE` names
//! another cache), complete when it holds `.complete`. `target/peers-bin` then has one small script a program,
//! and tests find it through `COUNTERSIGN_PEERS`: a script that is there can be run, one that is not was not
//! installed. What each program is: tests/peers/README.md.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::sh;

/// A program that nobody here wrote, or a small one of ours around a library that nobody here wrote.
struct Peer {
    /// The script's name in `target/peers-bin`.
    program: &'static str,
    package: &'static str,
    version: &'static str,
    /// Files in tests/peers that the installation is made from; they are part of the cache's key.
    made_from: &'static [&'static str],
    install: fn(&Place) -> Result<(), String>,
    /// What the script runs: program and first arguments.
    command: fn(&Place) -> Vec<PathBuf>,
}

/// Where one peer is installed and from what.
struct Place {
    /// Its folder in the cache.
    folder: PathBuf,
    /// tests/peers.
    recipes: PathBuf,
    version: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        program: "tuf-python",
        package: "python-tuf",
        version: "7.0.1",
        made_from: &["requirements.txt"],
        install: install_python_tuf,
        command: |place| vec![place.folder.join("bin/python"), place.recipes.join("tuf_client.py")],
    },
    Peer {
        program: "tuf-go",
        package: "go-tuf",
        version: "2.4.2",
        made_from: &["tufgo/main.go", "tufgo/go.mod", "tufgo/go.sum"],
        install: |place| build_go(place, "tufgo", "client"),
        command: |place| vec![place.folder.join("client")],
    },
    Peer {
        program: "tuf-js",
        package: "tuf-js",
        version: "5.0.1",
        made_from: &["tufjs/client.js", "tufjs/package.json", "tufjs/package-lock.json"],
        install: install_tuf_js,
        command: |place| vec![PathBuf::from("node"), place.folder.join("client.js")],
    },
    Peer {
        program: "tessera-fsck",
        package: "tessera-fsck",
        version: "1.0.4",
        made_from: &[],
        install: |place| {
            let module = format!("github.com/transparency-dev/tessera/cmd/fsck@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.recipes.join("fsck.sh"), place.folder.join("fsck")],
    },
    Peer {
        program: "tessera-oneshot",
        package: "tessera-oneshot",
        version: "1.0.4",
        made_from: &[],
        install: |place| {
            let module =
                format!("github.com/transparency-dev/tessera/cmd/examples/posix-oneshot@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("posix-oneshot")],
    },
    Peer {
        program: "tessera-hammer",
        package: "tessera-hammer",
        version: "1.0.4",
        made_from: &[],
        install: |place| {
            let module = format!("github.com/transparency-dev/tessera/internal/hammer@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("hammer")],
    },
    Peer {
        program: "gonote",
        package: "gonote",
        version: "0.37.0",
        made_from: &["gonote/main.go", "gonote/go.mod", "gonote/go.sum"],
        install: |place| build_go(place, "gonote", "gonote"),
        command: |place| vec![place.folder.join("gonote")],
    },
    Peer {
        program: "omniwitness",
        package: "omniwitness",
        version: "20260720",
        made_from: &["omniwitness/go.mod", "omniwitness/go.sum", "omniwitness/subtree.go.txt"],
        install: install_omniwitness,
        command: |place| vec![place.folder.join("omniwitness")],
    },
    Peer {
        program: "versitygw",
        package: "versitygw",
        version: "1.8.0",
        made_from: &[],
        install: |place| {
            let module = format!("github.com/versity/versitygw/cmd/versitygw@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("versitygw")],
    },
    Peer {
        program: "cosign",
        package: "cosign",
        version: "3.1.3",
        made_from: &[],
        install: |place| {
            let module = format!("github.com/sigstore/cosign/v3/cmd/cosign@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("cosign")],
    },
    Peer {
        program: "cargo-deny",
        package: "cargo-deny",
        version: "0.20.2",
        made_from: &[],
        install: |place| {
            let mut install = sh::cargo(&place.recipes);
            install.args([
                "install",
                "--quiet",
                "--locked",
                "cargo-deny",
                "--version",
                place.version,
                "--root",
            ]);
            // Its own target folder: ours has other profiles and flags.
            quietly(install.arg(&place.folder).env("CARGO_TARGET_DIR", place.folder.join("build")))?;
            fs::remove_dir_all(place.folder.join("build")).map_err(|error| error.to_string())
        },
        command: |place| vec![place.folder.join("bin/cargo-deny")],
    },
];

/// Peers that only `bench log` runs: what makes a load, or is under it.
const BENCH_PEERS: &[Peer] = &[
    Peer {
        program: "tessera-append",
        package: "tessera-append",
        version: "1.0.4",
        made_from: &["tessera-append/main.go", "tessera-append/go.mod", "tessera-append/go.sum"],
        install: |place| build_go(place, "tessera-append", "append"),
        command: |place| vec![place.folder.join("append")],
    },
    Peer {
        program: "tessera-posix",
        package: "tessera-posix",
        version: "1.0.4",
        made_from: &[],
        install: |place| {
            let module =
                format!("github.com/transparency-dev/tessera/cmd/conformance/posix@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("posix")],
    },
    Peer {
        program: "rekor-server-posix",
        package: "rekor-tiles",
        version: "2.3.0",
        made_from: &[],
        install: |place| {
            let module =
                format!("github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v{}", place.version);
            quietly(go(place)?.env("GOBIN", &place.folder).args(["install", &module]))
        },
        command: |place| vec![place.folder.join("posix")],
    },
];
/// Peers of the interop tests that `bench log` runs as well.
const SHARED_WITH_BENCH: &[&str] = &["tessera-hammer", "tessera-fsck"];

/// What is installed.
pub(crate) struct Installed {
    /// The folder of scripts, for `COUNTERSIGN_PEERS`.
    pub(crate) bin: PathBuf,
    /// What is not, with the reason.
    pub(crate) missing: Vec<String>,
}

/// The chore of its own: true where everything is installed.
pub(crate) fn run(root: &Path) -> bool {
    install(root).missing.is_empty()
}

/// Installs what is not yet there and writes the scripts. Never fails: says what is missing.
pub(crate) fn install(root: &Path) -> Installed {
    let bin = root.join("target").join("peers-bin");
    let mut missing = Vec::new();
    for peer in PEERS {
        install_one(root, &bin, peer, &mut missing);
    }
    for (program, package) in SYSTEM {
        let done = system(program, package).and_then(|found| script(&bin.join(program), &[found]));
        note(&bin, program, done, &mut missing);
    }
    note(&bin, SOFTHSM, softhsm().and_then(|module| link(&bin.join(SOFTHSM), &module)), &mut missing);
    Installed { bin, missing }
}

/// Installs what `bench log` runs. The folder of scripts, as for [`install`].
pub(crate) fn install_for_bench(root: &Path) -> PathBuf {
    let bin = root.join("target").join("peers-bin");
    let shared = PEERS.iter().filter(|peer| SHARED_WITH_BENCH.contains(&peer.program));
    for peer in BENCH_PEERS.iter().chain(shared) {
        install_one(root, &bin, peer, &mut Vec::new());
    }
    bin
}

fn install_one(root: &Path, bin: &Path, peer: &Peer, missing: &mut Vec<String>) {
    let cache = std::env::var_os("COUNTERSIGN_CACHE");
    let cache = cache.map_or_else(|| root.join("target").join("peers"), PathBuf::from);
    let done = place(root, &cache, peer).and_then(|place| {
        ready(peer, &place)?;
        script(&bin.join(peer.program), &(peer.command)(&place))
    });
    note(bin, peer.program, done, missing);
}

fn note(bin: &Path, program: &str, done: Result<(), String>, missing: &mut Vec<String>) {
    if let Err(error) = done {
        eprintln!("peers: `{program}` is not installed: {error}");
        // A script of an earlier run would name what is gone.
        let _ = fs::remove_file(bin.join(program));
        missing.push(program.to_owned());
    }
}

fn place(root: &Path, cache: &Path, peer: &Peer) -> Result<Place, String> {
    let recipes = root.join("tests").join("peers");
    let mut name = format!("{}-{}", peer.package, peer.version);
    if !peer.made_from.is_empty() {
        let mut hasher = DefaultHasher::new();
        for file in peer.made_from {
            let bytes = fs::read(recipes.join(file)).map_err(|error| format!("{file}: {error}"))?;
            bytes.hash(&mut hasher);
        }
        name += &format!("-{:08x}", hasher.finish() >> 32);
    }
    Ok(Place { folder: cache.join(name), recipes, version: peer.version })
}

/// Installs unless that was completed before.
fn ready(peer: &Peer, place: &Place) -> Result<(), String> {
    let complete = place.folder.join(".complete");
    if complete.is_file() {
        return Ok(());
    }
    eprintln!("peers: installing {} {} ..", peer.package, peer.version);
    let start = Instant::now();
    if place.folder.exists() {
        fs::remove_dir_all(&place.folder).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&place.folder).map_err(|error| format!("{}: {error}", place.folder.display()))?;
    (peer.install)(place)?;
    fs::write(&complete, "").map_err(|error| error.to_string())?;
    eprintln!("peers: installed {} in {:.1} s", peer.package, start.elapsed().as_secs_f64());
    Ok(())
}

fn install_python_tuf(place: &Place) -> Result<(), String> {
    let python = sh::find("python3").ok_or("python3 is not on PATH")?;
    quietly(Command::new(python).args(["-m", "venv"]).arg(&place.folder))?;
    let mut pip = Command::new(place.folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--requirement",
    ]);
    quietly(pip.arg(place.recipes.join("requirements.txt")))
}

/// Builds the program of ours in the recipe `folder`.
fn build_go(place: &Place, folder: &str, program: &str) -> Result<(), String> {
    let mut build = go(place)?;
    build.current_dir(place.recipes.join(folder)).args(["build", "-mod=readonly", "-trimpath", "-o"]);
    quietly(build.arg(place.folder.join(program)))
}

fn install_tuf_js(place: &Place) -> Result<(), String> {
    let npm = sh::find("npm").ok_or("npm is not on PATH")?;
    for file in ["client.js", "package.json", "package-lock.json"] {
        let from = place.recipes.join("tufjs").join(file);
        fs::copy(from, place.folder.join(file)).map_err(|error| format!("tufjs/{file}: {error}"))?;
    }
    let mut install = Command::new(npm);
    install.current_dir(&place.folder).args([
        "ci",
        "--silent",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]);
    quietly(&mut install)
}

/// Builds it from its modules with the one function added that they lack, see tests/peers/README.md.
fn install_omniwitness(place: &Place) -> Result<(), String> {
    let source = place.folder.join("source");
    let recipe = place.recipes.join("omniwitness");
    let lent = source.join("vendor/github.com/transparency-dev/merkle/proof/subtree.go");
    fs::create_dir_all(&source).map_err(|error| error.to_string())?;
    let copy = |name: &str, to: PathBuf| {
        fs::copy(recipe.join(name), to).map(drop).map_err(|error| format!("omniwitness/{name}: {error}"))
    };
    copy("go.mod", source.join("go.mod"))?;
    copy("go.sum", source.join("go.sum"))?;
    quietly(go(place)?.current_dir(&source).args(["mod", "vendor"]))?;
    copy("subtree.go.txt", lent)?;
    let mut build = go(place)?;
    build.current_dir(&source).args(["build", "-mod=vendor", "-trimpath", "-o"]);
    build.arg(place.folder.join("omniwitness")).arg("github.com/transparency-dev/witness/cmd/omniwitness");
    quietly(&mut build)?;
    fs::remove_dir_all(&source).map_err(|error| error.to_string())
}

/// A go command that no outer workspace or flag can change.
fn go(place: &Place) -> Result<Command, String> {
    let mut go = Command::new(sh::find("go").ok_or("go is not on PATH")?);
    go.current_dir(&place.folder).env("GOWORK", "off").env("GOFLAGS", "-buildvcs=false");
    Ok(go)
}

/// Programs that come with the system, each with its package.
const SYSTEM: &[(&str, &str)] = &[
    ("faketime", "faketime"),
    ("softhsm2-util", "softhsm2"),
    ("pkcs11-tool", "opensc"),
    ("pg_ctlcluster", "postgresql"),
];

/// The PKCS#11 module of SoftHSM2, a token in software.
const SOFTHSM: &str = "libsofthsm2.so";

/// The program, whose package is installed by apt where that can be done without asking.
fn system(program: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(program) = sh::find(program) {
        return Ok(program);
    }
    let id = sh::output(Command::new("id").arg("-u"))?;
    let apt = sh::find("apt-get").filter(|_| id.trim() == "0");
    let apt = apt.ok_or_else(|| format!("install the package `{package}`"))?;
    let install = ["install", "--yes", "--no-install-recommends", package];
    let get = || quietly(Command::new(&apt).env("DEBIAN_FRONTEND", "noninteractive").args(install));
    get().or_else(|_| quietly(Command::new(&apt).arg("update")).and_then(|()| get()))?;
    sh::find(program).ok_or_else(|| format!("the package `{package}` has no program of that name"))
}

/// Where the package `softhsm2` puts its module: the folder's name depends on the distribution and the machine.
fn softhsm() -> Result<PathBuf, String> {
    let machine = format!("/usr/lib/{}-linux-gnu/softhsm", std::env::consts::ARCH);
    let folders = ["/usr/lib/softhsm", machine.as_str(), "/usr/lib64/softhsm", "/usr/lib64/pkcs11"];
    let found = folders.iter().map(|folder| Path::new(folder).join(SOFTHSM)).find(|module| module.is_file());
    found.ok_or_else(|| "the package `softhsm2` has no module in any folder known here".to_owned())
}

fn quietly(command: &mut Command) -> Result<(), String> {
    sh::output(command).map(drop)
}

/// Writes a script that runs `command` with what it is given; a test under way sees the old one or the new one.
fn script(path: &Path, command: &[PathBuf]) -> Result<(), String> {
    let words: Vec<String> = command.iter().map(|word| quoted(&word.display().to_string())).collect();
    let text = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        make_executable(&new)?;
        fs::rename(&new, path)
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes `path` a link to `file`.
#[cfg(unix)]
fn link(path: &Path, file: &Path) -> Result<(), String> {
    let _ = fs::remove_file(path);
    std::os::unix::fs::symlink(file, path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<(), String> {
    Err("tokens are tested on Linux only".to_owned())
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_shell() {
        let word = r"a 'b' $c";
        let out = sh::output(Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))));
        assert_eq!(out.as_deref(), Ok(word));
    }

    #[test]
    fn the_folder_is_keyed_by_version_and_recipe() {
        let name = |program: &str| {
            let peer = PEERS.iter().find(|peer| peer.program == program).unwrap();
            place(&sh::root(), Path::new("c"), peer).unwrap().folder.display().to_string()
        };
        assert_eq!(name("cargo-deny"), "c/cargo-deny-0.20.2");
        assert!(name("gonote").starts_with("c/gonote-0.37.0-"));
    }

    #[test]
    fn every_recipe_pins_the_version_that_it_is_keyed_by() {
        let read = |file: &str| fs::read_to_string(sh::root().join("tests/peers").join(file)).unwrap();
        let all = PEERS.iter().chain(BENCH_PEERS);
        let version = |program: &str| all.clone().find(|peer| peer.program == program).unwrap().version;
        assert!(read("requirements.txt").contains(&format!("\ntuf=={}\n", version("tuf-python"))));
        assert!(read("tufgo/go.mod").contains(&format!("/go-tuf/v2 v{}\n", version("tuf-go"))));
        assert!(read("tufjs/package.json").contains(&format!("\"tuf-js\": \"{}\"", version("tuf-js"))));
        let tessera = format!("/tessera v{}\n", version("tessera-append"));
        assert!(read("tessera-append/go.mod").contains(&tessera));
        assert!(read("gonote/go.mod").contains(&format!("golang.org/x/mod v{}\n", version("gonote"))));
        assert!(read("omniwitness/go.mod").contains(&format!("/witness v0.0.0-{}", version("omniwitness"))));
    }
}
