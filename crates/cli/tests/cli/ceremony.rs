//! Ceremonies by several people with the real program: each has a folder of keys, proposals travel as folders.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_base::code;

use crate::lab::{Lab, Run, program};

/// A repository whose product `node` alice, bob and carol sign, two of them each time.
pub(crate) struct Team {
    pub(crate) lab: Lab,
    anchor: String,
}

/// Copies a folder and all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name))
        } else {
            fs::copy(&path, to.join(name)).map(drop).unwrap()
        }
    }
}

impl Team {
    pub(crate) fn new(options: &[&str]) -> Self {
        let lab = Lab::new();
        let mut team = Self { lab, anchor: String::new() };
        let (repo, keys) = (team.path("repo"), team.path("keys"));
        let made = team.run(&["init", &repo, "--keys", &keys, "--unencrypted"]).ok();
        team.anchor = made.json()["anchor"].as_str().unwrap().to_owned();
        for name in ["alice", "bob", "carol"] {
            team.key(name, name, "release");
        }
        let signers = ["alice", "bob", "carol"].map(|name| team.public(name, name));
        let signers: Vec<&str> = signers.iter().map(String::as_str).collect();
        let proposal =
            team.propose(&[&["product", &repo, "node", "--signer"], &signers[..], options].concat());
        team.sign(&proposal, "keys", &["root-1", "root-3"]);
        for name in ["carol", "alice", "bob"] {
            team.sign(&proposal, name, &[name]);
        }
        team.publish(&proposal).ok();
        team
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.lab.run_with(args, |command| {
            command.current_dir(self.lab.path(""));
        })
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.lab.path(name).to_str().unwrap().to_owned()
    }

    /// A new key in somebody's folder.
    pub(crate) fn key(&self, person: &str, name: &str, stage: &str) {
        let keys = self.path(person);
        let product: &[&str] = if stage == "release" { &["--product", "node"] } else { &[] };
        let new =
            ["key", "new", name, "--keys", &keys, "--stage", stage, "--holder", person, "--unencrypted"];
        self.run(&[&new[..], product].concat()).ok();
    }

    pub(crate) fn public(&self, person: &str, key: &str) -> String {
        format!("{}/{key}.pub", self.path(person))
    }

    /// `propose` by dave; the folder that it made.
    #[track_caller]
    pub(crate) fn propose(&self, args: &[&str]) -> String {
        let run = self.try_propose(args).ok();
        run.json()["proposal"].as_str().unwrap().to_owned()
    }

    pub(crate) fn try_propose(&self, args: &[&str]) -> Run {
        self.run(&[&["propose"], args, &["--by", "dave"]].concat())
    }

