//! Reading a whole log and proving it: a mirror's first copy, and fsck beside Tessera's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{Bench, Row, Table};
use crate::sh;

/// Entries a second that a copy must verify.
const LEAST: f64 = 50_000.0;

pub(super) fn measure(bench: &Bench, table: &mut Table, public: &Path, vkey: &str, size: u64) {
    let from_folder = mirror(bench, &public.display().to_string(), vkey, size);
    table.add(
        Row::new(format!("mirror of {size} entries, from a folder"), "entries/s", from_folder)
            .at_least(LEAST),
    );
    let from_http = over_http(bench, public, vkey, size);
    table.add(
        Row::new(format!("mirror of {size} entries, over HTTP"), "entries/s", from_http).at_least(LEAST),
    );
    let key = bench.folder.join("fsck.vkey");
    let written = fs::write(&key, vkey).map_err(|error| error.to_string());
    let theirs = written.and_then(|()| bench.programs.peer("tessera-fsck")).and_then(|fsck| {
        let url = format!("file://{}/", public.display());
        timed(Command::new(fsck).arg(url).arg(&key), size)
    });
    let ours = timed(bench.programs.ours().args(["log", "fsck"]).arg(public).args(["--vkey", vkey]), size);
    table.add(
        Row::new(format!("fsck of {size} entries"), "entries/s", ours)
            .at_least(LEAST)
            .peer("Tessera's fsck", Some(theirs)),
    );
}

/// Serves the folder with `countersign serve`.
fn over_http(bench: &Bench, public: &Path, vkey: &str, size: u64) -> Result<f64, String> {
    let server = super::server::Server::files(&bench.programs, public)?;
    mirror(bench, &server.url(), vkey, size)
}

fn mirror(bench: &Bench, source: &str, vkey: &str, size: u64) -> Result<f64, String> {
    let copy = bench.place();
    timed(bench.programs.ours().args(["log", "mirror", source]).arg(&copy).args(["--vkey", vkey]), size)
}

/// Entries a second of a process that goes through all of them.
fn timed(process: &mut Command, size: u64) -> Result<f64, String> {
    let start = Instant::now();
    sh::output(process)?;
    Ok(size as f64 / start.elapsed().as_secs_f64())
}
