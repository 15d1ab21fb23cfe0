//! Several repositories must agree on a product (TAP 4): whoever breaks into one of them alone reaches no one.

use std::fs;

use countersign_base::code;
use countersign_base::json::Json;
use countersign_testkit::sim::{Sim, object};

use crate::lab::{Lab, Run, now, program};

/// A repository of its own that lists this content as node 1.0.0.
fn repository(name: &str, content: &[u8]) -> Sim {
    let mut sim = Sim::prepared(now(), |sim| {
        object(sim.role("root")).insert("x-name".to_owned(), Json::from(name));
    });
    sim.add_release("1.0.0", "node", content);
    sim.publish_next(&["node"]);
    sim
}

/// A machine that trusts `acme` and `audit`.
struct Two {
    lab: Lab,
    acme: Sim,
    audit: Sim,
}

impl Two {
    fn new() -> Self {
        let lab = Lab::new();
        let two = Self {
            acme: repository("acme", &program("1.0.0")),
            audit: repository("audit", &program("1.0.0")),
            lab,
        };
        two.trust("acme", &two.acme);
        two.trust("audit", &two.audit);
        two
    }

    fn trust(&self, name: &str, sim: &Sim) {
        sim.write(&self.lab.path(name));
        let (url, anchor) = (self.url(name), sim.anchor().to_string());
        self.lab.run(&["trust", "add", name, &url, &anchor]).ok();
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.lab.path(name).display())
    }

    fn run(&self, args: &[&str]) -> Run {
        self.lab.run(args)
    }

    fn agree(&self) {
        self.run(&["trust", "agree", "acme/node", "audit"]).ok();
    }

    fn install(&self, target: &str) -> Run {
        let root = self.lab.path("root");
        self.run(&["install", target, "--root", root.to_str().unwrap(), "--platform", "linux/amd64"])
    }

    fn verify(&self, more: &[&str]) -> Run {
        let file = self.lab.path("file");
        fs::write(&file, program("1.0.0")).unwrap();
        self.run(&[&["verify", file.to_str().unwrap()], more].concat())
    }

    /// Whoever broke into `acme` releases another program as 1.1.0, with all of its keys, log and witness.
    fn break_into_acme(&mut self) {
        self.acme.add_release("1.1.0", "node", b"#!/bin/sh\necho owned\n");
        self.acme.publish_next(&["node"]);
        self.acme.write(&self.lab.path("acme"));
    }
}

#[test]
fn a_file_that_both_list_is_installed_verified_and_run() {
    let two = Two::new();
    two.agree();
    let installed = two.install("acme/node").ok();
    assert_eq!(installed.json()["agreed"], serde_json::json!(["acme", "audit"]));
    assert_eq!(two.verify(&[]).ok().json()["releases"][0]["agreed"], serde_json::json!(["acme", "audit"]));
    two.lab.node("update").ok();
    let root = two.lab.path("root");
    let run = two.lab.run(&["run", "acme/node", "--root", root.to_str().unwrap()]);
    assert_eq!(run.status(), Some(0), "{}", run.text());
    // Their custom metadata, such as the channel, need not be the same (TAP 4, step 2); nor must the user choose.
    let by_product = two.install("node").ok();
    assert_eq!(by_product.json()["repository"], "acme");
}

