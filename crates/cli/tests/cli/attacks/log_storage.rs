//! Rows L14 (a), L16, L17 and L18: what becomes of the log when its publisher's machine fails or goes back in time.
//!
//! Power loss at each write, and a sync that fails, are played in `log` and `publish` on a simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use countersign_base::{Code, code};
use serde_json::Value;

use crate::lab::Lab;
use crate::publisher::{Publisher, active, every_file, file_url, files};

/// Copies a folder with everything in it, in place of what is there.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in every_file(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), target).unwrap();
    }
}

/// Every file below a folder and its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    every_file(folder).into_iter().map(|file| (file.clone(), fs::read(folder.join(&file)).unwrap())).collect()
}

impl Publisher {
    fn private_log(&self) -> PathBuf {
        self.repo().join(".countersign/log")
    }

    fn public_log(&self) -> PathBuf {
        self.repo().join("log")
    }

    /// A copy of the whole repository, by the name of the copy.
    fn back_up(&self, name: &str) -> PathBuf {
        let copy_of = self.path(name);
        copy(&self.repo(), &copy_of);
        copy_of
    }

    /// `release` is refused, and nothing of the repository changes.
    #[track_caller]
    fn refuse_release(&self, version: &str, code: Code) -> String {
        let before = content(&self.repo());
        let run = self.release(version).refused(code);
        let after = content(&self.repo());
        let changed: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).collect();
        assert!(changed.is_empty(), "a refused release changes nothing: {:?}", changed);
        assert_eq!(before.len(), after.len());
        run.text()
    }

    /// A machine installs `version` from the repository as it stands.
    #[track_caller]
    fn installs(&self, version: &str) {
        let lab = Lab::new();
        self.trusted_by(&lab, &file_url(&self.repo())).ok();
        lab.node("install").ok();
        assert_eq!(active(&lab.path("root")), Some(files(version)));
    }

    /// The (role, version) of every entry of the log.
    fn logged(&self) -> Vec<(String, u64)> {
        let bundles = self.public_log().join("tile/entries/000.p");
        let widths = fs::read_dir(&bundles).unwrap().map(|entry| entry.unwrap().file_name());
        let widest = widths.map(|name| name.to_str().unwrap().parse::<u32>().unwrap()).max().unwrap();
        let bytes = fs::read(bundles.join(widest.to_string())).unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while let [high, low, tail @ ..] = rest {
            let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let leaf: Value = serde_json::from_slice(entry).unwrap();
            let spec = &leaf["spec"];
            found.push((spec["role"].as_str().unwrap().to_owned(), spec["version"].as_u64().unwrap()));
            rest = tail;
        }
        found
    }
}

/// (a) The embedded log refuses the second content of a version (`log`'s tests); a publisher whose metadata was
/// restored from an older copy does not even ask for it: a number that was logged is used up.
#[test]
fn l14_a_no_version_is_logged_twice() {
    let publisher = Publisher::with(&["1.0.0"]);
    let yesterday = publisher.back_up("yesterday");
    publisher.release("1.1.0").ok();
    copy(&yesterday.join("metadata"), &publisher.repo().join("metadata"));
    publisher.release("1.2.0").ok();
    let logged = publisher.logged();
    let distinct: BTreeSet<_> = logged.iter().collect();
    assert_eq!(distinct.len(), logged.len(), "{logged:?}");
    publisher.fsck().ok();
    publisher.installs("1.2.0");
}

#[test]
fn l18_a_a_log_restored_from_yesterday() {
    let publisher = Publisher::with(&["1.0.0"]);
    let yesterday = publisher.back_up("yesterday");
    publisher.release("1.1.0").ok();
    let today = publisher.back_up("today");
    // The public folder alone, and the private one alone.
    copy(&yesterday.join("log"), &publisher.public_log());
    let text = publisher.refuse_release("1.2.0", code::LOG_STORAGE_ROLLBACK);
    assert!(text.contains("tile/"), "it names the place: {text}");
    copy(&today.join("log"), &publisher.public_log());
    copy(&yesterday.join(".countersign/log"), &publisher.private_log());
    publisher.refuse_release("1.2.0", code::LOG_STORAGE_ROLLBACK);
    // The private one lost: a log is never begun anew where there is one.
    fs::remove_dir_all(publisher.private_log()).unwrap();
    publisher.release("1.2.0").refused(code::LOG_STORAGE_ROLLBACK);
    // The repair that the message names.
    copy(&today.join(".countersign/log"), &publisher.private_log());
    publisher.fsck().ok();
    publisher.release("1.2.0").ok();
    publisher.installs("1.2.0");
}

