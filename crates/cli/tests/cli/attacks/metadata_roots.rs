//! Rows M: the chain of roots and the anchor that it hangs on.

use std::collections::BTreeMap;
use std::fs;

use countersign_base::json::Json;
use countersign_base::{Sha256Digest, canonical, code};
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{ProofFile, leaf_hash, node_hash};
use countersign_testkit::sim::{Sim, member};

use super::forge::{case, hex, publish_edited, publish_forged, publish_sealed, refuse_all, set};
use super::installed_from;
use crate::lab::{Lab, REPO, first_release, now, program, second_release};

/// Gives the root role to two keys that root 1 does not know.
fn rotate_root(sim: &mut Sim) {
    let names = ["root-4", "root-5"];
    names.iter().for_each(|name| sim.add_key(name));
    let ids: Vec<String> = names.iter().map(|name| sim.key_id(name)).collect();
    let keys: Vec<(String, Json)> = names.iter().map(|name| (sim.key_id(name), sim.key_json(name))).collect();
    let root = sim.role("root");
    member(root, "keys").extend(keys);
    set(member(root, "roles").get_mut("root").unwrap(), "keyids", ids);
}

#[test]
fn m07_each_root_follows_from_the_one_before() {
    let served_as_two = |from: &'static str| {
        move |sim: &mut Sim| {
            publish_edited(sim, "root", |_| {});
            sim.publish_next(&["root"]);
            for suffix in ["", ".tlog-proof"] {
                let bytes = sim.files[&format!("metadata/{from}.root.json{suffix}")].clone();
                sim.files.insert(format!("metadata/2.root.json{suffix}"), bytes);
            }
        }
    };
    let rotated_by = |names: &'static [&str]| {
        move |sim: &mut Sim| publish_forged(sim, "root", rotate_root, |sim| sim.envelope_by("root", names))
    };
    refuse_all(
        code::TUF_ROOT_CHAIN,
        &[
            case("(a) root 3 in place of root 2", served_as_two("3")),
            case("(b) root 2 says 1", served_as_two("1")),
            case("(b) root 2 says 3", |sim| {
                let bytes = {
                    let mut other = sim.clone();
                    other.set_version("root", 3);
                    other.envelope("root")
                };
                publish_sealed(sim, "root", |_| bytes);
            }),
            case("(c) signed by the new keys only", rotated_by(&["root-4", "root-5"])),
            case("(d) signed by the old keys only", rotated_by(&["root-1", "root-2"])),
            case("(c) one old key is not two", rotated_by(&["root-1", "root-4", "root-5"])),
            case("(d) one new key is not two", rotated_by(&["root-1", "root-2", "root-4"])),
        ],
    );
    // The honest twin of (c) and (d): signed by both.
    let first = first_release();
    let lab = installed_from(&first);
    let mut honest = second_release(&first);
    rotated_by(&["root-1", "root-2", "root-4", "root-5"])(&mut honest);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// Inclusion proofs of many entries of one tree, each subtree hashed once.
struct Prover {
    leaves: Vec<Sha256Digest>,
    known: BTreeMap<(usize, usize), Sha256Digest>,
}

impl Prover {
    fn new(entries: &[Vec<u8>]) -> Self {
        Self { leaves: entries.iter().map(|entry| leaf_hash(entry)).collect(), known: BTreeMap::new() }
    }

    fn root(&mut self, start: usize, end: usize) -> Sha256Digest {
        if end - start == 1 {
            return self.leaves[start];
        }
        if let Some(known) = self.known.get(&(start, end)) {
            return *known;
        }
        let middle = start + (end - start).next_power_of_two() / 2;
        let hash = node_hash(&self.root(start, middle), &self.root(middle, end));
        self.known.insert((start, end), hash);
        hash
    }

