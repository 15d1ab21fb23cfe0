//! The log of key usage: written before a signature leaves, and anything that is done to it later shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_base::code::{self, Explain as _};
use countersign_base::{Sha256Digest, Timestamp};
use countersign_crypto::{PublicKey, Signer, SignerError, sha256};
use countersign_keys::usage::{self, Audit, Head, MAX_USE_BYTES, Purpose, Recorded, UsageLog, Use};
use countersign_keys::{KeyInfo, KeysError};
use countersign_store::RealDisk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Then};

use crate::scene::{Scene, code, now, works};

fn purpose() -> Purpose {
    Purpose { role: "snapshot".to_owned(), why: "release node 1.4.0".to_owned() }
}

fn open(scene: &Scene) -> Result<UsageLog, KeysError> {
    UsageLog::open(&scene.keys.usage_path(), Arc::new(RealDisk), now())
}

fn use_of(info: &KeyInfo, message: &str) -> Use {
    Use::new(info, &purpose(), sha256(message.as_bytes()), now())
}

/// Records one use a message, in a process of its own each time.
fn record(scene: &Scene, info: &KeyInfo, messages: &[&str]) {
    for message in messages {
        open(scene).unwrap().record(&[use_of(info, message)]).unwrap();
    }
}

fn audit(scene: &Scene, remembered: Option<&Head>) -> Result<(Audit, Vec<Use>), KeysError> {
    let mut uses = Vec::new();
    let audit =
        usage::audit(&scene.keys.usage_path(), remembered, now(), &mut |_, used| uses.push(used.clone()))?;
    Ok((audit, uses))
}

fn signed(info: &KeyInfo, message: &str) -> (PublicKey, Sha256Digest) {
    (info.public.clone(), sha256(message.as_bytes()))
}

/// A signer that counts.
struct Counting(Box<dyn Signer>, Arc<AtomicUsize>);

impl Signer for Counting {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sign(message)
    }
}

#[test]
fn each_signature_has_its_entry() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let log = Arc::new(open(&scene).unwrap());
    let signer = scene.open(&info, "").unwrap();
    let signer = Recorded::new(signer, Arc::clone(&log), info.clone(), purpose(), now());
    works(&signer, &info);
    signer.sign(b"another").unwrap();
    drop((signer, log));
    let (audit, uses) = audit(&scene, None).unwrap();
    assert_eq!(uses, [use_of(&info, "message"), use_of(&info, "another")]);
    assert_eq!(audit.head.size, 2);
    assert_eq!(audit.clock_back, [0; 0]);
    audit.check(&[signed(&info, "message"), signed(&info, "another")]).unwrap();
}

#[test]
fn a_signature_that_the_log_lacks_is_found() {
    let scene = Scene::new();
    let (info, other) = (scene.plain("a"), scene.plain("b"));
    record(&scene, &info, &["one", "two"]);
    let (audit, _) = audit(&scene, None).unwrap();
    let public = [signed(&info, "one"), signed(&info, "stolen"), signed(&other, "two")];
    assert_eq!(audit.missing(&public), [&public[1], &public[2]]);
    let error = audit.check(&public).unwrap_err();
    assert_eq!(error.code(), code::KEY_USAGE_MISSING);
    assert!(error.to_string().contains(&info.public.to_string()), "{error}");
    assert!(error.to_string().ends_with(", and 1 more"), "{error}");
    audit.check(&public[..1]).unwrap();
}

/// The log cannot be written: at each step of the disk in turn. No signature without a durable record.
#[test]
fn nothing_is_signed_that_could_not_be_recorded() {
    let scene = Scene::new();
    let info = scene.plain("a");
    record(&scene, &info, &["before"]);
    let root = scene.keys.usage_path();
    let mut refused = 0;
    // The file is opened, written and synced.
    for at in 0..3 {
        for fault in Fault::ALL {
            let disk = FaultyDisk::counting(&root);
            let log = Arc::new(UsageLog::open(&root, disk.clone(), now()).unwrap());
            disk.restart(Some((at, fault, Then::GoesOn)));
            let count = Arc::new(AtomicUsize::new(0));
            let inner = Box::new(Counting(scene.open(&info, "").unwrap(), Arc::clone(&count)));
            let signer = Recorded::new(inner, Arc::clone(&log), info.clone(), purpose(), now());
            for _ in 0..2 {
                let error = signer.sign(format!("{at} {fault:?}").as_bytes()).unwrap_err();
                assert_eq!(error.code(), code::LOG_STORAGE_FAILED, "{at} {fault:?}");
                refused += 1;
            }
            assert_eq!(count.load(Ordering::SeqCst), 0, "the key was not touched");
        }
    }
    assert_eq!(refused, 3 * 4 * 2);
    record(&scene, &info, &["after"]);
    assert!(audit(&scene, None).is_ok());
}