    pub(crate) fn write_program(&self, content: &[u8]) {
        fs::write(self.lab.path("node"), content).unwrap();
        fs::set_permissions(self.lab.path("node"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A release with a program of that version.
    pub(crate) fn release(&self, version: &str) -> String {
        self.write_program(&program(version));
        self.propose(&["release", "repo", "node", version, "node", "--platform", "linux/amd64"])
    }

    pub(crate) fn try_sign(&self, proposal: &str, person: &str, key: &str) -> Run {
        self.run(&["sign", proposal, "--key", &format!("{person}/{key}.key")])
    }

    /// Signs with the keys of somebody's folder.
    #[track_caller]
    pub(crate) fn sign(&self, proposal: &str, person: &str, keys: &[&str]) {
        for key in keys {
            self.try_sign(proposal, person, key).ok();
        }
    }

    pub(crate) fn publish(&self, proposal: &str) -> Run {
        self.run(&["publish", "repo", proposal, "--keys", "keys"])
    }

    /// Proposes, has alice and bob sign, and publishes a release.
    #[track_caller]
    pub(crate) fn released(&self, version: &str) {
        let proposal = self.release(version);
        self.sign(&proposal, "alice", &["alice"]);
        self.sign(&proposal, "bob", &["bob"]);
        self.publish(&proposal).ok();
    }

    pub(crate) fn trust(&self) {
        let url = format!("file://{}", self.path("repo"));
        self.run(&["trust", "add", "acme", &url, &self.anchor]).ok();
    }

    pub(crate) fn node(&self, command: &str) -> Run {
        self.lab.node(command)
    }

    pub(crate) fn node_status(&self) -> Run {
        self.run(&["status", "acme/node", "--root", "root"])
    }
}

#[test]
fn two_of_three_sign_copies_of_a_release_and_both_signatures_merge() {
    let team = Team::new(&[]);
    let proposal = team.release("1.0.0");
    let before = team.run(&["proposal", "show", &proposal]).ok().json();
    assert_eq!(before["roles"][0]["groups"][0]["missing"].as_array().unwrap().len(), 3);
    assert_eq!(before["complete"], false);
    // Both sign at once, each a copy, on a machine that has nothing but the stick.
    for name in ["on-stick-a", "on-stick-b"] {
        copy(&team.lab.path(&proposal), &team.lab.path(name));
    }
    fs::rename(team.lab.path("repo"), team.lab.path("away")).unwrap();
    team.sign("on-stick-b", "bob", &["bob"]);
    team.sign("on-stick-a", "alice", &["alice"]);
    fs::rename(team.lab.path("away"), team.lab.path("repo")).unwrap();
    for (copy, signed) in [("on-stick-a", "alice"), ("on-stick-b", "bob")] {
        let refused = team.publish(copy).refused(code::PUBLISH_THRESHOLD_NOT_MET);
        assert!(refused.json()["message"].as_str().unwrap().contains(signed), "{}", refused.text());
    }
    let merged = team.run(&["proposal", "merge", &proposal, "on-stick-b", "on-stick-a"]).ok().json();
    assert_eq!((&merged["merged"], &merged["complete"]), (&2.into(), &true.into()));
    // Once more changes nothing.
    assert_eq!(team.run(&["proposal", "merge", &proposal, "on-stick-b"]).ok().json()["merged"], 0);
    team.publish(&proposal).ok();
    team.trust();
    team.node("install").ok();
    assert_eq!(team.lab.installed(), "node 1.0.0\n");
    team.publish(&proposal).refused(code::PROPOSAL_STALE);
}

#[test]
fn a_key_without_a_say_is_refused_and_told_whose_signature_is_missing() {
    let team = Team::new(&[]);
    team.key("mallory", "mallory", "release");
    let proposal = team.release("1.0.0");
    team.sign(&proposal, "alice", &["alice"]);
    let refused = team.try_sign(&proposal, "mallory", "mallory").refused(code::APPROVAL_INVALID);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("bob, carol") && !message.contains("alice"), "{message}");
    // Nothing was signed, also not by the one of two keys that has a say.
    let both = ["sign", &proposal, "--key", "bob/bob.key", "--key", "mallory/mallory.key"];
    team.run(&both).refused(code::APPROVAL_INVALID);
    team.publish(&proposal).refused(code::PUBLISH_THRESHOLD_NOT_MET);
    // Signing twice is signing once.
    let again = team.try_sign(&proposal, "alice", "alice").ok().json();
    assert_eq!(again["signed"][0]["already"], true);
    team.publish(&proposal).refused(code::PUBLISH_THRESHOLD_NOT_MET);
    team.sign(&proposal, "bob", &["bob"]);
    team.publish(&proposal).ok();
}

#[test]
fn whoever_proposes_cannot_be_the_only_one_to_approve() {
    let team = Team::new(&["--threshold", "1", "--separation"]);
    team.write_program(&program("1.0.0"));
    let release =
        ["propose", "release", "repo", "node", "1.0.0", "node", "--by", "alice", "--out", "release"];
    team.run(&release).ok();
    team.sign("release", "alice", &["alice"]);
    let refused = team.publish("release").refused(code::APPROVAL_SELF);
    assert!(refused.text().contains("cannot be the only one to approve"), "{}", refused.text());
    team.sign("release", "bob", &["bob"]);
    team.publish("release").ok();
}

#[test]
fn a_proposal_that_another_publication_made_stale_is_made_again() {
    let team = Team::new(&[]);
    let (first, second) = (team.release("1.0.0"), team.release("1.0.1"));
    for proposal in [&first, &second] {
        team.sign(proposal, "alice", &["alice"]);
        team.sign(proposal, "bob", &["bob"]);
    }
    team.publish(&first).ok();
    team.publish(&second).refused(code::PROPOSAL_STALE);
    let again = team.run(&["proposal", "rebase", "repo", &second]).ok().json();
    let again = again["proposal"].as_str().unwrap();
    // What was signed was another change.
    team.publish(again).refused(code::PUBLISH_THRESHOLD_NOT_MET);
    team.sign(again, "carol", &["carol"]);
    team.sign(again, "bob", &["bob"]);
    team.publish(again).ok();
}

#[test]
fn what_was_changed_on_the_way_is_refused() {
    let team = Team::new(&[]);
    let proposal = team.release("1.0.0");
    let file = fs::read_dir(team.lab.path(&proposal).join("files")).unwrap().next().unwrap().unwrap().path();
    let honest = fs::read(&file).unwrap();
    fs::write(&file, b"#!/bin/sh\necho owned\n").unwrap();
    team.try_sign(&proposal, "alice", "alice").refused(code::APPROVAL_INVALID);
    fs::write(&file, honest).unwrap();
    // The summary for people is never read back: what sign shows is computed.
    fs::write(team.lab.path(&proposal).join("summary.txt"), "harmless\n").unwrap();
    let signed = team.try_sign(&proposal, "alice", "alice").ok();
    assert!(!signed.text().contains("harmless"));
}

#[test]
fn the_people_who_sign_root_change() {
    let team = Team::new(&[]);
    team.released("1.0.0");
    team.trust();
    let people = ["erin", "frank", "grace", "heidi", "ivan"];
    people.iter().for_each(|name| team.key(name, name, "root"));
    let keys = people.map(|name| team.public(name, name));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let proposal = team.propose(&[&["root", "repo", "--threshold", "3", "--signer"], &keys[..]].concat());
    // On an offline machine: no repository, no home.
    fs::rename(team.lab.path("repo"), team.lab.path("away")).unwrap();
    team.sign(&proposal, "keys", &["root-1", "root-2"]);
    team.sign(&proposal, "erin", &["erin"]);
    team.sign(&proposal, "ivan", &["ivan"]);
    fs::rename(team.lab.path("away"), team.lab.path("repo")).unwrap();
    // The new ones are too few.
    team.publish(&proposal).refused(code::PUBLISH_THRESHOLD_NOT_MET);
    team.sign(&proposal, "grace", &["grace"]);
    team.publish(&proposal).ok();
    team.released("1.1.0");
    team.node("install").ok();
    assert_eq!(team.lab.installed(), "node 1.1.0\n");
    // Those who signed before have no say any more.
    let renewal = team.propose(&["root", "repo", "--out", "renewal"]);
    team.try_sign(&renewal, "keys", "root-1").refused(code::APPROVAL_INVALID);
    for name in ["heidi", "frank", "erin"] {
        team.sign(&renewal, name, &[name]);
    }
    team.publish(&renewal).ok();
    team.node("update").ok();
}

#[test]
fn a_key_is_rotated_by_its_name() {
    let team = Team::new(&[]);
    team.released("1.0.0");
    team.trust();
    team.node("install").ok();
    team.key("bob", "bob-2", "release");
    let rotate = ["key", "rotate", "repo", "bob", "--to", "bob-2", "--keys", "bob"];
    let made = team.run(&rotate).ok().json();
    assert_eq!(made["proposer"], "bob");
    let proposal = made["proposal"].as_str().unwrap();
    team.sign(proposal, "keys", &["root-1", "root-2"]);
    team.sign(proposal, "bob", &["bob-2"]);
    team.sign(proposal, "carol", &["carol"]);
    // In bob's folder, as far as it has what publishing needs.
    for name in fs::read_dir(team.lab.path("keys")).unwrap() {
        let path = name.unwrap().path();
        if path.is_file() {
            fs::copy(&path, team.lab.path("bob").join(path.file_name().unwrap())).unwrap();
        }
    }
    let published = team.run(&["publish", "repo", proposal, "--keys", "bob"]).ok().json();
    assert_eq!(published["ended_keys"], serde_json::json!(["bob"]));
    let listed = team.run(&["key", "show", "bob", "--keys", "bob"]).ok().json();
    assert_eq!(listed["state"], "retired");
    let release = team.release("1.1.0");
    team.try_sign(&release, "bob", "bob").refused(code::APPROVAL_INVALID);
    team.sign(&release, "bob", &["bob-2"]);
    team.sign(&release, "alice", &["alice"]);
    team.publish(&release).ok();
    team.node("update").ok();
    assert_eq!(team.lab.installed(), "node 1.1.0\n");
}

/// Whoever had one key of a hybrid pair may have the other: both end, in the metadata and in the folder that has them.
#[test]
fn both_keys_of_a_revoked_pair_end() {
    let team = Team::new(&[]);
    let dan = team.path("dan");
    let new = ["key", "new", "dan", "--keys", &dan, "--stage", "release", "--product", "node"];
    team.run(&[&new[..], &["--holder", "dan", "--unencrypted", "--pair", "ml-dsa-44"]].concat()).ok();
    let (carol, public) = (team.public("carol", "carol"), team.public("dan", "dan"));
    let joins = team.propose(&["rotate", "repo", &carol, "--to", &public, "--out", "joins"]);
    team.sign(&joins, "keys", &["root-1", "root-2"]);
    team.publish(&joins).ok();
    team.key("eve", "eve", "release");
    let eve = team.public("eve", "eve");
    let revoke =
        ["revoke", "repo", &public, "--reason", "compromised", "--replacement", &eve, "--out", "out"];
    let revoked = team.propose(&revoke);
    let summary = fs::read_to_string(team.lab.path(&revoked).join("summary.txt")).unwrap();
    assert!(summary.contains("ends the second key ") && !summary.contains("one key only"), "{summary}");
    team.sign(&revoked, "keys", &["root-1", "root-2"]);
    // Published from a folder that has both.
    for file in fs::read_dir(&dan).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&file, team.lab.path("keys").join(file.file_name().unwrap())).unwrap();
    }
    let published = team.publish(&revoked).ok().json();
    assert_eq!(published["ended_keys"], serde_json::json!(["dan", "dan-pq"]));
    let second = team.run(&["key", "show", "dan-pq", "--keys", "keys"]).ok().json();
    assert_eq!(second["state"], "revoked");
    let public = fs::read(team.public("dan", "dan-pq")).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&public).unwrap();
    let (first, second) = (public_text(&eve), second["public"].as_str().unwrap().to_owned());
    for signer in [format!("zed={first}+{second}"), format!("zed={second}")] {
        let product = ["product", "repo", "other", "--threshold", "1", "--signer", &signer];
        team.try_propose(&product).refused(code::KEY_REVOKED);
    }
    // The twin: without it.
    let signer = format!("zed={first}");
    team.propose(&["product", "repo", "other", "--threshold", "1", "--signer", &signer]);
}

