//! `repair`: what the signed checkpoint requires comes back, from entries alone; anything else stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_base::code::{self, Explain as _};
use countersign_log::repair::{Help, Made, Repaired, Was};
use countersign_log::{Trust, fsck, repair};
use countersign_store::Dir;

use crate::support::{copy, cosigners, entries, entry, log_of, now, policy, quick, scratch, witness};

/// A log of 70,000 entries, published at 3, 300 and 70,000, in `root/log`.
fn published(root: &Path) {
    let mut log = log_of(root, 0);
    let witness = witness(quick(root), root);
    for size in [3, 300, 40_000, 70_000] {
        log.append(&entries(log.size(), size), now()).expect("entries");
        if size != 40_000 {
            log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
        }
    }
}

fn trust(policy: &countersign_tlog::policy::Policy) -> Trust<'_> {
    Trust::Policy(policy, now())
}

fn mend(log: &Path, help: &Help<'_>) -> Repaired {
    repair(log, trust(&policy()), help).expect("the checkpoint is there")
}

fn is_whole(log: &Path) -> bool {
    fsck(log, trust(&policy())).is_ok()
}

/// Every public file but the checkpoint.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for item in fs::read_dir(folder).expect("a folder") {
            let path = item.expect("an item").path();
            if path.is_dir() {
                walk(root, &path, found);
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
    found.remove(Path::new("checkpoint"));
    found
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// Each way in which a file can be damaged; `None` is that it is gone.
fn damages(good: &[u8]) -> [Option<Vec<u8>>; 4] {
    [Some(flipped(good)), Some(good[..good.len() - 1].to_vec()), Some(Vec::new()), None]
}

fn damage(path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => fs::write(path, bytes).expect("a file"),
        None => fs::remove_file(path).expect("a file"),
    }
}

/// Whether it is a partial file of an earlier size.
fn is_older(name: &str) -> bool {
    let own = ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"];
    name.contains(".p/") && !own.contains(&name)
}

/// The files of which one of each kind is enough: full and partial tiles of each level, bundles, older ones.
fn samples(all: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    all.keys()
        .filter(|path| {
            let name = path.to_str().expect("a name");
            let one_of_many =
                ["tile/0/000", "tile/0/128", "tile/0/272", "tile/entries/000", "tile/entries/272"];
            !(name.starts_with("tile/0/") || name.starts_with("tile/entries/"))
                || name.contains(".p/")
                || one_of_many.contains(&name)
        })
        .cloned()
        .collect()
}

#[test]
fn l18_each_file_damaged_in_turn_is_named_and_mended_or_told_why_not() {
    let temp = scratch();
    published(temp.path());
    let (log, pristine) = (temp.path().join("log"), scratch());
    copy(&log, &pristine.path().join("log"));
    let all = files(&log);
    assert!(is_whole(&log));
    let samples = samples(&all);
    assert!(samples.len() >= 14, "{samples:?}");
    for name in samples {
        let text = name.to_str().unwrap();
        let good = &all[&name];
        for (number, bad) in damages(good).into_iter().enumerate() {
            // Cut and empty ones are of the same kind for all.
            if matches!(number, 1 | 2) && !text.ends_with("/000") {
                continue;
            }
            damage(&log.join(&name), bad.as_deref());
            let was = if bad.is_some() { Was::Wrong } else { Was::Missing };
            match fsck(&log, trust(&policy())) {
                Err(error) => assert!(error.to_string().contains(text), "fsck names {text}: {error}"),
                // A smaller partial file that is gone is not missed: the log may take it away.
                Ok(_) => assert!(was == Was::Missing && is_older(text), "{text}"),
            }
            // Alone: tiles always, bundles where another bundle has the entries.
            let alone = mend(&log, &Help::default());
            if text.starts_with("tile/entries/") && !is_older(text) {
                assert!(alone.mended.is_empty(), "{text}: {alone:?}");
                assert_eq!(alone.left.len(), 1, "{text}");
                assert_eq!(alone.left[0].path, text);
                assert!(alone.left[0].why.contains("nowhere to be found"), "{}", alone.left[0].why);
                assert_eq!(fs::read(log.join(&name)).ok(), bad, "it is left as it was");
                // With a mirror.
                let mirror = Dir::existing(&pristine.path().join("log")).unwrap();
                let with = mend(&log, &Help { source: Some(&mirror), ..Help::default() });
                assert_eq!((with.mended.len(), with.left.len()), (1, 0), "{text}");
                assert_eq!((with.mended[0].path.as_str(), with.mended[0].was), (text, was));
                assert_eq!(with.mended[0].from, Made::Source);
            } else if fs::read(log.join(&name)).is_ok() {
                assert!(alone.left.is_empty(), "{text}: {alone:?}");
                assert_eq!(alone.mended.len(), 1, "{text}: {alone:?}");
                assert_eq!((alone.mended[0].path.as_str(), alone.mended[0].was), (text, was));
            } else {
                damage(&log.join(&name), Some(good));
            }
            assert!(is_whole(&log), "{text}");
            assert_eq!(files(&log), all, "{text}: exactly what was there before");
        }
    }
    assert_eq!(mend(&log, &Help::default()).mended, []);
}

