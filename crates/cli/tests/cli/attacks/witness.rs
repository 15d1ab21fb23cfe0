//! Row L03: what a log tries that has forked, against `countersign witness serve` over its socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_base::Sha256Digest;
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{Named, SimLog, to_base64};
use countersign_testkit::sim::{ORIGIN, Sim};
use serde_json::Value;

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
    fn start(lab: &Lab, log: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .env_clear()
            .args(["--json", "witness", "serve"])
            .arg(lab.path("witness"))
            .args(["--name", NAME, "--listen", "127.0.0.1:0", "--unencrypted", "--log", log])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address }
    }

    /// Sends a request and does not wait for the answer.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        stream
    }

    fn add(&self, body: &str) -> Answer {
        answer(self.send("POST", "/add-checkpoint", body)).unwrap()
    }

    /// Size and root of the latest checkpoint that it cosigned.
    fn latest(&self) -> Option<(u64, String)> {
        let path = format!("/{}/checkpoint", sha256(ORIGIN.as_bytes()));
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
        Witness::start(&self.lab, &self.named("log").vkey(1))
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

#[test]
fn l03_h_killed_at_any_moment_it_never_signs_smaller_or_other() {
    let scene = Scene::new();
    let mut witness = scene.witness();
    assert_eq!(witness.add(&scene.request(&scene.log, 0, 8)).status, 200);
    let mut size = 8;
    for round in 0..8 {
        let stream = witness.send("POST", "/add-checkpoint", &scene.request(&scene.log, size, size + 1));
        std::thread::sleep(Duration::from_micros(250 * round * round));
        witness.child.kill().unwrap();
        witness.child.wait().unwrap();
        let answer = answer(stream);
        witness = scene.witness();
        let (latest, root) = witness.latest().unwrap();
        assert!(latest == size || latest == size + 1, "from {size} to {latest}");
        if answer.is_some_and(|answer| answer.status == 200) {
            assert_eq!(latest, size + 1, "what was cosigned is remembered");
        }
        size = latest;
        assert_eq!(root, to_base64(scene.log.root(size).as_bytes()));
        // Neither a smaller tree, nor another one of this size or above.
        assert_eq!(witness.add(&scene.request(&scene.log, size - 1, size - 1)).status, 409);
        let mut other = scene.log.clone();
        other.entries[2] = b"other".to_vec();
        assert_eq!(witness.add(&scene.request(&other, size, size)).status, 422);
        assert_eq!(witness.add(&scene.request(&other, size, size + 1)).status, 422);
        assert_eq!(witness.latest().unwrap(), (size, root));
    }
    assert_eq!(witness.add(&scene.request(&scene.log, size, 30)).status, 200);
}