/// The public key in a `.pub` file.
fn public_text(path: &str) -> String {
    let document: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    document["public"].as_str().unwrap().to_owned()
}

#[test]
fn an_exposed_key_is_revoked_tonight() {
    let team = Team::new(&["--threshold", "1"]);
    let first = team.release("1.0.0");
    team.sign(&first, "alice", &["alice"]);
    team.publish(&first).ok();
    team.trust();
    team.node("install").ok();
    copy(&team.lab.path("alice"), &team.lab.path("thief"));
    let revoke = ["key", "revoke", "repo", "alice", "--reason", "compromised", "--keys", "alice"];
    let proposal = team.run(&revoke).ok().json()["proposal"].as_str().unwrap().to_owned();
    team.sign(&proposal, "keys", &["root-2", "root-3"]);
    // What only alice vouched for, another signer vouches for anew, in the same step.
    team.publish(&proposal).refused(code::PUBLISH_THRESHOLD_NOT_MET);
    team.sign(&proposal, "carol", &["carol"]);
    // The thief meanwhile has a release of their own ready, and its signature is good.
    team.write_program(b"#!/bin/sh\necho owned\n");
    let forged = ["release", "repo", "node", "6.6.6", "node", "--platform", "linux/amd64", "--out", "forged"];
    team.propose(&forged);
    team.sign("forged", "thief", &["alice"]);
    team.publish(&proposal).ok();
    team.publish("forged").refused(code::APPROVAL_INVALID);
    team.run(&["proposal", "rebase", "repo", "forged", "--out", "forged-2"]).ok();
    team.try_sign("forged-2", "thief", "alice").refused(code::APPROVAL_INVALID);
    // No client misses anything: what was good before still is.
    team.node("update").ok();
    assert_eq!(team.lab.installed(), "node 1.0.0\n");
    let evidence = team.node("install").ok().json()["evidence"]["roles"].clone();
    let node = evidence.as_array().unwrap().last().unwrap().clone();
    assert_eq!((&node["keys"], &node["threshold"]), (&2.into(), &1.into()));
}

