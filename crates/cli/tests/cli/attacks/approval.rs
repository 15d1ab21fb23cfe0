//! Row D23: approvals by the author alone, by one person twice, of something else, used again, by somebody who has left,
//! and of what was not on the screen.
//!
//! The codes are `approval-self` where too few people have approved, and `approval-invalid` where somebody's approval is
//! not one, or not one any more.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use countersign_base::{Code, code};
use countersign_crypto::sha256;
use countersign_keys::{KeyInfo, KeyRef, KeysError, Passphrase};
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::key_id;

use crate::ceremony::{Team, copy};
use crate::lab::{Run, now, program};
use crate::publisher::everything;

const PLATFORM: [&str; 2] = ["--platform", "linux/amd64"];

/// The honest twin: a release that dave proposes and two people sign is published, and a machine has it installed.
fn installed(options: &[&str]) -> Team {
    let team = Team::new(options);
    team.released("1.0.0");
    team.trust();
    team.node("install").ok();
    assert_eq!(team.lab.installed(), "node 1.0.0\n");
    team
}

/// The honest operation right after: it is published, and the machine takes it.
#[track_caller]
fn published(team: &Team, proposal: &str, version: &str) {
    team.publish(proposal).ok();
    team.node("update").ok();
    assert_eq!(team.lab.installed(), format!("node {version}\n"));
}

/// Publishing it is refused with that code: nothing in the repository changes, and no client sees anything.
#[track_caller]
fn refused(team: &Team, proposal: &str, code: Code) -> Run {
    nothing_changes(team, || team.publish(proposal).refused(code))
}

#[track_caller]
fn nothing_changes(team: &Team, attack: impl FnOnce() -> Run) -> Run {
    let repository = || everything(&team.lab.path("repo"));
    let (before, state) = (repository(), team.lab.state());
    let run = attack();
    assert!(repository() == before, "something was published: {}", run.text());
    assert_eq!(team.lab.state(), state);
    run
}

/// A proposal of a release by somebody: its folder.
fn release_by(team: &Team, version: &str, by: &str, out: &str) -> Run {
    team.write_program(&program(version));
    let release = ["propose", "release", "repo", "node", version, "node", "--by", by, "--out", out];
    team.run(&[&release[..], &PLATFORM].concat())
}

/// The text that a person sees of a command that succeeds.
#[track_caller]
fn shown(team: &Team, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.env_clear().env("HOME", team.lab.path("user")).current_dir(team.lab.path(""));
    let output = command.arg("--home").arg(team.lab.path("home")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The signature files of a proposal, by name.
fn signatures(team: &Team, proposal: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(team.lab.path(proposal).join("signatures")).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    });
    files.collect()
}

/// Puts signature files into a proposal past all commands.
fn lay_in(team: &Team, files: &BTreeMap<String, String>, proposal: &str) {
    for (name, text) in files {
        fs::write(team.lab.path(proposal).join("signatures").join(name), text).unwrap();
    }
}

fn digest(team: &Team, proposal: &str) -> String {
    team.run(&["proposal", "show", proposal]).ok().json()["digest"].as_str().unwrap().to_owned()
}

#[test]
fn d23_a_whoever_proposes_is_not_the_only_one_to_approve() {
    let team = installed(&["--threshold", "1", "--separation"]);
    // By her name, by her key, and as she writes it on Mondays.
    for (number, by) in ["alice", "alice/alice.pub", "Alice"].into_iter().enumerate() {
        let own = format!("own-{number}");
        release_by(&team, "1.1.0", by, &own).ok();
        team.sign(&own, "alice", &["alice"]);
        let shown = team.run(&["proposal", "show", &own]).ok().json();
        assert_eq!(shown["complete"], false, "{shown}");
        let run = refused(&team, &own, code::APPROVAL_SELF);
        assert!(run.text().contains("cannot be the only one to approve it"), "{}", run.text());
    }
    // The name that a machine has for its user is not believed: `asmith` who proposes and alice who signs are one.
    let unnamed = |user: &str| {
        let release = ["propose", "release", "repo", "node", "1.1.0", "node", "--out", "unnamed"];
        team.lab.run_with(&[&release[..], &PLATFORM].concat(), |command| {
            command.current_dir(team.lab.path("")).env("USER", user);
        })
    };
    for user in ["asmith", "root", ""] {
        let run = nothing_changes(&team, || unnamed(user).refused(code::USAGE));
        assert!(run.text().contains("--by"), "{}", run.text());
    }
    assert_eq!(unnamed("alice").ok().json()["proposer"], "alice");
    // At once, with the keys at hand, it is the same.
    for file in ["alice.key", "alice.pub"] {
        fs::copy(team.lab.path("alice").join(file), team.lab.path("keys").join(file)).unwrap();
    }
    let at_once = ["release", "repo", "node", "1.1.0", "node", "--keys", "keys"];
    nothing_changes(&team, || team.run(&[&at_once[..], &PLATFORM].concat()).refused(code::APPROVAL_SELF));

    team.sign("own-0", "bob", &["bob"]);
    published(&team, "own-0", "1.1.0");
}

