//! Row D02 for the URLs that there are: a repository's, and where a redirect leads. Issuers and keys that name URLs come
//! with attestations, so no test here has the row's name.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_base::{Code, code};

use crate::lab::{Lab, REPO};
use crate::mirror::{Answer, Mirror};
use crate::publisher::{Publisher, active, everything, file_url, files};

/// Counts who connects to it.
struct Target {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Target {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            while listener.accept().is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }

    #[track_caller]
    fn untouched(&self, why: &str) {
        assert_eq!(self.connections.load(Ordering::SeqCst), 0, "no packet to the target: {why}");
    }
}

/// URLs that no repository has; `PORT` is the listener's.
fn never_fetched() -> Vec<(&'static str, Code)> {
    vec![
        ("http://example.org/", code::FETCH_TLS_REQUIRED),
        ("http://10.0.0.1:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://169.254.169.254/latest/meta-data", code::FETCH_TLS_REQUIRED),
        ("http://0.0.0.0:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://127.0.0.1.example.org:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://localhost.example.org:PORT/", code::FETCH_TLS_REQUIRED),
        // Other ways to write an address of this machine, which some resolvers take.
        ("http://2130706433:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://127.1:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://0x7f000001:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://[::ffff:127.0.0.1]:PORT/", code::FETCH_TLS_REQUIRED),
        ("http://user:pass@127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("https://user@127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT@example.org/", code::FETCH_URL_REFUSED),
        ("http://example.org\\@127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT/?q=1", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT/#f", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT/a/../b", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT/a/%2e%2e/b", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:PORT/a b", code::FETCH_URL_REFUSED),
        ("http://127.0.0.1:0/", code::FETCH_URL_REFUSED),
        ("http:///127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("ftp://127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("gopher://127.0.0.1:PORT/", code::FETCH_URL_REFUSED),
        ("data:text/plain,x", code::FETCH_URL_REFUSED),
        ("file://127.0.0.1/etc", code::FETCH_URL_REFUSED),
    ]
}

#[test]
fn urls_that_no_repository_has_are_refused_unasked() {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    let target = Target::new();
    for (url, code) in never_fetched() {
        let url = url.replace("PORT", &target.port.to_string());
        let run = machine.run(&["trust", "add", "other", &url, publisher.anchor()]);
        assert_eq!(run.json()["code"], code.name(), "{url}: {}", run.text());
        run.refused(code);
        target.untouched(&url);
        assert!(!machine.path("home/repos/other").exists(), "{url}");
    }
    // What the user names stays allowed: a folder, and this machine.
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    let mirror = Mirror::start(&publisher.repo(), |_| Answer::Honest);
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    machine.node("install").ok();
    // An address is changed as strictly as it is given.
    let before = machine.state();
    for (url, code) in never_fetched() {
        let url = url.replace("PORT", &target.port.to_string());
        machine.run(&["trust", "set-url", REPO, &url]).refused(code);
        target.untouched(&url);
    }
    assert!(machine.state() == before);
    machine.node("update").ok();
}

/// Where a server sends its readers; `PORT` is the listener's, `SELF` the server's own port.
const ELSEWHERE: [&str; 15] = [
    "http://127.0.0.1:PORT/x",
    "http://localhost:PORT/x",
    "http://localhost:SELF/x",
    "http://[::1]:PORT/x",
    "//127.0.0.1:PORT/x",
    "http://user:pass@127.0.0.1:PORT/x",
    "http://127.0.0.1:SELF@127.0.0.1:PORT/x",
    "http://127.0.0.1:SELF.example.org/x",
    "https://127.0.0.1:PORT/x",
    "https://127.0.0.1:SELF/x",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x",
    "file:///etc/passwd",
    "ftp://127.0.0.1:PORT/x",
    "",
];

#[test]
fn redirects_to_elsewhere_are_refused_unasked() {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    machine.node("install").ok();
    publisher.release("1.1.0").ok();
    let target = Target::new();
    // Each kind of file that is asked for, in turn: once one came rightly, it is not asked for again.
    let files_asked = ["timestamp.json", "snapshot.json", ".tlog-proof", "data.bin"];
    let cases =
        files_asked.iter().flat_map(|file| ELSEWHERE.iter().map(move |elsewhere| (*file, *elsewhere)));
    for (number, (file, elsewhere)) in cases.enumerate() {
        let (port, status) = (target.port, [301, 302, 303, 307, 308][number % 5]);
        let redirect = elsewhere.replace("PORT", &port.to_string());
        let mirror = Mirror::start(&publisher.repo(), move |request| {
            if !request.path.ends_with(file) {
                return Answer::Honest;
            }
            let redirect = redirect.clone();
            Answer::Raw(Box::new(move |mut stream| {
                use std::io::Write as _;
                let own = stream.local_addr()?.port().to_string();
                let location = redirect.replace("SELF", &own);
                let head = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n");
                stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
            }))
        });
        machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
        let before = everything(&machine.path("root"));
        let run = machine.node("update");
        assert_eq!(run.json()["code"], code::FETCH_URL_REFUSED.name(), "{elsewhere} {file}: {}", run.text());
        assert_eq!(run.status(), Some(1), "the server's doing, not the user's: {}", run.text());
        assert!(everything(&machine.path("root")) == before, "{elsewhere}");
        target.untouched(elsewhere);
    }
    // The twin: a redirect on the same server is followed, but not a thousand of them.
    let hops = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hops);
    let mirror = redirecting(&publisher, move || {
        count.fetch_add(1, Ordering::SeqCst);
        true
    });
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    let run = machine.node("update");
    assert_eq!(run.json()["code"], code::FETCH_URL_REFUSED.name(), "{}", run.text());
    assert_eq!(run.status(), Some(1));
    assert!(hops.load(Ordering::SeqCst) < 10);
    let once = AtomicUsize::new(0);
    let mirror = redirecting(&publisher, move || once.fetch_add(1, Ordering::SeqCst) == 0);
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
}

/// A mirror that sends who asks for the timestamp on to the next path as long as `more` says so.
fn redirecting(publisher: &Publisher, more: impl Fn() -> bool + Send + Sync + 'static) -> Mirror {
    let timestamp = publisher.repo().join("metadata/timestamp.json");
    let hop = AtomicUsize::new(0);
    Mirror::start(&publisher.repo(), move |request| {
        if !request.path.ends_with("timestamp.json") {
            return Answer::Honest;
        }
        let bytes = std::fs::read(&timestamp).unwrap();
        let location = more().then(|| format!("/{}/timestamp.json", hop.fetch_add(1, Ordering::SeqCst)));
        Answer::Raw(Box::new(move |mut stream| {
            use std::io::Write as _;
            let (head, body) = match location {
                Some(location) => (format!("302 Found\r\nLocation: {location}"), Vec::new()),
                None => ("200 OK".to_owned(), bytes),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat())
        }))
    })
}