/// No folder has a mark, and the key is named as text: the repository itself knows that it was revoked.
#[test]
fn a_revoked_key_does_not_come_back_as_text() {
    let team = Team::new(&["--threshold", "1"]);
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(team.lab.path("carol/carol.pub")).unwrap()).unwrap();
    let key = file["public"].as_str().unwrap();
    let proposal = team.propose(&["revoke", "repo", key, "--reason", "lost"]);
    team.sign(&proposal, "keys", &["root-1", "root-2"]);
    team.publish(&proposal).ok();
    let eve = format!("eve={key}");
    for args in [
        &["product", "repo", "tool", "--threshold", "1", "--signer", &eve][..],
        &["root", "repo", "--threshold", "1", "--signer", &eve],
        &["root", "repo", "--timestamp-key", &eve],
        &["root", "repo", "--add-log-key", key],
        &["rotate", "repo", "alice/alice.pub", "--to", &eve],
        &["revoke", "repo", "alice/alice.pub", "--reason", "lost", "--replacement", &eve],
    ] {
        let run = team.try_propose(args).refused(code::KEY_REVOKED);
        assert!(run.text().contains("was revoked (lost) in this repository"), "{}", run.text());
        assert!(run.text().contains("countersign key new"), "{}", run.text());
    }
    let add = ["product", "add", "repo", "tool", "--keys", "keys", "--threshold", "1", "--signer"];
    team.run(&[&add[..], &[key]].concat()).refused(code::KEY_REVOKED);
    // The twin: a key of which nothing is known.
    team.key("keys", "dora", "release");
    team.run(&[&add[..], &["keys/dora.pub"]].concat()).ok();
}

