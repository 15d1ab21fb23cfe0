//! What a repository server gives out, and what it does not.

use std::fs;
use std::os::unix::fs::symlink;

use countersign_base::{Explain, code};
use countersign_client::Transport;
use countersign_server::{Listening, Until, serve_repository, stop};

use crate::live::{DIGEST, Live, repository};

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default()
}

#[test]
fn files_come_with_types_and_caching() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let target = format!("/targets/node/1.0.0/linux-amd64/{DIGEST}.node");
    for (path, content_type, cache) in [
        ("/metadata/1.root.json", "application/json", "public, max-age=31536000, immutable"),
        ("/metadata/1.root.json.tlog-proof", "text/plain; charset=utf-8", "no-cache"),
        ("/metadata/timestamp.json", "application/json", "no-cache"),
        ("/log/checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("/log/tile/0/000.p/3", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("/attestations/sha256/ab.jsonl", "application/jsonl; charset=utf-8", "no-cache"),
        (&target, "application/octet-stream", "public, max-age=31536000, immutable"),
    ] {
        let (head, body) = live.get(path);
        assert_eq!(status(&head), "200", "{path}");
        assert_eq!(header(&head, "content-type"), content_type, "{path}");
        assert_eq!(header(&head, "cache-control"), cache, "{path}");
        assert_eq!(header(&head, "content-length"), body.len().to_string(), "{path}");
        assert_eq!(body, fs::read(root.join(&path[1..])).unwrap(), "{path}");
        let (head_only, nothing) = live.request("HEAD", path, "");
        assert_eq!(header(&head_only, "content-length"), body.len().to_string(), "{path}");
        assert!(nothing.is_empty());
        let same = format!("if-none-match: \"x\", {}\r\n", header(&head, "etag"));
        assert_eq!(status(&live.request("GET", path, &same).0), "304", "{path}");
    }
    assert_eq!(live.get("/metadata/1.%252e%252e%252fx.json").1, b"odd");
    let (head, _) = live.get("/metadata/2.root.json");
    assert_eq!((status(&head), header(&head, "cache-control")), ("404", "no-store"));
    live.stop().unwrap();
}

