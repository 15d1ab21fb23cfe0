//! Hash bins as the editor writes them and a client reads them (TAP 15, attack M15 e and f).

use std::collections::BTreeMap;

use countersign_base::Explain as _;
use countersign_tuf::editor::{BinsEditor, EditError, SnapshotEditor, TargetsEditor};
use countersign_tuf::metadata::{MetaFile, SuccinctRoles};
use countersign_tuf::{Envelope, Role as _, Search, Targets, TrustedSet};

use crate::world::{NODE, SNAPSHOT, TARGETS, World, code, now, public, sign, target};

const PATHS: [&str; 5] = ["a", "b/c", "d e", "é", "pkg/1.0.0/linux-amd64/pkg"];

/// A repository of bins, and the files of each version of it.
struct Binned {
    world: World,
    bins: BTreeMap<String, Vec<u8>>,
}

fn succinct(targets: &[u8]) -> SuccinctRoles {
    let targets = Envelope::<Targets>::parse("targets", targets).unwrap().signed;
    targets.delegations().unwrap().succinct().unwrap().clone()
}

impl Binned {
    fn new(bit_length: u32) -> Self {
        let mut world = World::new();
        let mut top = TargetsEditor::new("targets", now().plus_days(9));
        top.set_succinct("bin", bit_length, &public(NODE), 2).unwrap();
        world.targets = sign(top.finish().unwrap(), TARGETS);
        let succinct = succinct(&world.targets);
        let mut editor = BinsEditor::new(&succinct, now().plus_days(9));
        editor.create_all().unwrap();
        for path in PATHS {
            editor.set_target(path, &target(path.as_bytes())).unwrap();
        }
        let mut binned = Self { world, bins: BTreeMap::new() };
        binned.publish(editor, 1);
        binned
    }

    fn publish(&mut self, editor: BinsEditor<'_>, version: u64) {
        let mut snapshot = SnapshotEditor::new(now().plus_days(7));
        snapshot.set_version(version);
        snapshot.set_meta("targets", &MetaFile::describe(1, &self.world.targets));
        for (role, bytes) in &self.bins {
            let version = crate::world::version_of(bytes);
            snapshot.set_meta(role, &MetaFile { version, length: None, hashes: None });
        }
        for draft in editor.finish() {
            let draft = draft.unwrap();
            snapshot.set_meta(draft.role(), &BinsEditor::listed(&draft));
            self.bins.insert(draft.role().to_owned(), sign(draft, &NODE[..2]));
        }
        self.world.snapshot = sign(snapshot.finish().unwrap(), SNAPSHOT);
        self.world.stamp(version);
    }

    fn start(&self) -> TrustedSet {
        let mut set = TrustedSet::new(&self.world.root, now()).unwrap();
        set.update_timestamp(&self.world.timestamp).unwrap();
        set.update_snapshot(&self.world.snapshot).unwrap();
        set.update_targets(&self.world.targets).unwrap();
        set
    }

    /// The bin in which a client finds `path`, and how many files it loaded for that.
    fn find(&self, path: &str) -> (Result<String, &'static str>, u32) {
        let mut set = self.start();
        for loads in 0.. {
            let (role, delegator) = match set.find_target(path) {
                Ok(Search::Found(found)) => {
                    found.file.check_bytes(path, path.as_bytes()).unwrap();
                    return (Ok(found.role.to_owned()), loads);
                }
                Ok(Search::Load { role, delegator }) => (role, delegator),
                Err(error) => return (Err(code::<()>(Err(error))), loads),
            };
            set.update_delegated(&role, &delegator, &self.bins[&role]).unwrap();
        }
        unreachable!("the search ends")
    }
}

#[test]
fn every_path_is_found_in_its_bin_and_no_other_file_is_read() {
    for bit_length in [1, 4, 5, 8] {
        let binned = Binned::new(bit_length);
        assert_eq!(binned.bins.len(), 1 << bit_length);
        let succinct = succinct(&binned.world.targets);
        for path in PATHS {
            assert_eq!(binned.find(path), (Ok(succinct.bin_of(path)), 1), "{path}");
        }
        assert_eq!(binned.find("nowhere"), (Err("tuf-target-not-found"), 1));
    }
}

#[test]
fn one_target_more_changes_one_bin() {
    let mut binned = Binned::new(4);
    let before = binned.bins.clone();
    let succinct = succinct(&binned.world.targets);
    let mut editor = BinsEditor::new(&succinct, now().plus_days(20));
    let role = editor.bin_of("new");
    let current = Envelope::<Targets>::parse(&role, &before[&role]).unwrap().signed;
    editor.open(&role, &current).unwrap();
    editor.set_target("new", &target(b"new")).unwrap();
    // Opened again, what was done stays.
    editor.open(&role, &current).unwrap();
    binned.publish(editor, 2);
    assert_eq!(binned.find("new"), (Ok(role.clone()), 1));
    for path in PATHS {
        assert_eq!(binned.find(path).0, Ok(succinct.bin_of(path)), "{path}");
    }
    let changed: Vec<&String> = before.keys().filter(|bin| before[*bin] != binned.bins[*bin]).collect();
    assert_eq!(changed, [&role]);
    let file = Envelope::<Targets>::parse(&role, &binned.bins[&role]).unwrap().signed;
    assert_eq!((file.version(), file.expires()), (2, now().plus_days(20)));
    // And away again.
    let mut editor = BinsEditor::new(&succinct, now().plus_days(20));
    editor.open(&role, &file).unwrap();
    assert!(editor.remove_target("new").unwrap());
    assert!(!editor.remove_target("new").unwrap());
    binned.publish(editor, 3);
    assert_eq!(binned.find("new"), (Err("tuf-target-not-found"), 1));
}

#[test]
fn the_same_bins_have_the_same_bytes() {
    assert_eq!(Binned::new(5).bins, Binned::new(5).bins);
}

#[test]
fn a_bin_is_opened_before_it_is_changed_and_is_one_of_the_bins() {
    let binned = Binned::new(4);
    let succinct = succinct(&binned.world.targets);
    let fails = |result: Result<(), EditError>| result.unwrap_err().code().name();
    let mut editor = BinsEditor::new(&succinct, now().plus_days(9));
    assert_eq!(fails(editor.set_target("a", &target(b"a")).map(|_| ())), "internal-error");
    assert_eq!(fails(editor.remove_target("a").map(|_| ())), "internal-error");
    let current = Envelope::<Targets>::parse("bin-0", &binned.bins["bin-0"]).unwrap().signed;
    for role in ["bin-10", "bin-00", "bin-A", "bin-", "nib-0", "targets"] {
        assert_eq!(fails(editor.open(role, &current).map(|_| ())), "tuf-meta-mismatch", "{role}");
    }
    editor.create_all().unwrap();
    assert_eq!(fails(editor.set_target("../a", &target(b"a")).map(|_| ())), "tuf-name-unsafe");
    assert_eq!(editor.finish().count(), 16);
}

#[test]
fn more_bins_than_clients_follow_are_not_made() {
    for (bit_length, want) in [(14, "ok"), (15, "tuf-delegation-limit"), (32, "tuf-delegation-limit")] {
        let mut top = TargetsEditor::new("targets", now().plus_days(9));
        top.set_succinct("bin", bit_length, &public(NODE), 2).unwrap();
        let succinct = succinct(&sign(top.finish().unwrap(), TARGETS));
        let mut editor = BinsEditor::new(&succinct, now());
        let got = editor.create_all().map_or_else(|error| error.code().name(), |_| "ok");
        assert_eq!(got, want, "{bit_length}");
    }
}
