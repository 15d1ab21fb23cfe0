//! `log verify`: rows L05, L08, L09 and L10 for a proof that somebody saved. Nothing is fetched, so nothing but the three
//! files and the keys decides.

use std::fs;

use countersign_base::{Code, code};
use countersign_crypto::sha256;
use countersign_testkit::sim::log::{ProofFile, leaf_hash, node_hash, to_base64};
use countersign_testkit::sim::{ORIGIN, Sim, WITNESS};
use countersign_tlog::VerifierKey;

use crate::lab::{Lab, Run, now};
use crate::log::{Live, command};

/// The place of the entry, and how many entries there are.
const AT: u64 = 6;
const SIZE: u64 = 11;

/// A log of eleven entries, its policy, and a machine with an entry and its proof.
struct Scene {
    lab: Lab,
    sim: Sim,
}

impl Scene {
    fn new() -> Self {
        let (lab, mut sim) = (Lab::new(), Sim::new(now()));
        sim.log.entries = (0..SIZE).map(|number| format!("entry {number}").into_bytes()).collect();
        fs::write(lab.path("policy"), sim.policy()).unwrap();
        let scene = Self { lab, sim };
        scene.save(&scene.proof());
        scene.entry(&scene.sim.log.entries[AT as usize]);
        scene.verify().ok();
        scene
    }

    /// The honest proof, as `log proof` saves it.
    fn proof(&self) -> ProofFile {
        let mut proof = self.sim.log.proof_file(AT, SIZE, &self.sim.checkpoint(&self.sim.log, SIZE));
        proof.extra = None;
        proof
    }

    fn file(&self, name: &str) -> String {
        self.lab.path(name).to_str().unwrap().to_owned()
    }

    fn save(&self, proof: &ProofFile) {
        fs::write(self.lab.path("proof"), proof.encode()).unwrap();
    }

    fn entry(&self, entry: &[u8]) {
        fs::write(self.lab.path("entry"), entry).unwrap();
    }

    fn vkey(&self) -> String {
        self.sim.named(ORIGIN, "log").vkey(1)
    }

    fn verify_by(&self, belief: &[&str]) -> Run {
        let (proof, entry) = (self.file("proof"), self.file("entry"));
        self.lab.run(&[&["log", "verify", &proof, &entry], belief].concat())
    }

    fn verify(&self) -> Run {
        self.verify_by(&["--policy", &self.file("policy")])
    }

    /// The honest proof, edited so, is refused by the policy and by the key alone; the honest one is not.
    #[track_caller]
    fn refuse(&self, code: Code, edit: impl FnOnce(&mut ProofFile)) {
        let mut proof = self.proof();
        edit(&mut proof);
        self.save(&proof);
        self.verify().refused(code);
        self.verify_by(&["--vkey", &self.vkey()]).refused(code);
        self.save(&self.proof());
        self.verify().ok();
    }

    /// A note of any text, signed by log and witness.
    fn note(&self, size: u64, root: &[u8; 32]) -> String {
        self.sim.sign_checkpoint(&format!("{ORIGIN}\n{size}\n{}\n", to_base64(root)))
    }
}

#[test]
fn what_is_proven_is_said_in_words() {
    let scene = Scene::new();
    let proven = scene.verify().ok().json();
    assert_eq!((proven["origin"].as_str(), proven["index"].as_u64()), (Some(ORIGIN), Some(AT)));
    assert_eq!((proven["size"].as_u64(), proven["witnesses"][0].as_str()), (Some(SIZE), Some("w1")));
    assert_eq!(proven["leafHash"], leaf_hash(b"entry 6").to_string());
    assert_eq!(proven["provenTime"], scene.sim.now.to_string());
    let by_key = scene.verify_by(&["--vkey", &scene.vkey()]).ok().json();
    assert_eq!((by_key["ok"].as_bool(), by_key.get("provenTime")), (Some(true), None));

    let shown = |belief: &[&str]| {
        let (proof, entry) = (scene.file("proof"), scene.file("entry"));
        let args = [&["log", "verify", &proof, &entry][..], belief].concat();
        String::from_utf8(command(&scene.lab, &args).output().unwrap().stdout).unwrap()
    };
    let by_policy = shown(&["--policy", &scene.file("policy")]);
    assert!(by_policy.contains(&format!("is entry 6 of log {ORIGIN}\n")), "{by_policy}");
    assert!(by_policy.contains("witnessed w1, as the policy wants, by "), "{by_policy}");
    assert!(shown(&["--vkey", &scene.vkey()]).contains("witnessed not looked at"));
    // Nobody to believe, or somebody else.
    scene.verify_by(&[]).refused(code::USAGE);
    let other = scene.sim.named(ORIGIN, "witness").vkey(1);
    scene.verify_by(&["--vkey", &other]).refused(code::LOG_KEY_UNKNOWN);
    let missing = scene.file("missing");
    scene.lab.run(&["log", "verify", &missing, &missing, "--vkey", &other]).refused(code::FILE_NOT_FOUND);
    scene.lab.run(&["log", "verify", "-", "-", "--vkey", &other]).refused(code::USAGE);
}