#[test]
fn l18_b_one_bit_flipped() {
    let publisher = Publisher::with(&["1.0.0"]);
    let size = publisher.logged().len();
    for file in every_file(&publisher.public_log()) {
        let path = publisher.public_log().join(&file);
        let honest = fs::read(&path).unwrap();
        for at in [0, honest.len() / 2, honest.len() - 1] {
            let mut evil = honest.clone();
            evil[at] ^= 4;
            fs::write(&path, evil).unwrap();
            if file.starts_with("tile") && is_newest(&file, size) {
                let text = publisher.refuse_release("1.1.0", code::LOG_STORAGE_CORRUPT);
                assert!(text.contains(file.to_str().unwrap()), "{} is named: {text}", file.display());
            }
            if file.starts_with("tile") {
                let text = publisher.fsck().refused(code::LOG_TILE_MISMATCH).text();
                assert!(text.contains(file.to_str().unwrap()), "{} is named: {text}", file.display());
            } else {
                assert_eq!(publisher.fsck().status(), Some(1));
            }
            fs::write(&path, &honest).unwrap();
        }
    }
    publisher.fsck().ok();
    publisher.release("1.1.0").ok();
    publisher.installs("1.1.0");
}

/// Whether a tile or bundle is of the newest tree: the log itself reads no others.
fn is_newest(file: &Path, size: usize) -> bool {
    file.file_name().unwrap().to_str() == Some(&size.to_string())
}

#[test]
fn l18_c_the_last_tiles_deleted() {
    let publisher = Publisher::with(&["1.0.0"]);
    let size = publisher.logged().len();
    let last: Vec<PathBuf> = every_file(&publisher.public_log())
        .into_iter()
        .filter(|file| file.starts_with("tile") && is_newest(file, size))
        .collect();
    assert_eq!(last.len(), 2, "a hash tile and an entry bundle");
    for file in last {
        let path = publisher.public_log().join(&file);
        let honest = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let text = publisher.refuse_release("1.1.0", code::LOG_STORAGE_ROLLBACK);
        assert!(text.contains(file.to_str().unwrap()), "{} is named: {text}", file.display());
        let text = publisher.fsck().refused(code::LOG_TILE_MISSING).text();
        assert!(text.contains(file.to_str().unwrap()), "{} is named: {text}", file.display());
        fs::write(&path, honest).unwrap();
    }
    publisher.release("1.1.0").ok();
    publisher.installs("1.1.0");
}

/// Two releases are in the write-ahead log, and everything else is as it was before them.
#[test]
fn l16_l18_d_a_write_ahead_log_that_is_ahead() {
    let publisher = Publisher::with(&["1.0.0"]);
    let (state, state_before) = (publisher.keys().join("witness"), publisher.path("witness before"));
    let yesterday = publisher.back_up("yesterday");
    copy(&state, &state_before);
    publisher.release("1.1.0").ok();
    publisher.release("1.2.0").ok();
    let logged = publisher.logged();
    let today = publisher.back_up("today");
    copy(&yesterday, &publisher.repo());
    copy(&state_before, &state);
    // What a release makes durable before it promises anything: its documents and the write-ahead log.
    copy(&today.join(".countersign/log/documents"), &publisher.private_log().join("documents"));
    fs::copy(today.join(".countersign/log/wal"), publisher.private_log().join("wal")).unwrap();
    let released = publisher.release("1.3.0").ok().json();
    assert_eq!(released["notices"][0]["code"], code::LOG_RECOVERED.name(), "{released}");
    assert_eq!(publisher.logged()[..logged.len()], logged, "every promised entry is at its index");
    publisher.fsck().ok();
    publisher.installs("1.3.0");
    let released = publisher.release("1.4.0").ok().json();
    assert!(released.get("notices").is_none(), "it is told once: {released}");
}

