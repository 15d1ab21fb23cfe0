//! The pages of `docs/tasks/`, `docs/operate-a-log.md` and `docs/scale.md`, followed word for word with the real program in a fresh folder.
//!
//! How a page is written: [`page`]. Who plays it, and what counts as the same output: [`play`].

mod page;
mod play;
mod running;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_testkit::peers;
use countersign_testkit::tokens::SoftHsm;

use crate::lab::Lab;
use crate::log::Live;
use page::{Need, Page};
use play::Stage;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tasks")
}

fn read(name: &str) -> Page {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    Page::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Plays a page on a stage of its own, or on a copy of what the start leaves.
fn follow(name: &str, start: Option<&Stage>) {
    let page = read(name);
    let lab = Lab::new();
    let mut stage = Stage::new(lab.path(""));
    assert_eq!(page.needs.contains(&Need::Start), start.is_some(), "{name}");
    if let Some(start) = start {
        stage.copy(start);
    }
    for need in &page.needs {
        match need {
            Need::Start => {}
            Need::Tokens => {
                for person in page.people() {
                    let Some(hsm) = SoftHsm::new() else { return };
                    stage.give_tokens(&person, hsm);
                }
            }
            Need::Clock => match peers::find("faketime") {
                Some(faketime) => stage.faketime = Some(faketime),
                None => return,
            },
            Need::Versitygw => {
                let Some(program) = peers::find("versitygw") else { return };
                stage.give_tool(&program);
            }
            Need::Cosign => {
                let Some(program) = peers::find("cosign") else { return };
                stage.give_tool(&program);
            }
        }
    }
    stage.play(name, &page);
}

/// The pages that begin with the team of `start.md`.
const AFTER_START: [&str; 7] = [
    "rotate-a-key.md",
    "revoke-a-key-tonight.md",
    "someone-leaves.md",
    "offline-root.md",
    "recover-from-escrow.md",
    "renew.md",
    "several-repositories.md",
];

/// Sealing keys takes its time: the team is made once.
#[test]
fn the_start_and_what_a_team_does() {
    let lab = Lab::new();
    let mut start = Stage::new(lab.path(""));
    start.play("start.md", &read("start.md"));
    let start = &start;
    std::thread::scope(|scope| {
        let pages = AFTER_START.map(|name| (name, scope.spawn(move || follow(name, Some(start)))));
        let failed = pages.into_iter().filter_map(|(name, page)| page.join().is_err().then_some(name));
        let failed: Vec<&str> = failed.collect();
        assert!(failed.is_empty(), "cannot be followed: {failed:?}");
    });
}

#[test]
fn a_team_with_hardware_keys() {
    follow("team.md", None);
}

#[test]
fn cosign_signs_into_a_log_of_ours() {
    follow("cosign.md", None);
}

#[test]
fn a_log_is_operated() {
    follow("../operate-a-log.md", None);
}

/// A page that no test follows would rot.
#[test]
fn every_page_is_followed() {
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let others = ["README.md", "start.md", "team.md", "cosign.md"];
        let is_followed = AFTER_START.contains(&name.as_str()) || others.contains(&name.as_str());
        assert!(is_followed, "docs/tasks/{name} is followed by no test");
        let index = fs::read_to_string(folder().join("README.md")).unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "the index lacks {name}");
    }
}

/// The pages of the manual that `countersign man` writes: one a command, each with what it is for and examples.
#[test]
fn every_command_has_a_manual_page_with_examples() {
    let lab = Lab::new();
    let dir = lab.path("man1");
    let made = lab.run(&["man", dir.to_str().unwrap()]).ok();
    let pages = made.json()["pages"].as_array().unwrap().len();
    assert_eq!(pages, fs::read_dir(&dir).unwrap().count());
    assert_eq!(expect_page(&dir, &[]), pages);
}

/// Looks for the page of a command and of all below it; how many there are.
fn expect_page(dir: &Path, words: &[String]) -> usize {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let help = command.env_clear().args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let name =
        ["countersign"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
    let page = fs::read_to_string(dir.join(format!("{name}.1")));
    let page = page.unwrap_or_else(|error| panic!("{name}.1: {error}"));
    assert!(page.contains(".SH NAME") && page.contains(".SH DESCRIPTION"), "{name}");
    let is_group = help.contains("\nCommands:\n");
    assert!(is_group || page.contains(".SH EXAMPLES"), "{name} has no examples");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| line.starts_with("  "));
    let names = commands.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let below = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help");
    1 + below.map(|name| expect_page(dir, &[words, &[name.to_owned()]].concat())).sum::<usize>()
}

#[test]
fn a_log_is_scaled() {
    follow("../scale.md", None);
}

/// What `/metrics` has and what the operator's page tells of it are the same.
#[test]
fn every_series_is_explained() {
    let page = fs::read_to_string(folder().join("../operate-a-log.md")).unwrap();
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let witness = lab.path("witness");
    let serve = ["witness", "serve", witness.to_str().unwrap(), "--name", "w.example", "--unencrypted"];
    let witness = Live::start(&lab, &[&serve[..], &["--log", &log.vkey, "--listen", "127.0.0.1:0"]].concat());
    let mut served = BTreeSet::new();
    for server in [&log, &witness] {
        let text = server.connect().get("/metrics").text();
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        served.extend(names.map(str::to_owned));
    }
    let told: BTreeSet<String> = page
        .split('`')
        .map(|word| word.split('{').next().unwrap_or_default())
        .filter(|word| word.starts_with("countersign_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(served, told);
}
