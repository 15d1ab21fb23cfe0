//! The same repository and the same attack before three clients: ours, python-tuf and go-tuf.
//!
//! A scenario says what our client must answer at each step, by its error code. The others must agree with it, and trust
//! the same versions, ask for the same delegated roles and download the same bytes. Where one does not,
//! `docs/tuf-differences.md` says so in a line, with the reason why ours is right; a difference without a line fails, and
//! so does a line without a difference.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod book;
mod run;
mod scenarios;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use countersign_testkit::hostile::TufClient;
use countersign_testkit::peers;

use book::Difference;
use run::{Run, Scenario};

/// Each with clients of its own.
const WORKERS: usize = 2;

/// Ours, and the peers that are installed.
fn clients() -> Vec<TufClient> {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_countersign-tuf-conformance"));
    let mut out = vec![TufClient::process(run::OURS, ours, peers::find("faketime"))];
    out.extend(peers::find("tuf-python").map(|program| TufClient::batch("python-tuf", &program)));
    out.extend(peers::find("tuf-go").map(|program| TufClient::clocked("go-tuf", program)));
    out
}

/// Plays every scenario; gives what went wrong with ours, and what the others did otherwise.
fn play(all: &[Scenario]) -> (Vec<String>, Vec<Difference>) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Vec::new(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut clients = clients();
                while let Some(scenario) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let (wrong, differences) = Run::play(scenario, &mut clients);
                    let mut found = found.lock().unwrap();
                    found.0.extend(wrong);
                    found.1.extend(differences);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn every_client_gives_the_same_verdict_or_the_difference_is_explained() {
    let all = scenarios::all();
    let names: std::collections::BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two scenarios have one name");
    let (wrong, differences) = play(&all);
    assert!(wrong.is_empty(), "{} of ours:\n{}", wrong.len(), wrong.join("\n"));
    let installed: Vec<&str> = clients().iter().map(|client| client.name).collect();
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tuf-differences.md");
    let text = std::fs::read_to_string(book).unwrap();
    let unexplained = book::compare(&text, &differences, &names, &installed);
    assert!(unexplained.is_empty(), "docs/tuf-differences.md:\n{}", unexplained.join("\n"));
}
