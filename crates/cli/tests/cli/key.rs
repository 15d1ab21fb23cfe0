//! The life of a key with the real program: made, listed, recorded, split, recovered, marked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use countersign_base::code;
use serde_json::{Value, json};

use crate::lab::{Lab, Run};
use crate::publisher::{Publisher, text};

const NEW: [&str; 9] = ["key", "new", "alice", "--stage", "release", "--product", "node", "--keys", "keys"];

fn run(lab: &Lab, args: &[&str]) -> Run {
    lab.run_with(args, |command| {
        command.current_dir(lab.path(""));
    })
}

/// Runs with a passphrase, or PIN, in a file.
fn with_secret(lab: &Lab, args: &[&str], variable: &str, secret: &str) -> Run {
    let file = lab.path("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    lab.run_with(args, |command| {
        command.current_dir(lab.path("")).env(variable, &file);
    })
}

fn new(lab: &Lab, more: &[&str]) -> Run {
    run(lab, &[&NEW[..], &["--unencrypted"], more].concat())
}

fn keys(lab: &Lab) -> Value {
    run(lab, &["key", "list", "--keys", "keys"]).ok().json()
}

#[test]
fn what_expires_next_comes_first_and_what_is_late_is_said() {
    let lab = Lab::new();
    new(&lab, &["--holder", "alice", "--cadence", "365", "--expires-days", "400"]).ok();
    let other = |name, more: &[&str]| {
        let base = ["key", "new", name, "--stage", "root", "--keys", "keys", "--unencrypted"];
        run(&lab, &[&base[..], more].concat()).ok();
    };
    other("soon", &["--expires-days", "10"]);
    other("never", &[]);
    other("late", &["--cadence", "30"]);
    other("gone", &["--expires-days", "20"]);
    let listed = keys(&lab);
    let names: Vec<&str> =
        listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["soon", "gone", "late", "alice", "never"]);
    assert_eq!((&listed["overdue"], &listed["expired"]), (&json!(0), &json!(0)));
    // As it looks when some years have gone by.
    for name in ["late", "gone"] {
        let path = lab.path("keys").join(format!("{name}.pub"));
        let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        document["created"] = json!("2020-01-01T00:00:00Z");
        if name == "gone" {
            document["expires"] = json!("2021-01-01T00:00:00Z");
        }
        fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
    }
    let listed = keys(&lab);
    assert_eq!((&listed["overdue"], &listed["expired"]), (&json!(1), &json!(1)), "{listed}");
    let first = &listed["keys"][0];
    assert_eq!((&first["name"], &first["overdue"]), (&json!("late"), &json!(true)));
    // It was never read, so nothing had to be opened.
    let shown = run(&lab, &["key", "show", "alice", "--keys", "keys"]).ok().json();
    assert_eq!((&shown["holder"], &shown["state"]), (&json!("alice"), &json!("active")));
}

