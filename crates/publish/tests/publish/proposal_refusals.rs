//! What is refused of a proposal, each with its code, and that nothing is published then.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use countersign_base::Explain as _;
use countersign_base::code::Class;
use countersign_publish::proposal::{MAX_VALID_DAYS, Member, ProductIntent, Proposal, ProposedBy};
use countersign_publish::{Intent, PublishError};

use crate::proposal::{Rules, Team, member, person, product, sign_at_hand, with_rules, with_team};
use crate::support::{PRODUCT, Site, code, copy, files, temp, with_product};

/// A proposal that alice and bob have signed.
fn signed(site: &mut Site, team: &Team, version: &str, content: &str) -> Proposal {
    let mut proposal = site.propose_release(version, content, "alice").unwrap();
    proposal.sign(&team.alice).unwrap();
    proposal.sign(&team.bob).unwrap();
    proposal
}

#[test]
fn a_stale_proposal_says_what_changed_and_is_rebased() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let late = signed(&mut site, &team, "1.1.0", "two");
    site.release_by_team(&team, "1.0.0", "one");
    let before = site.view(anchor);
    let error = site.publish(&late).unwrap_err();
    assert_eq!(error.code().name(), "proposal-stale");
    assert_eq!(
        error.to_string(),
        "the proposal is stale: node is at version 2 now, and it builds on version 1"
    );
    assert_eq!(site.view(anchor), before);
    let mut again = site.rebase(&late).unwrap();
    assert_eq!((again.intent(), again.proposer()), (late.intent(), late.proposer()));
    // It is another file that they would sign, so they sign again.
    assert!(again.status().unwrap()[0].groups[0].signed.is_empty());
    assert_eq!(code(site.publish(&again)), "publish-threshold-not-met");
    again.sign(&team.alice).unwrap();
    again.sign(&team.bob).unwrap();
    site.publish(&again).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}

#[test]
fn another_products_publication_makes_nothing_stale() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let waiting = signed(&mut site, &team, "1.0.0", "one");
    let other: countersign_base::name::ProductName = "tool".parse().unwrap();
    let options = countersign_publish::ProductOptions::new(&other, countersign_keys::Protection::Unencrypted);
    site.act(|publisher| publisher.product_add(&options)).unwrap();
    site.renew().unwrap();
    site.publish(&waiting).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn a_proposal_expires() {
    let dir = temp();
    let (mut site, anchor, team) = with_team(dir.path());
    let proposal = signed(&mut site, &team, "1.0.0", "one");
    site.renew().unwrap();
    site.now = proposal.expires();
    let mut late = site.opened(proposal.path()).unwrap();
    assert!(late.summary(site.now).unwrap().expired);
    assert_eq!(code(late.sign(&team.carol)), "proposal-expired");
    assert_eq!(code(site.publish(&late)), "proposal-expired");
    // One second before, all of it goes.
    site.now = countersign_base::Timestamp::from_unix(proposal.expires().as_unix() - 1).unwrap();
    let mut in_time = site.opened(proposal.path()).unwrap();
    in_time.sign(&team.carol).unwrap();
    site.publish(&in_time).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn a_proposal_has_a_proposer_and_an_end() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let intent = product(Rules { threshold: 1, separation: false }, team.members());
    let mut attempt = |proposer: &str, why: &str, valid_days: u32| {
        let (out, by) = (site.out(), ProposedBy { valid_days, ..ProposedBy::new(proposer, why) });
        code(site.act(|publisher| publisher.propose(&intent, &by, &out)))
    };
    let long = "x".repeat(1001);
    for (proposer, why, days) in [
        ("", "", 1),
        (" alice", "", 1),
        ("al\u{430}ce", "", 1),
        ("alice\n", "", 1),
        ("alice", long.as_str(), 1),
        ("alice", "", 0),
        ("alice", "", MAX_VALID_DAYS + 1),
    ] {
        assert_eq!(attempt(proposer, why, days), "usage", "{proposer:?} {days}");
    }
    assert_eq!(attempt("alice", "", MAX_VALID_DAYS), "ok");
}

