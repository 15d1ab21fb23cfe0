//! `log serve`, `log add` and `log proof`: what goes in comes out, verified.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use countersign_base::code;
use countersign_tlog::merkle::leaf_hash;
use serde_json::Value;

use crate::lab::Lab;
use crate::log::{Http, Live, command, published_size, wait_for_size};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_added_is_served_as_tiles() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let mut http = log.connect();
    assert_eq!(http.post("/add", b"first").index(), 0);
    assert_eq!(http.post("/add", b"second").index(), 1);
    assert_eq!(http.post("/add", b"first").index(), 0, "a duplicate has the first index");
    wait_for_size(&mut http, 2);
    let checkpoint = http.get("/checkpoint");
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert!(checkpoint.text().starts_with("log.example\n2\n"));

    let tile = http.get("/tile/0/000.p/2");
    assert_eq!(tile.header("content-type"), Some("application/octet-stream"));
    assert_eq!(tile.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(tile.body, [leaf_hash(b"first").0, leaf_hash(b"second").0].concat());
    let bundle = http.get("/tile/entries/000.p/2");
    assert_eq!(bundle.body, b"\x00\x05first\x00\x06second");
    assert_eq!(bundle.header("vary"), Some("accept-encoding"));
    let packed = http.send("GET", "/tile/entries/000.p/2", "accept-encoding: gzip\r\n", b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]));
    let head = http.send("HEAD", "/tile/entries/000.p/2", "", b"");
    assert_eq!(head.header("content-length"), Some("15"));

    for path in ["/tile/0/001", "/.countersign/keys/log.key", "/.countersign/wal", "/nothing", "/tile/../x"] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
    assert_eq!(http.get("/add").status, 405);
    assert_eq!(http.post("/checkpoint", b"x").status, 405);
}

#[test]
fn a_log_keeps_its_key_its_entries_and_its_purpose() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let vkey = log.vkey.clone();
    let mut http = log.connect();
    for number in 0..20u64 {
        assert_eq!(http.post("/add", format!("entry {number}").as_bytes()).index(), number);
    }
    assert!(log.terminate().success(), "told to end, it ends well");
    let dir = lab.path("log");
    lab.run(&["log", "fsck", text(&dir), "--vkey", &vkey]).ok();
    // Whoever runs the log has its key there.
    lab.run(&["log", "fsck", text(&dir)]).ok();

    let log = Live::log(&lab, "log", &[]);
    assert_eq!(log.vkey, vkey);
    let mut http = log.connect();
    assert_eq!(published_size(&mut http), 20, "what was acknowledged was published before it ended");
    assert_eq!(http.post("/add", b"entry 7").index(), 7);
    drop(log);

    let serve = ["log", "serve", text(&dir), "--listen", "127.0.0.1:0"];
    lab.run(&[&serve[..], &["--admit", "metadata"]].concat()).refused(code::USAGE);
    lab.run(&[&serve[..], &["--origin", "other.example"]].concat()).refused(code::USAGE);
    let other = lab.path("other");
    let serve = ["log", "serve", text(&other), "--listen", "127.0.0.1:0"];
    lab.run(&[&serve[..], &["--unencrypted"]].concat()).refused(code::USAGE);
    lab.run(&[&serve[..], &["--origin", "log.example"]].concat()).refused(code::KEY_PASSPHRASE_MISSING);
}

