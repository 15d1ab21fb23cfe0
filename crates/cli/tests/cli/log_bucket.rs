//! `log serve` on a bucket: one process leads, the others serve with it.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use countersign_base::{Code, code};
use countersign_testkit::s3::{ACCESS_KEY, Flaw, FlawedS3, SECRET_KEY};
use rustix::process::Signal;

use crate::lab::first_release;
use crate::log::Live;
use crate::log_rekor::record;
use crate::members::{BUCKET, Load, ORIGIN, PLACE, Place, Running, Told};

/// A process that does not start, and what it says.
#[track_caller]
fn refused(place: &Place, endpoint: &str, more: &[&str], code: Code) -> String {
    let (status, said) = Running::spawn(&mut place.command("127.0.0.1:0", endpoint, more)).end();
    assert!(said.starts_with(&format!("error[{code}]: ")), "{said}");
    assert_eq!(status.code(), Some(code.class().exit_status().into()), "{said}");
    said
}

/// The same command with another place.
fn elsewhere(place: &Place, other: &str, endpoint: &str, more: &[&str]) -> Command {
    let told = place.command("127.0.0.1:0", endpoint, more);
    let mut command = Command::new(told.get_program());
    command.env_clear().args(told.get_args().map(|arg| if arg == PLACE { other.as_ref() } else { arg }));
    command.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_lone_process_leads_and_goes_on_where_it_was() {
    let Some(place) = Place::new() else { return };
    let member = place.member(&[]);
    assert_eq!(member.leads(), 1);
    let mut http = member.connect();
    for number in 0..300u64 {
        assert_eq!(http.post("/add", format!("entry {number}").as_bytes()).index(), number);
    }
    assert_eq!(http.post("/add", b"entry 7").index(), 7, "a duplicate has the first index");
    member.publishes(300);
    let checkpoint = http.get("/checkpoint");
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    let tile = http.get("/tile/0/000");
    assert_eq!(tile.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let bundle = http.send("GET", "/tile/entries/000", "accept-encoding: gzip\r\n", b"");
    assert_eq!(bundle.header("content-encoding"), Some("gzip"));
    for private in ["/.countersign/leader", "/.countersign/wal/1/0", "/.countersign/admits", "/nothing"] {
        assert_eq!(http.get(private).status, 404, "{private}");
    }
    assert_eq!(member.metric("countersign_log_leader"), Some(1));
    let vkey = member.vkey.clone();
    let entries = place.proven(&member);
    member.terminate();
    // Given back, it is taken at once, however long one waits for the silent. On a new machine: nothing is cached.
    let start = Instant::now();
    let member = place.member(&[]);
    assert_eq!(member.leads(), 2);
    println!("a lead that was given back is taken in {:?}", start.elapsed());
    assert_eq!(member.vkey, vkey);
    let mut http = member.connect();
    assert_eq!(http.post("/add", b"entry 299").index(), 299);
    assert_eq!(http.post("/add", b"entry 300").index(), 300);
    member.publishes(301);
    assert_eq!(place.proven(&member)[..300], entries);
}

/// What helps a bucket is not what helps a folder: nobody makes `s3://..` writable.
#[test]
fn a_bucket_that_refuses_a_reader_is_told_as_one() {
    let Some(place) = Place::new() else { return };
    let member = place.member(&[]);
    member.leads();
    assert_eq!(member.connect().post("/add", b"entry").index(), 0);
    member.publishes(1);
    let fsck = |secret: &str| {
        place.lab.run_with(&["log", "fsck", PLACE, "--vkey", &member.vkey], |command| {
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret);
            command.env("AWS_ENDPOINT_URL", place.server.endpoint());
        })
    };
    fsck(SECRET_KEY).ok();
    let run = fsck("wrong").refused(code::STORE_SETTINGS_INVALID);
    let fix = run.json()["fix"].as_str().unwrap_or_default().to_owned();
    assert!(fix.contains("AWS_SECRET_ACCESS_KEY") && !fix.contains("writable"), "{}", run.text());
}

#[test]
fn a_front_end_passes_on_what_it_is_sent() {
    let Some(place) = Place::new() else { return };
    let leader = place.member(&[]);
    leader.leads();
    let front = place.member(&[]);
    front.follows(&leader);
    let mut http = front.connect();
    assert_eq!(http.post("/add", b"first").index(), 0);
    assert_eq!(leader.connect().post("/add", b"second").index(), 1);
    assert_eq!(http.post("/add", b"second").index(), 1);
    front.publishes(2);
    assert_eq!(http.get("/checkpoint").body, leader.connect().get("/checkpoint").body);
    let record = record(1);
    let answer = http.post("/api/v2/log/entries", record.as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("application/json")));
    assert_eq!(answer.json()["logIndex"], "2");
    // Refusals are the leader's, or the front end's own.
    let refusal = |answer: crate::log::Answer| (answer.status, answer.json()["code"].clone());
    let code = |status: u16, code: Code| (status, serde_json::Value::from(code.name()));
    assert_eq!(refusal(http.post("/add", b"")), code(400, code::LOG_ENTRY_MALFORMED));
    assert_eq!(refusal(http.post("/metadata/root", b"{}")), code(403, code::LOG_ENTRY_UNAUTHORISED));
    let large = front.connect().try_send("POST", "/add", "", &[7; 65_536]).unwrap();
    assert_eq!(refusal(large), code(413, code::LOG_ENTRY_TOO_LARGE));
    // One hop: what was passed on is not passed on again.
    let secret = place.server.bucket(BUCKET).join("log/.countersign/front-ends");
    let mark = format!("countersign-forwarded: {}\r\n", fs::read_to_string(secret).unwrap());
    let marked = http.send("POST", "/add", &mark, b"third");
    assert!(marked.header("retry-after").is_some());
    assert_eq!(refusal(marked), code(503, code::LOG_BUSY));
    let marked = leader.connect().send("POST", "/add", &mark, b"third");
    assert_eq!(marked.index(), 3);
    // A mark that somebody made up is none.
    assert_eq!(http.send("POST", "/add", "countersign-forwarded: 1\r\n", b"third").index(), 3);
    let again = front.connect().post("/add", b"third");
    assert_eq!(again.index(), 3);
    // `log add` knows no difference.
    let file = place.lab.path("note.txt");
    fs::write(&file, "a note").unwrap();
    let add = ["log", "add", &front.url, file.to_str().unwrap(), "--vkey", &front.vkey];
    assert_eq!(place.lab.run(&add).ok().json()["index"], 4);
    assert_eq!(front.metric("countersign_log_leader"), Some(0));
    assert_eq!(leader.metric("countersign_log_leader"), Some(1));
    assert!(front.metric("countersign_log_forwarded_total").unwrap() >= 4);
    assert_eq!(front.metric("countersign_log_durable_entries"), None, "only who leads knows that");
    place.proven(&front);
    // The front end ends without a word, and the leader stays.
    front.terminate();
    assert_eq!(leader.connect().post("/add", b"fifth").index(), 5);
}