#[test]
fn a_key_without_a_say_is_told_whose_signature_is_missing() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let mut proposal = site.propose_release("1.0.0", "one", "alice").unwrap();
    proposal.sign(&team.alice).unwrap();
    let before = files(proposal.path());
    let error = proposal.sign(&person(9)).unwrap_err();
    assert_eq!(error.code().name(), "approval-invalid");
    assert!(error.to_string().ends_with("signatures that are missing: bob, carol"), "{error}");
    assert_eq!(files(proposal.path()), before);
}

#[test]
fn a_proposal_is_for_one_repository() {
    let (one, two) = (temp(), temp());
    let (mut site, _, team) = with_team(one.path());
    // The same people sign a product of the same name there.
    let (mut other, anchor, _) = with_team(two.path());
    let proposal = signed(&mut site, &team, "1.0.0", "one");
    assert_eq!(code(other.publish(&proposal)), "approval-invalid");
    assert_eq!(code(other.rebase(&proposal)), "approval-invalid");
    assert!(other.view(anchor).releases().is_empty());
    site.publish(&proposal).unwrap();
}

#[test]
fn only_the_same_proposal_merges() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let mut one = site.propose_release("1.0.0", "one", "alice").unwrap();
    // The very same change, proposed by somebody else.
    let mut two = site.propose_release("1.0.0", "one", "bob").unwrap();
    two.sign(&team.bob).unwrap();
    let before = files(one.path());
    assert_eq!(code(one.merge(&two)), "approval-invalid");
    assert_eq!(files(one.path()), before);
}

#[test]
fn proposals_are_not_written_where_something_is() {
    let dir = temp();
    let (mut site, _, _) = with_team(dir.path());
    let inside = site.repo().join("metadata/proposal");
    assert_eq!(code(site.propose_release_in("1.0.0", "one", "alice", &inside)), "usage");
    assert!(!inside.exists());
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("notes.txt"), "mine").unwrap();
    assert_eq!(code(site.propose_release_in("1.0.0", "one", "alice", &taken)), "publish-dir-not-empty");
    assert_eq!(fs::read_to_string(taken.join("notes.txt")).unwrap(), "mine");
    // Neither is one that is whole.
    let first = site.propose_release("1.0.0", "one", "alice").unwrap();
    let again = site.propose_release_in("1.1.0", "two", "alice", first.path());
    assert_eq!(code(again), "publish-dir-not-empty");
    let unfinished = dir.path().join("unfinished");
    copy(first.path(), &unfinished);
    fs::remove_file(unfinished.join("proposal.json")).unwrap();
    assert_eq!(code(site.opened(&unfinished)), "proposal-malformed");
    site.propose_release_in("1.1.0", "two", "alice", &unfinished).unwrap();
}

/// One byte of each file of a proposal: refused, or without effect.
#[test]
fn a_flipped_byte_is_refused_or_has_no_effect() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let proposal = signed(&mut site, &team, "1.0.0", "one");
    let (status, summary) = (proposal.status().unwrap(), proposal.summary(site.now).unwrap());
    let place = proposal.path().to_owned();
    let mut tried = 0;
    for (name, bytes) in files(&place) {
        let step = (bytes.len() / 40).max(1);
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            fs::write(place.join(&name), &flipped).unwrap();
            let label = format!("{} at {at}", name.display());
            match site.opened(&place) {
                Ok(read) => {
                    assert_eq!(read.digest(), proposal.digest(), "{label}");
                    let bad = read.bad().unwrap();
                    if name.starts_with("signatures") {
                        // One approval less, and it is said whose.
                        assert_eq!((bad.len(), read.status().unwrap() == status), (1, false), "{label}");
                        assert_eq!(code(site.publish(&read)), "approval-invalid", "{label}");
                    } else {
                        assert_eq!(read.status().unwrap(), status, "{label}");
                        assert_eq!(read.summary(site.now).unwrap(), summary, "{label}");
                    }
                }
                Err(error) => {
                    assert_eq!(error.code().class(), Class::Refused, "{label}: {}: {error}", error.code());
                    let ours = ["approval-invalid", "proposal-malformed", "log-cosignature-time"];
                    assert!(ours.contains(&error.code().name()), "{label}: {}", error.code());
                }
            }
            tried += 1;
        }
        fs::write(place.join(&name), &bytes).unwrap();
    }
    assert!(tried > 500, "{tried}");
    let whole = site.opened(&place).unwrap();
    site.publish(&whole).unwrap();
}