/// Every byte of every file of a small log, flipped: the audit fails, or says the same as before.
#[test]
fn an_edited_log_is_damaged() {
    let scene = Scene::new();
    let info = scene.plain("a");
    record(&scene, &info, &["one", "two", "three"]);
    let (before, uses) = audit(&scene, None).unwrap();
    let root = scene.keys.usage_path();
    let mut seen = 0;
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if name.ends_with("lock") {
            continue;
        }
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            match audit(&scene, None) {
                Err(error) => {
                    let expected = [code::KEY_USAGE_DAMAGED, code::KEY_MALFORMED, code::KEY_WEAK];
                    assert!(expected.contains(&error.code()), "{name} byte {at}: {error}");
                    seen += usize::from(error.code() == code::KEY_USAGE_DAMAGED);
                }
                Ok((after, same)) => {
                    assert_eq!((after.head, &same), (before.head, &uses), "{name} byte {at}");
                }
            }
            fs::write(&path, &good).unwrap();
        }
    }
    assert!(seen > 100, "{seen}");
    assert!(audit(&scene, None).is_ok());
}

#[test]
fn a_reordered_log_is_damaged() {
    let scene = Scene::new();
    let info = scene.plain("a");
    record(&scene, &info, &["one", "two"]);
    // Opening takes the smaller tiles away.
    audit(&scene, None).unwrap();
    let bundle =
        files(&scene.keys.usage_path()).into_iter().find(|path| path.to_string_lossy().contains("entries"));
    let bundle = bundle.unwrap();
    let bytes = fs::read(&bundle).unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) + 2;
    fs::write(&bundle, [&bytes[length..], &bytes[..length]].concat()).unwrap();
    let error = audit(&scene, None).err().unwrap();
    assert_eq!(error.code(), code::KEY_USAGE_DAMAGED);
    assert!(error.to_string().contains("tile/entries/000.p/2"), "{error}");
    fs::write(&bundle, &bytes).unwrap();
    assert!(audit(&scene, None).is_ok());
}

#[test]
fn a_log_that_was_cut_or_begun_anew_contradicts_a_remembered_head() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    let older = scene.outside().join("older");
    record(&scene, &info, &["one"]);
    copy(&root, &older);
    let early = audit(&scene, None).unwrap().0.head;
    record(&scene, &info, &["two", "three"]);
    let head = audit(&scene, Some(&early)).unwrap().0.head;
    assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
    audit(&scene, Some(&head)).unwrap();

    // The whole folder from an older copy, which is a good log by itself.
    let newer = scene.outside().join("newer");
    fs::rename(&root, &newer).unwrap();
    copy(&older, &root);
    audit(&scene, Some(&early)).unwrap();
    let error = audit(&scene, Some(&head)).err().unwrap();
    assert_eq!(error.code(), code::KEY_USAGE_DAMAGED);
    assert!(error.to_string().contains("it has 1 entries and had 3"), "{error}");

    // Begun anew, and filled up.
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(code(audit(&scene, Some(&head)).map(drop)), code::KEY_USAGE_DAMAGED);
    assert_eq!(audit(&scene, None).unwrap().0.head.size, 0);
    assert!(!root.exists(), "an audit makes no log");
    record(&scene, &info, &["one", "two", "other", "four"]);
    let error = audit(&scene, Some(&head)).err().unwrap();
    assert_eq!(error.code(), code::KEY_USAGE_DAMAGED);
    assert!(error.to_string().contains("its first 3 entries"), "{error}");

    fs::remove_dir_all(&root).unwrap();
    fs::rename(&newer, &root).unwrap();
    audit(&scene, Some(&head)).unwrap();
    for text in ["", "3", "3:", "03:00", &format!("+{head}"), &head.to_string().to_uppercase()] {
        assert_eq!(code(text.parse::<Head>()), code::USAGE, "{text:?}");
    }
}

