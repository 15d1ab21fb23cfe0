//! Peers that are slow, silent, or too many.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use countersign_client::Transport as _;

use crate::live::{DIGEST, Live, repository};

/// How long the server keeps a connection on which `act` goes on.
fn lifetime(live: &Live, act: impl Fn(&mut TcpStream) -> bool) -> Duration {
    let mut stream = live.connect();
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 1];
    while act(&mut stream) && start.elapsed() < Duration::from_secs(50) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Err(error)
                if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                break;
            }
            _ => {}
        }
    }
    start.elapsed()
}

#[test]
fn slow_and_silent_peers_are_let_go() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    thread::scope(|scope| {
        let trickle = scope.spawn(|| lifetime(&live, |stream| stream.write_all(b"x").is_ok()));
        let half = scope.spawn(|| {
            let sent = std::cell::Cell::new(false);
            lifetime(&live, |stream| sent.replace(true) || stream.write_all(b"GET /metadata/").is_ok())
        });
        let silent = scope.spawn(|| lifetime(&live, |_| true));
        let deaf = scope.spawn(|| {
            let mut stream = live.connect();
            let start = Instant::now();
            write!(stream, "GET /targets/node/1.0.0/linux-amd64/{DIGEST}.node HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap();
            // Takes nothing of four megabytes for longer than the server waits; then only what is buffered comes.
            thread::sleep(Duration::from_secs(18));
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            (start.elapsed(), rest.len())
        });
        assert!(trickle.join().unwrap() < Duration::from_secs(15));
        assert!(half.join().unwrap() < Duration::from_secs(15));
        let silent = silent.join().unwrap();
        assert!(silent > Duration::from_secs(12) && silent < Duration::from_secs(18), "{silent:?}");
        let (_, received) = deaf.join().unwrap();
        assert!(received > 0);
    });
    live.stop().unwrap();
}

#[test]
fn a_crowd_of_idle_connections_does_not_shut_others_out() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let mut crowd: Vec<TcpStream> =
        (0..countersign_server::MAX_CONNECTIONS).map(|_| live.connect()).collect();
    let transport = live.transport();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| transport.get("metadata/timestamp.json", 10));
        thread::sleep(Duration::from_millis(300));
        // One leaves, and its place is taken.
        crowd.pop().unwrap().shutdown(Shutdown::Both).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), b"{}");
    });
    live.stop().unwrap();
}

#[test]
fn stopping_waits_for_answers_but_not_for_idle_peers() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let _idle = live.connect();
    let mut reader = live.connect();
    write!(reader, "GET /targets/node/1.0.0/linux-amd64/{DIGEST}.node HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut start = [0; 1000];
    reader.read_exact(&mut start).unwrap();
    let begun = Instant::now();
    let reading = thread::spawn(move || {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        rest.len()
    });
    live.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert!(reading.join().unwrap() > 3_999_000, "the answer under way came whole");
}

#[test]
fn requests_that_are_nonsense_get_an_answer_or_nothing() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET /metadata/timestamp.json HTTP/9.9\r\n\r\n",
        b"GET /metadata/timestamp.json HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /metadata/\xff HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = live.connect();
        stream.write_all(nonsense).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    let mut endless = live.connect();
    endless.write_all(b"GET / HTTP/1.1\r\nx: ").unwrap();
    let mut sent = 0u64;
    while endless.write_all(&[b'x'; 4096]).is_ok() && sent < 1 << 28 {
        sent += 4096;
    }
    assert!(sent < 1 << 27, "{sent}");
    assert_eq!(live.transport().get("metadata/timestamp.json", 10).unwrap(), b"{}");
    live.stop().unwrap();
}
