//! Measures the budgets of the design on this machine, beside the tools that people use today.
//!
//! Whole processes, from start to exit, as a user waits for them; medians, because a machine has other things to
//! do. A budget in milliseconds belongs to the machine that it was written on, so the ratio to a peer of the same
//! run says more. Nothing fails here: a number over its budget is marked, and a person looks at it.

mod clock;
mod log;
mod site;
mod table;
mod tuf;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh;
use clock::{Runs, disk_sync, median_wall, peak_memory};
pub(crate) use log::{Extent, run as run_log};
use site::Site;
use table::{Row, Table};

pub(crate) const DEFAULT_RUNS: usize = 11;

/// Builds the release binary, runs what exists and prints the table; false where nothing could be measured.
pub(crate) fn run(root: &Path, runs: usize) -> bool {
    let runs = Runs(runs);
    let binary = match build(root) {
        Ok(binary) => binary,
        Err(error) => {
            eprintln!("bench: {error}");
            return false;
        }
    };
    let folder = root.join("target").join("bench");
    let mut table = Table::default();
    let measured = Site::create(&binary, &folder).and_then(|site| {
        println!(
            "disk: an 8 KiB file, written, synced and its folder synced, takes {:.2} ms",
            disk_sync(&folder, runs)?
        );
        verify(&site, runs, &mut table);
        refresh(&site, runs, &mut table);
        tuf::clients(root, &site, runs, &mut table);
        publish(&site, runs, &mut table);
        install(&site, runs, &mut table);
        append(root, &folder, &mut table);
        bins(root, runs, &mut table);
        Ok(())
    });
    print!("{table}");
    if let Err(error) = &measured {
        eprintln!("bench: {error}");
    }
    measured.is_ok()
}

fn build(root: &Path) -> Result<PathBuf, String> {
    if sh::passes(sh::cargo(root).args(["build", "--release", "--locked", "--package", "countersign"])) {
        Ok(root.join("target/release/countersign"))
    } else {
        Err("the release build failed".to_owned())
    }
}

/// `verify FILE`, offline, beside hashing the same file with openssl and verifying it with minisign.
fn verify(site: &Site, runs: Runs, table: &mut Table) {
    let verify = || site.verify(&site.file);
    let ours = median_wall(runs, verify);
    let hash = sh::find("openssl").map(|openssl| {
        median_wall(runs, || {
            let mut hash = Command::new(&openssl);
            hash.args(["dgst", "-sha256"]).arg(&site.file);
            hash
        })
    });
    // 8 ms where openssl takes 10.5: the budget moves with the machine.
    let budget = hash.as_ref().and_then(|hash| hash.as_ref().ok()).map(|hash| hash * 8.0 / 10.5);
    table.add(
        Row::new("verify FILE, 10 MiB, offline, cold process", "ms", ours)
            .budget(budget.unwrap_or(8.0))
            .peer("openssl dgst", hash)
            .peer("minisign -V", minisign(site, runs)),
    );
    table.add(Row::new("  its peak memory", "MiB", peak_memory(verify())).budget(20.0));
    let beside = median_wall(runs, || site.verify(&site.known));
    let nothing = median_wall(runs, || Command::new("true"));
    table.add(
        Row::new("verify FILE, 1 KiB: all but the hashing", "ms", beside)
            .budget(1.5)
            .peer("a process that does nothing", Some(nothing)),
    );
}

fn minisign(site: &Site, runs: Runs) -> Option<Result<f64, String>> {
    let minisign = sh::find("minisign")?;
    let (secret, public) = (site.folder.join("minisign.key"), site.folder.join("minisign.pub"));
    let prepare = || {
        let mut generate = Command::new(&minisign);
        sh::output(generate.args(["-G", "-W", "-f", "-s"]).arg(&secret).arg("-p").arg(&public))?;
        sh::output(Command::new(&minisign).arg("-S").arg("-s").arg(&secret).arg("-m").arg(&site.file))
    };
    Some(prepare().and_then(|_| {
        median_wall(runs, || {
            let mut verify = Command::new(&minisign);
            verify.args(["-V", "-q", "-p"]).arg(&public).arg("-m").arg(&site.file);
            verify
        })
    }))
}

