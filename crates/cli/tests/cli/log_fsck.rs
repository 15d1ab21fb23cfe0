//! `log fsck` of a log that is served, and `log repair --remove-partial` on a log that grew by an entry at a time.

use std::collections::BTreeMap;
use std::fs;

use countersign_base::code;
use countersign_testkit::s3::{ACCESS_KEY, SECRET_KEY};
use serde_json::Value;

use crate::lab::{Lab, Run};
use crate::log::{Live, command, wait_for_size};
use crate::members::{PLACE, Place};
use crate::mirror::{Answer, Mirror};

/// A log of 300 entries in its folder, and its vkey.
fn log_of_300(lab: &Lab) -> String {
    let log = Live::log(lab, "log", &["--admit", "any"]);
    let mut http = log.connect();
    for number in 0..300 {
        http.post("/add", format!("entry {number}").as_bytes()).index();
        if number % 50 == 49 {
            wait_for_size(&mut http, number + 1);
        }
    }
    let vkey = log.vkey.clone();
    assert!(log.terminate().success());
    vkey
}

#[test]
fn l11_l18_a_log_is_proven_from_where_it_is_served() {
    let lab = Lab::new();
    let vkey = log_of_300(&lab);
    let log = Live::log(&lab, "log", &[]);
    let proven = lab.run(&["log", "fsck", &log.url, "--vkey", &vkey]).ok().json();
    assert_eq!((proven["size"].as_u64(), proven["bundles"].as_u64()), (Some(300), Some(2)));
    assert_eq!(proven["tiles"], 3);
    let shown = command(&lab, &["log", "fsck", &log.url, "--vkey", &vkey]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("log log.example is whole: 300 entries\n"), "{shown}");
    assert!(shown.contains("3 tiles, 2 entry bundles as they are served\n"), "{shown}");
    // Whom to believe is said, and others are not.
    lab.run(&["log", "fsck", &log.url]).refused(code::USAGE);
    let other = Live::log(&lab, "other", &["--admit", "any"]);
    lab.run(&["log", "fsck", &log.url, "--vkey", &other.vkey]).refused(code::LOG_KEY_UNKNOWN);
    drop(log);

    // Any of the files wrong, or missing, on its way.
    for path in
        ["tile/0/000", "tile/entries/000", "tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"]
    {
        let wrong = Mirror::start(&lab.path("log"), move |request| match &request.honest {
            Some(honest) if request.path == path => {
                let mut bytes = honest.clone();
                bytes[7] ^= 1;
                Answer::File(bytes)
            }
            _ => Answer::Honest,
        });
        let refused =
            lab.run(&["log", "fsck", &wrong.url(), "--vkey", &vkey]).refused(code::LOG_TILE_MISMATCH);
        assert!(refused.text().contains(path) || path.contains(".p/"), "{}", refused.text());
    }
    fs::rename(lab.path("log/tile/0/000"), lab.path("away")).unwrap();
    let lacking = Mirror::start(&lab.path("log"), |_| Answer::Honest);
    let refused = lab.run(&["log", "fsck", &lacking.url(), "--vkey", &vkey]).refused(code::LOG_TILE_MISSING);
    assert!(refused.text().contains("tile/0/000"), "{}", refused.text());
}