    fn path(&mut self, at: usize, start: usize, end: usize) -> Vec<Sha256Digest> {
        if end - start == 1 {
            return Vec::new();
        }
        let middle = start + (end - start).next_power_of_two() / 2;
        let (mut path, sibling) = if at < middle {
            (self.path(at, start, middle), self.root(middle, end))
        } else {
            (self.path(at, middle, end), self.root(start, middle))
        };
        path.push(sibling);
        path
    }
}

/// Adds valid roots up to version `last`, all logged, and a publication after them.
fn add_roots(sim: &mut Sim, last: u64) {
    let first = u64::try_from(sim.version("root")).unwrap() + 1;
    let signed = String::from_utf8(canonical::olpc(&sim.signed["root"])).unwrap();
    let (head, tail) = signed.split_once(r#""version":1"#).unwrap();
    let ids: Vec<String> = ["root-1", "root-2"].iter().map(|name| sim.key_id(name)).collect();
    let keys = [&sim.keys["root-1"], &sim.keys["root-2"]];
    let (at, mut leaves) = (sim.log.entries.len(), Vec::new());
    let mut files = BTreeMap::new();
    for version in first..=last {
        let text = format!(r#"{head}"version":{version}{tail}"#);
        let signatures = ids.iter().zip(keys).map(|(id, key)| {
            format!(r#"{{"keyid":"{id}","sig":"{}"}}"#, hex(&key.sign(text.as_bytes()).unwrap()))
        });
        let signatures: Vec<String> = signatures.collect();
        let bytes = format!(r#"{{"signatures":[{}],"signed":{text}}}"#, signatures.join(",")).into_bytes();
        leaves.push(format!(
            r#"{{"apiVersion":"0.0.1","kind":"tufmetadata","spec":{{"length":{},"repository":"{}","role":"root","sha256":"{}","version":{version}}}}}"#,
            bytes.len(),
            sim.anchor().0,
            sha256(&bytes),
        ).into_bytes());
        files.insert(version, bytes);
    }
    sim.log.entries.extend(leaves);
    sim.set_version("root", i64::try_from(last).unwrap());
    let mut prover = Prover::new(&sim.log.entries);
    let size = sim.log.entries.len();
    let root = prover.root(0, size);
    assert_eq!(root, sim.log.root(sim.log.size()));
    let checkpoint = sim.checkpoint(&sim.log, sim.log.size());
    for (index, (version, bytes)) in (at..).zip(files) {
        let mut proof = ProofFile {
            header: "c2sp.org/tlog-proof@v1".to_owned(),
            extra: None,
            index: index.to_string(),
            hashes: Vec::new(),
            checkpoint: checkpoint.clone(),
        };
        proof.set_entry(&sim.log.entries[index]);
        proof.set_hashes(&prover.path(index, 0, size));
        sim.files.insert(format!("metadata/{version}.root.json"), bytes);
        sim.files.insert(format!("metadata/{version}.root.json.tlog-proof"), proof.encode());
    }
    sim.serve_log(sim.log.size(), &checkpoint);
    sim.publish_next(&["node"]);
}

/// The version of the newest root that the machine has.
fn newest_root(lab: &Lab) -> u64 {
    let folder = lab.path("home/repos").join(REPO).join("metadata");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".root.json")?.parse().ok()).max().unwrap()
}

#[test]
fn m07_a_long_walk_stops_at_its_cap_and_goes_on_from_there() {
    // (e)
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    add_roots(&mut sim, 10_001);
    lab.serve(&sim);
    let (started, mut reached) = (std::time::Instant::now(), vec![newest_root(&lab)]);
    for _ in 0..2 {
        lab.node("update").refused(code::LIMIT_EXCEEDED);
        assert_eq!(lab.installed(), "node 1.0.0\n");
        reached.push(newest_root(&lab));
    }
    assert_eq!(reached, [1, 257, 513]);
    assert!(started.elapsed().as_secs() < 30, "two runs, each under the catalogue's 30 s");
}

#[test]
fn m07_the_walk_ends_in_a_later_run() {
    // (e) Its honest end, on a shorter chain.
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    add_roots(&mut sim, 300);
    lab.serve(&sim);
    lab.node("update").refused(code::LIMIT_EXCEEDED);
    lab.node("update").ok();
    assert_eq!(newest_root(&lab), 300);
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// A repository of somebody else: other keys under the same names.
fn other_repository() -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        rotate_root(sim);
        sim.signers.insert("root".to_owned(), vec!["root-4".to_owned(), "root-5".to_owned()]);
    });
    sim.add_release("6.6.6", "node", &program("6.6.6"));
    sim.publish_next(&["node"]);
    sim
}