/// Each address has its share, at whichever process it submits; a front end has no share of its own.
#[test]
fn submissions_are_counted_where_they_come_in() {
    let Some(place) = Place::new() else { return };
    let few = ["--per-address", "2"];
    let leader = place.member(&few);
    leader.leads();
    let (front, limited) = (place.member(&[]), place.member(&few));
    front.follows(&leader);
    limited.follows(&leader);
    let mut http = front.connect();
    for number in 0..30u64 {
        assert_eq!(http.post("/add", format!("entry {number}").as_bytes()).index(), number);
    }
    for (member, header) in [(&leader, ""), (&limited, ""), (&leader, "countersign-forwarded: 1\r\n")] {
        let mut http = member.connect();
        let mut send = || http.send("POST", "/add", header, b"entry 0");
        let refused = (0..30).map(|_| send()).find(|answer| answer.status != 200).unwrap();
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (429, true));
    }
    let (mine, theirs) = (
        limited.metric("countersign_log_forwarded_total"),
        leader.metric("countersign_log_duplicates_total"),
    );
    assert!(mine.unwrap() < 30 && theirs.unwrap() > 0, "{mine:?} {theirs:?}");
}

#[test]
fn a_front_end_without_a_leader_to_ask_says_so() {
    let Some(place) = Place::new() else { return };
    let leader = place.member(&["--advertise", ""]);
    leader.leads();
    let front = place.member(&[]);
    front.says(&["warning:", "--advertise"]);
    let answer = front.connect().post("/add", b"x");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some(code::LOG_BUSY.name())));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = front.connect().post("/api/v2/log/entries", record(1).as_bytes());
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (503, Some(14)), "as Rekor says it");
    // Gone, and nobody has taken its place yet: it is not asked in vain for long.
    leader.terminate();
    let leader = front;
    leader.leads();
    let front = place.member(&[]);
    front.follows(&leader);
    leader.kill();
    let answer = front.connect().post("/add", b"x");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn another_leads_soon_after_a_kill_under_load() {
    let Some(place) = Place::new() else { return };
    let short = ["--takeover-after", "1"];
    let first = place.member(&short);
    assert_eq!(first.leads(), 1);
    // It alone takes over; the third waits for longer.
    let second = place.member(&short);
    let third = place.member(&["--takeover-after", "30"]);
    second.follows(&first);
    third.follows(&first);
    let told = Arc::new(Told::default());
    let load = Load::start(&told, &[&first.url, &second.url, &third.url], 6);
    Load::goes_on(&told, 100);
    let start = Instant::now();
    first.kill();
    assert_eq!(second.leads(), 2);
    let led = start.elapsed();
    told.insist(&[&second.url], b"the first after the kill");
    println!("killed: another leads after {led:?}, takes entries after {:?}", start.elapsed());
    third.follows(&second);
    Load::goes_on(&told, 100);
    load.end();
    place.holds(&third, &told);
    assert_eq!(third.metric("countersign_log_handovers_total"), Some(1));
    assert_eq!(third.metric("countersign_log_epoch"), Some(2));
}