#[test]
fn nothing_else_is_served() {
    let (_folder, root) = repository();
    symlink("../../outside", root.join("metadata/out")).unwrap();
    symlink("../.countersign", root.join("metadata/in")).unwrap();
    symlink("1.root.json", root.join("metadata/alias")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(root.join("metadata/fifo")).status().unwrap().success());
    let live = Live::repository(&root);
    for path in [
        "/",
        "/metadata",
        "/metadata/",
        "/README",
        "/keys/root.key",
        "/.countersign/log/secret",
        "/metadata/.hidden",
        "/metadata/%2ehidden",
        "/metadata/../README",
        "/metadata/../../outside",
        "/metadata/%2e%2e/%2e%2e/outside",
        "/metadata/..%2f..%2foutside",
        "/metadata/%2e%2e%2fREADME",
        "/metadata/..%5c..%5coutside",
        "/metadata/..\\..\\outside",
        "/metadata/%252e%252e/README",
        "//metadata/1.root.json",
        "/metadata//1.root.json",
        "/metadata/1.root.json/",
        "/metadata/1.root.json%00",
        "/metadata/1.root.json%00.json",
        "/metadata/out",
        "/metadata/in/log/secret",
        "/metadata/alias",
        "/metadata/fifo",
        "/log/tile",
        "/%6detadata/../README",
        &format!("/metadata/{}", "x".repeat(300)),
        &format!("/metadata/{}", "x".repeat(30_000)),
    ] {
        let (head, body) = live.get(path);
        assert!(matches!(status(&head), "404" | "400"), "{path}: {head}");
        assert!(!body.windows(6).any(|six| six == b"secret"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let (head, _) = live.request(method, "/metadata/1.root.json", "content-length: 0\r\n");
        assert_eq!((status(&head), header(&head, "allow")), ("405", "get, head"), "{method}");
    }
    live.stop().unwrap();
}

#[test]
fn ranges_are_served() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let path = format!("/targets/node/1.0.0/linux-amd64/{DIGEST}.node");
    let whole = fs::read(root.join(&path[1..])).unwrap();
    let range = |headers: &str| live.request("GET", &path, headers);
    for (asked, first, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=1000000-", 1_000_000, whole.len()),
        ("bytes=-5", whole.len() - 5, whole.len()),
    ] {
        let (head, body) = range(&format!("range: {asked}\r\n"));
        assert_eq!(status(&head), "206", "{asked}");
        let expected = format!("bytes {first}-{}/{}", end - 1, whole.len());
        assert_eq!(header(&head, "content-range"), expected);
        assert_eq!(body, whole[first..end], "{asked}");
    }
    let (head, body) = range("range: bytes=4000000-\r\n");
    assert_eq!((status(&head), header(&head, "content-range")), ("416", "bytes */4000000"));
    assert!(body.is_empty());
    for whole_answer in
        ["range: bytes=0-1,3-4\r\n", "range: x\r\n", "range: bytes=0-9\r\nif-range: \"other\"\r\n"]
    {
        let (head, body) = range(whole_answer);
        assert_eq!((status(&head), body.len()), ("200", whole.len()), "{whole_answer}");
    }
    let same = format!("range: bytes=0-9\r\nif-range: \"{DIGEST}\"\r\n");
    assert_eq!(status(&range(&same).0), "206");
    live.stop().unwrap();
}

#[test]
fn the_client_fetches_and_resumes() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let transport = live.transport();
    assert_eq!(transport.get("metadata/1.%2e%2e%2fx.json", 10).unwrap(), b"odd");
    assert_eq!(transport.get("metadata/9.root.json", 10).unwrap_err().code(), code::FETCH_NOT_FOUND);
    let path = format!("targets/node/1.0.0/linux-amd64/{DIGEST}.node");
    let whole = fs::read(root.join(&path)).unwrap();
    for offset in [0, 1, 1_234_567, whole.len() - 1, whole.len()] {
        let mut sink = whole[..offset].to_vec();
        let mut seen = offset as u64;
        transport
            .download(&path, whole.len() as u64, offset as u64, &mut sink, &mut |done| {
                assert!(done > seen);
                seen = done;
            })
            .unwrap();
        assert_eq!(sink, whole, "{offset}");
        assert_eq!(seen, whole.len() as u64);
    }
    live.stop().unwrap();
}

#[test]
fn many_readers_at_once() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let transport = live.transport();
                for _ in 0..50 {
                    assert_eq!(transport.get("metadata/1.root.json", 100).unwrap(), b"{\"root\":1}");
                }
            });
        }
    });
    live.stop().unwrap();
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_breaks_the_connection() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let path = root.join(format!("targets/node/1.0.0/linux-amd64/{DIGEST}.node"));
    // Large enough not to fit into the sockets' buffers.
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let transport = live.transport();
    let mut first = true;
    let mut sink = std::io::sink();
    let result = transport.download(
        &path.strip_prefix(&root).unwrap().to_string_lossy(),
        1 << 30,
        0,
        &mut sink,
        &mut |_| {
            if std::mem::take(&mut first) {
                fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
            }
        },
    );
    assert_eq!(result.unwrap_err().code(), code::FETCH_FAILED);
    live.stop().unwrap();
}

#[test]
fn what_cannot_be_served_is_said() {
    let (folder, root) = repository();
    let (_handle, until) = stop();
    let listening = Listening::bind("127.0.0.1:0").unwrap();
    let taken = Listening::bind(&listening.address().to_string()).unwrap_err();
    assert_eq!(taken.code(), code::SERVE_FAILED);
    assert_eq!(Listening::bind("nonsense").unwrap_err().code(), code::USAGE);
    let missing = serve_repository(folder.path(), listening, Until::Stopped(until)).unwrap_err();
    assert_eq!(missing.code(), code::PUBLISH_REPO_MISSING);
    let (handle, until) = stop();
    drop(handle);
    let listening = Listening::bind("127.0.0.1:0").unwrap();
    serve_repository(&root, listening, Until::Stopped(until)).unwrap();
}
