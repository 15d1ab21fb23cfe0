//! `log add` while a log's witness is away: the entry is durable, nobody sees it yet, and that is what is said.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_base::code;
use rustix::process::Signal;

use crate::lab::{Lab, Run};
use crate::log::{Live, published_size, quiet_address, wait_for_size};

/// Longest time until somebody is told.
const PATIENCE: Duration = Duration::from_secs(8);

/// A machine with a witness and the log that it cosigns.
struct Scene {
    lab: Lab,
    witness: Live,
    /// The witness as the log is told of it.
    spec: String,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        fs::write(lab.path("logs"), "").unwrap();
        let witness = Self::witness(&lab, &quiet_address());
        let spec = format!("{} {}", witness.vkey, witness.url);
        Self { lab, witness, spec }
    }

    fn witness(lab: &Lab, listen: &str) -> Live {
        let (dir, logs) = (lab.path("witness"), lab.path("logs"));
        let serve = ["witness", "serve", dir.to_str().unwrap(), "--logs", logs.to_str().unwrap()];
        let named = ["--listen", listen, "--name", "w.example/1", "--unencrypted"];
        Live::start(lab, &[&serve[..], &named].concat())
    }

    /// Ends the witness; nobody listens at its address then.
    fn witness_goes(&mut self) {
        self.witness.signal(Signal::KILL);
        self.witness.wait();
    }

    fn witness_comes_back(&mut self) {
        let address = self.witness.url.strip_prefix("http://").unwrap().to_owned();
        self.witness = Self::witness(&self.lab, &address);
    }

    /// A log of one entry, `first`, which the witness has cosigned.
    fn log(&self) -> Live {
        let log = Live::log(&self.lab, "log", &["--admit", "any", "--witness", &self.spec]);
        fs::write(self.lab.path("logs"), format!("{}\n", log.vkey)).unwrap();
        let mut http = log.connect();
        assert_eq!(http.post("/add", b"first").index(), 0);
        wait_for_size(&mut http, 1);
        log
    }

    fn file(&self, content: &str) -> PathBuf {
        let path = self.lab.path(content);
        fs::write(&path, content).unwrap();
        path
    }

    fn add(&self, place: &str, content: &str, more: &[&str]) -> Run {
        let file = self.file(content);
        self.lab.run(&[&["log", "add", place, file.to_str().unwrap()], more].concat())
    }
}

#[test]
fn an_entry_of_a_server_s_log_is_durable_while_its_witness_is_away() {
    let mut scene = Scene::new();
    let log = scene.log();
    let believed = ["--vkey", &log.vkey];
    assert_eq!(scene.add(&log.url, "first", &believed).ok().json()["index"], 0);
    scene.witness_goes();
    let start = Instant::now();
    let text = scene.add(&log.url, "second", &believed).refused(code::WITNESS_UNAVAILABLE).text();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(text.contains("entry 1 is durable in the log and not published yet"), "{text}");
    assert!(text.contains("witness `w.example/1` cannot be reached"), "{text}");
    let mut http = log.connect();
    assert_eq!(published_size(&mut http), 1, "readers see what they saw");
    let metrics = http.get("/metrics").text();
    assert!(metrics.contains(
        "countersign_log_witness_failing{witness=\"w.example/1\",code=\"witness-unavailable\"} 1\n"
    ));
    // What is told to do: the log publishes by itself, and the same command proves the entry.
    scene.witness_comes_back();
    wait_for_size(&mut http, 2);
    assert_eq!(scene.add(&log.url, "second", &believed).ok().json()["index"], 1);
    assert!(!http.get("/metrics").text().contains("witness_failing{"));
}

#[test]
fn a_witness_that_does_not_know_the_log_is_told_from_one_that_is_away() {
    let scene = Scene::new();
    let log = Live::log(&scene.lab, "log", &["--admit", "any", "--witness", &scene.spec]);
    let text = scene.add(&log.url, "first", &["--vkey", &log.vkey]).refused(code::WITNESS_LOG_UNKNOWN).text();
    assert!(text.contains("entry 0 is durable") && text.contains("does not know the log"), "{text}");
    assert_eq!(log.connect().get("/checkpoint").status, 404, "nothing was published");
}

#[test]
fn an_entry_of_a_log_s_folder_is_durable_while_its_witness_is_away() {
    let mut scene = Scene::new();
    assert!(scene.log().terminate().success());
    let dir = scene.lab.path("log").to_str().unwrap().to_owned();
    let spec = scene.spec.clone();
    let witnessed = ["--witness", &spec];
    assert_eq!(scene.add(&dir, "first", &witnessed).ok().json()["index"], 0);
    let published = fs::read(scene.lab.path("log/checkpoint")).unwrap();
    scene.witness_goes();
    let start = Instant::now();
    let text = scene.add(&dir, "second", &witnessed).refused(code::WITNESS_UNAVAILABLE).text();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(text.contains("entry 1 is durable in the log and not published yet"), "{text}");
    assert_eq!(fs::read(scene.lab.path("log/checkpoint")).unwrap(), published);
    scene.lab.run(&["log", "fsck", &dir]).ok();
    scene.witness_comes_back();
    assert_eq!(scene.add(&dir, "second", &witnessed).ok().json()["index"], 1);
    scene.lab.run(&["log", "proof", &dir, "1"]).ok();
}

/// Two copies of a folder are two histories. Waiting does not help whoever submits to the one that no witness has seen.
#[test]
fn a_submitter_is_told_of_a_second_history() {
    let mut scene = Scene::new();
    assert!(scene.log().terminate().success());
    let copy = ["-a", "log", "copy"];
    assert!(Command::new("cp").args(copy).current_dir(scene.lab.path("")).status().unwrap().success());
    let witness = ["--admit", "any", "--witness", &scene.spec];
    let log = Live::log(&scene.lab, "log", &witness);
    scene.add(&log.url, "second", &["--vkey", &log.vkey]).ok();
    assert!(log.terminate().success());
    // While the witness is away, nobody can see that it is another one.
    scene.witness_goes();
    let log = Live::log(&scene.lab, "copy", &["--admit", "any", "--witness", &scene.spec]);
    let believed = ["--vkey", &log.vkey];
    scene.add(&log.url, "other", &believed).refused(code::WITNESS_UNAVAILABLE);
    scene.witness_comes_back();
    let told = scene.add(&log.url, "other", &believed).refused(code::WITNESS_INCONSISTENT).json();
    let fix = told["fix"].as_str().unwrap();
    assert!(fix.contains("two histories") && fix.contains("explain witness-inconsistent"), "{told}");
    assert!(!fix.contains("publishes it by itself"), "{told}");
}