/// Alone and killed, it comes back: to itself it is nobody to pass submissions on to.
#[test]
fn a_lone_process_that_was_killed_waits_for_its_own_lead_to_end() {
    let Some(place) = Place::new() else { return };
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{at}");
    let args = ["--takeover-after", "2", "--advertise", &url];
    let member = place.member(&args);
    member.leads();
    member.kill();
    let member = place.member(&args);
    member.says(&["waiting for the lead", "(epoch 1)"]);
    let answer = member.connect().post("/add", b"x");
    // It may lead by now.
    assert!(answer.status == 503 && answer.header("retry-after").is_some() || member.has_led() == Some(2));
    assert_eq!(member.leads(), 2);
    assert_eq!(member.connect().post("/add", b"x").index(), 0);
    assert!(!member.has_said("front end"));
}

/// SIGTERM under load: every answer that went out is kept, and the next one leads at once.
#[test]
fn a_leader_that_is_told_to_end_gives_the_lead_back() {
    let Some(place) = Place::new() else { return };
    let mut leader = place.member(&[]);
    let told = Arc::new(Told::default());
    for epoch in 1..=3 {
        assert_eq!(leader.leads(), epoch);
        let next = place.member(&[]);
        next.follows(&leader);
        let load = Load::start(&told, &[&leader.url, &next.url], 4);
        Load::goes_on(&told, 40);
        let start = Instant::now();
        leader.signal(if epoch == 2 { Signal::INT } else { Signal::TERM });
        let (status, said) = leader.end();
        assert!(status.success(), "{said}");
        assert_eq!(next.leads(), epoch + 1);
        println!("told to end: another leads after {:?}", start.elapsed());
        Load::goes_on(&told, 40);
        load.end();
        place.holds(&next, &told);
        leader = next;
    }
}

