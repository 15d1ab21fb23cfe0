//! Stopping, and requests that are nonsense. Slow and silent peers are played in `src/listen.rs`, on a clock of its own;
//! too many of them in `crowd`.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use countersign_client::Transport as _;

use crate::live::{DIGEST, Live, repository};

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
        // It may have hung up by now.
        let _ = stream.shutdown(Shutdown::Write);
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
