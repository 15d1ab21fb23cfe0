//! `fsck` on logs that were tampered with in ways that `storage` does not cover.

use std::fs;
use std::path::Path;

use countersign_base::code::{self, Explain as _};
use countersign_log::{LogError, Trust, fsck};

use crate::support::{cosigners, entries, log_of, log_vkey, now, policy, quick, scratch, secret, witness};

/// A log published at sizes 3, 200, 258, 300.
fn published(root: &Path) {
    let mut log = log_of(root, 3);
    let witness = witness(quick(root), root);
    for (from, to) in [(3, 3), (3, 200), (200, 258), (258, 300)] {
        log.append(&entries(from, to), now()).expect("entries");
        log.publish(&mut cosigners(&witness), &policy(), now()).expect("published");
    }
}

fn check(root: &Path) -> Result<countersign_log::FsckReport, LogError> {
    fsck(&root.join("log"), Trust::Policy(&policy(), now()))
}

#[test]
fn a_whole_log_passes_and_says_what_was_proven() {
    let temp = scratch();
    published(temp.path());
    let report = check(temp.path()).unwrap();
    assert_eq!((report.size, report.tiles, report.bundles), (300, 3, 2));
    assert_eq!((report.older, report.ahead), (6, 0));
    assert_eq!(report.witnesses, ["w1"]);
}

#[test]
fn l11_a_partial_tile_that_contradicts_the_later_full_one_is_named() {
    let temp = scratch();
    published(temp.path());
    for name in ["tile/0/000.p/200", "tile/entries/000.p/3", "tile/entries/001.p/2", "tile/0/001.p/2"] {
        let path = temp.path().join("log").join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        for bad in [&bad[..], &good[1..], b""] {
            fs::write(&path, bad).unwrap();
            let error = check(temp.path()).unwrap_err();
            assert_eq!(error.code(), code::LOG_TILE_MISMATCH, "{name}");
            assert!(error.to_string().starts_with(&format!("`{name}`")), "{error}");
        }
        fs::write(&path, good).unwrap();
    }
    check(temp.path()).unwrap();
}

#[test]
fn a_file_that_is_no_tile_is_named() {
    let temp = scratch();
    published(temp.path());
    let path = temp.path().join("log/tile/0/000.p/007");
    fs::write(&path, b"x").unwrap();
    let error = check(temp.path()).unwrap_err();
    assert!(error.to_string().starts_with("`tile/0/000.p/007`"), "{error}");
}

#[test]
fn the_checkpoint_is_judged_by_keys_or_policy() {
    let temp = scratch();
    published(temp.path());
    let log = temp.path().join("log");
    fsck(&log, Trust::Keys(&[log_vkey()])).unwrap();
    let other =
        countersign_tlog::VerifierKey::for_log(crate::support::ORIGIN, secret(9).public_key()).unwrap();
    assert_eq!(fsck(&log, Trust::Keys(&[other])).unwrap_err().code(), code::LOG_KEY_UNKNOWN);
    assert_eq!(fsck(&log, Trust::Keys(&[])).unwrap_err().code(), code::LOG_KEY_UNKNOWN);

    let path = log.join("checkpoint");
    let good = fs::read_to_string(&path).unwrap();
    let alone: String =
        good.lines().filter(|line| !line.contains("witness")).map(|l| format!("{l}\n")).collect();
    fs::write(&path, alone).unwrap();
    let error = check(temp.path()).unwrap_err();
    assert_eq!(error.code(), code::LOG_QUORUM_NOT_MET);
    assert_eq!(error.to_string(), "the checkpoint does not meet the policy");
    fs::write(&path, "").unwrap();
    assert_eq!(check(temp.path()).unwrap_err().code(), code::LOG_PROOF_MALFORMED);
    fs::remove_file(&path).unwrap();
    assert_eq!(check(temp.path()).unwrap_err().code(), code::LOG_TILE_MISSING);
}