#[test]
fn nothing_but_a_proposals_own_files_is_read() {
    let dir = temp();
    let (mut site, _, team) = with_team(dir.path());
    let proposal = signed(&mut site, &team, "1.0.0", "one");
    let outside = dir.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    let attempt = |name: &str, spoil: &dyn Fn(&Path)| {
        let place = dir.path().join("spoilt");
        copy(proposal.path(), &place);
        spoil(&place);
        let outcome = code(site.opened(&place));
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(outcome, "proposal-malformed", "{name}");
    };
    for (name, _) in files(proposal.path()) {
        let label = name.display().to_string();
        let path = |place: &Path| place.join(&name);
        if !label.starts_with("signatures") && label != "summary.txt" {
            attempt(&format!("{label} missing"), &|place| fs::remove_file(path(place)).unwrap());
        }
        attempt(&format!("{label} a link"), &|place| {
            fs::rename(path(place), place.parent().unwrap().join("elsewhere")).unwrap();
            symlink(&outside, path(place)).unwrap();
        });
        attempt(&format!("{label} a folder"), &|place| {
            fs::remove_file(path(place)).unwrap();
            fs::create_dir(path(place)).unwrap();
        });
    }
    for folder in ["", "old", "old/metadata", "new", "signatures", "files"] {
        attempt(&format!("more in {folder}"), &|place| {
            fs::write(place.join(folder).join("more.json"), "{}").unwrap();
        });
        if !folder.is_empty() {
            attempt(&format!("{folder} a link"), &|place| {
                let away = dir.path().join("away");
                let _ = fs::remove_dir_all(&away);
                fs::rename(place.join(folder), &away).unwrap();
                symlink(&away, place.join(folder)).unwrap();
            });
        }
    }
    attempt("too large", &|place| {
        let file = fs::OpenOptions::new().write(true).open(place.join("proposal.json")).unwrap();
        file.set_len(1 << 30).unwrap();
    });
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
    // A name that others leave while they write is none of ours.
    fs::write(proposal.path().join("signatures/.tmp-1-1"), "half").unwrap();
    site.opened(proposal.path()).unwrap();
}

/// D23: what approvals must withstand, each with its honest twin.
mod d23 {
    use super::*;

    fn rules(threshold: u32) -> Rules {
        Rules { threshold, separation: true }
    }

    #[test]
    fn d23_a_author_does_not_approve_alone() {
        let dir = temp();
        let (mut site, anchor, team) = with_rules(dir.path(), rules(1));
        // Threshold 1: whoever proposes is not enough, and anybody else is.
        let mut own = site.propose_release("1.0.0", "one", "alice").unwrap();
        assert_eq!(own.status().unwrap()[0].broken_rule, None, "nobody has signed it");
        own.sign(&team.alice).unwrap();
        // Whoever signs is told as much as whoever publishes.
        let broken = own.status().unwrap().remove(0);
        assert!(!broken.is_complete() && !own.summary(site.now).unwrap().is_complete());
        let error = site.publish(&own).unwrap_err();
        assert_eq!(error.code().name(), "approval-self");
        assert!(error.to_string().contains("cannot be the only one to approve it"), "{error}");
        assert_eq!(broken.broken_rule, Some(error.to_string()));
        assert!(site.view(anchor).releases().is_empty());
        own.sign(&team.carol).unwrap();
        assert!(own.status().unwrap()[0].is_complete());
        site.publish(&own).unwrap();
        assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    }