#[test]
fn one_repository_that_was_broken_into_reaches_nobody_who_asks_for_two() {
    let mut two = Two::new();
    two.agree();
    two.install("acme/node").ok();
    two.break_into_acme();
    let before = two.lab.path("root");
    let refused = two.lab.node("update").refused(code::TRUST_REPOS_DISAGREE);
    assert!(refused.json()["message"].as_str().unwrap().contains("`audit`: lists nothing there"));
    two.install("acme/node@1.1.0").refused(code::TRUST_REPOS_DISAGREE);
    assert_eq!(two.lab.installed(), "node 1.0.0\n");
    assert!(before.join("node/current/node").exists());
    // The same version with another content is a disagreement too, whichever of the two is asked for it.
    two.audit.add_release("1.1.0", "node", &program("1.1.0"));
    two.audit.publish_next(&["node"]);
    two.audit.write(&two.lab.path("audit"));
    for target in ["acme/node", "audit/node"] {
        let refused = two.install(target).refused(code::TRUST_REPOS_DISAGREE);
        assert!(refused.json()["message"].as_str().unwrap().contains("lists another file"));
    }
    assert_eq!(two.lab.installed(), "node 1.0.0\n");
    // The honest twin: what both list is taken.
    two.install("acme/node@1.0.0").ok();
    two.run(&["trust", "agree", "acme/node", "--forget"]).ok();
    two.install("acme/node").ok();
    assert_eq!(two.lab.installed(), "owned\n");
}

#[test]
fn a_repository_that_cannot_be_asked_counts_for_nothing() {
    let two = Two::new();
    two.agree();
    fs::rename(two.lab.path("audit"), two.lab.path("away")).unwrap();
    two.install("acme/node").refused(code::TRUST_REPOS_UNHEARD);
    // Offline, what the machine has of it is as good as what it has of the other.
    two.verify(&[]).ok();
    two.verify(&["--refresh", "--repo", "acme"]).refused(code::TRUST_REPOS_UNHEARD);
    fs::rename(two.lab.path("away"), two.lab.path("audit")).unwrap();
    two.install("acme/node").ok();
    // As if something else than this program had removed it.
    fs::remove_dir_all(two.lab.path("home/repos/audit")).unwrap();
    two.install("acme/node").refused(code::TRUST_REPOS_DISAGREE);
    two.verify(&[]).refused(code::TRUST_REPOS_DISAGREE);
    let root = two.lab.path("root");
    two.run(&["run", "acme/node", "--root", root.to_str().unwrap()]).refused(code::TRUST_REPOS_DISAGREE);
}

/// The map knows repositories by their names: another one must not come by a name that has a say.
#[test]
fn a_name_with_a_say_is_not_given_to_another_repository() {
    let two = Two::new();
    two.agree();
    let evil = repository("evil", &program("1.0.0"));
    evil.write(&two.lab.path("evil"));
    let add = |name: &str| two.run(&["trust", "add", name, &two.url("evil"), &evil.anchor().to_string()]);
    for name in ["acme", "audit"] {
        let run = two.run(&["trust", "remove", name]).refused(code::TRUST_MAP_INVALID);
        assert!(run.text().contains("--forget"), "{}", run.text());
        add(name).refused(code::TRUST_REPO_EXISTS);
    }
    two.install("acme/node").ok();
    // One without a say can be removed, and every one once nothing is to be agreed on.
    add("evil").ok();
    two.run(&["trust", "remove", "evil"]).ok();
    two.run(&["trust", "agree", "acme/node", "--forget"]).ok();
    two.run(&["trust", "remove", "audit"]).ok();
}