#[test]
fn many_tiles_that_are_gone_at_once_come_back_from_the_entries() {
    let temp = scratch();
    published(temp.path());
    let log = temp.path().join("log");
    let all = files(&log);
    // Every hash tile of every level.
    for level in ["0", "1", "2"] {
        fs::remove_dir_all(log.join("tile").join(level)).unwrap();
    }
    let repaired = mend(&log, &Help::default());
    assert_eq!(repaired.left, []);
    assert!(is_whole(&log));
    let held = files(&log);
    assert!(held.iter().all(|(path, bytes)| all.get(path) == Some(bytes)));
    // All but the partial ones of earlier sizes, which no checkpoint that is there asks for.
    assert!(
        all.keys()
            .filter(|path| !held.contains_key(*path))
            .all(|path| path.to_str().unwrap().contains(".p/"))
    );
}

#[test]
fn an_upper_tile_and_a_tile_and_a_bundle_below_it_are_told_apart() {
    let temp = scratch();
    published(temp.path());
    let log = temp.path().join("log");
    let all = files(&log);
    // The upper tile says something else, and so do one tile below it and another's bundle: only together do
    // they make the root.
    for name in ["tile/1/000", "tile/2/000.p/1", "tile/0/005", "tile/entries/009"] {
        fs::write(log.join(name), flipped(&all[Path::new(name)])).unwrap();
    }
    let offered: BTreeMap<u64, Vec<Vec<u8>>> =
        (2304..2560).map(|index| (index, vec![b"false".to_vec(), entry(index)])).collect();
    let repaired = mend(&log, &Help { entries: offered, source: None });
    assert_eq!(repaired.left, []);
    let mended: Vec<(&str, Made)> = repaired.mended.iter().map(|one| (one.path.as_str(), one.from)).collect();
    assert_eq!(
        mended,
        [
            ("tile/2/000.p/1", Made::Log),
            ("tile/1/000", Made::Log),
            ("tile/0/005", Made::Log),
            ("tile/entries/009", Made::Offered)
        ]
    );
    assert!(is_whole(&log));
    assert_eq!(files(&log), all);
}