#[test]
fn d23_b_two_keys_of_one_person_are_one_approval() {
    let team = installed(&["--separation"]);
    team.key("alice", "alice-2", "release");
    let second = team.run(&["key", "show", "alice-2", "--keys", "alice"]).ok().json();
    let second = second["public"].as_str().unwrap();
    // One key is not listed twice, whatever it is called.
    let twice = [format!("alice={second}"), format!("zoe={second}")];
    let product = ["product", "repo", "node", "--separation", "--signer"];
    let with = |signers: &[&str], out: &str| {
        team.try_propose(&[&product[..], signers, &["bob/bob.pub", "--out", out]].concat())
    };
    with(&[&twice[0], &twice[1]], "twice").refused(code::TUF_KEY_DUPLICATE);
    // Two keys are, also if the second name is a second account.
    let account = format!("ALICE={second}");
    with(&["alice/alice.pub", &account], "two-keys").ok();
    team.sign("two-keys", "keys", &["root-1", "root-2"]);
    team.sign("two-keys", "bob", &["bob"]);
    team.sign("two-keys", "alice", &["alice"]);
    team.publish("two-keys").ok();

    for by in ["alice", "dave"] {
        let alone = format!("alone-{by}");
        release_by(&team, "1.1.0", by, &alone).ok();
        team.sign(&alone, "alice", &["alice", "alice-2"]);
        refused(&team, &alone, code::APPROVAL_SELF);
    }
    team.sign("alone-alice", "bob", &["bob"]);
    published(&team, "alone-alice", "1.1.0");
}

#[test]
fn d23_c_an_approval_is_of_one_digest() {
    let team = installed(&[]);
    let good = team.release("1.1.0");
    team.sign(&good, "alice", &["alice"]);
    team.sign(&good, "bob", &["bob"]);
    // The same version with another program.
    fs::rename(team.lab.path(&good), team.lab.path("good")).unwrap();
    team.write_program(b"#!/bin/sh\necho owned\n");
    let evil = ["release", "repo", "node", "1.1.0", "node", "--platform", "linux/amd64", "--out", "evil"];
    team.propose(&evil);
    nothing_changes(&team, || {
        team.run(&["proposal", "merge", "evil", "good"]).refused(code::APPROVAL_INVALID)
    });
    let approvals = signatures(&team, "good");
    lay_in(&team, &approvals, "evil");
    let run = refused(&team, "evil", code::APPROVAL_INVALID);
    assert!(run.text().contains("of another proposal"), "{}", run.text());
    // Written so that they name it.
    let (from, to) = (digest(&team, "good"), digest(&team, "evil"));
    let renamed = approvals.iter().map(|(name, text)| (name.clone(), text.replace(&from, &to))).collect();
    lay_in(&team, &renamed, "evil");
    let run = refused(&team, "evil", code::APPROVAL_INVALID);
    assert!(run.text().contains("does not verify"), "{}", run.text());
    published(&team, "good", "1.1.0");
}

/// An approval is for one proposal, on what was there then, in one repository. That the proposal itself was published
/// before is no lie of anybody's, so it is `proposal-stale`, and says that it is done already.
#[test]
fn d23_d_approvals_are_not_used_again() {
    let team = installed(&[]);
    let (taken, dropped) = (team.release("1.1.0"), team.release("1.2.0"));
    for proposal in [&taken, &dropped] {
        team.sign(proposal, "alice", &["alice"]);
        team.sign(proposal, "bob", &["bob"]);
    }
    published(&team, &taken, "1.1.0");
    let run = refused(&team, &taken, code::PROPOSAL_STALE);
    assert!(run.text().contains("it was published already"), "{}", run.text());
    refused(&team, &dropped, code::PROPOSAL_STALE);
    // Whoever publishes makes the dropped one again, the same change by the same people, and uses what they signed.
    let again = team.run(&["proposal", "rebase", "repo", &dropped, "--out", "again"]).ok().json();
    assert_eq!(again["proposer"], "dave");
    lay_in(&team, &signatures(&team, &dropped), "again");
    refused(&team, "again", code::APPROVAL_INVALID);
    // The same people sign the product of that name in another repository.
    let other = ["init", "other", "--keys", "other-keys", "--unencrypted"];
    team.run(&other).ok();
    let product =
        ["propose", "product", "other", "node", "--by", "dave", "--out", "other-product", "--signer"];
    team.run(&[&product[..], &["alice/alice.pub", "bob/bob.pub"]].concat()).ok();
    team.sign("other-product", "other-keys", &["root-1", "root-2"]);
    team.sign("other-product", "alice", &["alice"]);
    team.sign("other-product", "bob", &["bob"]);
    let elsewhere = |proposal: &str| team.run(&["publish", "other", proposal, "--keys", "other-keys"]);
    elsewhere("other-product").ok();
    let before = everything(&team.lab.path("other"));
    for proposal in [taken.as_str(), "again"] {
        elsewhere(proposal).refused(code::APPROVAL_INVALID);
    }
    assert!(everything(&team.lab.path("other")) == before);

    team.sign("again", "alice", &["alice"]);
    team.sign("again", "bob", &["bob"]);
    published(&team, "again", "1.2.0");
}