#[test]
fn metadata_that_expired_counts_for_nothing() {
    let mut two = Two::new();
    two.agree();
    let expired = now().plus_seconds(2);
    object(two.audit.role("timestamp")).insert("expires".to_owned(), Json::from(expired.to_string()));
    two.audit.publish(&[]);
    two.audit.write(&two.lab.path("audit"));
    two.install("acme/node").ok();
    while now() <= expired {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    two.install("acme/node").refused(code::TRUST_REPOS_DISAGREE);
    two.verify(&[]).refused(code::TRUST_REPOS_DISAGREE);
    // What is installed goes on running: its age was judged when it was installed.
    let root = two.lab.path("root");
    let run = two.run(&["run", "acme/node", "--root", root.to_str().unwrap()]);
    assert_eq!(run.status(), Some(0), "{}", run.text());
}

#[test]
fn two_of_three_are_enough_and_one_under_two_names_is_one() {
    let mut two = Two::new();
    two.trust("third", &repository("third", &program("1.0.0")));
    two.run(&["trust", "agree", "acme/node", "audit", "third", "--threshold", "2"]).ok();
    fs::remove_dir_all(two.lab.path("third")).unwrap();
    two.install("acme/node").ok();
    two.break_into_acme();
    two.install("acme/node").refused(code::TRUST_REPOS_UNHEARD);
    // The publisher's mirror is no second opinion.
    two.trust("mirror", &two.acme);
    two.run(&["trust", "agree", "acme/node", "mirror"]).refused(code::TRUST_MAP_INVALID);
    two.run(&["trust", "agree", "acme/node", "acme"]).refused(code::TRUST_MAP_INVALID);
    two.run(&["trust", "agree", "acme/node", "audit", "--threshold", "3"]).refused(code::TRUST_MAP_INVALID);
    two.run(&["trust", "agree", "acme/node", "nobody"]).refused(code::TRUST_REPO_UNKNOWN);
    let kept = two.run(&["trust", "agree"]).ok().json();
    assert_eq!(kept["agreements"][0]["repositories"], serde_json::json!(["acme", "audit", "third"]));
}

#[test]
fn a_map_of_another_client_is_taken_with_its_own_meaning() {
    let two = Two::new();
    let file = two.lab.path("map.json");
    let map = r#"{"repositories":{"acme":["https://elsewhere.example/"],"audit":[]},"mapping":[
        {"paths":["node/1.*/*/*"],"repositories":["acme","audit"],"threshold":2,"terminating":true}]}"#;
    fs::write(&file, map).unwrap();
    two.run(&["trust", "agree", "--map", file.to_str().unwrap()]).ok();
    let refused_others = two.run(&["trust", "agree"]).ok().json()["others_refused"].clone();
    assert_eq!(refused_others, true);
    two.install("acme/node").ok();
    fs::write(&file, map.replace("node/1.*", "node/2.*")).unwrap();
    two.run(&["trust", "agree", "--map", file.to_str().unwrap()]).ok();
    two.install("acme/node").refused(code::TRUST_REPOS_DISAGREE);
    fs::write(two.lab.path("home/map.json"), "{").unwrap();
    two.install("acme/node").refused(code::TRUST_MAP_INVALID);
    two.verify(&[]).refused(code::TRUST_MAP_INVALID);
    fs::remove_file(two.lab.path("home/map.json")).unwrap();
    two.install("acme/node").ok();
}

/// A mistyped product would be kept, and the one that was meant be taken from one repository alone.
#[test]
fn a_product_that_nobody_has_cannot_be_agreed_on() {
    let two = Two::new();
    let run = two.run(&["trust", "agree", "acme/nod", "audit"]).refused(code::INSTALL_PRODUCT_UNKNOWN);
    assert!(run.text().contains("none of these repositories has a product `nod`"), "{}", run.text());
    let set = two.run(&["trust", "agree"]).ok().json();
    assert_eq!(set["agreements"], serde_json::json!([]), "nothing is kept");
    assert_eq!(set["ok"], serde_json::json!(true));
    // One that only some have is kept, and said.
    let (repo, keys) = (two.lab.path("empty"), two.lab.path("keys"));
    let [repo, keys] = [&repo, &keys].map(|path| path.to_str().unwrap());
    let made = two.run(&["init", repo, "--keys", keys, "--unencrypted"]).ok().json();
    two.run(&["trust", "add", "empty", &two.url("empty"), made["anchor"].as_str().unwrap()]).ok();
    let kept = two.run(&["trust", "agree", "acme/node", "empty"]).ok().json();
    assert_eq!(
        kept["warnings"],
        serde_json::json!(["empty has no product `node` yet, and can agree to nothing of it"])
    );
    let kept = two.run(&["trust", "agree", "acme/node", "audit"]).ok().json();
    assert_eq!((&kept["warnings"], &kept["agreements"][0]["threshold"]), (&serde_json::json!([]), &2.into()));
}
