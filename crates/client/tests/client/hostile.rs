//! Servers that send too much, too slowly, something else, or the reader elsewhere.

use std::thread;
use std::time::{Duration, Instant};

use countersign_base::{Class, Code, Explain, code};
use countersign_client::{FetchError, Transport};

use crate::server::{Hostile, ok, transport};

/// What the client may read beyond its limit.
const SLACK: u64 = 64 * 1024;
/// What the two sockets' buffers may hold of what the server sent and the client never read.
const SOCKET_BUFFERS: u64 = 16 * 1024 * 1024;
/// No hostile server holds the client longer.
const PATIENCE: Duration = Duration::from_secs(25);

fn code_of<T: std::fmt::Debug>(result: Result<T, FetchError>) -> Code {
    result.unwrap_err().code()
}

/// Runs `get` and `download` against a server that answers each request with `answer`.
fn both(limit: u64, answer: impl Fn(&mut crate::server::Peer) + Send + Sync + 'static) -> (Code, Code, u64) {
    let server = Hostile::start(move |peer, _| {
        answer(peer);
        false
    });
    let start = Instant::now();
    let mut sink = Vec::new();
    let (got, downloaded) = thread::scope(|scope| {
        let got = scope.spawn(|| code_of(server.transport().get("metadata/timestamp.json", limit)));
        let result = server.transport().download("targets/x", limit, 0, &mut sink, &mut |_| ());
        (got.join().unwrap(), code_of(result))
    });
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(sink.len() as u64 <= limit);
    (got, downloaded, server.sent())
}

#[test]
fn honest_answers_pass() {
    let server = Hostile::start(|peer, _| peer.send(&ok(b"hello")));
    let transport = server.transport();
    assert_eq!(transport.get("a/b.json", 5).unwrap(), b"hello");
    let mut sink = Vec::new();
    let mut seen = 0;
    transport.download("a/b.json", 5, 0, &mut sink, &mut |done| seen = done).unwrap();
    assert_eq!((sink.as_slice(), seen), (&b"hello"[..], 5));
    assert_eq!(server.connections(), 1, "the connection is kept");
    let head = server.requests().remove(0).to_lowercase();
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(!head.contains("cookie") && !head.contains("authorization"), "{head}");
}

#[test]
fn honest_chunks_and_close_delimited_bodies_pass() {
    let server = Hostile::start(|peer, head| {
        if head.contains("/chunked") {
            peer.send(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            )
        } else {
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello");
            false
        }
    });
    assert_eq!(server.transport().get("chunked", 5).unwrap(), b"hello");
    assert_eq!(server.transport().get("closed", 5).unwrap(), b"hello");
}

#[test]
fn m17_a_announced_length_above_the_limit_is_refused_unread() {
    let (got, downloaded, sent) = both(1000, |peer| {
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n");
        peer.wait();
    });
    assert_eq!((got, downloaded), (code::FETCH_TOO_LARGE, code::FETCH_TOO_LARGE));
    assert!(sent < 200);
}

#[test]
fn m17_a_endless_body_is_cut() {
    let (got, downloaded, sent) = both(1000, |peer| {
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
        peer.send_forever(&[b'x'; 4096]);
    });
    assert_eq!((got, downloaded), (code::FETCH_TOO_LARGE, code::FETCH_TOO_LARGE));
    assert!(sent < 2 * (1000 + SLACK + SOCKET_BUFFERS), "{sent}");
}

/// What a server sends before it trickles; with a body, an unfinished header, an unfinished chunk header.
const TRICKLES: [&str; 3] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: ",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;",
];
/// What a server sends before it stalls.
const STALLS: [&str; 3] = ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx"];

#[test]
fn m17_b_e_trickles_and_stalls_are_given_up_on() {
    thread::scope(|scope| {
        for (start, trickle) in
            TRICKLES.map(|start| (start, true)).into_iter().chain(STALLS.map(|s| (s, false)))
        {
            scope.spawn(move || {
                let (got, downloaded, _) = both(1000, move |peer| {
                    peer.send(start.as_bytes());
                    if trickle { peer.trickle(b'x') } else { peer.wait() }
                });
                assert_eq!(
                    (got, downloaded),
                    (code::FETCH_TOO_SLOW, code::FETCH_TOO_SLOW),
                    "{start:?} {trickle}"
                );
            });
        }
    });
}

