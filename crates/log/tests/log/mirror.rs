//! Mirroring: what is copied is right, whatever the source serves, wherever it stops.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use countersign_base::code::{self, Code, Explain as _};
use countersign_log::mirror::{
    Claim, Evidence, MirrorError, Source, SourceError, range_at, trusted_checkpoint, walk,
};
use countersign_log::{Mirror, Sequencer, Trust, fsck};
use countersign_store::{Dir, Disk};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tlog::VerifierKey;

use crate::support::{
    ORIGIN, copy, cosigners, entries, entry, log_of, log_vkey, now, open, policy, quick, scratch, secret,
    witness,
};

/// A log in `root/log` with these sizes published one after the other.
fn published(root: &Path, sizes: &[u64]) -> Sequencer {
    let mut log = log_of(root, 0);
    let witness = witness(quick(root), root);
    for size in sizes {
        grow(&mut log, *size);
        log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
    }
    log
}

fn grow(log: &mut Sequencer, size: u64) {
    while log.size() < size {
        let from = log.size();
        log.append(&entries(from, size.min(from + 50_000)), now()).expect("entries");
    }
}

/// The same log as it might have gone on: `kept` entries are the same.
fn forked(root: &Path, kept: u64, size: u64) {
    let mut log = log_of(root, kept);
    log.append(&entries(10_000 + kept, 10_000 + size), now()).expect("entries");
    let witness = witness(quick(root), root);
    log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
}

fn source(root: &Path) -> Dir {
    Dir::existing(&root.join("log")).expect("a log")
}

type Tamper = fn(Vec<u8>) -> Option<Vec<u8>>;
type Answer = dyn Fn(&str, Option<Vec<u8>>) -> Option<Vec<u8>> + Send + Sync;

/// A source that answers as a test wants, and remembers what it was asked for.
struct Hostile {
    honest: Dir,
    answer: Box<Answer>,
    asked: Mutex<Vec<String>>,
}

impl Hostile {
    fn new(
        root: &Path,
        answer: impl Fn(&str, Option<Vec<u8>>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { honest: source(root), answer: Box::new(answer), asked: Mutex::default() }
    }
}

impl Source for Hostile {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.asked.lock().expect("no panic").push(path.to_owned());
        Ok((self.answer)(path, self.honest.fetch(path, limit)?))
    }
}

fn open_mirror(root: &Path) -> Mirror {
    Mirror::open_on(quick(root), &root.join("mirror")).expect("a mirror")
}

fn update(mirror: &mut Mirror, source: &dyn Source) -> Result<countersign_log::mirror::Update, MirrorError> {
    mirror.update(source, Trust::Policy(&policy(), now()), 4)
}