    #[test]
    fn d23_b_two_keys_of_one_person_are_one_approval() {
        let dir = temp();
        let (mut site, anchor, team) = with_team(dir.path());
        let second = person(11);
        let members = vec![member(&team.alice, "alice"), member(&second, "alice"), member(&team.bob, "bob")];
        let mut proposal = site.propose(&product(rules(2), members), "alice").unwrap();
        sign_at_hand(&site, &mut proposal);
        proposal.sign(&team.alice).unwrap();
        proposal.sign(&team.bob).unwrap();
        site.publish(&proposal).unwrap();

        // Under her own name, and under another.
        for proposer in ["alice", "zoe"] {
            let mut alone = site.propose_release("1.0.0", "one", proposer).unwrap();
            alone.sign(&team.alice).unwrap();
            alone.sign(&second).unwrap();
            assert_eq!(code(site.publish(&alone)), "approval-self", "{proposer}");
        }
        assert!(site.view(anchor).releases().is_empty());
        let mut both = site.propose_release("1.0.0", "one", "alice").unwrap();
        both.sign(&second).unwrap();
        both.sign(&team.bob).unwrap();
        site.publish(&both).unwrap();
        assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    }

    #[test]
    fn d23_b_signers_who_could_never_meet_the_rule_are_refused() {
        let dir = temp();
        let (mut site, _, team) = with_team(dir.path());
        let members = vec![member(&team.alice, "alice"), member(&person(11), "alice")];
        assert_eq!(code(site.propose(&product(rules(1), members.clone()), "alice")), "usage");
        assert!(site.propose(&product(Rules { threshold: 1, separation: false }, members), "alice").is_ok());
    }

    #[test]
    fn d23_c_an_approval_is_of_one_digest() {
        let dir = temp();
        let (mut site, anchor, team) = with_team(dir.path());
        let good = signed(&mut site, &team, "1.0.0", "one");
        let evil = site.propose_release("1.0.0", "evil", "alice").unwrap();
        for (name, bytes) in files(&good.path().join("signatures")) {
            fs::write(evil.path().join("signatures").join(name), bytes).unwrap();
        }
        let evil = site.opened(evil.path()).unwrap();
        let reasons: Vec<_> = evil.bad().unwrap().into_iter().map(|bad| bad.reason).collect();
        assert_eq!(reasons, ["it is of another proposal"; 2]);
        let error = site.publish(&evil).unwrap_err();
        assert_eq!(error.code().name(), "approval-invalid");
        assert!(site.view(anchor).releases().is_empty());
        // Rewritten to name the other proposal, they do not verify.
        for (name, bytes) in files(&evil.path().join("signatures")) {
            let (from, to) = (good.digest().to_string(), evil.digest().to_string());
            let text = String::from_utf8(bytes).unwrap().replace(&from, &to);
            fs::write(evil.path().join("signatures").join(name), text).unwrap();
        }
        let evil = site.opened(evil.path()).unwrap();
        assert_eq!(evil.bad().unwrap()[0].reason, "it does not verify");
        assert_eq!(code(site.publish(&evil)), "approval-invalid");
        site.publish(&good).unwrap();
    }

    #[test]
    fn d23_d_a_published_proposal_is_not_published_again() {
        let dir = temp();
        let (mut site, anchor, team) = with_team(dir.path());
        let proposal = signed(&mut site, &team, "1.0.0", "one");
        site.publish(&proposal).unwrap();
        let before = site.view(anchor);
        let error = site.publish(&proposal).unwrap_err();
        assert_eq!(error.code().name(), "proposal-stale");
        assert!(error.to_string().contains("it was published already, as version 2 of node"), "{error}");
        assert_eq!(site.view(anchor), before);
        site.release_by_team(&team, "1.1.0", "two");
        assert_eq!(code(site.publish(&proposal)), "proposal-stale");
        assert_eq!(code(site.rebase(&proposal)), "publish-version-exists");
    }