#[test]
fn what_a_log_saves_verifies_without_it() {
    let lab = Lab::new();
    let path = |name: &str| lab.path(name).to_str().unwrap().to_owned();
    fs::write(lab.path("note"), "a note").unwrap();
    let log = Live::log(&lab, "log", &["--admit", "any"]);
    let vkey = log.vkey.clone();
    lab.run(&["log", "add", &log.url, &path("note"), "--vkey", &vkey, "--proof", &path("proof")]).ok();
    assert!(log.terminate().success());
    fs::remove_dir_all(lab.path("log")).unwrap();
    lab.run(&["log", "verify", &path("proof"), &path("note"), "--vkey", &vkey]).ok();
    fs::write(lab.path("note"), "another").unwrap();
    let verify = || lab.run(&["log", "verify", &path("proof"), &path("note"), "--vkey", &vkey]);
    let changed = verify().refused(code::LOG_INCLUSION_INVALID).json();
    let message = changed["message"].as_str().unwrap();
    assert!(message.ends_with("note` is not entry 0 of this log, or was changed"), "{message}");
    // What was never an entry.
    fs::write(lab.path("note"), vec![0; 65_536]).unwrap();
    let fix = verify().refused(code::LOG_INCLUSION_INVALID).json()["fix"].to_string();
    assert!(fix.contains("digest"), "{fix}");
}

/// Whoever stands between a log and its readers can add a signature line under any name. Beside it an untrusted name is
/// in a JSON document, which a terminal may show.
#[test]
fn what_is_printed_moves_no_cursor() {
    let hostile = "evil\u{9b}31m\u{202e}";
    let moves = |text: &str| text.chars().any(|one| one != '\n' && one.is_control() || one == '\u{202e}');
    let lab = Lab::new();
    let mut sim = crate::lab::first_release();
    sim.add_key("stranger");
    lab.serve(&sim);
    let (log, policy) = (lab.path("served/log"), lab.path("policy"));
    fs::write(&policy, sim.policy()).unwrap();
    let note = fs::read_to_string(log.join("checkpoint")).unwrap();
    let extra = sim.named(hostile, "stranger").log_line(&sim.log.text(sim.log.size()));
    let plain = sim.named("other.example", "stranger").log_line(&sim.log.text(sim.log.size()));
    fs::write(log.join("checkpoint"), format!("{note}{extra}{plain}")).unwrap();
    let args = ["log", "proof", log.to_str().unwrap(), "0", "--policy", policy.to_str().unwrap()];
    let shown = String::from_utf8(command(&lab, &args).output().unwrap().stdout).unwrap();
    // All else is as it came.
    assert!(shown.ends_with(&format!("\n\n{note}{plain}")) && !moves(&shown), "{shown:?}");
    assert_eq!(lab.run(&args).ok().json()["proof"], shown);
    let run = lab.run(&["log", "verify", hostile, "entry", "--vkey", &sim.named(ORIGIN, "log").vkey(1)]);
    assert!(!moves(&run.stdout()), "{:?}", run.stdout());
    let run = run.refused(code::FILE_NOT_FOUND).json();
    assert!(run["message"].as_str().unwrap().contains(hostile), "{run}");
}