#[test]
fn a_new_key_is_refused_where_it_could_not_be_what_it_says() {
    let lab = Lab::new();
    new(&lab, &[]).ok();
    new(&lab, &[]).refused(code::KEY_EXISTS);
    let release = ["key", "new", "bob", "--stage", "release", "--keys", "keys", "--unencrypted"];
    run(&lab, &release).refused(code::USAGE);
    for wrong in
        [["--stage", "boss"], ["--algorithm", "rsa-1024"], ["--cadence", "0"], ["--place", "pkcs12:x"]]
    {
        let base = ["key", "new", "bob", "--keys", "keys", "--unencrypted"];
        let stage: &[&str] = if wrong[0] == "--stage" { &[] } else { &["--stage", "root"] };
        let run = run(&lab, &[&base[..], stage, &wrong[..]].concat());
        assert_ne!(run.status(), Some(0), "{}", run.text());
    }
    assert_eq!(keys(&lab)["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn a_pair_is_two_keys_of_one_holder() {
    let lab = Lab::new();
    let made = new(&lab, &["--pair", "ml-dsa-44"]).ok().json();
    assert_eq!((&made["algorithm"], &made["pair"]["algorithm"]), (&json!("ed25519"), &json!("ml-dsa-44")));
    assert_eq!(made["pair"]["name"], "alice-pq");
    new(&lab, &["--pair", "ed25519"]).refused(code::USAGE);
}

/// Names of the files below a folder that begin with this.
fn shares(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_lost_key_comes_back_from_its_shares() {
    let lab = Lab::new();
    let sealed = |args: &[&str]| with_secret(&lab, args, "COUNTERSIGN_PASSPHRASE_FILE", "correct horse");
    sealed(&NEW).ok();
    let split =
        ["key", "escrow", "alice", "--keys", "keys", "--shares", "5", "--threshold", "3", "--out", "shares"];
    with_secret(&lab, &split, "COUNTERSIGN_PASSPHRASE_FILE", "wrong").refused(code::KEY_PASSPHRASE_WRONG);
    assert!(!lab.path("shares").exists());
    sealed(&split).ok();
    // Nothing is written over.
    sealed(&split).refused(code::USAGE);
    let shares = shares(&lab.path("shares"));
    let names: Vec<&str> = shares.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names.len(), 5);
    let recover = |which: &[&str], keys: &str| {
        run(&lab, &[&["key", "recover"], which, &["--keys", keys, "--unencrypted"]].concat())
    };
    recover(&names[..2], "few").refused(code::KEY_SHARE_THRESHOLD);
    // A share that was changed is named, and no part of the key is written.
    let text = fs::read_to_string(&shares[1]).unwrap();
    let secret = text.lines().find(|line| line.starts_with("secret ")).unwrap();
    let flipped = if secret.ends_with('q') { "p" } else { "q" };
    let bad = lab.path("bad.txt");
    fs::write(&bad, text.replace(secret, &format!("{}{flipped}", &secret[..secret.len() - 1]))).unwrap();
    let refused =
        recover(&[names[0], bad.to_str().unwrap(), names[4]], "few").refused(code::KEY_SHARE_INVALID);
    assert!(refused.json()["message"].as_str().unwrap().contains("bad.txt"), "{}", refused.text());
    assert!(!lab.path("few").exists());
    recover(&[names[3], names[0], names[4]], "back").ok();
    let public =
        |keys: &str| run(&lab, &["key", "show", "alice", "--keys", keys]).ok().json()["public"].clone();
    assert_eq!(public("back"), public("keys"));
}

#[test]
fn every_signature_is_in_the_log_of_key_usage_and_one_that_is_not_shows() {
    let publisher = Publisher::with(&["1.0.0"]);
    let (repo, keys) = (publisher.repo(), publisher.keys());
    let (repo, keys) = (repo.to_str().unwrap(), keys.to_str().unwrap());
    let audit =
        |more: &[&str]| publisher.lab().run(&[&["key", "audit", repo, "--keys", keys], more].concat());
    let first = audit(&[]).ok().json();
    assert_eq!(first["missing"], json!([]));
    assert!(first["compared"].as_u64().unwrap() >= 8, "{first}");
    let head = first["head"].as_str().unwrap().to_owned();
    // Somebody has a copy of the folder from now on, and signs elsewhere.
    let thief = publisher.path("thief");
    copy_files(Path::new(keys), &thief);
    let release = publisher.release_args("1.1.0");
    let own = publisher.keys();
    let theirs = |arg: &'_ String| if Path::new(arg) == own { text(&thief) } else { arg.clone() };
    let release: Vec<String> = release.iter().map(theirs).collect();
    publisher.lab().run(&release.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let refused = audit(&["--head", &head]).refused(code::KEY_USAGE_MISSING);
    let missing = refused.json()["missing"].clone();
    let by: Vec<&str> = missing.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert!(by.contains(&"node-1") && by.contains(&"snapshot"), "{missing}");
    // An older head than what is there is fine, another history is not.
    audit(&["--head", &head]).refused(code::KEY_USAGE_MISSING);
    let mut forged = head.clone();
    let last = if forged.pop() == Some('0') { '1' } else { '0' };
    forged.push(last);
    audit(&["--head", &forged]).refused(code::KEY_USAGE_DAMAGED);
    fs::remove_dir_all(Path::new(keys).join("usage")).unwrap();
    audit(&["--head", &head]).refused(code::KEY_USAGE_DAMAGED);
}

/// The keys themselves: what a thief of a backup has.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_timer_learns_what_is_due() {
    let publisher = Publisher::with(&["1.0.0"]);
    let (repo, keys) = (publisher.repo(), publisher.keys());
    let (repo, keys) = (repo.to_str().unwrap(), keys.to_str().unwrap());
    let check = |more: &[&str]| publisher.lab().run(&[&["renew", repo, "--check"], more].concat());
    let roles = check(&[]).ok().json()["roles"].clone();
    assert_eq!((&roles[0]["role"], &roles[0]["by"]), (&json!("timestamp"), &json!("machine")));
    // A key that should have been rotated long ago.
    let path = Path::new(keys).join("root-1.pub");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    document["created"] = json!("2020-01-01T00:00:00Z");
    document["cadenceDays"] = json!(365);
    fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
    let due = check(&["--keys", keys]).refused(code::PUBLISH_RENEWAL_DUE);
    assert_eq!(due.json()["keys"][0]["key"], "root-1");
    check(&[]).ok();
}
