//! Public vectors of other logs.

use countersign_log::{LogKey, Sequencer, Trust, fsck};
use countersign_store::{Dir, Objects as _};
use countersign_testkit::vectors;
use countersign_tlog::tile::{BundleId, decode_bundle};
use countersign_tlog::{SignedCheckpoint, VerifierKey};

use crate::support::{copy, now, quick, scratch, secret};

/// `tiles/tessera-log`: checkpoints, tiles and bundles of sizes 0 to 15, written by Tessera.
#[test]
fn the_same_entries_make_the_same_files_as_tessera_at_every_size() {
    let Some(theirs) = vectors::dir("tlog/tiles/tessera-log") else { return };
    let theirs = Dir::existing(&theirs).unwrap();
    let last = BundleId::at(0, 15).unwrap();
    let bundle = theirs.get(&last.path()).unwrap().unwrap();
    let entries: Vec<Vec<u8>> =
        decode_bundle(last, &bundle).unwrap().into_iter().map(<[u8]>::to_vec).collect();
    let temp = scratch();
    let root = temp.path();
    let key = LogKey::new("log.example/same", Box::new(secret(1))).unwrap();
    let mut log =
        Sequencer::open_on(quick(root), &root.join("private"), &root.join("log"), key, now()).unwrap();
    for size in 0..=15 {
        if size > 0 {
            log.append(&entries[size - 1..size], now()).unwrap();
        }
        let ours = log.integrate(now()).unwrap().checkpoint().clone();
        let checkpoint = theirs.get(&format!("checkpoint.{size}")).unwrap().unwrap();
        let checkpoint = SignedCheckpoint::parse(&checkpoint).unwrap();
        let checkpoint = checkpoint.checkpoint();
        assert_eq!((ours.size(), ours.root()), (checkpoint.size(), checkpoint.root()));
    }
    let ours = Dir::existing(&root.join("log")).unwrap();
    let names = theirs.list("tile").unwrap();
    assert_eq!(ours.list("tile").unwrap(), names);
    for name in names {
        assert_eq!(ours.get(&name).unwrap(), theirs.get(&name).unwrap(), "{name}");
    }
}

#[test]
fn fsck_proves_the_log_that_tessera_wrote() {
    let Some(theirs) = vectors::dir("tlog/tiles/tessera-log") else { return };
    let key: VerifierKey =
        std::fs::read_to_string(theirs.join("verifier.vkey.txt")).unwrap().trim().parse().unwrap();
    let report = fsck(&theirs, Trust::Keys(std::slice::from_ref(&key))).unwrap();
    let size = report.size;
    assert_eq!((report.bundles, report.ahead), (1, 0));
    assert_eq!(report.older, 2 * (size - 1));

    // At a smaller checkpoint of the same log the rest lies ahead of it.
    let temp = scratch();
    copy(&theirs, temp.path());
    std::fs::remove_file(temp.path().join("checkpoint")).unwrap();
    std::fs::copy(theirs.join("checkpoint.5"), temp.path().join("checkpoint")).unwrap();
    let report = fsck(temp.path(), Trust::Keys(&[key])).unwrap();
    assert_eq!((report.size, report.older, report.ahead), (5, 8, 2 * (size - 5)));
}