/// The proposal is stale as well: whoever signs a product signs its file anew when one of them leaves. The approval
/// comes first, because making the proposal again does not bring it back.
#[test]
fn d23_e_an_approver_who_was_removed_does_not_count() {
    let team = installed(&[]);
    let waiting = team.release("1.1.0");
    team.sign(&waiting, "alice", &["alice"]);
    team.sign(&waiting, "bob", &["bob"]);
    let leaves = team.propose(&["revoke", "repo", "bob/bob.pub", "--reason", "retired", "--out", "leaves"]);
    team.sign(&leaves, "keys", &["root-1", "root-2"]);
    team.sign(&leaves, "alice", &["alice"]);
    team.sign(&leaves, "carol", &["carol"]);
    team.publish(&leaves).ok();
    let run = refused(&team, &waiting, code::APPROVAL_INVALID);
    assert!(run.text().contains("bob has signed it and has no say in `node` any more"), "{}", run.text());

    team.run(&["proposal", "rebase", "repo", &waiting, "--out", "again"]).ok();
    nothing_changes(&team, || team.try_sign("again", "bob", "bob").refused(code::APPROVAL_INVALID));
    team.sign("again", "alice", &["alice"]);
    // By hand: a good signature of his on the new file.
    lay_in(&team, &signed_by_hand(&team, "again", "bob"), "again");
    let run = refused(&team, "again", code::APPROVAL_INVALID);
    assert!(run.text().contains("the key has no say"), "{}", run.text());

    team.sign("again", "carol", &["carol"]);
    published(&team, "again", "1.1.0");
}

/// A signature on the new file of `node`, past `sign`.
fn signed_by_hand(team: &Team, proposal: &str, person: &str) -> BTreeMap<String, String> {
    let mut ask = |key: &KeyInfo| -> Result<Passphrase, KeysError> { panic!("asked for {}", key.name) };
    let key = KeyRef::parse(&format!("{}/{person}.key", team.path(person))).unwrap();
    let signer = key.open(&mut ask, now()).unwrap().signer;
    let draft = fs::read(team.lab.path(proposal).join("new/node.json")).unwrap();
    let draft = Draft::parse("node", &draft).unwrap();
    let signature = signer.sign(&draft.message_for(signer.public_key())).unwrap();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let (keyid, digest) = (key_id(signer.public_key()), digest(team, proposal));
    let text = format!(
        r#"{{"apiVersion":"0.0.1","keyid":"{keyid}","kind":"approval","proposal":"{digest}","role":"node","signature":"{hex}"}}"#
    );
    BTreeMap::from([(format!("node.{keyid}.json"), text)])
}

/// A proposal that everybody means, and one with another program and an odd reason.
fn two_proposals(team: &Team) {
    team.propose(&[&["release", "repo", "node", "1.1.0", "node", "--out", "good"], &PLATFORM[..]].concat());
    team.write_program(OWNED);
    let why = "fixes\u{1b}[2J\u{202e}everything\rnothing to see";
    let evil = ["release", "repo", "node", "1.1.0", "node", "--out", "evil", "--why", why];
    team.propose(&[&evil[..], &PLATFORM].concat());
}

const OWNED: &[u8] = b"#!/bin/sh\necho owned\n";

