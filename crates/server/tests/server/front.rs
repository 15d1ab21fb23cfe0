//! A front end of a log that another process leads, and strangers who want it shut.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_base::Timestamp;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_log::{Candidate, LogKey, Publication, Seen, Sequencer, Settings, SharedPlace, Turn};
use countersign_server::{Admits, LogService, ServeError, ServeLogError, SharedLogParts, serve_shared_log};
use countersign_testkit::shared_store::{Process, Script, SharedStore};

use crate::live::Live;

const LONG: Duration = Duration::from_secs(3600);
const SECRET: &str = "what the log's processes know";

fn now() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

fn candidate(process: &Process, cache: &Path, url: &str) -> Candidate {
    let key = SecretKey::from_seed(Algorithm::Ed25519, &[1; 32]).unwrap();
    let place = SharedPlace {
        objects: process.objects(),
        leader: process.cell(SharedPlace::LEADER),
        checkpoint: process.cell(SharedPlace::CHECKPOINT),
        cache: cache.to_owned(),
    };
    Candidate::new(place, LogKey::new("log.example/1", Box::new(key)).unwrap(), Some(url.to_owned()), LONG)
        .unwrap()
}

/// What answers every submission with its length, and counts on having been asked by one of the log's processes.
fn leader() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    url
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut marked, mut line) = (0, false, String::new());
        while reader.read_line(&mut line)? > 2 {
            let lower = line.trim().to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            marked |= lower == format!("countersign-forwarded: {}", SECRET.to_lowercase());
            line.clear();
        }
        reader.read_exact(&mut vec![0; length])?;
        let (status, body) = if marked { (200, length.to_string()) } else { (500, String::new()) };
        write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// A front end, and the log that another process leads.
struct Stage {
    live: Live,
    _led: Box<Sequencer>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn start(admits: Admits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SharedStore::default();
        let (first, second) = (store.process(Script::good()), store.process(Script::good()));
        let mut leading = candidate(&first, folder.path(), &leader());
        assert_eq!(leading.look(Instant::now()).unwrap(), Seen::Free);
        let Turn::Ours(led) = leading.lead(now()).unwrap() else { panic!("it was free") };
        let parts = SharedLogParts {
            candidate: candidate(&second, folder.path(), "http://127.0.0.1:1/"),
            look: Duration::from_millis(20),
            public: second.objects(),
            key: led.key().verifier().clone(),
            url: None,
            secret: SECRET.to_owned(),
            service: LogService {
                admits,
                publication: Publication::Unwitnessed,
                settings: Settings::default(),
                address_rate: None,
                clock: Arc::new(now),
                tell: Arc::new(|_| {}),
            },
        };
        let live = Live::start(move |listening, until| match serve_shared_log(parts, listening, until) {
            Ok(()) => Ok(()),
            Err(ServeLogError::Serve(error)) => Err(error),
            Err(error) => Err(ServeError::System(std::io::Error::other(error.to_string()))),
        });
        let stage = Self { live, _led: led, _folder: folder };
        let start = Instant::now();
        let path = if admits == Admits::Metadata { "/metadata/root" } else { "/add" };
        while stage.post(path, "", 1).0 != 200 {
            assert!(start.elapsed() < Duration::from_secs(30), "the leader is never seen");
            std::thread::sleep(Duration::from_millis(5));
        }
        stage
    }

    /// Begins a submission of so many bytes, and sends none.
    fn begin(&self, path: &str, headers: &str, length: usize) -> TcpStream {
        let mut stream = self.live.connect();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}").unwrap();
        write!(stream, "content-length: {length}\r\n\r\n").unwrap();
        stream
    }

    /// Status and body.
    fn post(&self, path: &str, headers: &str, length: usize) -> (u16, String) {
        let mut stream = self.begin(path, headers, length);
        stream.write_all(&vec![b'x'; length]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

#[test]
fn slow_senders_keep_no_turn_from_others() {
    let stage = Stage::start(Admits::Anything);
    let mut slow: Vec<TcpStream> = (0..80).map(|_| stage.begin("/add", "", 3)).collect();
    for stream in &mut slow {
        stream.write_all(b"x").unwrap();
    }
    for _ in 0..5 {
        assert_eq!(stage.post("/add", "", 500), (200, "500".to_owned()));
    }
    // When they are whole, they are passed on as well.
    let mut last = slow.pop().unwrap();
    last.write_all(b"xx").unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n3"), "{answer}");
    drop(slow);
    stage.live.stop().unwrap();
}

#[test]
fn who_announces_large_bodies_and_sends_none_keeps_no_memory_from_others() {
    let stage = Stage::start(Admits::Metadata);
    let path = "/metadata/root";
    let idle: Vec<TcpStream> = (0..40).map(|_| stage.begin(path, "", 8 * 1024 * 1024)).collect();
    for _ in 0..5 {
        assert_eq!(stage.post(path, "", 300_000), (200, "300000".to_owned()));
    }
    drop(idle);
    stage.live.stop().unwrap();
}

#[test]
fn only_a_mark_of_this_log_s_is_one() {
    let stage = Stage::start(Admits::Anything);
    for value in ["x", "", "what the log's processes kno", "what the log's processes know it"] {
        let marked = format!("countersign-forwarded: {value}\r\n");
        assert_eq!(stage.post("/add", &marked, 4), (200, "4".to_owned()), "{value:?}");
    }
    let marked = format!("countersign-forwarded: {SECRET}\r\n");
    assert_eq!(stage.post("/add", &marked, 4).0, 503, "this one does not lead");
    stage.live.stop().unwrap();
}