    #[test]
    fn d23_e_an_approver_who_was_removed_does_not_count() {
        let dir = temp();
        let (mut site, anchor, team) = with_team(dir.path());
        let waiting = signed(&mut site, &team, "1.0.0", "one");
        // Bob leaves. The product is signed again by those who stay, so what he approved is stale in any case.
        let members = vec![member(&team.alice, "alice"), member(&team.carol, "carol")];
        let mut leaving =
            site.propose(&product(Rules { threshold: 2, separation: false }, members), "alice").unwrap();
        sign_at_hand(&site, &mut leaving);
        leaving.sign(&team.alice).unwrap();
        leaving.sign(&team.carol).unwrap();
        site.publish(&leaving).unwrap();
        let error = site.publish(&waiting).unwrap_err();
        assert_eq!(error.code().name(), "approval-invalid");
        assert!(
            error.to_string().starts_with("bob has signed it and has no say in `node` any more; "),
            "{error}"
        );
        let mut again = site.rebase(&waiting).unwrap();
        assert_eq!(code(again.sign(&team.bob)), "approval-invalid");
        again.sign(&team.alice).unwrap();
        // His signature on the new file, made by hand, is reported and does not count.
        forge(&mut again, &team);
        let error = site.publish(&again).unwrap_err();
        assert_eq!(error.code().name(), "approval-invalid");
        assert!(error.to_string().ends_with("does not count: the key has no say"), "{error}");
        assert!(site.view(anchor).releases().is_empty());
        again.sign(&team.carol).unwrap();
        site.publish(&again).unwrap();
        assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    }

    /// Puts a good signature of bob's on the new file into the proposal, past `sign`.
    fn forge(proposal: &mut Proposal, team: &Team) {
        let draft = fs::read(proposal.path().join("new/node.json")).unwrap();
        let draft = countersign_tuf::editor::Draft::parse(PRODUCT, &draft).unwrap();
        let signature = team.bob.sign(&draft.message_for(team.bob.public_key())).unwrap();
        let keyid = countersign_tuf::metadata::key_id(team.bob.public_key());
        let digest = proposal.digest();
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            r#"{{"apiVersion":"0.0.1","keyid":"{keyid}","kind":"approval","proposal":"{digest}","role":"node","signature":"{hex}"}}"#
        );
        let path = proposal.path().join(format!("signatures/node.{keyid}.json"));
        fs::write(path, text).unwrap();
        *proposal = Proposal::open(proposal.path(), proposal.created()).unwrap();
        assert_eq!(proposal.bad().unwrap()[0].reason, "the key has no say");
    }

    #[test]
    fn d23_f_what_is_shown_is_what_is_signed() {
        let dir = temp();
        let (mut site, anchor, team) = with_team(dir.path());
        let shown = site.propose_release("1.0.0", "one", "alice").unwrap();
        let evil = site.propose_release("1.0.0", "evil", "alice").unwrap();
        let spoilt = |parts: &[&str]| -> PathBuf {
            let place = dir.path().join("spoilt");
            let _ = fs::remove_dir_all(&place);
            copy(shown.path(), &place);
            for part in parts {
                let (from, to) = (evil.path().join(part), place.join(part));
                if from.is_dir() {
                    fs::remove_dir_all(&to).unwrap();
                    copy(&from, &to);
                } else {
                    fs::copy(&from, &to).unwrap();
                }
            }
            place
        };
        // The words of one change over the bytes of another, in any mixture.
        let mixtures: [&[&str]; 5] =
            [&["new"], &["new", "files"], &["proposal.json"], &["files"], &["proposal.json", "files"]];
        for parts in mixtures {
            let error = site.opened(&spoilt(parts)).unwrap_err();
            let refused = ["approval-invalid", "proposal-malformed"];
            assert!(refused.contains(&error.code().name()), "{parts:?}: {}", error.code());
        }
        // All of it swapped is the other proposal, and is shown as what it is.
        let mut other = site.opened(&spoilt(&["new", "files", "proposal.json"])).unwrap();
        let line = other.summary(site.now).unwrap().roles[0].changes[0].clone();
        assert!(line.contains(&countersign_crypto::sha256(b"evil").to_string()), "{line}");
        // A file that is exchanged after the signing is not published.
        other.sign(&team.alice).unwrap();
        other.sign(&team.bob).unwrap();
        let file = files(&other.path().join("files")).into_keys().next().unwrap();
        fs::write(other.path().join("files").join(&file), "live").unwrap();
        assert_eq!(code(site.publish(&other)), "approval-invalid");
        assert!(site.view(anchor).releases().is_empty());
        fs::write(other.path().join("files").join(&file), "evil").unwrap();
        site.publish(&other).unwrap();
    }
}