#[test]
fn parts_of_the_log_cannot_be_taken_from_an_older_copy() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    record(&scene, &info, &["one"]);
    audit(&scene, None).unwrap();
    let older = scene.outside().join("older");
    copy(&root, &older);
    record(&scene, &info, &["two"]);
    audit(&scene, None).unwrap();
    let newer = scene.outside().join("newer");
    copy(&root, &newer);
    for part in ["public", "private", "usage.key"] {
        fs::remove_dir_all(&root).unwrap();
        copy(&newer, &root);
        let path = root.join(part);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        let code = code(audit(&scene, None).map(drop));
        assert_eq!(code, code::KEY_USAGE_DAMAGED, "{part} lost");
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        }
    }
    fs::remove_dir_all(&root).unwrap();
    copy(&newer, &root);
    fs::remove_dir_all(root.join("public")).unwrap();
    copy(&older.join("public"), &root.join("public"));
    assert_eq!(code(audit(&scene, None).map(drop)), code::KEY_USAGE_DAMAGED, "older tiles");
    fs::remove_dir_all(&root).unwrap();
    copy(&newer, &root);
    audit(&scene, None).unwrap();
}

#[test]
fn a_clock_that_was_set_back_is_told() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let log = open(&scene).unwrap();
    let at = |seconds| Timestamp::from_unix(now().as_unix() + seconds).unwrap();
    for seconds in [0, 60, 30, 90] {
        let used = Use::new(&info, &purpose(), sha256(&[seconds as u8]), at(seconds));
        log.record(&[used]).unwrap();
    }
    drop(log);
    assert_eq!(audit(&scene, None).unwrap().0.clock_back, [2]);
}

#[test]
fn odd_names_do_not_keep_a_use_out_of_the_log() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let odd = Purpose { role: "\u{202e}\n\"ro/le\" ".repeat(200), why: String::new() };
    let used = Use::new(&info, &odd, sha256(b"x"), now());
    assert!(used.role.len() <= usage::MAX_ROLE_BYTES && !used.role.contains('\n'));
    open(&scene).unwrap().record(std::slice::from_ref(&used)).unwrap();
    assert_eq!(audit(&scene, None).unwrap().1, [used]);
}

#[test]
fn many_runs_leave_few_files() {
    let scene = Scene::new();
    let info = scene.plain("a");
    for run in 0..40 {
        record(&scene, &info, &[&format!("{run}")]);
    }
    audit(&scene, None).unwrap();
    let count = files(&scene.keys.usage_path()).len();
    assert!(count < 15, "{count} files after 40 runs");
}

#[test]
fn a_group_is_one_write_and_its_parts_are_not_written_again() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    record(&scene, &info, &["zero"]);
    let disk = FaultyDisk::counting(&root);
    let log = Arc::new(UsageLog::open(&root, disk.clone(), now()).unwrap());
    log.record(&[use_of(&info, "first")]).unwrap();
    let before = disk.steps();
    let uses: Vec<Use> = (0..50).map(|number| use_of(&info, &number.to_string())).collect();
    log.record(&uses).unwrap();
    assert_eq!(disk.steps() - before, 2);
    let signer =
        Recorded::new(scene.open(&info, "").unwrap(), Arc::clone(&log), info.clone(), purpose(), now());
    for number in 0..50 {
        signer.sign(number.to_string().as_bytes()).unwrap();
    }
    assert_eq!(disk.steps() - before, 2, "each was recorded in the group");
}

/// An act signs several things in memory and lets all of them out at once.
#[test]
fn what_is_noted_is_recorded_when_it_is_settled() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    record(&scene, &info, &["zero"]);
    let disk = FaultyDisk::counting(&root);
    let log = Arc::new(UsageLog::open(&root, disk.clone(), now()).unwrap());
    let signer = |purpose| {
        let signer = scene.open(&info, "").unwrap();
        Recorded::new(signer, Arc::clone(&log), info.clone(), purpose, now()).noted()
    };
    for message in ["one", "two", "three"] {
        works(&signer(purpose()), &info);
        signer(purpose()).sign(message.as_bytes()).unwrap();
    }
    assert_eq!(disk.steps(), 0, "nothing is written yet");
    log.settle().unwrap();
    // One file that is opened, written and synced.
    assert_eq!(disk.steps(), 3);
    log.settle().unwrap();
    assert_eq!(disk.steps(), 3, "there is nothing more");
    drop(log);
    let (audit, uses) = audit(&scene, None).unwrap();
    assert_eq!(uses.len(), 5, "{uses:?}");
    audit.check(&["one", "two", "three"].map(|message| signed(&info, message))).unwrap();
}

