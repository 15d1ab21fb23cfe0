//! Mirrors: several places for one repository, copies of a log, and what a damaged log gets back from them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use countersign_base::{Code, code};
use countersign_testkit::sim::Sim;
use rustix::process::Signal;

use crate::attacks::installed_from;
use crate::lab::{Lab, REPO, Run, first_release, second_release};
use crate::mirror::{Answer, Mirror, Request};
use crate::publisher::{Publisher, active, copy_public, everything, file_url, files, text};

/// Whether this is the file that mirrors tamper with.
fn is_data(request: &Request) -> bool {
    request.path.ends_with(".data.bin")
}

/// A machine with 1.0.0 installed from `publisher`, which has released 1.1.0 since.
fn outdated() -> (Publisher, Lab) {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    machine.node("install").ok();
    publisher.release("1.1.0").ok();
    (publisher, machine)
}

/// The codes of what an update passed over, with the places.
fn passed_over(run: &Run) -> Vec<(String, String)> {
    let json = run.json();
    let notices = json["notices"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    notices.iter().map(|notice| (text(&notice["code"]), text(&notice["message"]))).collect()
}

/// The first mirror tampers, the second is good: the update succeeds, and the bad one is reported. Without the second
/// it is refused with the same code.
#[track_caller]
fn second_mirror_is_good(code: Code, tamper: fn(&Request) -> Answer) {
    let (publisher, machine) = outdated();
    let bad = Mirror::start(&publisher.repo(), tamper);
    let also_bad = Mirror::start(&publisher.repo(), tamper);
    let good = Mirror::start(&publisher.repo(), |_| Answer::Honest);
    machine.run(&["trust", "set-url", REPO, &bad.url(), &also_bad.url()]).ok();
    let before = everything(&machine.path("root"));
    machine.node("update").refused(code);
    assert!(everything(&machine.path("root")) == before, "a refused file leaves nothing behind");

    let listed = machine.run(&["trust", "set-url", REPO, &bad.url(), &good.url()]).ok();
    assert_eq!(listed.json()["mirrors"][0], format!("{}/", good.url()));
    let run = machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
    let passed = passed_over(&run);
    assert_eq!(passed.len(), 1, "{passed:?}");
    assert_eq!(passed[0].0, code.name());
    assert!(passed[0].1.contains(&bad.url()), "{passed:?}");
}

#[test]
fn d01_g_the_second_mirror_is_good() {
    // (a) a bit flip
    second_mirror_is_good(code::ARTIFACT_DIGEST_MISMATCH, |request| match &request.honest {
        Some(bytes) if is_data(request) => {
            let mut bytes = bytes.clone();
            bytes[1234] ^= 4;
            Answer::File(bytes)
        }
        _ => Answer::Honest,
    });
    // (b) truncated, (c) appended, (e) endless
    second_mirror_is_good(code::ARTIFACT_DIGEST_MISMATCH, |request| match &request.honest {
        Some(bytes) if is_data(request) => Answer::File(bytes[..bytes.len() - 1].to_vec()),
        _ => Answer::Honest,
    });
    second_mirror_is_good(code::FETCH_TOO_LARGE, |request| match &request.honest {
        Some(bytes) if is_data(request) => Answer::File([&bytes[..], b"\n"].concat()),
        _ => Answer::Honest,
    });
    second_mirror_is_good(code::FETCH_TOO_LARGE, |request| match is_data(request) {
        true => Answer::Endless,
        false => Answer::Honest,
    });
}

#[test]
fn d01_g_a_download_that_breaks_off_is_gone_on_with_from_the_next_mirror() {
    let (publisher, machine) = outdated();
    let broken = Mirror::start(&publisher.repo(), |request| match is_data(request) {
        true => Answer::Broken(2000),
        false => Answer::Honest,
    });
    let good = Mirror::start(&publisher.repo(), |request| match is_data(request) {
        // Only the rest is asked for.
        true => {
            assert_eq!(request.from, Some(2000));
            Answer::Honest
        }
        false => Answer::Honest,
    });
    machine.run(&["trust", "set-url", REPO, &broken.url(), &good.url()]).ok();
    let run = machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
    assert_eq!(passed_over(&run)[0].0, code::FETCH_FAILED.name());
}

#[test]
fn d01_g_a_mirror_that_is_down_or_has_bad_metadata_is_passed_over() {
    let (publisher, machine) = outdated();
    let good = Mirror::start(&publisher.repo(), |_| Answer::Honest);
    let gone = "http://127.0.0.1:1/";
    let forged = Mirror::start(&publisher.repo(), |request| match &request.honest {
        Some(bytes) if request.path.contains("snapshot.json") && !request.path.ends_with("proof") => {
            Answer::File(bytes.iter().map(|byte| if *byte == b'7' { b'8' } else { *byte }).collect())
        }
        _ => Answer::Honest,
    });
    machine.run(&["trust", "set-url", REPO, gone, &forged.url(), &good.url()]).ok();
    let run = machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
    let codes: Vec<String> = passed_over(&run).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    assert_eq!(codes[0], code::FETCH_FAILED.name());
    // Nobody good is left: what was refused is said, not that somebody is down.
    machine.run(&["trust", "set-url", REPO, gone, &forged.url()]).ok();
    publisher.release("1.2.0").ok();
    let refused = machine.node("update");
    assert_eq!(refused.status(), Some(1), "{}", refused.text());
}

/// L11: one honest mirror suffices to go on, wherever the first one's tiles are wrong.
#[test]
fn l11_one_honest_mirror_suffices() {
    let first = first_release();
    let mut honest = second_release(&first);
    for number in 0..300 {
        honest.log.entries.push(format!("entry {number} of somebody else").into_bytes());
    }
    honest.publish_next(&["node"]);
    for tile in ["tile/0/000", "tile/1/000.p/1"] {
        let lab = installed_from(&first);
        let mut evil = honest.clone();
        evil.files.get_mut(&format!("log/{tile}")).unwrap()[3] ^= 1;
        lab.serve(&evil);
        let mirror = lab.path("mirror");
        honest.write(&mirror);
        lab.node("update").refused(code::LOG_TILE_MISMATCH);
        lab.run(&["trust", "set-url", REPO, &lab.url(), &file_url(&mirror)]).ok();
        let run = lab.node("update").ok();
        assert_eq!(lab.installed(), "node 1.1.0\n");
        let passed = passed_over(&run);
        assert_eq!(passed[0].0, code::LOG_TILE_MISMATCH.name());
        assert!(passed[0].1.contains(tile), "{passed:?}");
    }
}

/// A simulated repository's log on a machine, with the policy that its root has.
struct Logged {
    lab: Lab,
    policy: String,
}

impl Logged {
    fn new(sim: &Sim) -> Self {
        let lab = Lab::new();
        lab.serve(sim);
        let policy = lab.path("policy.txt");
        fs::write(&policy, sim.policy()).unwrap();
        Self { policy: text(&policy), lab }
    }

    fn mirror(&self, source: &str) -> Run {
        self.lab.run(&["log", "mirror", source, &text(&self.lab.path("mirror")), "--policy", &self.policy])
    }

    fn source(&self) -> String {
        text(&self.lab.path("served/log"))
    }

    /// The log's key.
    fn vkey(&self) -> String {
        let policy = fs::read_to_string(&self.policy).unwrap();
        policy.lines().next().unwrap().strip_prefix("log ").unwrap().to_owned()
    }
}

fn with_entries(entries: u64) -> Sim {
    let mut sim = first_release();
    for number in 0..entries {
        sim.log.entries.push(format!("entry {number}").into_bytes());
    }
    sim.publish_next(&["node"]);
    sim
}

#[test]
fn a_mirror_over_http_is_as_good_as_the_log() {
    let sim = with_entries(600);
    let logged = Logged::new(&sim);
    let server = Mirror::start(&logged.lab.path("served/log"), |_| Answer::Honest);
    let run = logged.mirror(&server.url()).ok();
    let json = run.json();
    assert_eq!((json["from"].as_u64(), json["size"].as_u64()), (Some(0), Some(sim.log.size())));
    assert_eq!(json["witnesses"][0], "w1");
    let mirror = text(&logged.lab.path("mirror"));
    logged.lab.run(&["log", "fsck", &mirror, "--vkey", &logged.vkey()]).ok();
    // `serve` serves it in the log's place.
    let mut serve = logged.lab.command(&["serve", &mirror, "--listen", "127.0.0.1:0"]);
    let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url: serde_json::Value = serde_json::from_str(&line).unwrap();
    let third = text(&logged.lab.path("third"));
    let served = logged.lab.run(&[
        "log",
        "mirror",
        url["listening"].as_str().unwrap(),
        &third,
        "--vkey",
        &logged.vkey(),
    ]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(served.ok().json()["size"].as_u64(), Some(sim.log.size()));
    // A mirror of the mirror, by the key alone; and again, where nothing is new.
    let second = text(&logged.lab.path("second"));
    for copied in [sim.log.size(), 0] {
        let run = logged.lab.run(&["log", "mirror", &mirror, &second, "--vkey", &logged.vkey()]).ok();
        assert_eq!(run.json()["size"].as_u64().unwrap() - run.json()["from"].as_u64().unwrap(), copied);
    }
    logged.lab.run(&["log", "mirror", &mirror, &second]).refused(code::USAGE);
    logged
        .lab
        .run(&["log", "mirror", "http://127.0.0.1:1/", &second, "--vkey", &logged.vkey()])
        .refused(code::FETCH_FAILED);
    logged
        .lab
        .run(&["log", "mirror", &logged.source(), &logged.source(), "--vkey", &logged.vkey()])
        .refused(code::USAGE);
}

/// L01, L02: a mirror keeps both notes, and anybody verifies them offline.
#[test]
fn l01_l02_a_mirror_keeps_evidence_that_a_third_party_verifies() {
    let first = with_entries(10);
    let mut seen = first.clone();
    seen.add_release("1.2.0", "node", b"one");
    seen.publish_next(&["node"]);
    let logged = Logged::new(&seen);
    logged.mirror(&logged.source()).ok();
    let before = everything(&logged.lab.path("mirror/tile"));
    let evidence = || {
        let folder = logged.lab.path("mirror/.countersign/evidence");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
        text(files.last().unwrap())
    };
    let third_party = Lab::new();
    let judge = |file: &str| third_party.run(&["log", "evidence", file, "--vkey", &logged.vkey()]);

    // An older tree.
    logged.lab.serve(&first);
    logged.mirror(&logged.source()).refused(code::LOG_ROLLBACK);
    let shown = judge(&evidence()).ok();
    assert_eq!(shown.json()["splitView"], false);
    // Another tree.
    let mut fork = first.clone();
    fork.add_release("1.2.0", "node", b"other");
    fork.publish_next(&["node"]);
    logged.lab.serve(&fork);
    logged.mirror(&logged.source()).refused(code::LOG_SPLIT_VIEW);
    let file = evidence();
    let shown = judge(&file).ok();
    assert_eq!(shown.json()["splitView"], true);
    assert!(everything(&logged.lab.path("mirror/tile")) == before);
    // It convinces nobody who knows another key, and a changed one nobody at all.
    let mut other = first.clone();
    other.add_key("stranger");
    let stranger = other.named(&first.log.origin, "stranger").vkey(1);
    third_party.run(&["log", "evidence", &file, "--vkey", &stranger]).refused(code::LOG_KEY_UNKNOWN);
    let bent = third_party.path("bent.json");
    fs::write(&bent, fs::read_to_string(&file).unwrap().replace("logsplitview", "logsplitview2")).unwrap();
    judge(&text(&bent)).refused(code::LOG_PROOF_MALFORMED);
    // The honest log goes on.
    logged.lab.serve(&seen);
    logged.mirror(&logged.source()).ok();
}

/// Every file of a publisher's log, damaged and removed in turn: `fsck` names it, `repair` puts it back from what the
/// repository has, or says what it needs.
#[test]
fn l18_every_file_of_a_log_is_named_and_put_back_or_told_why_not() {
    let publisher = Publisher::with(&["1.0.0", "1.1.0"]);
    let lab = publisher.lab();
    let (repo, log) = (text(&publisher.repo()), publisher.repo().join("log"));
    let copy = lab.path("copy");
    copy_public(&log, &copy);
    let files = everything(&log);
    publisher.fsck().ok();
    for (name, good) in &files {
        let shown = name.to_str().unwrap();
        for gone in [false, true] {
            let path = log.join(name);
            if gone {
                fs::remove_file(&path).unwrap();
            } else {
                let mut bad = good.clone();
                bad[good.len() / 3] ^= 1;
                fs::write(&path, bad).unwrap();
            }
            let fsck = publisher.fsck();
            let older = gone && fsck.status() == Some(0);
            if older {
                assert!(shown.contains(".p/"), "{}", fsck.text());
                fs::write(&path, good).unwrap();
                continue;
            }
            assert!(fsck.text().contains(shown), "{shown} is named: {}", fsck.text());
            let repair = lab.run(&["log", "repair", &repo]);
            if shown == "checkpoint" {
                assert_ne!(repair.status(), Some(0), "{}", repair.text());
                assert!(repair.text().contains("checkpoint"), "{}", repair.text());
                fs::write(&path, good).unwrap();
            } else {
                let json = repair.ok().json();
                assert_eq!(json["mended"][0]["path"], shown);
                assert_eq!(json["mended"][0]["was"], if gone { "missing" } else { "wrong" });
            }
            publisher.fsck().ok();
        }
    }
    assert!(everything(&log) == files);
    // Where no proof and no write-ahead log has the entries, a copy has.
    let bundle = files.keys().find(|name| name.starts_with("tile/entries")).unwrap();
    for file in fs::read_dir(publisher.repo().join("metadata")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "tlog-proof") {
            fs::remove_file(file).unwrap();
        }
    }
    for part in ["entries", "0"] {
        fs::remove_dir_all(log.join("tile").join(part)).unwrap();
    }
    for name in ["wal", "wal-2"] {
        let _ = fs::remove_file(publisher.repo().join(".countersign/log").join(name));
    }
    let run = lab.run(&["log", "repair", &repo]).refused(code::LOG_STORAGE_CORRUPT);
    assert!(!run.json()["left"].as_array().unwrap().is_empty());
    lab.run(&["log", "repair", &repo, "--from", &text(&copy)]).ok();
    publisher.fsck().ok();
    assert!(log.join(bundle).exists() || !bundle.to_str().unwrap().contains(".p/"));
}

/// A mirror that is killed while it copies goes on where it was.
#[test]
fn l16_a_mirror_that_is_killed_goes_on() {
    // Bundles are put sixteen at a time: of 24 some are on disk while others are on their way.
    let sim = with_entries(6000);
    let logged = Logged::new(&sim);
    let slow = Mirror::start(&logged.lab.path("served/log"), |request| {
        let number = request.path.strip_prefix("tile/entries/").and_then(|number| number.get(..3));
        if number.is_some_and(|number| number >= "016") {
            std::thread::sleep(Duration::from_millis(300));
        }
        Answer::Honest
    });
    let dest = text(&logged.lab.path("mirror"));
    let url = slow.url();
    let args = ["log", "mirror", &url, &dest, "--policy", &logged.policy, "--parallel", "1"];
    let bundles = || {
        let folder = fs::read_dir(logged.lab.path("mirror/tile/entries"));
        let names = folder.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok())).count() as u64
    };
    let mut child = logged.lab.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while bundles() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended without a bundle");
        assert!(start.elapsed() < Duration::from_secs(60), "it copies nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()), "it was killed while it copied");
    let found = bundles();
    assert!((1..24).contains(&found), "{found}");
    let run = logged.mirror(&logged.source()).ok();
    let json = run.json();
    assert_eq!((json["from"].as_u64(), json["size"].as_u64()), (Some(0), Some(sim.log.size())));
    assert_eq!(json["resumed"], found, "what was there is not fetched again");
    logged.lab.run(&["log", "fsck", &dest, "--vkey", &logged.vkey()]).ok();
}
