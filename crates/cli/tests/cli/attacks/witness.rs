//! Row L03: what a log tries that has forked, against `countersign witness serve` over its socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_base::Sha256Digest;
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{Named, SimLog, to_base64};
use countersign_testkit::sim::{ORIGIN, Sim};

use crate::lab::{Lab, now};

const NAME: &str = "witness.example/w1";

/// A witness process; killed when the test ends.
struct Witness {
    child: Child,
    address: String,
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer: status, content type, body.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

impl Witness {
    fn start(lab: &Lab, more: &[&str]) -> Self {
        let (child, stdout) = Self::spawn(lab, more);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address }
    }

    fn spawn(lab: &Lab, more: &[&str]) -> (Child, ChildStdout) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .env_clear()
            .args(["witness", "serve"])
            .arg(lab.path("witness"))
            .args(["--name", NAME, "--listen", "127.0.0.1:0", "--unencrypted"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        (child, stdout)
    }

    /// Sends SIGKILL.
    fn kill(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    }

    /// Sends a request and does not wait for the answer.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        self.try_send(method, path, body).unwrap()
    }

    fn try_send(&self, method: &str, path: &str, body: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.address
        )
        .ok()?;
        Some(stream)
    }

    fn add(&self, body: &str) -> Answer {
        answer(self.send("POST", "/add-checkpoint", body)).unwrap()
    }

    /// Size and root of the latest checkpoint that it cosigned.
    fn latest(&self) -> Option<(u64, String)> {
        self.latest_of(ORIGIN)
    }

    fn latest_of(&self, origin: &str) -> Option<(u64, String)> {
        let path = format!("/{}/checkpoint", sha256(origin.as_bytes()));
        let answer = answer(self.send("GET", &path, "")).unwrap();
        let mut lines = answer.body.lines();
        (answer.status == 200)
            .then(|| (lines.nth(1).unwrap().parse().unwrap(), lines.next().unwrap().to_owned()))
    }
}

/// The answer on a connection; `None` if it broke.
fn answer(mut stream: TcpStream) -> Option<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let field = |line: &str| line.to_lowercase().strip_prefix("content-type: ").map(str::to_owned);
    let content_type = head.lines().find_map(field).unwrap_or_default();
    Some(Answer { status, content_type, body: body.to_owned() })
}

/// A log of twenty entries, and another one that begins with the same eight.
struct Scene {
    lab: Lab,
    sim: Sim,
    log: SimLog,
    fork: SimLog,
}

impl Scene {
    fn new() -> Self {
        let mut sim = Sim::new(now());
        sim.add_key("stranger");
        let entries = |word: &str| (0..30).map(|number| format!("{word} {number}").into_bytes()).collect();
        let log = SimLog { origin: ORIGIN.to_owned(), entries: entries("entry") };
        let mut fork = SimLog { origin: ORIGIN.to_owned(), entries: entries("other") };
        fork.entries[..8].clone_from_slice(&log.entries[..8]);
        Self { lab: Lab::new(), sim, log, fork }
    }

    fn witness(&self) -> Witness {
        Witness::start(&self.lab, &["--log", &self.named("log").vkey(1)])
    }

    fn named(&self, key: &str) -> Named<'_> {
        Named { name: ORIGIN, key: &self.sim.keys[key] }
    }

    fn request(&self, log: &SimLog, old: u64, new: u64) -> String {
        let note = log.checkpoint(new, self.named("log"), &[], self.sim.now);
        request(old, &log.consistency(old, new), &note)
    }
}

fn request(old: u64, proof: &[Sha256Digest], note: &str) -> String {
    let hashes: String = proof.iter().map(|hash| format!("{}\n", to_base64(hash.as_bytes()))).collect();
    format!("old {old}\n{hashes}\n{note}")
}