#[test]
fn m08_a_cached_root_is_held_to_the_anchor() {
    // (a) The file is set aside, as the message says; the next run fetches the true one.
    let (first, other) = (first_release(), other_repository());
    let lab = installed_from(&first);
    let folder = lab.path("home/repos").join(REPO);
    for suffix in ["", ".tlog-proof"] {
        let name = format!("metadata/1.root.json{suffix}");
        fs::write(folder.join(&name), &other.files[&name]).unwrap();
    }
    lab.serve(&other);
    let run = lab.node("update").refused(code::TRUST_ANCHOR_UNTRUSTED);
    assert!(run.json()["message"].as_str().unwrap().contains("set aside"));
    assert_eq!(lab.installed(), "node 1.0.0\n");
    // What that repository serves is held to the anchor too, now that there is no cached root.
    lab.node("update").refused(code::TRUST_ANCHOR_UNTRUSTED);
    super::honest_update(&lab, &first);
}

#[test]
fn m08_nothing_is_trusted_on_first_use() {
    let (honest, other) = (first_release(), other_repository());
    // Nothing of a repository is remembered unless its root is the one of the anchor.
    let refused = |sim: &Sim, anchor: Option<&str>, expected: countersign_base::Code| {
        let lab = Lab::new();
        lab.serve(sim);
        let url = lab.url();
        let mut args = vec!["trust", "add", REPO, &url];
        args.extend(anchor);
        lab.run(&args).refused(expected);
        assert!(lab.run(&["trust", "list"]).ok().json()["repositories"].as_array().unwrap().is_empty());
        lab.node("install").refused(code::TRUST_REPO_UNKNOWN);
        assert!(!lab.path("root/node").exists());
        lab.serve(&honest);
        lab.trust(&honest).ok();
        lab.node("install").ok();
    };
    let anchor = honest.anchor().to_string();
    // (b) no pinned root
    refused(&honest, None, code::TRUST_ANCHOR_MISSING);
    // (c) a root with a log and witness of the server's own choosing
    let mut own = honest.clone();
    own.add_key("evil");
    let vkey = own.named("log.example/evil", "evil").vkey(1);
    let witness = own.named("w.example/evil", "evil").vkey(4);
    own.set_policy(&format!("log {vkey}\nwitness w1 {witness}\nquorum w1\n"));
    let bytes = own.envelope("root");
    own.files.insert("metadata/1.root.json".to_owned(), bytes);
    refused(&own, Some(&anchor), code::TRUST_ANCHOR_UNTRUSTED);
    // (d) not the root of the anchor: one byte more
    let mut longer = honest.clone();
    longer.files.get_mut("metadata/1.root.json").unwrap().push(b'\n');
    refused(&longer, Some(&anchor), code::TRUST_ANCHOR_UNTRUSTED);
    // (e) a typo: one character
    let last = if anchor.ends_with('q') { 'p' } else { 'q' };
    let typo = format!("{}{last}", &anchor[..anchor.len() - 1]);
    refused(&honest, Some(&typo), code::TRUST_ANCHOR_MALFORMED);
    // (f) the anchor of another repository
    refused(&other, Some(&anchor), code::TRUST_ANCHOR_UNTRUSTED);
}