#[test]
fn m17_c_endless_chunks_are_cut() {
    let (got, downloaded, sent) = both(100_000, |peer| {
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        peer.send_forever(b"4\r\nxxxx\r\n");
    });
    assert_eq!((got, downloaded), (code::FETCH_TOO_LARGE, code::FETCH_TOO_LARGE));
    assert!(sent < 2 * (100_000 + SLACK + SOCKET_BUFFERS), "{sent}");
}

#[test]
fn m17_c_framing_that_never_becomes_content_is_cut() {
    // Endless trailers, and an endless run of interim answers.
    for (start, again) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let (got, downloaded, sent) = both(1000, move |peer| {
            peer.send(start.as_bytes());
            peer.send_forever(again.as_bytes());
        });
        let expected = [code::FETCH_TOO_LARGE, code::FETCH_FAILED];
        assert!(expected.contains(&got) && expected.contains(&downloaded), "{again}: {got} {downloaded}");
        assert!(sent < 2 * (1000 + 2 * SLACK + SOCKET_BUFFERS), "{sent}");
    }
}

#[test]
fn m17_d_content_encoding_is_refused_unread() {
    for encoding in ["gzip", "br", "identity, gzip"] {
        let (got, downloaded, _) = both(1000, move |peer| {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: 9\r\n\r\n");
            peer.send(head.as_bytes());
            peer.send(b"\x1f\x8b bomb  ");
        });
        assert_eq!((got, downloaded), (code::FETCH_TOO_LARGE, code::FETCH_TOO_LARGE), "{encoding}");
    }
}

#[test]
fn absent_is_told_apart_from_failing() {
    for (status, expected) in [
        ("404 Not Found", code::FETCH_NOT_FOUND),
        ("403 Forbidden", code::FETCH_NOT_FOUND),
        ("410 Gone", code::FETCH_NOT_FOUND),
        ("500 Oops", code::FETCH_FAILED),
        ("503 Busy", code::FETCH_FAILED),
        ("401 Who", code::FETCH_FAILED),
        ("204 No Content", code::FETCH_FAILED),
        ("206 Partial Content", code::FETCH_FAILED),
    ] {
        let (got, downloaded, _) = both(1000, move |peer| {
            let body = if status.starts_with("204") { "" } else { "content-length: 0\r\n" };
            peer.send(format!("HTTP/1.1 {status}\r\n{body}\r\n").as_bytes());
        });
        assert_eq!((got, downloaded), (expected, expected), "{status}");
    }
}

#[test]
fn no_server_no_answer_and_nonsense_are_failures() {
    let (got, _, _) = both(10, |_| ());
    assert_eq!(got, code::FETCH_FAILED);
    let (got, _, _) = both(10, |peer| assert!(peer.send(b"SSH-2.0-OpenSSH\r\n\r\n")));
    assert_eq!(got, code::FETCH_FAILED);
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = transport(&format!("http://127.0.0.1:{port}/"));
    assert_eq!(code_of(gone.get("x", 10)), code::FETCH_FAILED);
}

#[test]
fn d02_redirects_stay_where_they_are() {
    let elsewhere = Hostile::start(|peer, _| peer.send(&ok(b"secret")));
    let targets = [
        format!("{}x", elsewhere.url()),
        format!("//127.0.0.1:{}/x", elsewhere.url().rsplit(':').next().unwrap().trim_end_matches('/')),
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://127.0.0.1/x".to_owned(),
        "http://user:pass@127.0.0.1/".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        String::new(),
    ];
    for target in targets {
        let location = target.clone();
        let (got, downloaded, _) = both(1000, move |peer| {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            peer.send(head.as_bytes());
        });
        assert_eq!((got, downloaded), (code::FETCH_URL_REFUSED, code::FETCH_URL_REFUSED), "{target}");
    }
    let moved = Hostile::start(|peer, _| peer.send(b"HTTP/1.1 301 Moved\r\nlocation: ftp://x/\r\n\r\n"));
    assert_eq!(moved.transport().get("x", 1).unwrap_err().class(), Class::Refused);
    assert_eq!(elsewhere.connections(), 0, "no packet to the target");
}