/// A use that is in the file alone: any byte of it that is changed shows, but for the last group, which looks torn.
#[test]
fn an_edited_use_is_damage_before_it_is_in_the_tree() {
    let scene = Scene::new();
    let info = scene.plain("a");
    record(&scene, &info, &["one", "two", "three"]);
    let root = scene.keys.usage_path();
    let path = root.join("recent");
    let good = fs::read(&path).unwrap();
    let last = good.len() - good.len().div_euclid(3);
    for at in (0..good.len()).step_by(5) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        match open(&scene).map(drop) {
            Ok(()) => assert!(at > last - 30, "byte {at}"),
            Err(error) => assert_eq!(error.code(), code::KEY_USAGE_DAMAGED, "byte {at}: {error}"),
        }
    }
    // Cut to any length, it is begun with the groups that are whole.
    for len in (0..good.len()).step_by(11) {
        fs::write(&path, &good[..len]).unwrap();
        match open(&scene) {
            Ok(log) => log.record(&[use_of(&info, "four")]).unwrap(),
            Err(error) => assert!(len < 30 && error.code() == code::KEY_USAGE_DAMAGED, "{len}: {error}"),
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(len < 30 || text.contains("four") || text.ends_with('\n'), "{text}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(audit(&scene, None).unwrap().1.len(), 3);
    assert!(!path.exists(), "all of it is in the tree");
}

/// Whoever uses keys for years has a file of some hundred uses and a tree.
#[test]
fn a_long_file_of_recent_uses_goes_into_the_tree() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    let many = |from: usize| (from..from + 1000).map(|number| use_of(&info, &number.to_string())).collect();
    let (first, second): (Vec<Use>, Vec<Use>) = (many(0), many(1000));
    open(&scene).unwrap().record(&first).unwrap();
    assert!(fs::metadata(root.join("recent")).unwrap().len() > 256 * 1024);
    open(&scene).unwrap().record(&second).unwrap();
    assert!(root.join("public").exists());
    let (audit, uses) = audit(&scene, None).unwrap();
    assert_eq!((audit.head.size, uses.len()), (2000, 2000));
}

#[test]
fn what_a_crash_leaves_is_read_back() {
    let scene = Scene::new();
    let info = scene.plain("a");
    let root = scene.keys.usage_path();
    let log = open(&scene).unwrap();
    log.record(&[use_of(&info, "one")]).unwrap();
    // As after a crash: nobody closed it.
    let copied = scene.outside().join("copied");
    copy(&root, &copied);
    drop(log);
    let mut uses = Vec::new();
    usage::audit(&copied, None, now(), &mut |_, used| uses.push(used.clone())).unwrap();
    assert_eq!(uses, [use_of(&info, "one")]);
}

#[test]
fn two_runs_at_one_time_take_turns() {
    let scene = Scene::new();
    let info = scene.plain("a");
    std::thread::scope(|scope| {
        for run in 0..4 {
            let (scene, info) = (&scene, &info);
            scope.spawn(move || {
                let log = open(scene).unwrap();
                let signer = scene.open(info, "").unwrap();
                let signer = Recorded::new(signer, Arc::new(log), info.clone(), purpose(), now());
                signer.sign(format!("{run}").as_bytes()).unwrap();
            });
        }
    });
    let (audit, uses) = audit(&scene, None).unwrap();
    assert_eq!((audit.head.size, uses.len()), (4, 4));
    audit.check(&["0", "1", "2", "3"].map(|run| signed(&info, run))).unwrap();
}

#[test]
fn an_entry_has_a_fixed_form_and_a_limit() {
    let scene = Scene::new();
    let info = scene.plain("root-1");
    record(&scene, &info, &["x"]);
    audit(&scene, None).unwrap();
    let bundle =
        files(&scene.keys.usage_path()).into_iter().find(|path| path.to_string_lossy().contains("entries"));
    let bytes = fs::read(bundle.unwrap()).unwrap();
    let want = format!(
        r#"{{"apiVersion":"0.0.1","holder":"alice","key":"root-1","kind":"keyuse","public":"{}","role":"snapshot","sha256":"{}","when":"2026-11-21T14:00:00Z","why":"release node 1.4.0"}}"#,
        info.public,
        sha256(b"x")
    );
    assert_eq!(&bytes[2..], want.as_bytes());
    assert!(want.len() < MAX_USE_BYTES);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}