#[test]
fn all_that_is_wrong_in_a_folder_is_named() {
    let lab = Lab::new();
    let vkey = log_of_300(&lab);
    let dir = lab.path("log").to_str().unwrap().to_owned();
    let fsck = || lab.run(&["log", "fsck", &dir]);
    let named = |run: &Run| -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let problems = run.json()["problems"].as_array().unwrap().clone();
        problems.iter().map(|one| (text(&one["path"]), text(&one["what"]))).collect()
    };
    fs::remove_file(lab.path("log/tile/1/000.p/1")).unwrap();
    fs::remove_file(lab.path("log/tile/entries/001.p/44")).unwrap();
    fs::write(lab.path("log/tile/0/000.p/50"), "short").unwrap();
    fs::write(lab.path("log/tile/entries/000"), "not a bundle").unwrap();
    fs::write(lab.path("log/tile/foreign"), "a file").unwrap();
    let broken = fsck().refused(code::LOG_TILE_MISSING);
    let found = named(&broken);
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    // The earlier sizes of a bundle that is wrong itself are compared with nothing.
    let (tiles, bundles) =
        (["tile/0/000.p/50", "tile/1/000.p/1"], ["tile/entries/000", "tile/entries/001.p/44"]);
    assert_eq!(paths, [&tiles[..], &bundles, &["tile/foreign"]].concat());
    for (path, what) in &found {
        let missing = path.contains("1/000") || path.contains("001.p");
        assert!(if missing { what == "missing" } else { what.starts_with("wrong: ") }, "{path} {what}");
    }
    let told = broken.json();
    assert!(told["message"].as_str().unwrap().ends_with(" is missing, and 4 other files as well"), "{told}");
    assert!(told["fix"].as_str().unwrap().contains(&format!("countersign log repair {dir}")), "{told}");
    let shown = command(&lab, &["log", "fsck", &dir]).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains("tile/entries/001.p/44  missing\n"));
    // What it says is what the repair does.
    fs::remove_file(lab.path("log/tile/foreign")).unwrap();
    let mended = lab.run(&["log", "repair", &dir]).ok().json();
    assert_eq!(mended["mended"].as_array().unwrap().len(), 4, "{mended}");
    fsck().ok();
    // Below a tile that nothing makes again, what is missing is named.
    fs::remove_file(lab.path("log/tile/0/000")).unwrap();
    fs::rename(lab.path("log/tile/entries/000"), lab.path("kept")).unwrap();
    let found = named(&fsck().refused(code::LOG_TILE_MISSING));
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [
            ("tile/0/000".to_owned(), "missing".to_owned()),
            ("tile/entries/000".to_owned(), "missing".to_owned()),
        ]
    );
    fs::rename(lab.path("kept"), lab.path("log/tile/entries/000")).unwrap();
    lab.run(&["log", "repair", &dir]).ok();
    // The checkpoint is the log's own to make.
    for content in [None, Some("nonsense")] {
        let path = lab.path("log/checkpoint");
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        for command in ["fsck", "repair"] {
            let fix = lab.run(&["log", command, &dir]).json()["fix"].as_str().unwrap().to_owned();
            assert!(fix.contains("stop `countersign log serve`"), "{command}: {fix}");
        }
        fs::remove_file(&path).ok();
        let log = Live::log(&lab, "log", &[]);
        wait_for_size(&mut log.connect(), 300);
        assert!(log.terminate().success());
        lab.run(&["log", "fsck", &dir, "--vkey", &vkey]).ok();
    }
}

#[test]
fn what_is_asked_of_the_wrong_place_is_said() {
    let lab = Lab::new();
    let vkey = log_of_300(&lab);
    let copy = lab.path("copy").to_str().unwrap().to_owned();
    let log = Live::log(&lab, "log", &[]);
    let mirror = || lab.run(&["log", "mirror", &log.url, &copy, "--vkey", &vkey]).ok().json();
    assert!(mirror()["entriesPerSecond"].is_u64());
    assert!(mirror().get("entriesPerSecond").is_none(), "nothing was copied");
    for command in ["fsck", "repair"] {
        let run = lab.run(&["log", command, &copy]).refused(code::USAGE);
        assert!(run.text().contains("whose checkpoints are to be believed"), "{}", run.text());
        lab.run(&["log", command, lab.path("").to_str().unwrap()]).refused(code::PUBLISH_REPO_MISSING);
    }
    lab.run(&["log", "repair", "s3://bucket/log", "--vkey", &vkey]).refused(code::USAGE);
    // An entry by its file; one that is not there yet.
    fs::write(lab.path("note"), "entry 7").unwrap();
    let note = lab.path("note").to_str().unwrap().to_owned();
    let proof = |more: &[&str]| lab.run(&[&["log", "proof", &log.url, "--vkey", &vkey], more].concat());
    assert_eq!(proof(&["--entry", &note]).ok().json()["index"], 7);
    let newest = proof(&["999"]).refused(code::USAGE);
    assert!(newest.text().contains("the newest published entry is 299"), "{}", newest.text());
    let add = || lab.run(&["log", "add", &log.url, &note, "--vkey", &vkey]);
    assert_eq!(add().ok().json()["duplicate"], true);
    fs::write(lab.path("note"), "entry 300").unwrap();
    proof(&["--entry", &note]).refused(code::LOG_INCLUSION_INVALID);
    assert_eq!(add().ok().json()["duplicate"], false);
    fs::write(lab.path("note"), vec![0; 65_536]).unwrap();
    let large = add().refused(code::LOG_ENTRY_TOO_LARGE);
    assert!(large.json()["fix"].as_str().unwrap().contains("sha256sum"), "{}", large.text());
    // A log that is away is not a repository that is.
    let url = log.url.clone();
    drop(log);
    let fix = lab.run(&["log", "proof", &url, "0", "--vkey", &vkey]).refused(code::FETCH_FAILED).json();
    assert!(fix["fix"].as_str().unwrap().contains("the log is up"), "{fix}");
    let rekor = Live::log(&lab, "rekor", &["--admit", "rekor"]);
    fs::write(lab.path("note"), "bytes").unwrap();
    let refused = lab.run(&["log", "add", &rekor.url, &note, "--vkey", &rekor.vkey]);
    let refused = refused.refused(code::LOG_ENTRY_UNAUTHORISED).json();
    assert!(refused["fix"].as_str().unwrap().contains("cosign sign-blob"), "{refused}");
}