/// A second history under the same key is what a typing error must not make.
#[test]
fn a_log_is_made_only_where_it_is_asked_for_and_by_a_key_of_its_own() {
    let lab = Lab::new();
    let (dir, keys, typo) = (lab.path("log"), lab.path("keys"), lab.path("lgo"));
    let file = lab.path("note.txt");
    fs::write(&file, "a note").unwrap();
    let keyed = ["--keys", text(&keys)];
    Live::log(&lab, "log", &[&keyed[..], &["--admit", "any"]].concat()).connect().post("/add", b"x").index();
    let serve = |place, more: &[&str]| {
        lab.run(&[&["log", "serve", place, "--listen", "127.0.0.1:0"], &keyed[..], more].concat())
    };
    let said = serve(text(&typo), &[]).refused(code::USAGE).stdout();
    assert!(said.contains("there is no log in") && said.contains("--origin"), "{said}");
    lab.run(&[&["log", "add", text(&typo), text(&file)], &keyed[..]].concat()).refused(code::USAGE);
    // Asked for, with a key that has a log.
    let said = serve(text(&typo), &["--origin", "log.example"]).refused(code::USAGE).stdout();
    assert!(said.contains(text(&dir)) && said.contains("--keys"), "{said}");
    let key = text(&keys).to_owned() + "/log.key";
    let direct = ["log", "serve", text(&typo), "--listen", "127.0.0.1:0", "--key", &key];
    lab.run(&[&direct[..], &["--origin", "log.example"]].concat()).refused(code::USAGE);
    assert!(!typo.exists(), "nothing is left of it");
    for place in ["s3:/logs/main", "S3://logs/main", "s3:logs"] {
        let said = serve(place, &["--origin", "log.example"]).refused(code::USAGE).stdout();
        assert!(said.contains("s3://logs"), "{said}");
    }
    // A log that is moved is the same log.
    fs::rename(&dir, &typo).unwrap();
    drop(Live::start(
        &lab,
        &[&["log", "serve", text(&typo), "--listen", "127.0.0.1:0"], &keyed[..]].concat(),
    ));
    // Where it was signed and is no more, it does not begin again.
    fs::remove_dir_all(&typo).unwrap();
    serve(text(&typo), &["--origin", "log.example"]).refused(code::LOG_STORAGE_ROLLBACK);
}

#[test]
fn an_origin_that_cannot_be_kept_is_refused_before_anything_is_made() {
    let lab = Lab::new();
    let (dir, keys) = (lab.path("log"), lab.path("keys"));
    let serve = |origin: &str, more: &[&str]| {
        let args = ["log", "serve", text(&dir), "--keys", text(&keys), "--listen", "127.0.0.1:0", "--origin"];
        lab.run(&[&args[..], &[origin, "--unencrypted"], more].concat())
    };
    let long = "a".repeat(256);
    for origin in
        ["https://log.example/", "log.example/", "/log.example", "a log", "log\u{7}", "log+1", "", &long]
    {
        let said = serve(origin, &[]).refused(code::USAGE).stdout();
        assert!(said.contains("--origin log.example"), "{said}");
    }
    for origin in ["log.example/one", "Log.example", "log.example:80"] {
        let said = serve(origin, &["--admit", "rekor"]).refused(code::USAGE).stdout();
        assert!(said.contains("sigstore"), "{said}");
    }
    assert!(!dir.exists() && !keys.exists());
}

#[test]
fn a_mirror_is_not_a_log_to_write_to() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    log.connect().post("/add", b"x").index();
    wait_for_size(&mut log.connect(), 1);
    let mirror = lab.path("mirror");
    lab.run(&["log", "mirror", &log.url, text(&mirror), "--vkey", &log.vkey]).ok();
    let serve = ["log", "serve", text(&mirror), "--listen", "127.0.0.1:0", "--origin", "log.example"];
    let said = lab.run(&[&serve[..], &["--unencrypted"]].concat()).refused(code::USAGE).stdout();
    assert!(said.contains("is a mirror") && said.contains("countersign serve"), "{said}");
    assert!(!mirror.join(".countersign/keys").exists());
}

#[test]
fn a_log_that_lacks_a_tile_is_repaired_and_one_of_another_key_is_named() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    log.connect().post("/add", b"x").index();
    wait_for_size(&mut log.connect(), 1);
    assert!(log.terminate().success());
    drop(Live::log(&lab, "other", &[]));
    let (dir, other) = (lab.path("log"), lab.path("other"));
    let serve = ["log", "serve", text(&dir), "--listen", "127.0.0.1:0"];
    let keys = other.join(".countersign/keys");
    let said = lab.run(&[&serve[..], &["--keys", text(&keys)]].concat()).refused(code::LOG_KEY_UNKNOWN);
    let said = said.stdout();
    assert!(said.contains("holds the log log.example (key ") && said.contains("--keys"), "{said}");
    fs::remove_file(dir.join("tile/0/000.p/1")).unwrap();
    let said = lab.run(&serve).refused(code::LOG_STORAGE_ROLLBACK).stdout();
    assert!(said.contains(&format!("countersign log repair {}", text(&dir))), "{said}");
    lab.run(&["log", "repair", text(&dir)]).ok();
    drop(Live::log(&lab, "log", &[]));
}