/// A folder's mark says that a key was revoked; it does not come back as somebody's new one.
#[test]
fn a_marked_key_is_nobodys_new_key() {
    let team = Team::new(&["--threshold", "1"]);
    team.key("dora", "dora", "release");
    let (mark, key) = (team.lab.path("dora/dora.end"), fs::read(team.lab.path("dora/dora.pub")).unwrap());
    let key: serde_json::Value = serde_json::from_slice(&key).unwrap();
    let end = serde_json::json!({
        "apiVersion": "0.0.1", "kind": "keyend", "public": key["public"], "state": "revoked",
        "at": "2026-01-01T00:00:00Z", "why": "the laptop was stolen",
    });
    fs::write(&mark, end.to_string()).unwrap();
    fs::copy(team.lab.path("dora/dora.pub"), team.lab.path("dora/eve.pub")).unwrap();
    for file in ["dora/dora.pub", "dora/eve.pub"] {
        for args in [
            &["product", "repo", "tool", "--threshold", "1", "--signer", file][..],
            &["rotate", "repo", "alice/alice.pub", "--to", file],
            &["revoke", "repo", "alice/alice.pub", "--reason", "lost", "--replacement", file],
        ] {
            let run = team.try_propose(args).refused(code::KEY_REVOKED);
            assert!(run.text().contains("the laptop was stolen"), "{}", run.text());
        }
    }
    let add = ["product", "add", "repo", "tool", "--keys", "keys", "--threshold", "1", "--signer"];
    team.run(&[&add[..], &["dora/eve.pub"]].concat()).refused(code::KEY_REVOKED);
    // As text, the folder of the keys that sign for it is looked at.
    fs::copy(&mark, team.lab.path("keys/dora.end")).unwrap();
    team.run(&[&add[..], &[key["public"].as_str().unwrap()]].concat()).refused(code::KEY_REVOKED);
    fs::remove_file(&mark).unwrap();
    team.propose(&["product", "repo", "tool", "--threshold", "1", "--signer", "dora/dora.pub"]);
}

