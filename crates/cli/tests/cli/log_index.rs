//! `log index`: what a repository's log says, found by what people know.

use countersign_base::code;
use countersign_crypto::sha256;
use serde_json::Value;

use crate::lab::Run;
use crate::publisher::{Publisher, files, text};

fn entries(run: &Run) -> Vec<Value> {
    run.json()["entries"].as_array().unwrap().clone()
}

#[test]
fn a_repository_is_indexed_asked_and_checked() {
    let publisher = Publisher::with(&["1.0.0", "1.1.0"]);
    let lab = publisher.lab();
    let repo = text(&publisher.repo());
    let index = |more: &[&str]| lab.run(&[&["log", "index", &repo], more].concat());
    let none = index(&["--find", "product:node"]).refused(code::USAGE).json();
    assert!(none["fix"].as_str().unwrap().contains("`countersign log index LOG`"), "{none}");
    let made = index(&[]).ok().json();
    assert_eq!((made["from"].as_u64(), made["withoutDocument"].as_u64()), (Some(0), Some(0)));

    let found = index(&["--find", "product:node@1.1.0"]).ok();
    let found = entries(&found);
    assert_eq!(found.len(), 1, "the changes of a version are indexed, not all that it lists");
    assert_eq!((found[0]["role"].as_str(), found[0]["kind"].as_str()), (Some("node"), Some("tufmetadata")));
    assert!(found[0]["loggedBy"].is_string());
    let program = sha256(&files("1.0.0")["node"].0).to_string();
    let by_digest = entries(&index(&["--find", &format!("digest:{program}")]).ok());
    assert_eq!(by_digest.len(), 1);
    assert_eq!(entries(&index(&["--find", &format!("digest:sha256:{program}")]).ok()), by_digest);
    assert_eq!(by_digest[0]["files"].as_array().unwrap().len(), 3);
    let key = found[0]["keys"][0].as_str().unwrap();
    let by_key = entries(&index(&["--find", &format!("key:{key}"), "--find", "role:node"]).ok());
    assert!(by_key.len() >= 2, "{by_key:?}");
    let first = entries(&index(&["--find", &format!("key:{key}"), "--limit", "1"]).ok());
    let after = first[0]["index"].to_string();
    let rest = entries(&index(&["--find", &format!("key:{key}"), "--after", &after]).ok());
    assert!(rest.iter().all(|entry| entry["index"].as_u64() > first[0]["index"].as_u64()));
    index(&["--find", "nonsense"]).refused(code::USAGE);

    let fsck = || lab.run(&["log", "fsck", &repo, "--index"]);
    assert_eq!(fsck().ok().json()["index"]["behind"], 0);
    publisher.release("1.2.0").ok();
    assert!(fsck().ok().json()["index"]["behind"].as_u64() > Some(0));
    let grown = index(&[]).ok().json();
    assert_eq!(grown["from"], made["size"]);
    assert_eq!(fsck().ok().json()["index"]["unchecked"], 0);

    // An index that somebody has changed; made anew it is right.
    let place = publisher.repo().join(".countersign/index.sqlite");
    let database = rusqlite::Connection::open(&place).unwrap();
    database
        .execute("UPDATE countersign_index_entries SET version = 9 WHERE role = 'node' AND version = 2", [])
        .unwrap();
    drop(database);
    fsck().refused(code::LOG_INDEX_MISMATCH);
    index(&["--rebuild"]).ok();
    fsck().ok();

    // Anywhere else, by the log's key alone; and what is no index.
    let other = format!("sqlite:{}", lab.path("other.sqlite").display());
    index(&["--to", &other]).ok();
    lab.run(&["log", "index", "--to", &other, "--find", "role:root@1"]).ok();
    lab.run(&["log", "fsck", &repo, "--index", &other]).ok();
    lab.run(&["log", "index"]).refused(code::USAGE);
    index(&["--to", "postgres://u:secret@db.example.org/x"]).refused(code::USAGE);
    let gone = index(&["--to", "postgres://u:secret@127.0.0.1:1/x"]).refused(code::LOG_INDEX_UNAVAILABLE);
    assert!(!gone.stdout().contains("secret"), "{}", gone.stdout());
    std::fs::write(lab.path("text"), "not a database, but long enough to look like one to nobody").unwrap();
    index(&["--to", &format!("sqlite:{}", lab.path("text").display())]).refused(code::LOG_INDEX_UNAVAILABLE);
}