/// Not even a client of another make would take what one person alone approved.
#[test]
fn clients_check_the_rule_of_separation_themselves() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    site.view(anchor);
    let intent = |site: &Site| -> Result<Intent, PublishError> {
        let dir = countersign_keys::KeyDir::open(site.keys())?;
        let key = |name: &str| dir.find(name).map(|info| info.public);
        let member = |name: &str, holder: &str| {
            Ok::<_, PublishError>(countersign_publish::proposal::Member {
                key: key(name)?,
                pair: None,
                holder: holder.to_owned(),
            })
        };
        let signers = vec![member("node-1", "alice")?, member("node-2", "bob")?];
        Ok(product(Rules { threshold: 1, separation: true }, signers))
    };
    let intent = intent(&site).unwrap();
    let mut proposal = site.propose(&intent, "carol").unwrap();
    sign_at_hand(&site, &mut proposal);
    site.publish(&proposal).unwrap();
    site.view(anchor);
    // Both keys are at hand, so `release` has two people too.
    site.release("1.1.0", "two").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
    for ending in ["key", "pub"] {
        fs::remove_file(site.keys().join(format!("node-2.{ending}"))).unwrap();
    }
    assert_eq!(code(site.release("1.2.0", "three")), "approval-self");
}

/// Other signers and nothing else: the rule and the threshold stay.
#[test]
fn what_a_change_of_signers_does_not_name_stays() {
    let dir = temp();
    let (mut site, _, team) = with_rules(dir.path(), Rules { threshold: 1, separation: true });
    let unnamed = |signers: Vec<Member>| {
        Intent::Product(ProductIntent {
            name: PRODUCT.parse().unwrap(),
            threshold: None,
            signers,
            separation: None,
            drop_pairs: BTreeSet::new(),
        })
    };
    let mut members = team.members();
    members.pop();
    let proposal = site.propose(&unnamed(members.clone()), "alice").unwrap();
    let changes = &proposal.summary(site.now).unwrap().roles[0].changes;
    assert!(changes.iter().any(|line| line.contains("needs 1 of 2")), "{changes:?}");
    assert!(!changes.iter().any(|line| line.contains("another person")), "{changes:?}");
    // The rule is still held to: one person cannot meet it.
    members.truncate(1);
    assert_eq!(code(site.propose(&unnamed(members), "alice")), "usage");
    // The twin: said.
    let intent = product(Rules { threshold: 1, separation: false }, team.members());
    let proposal = site.propose(&intent, "alice").unwrap();
    let changes = &proposal.summary(site.now).unwrap().roles[0].changes;
    assert!(changes.iter().any(|line| line.contains("no longer asks for another person")), "{changes:?}");
}
