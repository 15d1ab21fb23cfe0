//! Partial tiles and bundles go when the full ones are published, and not before (tlog-tiles, "Partial
//! Tiles").

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use countersign_log::mirror::{Source, SourceError};
use countersign_log::repair::remove_partial;
use countersign_log::{Cleaner, Mirror, MirrorError, Sequencer, Trust, fsck};
use countersign_store::{Dir, Objects as _};
use countersign_tlog::tile::{BundleId, right_edge};

use crate::support::{
    ORIGIN, cosigners, entries, entry, log_of, log_vkey, now, open, policy, quick, scratch, secret, witness,
};

/// A log published at each of these sizes.
fn published(root: &Path, sizes: &[u64]) -> Sequencer {
    let mut log = log_of(root, 0);
    for size in sizes {
        publish(&mut log, root, *size);
    }
    log
}

fn publish(log: &mut Sequencer, root: &Path, size: u64) {
    log.append(&entries(log.size(), size), now()).expect("entries");
    log.publish(&mut cosigners(&witness(quick(root), root)), &policy(), now()).expect("published");
}

/// The partial files below a public folder.
fn partial(public: &Path) -> BTreeSet<String> {
    let names = Dir::existing(public).expect("a folder").list("tile").expect("names");
    names.into_iter().filter(|name| name.contains(".p/")).collect()
}

/// The partial files that the tree of `size` requires.
fn edge(size: u64) -> BTreeSet<String> {
    let bundle = BundleId::at(size / 256, size).filter(|bundle| !bundle.is_full()).map(BundleId::path);
    right_edge(size).into_iter().map(|id| id.path()).chain(bundle).collect()
}

/// The partial files whose full ones are there.
fn covered(public: &Path) -> Vec<String> {
    let is_covered = |name: &String| public.join(name.split_once(".p/").expect("it is partial").0).exists();
    partial(public).into_iter().filter(is_covered).collect()
}

fn trust(policy: &countersign_tlog::policy::Policy) -> Trust<'_> {
    Trust::Policy(policy, now())
}

fn update(mirror: &mut Mirror, source: &dyn Source) -> Result<u64, MirrorError> {
    mirror.update(source, trust(&policy()), 4).map(|update| update.removed)
}

#[test]
fn a_log_keeps_only_the_partial_files_whose_full_ones_are_not_there() {
    let temp = scratch();
    let public = temp.path().join("log");
    let log = published(temp.path(), &[3, 200, 258, 300]);
    let removed = remove_partial(&public, trust(&policy())).unwrap();
    assert_eq!(removed, 4, "of the first tile and bundle, at 3 and 200");
    let kept = ["tile/0/001.p/2", "tile/0/001.p/44", "tile/1/000.p/1"].map(str::to_owned);
    let bundles = ["tile/entries/001.p/2", "tile/entries/001.p/44"].map(str::to_owned);
    assert_eq!(partial(&public), kept.into_iter().chain(bundles).collect());
    assert!(!public.join("tile/0/000.p").exists());
    assert_eq!(remove_partial(&public, trust(&policy())).unwrap(), 0);
    fsck(&public, trust(&policy())).unwrap();
    // The log goes on, proves what it did, and can be opened again.
    let size = log.size();
    for old in [3, 200, 258] {
        log.consistency(old, size).unwrap();
    }
    drop(log);
    let mut log = open(quick(temp.path()), temp.path()).unwrap();
    publish(&mut log, temp.path(), 600);
    remove_partial(&public, Trust::Keys(&[log_vkey()])).unwrap();
    assert!(partial(&public).is_superset(&edge(600)));
    assert_eq!(covered(&public), Vec::<String>::new());
    let older = fsck(&public, trust(&policy())).unwrap().older;
    assert_eq!(older, 1, "the partial tile of level 1, which has no full one");
}

#[test]
fn what_is_full_only_beyond_the_checkpoint_counts_for_nothing() {
    let temp = scratch();
    let public = temp.path().join("log");
    let mut log = published(temp.path(), &[200]);
    log.append(&entries(200, 300), now()).unwrap();
    log.integrate(now()).unwrap();
    assert!(public.join("tile/0/000").exists());
    let before = partial(&public);
    assert_eq!(remove_partial(&public, trust(&policy())).unwrap(), 0);
    assert_eq!(partial(&public), before);
    drop(log);
    let mut log = open(quick(temp.path()), temp.path()).unwrap();
    publish(&mut log, temp.path(), 301);
    assert!(remove_partial(&public, trust(&policy())).unwrap() > 0);
    fsck(&public, trust(&policy())).unwrap();
}