/// The public files of a log or mirror.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for item in fs::read_dir(folder).expect("a folder") {
            let path = item.expect("an item").path();
            if path.is_dir() {
                if !path.ends_with(".countersign") {
                    walk(root, &path, found);
                }
            } else {
                found.insert(
                    path.strip_prefix(root).expect("inside").to_owned(),
                    fs::read(&path).expect("a file"),
                );
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// Without the partial files whose full ones are there.
fn uncovered(mut files: BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Vec<u8>> {
    let all: Vec<PathBuf> = files.keys().cloned().collect();
    let full = |path: &Path| path.to_str()?.split_once(".p/").map(|(full, _)| PathBuf::from(full));
    files.retain(|path, _| full(path).is_none_or(|full| all.binary_search(&full).is_err()));
    files
}

#[track_caller]
fn refused(result: Result<countersign_log::mirror::Update, MirrorError>, code: Code) -> MirrorError {
    let error = result.expect_err("it is refused");
    assert_eq!(error.code(), code, "{error}");
    error
}

#[test]
fn a_mirror_has_every_file_of_the_tree_and_follows() {
    let temp = scratch();
    let mut log = published(temp.path(), &[300]);
    let mut mirror = open_mirror(temp.path());
    let first = update(&mut mirror, &source(temp.path())).unwrap();
    assert_eq!((first.from, first.size, first.witnesses.len()), (0, 300, 1));
    assert_eq!(files(&temp.path().join("mirror")), files(&temp.path().join("log")));

    let again = update(&mut mirror, &source(temp.path())).unwrap();
    assert_eq!((again.from, again.size, again.bytes), (300, 300, 0), "nothing is new");

    grow(&mut log, 70_000);
    let witness = witness(quick(temp.path()), temp.path());
    log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
    let next = update(&mut mirror, &source(temp.path())).unwrap();
    assert_eq!((next.from, next.size), (300, 70_000));
    assert_eq!(next.removed, 3, "the partial tiles and bundle of 300 entries");
    assert!(files(&temp.path().join("mirror")) == uncovered(files(&temp.path().join("log"))));
    fsck(&temp.path().join("mirror"), Trust::Policy(&policy(), now())).unwrap();
}

#[test]
fn partial_files_that_the_log_has_taken_away_are_made_from_the_full_ones() {
    let temp = scratch();
    // The checkpoint of 300 is asked for when the log has grown to 600.
    drop(published(temp.path(), &[300]));
    let checkpoint = fs::read(temp.path().join("log/checkpoint")).unwrap();
    let mut log = open(quick(temp.path()), temp.path()).unwrap();
    log.append(&entries(300, 600), now()).unwrap();
    log.integrate(now()).unwrap();
    let hostile = Hostile::new(temp.path(), move |path, honest| match path {
        "checkpoint" => Some(checkpoint.clone()),
        "tile/0/001.p/44" | "tile/entries/001.p/44" => None,
        _ => honest,
    });
    let mut mirror = open_mirror(temp.path());
    assert_eq!(update(&mut mirror, &hostile).unwrap().size, 300);
    fsck(&temp.path().join("mirror"), Trust::Policy(&policy(), now())).unwrap();
}

#[test]
fn only_a_checkpoint_of_the_log_that_meets_the_policy_is_taken() {
    let temp = scratch();
    published(temp.path(), &[300]);
    let mut mirror = open_mirror(temp.path());
    let alone = Hostile::new(temp.path(), |path, honest| match path {
        "checkpoint" => {
            let text = String::from_utf8(honest?).unwrap();
            Some(
                text.lines()
                    .filter(|line| !line.contains("witness"))
                    .map(|l| format!("{l}\n"))
                    .collect::<String>()
                    .into(),
            )
        }
        _ => honest,
    });
    refused(update(&mut mirror, &alone), code::LOG_QUORUM_NOT_MET);
    let other = VerifierKey::for_log(ORIGIN, secret(9).public_key()).unwrap();
    let by_key =
        |mirror: &mut Mirror, key: VerifierKey| mirror.update(&source(temp.path()), Trust::Keys(&[key]), 1);
    refused(by_key(&mut mirror, other), code::LOG_KEY_UNKNOWN);
    let nothing = Hostile::new(temp.path(), |path, honest| honest.filter(|_| path != "checkpoint"));
    refused(update(&mut mirror, &nothing), code::LOG_TILE_MISSING);
    assert!(files(&temp.path().join("mirror")).is_empty(), "nothing was put");
    by_key(&mut mirror, log_vkey()).unwrap();
}

/// L11: whichever file of the source is wrong or missing, it is named, and readers see the tree before.
#[test]
fn l11_every_wrong_file_of_the_source_is_named_and_nothing_wrong_is_put() {
    let temp = scratch();
    published(temp.path(), &[3, 70_000]);
    let honest = files(&temp.path().join("log"));
    // Those of the tree that is copied; level 0 is made from entries, and the tile that says which is wrong
    // is read.
    let read = [
        "tile/2/000.p/1",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/0/273.p/112",
        "tile/entries/007",
        "tile/entries/273.p/112",
    ];
    for name in read {
        assert!(honest.contains_key(Path::new(name)), "{name}");
        let tampers: [(&str, Tamper, Code); 5] = [
            (
                "flipped",
                |mut bytes| {
                    bytes[9] ^= 1;
                    Some(bytes)
                },
                code::LOG_TILE_MISMATCH,
            ),
            (
                "cut",
                |mut bytes| {
                    bytes.pop();
                    Some(bytes)
                },
                code::LOG_TILE_MISMATCH,
            ),
            (
                "longer",
                |mut bytes| {
                    bytes.push(0);
                    Some(bytes)
                },
                code::LOG_TILE_MISMATCH,
            ),
            ("empty", |_| Some(Vec::new()), code::LOG_TILE_MISMATCH),
            ("missing", |_| None, code::LOG_TILE_MISSING),
        ];
        for (what, tamper, code) in tampers {
            let hostile = Hostile::new(
                temp.path(),
                move |path, honest| if path == name { tamper(honest?) } else { honest },
            );
            let run = scratch();
            let mut mirror = open_mirror(run.path());
            let error = refused(update(&mut mirror, &hostile), code);
            assert!(error.to_string().contains(name), "{what}: {name} is named: {error}");
            let put = files(&run.path().join("mirror"));
            assert!(
                put.iter().all(|(path, bytes)| honest.get(path) == Some(bytes)),
                "{what} {name}: only what is right"
            );
            assert!(!put.contains_key(Path::new("checkpoint")));
            // One honest source, and no cleaning.
            update(&mut mirror, &source(temp.path())).unwrap();
            assert_eq!(mirror.published().unwrap().checkpoint().size(), 70_000);
        }
    }
    // A wrong tile of level 0 under good entries does no harm.
    let hostile = Hostile::new(temp.path(), |path, honest| if path == "tile/0/007" { None } else { honest });
    let run = scratch();
    update(&mut open_mirror(run.path()), &hostile).unwrap();
    assert_eq!(files(&run.path().join("mirror"))[Path::new("tile/0/007")], honest[Path::new("tile/0/007")]);
}

#[test]
fn l02_a_smaller_tree_is_refused_and_both_checkpoints_are_kept() {
    let temp = scratch();
    let small = scratch();
    published(small.path(), &[200]);
    published(temp.path(), &[300]);
    let mut mirror = open_mirror(temp.path());
    update(&mut mirror, &source(temp.path())).unwrap();
    let before = files(&temp.path().join("mirror"));
    let error = refused(update(&mut mirror, &source(small.path())), code::LOG_ROLLBACK);
    let MirrorError::Rollback { held: 300, got: 200, evidence: Some(kept), .. } = error else {
        panic!("{error}")
    };
    let evidence = Evidence::parse(&fs::read(kept).unwrap()).unwrap();
    assert_eq!(evidence.claim, Claim::WentBack);
    let shown = evidence.verify(&[log_vkey()]).unwrap();
    assert_eq!((shown.sizes, shown.proves_split_view), ((200, 300), false));
    assert_eq!(files(&temp.path().join("mirror")), before);
    update(&mut mirror, &source(temp.path())).unwrap();
}

/// L01: (c) two histories are told apart at any two sizes, in either order, and the file proves it to a third
/// party.
#[test]
fn l01_a_fork_is_refused_and_evidence_is_kept_that_anybody_can_verify() {
    // Kept entries, size of the fork: of the same size, larger, smaller, and either side of a tile.
    for (kept, size) in [(299, 300), (100, 301), (3, 700), (1, 200), (0, 256), (255, 257)] {
        let (temp, fork) = (scratch(), scratch());
        published(temp.path(), &[300]);
        forked(fork.path(), kept, size);
        let mut mirror = open_mirror(temp.path());
        update(&mut mirror, &source(temp.path())).unwrap();
        let before = files(&temp.path().join("mirror"));
        let error = refused(update(&mut mirror, &source(fork.path())), code::LOG_SPLIT_VIEW);
        let MirrorError::SplitView { sizes, evidence: Some(kept), .. } = &error else { panic!("{error}") };
        assert_eq!(*sizes, (size.min(300), size.max(300)));
        let bytes = fs::read(kept).unwrap();
        let evidence = Evidence::parse(&bytes).unwrap();
        let shown = evidence.verify(&[log_vkey()]).unwrap();
        assert!(shown.proves_split_view, "{sizes:?}");
        assert_eq!(files(&temp.path().join("mirror")), before, "readers see what they saw");
        evidence_cannot_be_bent(&evidence);
        // The honest log goes on.
        update(&mut mirror, &source(temp.path())).unwrap();
    }
}

/// Evidence changed in one way shows nothing.
fn evidence_cannot_be_bent(good: &Evidence) {
    let stranger = VerifierKey::for_log(ORIGIN, secret(9).public_key()).expect("it is good");
    assert_eq!(good.verify(&[stranger]).expect_err("it is refused").code(), code::LOG_KEY_UNKNOWN);
    let same = Evidence { second: good.first.clone(), ..good.clone() };
    assert_eq!(same.verify(&[log_vkey()]).expect_err("it is refused").code(), code::LOG_CONSISTENCY_INVALID);
    if let Claim::NotAPrefix { root, consistency } = &good.claim {
        let first = good.verify(&[log_vkey()]).expect("it is good").first_root;
        for claim in [
            Claim::NotAPrefix { root: first, consistency: consistency.clone() },
            Claim::NotAPrefix { root: *root, consistency: consistency[1..].to_vec() },
            Claim::TwoRoots,
        ] {
            let bent = Evidence { claim, ..good.clone() };
            assert_eq!(
                bent.verify(&[log_vkey()]).expect_err("it is refused").code(),
                code::LOG_CONSISTENCY_INVALID
            );
        }
    }
    let text = String::from_utf8(good.encode()).expect("it is good");
    for bad in [
        text.trim_end().to_owned(),
        text.replace("0.0.1", "0.0.2"),
        text.replace("logsplitview", "x"),
        format!(" {text}"),
    ] {
        assert_eq!(
            Evidence::parse(bad.as_bytes()).expect_err("it is refused").code(),
            code::LOG_PROOF_MALFORMED,
            "{bad}"
        );
    }
}

/// A tree whose copying broke off counts as seen: its log cannot go on from somewhere else.
#[test]
fn l01_a_fork_of_a_tree_that_was_never_wholly_copied_is_told() {
    let (temp, fork) = (scratch(), scratch());
    published(temp.path(), &[300]);
    forked(fork.path(), 200, 400);
    let mut mirror = open_mirror(temp.path());
    let broken = Hostile::new(temp.path(), |path, honest| honest.filter(|_| path != "tile/entries/001.p/44"));
    refused(update(&mut mirror, &broken), code::LOG_TILE_MISSING);
    drop(mirror);
    let mut mirror = open_mirror(temp.path());
    assert!(mirror.published().is_none());
    refused(update(&mut mirror, &source(fork.path())), code::LOG_SPLIT_VIEW);
    update(&mut mirror, &source(temp.path())).unwrap();
}

#[test]
fn another_log_is_not_mirrored_into_the_same_folder() {
    let temp = scratch();
    published(temp.path(), &[3]);
    let mut mirror = open_mirror(temp.path());
    let other = scratch();
    let key = countersign_log::LogKey::new("log.example/other", Box::new(secret(1))).unwrap();
    let vkey = key.verifier().clone();
    let mut log = Sequencer::open_on(
        quick(other.path()),
        &other.path().join("private"),
        &other.path().join("log"),
        key,
        now(),
    )
    .unwrap();
    log.append(&entries(0, 5), now()).unwrap();
    let signed = log.integrate(now()).unwrap().encode();
    fs::write(other.path().join("log/checkpoint"), signed).unwrap();
    let keys = [log_vkey(), vkey];
    mirror.update(&source(temp.path()), Trust::Keys(&keys), 1).unwrap();
    refused(mirror.update(&source(other.path()), Trust::Keys(&keys), 1), code::LOG_ORIGIN_MISMATCH);
}

#[test]
fn a_folder_that_is_a_log_is_not_a_mirror() {
    let temp = scratch();
    published(temp.path(), &[3]);
    let error = Mirror::open_on(quick(temp.path()), &temp.path().join("log")).unwrap_err();
    assert_eq!(error.code(), code::USAGE);
    let held = open_mirror(temp.path());
    let error = Mirror::open_on(quick(temp.path()), &temp.path().join("mirror")).unwrap_err();
    assert_eq!(error.code(), code::LOG_WRITER_CONFLICT);
    drop(held);
    open_mirror(temp.path());
}

/// A bit that flips in what the mirror has does not accuse the log.
#[test]
fn damage_to_the_mirror_is_told_as_such() {
    let temp = scratch();
    let mut log = published(temp.path(), &[300]);
    let mut mirror = open_mirror(temp.path());
    update(&mut mirror, &source(temp.path())).unwrap();
    drop(mirror);
    let path = temp.path().join("mirror/checkpoint");
    let good = fs::read_to_string(&path).unwrap();
    let root = good.lines().nth(2).unwrap().to_owned();
    let changed = if root.starts_with('A') { root.replacen('A', "B", 1) } else { format!("A{}", &root[1..]) };
    fs::write(&path, good.replace(&root, &changed)).unwrap();
    refused(update(&mut open_mirror(temp.path()), &source(temp.path())), code::LOG_STORAGE_CORRUPT);
    fs::write(&path, good).unwrap();
    // A file beyond the public checkpoint that is not what it was.
    log.append(&entries(300, 520), now()).unwrap();
    let witness = witness(quick(temp.path()), temp.path());
    log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
    fs::write(temp.path().join("mirror/tile/entries/001"), b"other").unwrap();
    let error =
        refused(update(&mut open_mirror(temp.path()), &source(temp.path())), code::LOG_STORAGE_CORRUPT);
    assert!(error.to_string().contains("tile/entries/001"), "{error}");
    fs::remove_file(temp.path().join("mirror/tile/entries/001")).unwrap();
    update(&mut open_mirror(temp.path()), &source(temp.path())).unwrap();
}

#[test]
fn what_an_interrupted_run_has_is_not_fetched_again() {
    let temp = scratch();
    published(temp.path(), &[2000]);
    let mut mirror = open_mirror(temp.path());
    let broken = Hostile::new(temp.path(), |path, honest| honest.filter(|_| path != "tile/entries/006"));
    let one =
        |mirror: &mut Mirror, source: &Hostile| mirror.update(source, Trust::Policy(&policy(), now()), 1);
    refused(one(&mut mirror, &broken), code::LOG_TILE_MISSING);
    let honest = Hostile::new(temp.path(), |_, honest| honest);
    let update = one(&mut mirror, &honest).unwrap();
    assert_eq!(update.resumed, 6);
    let asked = honest.asked.into_inner().unwrap();
    assert_eq!(asked.iter().filter(|path| path.starts_with("tile/entries/")).count(), 2, "{asked:?}");
}

/// The work of the crash tests: from 254 entries to 600, by one thread so that the steps are the same each
/// time.
fn work(disk: &Arc<FaultyDisk>, root: &Path, log: &Path) -> Result<(), MirrorError> {
    let mut mirror = Mirror::open_on(Arc::clone(disk) as Arc<dyn Disk>, &root.join("mirror"))?;
    mirror.update(&source(log), Trust::Policy(&policy(), now()), 1)?;
    Ok(())
}

/// What readers see is always a whole tree, 254 or 600; another run ends the work, and the log's history is
/// kept.
fn check(root: &Path, log: &Path, honest: &BTreeMap<PathBuf, Vec<u8>>, case: &str) {
    let report = fsck(&root.join("mirror"), Trust::Policy(&policy(), now()))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!([254, 600].contains(&report.size), "{case}: {}", report.size);
    let mut mirror = open_mirror(root);
    update(&mut mirror, &source(log)).unwrap_or_else(|error| panic!("{case}: {error}"));
    fsck(&root.join("mirror"), Trust::Policy(&policy(), now()))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let held = files(&root.join("mirror"));
    assert!(held.iter().all(|(path, bytes)| honest.get(path) == Some(bytes)), "{case}");
    assert!(held == uncovered(held.clone()), "{case}: a partial file is left whose full one is there");
    let private: Vec<_> = fs::read_dir(root.join("mirror/.countersign"))
        .expect("a folder")
        .map(|item| item.expect("an item").file_name())
        .collect();
    assert_eq!(private.len(), 2, "{case}: {private:?}");
}

#[test]
fn l16_l17_a_mirror_survives_a_failure_at_every_step() {
    let temp = scratch();
    let log = temp.path().join("log-side");
    fs::create_dir(&log).unwrap();
    published(&log, &[254]);
    let prepared = temp.path().join("prepared");
    fs::create_dir(&prepared).unwrap();
    update(&mut open_mirror(&prepared), &source(&log)).unwrap();
    let mut sequencer = open(quick(&log), &log).unwrap();
    sequencer.append(&entries(254, 600), now()).unwrap();
    let witness = witness(quick(&log), &log);
    sequencer.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
    let honest = files(&log.join("log"));

    let count = temp.path().join("count");
    copy(&prepared, &count);
    let counting = FaultyDisk::counting(&count);
    work(&counting, &count, &log).unwrap();
    assert!(counting.steps() > 20, "{}", counting.steps());
    for at in 0..counting.steps() {
        for (fault, then) in [
            (Fault::Lost, Then::Dies),
            (Fault::Torn, Then::Dies),
            (Fault::DoneButFailed, Then::Dies),
            (Fault::Lost, Then::GoesOn),
            (Fault::NoSpace, Then::GoesOn),
        ] {
            let run = scratch();
            let root = run.path().join("run");
            copy(&prepared, &root);
            let disk = FaultyDisk::failing(&root, at, fault, then);
            let _ = work(&disk, &root, &log);
            for loss in Loss::ALL {
                let after = run.path().join(format!("{loss:?}"));
                disk.after(loss, &after);
                check(&after, &log, &honest, &format!("step {at} {fault:?} {then:?} {loss:?}"));
            }
        }
    }
}

#[test]
fn entries_are_shown_in_order_from_any_index_and_roots_of_any_size_are_proven() {
    let temp = scratch();
    let log = published(temp.path(), &[70_000]);
    let source = source(temp.path());
    let signed = trusted_checkpoint(&source, Trust::Policy(&policy(), now())).unwrap();
    for from in [0, 1, 255, 256, 65_535, 65_537, 69_999, 70_000] {
        let mut next = from;
        walk(&source, signed.checkpoint(), from, |proven| {
            assert_eq!(proven.first, next);
            for (bytes, leaf) in proven.entries.iter().zip(proven.leaves) {
                assert_eq!(*bytes, entry(next));
                assert_eq!(*leaf, countersign_tlog::merkle::leaf_hash(bytes));
                next += 1;
            }
            Ok::<(), MirrorError>(())
        })
        .unwrap();
        assert_eq!(next, 70_000);
    }
    let root = range_at(&source, signed.checkpoint(), 300).unwrap().root();
    let proof = log.consistency(300, 70_000).unwrap();
    countersign_tlog::merkle::verify_consistency(300, 70_000, &root, signed.checkpoint().root(), &proof)
        .unwrap();
}