#[test]
fn l03_a_to_f_each_refusal_has_its_status() {
    let scene = Scene::new();
    let witness = scene.witness();
    let (log, fork) = (&scene.log, &scene.fork);
    assert_eq!(witness.add(&scene.request(log, 0, 8)).status, 200);
    let seen = witness.latest();

    let note = log.checkpoint(20, scene.named("log"), &[], scene.sim.now);
    let proof = log.consistency(8, 20);
    let other = SimLog { origin: "log.example/other".to_owned(), ..log.clone() };
    let other =
        other.checkpoint(20, Named { name: "log.example/other", ..scene.named("log") }, &[], scene.sim.now);
    let surplus = [&proof[..], &proof[..1]].concat();
    let cases = [
        ("(a) unknown origin", 404, request(8, &proof, &other)),
        (
            "(b) other key",
            403,
            request(8, &proof, &log.checkpoint(20, scene.named("stranger"), &[], scene.sim.now)),
        ),
        ("(b) broken signature", 403, request(8, &proof, &note.replacen("\n20\n", "\n19\n", 1))),
        (
            "(c) old above the size",
            400,
            request(9, &[], &log.checkpoint(8, scene.named("log"), &[], scene.sim.now)),
        ),
        ("(d) stale old", 409, scene.request(log, 3, 20)),
        ("(d) old of the future", 409, scene.request(log, 12, 20)),
        ("(e) proof of another size", 422, request(8, &log.consistency(7, 20), &note)),
        ("(e) surplus proof", 422, request(8, &surplus, &note)),
        ("(e) no proof", 422, request(8, &[], &note)),
        ("(e) fork", 422, request(8, &proof, &fork.checkpoint(20, scene.named("log"), &[], scene.sim.now))),
        ("(f) other root", 422, {
            let mut other = log.clone();
            other.entries[3] = b"other".to_vec();
            scene.request(&other, 8, 8)
        }),
        ("no request", 400, "old 8\n".to_owned()),
    ];
    for (case, status, request) in cases {
        let answer = witness.add(&request);
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        if status == 409 {
            assert_eq!(
                (answer.content_type.as_str(), answer.body.as_str()),
                ("text/x.tlog.size", "8\n"),
                "{case}"
            );
        }
        assert_eq!(witness.latest(), seen, "{case}");
    }
    assert_eq!(witness.add(&scene.request(log, 8, 20)).status, 200, "the honest request right after");
    assert_eq!(witness.latest().unwrap().0, 20);
}