#[test]
fn two_servers_do_not_write_one_log() {
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let dir = lab.path("log");
    lab.run(&["log", "serve", text(&dir), "--listen", "127.0.0.1:0"]).refused(code::LOG_WRITER_CONFLICT);
    lab.run(&["log", "add", text(&dir), text(&lab.path("log/checkpoint"))])
        .refused(code::LOG_WRITER_CONFLICT);
    assert_eq!(log.connect().post("/add", b"x").index(), 0);
}

#[test]
fn an_entry_is_added_and_proven_here_and_there() {
    let lab = Lab::new();
    let file = lab.path("note.txt");
    fs::write(&file, "a note").unwrap();
    let leaf = leaf_hash(b"a note").to_string();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let add = ["log", "add", &log.url, text(&file), "--vkey", &log.vkey];
    let proof = lab.path("note.tlog-proof");
    let added = lab.run(&[&add[..], &["--proof", text(&proof)]].concat()).ok().json();
    assert_eq!((added["index"].as_u64(), added["leafHash"].as_str()), (Some(0), Some(leaf.as_str())));
    assert_eq!(lab.run(&add).ok().json()["index"], 0, "it is there already");
    fs::write(&file, "another").unwrap();
    assert_eq!(lab.run(&add).ok().json()["index"], 1);

    let read = ["log", "proof", &log.url, "--vkey", &log.vkey];
    let saved = lab.path("saved");
    let by_hash = lab.run(&[&read[..], &[&leaf, "--save-entry", text(&saved)]].concat()).ok().json();
    assert_eq!(by_hash["index"], 0);
    assert_eq!(fs::read(&saved).unwrap(), b"a note");
    assert_eq!(lab.run(&[&read[..], &["1"]].concat()).ok().json()["size"], 2);
    lab.run(&[&read[..], &["2"]].concat()).refused(code::USAGE);
    lab.run(&[&read[..], &[&"ab".repeat(32)]].concat()).refused(code::LOG_INCLUSION_INVALID);
    lab.run(&["log", "proof", &log.url, "0"]).refused(code::USAGE);
    let other = Live::log(&lab, "other", &["--admit", "any"]);
    lab.run(&["log", "proof", &log.url, "0", "--vkey", &other.vkey]).refused(code::LOG_KEY_UNKNOWN);
    lab.run(&["log", "add", &log.url, text(&file), "--vkey", &other.vkey]).refused(code::LOG_KEY_UNKNOWN);
    assert!(log.terminate().success());

    // The same on the folder, whose key is kept with it.
    let dir = lab.path("log");
    fs::write(&file, "a third").unwrap();
    assert_eq!(lab.run(&["log", "add", text(&dir), text(&file)]).ok().json()["index"], 2);
    let shown = command(&lab, &["log", "proof", text(&dir), "2"]).output().unwrap();
    assert!(shown.stdout.starts_with(b"c2sp.org/tlog-proof@v1\nindex 2\n"), "{shown:?}");
    let tile = dir.join("tile/0/000.p/3");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[0] ^= 1;
    fs::write(&tile, bytes).unwrap();
    lab.run(&["log", "proof", text(&dir), "2"]).refused(code::LOG_TILE_MISMATCH);
}

#[test]
fn a_checkpoint_is_published_when_its_witnesses_have_cosigned() {
    let lab = Lab::new();
    let logs = lab.path("logs");
    fs::write(&logs, "").unwrap();
    let dir = lab.path("witness");
    let serve = ["witness", "serve", text(&dir), "--listen"];
    let named = ["--name", "w.example/1", "--unencrypted", "--logs", text(&logs)];
    let witness = Live::start(&lab, &[&serve[..], &["127.0.0.1:0"], &named].concat());
    let spec = format!("{} {}", witness.vkey, witness.url);
    let log = Live::log(&lab, "log", &["--admit", "any", "--witness", &spec]);
    let mut http = log.connect();
    // The witness does not know the log yet: entries are taken, and nobody sees them.
    assert_eq!(http.post("/add", b"first").index(), 0);
    assert_eq!(http.get("/checkpoint").status, 404);
    let known = lab.path("logs.new");
    fs::write(&known, format!("{}\n", log.vkey)).unwrap();
    fs::rename(&known, &logs).unwrap();
    wait_for_size(&mut http, 1);
    let policy = lab.path("policy");
    let with = |quorum: &str| {
        fs::write(&policy, format!("log {}\nwitness w {}\nquorum {quorum}\n", log.vkey, witness.vkey))
            .unwrap();
        lab.run(&["log", "proof", &log.url, "0", "--policy", text(&policy)])
    };
    assert_eq!(with("w").ok().json()["witnesses"][0], "w");
    with("none").refused(code::LOG_POLICY_INVALID);
    assert!(http.get("/checkpoint").text().contains("\u{2014} w.example/1 "));
    assert!(log.terminate().success());
}