/// 304 is in the range of the redirects and is none: the server is at fault, and nothing leads elsewhere.
#[test]
fn not_modified_is_a_failure_and_no_redirect() {
    let server = Hostile::start(|peer, _| peer.send(b"HTTP/1.1 304 Not Modified\r\n\r\n"));
    assert_eq!(code_of(server.transport().get("x", 10)), code::FETCH_FAILED);
}

#[test]
fn d02_redirects_of_the_same_origin_are_followed_a_few_times() {
    let server = Hostile::start(|peer, head| {
        let number: usize = head.split(['/', ' ']).nth(2).and_then(|text| text.parse().ok()).unwrap_or(0);
        if number == 0 {
            return peer.send(&ok(b"here"));
        }
        let next = number - 1;
        peer.send(format!("HTTP/1.1 302 Found\r\nlocation: /{next}\r\ncontent-length: 0\r\n\r\n").as_bytes())
    });
    let transport = server.transport();
    assert_eq!(transport.get("3", 100).unwrap(), b"here");
    assert_eq!(code_of(transport.get("1000", 100)), code::FETCH_URL_REFUSED);
    assert!(server.requests().len() < 10);
}

/// Serves `abcdefgh` with ranges as `mode` says.
fn ranged(mode: &'static str) -> Hostile {
    Hostile::start(move |peer, head| {
        let body = b"abcdefgh";
        if !head.to_lowercase().contains("range: bytes=3-7") || mode == "ignored" {
            return peer.send(&ok(body));
        }
        let (range, part): (&str, &[u8]) = match mode {
            "right" => ("bytes 3-7/8", &body[3..]),
            "unknown length" => ("bytes 3-7/*", &body[3..]),
            "shifted" => ("bytes 2-6/8", &body[2..7]),
            "other total" => ("bytes 3-7/9", &body[3..]),
            "longer" => ("bytes 3-7/8", &body[2..]),
            _ => ("bytes 3-7/8", &body[4..]),
        };
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: {range}\r\ncontent-length: {}\r\n\r\n",
            part.len()
        );
        peer.send(head.as_bytes()) && peer.send(part)
    })
}

#[test]
fn d01_f_resume_takes_only_the_range_that_was_asked_for() {
    for mode in ["right", "unknown length", "ignored", "shifted", "other total"] {
        let mut sink = b"abc".to_vec();
        let mut seen = Vec::new();
        let server = ranged(mode);
        server.transport().download("x", 8, 3, &mut sink, &mut |done| seen.push(done)).unwrap();
        assert_eq!(sink, b"abcdefgh", "{mode}");
        assert_eq!(seen.last(), Some(&8), "{mode}");
        assert!(seen.iter().all(|done| (3..=8).contains(done)), "{mode}");
    }
    for (mode, expected) in [("longer", code::FETCH_TOO_LARGE), ("shorter", code::ARTIFACT_DIGEST_MISMATCH)] {
        let mut sink = b"abc".to_vec();
        let result = ranged(mode).transport().download("x", 8, 3, &mut sink, &mut |_| ());
        assert_eq!(code_of(result), expected, "{mode}");
    }
    let nothing_left = Hostile::start(|_, _| false);
    nothing_left.transport().download("x", 8, 8, &mut Vec::new(), &mut |_| ()).unwrap();
    assert_eq!(nothing_left.connections(), 0);
}

#[test]
fn d01_truncated_appended_and_cut_files() {
    let short = Hostile::start(|peer, _| peer.send(&ok(b"abc")));
    let result = short.transport().download("x", 8, 0, &mut Vec::new(), &mut |_| ());
    assert_eq!(code_of(result), code::ARTIFACT_DIGEST_MISMATCH);
    let long = Hostile::start(|peer, _| peer.send(&ok(b"abcdefghi")));
    let result = long.transport().download("x", 8, 0, &mut Vec::new(), &mut |_| ());
    assert_eq!(code_of(result), code::FETCH_TOO_LARGE);
    let cut = Hostile::start(|peer, _| {
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nabc");
        false
    });
    let mut sink = Vec::new();
    let result = cut.transport().download("x", 8, 0, &mut sink, &mut |_| ());
    assert_eq!(code_of(result), code::FETCH_FAILED, "an outage: may be resumed");
    assert_eq!(sink, b"abc");
}

