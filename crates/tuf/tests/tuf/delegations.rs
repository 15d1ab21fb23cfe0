//! The search through delegations (attacks M14, M15).

use countersign_base::Json;
use countersign_tuf::editor::{NewDelegation, SnapshotEditor, TargetsEditor};
use countersign_tuf::limits::MAX_ROLES_VISITED;
use countersign_tuf::metadata::{Coverage, MetaFile};
use countersign_tuf::{Search, TrustedSet, TufError};

use crate::world::{
    NODE, SNAPSHOT, TARGETS, World, at, change, code, now, paths, public, sign, target, version_of,
};

/// One role of a graph: name, delegations as (child, pattern, terminating), target paths.
type Node<'a> = (&'a str, &'a [(&'a str, &'a str, bool)], &'a [&'a str]);

/// A world whose targets are this graph; the first node is `targets`.
struct Graph {
    world: World,
    files: Vec<(String, Vec<u8>)>,
}

impl Graph {
    fn new(nodes: &[Node<'_>]) -> Self {
        let files = nodes.iter().map(|(role, children, targets)| {
            let mut editor = TargetsEditor::new(role, now().plus_days(9));
            for &(name, pattern, terminating) in *children {
                let keys = public(NODE);
                let coverage = paths(&[pattern]);
                editor
                    .set_delegation(&NewDelegation { name, keys: &keys, threshold: 2, coverage, terminating })
                    .unwrap();
            }
            for path in *targets {
                editor.set_target(path, &target(role.as_bytes())).unwrap();
            }
            let seeds = if *role == "targets" { TARGETS } else { &NODE[..2] };
            ((*role).to_owned(), sign(editor.finish().unwrap(), seeds))
        });
        Self::of(files.collect())
    }

    fn of(files: Vec<(String, Vec<u8>)>) -> Self {
        let mut snapshot = SnapshotEditor::new(now().plus_days(7));
        for (role, bytes) in &files {
            snapshot.set_meta(role, &MetaFile::describe(version_of(bytes), bytes));
        }
        let mut world = World::new();
        world.snapshot = sign(snapshot.finish().unwrap(), SNAPSHOT);
        world.stamp(1);
        Self { world, files }
    }

    fn start(&self) -> TrustedSet {
        let mut set = TrustedSet::new(&self.world.root, now()).unwrap();
        set.update_timestamp(&self.world.timestamp).unwrap();
        set.update_snapshot(&self.world.snapshot).unwrap();
        set
    }

    /// Searches as a client does; gives the role found and the roles loaded, in order.
    fn find_with(&self, set: &mut TrustedSet, path: &str) -> (Result<String, TufError>, Vec<String>) {
        let mut loaded = Vec::new();
        let found = loop {
            let (role, delegator) = match set.find_target(path) {
                Ok(Search::Found(found)) => break Ok(found.role.to_owned()),
                Ok(Search::Load { role, delegator }) => (role, delegator),
                Err(error) => break Err(error),
            };
            let bytes = self.files.iter().find(|(name, _)| *name == role).map(|(_, bytes)| bytes.as_slice());
            if let Err(error) = set.update_delegated(&role, &delegator, bytes.unwrap_or_default()) {
                break Err(error);
            }
            loaded.push(role);
        };
        (found, loaded)
    }

    fn find(&self, path: &str) -> (Result<String, &'static str>, Vec<String>) {
        let (found, loaded) = self.find_with(&mut self.start(), path);
        (found.map_err(|error| code::<()>(Err(error))), loaded)
    }
}

const ANY: &str = "*";

#[test]
fn m14_the_first_role_in_preorder_wins() {
    let graph = Graph::new(&[
        ("targets", &[("a", ANY, false), ("b", ANY, false)], &[]),
        ("a", &[("c", ANY, false)], &[]),
        ("b", &[("d", ANY, false)], &["x", "y"]),
        ("c", &[], &["x", "z"]),
        ("d", &[], &["w"]),
    ]);
    assert_eq!(graph.find("x").0, Ok("c".to_owned()), "below A goes before B");
    assert_eq!(graph.find("y").0, Ok("b".to_owned()));
    let (found, order) = graph.find("w");
    assert_eq!(found, Ok("d".to_owned()));
    assert_eq!(order, ["targets", "a", "c", "b", "d"]);
    assert_eq!(graph.find("v").0, Err("tuf-target-not-found"));
}

#[test]
fn m14_order_is_a_then_b_then_what_is_under_b() {
    let graph = Graph::new(&[
        ("targets", &[("a", ANY, false), ("b", ANY, false)], &[]),
        ("a", &[], &["x"]),
        ("b", &[("c", ANY, false)], &["x"]),
        ("c", &[], &["x"]),
    ]);
    assert_eq!(graph.find("x").0, Ok("a".to_owned()));
}

#[test]
fn m14_a_terminating_role_ends_the_search() {
    let nodes = |terminating| -> [Node<'static>; 4] {
        let children: &[_] = if terminating {
            &[("a", ANY, true), ("b", ANY, false)]
        } else {
            &[("a", ANY, false), ("b", ANY, false)]
        };
        [("targets", children, &[]), ("a", &[("c", ANY, false)], &[]), ("b", &[], &["x"]), ("c", &[], &["z"])]
    };
    assert_eq!(Graph::new(&nodes(false)).find("x").0, Ok("b".to_owned()));
    let graph = Graph::new(&nodes(true));
    assert_eq!(graph.find("x").0, Err("tuf-target-not-found"));
    assert_eq!(graph.find("z").0, Ok("c".to_owned()), "roles below it are asked");
    // Also when the later role is loaded already.
    let mut set = graph.start();
    set.update_targets(&graph.files[0].1).unwrap();
    set.update_delegated("b", "targets", &graph.files[2].1).unwrap();
    assert_eq!(code(graph.find_with(&mut set, "x").0), "tuf-target-not-found");
}

#[test]
fn m14_cycles_end() {
    let graph = Graph::new(&[
        ("targets", &[("a", ANY, false)], &[]),
        ("a", &[("a", ANY, false), ("b", ANY, false)], &[]),
        ("b", &[("a", ANY, false), ("c", ANY, false)], &[]),
        ("c", &[], &["x"]),
    ]);
    assert_eq!(graph.find("x").0, Ok("c".to_owned()));
    assert_eq!(graph.find("y").0, Err("tuf-target-not-found"));
}

#[test]
fn m14_a_search_visits_a_limited_number_of_roles() {
    for (count, want) in [(MAX_ROLES_VISITED, "ok"), (MAX_ROLES_VISITED + 1, "tuf-delegation-limit")] {
        let names: Vec<String> =
            std::iter::once("targets".to_owned()).chain((1..count).map(|n| format!("r{n}"))).collect();
        let next: Vec<_> = names.iter().skip(1).map(|name| [(name.as_str(), ANY, false)]).collect();
        let nodes: Vec<Node<'_>> = names
            .iter()
            .enumerate()
            .map(|(n, name)| match next.get(n) {
                Some(children) => (name.as_str(), &children[..], &[][..]),
                None => (name.as_str(), &[][..], &["x"][..]),
            })
            .collect();
        assert_eq!(Graph::new(&nodes).find("x").0.map_or_else(|code| code, |_| "ok"), want, "{count}");
    }
}

#[test]
fn m15_a_role_has_no_say_beyond_its_paths() {
    for (pattern, path, covered) in [
        ("node/*", "node/a", true),
        ("node/*", "node/a/b", false),
        ("node/?", "node/é", true),
        ("[!a]x", "bx", true),
        ("[!a]x", "ax", false),
        ("[^a]x", "bx", false),
        ("dir/foo", "dir/foo", true),
        ("dir/foo", "dir/Foo", false),
        ("a/*/c", "a/b/c", true),
    ] {
        let graph = Graph::new(&[("targets", &[("r", pattern, false)], &[]), ("r", &[], &[path])]);
        let mut set = graph.start();
        set.update_targets(&graph.files[0].1).unwrap();
        set.update_delegated("r", "targets", &graph.files[1].1).unwrap();
        let want = if covered { "ok" } else { "tuf-delegation-path" };
        assert_eq!(code(graph.find_with(&mut set, path).0), want, "{pattern} {path}");
    }
    let graph = Graph::new(&[("targets", &[("r", ANY, false)], &["x"]), ("r", &[], &[])]);
    for path in ["../x", "dir/../x", "/x", "x/", "", "a\\b"] {
        assert_eq!(graph.find(path).0, Err("tuf-name-unsafe"), "{path}");
    }
}

#[test]
fn m15_every_delegation_on_the_way_must_cover_the_path() {
    let graph = Graph::new(&[
        ("targets", &[("a", "a/*", false)], &[]),
        ("a", &[("b", "*/*", false)], &[]),
        ("b", &[], &["a/x", "c/x"]),
    ]);
    assert_eq!(graph.find("a/x").0, Ok("b".to_owned()));
    assert_eq!(graph.find("c/x").0, Err("tuf-target-not-found"));
}

#[test]
fn m15_hash_bins() {
    let keys = public(NODE);
    let bins = |bit_length| {
        let mut editor = TargetsEditor::new("targets", now().plus_days(9));
        editor.set_succinct("bin", bit_length, &keys, 2).unwrap();
        editor.finish()
    };
    for (bits, first) in [(1, "bin-0"), (4, "bin-0"), (5, "bin-00"), (16, "bin-0000"), (32, "bin-00000000")] {
        let draft = bins(bits).unwrap();
        let targets = countersign_tuf::Role::from_signed(draft.signed().clone());
        let targets: countersign_tuf::Targets = targets.unwrap();
        let succinct = targets.delegations().unwrap().succinct().unwrap();
        assert_eq!(succinct.bins().next().as_deref(), Some(first));
        assert!(targets.role_keys(first).is_some());
        for other in ["bin", "bin-", "bin-g", "bin-+0", "bin-000000000", "nib-0", "bin-0 "] {
            assert!(targets.role_keys(other).is_none(), "{other}");
        }
    }
    for bits in [0, 33] {
        let error = bins(bits).unwrap_err();
        assert_eq!(countersign_base::Explain::code(&error).name(), "tuf-delegation-path");
    }
}

#[test]
fn a_role_shared_by_two_delegators_satisfies_both() {
    // B delegates `shared` to other keys than A does. What A's keys signed is not B's word.
    let mut a = TargetsEditor::new("a", now().plus_days(9));
    let mut b = TargetsEditor::new("b", now().plus_days(9));
    let delegate = |editor: &mut TargetsEditor, keys: &[u8], pattern: &str| {
        let keys = public(keys);
        let coverage = paths(&[pattern]);
        let new = NewDelegation { name: "shared", keys: &keys, threshold: 1, coverage, terminating: false };
        editor.set_delegation(&new).unwrap();
    };
    delegate(&mut a, &[51], "a/*");
    delegate(&mut b, &[52], "b/*");
    let mut shared = TargetsEditor::new("shared", now().plus_days(9));
    shared.set_target("a/x", &target(b"x")).unwrap();
    shared.set_target("b/x", &target(b"x")).unwrap();
    let shared = shared.finish().unwrap();
    let mut top = TargetsEditor::new("targets", now().plus_days(9));
    for name in ["a", "b"] {
        let keys = public(NODE);
        let coverage = paths(&["*/*"]);
        top.set_delegation(&NewDelegation { name, keys: &keys, threshold: 2, coverage, terminating: false })
            .unwrap();
    }
    for (signers, want) in [(&[51][..], "tuf-role-confusion"), (&[51, 52], "ok")] {
        let graph = Graph::of(vec![
            ("targets".to_owned(), sign(top.clone().finish().unwrap(), TARGETS)),
            ("a".to_owned(), sign(a.clone().finish().unwrap(), &NODE[..2])),
            ("b".to_owned(), sign(b.clone().finish().unwrap(), &NODE[..2])),
            ("shared".to_owned(), sign(shared.clone(), signers)),
        ]);
        let mut set = graph.start();
        assert_eq!(code(graph.find_with(&mut set, "a/x").0), "ok");
        let got = code(graph.find_with(&mut set, "b/x").0);
        assert!(got == want || (want != "ok" && got == "tuf-threshold"), "{got}");
    }
}

#[test]
fn a_role_that_cannot_be_loaded_ends_the_search() {
    let graph = Graph::new(&[("targets", &[("a", ANY, false), ("b", ANY, false)], &[]), ("b", &[], &["x"])]);
    assert_eq!(graph.find("x").0, Err("tuf-meta-mismatch"), "`a` is not in the snapshot");
    let odd = change(&graph.files[0].1, TARGETS, |signed| *at(signed, &["version"]) = Json::from(1));
    assert_eq!(odd.len(), graph.files[0].1.len());
    assert!(matches!(paths(&["x"]), Coverage::Paths(_)));
}
