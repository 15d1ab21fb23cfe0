//! Runs the fuzz targets: libFuzzer on stable Rust, seeded from the public vectors.
//!
//! The coverage flags are LLVM's and need no nightly compiler; sanitizers would, and no code of ours is unsafe.
//! libFuzzer is C++, so a C++ compiler must be there. What it finds is kept in `target/fuzz/artifacts`, the inputs
//! that reached new code in `target/fuzz/corpus`.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sh;

/// What cargo-fuzz passes, without a sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Cforce-frame-pointers=yes";

/// Seconds for each target in the test command: a look at every seed, and a little beyond.
pub(crate) const SHORT_SECONDS: u64 = 1;
/// Seconds for each target when a person asks.
pub(crate) const DEFAULT_SECONDS: u64 = 60;

/// Whether libFuzzer can be built here.
pub(crate) fn is_possible() -> bool {
    ["c++", "g++", "clang++"].iter().any(|compiler| sh::find(compiler).is_some())
}

/// Builds all targets and runs those whose name contains `filter`, each for so long; true where nothing was found.
pub(crate) fn run(root: &Path, filter: &str, seconds: u64) -> bool {
    match build(root) {
        Ok(targets) => {
            let chosen: Vec<_> = targets.iter().filter(|(name, _)| name.contains(filter)).collect();
            if chosen.is_empty() {
                eprintln!("fuzz: no target is called so; there are: {}", names(&targets));
            }
            // All of them, so that one run tells everything.
            let failed: Vec<_> =
                chosen.iter().filter(|(name, binary)| !fuzz(root, name, binary, seconds)).collect();
            failed.is_empty() && !chosen.is_empty()
        }
        Err(error) => {
            eprintln!("fuzz: {error}");
            false
        }
    }
}

type Targets = Vec<(String, PathBuf)>;

fn names(targets: &Targets) -> String {
    targets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The targets by name, with their programs.
fn build(root: &Path) -> Result<Targets, String> {
    let host = host()?;
    let (folder, target) = (root.join("fuzz"), root.join("target/fuzz"));
    let mut build = sh::cargo(&folder);
    // With `--target`, build scripts and macros are built without the flags.
    build.args(["build", "--release", "--quiet", "--target", &host]);
    if sh::ci() {
        build.arg("--locked");
    }
    build.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_TARGET_DIR", &target);
    if !sh::passes(&mut build) {
        return Err("the build failed".to_owned());
    }
    let sources = folder.join("fuzz_targets");
    let entries = fs::read_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    let mut targets = Targets::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            targets.push((name.to_owned(), target.join(&host).join("release").join(name)));
        }
    }
    targets.sort();
    Ok(targets)
}

/// The triple that this compiler runs on.
fn host() -> Result<String, String> {
    let about = sh::output(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc names no host".to_owned())
}

/// One target for `seconds`; says what it did in one line, or all that libFuzzer said if it found something.
fn fuzz(root: &Path, name: &str, binary: &Path, seconds: u64) -> bool {
    let target = root.join("target/fuzz");
    let corpus = target.join("corpus").join(name);
    let artifacts = target.join("artifacts").join(name);
    let made = [&corpus, &artifacts].into_iter().try_for_each(fs::create_dir_all);
    let seeded = made.map_err(|error| error.to_string()).and_then(|()| seeds::write(root, name, &corpus));
    if let Err(error) = seeded {
        eprintln!("fuzz: {name}: {error}");
        return false;
    }
    let mut run = Command::new(binary);
    run.arg(format!("-max_total_time={seconds}"));
    run.arg(format!("-artifact_prefix={}/", artifacts.display()));
    run.args(["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]).arg(&corpus);
    let Ok(out) = run.stdin(Stdio::null()).output() else {
        eprintln!("fuzz: {name}: cannot run {}", binary.display());
        return false;
    };
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        eprintln!("{said}\nfuzz: {name} FOUND something; its input is in {}", artifacts.display());
        return false;
    }
    let after = |label: &str| {
        said.lines().find_map(|line| line.strip_prefix(label)).map_or("?", str::trim).to_owned()
    };
    eprintln!(
        "{name:16} {:>9} inputs, seed {}",
        after("stat::number_of_executed_units:"),
        after("INFO: Seed:")
    );
    true
}