#[test]
fn l03_g_of_two_requests_from_one_size_one_wins() {
    let scene = Scene::new();
    let witness = scene.witness();
    assert_eq!(witness.add(&scene.request(&scene.log, 0, 8)).status, 200);
    // The two forks at once, several times each.
    let requests: Vec<(&SimLog, String)> = (0..8)
        .map(|number| if number % 2 == 0 { &scene.log } else { &scene.fork })
        .map(|log| (log, scene.request(log, 8, 20)))
        .collect();
    let streams: Vec<_> =
        requests.iter().map(|(_, request)| witness.send("POST", "/add-checkpoint", request)).collect();
    let answers: Vec<Answer> = streams.into_iter().map(|stream| answer(stream).unwrap()).collect();
    let winner = witness.latest().unwrap();
    assert_eq!(winner.0, 20);
    for ((log, _), answer) in requests.iter().zip(&answers) {
        let won = to_base64(log.root(20).as_bytes()) == winner.1;
        assert!(won || answer.status == 409, "the loser gets no cosignature: {answer:?}");
        assert!([200, 409].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
}

/// Logs of one key that differ in their names.
const CROWD: [&str; 4] = ["log.example/a", "log.example/b", "log.example/c", "log.example/d"];

/// Asks for one entry more each time until the witness is gone; the last size that has a cosignature.
fn grow(witness: &Witness, request: impl Fn(u64) -> String, from: u64, answered: &AtomicUsize) -> u64 {
    let mut size = from;
    let send = |size| answer(witness.try_send("POST", "/add-checkpoint", &request(size))?);
    while let Some(answer) = send(size) {
        assert_eq!(answer.status, 200, "{answer:?}");
        size += 1;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    size
}

#[test]
fn l03_h_killed_under_load_it_never_signs_smaller_or_other() {
    let scene = Scene::new();
    let key = &scene.sim.keys["log"];
    let vkeys = CROWD.map(|name| Named { name, key }.vkey(1));
    let flags: Vec<&str> = vkeys.iter().flat_map(|vkey| ["--log", vkey]).collect();
    let entries: Vec<Vec<u8>> = (0..2_000).map(|number: u32| number.to_be_bytes().to_vec()).collect();
    let log = |origin: &str| SimLog { origin: origin.to_owned(), entries: entries.clone() };
    let ask = |log: &SimLog, old: u64, new: u64| {
        let note = log.checkpoint(new, Named { name: &log.origin, key }, &[], scene.sim.now);
        request(old, &log.consistency(old, new), &note)
    };
    let mut sizes = [0; 4];
    for round in 0..8 {
        let mut witness = Witness::start(&scene.lab, &flags);
        let answered = AtomicUsize::new(0);
        let told = std::thread::scope(|scope| {
            let (witness, answered, log, ask) = (&witness, &answered, &log, &ask);
            let growing: Vec<_> = CROWD
                .iter()
                .zip(sizes)
                .map(|(origin, from)| {
                    scope.spawn(move || {
                        let log = log(origin);
                        grow(witness, |size| ask(&log, size, size + 1), from, answered)
                    })
                })
                .collect();
            // Somewhere in the work of the next requests.
            while answered.load(Ordering::SeqCst) < 5 + round {
                std::thread::yield_now();
            }
            witness.kill();
            growing.into_iter().map(|log| log.join().unwrap()).collect::<Vec<_>>()
        });
        witness.child.wait().unwrap();
        let witness = Witness::start(&scene.lab, &flags);
        for (number, origin) in CROWD.iter().enumerate() {
            let log = log(origin);
            let held = witness.latest_of(origin).map_or(0, |(size, _)| size);
            assert!(held == told[number] || held == told[number] + 1, "{held} after {told:?}");
            sizes[number] = held;
            let Some((_, root)) = witness.latest_of(origin) else { continue };
            assert_eq!(root, to_base64(log.root(held).as_bytes()));
            // Neither a smaller tree, nor another one of this size or above.
            assert_eq!(witness.add(&ask(&log, held - 1, held - 1)).status, 409);
            let mut other = log.clone();
            other.entries[0] = b"other".to_vec();
            assert_eq!(witness.add(&ask(&other, held, held)).status, 422);
            assert_eq!(witness.add(&ask(&other, held, held + 1)).status, 422);
            assert_eq!(witness.latest_of(origin).unwrap(), (held, root));
        }
    }
    assert!(sizes.iter().sum::<u64>() >= 50, "{sizes:?}");
}

#[test]
fn l03_g_a_second_process_does_not_get_the_state() {
    let scene = Scene::new();
    let first = scene.witness();
    let (mut second, mut stdout) = Witness::spawn(&scene.lab, &[]);
    assert_eq!(second.wait().unwrap().code(), Some(3));
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    second.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("log-writer-conflict"), "{said}");
    assert_eq!(first.add(&scene.request(&scene.log, 0, 8)).status, 200);
}

/// The key for ML-DSA-44 is made when it is wanted, and used from then on.
#[test]
fn l03_a_witness_with_two_keys_gives_two_lines() {
    let scene = Scene::new();
    let vkey = scene.named("log").vkey(1);
    let lines = |answer: &Answer| answer.body.lines().map(str::len).collect::<Vec<_>>();
    let witness = scene.witness();
    let one = witness.add(&scene.request(&scene.log, 0, 8));
    assert_eq!((one.status, lines(&one).len()), (200, 1));
    drop(witness);
    let witness = Witness::start(&scene.lab, &["--log", &vkey, "--post-quantum"]);
    let two = witness.add(&scene.request(&scene.log, 8, 9));
    let lengths = lines(&two);
    assert_eq!((two.status, lengths.len()), (200, 2));
    assert!(lengths[0] < 200 && lengths[1] > 3_000, "Ed25519 first: {lengths:?}");
    drop(witness);
    assert_eq!(lines(&scene.witness().add(&scene.request(&scene.log, 9, 10))).len(), 2);
}

/// A list that does not read changes nothing and is told; one that does is in force, at SIGHUP and when it has changed.
#[test]
fn l03_a_the_list_of_logs_is_read_again() {
    let scene = Scene::new();
    let (list, vkey) = (scene.lab.path("logs"), scene.named("log").vkey(1));
    std::fs::write(&list, format!("{vkey}\n")).unwrap();
    let mut witness = Witness::start(&scene.lab, &["--log-list", list.to_str().unwrap()]);
    assert_eq!(witness.add(&scene.request(&scene.log, 0, 8)).status, 200);
    let mut told = BufReader::new(witness.child.stderr.take().unwrap());
    let mut hear = |what: &str| {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "nothing was told of {what}");
        }
    };
    std::fs::write(&list, "no key\n").unwrap();
    hear("the list of logs is used as it was");
    assert_eq!(witness.add(&scene.request(&scene.log, 8, 9)).status, 200, "the old list is in force");
    std::fs::write(&list, format!("logs/v0\nvkey nonsense\nvkey {vkey}\norigin log.example/elsewhere\n"))
        .unwrap();
    hear("1 logs of the list are left out, the first on line 2");
    let signal = |name: &str| {
        let id = witness.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-HUP");
    hear("1 logs of the list are left out, the first on line 2");
    assert_eq!(witness.add(&scene.request(&scene.log, 9, 10)).status, 404, "the new list has another origin");
}

/// C2SP lets a witness be called what no holder of a key can be; the name is kept beside the keys.
#[test]
fn a_witness_keeps_any_name_that_a_vkey_can_carry() {
    let lab = Lab::new();
    let name = format!("witness.example/(one);{}", "x".repeat(80));
    let first_lines = |more: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .env_clear()
            .args(["witness", "serve"])
            .arg(lab.path("witness"))
            .args(["--listen", "127.0.0.1:0", "--unencrypted"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
        let lines: Vec<String> = lines.map(Result::unwrap).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        lines
    };
    let vkey = first_lines(&["--name", &name]).pop().unwrap();
    assert!(vkey.starts_with(&format!("vkey {name}+")), "{vkey}");
    assert_eq!(first_lines(&[]).pop().unwrap(), vkey);
    assert_eq!(first_lines(&["--name", &name]).pop().unwrap(), vkey);
    let (dir, other) = (lab.path("witness"), "witness.example/two");
    let other = ["witness", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0", "--name", other];
    lab.run(&other).refused(countersign_base::code::USAGE);
}