#[test]
fn someone_leaves_and_someone_comes() {
    let team = Team::new(&["--threshold", "3"]);
    let leaves = ["revoke", "repo", "carol/carol.pub", "--reason", "retired"];
    // Two people cannot be three.
    team.try_propose(&leaves).refused(code::USAGE);
    team.key("dora", "dora", "release");
    let proposal = team.propose(&[&leaves[..], &["--replacement", "dora/dora.pub"]].concat());
    team.sign(&proposal, "keys", &["root-1", "root-2"]);
    for name in ["alice", "bob", "dora"] {
        team.sign(&proposal, name, &[name]);
    }
    team.publish(&proposal).ok();
    let release = team.release("1.0.0");
    team.try_sign(&release, "carol", "carol").refused(code::APPROVAL_INVALID);
    for name in ["alice", "bob", "dora"] {
        team.sign(&release, name, &[name]);
    }
    team.publish(&release).ok();
}

#[test]
fn a_yanked_version_is_told_and_left() {
    let team = Team::new(&[]);
    team.released("1.0.0");
    team.released("1.1.0");
    team.trust();
    team.node("install").ok();
    let file = team.path("file");
    fs::write(&file, program("1.1.0")).unwrap();
    team.run(&["verify", &file]).ok();
    let proposal = team.propose(&["yank", "repo", "node", "1.1.0", "--reason", "loses data"]);
    team.sign(&proposal, "alice", &["alice"]);
    team.sign(&proposal, "carol", &["carol"]);
    team.publish(&proposal).ok();
    // Until a refresh this machine cannot know.
    let refused = team.node("update").refused(code::INSTALL_YANKED);
    assert!(refused.text().contains("loses data"), "{}", refused.text());
    let status = team.node_status().refused(code::INSTALL_YANKED);
    assert_eq!(status.json()["products"][0]["yanked"], "loses data");
    team.run(&["verify", &file]).refused(code::INSTALL_YANKED);
    let target = ["install", "acme/node@1.1.0", "--platform", "linux/amd64", "--root", "elsewhere"];
    team.run(&target).refused(code::INSTALL_YANKED);
    let listed = team.run(&["list", "acme/node", "--root", "root"]).ok().json();
    assert_eq!(listed["installed"][0]["yanked"], "loses data");
    assert_eq!(listed["available"][1]["yanked"], "loses data");
    assert_eq!(team.lab.installed(), "node 1.1.0\n");
    // A new machine takes the version before; a fixed one is taken by all.
    let fresh = ["install", "acme/node", "--platform", "linux/amd64", "--root", "fresh"];
    assert_eq!(team.run(&fresh).ok().json()["version"], "1.0.0");
    team.released("1.1.1");
    team.node("update").ok();
    assert_eq!(team.lab.installed(), "node 1.1.1\n");
    team.node("rollback").refused(code::INSTALL_YANKED);
    assert_eq!(team.lab.installed(), "node 1.1.1\n");
}

#[test]
fn the_proposals_path_is_the_last_line_and_sign_says_what_it_signs() {
    let team = Team::new(&[]);
    team.write_program(&program("1.0.0"));
    let text = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.env_clear().env("HOME", team.lab.path("user")).current_dir(team.lab.path("")).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let proposed =
        text(&["propose", "release", "repo", "node", "1.0.0", "node", "--platform", "linux/amd64"]);
    let path = proposed.lines().last().unwrap();
    assert!(team.lab.path(path).join("proposal.json").exists(), "{proposed}");
    let signed = text(&["sign", path, "--key", "alice/alice.key"]);
    for part in ["release of node 1.0.0 for linux/amd64", "needs 2 of 3", "signed    node with the key alice"]
    {
        assert!(signed.contains(part), "{part}: {signed}");
    }
    // Whether it is for the repository that the person means.
    let warning = format!("warning: this machine does not know the repository; compare\n  {}", team.anchor);
    assert!(signed.contains(&warning) && !signed.contains("trusted here"), "{signed}");
    team.trust();
    let home = team.path("home");
    let known = text(&["--home", &home, "sign", path, "--key", "bob/bob.key"]);
    assert!(known.contains("\nrepository acme, trusted here\n") && !known.contains("warning"), "{known}");
    let shown = fs::read_to_string(team.lab.path(path).join("summary.txt")).unwrap();
    assert!(shown.contains("needs 2 of 3, has 2: alice, bob"), "{shown}");
}