#[test]
fn partial_tiles_of_a_log_s_folder_are_removed_where_the_full_ones_are() {
    let lab = Lab::new();
    let vkey = log_of_300(&lab);
    let dir = lab.path("log").to_str().unwrap().to_owned();
    let older = |lab: &Lab| lab.run(&["log", "fsck", &dir]).ok().json()["older"].as_u64().unwrap();
    assert!(older(&lab) >= 10, "a tile and a bundle at 50, 100, 150, 200 and 250 at least");
    // A repair puts back what is wrong, and takes nothing away unless it is asked.
    assert!(lab.run(&["log", "repair", &dir]).ok().json().get("removed").is_none());
    let removed = lab.run(&["log", "repair", &dir, "--remove-partial"]).ok().json();
    assert!(removed["removed"].as_u64().unwrap() >= 10, "{removed}");
    assert!(!lab.path("log/tile/0/000.p").exists() && !lab.path("log/tile/entries/000.p").exists());
    assert!(lab.path("log/tile/0/001.p/44").exists());
    // Beside the running log, too; and it goes on.
    let log = Live::log(&lab, "log", &[]);
    let mut http = log.connect();
    assert_eq!(http.post("/add", b"entry 300").index(), 300);
    wait_for_size(&mut http, 301);
    lab.run(&["log", "repair", &dir, "--remove-partial", "--vkey", &vkey]).ok();
    lab.run(&["log", "fsck", &log.url, "--vkey", &vkey]).ok();
    assert_eq!(http.post("/add", b"entry 3").index(), 3);
    lab.run(&["log", "proof", &log.url, "3", "--vkey", &vkey]).ok();
    // A log that is not whole keeps them: they may be what it is mended from.
    drop(log);
    fs::remove_file(lab.path("log/tile/entries/000")).unwrap();
    fs::remove_file(lab.path("log/.countersign/wal")).unwrap();
    let run = lab.run(&["log", "repair", &dir, "--remove-partial"]);
    assert_eq!((run.status(), run.json().get("removed")), (Some(1), None), "{}", run.text());
}

/// Whoever may read the bucket needs no server, and what the log never wrote is no log.
#[test]
fn a_log_in_a_bucket_is_read_where_it_is() {
    let Some(place) = Place::new() else { return };
    let member = place.member(&[]);
    member.leads();
    let mut http = member.connect();
    for number in 0..300u64 {
        http.post("/add", format!("entry {number}").as_bytes()).index();
    }
    member.publishes(300);
    let vkey = member.vkey.clone();
    let run = |args: &[&str]| {
        place.lab.run_with(args, |command| {
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            command.env("AWS_ENDPOINT_URL", place.server.endpoint());
        })
    };
    let fsck = ["log", "fsck", PLACE, "--vkey", &vkey];
    let proven = run(&fsck).ok().json();
    assert_eq!((proven["size"].as_u64(), proven["bundles"].as_u64()), (Some(300), Some(2)));
    let saved = place.lab.path("saved");
    let proof = ["log", "proof", PLACE, "299", "--vkey", &vkey, "--save-entry", saved.to_str().unwrap()];
    assert_eq!(run(&proof).ok().json()["index"], 299);
    assert_eq!(fs::read(&saved).unwrap(), b"entry 299");
    let copy = place.lab.path("copy");
    let mirror = ["log", "mirror", PLACE, copy.to_str().unwrap(), "--vkey", &vkey];
    assert_eq!(run(&mirror).ok().json()["size"], 300);
    place.lab.run(&["log", "fsck", copy.to_str().unwrap(), "--vkey", &vkey]).ok();
    let index = format!("sqlite:{}", place.lab.path("index").to_str().unwrap());
    run(&["log", "index", PLACE, "--vkey", &vkey, "--to", &index]).ok();
    // Entries come in elsewhere; nowhere is no log; and nobody is asked without credentials.
    run(&["log", "add", PLACE, saved.to_str().unwrap(), "--vkey", &vkey]).refused(code::USAGE);
    let nowhere = format!("{PLACE}/nowhere");
    run(&["log", "fsck", &nowhere, "--vkey", &vkey]).refused(code::LOG_TILE_MISSING);
    run(&["log", "proof", &nowhere, "0", "--vkey", &vkey]).refused(code::FETCH_NOT_FOUND);
    place.lab.run(&fsck).refused(code::STORE_SETTINGS_INVALID);
}