#[test]
fn metadata_is_admitted_in_a_bucket_too() {
    let Some(place) = Place::new() else { return };
    let leader = place.member(&["--admit", "metadata"]);
    leader.leads();
    let front = place.member(&["--admit", "metadata"]);
    front.follows(&leader);
    let mut sim = first_release();
    let mut http = front.connect();
    for (index, role) in ["root", "targets", "node", "snapshot"].iter().enumerate() {
        let answer = http.post(&format!("/metadata/{role}"), &sim.envelope(role));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["index"].as_u64(), Some(index as u64));
    }
    assert_eq!(http.post("/metadata/%2e%2e", b"{}").status, 400);
    assert_eq!(http.post("/metadata/nobody", &sim.envelope("node")).status, 403);
    assert_eq!(http.post("/add", b"x").status, 403);
    // The next leader knows what was admitted.
    leader.terminate();
    assert_eq!(front.leads(), 2);
    let again = http.post("/metadata/node", &sim.envelope("node"));
    assert_eq!(again.json()["index"].as_u64(), Some(2));
    sim.add_release("1.1.0", "node", b"1.1.0");
    assert_eq!(http.post("/metadata/node", &sim.envelope("node")).status, 409, "a version has one content");
    let next = sim.version("node") + 1;
    sim.set_version("node", next);
    let answer = http.post("/metadata/node", &sim.envelope("node"));
    assert_eq!((answer.status, answer.json()["index"].as_u64()), (200, Some(4)), "{}", answer.text());
    front.publishes(5);
    place.proven(&front);
}

#[test]
fn records_are_admitted_in_a_bucket_too() {
    let Some(place) = Place::new() else { return };
    let leader = place.member(&["--admit", "rekor"]);
    leader.leads();
    let front = place.member(&["--admit", "rekor"]);
    front.follows(&leader);
    let records: Vec<String> = (0..3).map(record).collect();
    for (number, member) in [(0, &leader), (1, &front), (2, &leader), (1, &leader), (2, &front)] {
        let answer = member.connect().post("/api/v2/log/entries", records[number].as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["logIndex"].as_str(), Some(&*number.to_string()));
    }
    assert_eq!(front.connect().post("/add", b"x").status, 403);
    place.proven(&front);
}

#[test]
fn a_witness_that_is_away_is_told_of_when_it_goes_and_when_it_is_back() {
    let Some(place) = Place::new() else { return };
    let lab = &place.lab;
    let (logs, dir) = (lab.path("logs"), lab.path("witness"));
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let serve = ["witness", "serve", dir.to_str().unwrap(), "--listen", &address];
    let named = ["--name", "w.example/1", "--unencrypted", "--logs", logs.to_str().unwrap()];
    fs::write(&logs, "").unwrap();
    let witness = || Live::start(lab, &[&serve[..], &named].concat());
    let live = witness();
    let spec = format!("{} {}", live.vkey, live.url);
    drop(live);
    let leader = place.member(&["--witness", &spec]);
    leader.leads();
    fs::write(&logs, format!("{}\n", leader.vkey)).unwrap();
    assert_eq!(leader.connect().post("/add", b"first").index(), 0);
    leader.says(&["warning: witness `w.example/1`"]);
    leader.says(&["warning: entries are taken and not published, for want of `w.example/1`"]);
    let _live = witness();
    leader.says(&["witness `w.example/1` cosigns again"]);
    leader.says(&["published again, 1 entry"]);
    leader.publishes(1);
}

#[test]
fn a_bucket_that_lets_two_writers_win_is_refused() {
    let Some(place) = Place::new() else { return };
    let server = FlawedS3::start(Flaw::Racy);
    let said = refused(&place, &server.endpoint(), &["--origin", ORIGIN], code::STORE_NOT_ATOMIC);
    assert!(said.contains(PLACE), "{said}");
    assert!(server.paths().is_empty(), "nothing was written: {:?}", server.paths());
}