/// On a terminal, sign asks, and only a whole `yes` is one.
#[test]
fn on_a_terminal_it_asks_first() {
    let Some(script) = countersign_testkit::peers::find("script") else { return };
    let team = Team::new(&[]);
    let proposal = team.release("1.0.0");
    let ask = |answer: &str| {
        let binary = env!("CARGO_BIN_EXE_countersign");
        let inner = format!("{binary} sign {proposal} --key alice/alice.key");
        let mut child = Command::new(&script)
            .env_clear()
            .env("HOME", team.lab.path("user"))
            .current_dir(team.lab.path(""))
            .args(["-q", "-e", "-c", &inner, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let signatures = || -> Vec<PathBuf> {
        let folder = team.lab.path(&proposal).join("signatures");
        fs::read_dir(folder).map(|all| all.map(|one| one.unwrap().path()).collect()).unwrap_or_default()
    };
    for answer in ["no\n", "y\n", "\n"] {
        let (status, shown) = ask(answer);
        assert_eq!(status, Some(2), "{shown}");
        assert!(shown.contains("Sign this? [yes/no]") && shown.contains("needs 2 of 3"), "{shown}");
        assert!(signatures().is_empty(), "{answer:?}: {shown}");
    }
    let (status, shown) = ask("yes\n");
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(signatures().len(), 1, "{shown}");
}

/// An agent that is stopped with the test.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The key stays where it is: the folder has its public half and the record of its use.
#[test]
fn a_key_in_an_ssh_agent_signs_and_is_recorded() {
    let programs = ["ssh-agent", "ssh-add", "ssh-keygen"].map(countersign_testkit::peers::find);
    let [Some(agent), Some(add), Some(keygen)] = programs else { return };
    let team = Team::new(&["--threshold", "1"]);
    let (socket, file) = (team.lab.path("agent"), team.lab.path("id"));
    let _agent =
        Agent(Command::new(agent).args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    while !socket.exists() {
        std::thread::yield_now();
    }
    let quiet = ["-q", "-t", "ed25519", "-N", "", "-C", "erin@laptop", "-f"];
    assert!(Command::new(keygen).args(quiet).arg(&file).status().unwrap().success());
    let added = Command::new(add).arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    assert!(added.success());
    let with_agent = |args: &[&str]| {
        team.lab.run_with(args, |command| {
            command.current_dir(team.lab.path("")).env("SSH_AUTH_SOCK", &socket);
        })
    };
    let new = ["key", "new", "erin", "--keys", "erin", "--stage", "release", "--product", "node"];
    with_agent(&[&new[..], &["--place", "ssh-agent:erin@laptop"]].concat()).ok();
    let product =
        ["product", "repo", "node", "--threshold", "1", "--signer", "erin/erin.pub", "--out", "erins"];
    let proposal = team.propose(&product);
    team.sign(&proposal, "keys", &["root-1", "root-2"]);
    let signed = with_agent(&["sign", &proposal, "--key", "erin/erin.pub"]).ok().json();
    assert_eq!(signed["signed"][0]["recorded"], true);
    team.publish(&proposal).ok();
    let audit = team.run(&["key", "audit", "repo", "--keys", "erin"]).ok().json();
    assert_eq!((&audit["uses"], &audit["compared"]), (&1.into(), &1.into()));
    // Without the agent nothing is signed, and that says nothing about trust.
    let release = team.release("1.0.0");
    team.run(&["sign", &release, "--key", "erin/erin.pub"]).refused(code::SIGNER_UNAVAILABLE);
}