#[test]
fn m16_names_are_encoded_on_the_wire() {
    let server = Hostile::start(|peer, _| peer.send(&ok(b"")));
    let transport = server.transport();
    transport.get("metadata/1.%2e%2e%2fx.json", 0).unwrap();
    transport.get("targets/a b+c@d", 0).unwrap();
    let lines: Vec<String> =
        server.requests().iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        lines,
        ["GET /metadata/1.%252e%252e%252fx.json HTTP/1.1", "GET /targets/a%20b%2Bc%40d HTTP/1.1"]
    );
    for bad in ["../x", "a/../../x", "/etc/passwd", ".countersign/log", "a\\b", "a\0b", "a\r\nHost: x"] {
        assert_eq!(code_of(transport.get(bad, 0)), code::TUF_NAME_UNSAFE, "{bad:?}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_connection_that_the_server_closed_is_opened_anew() {
    let server = Hostile::start(|peer, _| {
        peer.send(&ok(b"x"));
        false
    });
    let transport = server.transport();
    for _ in 0..3 {
        assert_eq!(transport.get("x", 1).unwrap(), b"x");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn posts_give_any_status_back() {
    let server = Hostile::start(|peer, _| {
        peer.send(b"HTTP/1.1 409 Conflict\r\ncontent-type: text/x.tlog.size\r\ncontent-length: 2\r\n\r\n7\n");
        false
    });
    let answer = server.transport().post("add-checkpoint", b"old 0\n", 100).unwrap();
    assert_eq!((answer.status, answer.content_type.as_str()), (409, "text/x.tlog.size"));
    assert_eq!(answer.body, b"7\n");
}

#[test]
fn posts_can_carry_a_mark_and_say_when_to_come_back() {
    let server = Hostile::start(|peer, head| {
        let when = if head.contains("came-by: me\r\n") { "7" } else { "Sat, 21 Nov 2026 12:00:00 GMT" };
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: ";
        peer.send(format!("{head}{when}\r\n\r\n").as_bytes());
        false
    });
    let post = |mark| server.transport().post_marked("add", mark, b"x", 100);
    assert_eq!(post(Some(("came-by", "me"))).unwrap().retry_after, Some(7));
    assert_eq!(post(None).unwrap().retry_after, None, "only seconds are read");
    // What would end the header is no mark, and nothing is sent.
    let sent = server.requests().len();
    post(Some(("came-by", "me\r\nhost: other"))).unwrap_err();
    assert_eq!(server.requests().len(), sent);
}

#[test]
fn tls_is_required_to_be_tls_and_in_time() {
    // Not TLS at all, a handshake that stalls, one that trickles.
    let servers = [
        Hostile::start_raw(|peer| assert!(peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"))),
        Hostile::start_raw(|peer| peer.wait()),
        Hostile::start_raw(|peer| peer.trickle(0x16)),
    ];
    thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| {
                let start = Instant::now();
                let transport = transport(&server.url().replace("http://127.0.0.1", "https://localhost"));
                let refused = code_of(transport.get("x", 10));
                assert!([code::FETCH_FAILED, code::FETCH_TOO_SLOW].contains(&refused), "{refused}");
                assert!(start.elapsed() < PATIENCE);
            });
        }
    });
}

/// Fast enough for every other limit, and without an end.
#[test]
fn what_is_posted_ends_in_time_however_steadily_it_trickles() {
    let steady = |chunks: usize| {
        Hostile::start(move |peer, _| {
            peer.send(
                format!("HTTP/1.1 409 Conflict\r\ncontent-length: {}\r\n\r\n", chunks * 100).as_bytes(),
            );
            (0..chunks).all(|_| {
                std::thread::sleep(Duration::from_millis(50));
                peer.send(&[b'7'; 100])
            })
        })
    };
    let post = |server: &Hostile, total| {
        server.transport().within(Duration::from_millis(total)).post("add-checkpoint", b"old 0", 64 * 1024)
    };
    let endless = steady(600);
    assert_eq!(post(&endless, 500).unwrap_err().code(), code::FETCH_TOO_SLOW);
    let short = steady(2);
    assert_eq!(post(&short, 10_000).unwrap().body.len(), 200);
}