#[test]
fn l05_a_quorum_that_is_short() {
    let scene = Scene::new();
    let alone = |proof: &mut ProofFile| {
        let text = scene.sim.log.text(SIZE);
        proof.checkpoint = format!("{text}\n{}", scene.sim.named(ORIGIN, "log").log_line(&text));
    };
    let mut proof = scene.proof();
    alone(&mut proof);
    scene.save(&proof);
    let text = scene.verify().refused(code::LOG_QUORUM_NOT_MET).text();
    assert!(text.contains("w1"), "it names who is missing: {text}");
    // The log's word alone is what was asked for here.
    scene.verify_by(&["--vkey", &scene.vkey()]).ok();
    // A second witness is wanted, and the first one signs twice.
    let second = scene.sim.named("witness.example/w2", "node-1").vkey(4);
    let policy =
        scene.sim.policy().replace("quorum w1", &format!("witness w2 {second}\ngroup g 2 w1 w2\nquorum g"));
    fs::write(scene.lab.path("policy"), policy).unwrap();
    let (text, mut proof) = (scene.sim.log.text(SIZE), scene.proof());
    let first = scene.sim.named(WITNESS, "witness");
    proof.checkpoint += &first.cosignature_line_at(&text, scene.sim.now.as_unix() - 60);
    scene.save(&proof);
    scene.verify().refused(code::LOG_QUORUM_NOT_MET);
    proof.checkpoint +=
        &scene.sim.named("witness.example/w2", "node-1").cosignature_line(&text, scene.sim.now);
    scene.save(&proof);
    scene.verify().ok();
}

/// By the bytes of the key, whatever it is called there; and the same for a log that is about to be served.
#[test]
fn l06_a_log_that_is_its_own_witness() {
    let scene = Scene::new();
    for name in ["witness.example/w2", ORIGIN] {
        let own = scene.sim.named(name, "log");
        for rule in ["group g any w1 w2\nquorum g", "quorum w2", "quorum w1"] {
            let lines = format!("witness w2 {}\n{rule}", own.vkey(4));
            fs::write(scene.lab.path("policy"), scene.sim.policy().replace("quorum w1", &lines)).unwrap();
            let mut proof = scene.proof();
            proof.checkpoint += &own.cosignature_line(&scene.sim.log.text(SIZE), scene.sim.now);
            scene.save(&proof);
            let text = scene.verify().refused(code::LOG_POLICY_INVALID).text();
            assert!(text.contains("witness `w2` has the public key of a log"), "{text}");
        }
    }
    let lab = Lab::new();
    let log = Live::log(&lab, "log", &[]);
    let own: VerifierKey = log.vkey.parse().unwrap();
    let own = VerifierKey::for_witness("w.example/1", own.public_key()).unwrap();
    drop(log);
    let (dir, spec) = (lab.path("log"), format!("{own} http://127.0.0.1:9"));
    let serve = ["log", "serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0", "--witness", &spec];
    lab.run(&serve).refused(code::LOG_POLICY_INVALID);
}

#[test]
fn l08_a_proof_of_something_else() {
    let scene = Scene::new();
    let invalid = code::LOG_INCLUSION_INVALID;
    // Another leaf: another file, the neighbour, one byte more or less.
    for other in [&b"entry 7"[..], b"entry 66", b"entry ", b"", &[6; 65_535]] {
        scene.entry(other);
        scene.verify().refused(invalid);
        scene.verify_by(&["--vkey", &scene.vkey()]).refused(invalid);
    }
    scene.entry(b"entry 6");
    // Another index, whose path has as many hashes.
    scene.refuse(invalid, |proof| proof.index = (AT + 1).to_string());
    // Another tree: the path of the tree of ten entries is as long, and an older checkpoint that lacks the entry.
    scene.refuse(invalid, |proof| proof.set_hashes(&scene.sim.log.inclusion(AT, SIZE - 1)));
    scene.refuse(invalid, |proof| proof.checkpoint = scene.sim.checkpoint(&scene.sim.log, SIZE - 1));
    scene.refuse(code::LOG_PROOF_MALFORMED, |proof| {
        proof.checkpoint = scene.sim.checkpoint(&scene.sim.log, AT);
    });
}