#[test]
fn d23_f_what_is_shown_is_computed_here_from_what_is_signed() {
    let team = installed(&[]);
    team.write_program(&program("1.1.0"));
    two_proposals(&team);
    let file = |content: &[u8]| sha256(content).to_string();
    // Any part of one in the other is refused before anything is shown, and nothing is signed.
    for part in ["new", "files", "proposal.json"] {
        copy(&team.lab.path("good"), &team.lab.path("mixed"));
        let (from, to) = (team.lab.path("evil").join(part), team.lab.path("mixed").join(part));
        if from.is_dir() {
            fs::remove_dir_all(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
        // The file that is shown has the digest as its name; with that alone changed the content is another.
        if part == "files" {
            fs::rename(to.join(file(OWNED)), to.join(file(&program("1.1.0")))).unwrap();
        }
        let run = nothing_changes(&team, || {
            team.try_sign("mixed", "alice", "alice").refused(code::APPROVAL_INVALID)
        });
        assert!(signatures(&team, "mixed").is_empty(), "{part}: {}", run.text());
        fs::remove_dir_all(team.lab.path("mixed")).unwrap();
    }
    // A text for people is not what is shown.
    let summary = fs::read_to_string(team.lab.path("good/summary.txt")).unwrap();
    fs::write(team.lab.path("evil/summary.txt"), summary).unwrap();
    let text = shown(&team, &["sign", "evil", "--key", "bob/bob.key"]);
    assert!(text.contains(&file(OWNED)) && !text.contains(&file(&program("1.1.0"))), "{text}");
    assert!(text.contains(&digest(&team, "evil")), "{text}");
    // And what is in it does not move the cursor or turn the line.
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");

    let text = shown(&team, &["sign", "good", "--key", "alice/alice.key"]);
    assert!(text.contains(&file(&program("1.1.0"))) && text.contains(&digest(&team, "good")), "{text}");
    team.sign("good", "bob", &["bob"]);
    published(&team, "good", "1.1.0");
}

/// The folder is exchanged while the question is on the screen. What was shown is what is signed.
#[test]
fn d23_f_what_is_exchanged_while_a_person_reads_is_not_signed() {
    let Some(script) = countersign_testkit::peers::find("script") else { return };
    let team = installed(&[]);
    team.write_program(&program("1.1.0"));
    two_proposals(&team);
    fs::rename(team.lab.path("good"), team.lab.path("stick")).unwrap();
    let binary = env!("CARGO_BIN_EXE_countersign");
    for person in ["alice", "bob"] {
        let inner = format!("{binary} sign stick --key {person}/{person}.key");
        let mut child = Command::new(&script)
            .env_clear()
            .env("HOME", team.lab.path("user"))
            .current_dir(team.lab.path(""))
            .args(["-q", "-e", "-c", &inner, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut screen, mut byte) = (Vec::new(), [0]);
        let output = child.stdout.as_mut().unwrap();
        while !screen.ends_with(b"[yes/no]") && output.read(&mut byte).unwrap() == 1 {
            screen.push(byte[0]);
        }
        let screen = String::from_utf8(screen).unwrap();
        assert!(screen.contains(&sha256(&program("1.1.0")).to_string()), "{screen}");
        let exchange = |from: &str, to: &str| fs::rename(team.lab.path(from), team.lab.path(to)).unwrap();
        exchange("stick", "aside");
        exchange("evil", "stick");
        child.stdin.take().unwrap().write_all(b"yes\n").unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
        let signed = signatures(&team, "stick");
        assert!(signed.values().all(|text| text.contains(&digest(&team, "aside"))), "{signed:?}");
        // Both have been caught, and the other program still has nobody's approval.
        refused(&team, "stick", code::APPROVAL_INVALID);
        exchange("stick", "evil");
        exchange("aside", "stick");
    }
    // What they meant and signed counts where it belongs.
    lay_in(&team, &signatures(&team, "evil"), "stick");
    published(&team, "stick", "1.1.0");
}

#[test]
fn d23_f_an_old_base_does_not_take_back_what_the_signer_has_seen() {
    let team = installed(&[]);
    // Whoever proposes builds on what was there before a version was taken back.
    let old = team.release("1.0.1");
    let yank = team.propose(&["yank", "repo", "node", "1.0.0", "--reason", "it is broken"]);
    team.sign(&yank, "alice", &["alice"]);
    team.sign(&yank, "bob", &["bob"]);
    team.publish(&yank).ok();
    // A machine that has not seen it cannot tell.
    team.sign(&old, "alice", &["alice"]);
    team.node("update").refused(code::INSTALL_YANKED);
    let refused = team.try_sign(&old, "bob", "bob").refused(code::PROPOSAL_STALE);
    assert!(refused.text().contains("this machine has seen version"), "{}", refused.text());
    let again = team.run(&["proposal", "rebase", "repo", &old]).ok().json();
    let again = again["proposal"].as_str().unwrap();
    team.sign(again, "alice", &["alice"]);
    team.sign(again, "bob", &["bob"]);
    published(&team, again, "1.0.1");
}