/// Both of the log's folders restored from one copy agree with each other, so the log cannot know. Its witness does.
#[test]
fn l03_l18_a_witness_does_not_follow_a_restored_log() {
    let publisher = Publisher::with(&["1.0.0"]);
    let yesterday = publisher.back_up("yesterday");
    publisher.release("1.1.0").ok();
    let today = publisher.back_up("today");
    copy(&yesterday, &publisher.repo());
    publisher.release("1.2.0").refused(code::LOG_STORAGE_ROLLBACK);
    publisher.release("1.2.0").refused(code::LOG_STORAGE_ROLLBACK);
    publisher.installs("1.0.0");
    copy(&today, &publisher.repo());
    publisher.release("1.2.0").ok();
    // And from the day before, so that the log is behind what its witness has seen.
    copy(&yesterday, &publisher.repo());
    publisher.release("1.3.0").refused(code::LOG_STORAGE_ROLLBACK);
    publisher.installs("1.0.0");
}

/// A process killed at any moment of a release leaves a repository that a client can use, and the next release
/// goes on, or is killed in its turn while it recovers.
#[test]
fn l16_killed_at_any_moment() {
    let publisher = Publisher::with(&["1.0.0"]);
    let lab = Lab::new();
    publisher.trusted_by(&lab, &file_url(&publisher.repo())).ok();
    lab.node("install").ok();
    let start = Instant::now();
    publisher.release("1.0.1").ok();
    let whole = start.elapsed();
    let rounds = 18;
    for round in 0..rounds {
        let version = format!("1.1.{round}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .env_clear()
            .args(publisher.release_args(&version))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * round / (rounds - 1));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever was published is whole, and follows from what this client saw before.
        publisher.fsck().ok();
        lab.node("update").ok();
        if round % 3 == 0 {
            let again = publisher.release(&version);
            if again.status() != Some(0) {
                again.refused(code::PUBLISH_VERSION_EXISTS);
            }
        }
    }
    publisher.release("1.2.0").ok();
    publisher.fsck().ok();
    let logged = publisher.logged();
    let distinct: BTreeSet<_> = logged.iter().collect();
    assert_eq!(distinct.len(), logged.len(), "{logged:?}");
    lab.node("update").ok();
    assert_eq!(active(&lab.path("root")), Some(files("1.2.0")));
    publisher.installs("1.2.0");
}

/// A disk that takes no more than so many blocks of a file, from the first write to the last.
#[test]
fn l17_a_write_that_fails() {
    let publisher = Publisher::with(&["1.0.0"]);
    let lab = Lab::new();
    publisher.trusted_by(&lab, &file_url(&publisher.repo())).ok();
    lab.node("install").ok();
    let timestamp = fs::read(publisher.repo().join("metadata/timestamp.json")).unwrap();
    let mut seen = BTreeSet::new();
    for blocks in 0..14 {
        let output = Command::new("/bin/sh")
            .env_clear()
            // A write beyond the limit fails with an error instead of ending the process.
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &blocks.to_string()])
            .arg(env!("CARGO_BIN_EXE_countersign"))
            .arg("--json")
            .args(publisher.release_args("1.1.0"))
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            break;
        }
        seen.insert(said["code"].as_str().unwrap_or_default().to_owned());
        assert_eq!(output.status.code(), Some(3), "{blocks}: {said}");
        // Nothing was acknowledged, and clients see what they saw.
        assert_eq!(fs::read(publisher.repo().join("metadata/timestamp.json")).unwrap(), timestamp);
        publisher.fsck().ok();
        let before = lab.state();
        lab.node("update").ok();
        assert_eq!(lab.state(), before);
    }
    assert!(seen.contains(code::LOG_STORAGE_FAILED.name()), "{seen:?}");
    let run = publisher.release("1.1.0");
    if run.status() != Some(0) {
        run.refused(code::PUBLISH_VERSION_EXISTS);
    }
    publisher.fsck().ok();
    lab.node("update").ok();
    assert_eq!(active(&lab.path("root")), Some(files("1.1.0")));
}