#[test]
fn l09_a_proof_that_is_not_well_formed() {
    let scene = Scene::new();
    let malformed = code::LOG_PROOF_MALFORMED;
    scene.refuse(malformed, |proof| drop(proof.hashes.pop()));
    scene.refuse(malformed, |proof| proof.hashes.push(proof.hashes[0].clone()));
    scene.refuse(malformed, |proof| proof.hashes.clear());
    scene.refuse(malformed, |proof| proof.hashes[1] = to_base64(&[7; 31]));
    scene.refuse(malformed, |proof| proof.hashes[1] = proof.hashes[1].trim_end_matches('=').to_owned());
    for index in
        [SIZE.to_string(), (1_u64 << 63).to_string(), "06".to_owned(), "+6".to_owned(), String::new()]
    {
        scene.refuse(malformed, |proof| proof.index = index);
    }
    scene.refuse(malformed, |proof| proof.header.push('\r'));
    scene.refuse(malformed, |proof| proof.checkpoint = proof.checkpoint.trim_end().to_owned());
    scene.refuse(malformed, |proof| proof.checkpoint.clear());
    scene.refuse(malformed, |proof| proof.checkpoint = proof.checkpoint.replacen("\n11\n", "\n011\n", 1));
    scene.refuse(code::LIMIT_EXCEEDED, |proof| proof.extra = Some("A".repeat(1 << 20)));
    scene.refuse(code::LIMIT_EXCEEDED, |proof| {
        let line = scene.sim.named("w2.example", "node-1").line(4, &[7; 72]);
        proof.checkpoint += &line.repeat(100_000);
    });
    // Sixteen signatures and lines that nobody knows are nothing to stumble over.
    let text = scene.sim.log.text(SIZE) + "extension of tomorrow\n";
    let mut proof = scene.proof();
    proof.checkpoint = scene.sim.sign_checkpoint(&text);
    for number in 2..16 {
        let name = format!("w{number}.example");
        proof.checkpoint += &scene.sim.named(&name, "node-1").cosignature_line(&text, scene.sim.now);
    }
    scene.save(&proof);
    scene.verify().ok();
}

#[test]
fn l10_edges_of_the_tree() {
    let scene = Scene::new();
    // An inner node, or its preimage, offered as a leaf.
    let children = [AT, AT + 1].map(|at| leaf_hash(&scene.sim.log.entries[at as usize]));
    let preimage = [&[1][..], children[0].as_bytes(), children[1].as_bytes()].concat();
    let above = scene.sim.log.inclusion(AT, SIZE)[1..].to_vec();
    for entry in [preimage, [children[0].as_bytes().as_slice(), children[1].as_bytes()].concat()] {
        scene.entry(&entry);
        let mut proof = scene.proof();
        proof.index = (AT / 2).to_string();
        proof.set_hashes(&above);
        proof.checkpoint = scene.note(SIZE.div_ceil(2), scene.sim.log.root(SIZE).as_bytes());
        scene.save(&proof);
        let run = scene.verify();
        assert_eq!(run.status(), Some(1), "{}", run.text());
        assert!(
            [code::LOG_INCLUSION_INVALID.name(), code::LOG_PROOF_MALFORMED.name()]
                .contains(&run.json()["code"].as_str().unwrap()),
            "{}",
            run.text()
        );
    }
    scene.entry(b"entry 6");
    // No leaf: with a path and without, and with a root that no tree of no leaves has.
    let empty = *sha256(b"").as_bytes();
    for (root, with_path) in [(empty, true), (empty, false), ([7; 32], false)] {
        scene.refuse(code::LOG_PROOF_MALFORMED, |proof| {
            proof.index = "0".to_owned();
            proof.checkpoint = scene.note(0, &root);
            if !with_path {
                proof.hashes.clear();
            }
        });
    }
    // One leaf, with a sibling that leads to the root nevertheless.
    let sibling = leaf_hash(b"sibling");
    scene.refuse(code::LOG_PROOF_MALFORMED, |proof| {
        proof.index = "0".to_owned();
        proof.set_hashes(&[sibling]);
        proof.checkpoint = scene.note(1, node_hash(&leaf_hash(b"entry 6"), &sibling).as_bytes());
    });
    // And its twin: the only leaf needs no hash.
    let mut proof = scene.proof();
    (proof.index, proof.hashes) = ("0".to_owned(), Vec::new());
    proof.checkpoint = scene.note(1, leaf_hash(b"entry 6").as_bytes());
    scene.save(&proof);
    scene.verify().ok();
}

/// The proof beside a repository's metadata is of the entry that it carries.
#[test]
fn a_proof_of_metadata_is_told_as_such() {
    let scene = Scene::new();
    let mut proof = scene.proof();
    proof.set_entry(b"entry 6");
    scene.save(&proof);
    scene.entry(b"{\"signed\":{}}");
    let text = scene.verify().refused(code::LOG_INCLUSION_INVALID).text();
    assert!(text.contains("the entry that it carries"), "{text}");
}
