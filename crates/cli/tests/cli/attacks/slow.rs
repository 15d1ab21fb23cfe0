//! Row M17: servers that send too much or too slowly.
//!
//! A server that has sent what a client may read at most goes on waiting. A client that wanted more would wait with
//! it and then complain of slowness; so the code alone says that no more was read.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_base::{Code, code};

use crate::lab::{Lab, REPO, Run};
use crate::mirror::{Answer, Mirror};
use crate::publisher::{Publisher, active, everything, file_url, files, text};

/// What may be read beyond the listed or capped length.
const SLACK: usize = 64 * 1024;
/// The largest timestamp and the largest root that are read (`crates/tuf/src/limits.rs`).
const TIMESTAMP_BYTES: usize = 16 * 1024;
const ROOT_BYTES: usize = 512 * 1024;
/// Address space for each run, honest ones too: 256 MiB.
const MEMORY_KIB: u32 = 256 * 1024;

/// What a server does with a connection on which it was asked for a file.
type Talk = fn(&TcpStream, usize) -> std::io::Result<()>;

/// A publisher with 1.1.0 released, and a machine that has 1.0.0.
struct Scene {
    publisher: Publisher,
    machine: Lab,
}

impl Scene {
    fn new() -> Self {
        let publisher = Publisher::with(&["1.0.0"]);
        let machine = Lab::new();
        publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
        machine.node("install").ok();
        publisher.release("1.1.0").ok();
        Self { publisher, machine }
    }

    fn update(&self) -> Run {
        let root = text(&self.machine.path("root"));
        let args = ["update", "acme/node", "--root", &root, "--platform", "linux/amd64"];
        let inner = self.machine.command(&args);
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("HOME", self.machine.path("user"));
        command.arg("-c").arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""));
        command.arg(inner.get_program()).args(inner.get_args());
        Run::of(&args, command.output().unwrap())
    }

    /// Every file of the machine, or of what is installed where the metadata was fetched rightly.
    fn state(&self, file: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let installed = everything(&self.machine.path("root"));
        if file.starts_with("targets/") { installed } else { everything(&self.machine.path(".")) }
    }

    /// `update` is refused where the server answers so for files whose path begins or ends so.
    #[track_caller]
    fn refuse(&self, code: Code, file: &'static str, limit: usize, talk: Talk) {
        let mirror = Mirror::start(&self.publisher.repo(), move |request| {
            if request.path.starts_with(file) || request.path.ends_with(file) {
                return Answer::Raw(Box::new(move |stream| talk(stream, limit)));
            }
            Answer::Honest
        });
        self.machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
        let (before, started) = (self.state(file), Instant::now());
        self.update().refused(code);
        assert!(started.elapsed() < Duration::from_secs(30), "{file}: {:?}", started.elapsed());
        assert!(self.state(file) == before, "{file}: a refused answer changes nothing");
        assert_eq!(active(&self.machine.path("root")).as_ref(), Some(&files("1.0.0")), "{file}");
    }

    #[track_caller]
    fn honest(&self) {
        let mirror = Mirror::start(&self.publisher.repo(), |_| Answer::Honest);
        self.machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
        self.update().ok();
        assert_eq!(active(&self.machine.path("root")).as_ref(), Some(&files("1.1.0")));
    }
}