#[test]
fn where_the_full_file_is_missing_and_what_is_foreign_nothing_is_removed() {
    let temp = scratch();
    let public = temp.path().join("log");
    drop(published(temp.path(), &[200, 300]));
    fs::write(public.join("tile/0/000.p/note"), "foreign").unwrap();
    fs::remove_file(public.join("tile/entries/000")).unwrap();
    assert_eq!(remove_partial(&public, trust(&policy())).unwrap(), 1);
    assert!(public.join("tile/0/000.p/note").exists());
    assert!(public.join("tile/entries/000.p/200").exists(), "its entries are nowhere else");
    // Without a checkpoint that is trusted, nothing is touched.
    fs::write(public.join("checkpoint"), "log.example/prod\n300\n").unwrap();
    remove_partial(&public, trust(&policy())).unwrap_err();
}

#[test]
fn a_mirror_that_goes_on_has_the_partial_files_of_its_tree_and_no_others() {
    let temp = scratch();
    let (public, place) = (temp.path().join("log"), temp.path().join("mirror"));
    let mut log = log_of(temp.path(), 0);
    let mut mirror = Mirror::open_on(quick(temp.path()), &place).unwrap();
    let source = Dir::existing(&public).unwrap();
    for size in [3, 255, 256, 300, 511, 65_535, 65_536, 65_800] {
        while log.size() < size {
            let next = size.min(log.size() + 50_000);
            log.append(&entries(log.size(), next), now()).unwrap();
        }
        publish(&mut log, temp.path(), size);
        update(&mut mirror, &source).unwrap();
        assert!(partial(&place).is_superset(&edge(size)), "{size}");
        assert_eq!(covered(&place), Vec::<String>::new(), "{size}");
        fsck(&place, trust(&policy())).unwrap();
    }
}

/// A running log is cleaned of what was full a call ago, so that who has just read a checkpoint finds its
/// files.
#[test]
fn a_cleaner_removes_what_was_full_the_last_time() {
    let temp = scratch();
    let public = temp.path().join("log");
    let mut log = published(temp.path(), &[3, 200, 300]);
    let mut cleaner = Cleaner::new(&public, log_vkey()).unwrap();
    let before = partial(&public);
    assert_eq!(cleaner.clean().unwrap(), 0);
    assert_eq!(partial(&public), before);
    publish(&mut log, temp.path(), 600);
    assert_eq!(cleaner.clean().unwrap(), 4, "of 3 and 200 entries");
    assert!(public.join("tile/0/001.p/44").exists(), "it was full only since");
    assert_eq!(cleaner.clean().unwrap(), 2);
    assert_eq!(covered(&public), Vec::<String>::new());
    assert_eq!(cleaner.clean().unwrap(), 0);
    // One that begins anew finds what another one has left.
    fs::create_dir(public.join("tile/0/000.p")).unwrap();
    fs::write(public.join("tile/0/000.p/9"), "x").unwrap();
    let mut cleaner = Cleaner::new(&public, log_vkey()).unwrap();
    assert_eq!((cleaner.clean().unwrap(), cleaner.clean().unwrap()), (0, 1));
    fsck(&public, trust(&policy())).unwrap();
    drop(log);
    open(quick(temp.path()), temp.path()).unwrap();
    // A checkpoint that the log has not signed removes nothing.
    let stranger = countersign_tlog::VerifierKey::for_log(ORIGIN, secret(9).public_key()).unwrap();
    Cleaner::new(&public, stranger).unwrap().clean().unwrap_err();
}

/// A source that does not have one file.
struct Without(Dir, &'static str);

impl Source for Without {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        if path == self.1 { Ok(None) } else { self.0.fetch(path, limit) }
    }
}

/// A run that broke off has put partial files of a tree that was never published.
#[test]
fn a_mirror_removes_what_an_interrupted_run_has_left() {
    let temp = scratch();
    let (public, place) = (temp.path().join("log"), temp.path().join("mirror"));
    let mut log = published(temp.path(), &[40]);
    let source = || Dir::existing(&public).unwrap();
    let mut mirror = Mirror::open_on(quick(temp.path()), &place).unwrap();
    update(&mut mirror, &source()).unwrap();
    publish(&mut log, temp.path(), 700);
    update(&mut mirror, &Without(source(), "tile/entries/000")).unwrap_err();
    drop(mirror);
    publish(&mut log, temp.path(), 1000);
    let mut mirror = Mirror::open_on(quick(temp.path()), &place).unwrap();
    assert!(update(&mut mirror, &source()).unwrap() >= 2);
    assert_eq!(partial(&place), edge(1000));
    assert_eq!(fs::read(place.join("tile/entries/000")).unwrap().len(), {
        let bytes: usize = (0..256).map(|number| 2 + entry(number).len()).sum();
        bytes
    });
    // One that died between publishing and removing finds what it meant to do.
    fs::create_dir(place.join("tile/0/000.p")).unwrap();
    fs::copy(public.join("tile/0/000.p/40"), place.join("tile/0/000.p/40")).unwrap();
    drop(mirror);
    fs::copy(place.join("checkpoint"), place.join(".countersign/pending")).unwrap();
    let mut mirror = Mirror::open_on(quick(temp.path()), &place).unwrap();
    assert_eq!(update(&mut mirror, &source()).unwrap(), 1);
    assert!(!place.join(".countersign/pending").exists());
}