#[test]
fn a_new_log_can_begin_without_a_server() {
    let lab = Lab::new();
    let (dir, file) = (lab.path("log"), lab.path("note.txt"));
    fs::write(&file, "a note").unwrap();
    let add = ["log", "add", text(&dir), text(&file)];
    let new = [&add[..], &["--origin", "log.example/notes", "--unencrypted"]].concat();
    let first = lab.run(&new).ok().json();
    assert_eq!((first["origin"].as_str(), first["index"].as_u64()), (Some("log.example/notes"), Some(0)));
    assert_eq!(lab.run(&add).ok().json()["index"], 0);
    lab.run(&[&add[..], &["--role", "root"]].concat()).refused(code::LOG_ENTRY_UNAUTHORISED);
    lab.run(&["log", "proof", text(&dir), "0"]).ok();
}

/// Who opens a log with its key knows whose checkpoints to believe; what else was named is read before anything is added.
#[test]
fn a_log_whose_key_is_elsewhere_is_added_to() {
    let lab = Lab::new();
    let (dir, keys, file, policy) = (lab.path("log"), lab.path("keys"), lab.path("note"), lab.path("policy"));
    let add = |entry: &str, more: &[&str]| {
        fs::write(&file, entry).unwrap();
        lab.run(&[&["log", "add", text(&dir), text(&file), "--keys", text(&keys)], more].concat())
    };
    let first = add("one", &["--origin", "log.example/notes", "--unencrypted"]).ok().json();
    assert_eq!((first["origin"].as_str(), first["index"].as_u64()), (Some("log.example/notes"), Some(0)));
    assert_eq!(add("two", &[]).ok().json()["index"], 1);
    fs::write(&policy, "nonsense\n").unwrap();
    add("three", &["--policy", text(&policy)]).refused(code::LOG_POLICY_INVALID);
    assert_eq!(add("four", &[]).ok().json()["index"], 2, "nothing was added");
    lab.run(&["log", "proof", text(&dir), "0"]).refused(code::USAGE);
}

#[test]
fn a_log_whose_disk_is_full_acknowledges_nothing_more_and_ends() {
    let lab = Lab::new();
    drop(Live::log(&lab, "log", &["--admit", "any"]));
    let dir = lab.path("log");
    let inner = command(&lab, &["--json", "log", "serve", text(&dir), "--listen", "127.0.0.1:0"]);
    // No file beyond 4 MiB; ignored, the signal becomes an error of the write.
    let mut limited = Command::new("/bin/sh");
    limited.env_clear().arg("-c").arg("trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"");
    limited.arg(inner.get_program()).args(inner.get_args());
    let mut child = limited.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let url = serde_json::from_str::<Value>(&line).unwrap()["listening"].as_str().unwrap().to_owned();
    let mut http = Http::connect(&url);
    let entry = |number: u64| [vec![7; 60_000], number.to_be_bytes().to_vec()].concat();
    let mut acknowledged = 0;
    // It may be gone before it can answer.
    while let Ok(answer) = http.try_send("POST", "/add", "", &entry(acknowledged)) {
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some());
            assert_eq!(answer.json()["code"], code::LOG_STORAGE_FAILED.name());
            break;
        }
        assert_eq!(answer.index(), acknowledged);
        acknowledged += 1;
        assert!(acknowledged < 10_000, "it goes on although its disk is full");
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3), "{rest}");
    assert_eq!(serde_json::from_str::<Value>(&rest).unwrap()["code"], code::LOG_STORAGE_FAILED.name());
    // With room again, all that was acknowledged is there.
    let log = Live::log(&lab, "log", &[]);
    let mut http = log.connect();
    for number in 0..acknowledged {
        assert_eq!(http.post("/add", &entry(number)).index(), number);
    }
    assert!(acknowledged > 0);
}
