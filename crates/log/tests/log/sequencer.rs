//! What the sequencer writes and answers, compared with the reference tree.

use countersign_base::code;
use countersign_base::code::Explain as _;
use countersign_log::{LogError, MAX_ENTRY_BYTES};
use countersign_store::{Dir, Objects as _};
use countersign_tlog::merkle::{leaf_hash, verify_consistency, verify_inclusion};

use crate::reference;
use crate::support::{entries, entry, log_of, now, open, quick, scratch};

#[test]
fn every_size_from_1_to_600_has_exactly_the_tiles_of_the_specification() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    let public = Dir::existing(&root.join("log")).unwrap();
    let all = entries(0, 600);
    for size in 1..=600 {
        assert_eq!(log.append(&all[size - 1..size], now()).unwrap(), [size as u64 - 1]);
        let checkpoint = log.integrate(now()).unwrap().checkpoint().clone();
        assert_eq!((checkpoint.size(), *checkpoint.root()), (size as u64, reference::mth(&all[..size])));
        if size % 7 == 0 || size % 256 < 3 || size == 600 {
            for (name, bytes) in reference::files(&all[..size]) {
                assert_eq!(public.get(&name).unwrap().as_deref(), Some(bytes.as_slice()), "{name} at {size}");
            }
        }
    }
    // One batch gives the same files as one entry at a time, without the partial ones in between.
    let other = temp.path().join("other");
    std::fs::create_dir(&other).unwrap();
    drop(log_of(&other, 600));
    let batch = Dir::existing(&other.join("log")).unwrap();
    let mut expected: Vec<String> = reference::files(&all).into_keys().collect();
    expected.sort();
    assert_eq!(batch.list("tile").unwrap(), expected);
}

#[test]
fn sizes_around_the_second_level_have_exactly_the_tiles_of_the_specification() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 65_535);
    let all = entries(0, 65_538);
    for size in 65_535..65_538u64 {
        let checkpoint = log.integrate(now()).unwrap().checkpoint().clone();
        assert_eq!((checkpoint.size(), *checkpoint.root()), (size, reference::mth(&all[..size as usize])));
        let public = Dir::existing(&root.join("log")).unwrap();
        for (name, bytes) in reference::files(&all[..size as usize]) {
            assert_eq!(public.get(&name).unwrap().as_deref(), Some(bytes.as_slice()), "{name} at {size}");
        }
        for index in [0, 255, 256, 65_534, size - 1] {
            let proof = log.proof(index, size).unwrap();
            verify_inclusion(index, size, &leaf_hash(&entry(index)), checkpoint.root(), &proof).unwrap();
        }
        log.append(&[entry(size)], now()).unwrap();
    }
    drop(log);
    let log = open(quick(root), root).unwrap();
    assert_eq!((log.size(), log.recovered()), (65_538, 1));
}

#[test]
fn proofs_verify_for_all_sizes_and_places_near_the_edges() {
    let temp = scratch();
    let log = log_of(temp.path(), 520);
    let all = entries(0, 520);
    let sizes: Vec<u64> = (1..20).chain(250..262).chain(508..=520).collect();
    let root = |size: u64| reference::mth(&all[..size as usize]);
    for &size in &sizes {
        for index in (0..size).filter(|index| sizes.contains(&(index + 1))) {
            let proof = log.proof(index, size).unwrap();
            let leaf = leaf_hash(&all[index as usize]);
            verify_inclusion(index, size, &leaf, &root(size), &proof).unwrap();
        }
        for &old in sizes.iter().filter(|old| **old <= size) {
            let proof = log.consistency(old, size).unwrap();
            verify_consistency(old, size, &root(old), &root(size), &proof).unwrap();
        }
        assert!(log.consistency(0, size).unwrap().is_empty());
    }
    for error in [log.proof(520, 520), log.proof(0, 521), log.consistency(2, 1), log.consistency(1, 521)] {
        assert!(matches!(error, Err(LogError::ProofRange { .. })));
    }
}

#[test]
fn l15_an_entry_again_gets_its_first_index_also_after_reopening() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    assert_eq!(log.append(&[entry(1), entry(2), entry(1)], now()).unwrap(), [0, 1, 0]);
    assert_eq!(log.append(&[entry(2), entry(3)], now()).unwrap(), [1, 2]);
    log.integrate(now()).unwrap();
    assert_eq!(log.append(&[entry(3)], now()).unwrap(), [2]);
    drop(log);
    let mut log = open(quick(root), root).unwrap();
    assert_eq!(log.append(&[entry(1), entry(3), entry(4)], now()).unwrap(), [0, 2, 3]);
    assert_eq!(log.append(&[entry(4)], now()).unwrap(), [3]);
    assert_eq!(log.size(), 4);
    assert_eq!(log.entry(3).unwrap(), entry(4), "before it is in a tile");
    assert_eq!(log.entry(1).unwrap(), entry(2));
    assert!(matches!(log.entry(4), Err(LogError::ProofRange { .. })));
}

#[test]
fn l15_entries_of_a_wrong_length_are_refused_and_change_nothing() {
    let temp = scratch();
    let root = temp.path();
    let mut log = open(quick(root), root).unwrap();
    let large = vec![7; MAX_ENTRY_BYTES];
    assert_eq!(log.append(std::slice::from_ref(&large), now()).unwrap(), [0], "the honest twin");
    let error = log.append(&[entry(1), vec![7; MAX_ENTRY_BYTES + 1]], now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_ENTRY_TOO_LARGE);
    let error = log.append(&[entry(1), Vec::new()], now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_ENTRY_MALFORMED);
    assert_eq!(log.size(), 1);
    assert_eq!(log.append(&[entry(1)], now()).unwrap(), [1], "the honest submit right after");
    log.integrate(now()).unwrap();
    assert_eq!(log.entry(0).unwrap(), large);
}

#[test]
fn l19_a_second_sequencer_is_turned_away() {
    let temp = scratch();
    let root = temp.path();
    let first = open(quick(root), root).unwrap();
    assert_eq!(open(quick(root), root).unwrap_err().code(), code::LOG_WRITER_CONFLICT);
    drop(first);
    open(quick(root), root).unwrap();
}

#[test]
fn another_key_does_not_open_the_log() {
    use countersign_log::{LogKey, Sequencer};
    let temp = scratch();
    let root = temp.path();
    drop(log_of(root, 3));
    for (origin, number, expected) in [
        ("log.example/other", 1, code::LOG_ORIGIN_MISMATCH),
        (crate::support::ORIGIN, 9, code::LOG_KEY_UNKNOWN),
    ] {
        let key = LogKey::new(origin, Box::new(crate::support::secret(number))).unwrap();
        let error = Sequencer::open_on(quick(root), &root.join("private"), &root.join("log"), key, now())
            .unwrap_err();
        assert_eq!(error.code(), expected);
    }
}
