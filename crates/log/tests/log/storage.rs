//! L18: storage that is older or other than what was signed.

use std::fs;
use std::path::Path;

use countersign_base::code::{self, Code, Explain as _};
use countersign_log::{Trust, fsck};

use crate::support::{
    copy, cosigners, entries, entry, log_of, log_vkey, now, open, policy, quick, scratch, witness,
};

/// Publishes 300 entries in two steps, and returns a copy of the folder as it was after the first.
fn published(root: &Path) -> std::path::PathBuf {
    let yesterday = root.join("yesterday");
    let live = root.join("live");
    fs::create_dir(&live).expect("a folder");
    let mut log = log_of(&live, 280);
    let witness = witness(quick(&live), &live);
    log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
    copy(&live, &yesterday);
    log.append(&entries(280, 300), now()).expect("entries");
    log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
    yesterday
}

/// The files of the newest tree.
const FILES: [&str; 5] =
    ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"];

/// What the log says when this file is wrong: at opening, or for a bundle before the last one when it is
/// read.
fn found(live: &Path, name: &str) -> Code {
    if name != "tile/entries/000" {
        return refusal(live);
    }
    let log = open(quick(live), live).expect("it does not read all entries");
    log.entry(299).expect("another bundle");
    let all = log.for_each_entry(|_, _| Ok(())).expect_err("it reads all");
    // The entry whose bytes were changed, wherever that was.
    let one = (0..256).find_map(|index| log.entry(index).err()).expect("one is wrong");
    assert_eq!(all.code(), one.code());
    one.code()
}

fn refusal(live: &Path) -> Code {
    open(quick(live), live).map_err(|error| error.code()).expect_err("it must not open")
}

#[test]
fn l18_a_storage_from_yesterday_is_refused() {
    let temp = scratch();
    let yesterday = published(temp.path());
    let live = temp.path().join("live");
    drop(open(quick(&live), &live).expect("the honest twin"));

    // The public folder only.
    let case = temp.path().join("public");
    copy(&live, &case);
    fs::remove_dir_all(case.join("log")).unwrap();
    copy(&yesterday.join("log"), &case.join("log"));
    assert_eq!(refusal(&case), code::LOG_STORAGE_ROLLBACK);

    // The private folder only: readers have seen more than it has signed.
    let case = temp.path().join("private");
    copy(&live, &case);
    fs::remove_dir_all(case.join("private")).unwrap();
    copy(&yesterday.join("private"), &case.join("private"));
    assert_eq!(refusal(&case), code::LOG_STORAGE_ROLLBACK);

    // The private folder is lost: no new log begins over the old one.
    let case = temp.path().join("lost");
    copy(&live, &case);
    fs::remove_dir_all(case.join("private")).unwrap();
    assert_eq!(refusal(&case), code::LOG_STORAGE_ROLLBACK);

    // The signed checkpoint alone: the write-ahead log goes on where nothing was signed.
    let case = temp.path().join("cell");
    copy(&live, &case);
    fs::copy(yesterday.join("private/checkpoint"), case.join("private/checkpoint")).unwrap();
    assert_eq!(refusal(&case), code::LOG_STORAGE_ROLLBACK);
}

#[test]
fn l18_both_folders_from_yesterday_are_noticed_by_the_witness() {
    let temp = scratch();
    let yesterday = published(temp.path());
    let live = temp.path().join("live");
    let mut log = open(quick(&yesterday), &yesterday).expect("it is whole in itself");
    log.append(&[entry(1000)], now()).unwrap();
    let witness = witness(quick(&live), &live);
    let before = fs::read(yesterday.join("log/checkpoint")).unwrap();
    let error = log.publish(&mut cosigners(&witness), &policy(), now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_STORAGE_ROLLBACK);
    assert_eq!(fs::read(yesterday.join("log/checkpoint")).unwrap(), before, "nothing was published");
}

#[test]
fn l18_one_bit_flipped_anywhere_is_refused_and_fsck_names_the_file() {
    let temp = scratch();
    published(temp.path());
    let live = temp.path().join("live");
    let keys = [log_vkey()];
    for name in FILES {
        let path = live.join("log").join(name);
        let good = fs::read(&path).unwrap();
        for at in [0, 1, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, &bad).unwrap();
            assert_eq!(found(&live, name), code::LOG_STORAGE_CORRUPT, "{name} byte {at}");
            let error = fsck(&live.join("log"), Trust::Keys(&keys)).unwrap_err();
            assert_eq!(error.code(), code::LOG_TILE_MISMATCH, "{name} byte {at}");
            assert!(error.to_string().starts_with(&format!("`{name}`")), "{name} byte {at}: {error}");
        }
        fs::write(&path, &good).unwrap();
    }
    drop(open(quick(&live), &live).expect("as good as before"));
}

#[test]
fn l18_missing_files_are_refused_and_fsck_names_them() {
    let temp = scratch();
    published(temp.path());
    let live = temp.path().join("live");
    for name in FILES {
        let path = live.join("log").join(name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(found(&live, name), code::LOG_STORAGE_ROLLBACK, "{name}");
        let error = fsck(&live.join("log"), Trust::Keys(&[log_vkey()])).unwrap_err();
        assert_eq!(error.code(), code::LOG_TILE_MISSING, "{name}");
        assert_eq!(error.to_string(), format!("`{name}` is missing"));
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn l18_a_write_ahead_log_two_batches_ahead_is_recovered() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 10);
    log.append(&entries(10, 13), now()).unwrap();
    log.append(&entries(13, 17), now()).unwrap();
    drop(log);
    let log = open(quick(root), root).unwrap();
    assert_eq!((log.size(), log.recovered(), log.signed().checkpoint().size()), (17, 7, 17));
    for index in 0..17 {
        assert_eq!(log.entry(index).unwrap(), entry(index));
    }
}

#[test]
fn a_damaged_batch_before_the_last_is_refused() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 10);
    log.append(&entries(10, 13), now()).unwrap();
    log.append(&entries(13, 17), now()).unwrap();
    drop(log);
    let path = root.join("private/wal");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(8).position(|window| window == b"entry 11").unwrap();
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(refusal(root), code::LOG_STORAGE_CORRUPT);
}