/// Waits until the client has gone.
fn wait(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Sends `head`, then what fits of `piece`, again and again, into `count` bytes, and waits.
fn send(mut stream: &TcpStream, head: &str, piece: &[u8], count: usize) -> std::io::Result<()> {
    let mut bytes = head.as_bytes().to_vec();
    while bytes.len() + piece.len() <= count {
        bytes.extend_from_slice(piece);
    }
    // The client may have gone before the end.
    stream.write_all(&bytes).and_then(|()| wait(stream))
}

/// (a) Longer than allowed, as announced or not.
fn announced(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", limit + 1), &[], 0)
}

fn unannounced(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    send(stream, "HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 512], limit + SLACK)
}

/// (c) Chunks without end, large and small, and framing that never becomes content.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunks(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    let chunk = [&b"200\r\n"[..], &[b'x'; 512], b"\r\n"].concat();
    send(stream, CHUNKED, &chunk, limit + SLACK)
}

fn small_chunks(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    // Of framing, 1 part in 64 of the content is allowed for.
    send(stream, CHUNKED, b"1\r\nx\r\n", limit + limit / 64 + SLACK + 32)
}

fn trailers(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    send(stream, &format!("{CHUNKED}0\r\n"), b"a: b\r\n", limit + limit / 64 + SLACK + 32)
}

/// (d) 100 MiB of zeros, compressed to a few hundred bytes.
fn bomb(mut stream: &TcpStream, _: usize) -> std::io::Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("head -c 104857600 /dev/zero | gzip -1 | gzip -9");
    let bytes = shell.output()?.stdout;
    assert!(!bytes.is_empty() && bytes.len() < TIMESTAMP_BYTES, "{}", bytes.len());
    let length = bytes.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &bytes].concat())?;
    wait(stream)
}

/// (b) A byte a second: of a body, of a header, of a chunk header.
fn trickle(mut stream: &TcpStream, head: &str) -> std::io::Result<()> {
    stream.write_all(head.as_bytes())?;
    loop {
        stream.write_all(b"x")?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn slow_body(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    trickle(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {limit}\r\n\r\n"))
}

fn slow_header(stream: &TcpStream, _: usize) -> std::io::Result<()> {
    trickle(stream, "HTTP/1.1 200 OK\r\nX: ")
}

fn slow_chunk(stream: &TcpStream, _: usize) -> std::io::Result<()> {
    trickle(stream, &format!("{CHUNKED}5;"))
}

/// (e) Nothing more after the headers, in the body, or at all.
fn stall_after_headers(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {limit}\r\n\r\n"), &[], 0)
}

fn stall_in_body(stream: &TcpStream, limit: usize) -> std::io::Result<()> {
    send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {limit}\r\n\r\nx"), &[], 0)
}

fn stall_at_once(stream: &TcpStream, _: usize) -> std::io::Result<()> {
    wait(stream)
}

#[test]
fn m17_too_much_is_refused_within_the_limit() {
    let scene = Scene::new();
    let listed = |name: &str| {
        let files = everything(&scene.publisher.repo());
        let sizes = files.iter().filter(|(path, _)| path.to_str().unwrap().contains(name));
        sizes.map(|(_, bytes)| bytes.len()).max().unwrap()
    };
    // A limit of each kind: a cap, a listed length of metadata, the length of a target.
    let places = [
        ("metadata/timestamp.json", TIMESTAMP_BYTES),
        ("metadata/2.root.json", ROOT_BYTES),
        ("snapshot.json", listed("snapshot.json")),
        ("node.json", listed("node.json")),
        ("data.bin", 5000),
    ];
    let talks: [Talk; 6] = [announced, unannounced, chunks, small_chunks, trailers, bomb];
    for (file, limit) in places {
        let file = if file == "data.bin" { "targets/" } else { file };
        for talk in talks {
            scene.refuse(code::FETCH_TOO_LARGE, file, limit, talk);
        }
    }
    scene.honest();
}

#[test]
fn m17_too_slow_is_given_up_on() {
    let talks: [Talk; 6] =
        [slow_body, slow_header, slow_chunk, stall_after_headers, stall_in_body, stall_at_once];
    std::thread::scope(|scope| {
        for (number, talk) in talks.into_iter().enumerate() {
            scope.spawn(move || {
                let scene = Scene::new();
                let file = if number % 2 == 0 { "metadata/timestamp.json" } else { "targets/" };
                scene.refuse(code::FETCH_TOO_SLOW, file, 5000, talk);
                scene.honest();
            });
        }
    });
}
