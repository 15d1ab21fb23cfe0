//! Power loss at every step of making, marking and adopting a key, and of recording its use: what was promised is
//! there afterwards, and nothing is stuck.

use std::fs;
use std::path::Path;

use countersign_base::code::{self, Explain as _};
use countersign_crypto::sha256;
use countersign_keys::lifecycle::{KeyState, Mark, MarkKind};
use countersign_keys::usage::{self, Purpose, UsageLog, Use};
use countersign_keys::{KeyDir, KeyInfo, KeysError, Place, Protection};
use countersign_store::RealDisk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then, scratch};

use crate::scene::{Scene, new, now, works};

/// Makes one key, adopts another and retires the first, on a new directory.
fn work(dir: &Path, disk: std::sync::Arc<FaultyDisk>) -> (Vec<KeyInfo>, Result<(), KeysError>) {
    let mut promised = Vec::new();
    let run = || {
        let keys = KeyDir::open_or_create_on(disk, dir)?;
        let info = keys.create(&new("a"), now(), Protection::Unencrypted)?;
        promised.push(info.clone());
        let place: Place = "pkcs11:token=alice;object=release".parse().unwrap();
        promised.push(keys.adopt(&new("b"), &place, &info.public, now())?);
        keys.mark(&promised[0], &Mark { kind: MarkKind::Retired, at: now(), why: "done".to_owned() })?;
        Ok(())
    };
    let outcome = run();
    (promised, outcome)
}

#[test]
fn what_was_promised_is_there_after_power_loss_at_any_step() {
    let temp = tempfile::tempdir_in(scratch()).unwrap();
    let root = temp.path().join("count");
    fs::create_dir(&root).unwrap();
    let counting = FaultyDisk::counting(&root);
    work(&root.join("keys"), counting.clone()).1.unwrap();
    for at in 0..counting.steps() {
        for fault in Fault::ALL {
            let root = temp.path().join(format!("{at}-{fault:?}"));
            fs::create_dir(&root).unwrap();
            let disk = FaultyDisk::failing(&root, at, fault, Then::Dies);
            let (promised, outcome) = work(&root.join("keys"), disk.clone());
            assert_eq!(outcome.unwrap_err().code(), code::KEY_STORAGE_FAILED, "{at} {fault:?}");
            for loss in Loss::ALL {
                let after = temp.path().join(format!("{at}-{fault:?}-{loss:?}"));
                disk.after(loss, &after);
                check(&after.join("keys"), &promised);
            }
        }
    }
}

fn check(dir: &Path, promised: &[KeyInfo]) {
    if promised.is_empty() && !dir.exists() {
        return;
    }
    let keys = KeyDir::open(dir).unwrap();
    let listed = keys.list().unwrap();
    for info in promised {
        assert!(listed.contains(info), "{} is lost", info.name);
    }
    for info in listed.iter().filter(|info| info.place == Place::File) {
        match keys.state(info, now()).unwrap() {
            KeyState::Active => {
                let mut nobody = |_: &KeyInfo| panic!("not sealed");
                works(&*keys.signer(info, &mut nobody, now()).unwrap(), info);
            }
            state => assert!(matches!(state, KeyState::Ended(_))),
        }
    }
    // The same again works, whatever was left: nothing is stuck.
    match keys.create(&new("a"), now(), Protection::Unencrypted) {
        Ok(info) => assert!(!promised.contains(&info)),
        Err(error) => assert_eq!(error.code(), code::KEY_EXISTS),
    }
}

/// Begins the log of key usage and records in two runs; gives what was promised.
fn recording(
    dir: &Path,
    disk: &std::sync::Arc<FaultyDisk>,
    info: &KeyInfo,
) -> (Vec<Use>, Result<(), KeysError>) {
    let mut promised = Vec::new();
    let mut run = |messages: &[&str]| {
        let log = UsageLog::open(dir, disk.clone(), now())?;
        for message in messages {
            let purpose = Purpose { role: "root".to_owned(), why: (*message).to_owned() };
            let used = Use::new(info, &purpose, sha256(message.as_bytes()), now());
            log.record(std::slice::from_ref(&used))?;
            promised.push(used);
        }
        log.finish().map(drop)
    };
    let outcome = run(&["one", "two"]).and_then(|()| run(&["three"]));
    (promised, outcome)
}

#[test]
fn no_recorded_use_is_lost_by_power_loss_at_any_step() {
    let temp = tempfile::tempdir_in(scratch()).unwrap();
    let info = Scene::new().plain("a");
    let root = temp.path().join("count");
    fs::create_dir(&root).unwrap();
    let counting = FaultyDisk::counting(&root);
    recording(&root.join("usage"), &counting, &info).1.unwrap();
    let mut losses = 0;
    for at in 0..counting.steps() {
        for fault in [Fault::Lost, Fault::DoneButFailed, Fault::Torn] {
            let root = temp.path().join(format!("{at}-{fault:?}"));
            fs::create_dir(&root).unwrap();
            let disk = FaultyDisk::failing(&root, at, fault, Then::Dies);
            let (promised, _) = recording(&root.join("usage"), &disk, &info);
            for loss in Loss::ALL {
                let after = temp.path().join(format!("{at}-{fault:?}-{loss:?}"));
                disk.after(loss, &after);
                let dir = after.join("usage");
                let mut found = Vec::new();
                usage::audit(&dir, None, now(), &mut |_, used| found.push(used.clone()))
                    .unwrap_or_else(|error| panic!("step {at} {fault:?} {loss:?}: {error}"));
                assert!(promised.iter().all(|used| found.contains(used)), "step {at} {fault:?} {loss:?}");
                UsageLog::open(&dir, std::sync::Arc::new(RealDisk), now()).unwrap().finish().unwrap();
                losses += 1;
            }
            fs::remove_dir_all(&root).unwrap();
        }
    }
    assert!(losses > 200, "{losses}");
}
