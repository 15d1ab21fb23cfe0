//! Row L03 from the publisher's side: witnesses that refuse, lie or answer nonsense.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use countersign_base::{Code, code};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_testkit::sim::log::Named;

use crate::lab::{Lab, now, program};
use crate::publisher::every_file;

const NAME: &str = "witness.example/remote";

/// How the witness answers: status, content type, and what it makes of the checkpoint's text.
type Manner = fn(&Named<'_>, &str) -> (u16, &'static str, String);

/// A witness that cosigns whatever it is shown, as long as nobody tells it otherwise.
struct Remote {
    url: String,
    vkey: String,
    manner: Arc<Mutex<Manner>>,
}

fn honest(key: &Named<'_>, text: &str) -> (u16, &'static str, String) {
    (200, "text/plain", key.cosignature_line(text, now()))
}

impl Remote {
    fn start() -> Self {
        let key = SecretKey::from_seed(Algorithm::Ed25519, &[9; 32]).unwrap();
        let vkey = Named { name: NAME, key: &key }.vkey(4);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let manner: Arc<Mutex<Manner>> = Arc::new(Mutex::new(honest));
        let asked = Arc::clone(&manner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let manner = *asked.lock().unwrap();
                let _ = serve(stream, &Named { name: NAME, key: &key }, manner);
            }
        });
        Self { url, vkey, manner }
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }
}

fn serve(mut stream: TcpStream, key: &Named<'_>, manner: Manner) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    // old and proof, an empty line, the note: its text, an empty line, its signatures.
    let text = format!("{}\n", body.split("\n\n").nth(1).unwrap());
    let (status, kind, answer) = manner(key, &text);
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

/// What makes a client believe anything new: the timestamp, the checkpoint and the proofs.
fn believed(repo: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = every_file(repo).into_iter().filter(|file| {
        !file.starts_with(".countersign")
            && (file.ends_with("timestamp.json")
                || file.ends_with("checkpoint")
                || file.extension().is_some_and(|extension| extension == "tlog-proof"))
    });
    files.map(|file| (file.clone(), std::fs::read(repo.join(&file)).unwrap())).collect()
}

#[test]
fn l03_a_publisher_tells_how_its_witness_refused() {
    let remote = Remote::start();
    let lab = Lab::new();
    let (repo, keys, file) = (lab.path("repo"), lab.path("keys"), lab.path("node"));
    std::fs::write(&file, program("1.0.0")).unwrap();
    let [repo, keys, file] = [&repo, &keys, &file].map(|path| path.to_str().unwrap());
    let witness = format!("{} {}", remote.vkey, remote.url);
    lab.run(&["init", repo, "--keys", keys, "--unencrypted", "--witness", &witness]).ok();
    lab.run(&["product", "add", repo, "node", "--keys", keys, "--unencrypted"]).ok();
    let release = |version: &str| lab.run(&["release", repo, "node", version, file, "--keys", keys]);
    release("1.0.0").ok();

    let manners: [(Code, Manner); 7] = [
        // It has seen something else, and goes on saying so when it is asked from there.
        (code::WITNESS_CONFLICT, |_, _| (409, "text/x.tlog.size", "3\n".to_owned())),
        (code::WITNESS_INCONSISTENT, |_, _| (422, "text/plain", "not what I have seen\n".to_owned())),
        // It cosigns something else: another tree, or at no time.
        (code::LOG_COSIGNATURE_INVALID, |key, text| {
            (200, "text/plain", key.cosignature_line(&text.replacen('\n', "\n1", 1), now()))
        }),
        (code::LOG_COSIGNATURE_INVALID, |key, text| (200, "text/plain", key.cosignature_line_at(text, 0))),
        (code::LOG_COSIGNATURE_TIME, |key, text| {
            (200, "text/plain", key.cosignature_line(text, now().plus_days(400)))
        }),
        // It is of no use, which says nothing about trust: exit status 3.
        (code::WITNESS_LOG_UNKNOWN, |_, _| (404, "text/plain", String::new())),
        (code::PUBLISH_BLOCKED, |_, _| (500, "text/html", "<html>".to_owned())),
    ];
    for (expected, manner) in manners {
        remote.set(manner);
        let before = believed(Path::new(repo));
        release("1.1.0").refused(expected);
        assert!(believed(Path::new(repo)) == before, "nobody sees a release that was not witnessed");
    }
    remote.set(honest);
    release("1.1.0").ok();
    lab.run(&["log", "fsck", repo]).ok();
}

/// Every file below a folder, and its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    every_file(folder)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(folder.join(&file)).unwrap()))
        .collect()
}

/// All witnesses are elsewhere, and the repository is restored from a copy: the keys directory knows what was published.
/// Nothing is signed over, logged or made to look fresh.
#[test]
fn a_restored_copy_is_refused_before_anything_is_logged() {
    let remote = Remote::start();
    let lab = Lab::new();
    let (repo, copy, keys, file) = (lab.path("repo"), lab.path("copy"), lab.path("keys"), lab.path("node"));
    std::fs::write(&file, program("1.0.0")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let [at, keys, file] = [&repo, &keys, &file].map(|path| text(path));
    let witness = format!("{} {}", remote.vkey, remote.url);
    lab.run(&["init", &at, "--keys", &keys, "--unencrypted", "--witness", &witness]).ok();
    lab.run(&["product", "add", &at, "node", "--keys", &keys, "--unencrypted"]).ok();
    let release = |version: &str| lab.run(&["release", &at, "node", version, &file, "--keys", &keys]);
    release("1.0.0").ok();
    copy_tree(&repo, &copy);
    release("1.1.0").ok();
    let newest = lab.path("newest");
    copy_tree(&repo, &newest);

    std::fs::remove_dir_all(&repo).unwrap();
    copy_tree(&copy, &repo);
    // It would cosign anything: nobody asks it.
    let before = content(&repo);
    for run in [lab.run(&["renew", &at, "--keys", &keys]), release("1.1.0"), release("1.2.0")] {
        let run = run.refused(code::LOG_STORAGE_ROLLBACK);
        assert!(run.text().contains("these keys have published a tree of"), "{}", run.text());
        assert!(run.text().contains("restore the newest copy of the log"), "{}", run.text());
    }
    assert!(content(&repo) == before, "a refused publisher changes nothing");

    // The twin: the newest copy goes on.
    std::fs::remove_dir_all(&repo).unwrap();
    copy_tree(&newest, &repo);
    lab.run(&["renew", &at, "--keys", &keys]).ok();
    release("1.2.0").ok();
}

fn copy_tree(from: &Path, to: &Path) {
    for (file, bytes) in content(from) {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}