/// A refresh that finds nothing new, and one with a download of 1 MiB, from a server on loopback.
fn refresh(site: &Site, runs: Runs, table: &mut Table) {
    let ours = site.server().and_then(|server| {
        server.trust("http", site)?;
        let root = site.folder.join("refreshed");
        sh::output(&mut site.user(["install", "http/small", "--root"], [root.as_path()]))?;
        median_wall(runs, || site.user(["update", "http/small", "--root"], [root.as_path()]))
    });
    table.add(Row::new("update, nothing new, loopback", "ms", ours).budget(9.0));
    let ours = site.server().and_then(|server| {
        server.trust("again", site)?;
        let roots = site.fresh_folders("download");
        median_wall(runs, || site.user(["install", "again/small", "--root"], [roots.next().as_path()]))
    });
    table.add(Row::new("install, 1 MiB, loopback", "ms", ours).budget(90.0));
}

/// One small release after another: signatures, log, witness and durable files.
fn publish(site: &Site, runs: Runs, table: &mut Table) {
    let mut minor = 0;
    let ours = median_wall(runs, || {
        minor += 1;
        site.release("tiny", &format!("1.{minor}.0"), &site.tiny)
    });
    table.add(Row::new("publish one release, local log and witness", "ms", ours).budget(100.0));
}

/// What `install` takes beyond copying and hashing the same bytes.
fn install(site: &Site, runs: Runs, table: &mut Table) {
    for (product, file, size) in [("big", &site.file, "10 MiB"), ("huge", &site.huge, "100 MiB")] {
        let copies = site.fresh_folders("copy");
        let copy = median_wall(runs, || {
            let mut copy = Command::new("sh");
            let script =
                "mkdir -p \"$2\" && cp \"$1\" \"$2/copy\" && sync \"$2/copy\" && sha256sum \"$2/copy\"";
            copy.args(["-c", script, "sh"]).arg(file).arg(copies.next());
            copy
        });
        copies.remove();
        let roots = site.fresh_folders("install");
        let product = format!("local/{product}");
        let ours = median_wall(runs, || site.user(["install", &product, "--root"], [roots.next().as_path()]));
        roots.remove();
        let overhead = ours.and_then(|ours| copy.clone().map(|copy| ours - copy));
        table.add(
            Row::new(format!("install, {size}, over copy + sync + hash"), "ms", overhead)
                .budget(50.0)
                .peer("cp, sync and sha256sum", Some(copy)),
        );
    }
}

/// Entries a second in process: the log crate's own program, as this one links no log.
fn append(root: &Path, folder: &Path, table: &mut Table) {
    let rate = run_append(root, &folder.join("log-many"), 256).map(|told| told.0);
    table.add(
        Row::new("log, 1 KiB entries, in process, durable and integrated", "entries/s", rate)
            .at_least(171_200.0),
    );
    // 16 writers with 16 entries each: as many in flight as the budget's 256 writers.
    let wait = run_append(root, &folder.join("log-few"), 16).map(|told| told.1);
    table.add(Row::new("  wait for an index, 256 entries in flight, median", "ms", wait).budget(3.0));
}

/// Entries a second, and the median wait.
fn run_append(root: &Path, folder: &Path, writers: u32) -> Result<(f64, f64), String> {
    two_numbers(example(root, "countersign-log", "append").arg(folder).arg(writers.to_string()))
}

/// The editor of metadata in process: 16,384 hash bins, each file signed.
fn bins(root: &Path, runs: Runs, table: &mut Table) {
    let told = two_numbers(example(root, "countersign-tuf", "bins").arg(runs.0.to_string()));
    let (create, add) = (told.clone().map(|told| told.0), told.map(|told| told.1));
    table.add(Row::new("bins create: 16,384 hash bins, in process", "s", create).budget(2.0));
    table.add(Row::new("bins add one: bin, snapshot and timestamp", "ms", add).budget(100.0));
}

/// A crate's own program that measures it.
fn example(root: &Path, package: &str, name: &str) -> Command {
    let mut example = sh::cargo(root);
    example.args(["run", "--release", "--locked", "--quiet", "--package", package, "--example", name, "--"]);
    example
}

/// The first two numbers that a program says.
fn two_numbers(program: &mut Command) -> Result<(f64, f64), String> {
    let told = sh::output(program)?;
    let mut numbers = told.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(second))) => Ok((first, second)),
        _ => Err(format!("it says `{}`", told.trim())),
    }
}