#[test]
fn the_newest_entries_come_back_from_the_write_ahead_log() {
    let temp = scratch();
    let mut log = log_of(temp.path(), 0);
    let witness = witness(quick(temp.path()), temp.path());
    log.append(&entries(0, 300), now()).unwrap();
    log.publish(&mut cosigners(&witness), &policy(), now()).unwrap();
    drop(log);
    let log = temp.path().join("log");
    for name in ["tile/entries/000", "tile/entries/001.p/44"] {
        fs::remove_file(log.join(name)).unwrap();
    }
    let mut help = Help::default();
    help.take_write_ahead_log(&temp.path().join("private")).unwrap();
    let repaired = mend(&log, &help);
    assert_eq!((repaired.mended.len(), repaired.left.len()), (2, 0), "{repaired:?}");
    assert!(repaired.mended.iter().all(|mended| mended.from == Made::Offered));
    assert!(is_whole(&log));
    // A damaged one helps nobody, and does no harm.
    fs::write(temp.path().join("private/wal"), b"x").unwrap();
    Help::default().take_write_ahead_log(&temp.path().join("private")).unwrap();
}

#[test]
fn entries_that_do_not_make_the_signed_root_are_refused() {
    let temp = scratch();
    published(temp.path());
    let log = temp.path().join("log");
    let all = files(&log);
    // Entry, tile and upper tiles agree with each other, and not with the signature.
    let other = scratch();
    let mut forged = log_of(other.path(), 0);
    let mut others = entries(0, 50_000);
    others[700] = b"another entry".to_vec();
    forged.append(&others, now()).unwrap();
    forged.append(&entries(50_000, 70_000), now()).unwrap();
    forged.integrate(now()).unwrap();
    let theirs = files(&other.path().join("log"));
    for name in ["tile/entries/002", "tile/0/002", "tile/1/000", "tile/2/000.p/1"] {
        fs::write(log.join(name), &theirs[Path::new(name)]).unwrap();
    }
    let before = files(&log);
    let source = Dir::existing(&other.path().join("log")).unwrap();
    for source in [None, Some(&source as &dyn countersign_log::Source)] {
        let repaired = mend(&log, &Help { source, ..Help::default() });
        assert_eq!(repaired.mended, [], "nothing is written that the signature does not vouch for");
        assert_eq!(repaired.left.len(), 1);
        assert!(repaired.left[0].why.contains("do not make the signed root"));
        assert_eq!(files(&log), before);
    }
    // With one honest copy it comes back.
    let honest = scratch();
    for (name, bytes) in &all {
        fs::create_dir_all(honest.path().join(name).parent().unwrap()).unwrap();
        fs::write(honest.path().join(name), bytes).unwrap();
    }
    let source = Dir::existing(honest.path()).unwrap();
    assert_eq!(mend(&log, &Help { source: Some(&source), ..Help::default() }).left, []);
    assert!(is_whole(&log));
    assert_eq!(files(&log), all);
}

#[test]
fn the_checkpoint_is_never_made_and_foreign_files_stay() {
    let temp = scratch();
    published(temp.path());
    let log = temp.path().join("log");
    let foreign = log.join("tile/0/x.bak");
    fs::write(&foreign, b"x").unwrap();
    let told = mend(&log, &Help::default());
    assert_eq!((told.mended.len(), told.left.len()), (0, 1));
    assert_eq!(told.left[0].path, "tile/0/x.bak");
    assert!(foreign.exists());
    fs::remove_file(&foreign).unwrap();

    let checkpoint = fs::read(log.join("checkpoint")).unwrap();
    fs::write(log.join("tile/0/000"), b"damaged").unwrap();
    for bad in damages(&checkpoint) {
        damage(&log.join("checkpoint"), bad.as_deref());
        let error = repair(&log, trust(&policy()), &Help::default()).unwrap_err();
        let codes = [
            code::LOG_TILE_MISSING,
            code::LOG_PROOF_MALFORMED,
            code::LOG_SIGNATURE_INVALID,
            code::LOG_COSIGNATURE_INVALID,
        ];
        assert!(codes.contains(&error.code()), "{error}: {}", error.code());
        assert_eq!(fs::read(log.join("tile/0/000")).unwrap(), b"damaged", "nothing is touched");
        assert_eq!(fs::read(log.join("checkpoint")).ok(), bad);
        fs::write(log.join("checkpoint"), &checkpoint).unwrap();
    }
}