#[test]
fn a_mistyped_place_begins_no_second_history() {
    let Some(place) = Place::new() else { return };
    let endpoint = place.server.endpoint();
    let leader = place.member(&[]);
    leader.leads();
    let at = |other: &str, more: &[&str]| {
        let (status, said) = Running::spawn(&mut elsewhere(&place, other, &endpoint, more)).end();
        assert_eq!(status.code(), Some(2), "{said}");
        said
    };
    let said = at("s3://transparency/lgo", &[]);
    assert!(said.contains("there is no log in s3://transparency/lgo"), "{said}");
    let said = at("s3://transparency/lgo", &["--origin", ORIGIN]);
    assert!(said.contains(PLACE), "{said}");
    let said = at("s3://transparency/log/a/b", &["--origin", ORIGIN]);
    assert!(said.contains("inside of s3://transparency/log,"), "{said}");
    // With the same key at the same place it is one of the log's processes, and need not name it.
    place.member(&["--origin", ""]).follows(&leader);
}

#[test]
fn what_cannot_work_is_told_at_the_start() {
    let Some(place) = Place::new() else { return };
    let endpoint = place.server.endpoint();
    let leader = place.member(&[]);
    leader.leads();
    leader.connect().post("/add", b"first").index();
    leader.publishes(1);
    refused(&place, &endpoint, &["--admit", "rekor"], code::USAGE);
    refused(&place, &endpoint, &["--origin", "other.example"], code::USAGE);
    refused(&place, &endpoint, &["--advertise", "http://198.51.100.7:80"], code::FETCH_TLS_REQUIRED);
    refused(&place, &endpoint, &["--advertise", "log-1"], code::FETCH_URL_REFUSED);
    refused(&place, &endpoint, &["--takeover-after", "0"], code::USAGE);
    let said = refused(&place, "http://198.51.100.7:80", &[], code::STORE_SETTINGS_INVALID);
    assert!(said.contains("write it as https://"), "{said}");
    // Credentials that may not, and a bucket that is not there: waiting does not help.
    let mut stranger = place.command("127.0.0.1:0", &endpoint, &[]);
    let (status, said) = Running::spawn(stranger.env("AWS_SECRET_ACCESS_KEY", "another")).end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains(code::STORE_SETTINGS_INVALID.name()) && said.contains("AWS_SECRET_ACCESS_KEY"),
        "{said}"
    );
    let (status, said) =
        Running::spawn(&mut elsewhere(&place, "s3://no-such-bucket/log", &endpoint, &[])).end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("make the bucket"), "{said}");
    // A bucket that nobody reaches.
    let waiting = Running::spawn(&mut place.command("127.0.0.1:0", "http://127.0.0.1:1", &[]));
    waiting.says(&["warning: the bucket does not answer", "trying for up to"]);
    // The caches of two processes are two.
    let first_cache = fs::read_dir(place.lab.path("")).unwrap().map(|entry| entry.unwrap().path());
    let first_cache = first_cache.filter(|path| path.to_string_lossy().contains("/cache-")).min().unwrap();
    let mut same = place.command("127.0.0.1:0", &endpoint, &[]);
    same.arg("--cache").arg(&first_cache);
    let (status, said) = Running::spawn(&mut same).end();
    assert_eq!(status.code(), Some(2), "{said}");
    // Another key than the log's, and none.
    let other = place.lab.path("other-keys");
    place.make_key(other.to_str().unwrap());
    fs::rename(place.lab.path("keys"), place.lab.path("right-keys")).unwrap();
    fs::rename(&other, place.lab.path("keys")).unwrap();
    let said = refused(&place, &endpoint, &[], code::LOG_KEY_UNKNOWN);
    assert!(said.contains(&format!("{PLACE} holds the log {ORIGIN} (key ")), "{said}");
    assert!(said.contains("--keys") && !said.contains("publisher"), "{said}");
    fs::remove_dir_all(place.lab.path("keys")).unwrap();
    let (status, said) = Running::spawn(&mut place.command("127.0.0.1:0", &endpoint, &[])).end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(!said.contains("repository"), "{said}");
    assert!(!place.lab.path("keys").exists(), "no key is made for a log that has one");
    // In a folder these mean nothing.
    let dir = place.lab.path("dir");
    let serve = ["log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0", "--takeover-after", "5"];
    place.lab.run(&serve).refused(code::USAGE);
    assert!(!dir.exists());
}
