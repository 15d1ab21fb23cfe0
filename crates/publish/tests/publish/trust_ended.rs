//! Keys that were rotated or revoked do not come back, whoever names them and wherever.

use std::collections::BTreeSet;

use countersign_base::Explain as _;
use countersign_crypto::PublicKey;
use countersign_keys::{Protection, Stage};
use countersign_publish::proposal::{
    Member, ProductIntent, RevokeIntent, RevokeReason, RootChange, RotateIntent,
};
use countersign_publish::{Intent, PolicyEdit, ProductOptions, PublishError};

use crate::support::{Site, code, with_product};
use crate::trust_support::{
    change, lose, member, new_key, pair, public, revocation, role_change, rotation, signed, temp,
};

/// Everything that names the key as somebody's, or as the log's.
fn ways_in(site: &Site, key: &PublicKey) -> Vec<(&'static str, Intent)> {
    let eve = || member(key, "eve");
    let other = public(site, "node-2");
    let mut hybrid = member(&new_key(site, "fresh", Stage::Release), "eve");
    hybrid.pair = Some(key.clone());
    let product = |name: &str, signers| {
        let (threshold, separation) = (Some(1), None);
        let (name, drop_pairs) = (name.parse().unwrap(), BTreeSet::new());
        Intent::Product(ProductIntent { name, threshold, signers, separation, drop_pairs })
    };
    vec![
        ("product", product("node", vec![member(&other, "node-2"), eve()])),
        ("new product", product("tool", vec![eve()])),
        ("second key", product("tool", vec![hybrid])),
        ("root", Intent::Root(role_change("root", 1, &[(key, "eve")]))),
        ("timestamp", Intent::Root(role_change("timestamp", 1, &[(key, "eve")]))),
        ("rotation", Intent::Rotate(RotateIntent { from: other.clone(), to: eve() })),
        (
            "replacement",
            Intent::Revoke(RevokeIntent { key: other, reason: RevokeReason::Lost, replacement: Some(eve()) }),
        ),
    ]
}

fn refused(site: &mut Site, key: &PublicKey, why: &str) {
    let mut errors = Vec::<(&str, PublishError)>::new();
    for (way, intent) in ways_in(site, key) {
        errors.push((way, signed(site, &intent).map(drop).unwrap_err()));
    }
    let name = "tool".parse().unwrap();
    let options = ProductOptions {
        signers: vec![key.clone()],
        threshold: 1,
        ..ProductOptions::new(&name, Protection::Unencrypted)
    };
    errors.push(("product add", site.act(|publisher| publisher.product_add(&options)).unwrap_err()));
    for (way, error) in errors {
        assert_eq!(error.code().name(), "key-revoked", "{way}: {error}");
        assert!(error.to_string().contains(why), "{way}: {error}");
        assert!(error.fix().unwrap().contains("key new"), "{way}");
    }
    lose(site, "fresh");
}

#[test]
fn a_key_that_was_revoked_for_whatever_reason_does_not_come_back() {
    for reason in [RevokeReason::Compromised, RevokeReason::Retired, RevokeReason::Lost] {
        let dir = temp();
        let (mut site, _) = with_product(dir.path());
        let key = public(&site, "node-1");
        let replacement = Some(member(&new_key(&site, "node-3", Stage::Release), "node-3"));
        change(&mut site, &Intent::Revoke(RevokeIntent { key: key.clone(), reason, replacement })).unwrap();
        // It stands in targets, and goes on to stand there.
        site.release("1.0.0", "one").unwrap();
        refused(&mut site, &key, reason.name());
        // The twin: another key takes every way in.
        for (way, intent) in ways_in(&site, &new_key(&site, "node-4", Stage::Release)) {
            if way != "second key" {
                signed(&mut site, &intent).unwrap_or_else(|error| panic!("{way}: {error}"));
            }
        }
    }
}

#[test]
fn a_key_that_was_rotated_does_not_come_back_and_a_signer_who_was_left_out_does() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let key = public(&site, "timestamp");
    let intent = rotation(&site, "timestamp", "timestamp-2");
    change(&mut site, &intent).unwrap();
    refused(&mut site, &key, "replaced");
    // Nobody said that node-2 is not to be trusted: node-1 alone signs, and then both again.
    let signers = |names: &[&str]| names.iter().map(|name| member(&public(&site, name), name)).collect();
    let product = |signers: Vec<_>| {
        let (threshold, separation, drop_pairs) = (Some(1), None, BTreeSet::new());
        let name = "node".parse().unwrap();
        Intent::Product(ProductIntent { name, threshold, signers, separation, drop_pairs })
    };
    let (alone, both) = (product(signers(&["node-1"])), product(signers(&["node-1", "node-2"])));
    change(&mut site, &alone).unwrap();
    change(&mut site, &both).unwrap();
}

#[test]
fn keys_of_the_log_that_were_rotated_do_not_come_back() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let key = public(&site, "log");
    let intent = rotation(&site, "log", "log-2");
    change(&mut site, &intent).unwrap();
    let present = site.act(|publisher| publisher.policy()).unwrap();
    let edit = |key: &PublicKey| PolicyEdit { add_log_keys: vec![key.clone()], ..PolicyEdit::default() };
    let with = |key: &PublicKey| {
        let policy = Some(edit(key).apply(&present).unwrap());
        Intent::Root(RootChange { policy, ..RootChange::default() })
    };
    assert_eq!(code(signed(&mut site, &with(&key))), "key-revoked");
    let fresh = new_key(&site, "log-3", Stage::Log);
    signed(&mut site, &with(&fresh)).unwrap();
}

/// The first half of what becomes a pair goes on; a half that was replaced does not.
#[test]
fn a_key_that_becomes_a_pair_goes_on() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let key = public(&site, "node-1");
    let mut to = pair(&site, "helper", Stage::Release);
    let half = to.pair.clone().unwrap();
    (to.key, to.holder) = (key.clone(), "node-1".to_owned());
    change(&mut site, &Intent::Rotate(RotateIntent { from: key.clone(), to })).unwrap();
    let next = pair(&site, "next", Stage::Release).pair.unwrap();
    let intent = Intent::Rotate(RotateIntent { from: half.clone(), to: member(&next, "node-1") });
    change(&mut site, &intent).unwrap();
    let back = Intent::Rotate(RotateIntent { from: next, to: member(&half, "node-1") });
    assert_eq!(code(signed(&mut site, &back)), "key-revoked");
    site.release("1.0.0", "one").unwrap();
}

/// Whoever had one key of a pair may have the other: neither comes back, as anybody's first or second key.
#[test]
fn a_second_key_ends_with_its_first() {
    type Make = fn(&Site, &Member) -> Intent;
    let revoked: Make = |site, erin| {
        let replacement = Some(member(&new_key(site, "node-3", Stage::Release), "node-3"));
        Intent::Revoke(RevokeIntent { key: erin.key.clone(), reason: RevokeReason::Compromised, replacement })
    };
    let rotated: Make = |site, erin| {
        let to = Member { holder: "erin".to_owned(), ..pair(site, "erin-2", Stage::Release) };
        Intent::Rotate(RotateIntent { from: erin.key.clone(), to })
    };
    let second_anew: Make = |site, erin| {
        let to = Member { pair: pair(site, "erin-2", Stage::Release).pair, ..erin.clone() };
        Intent::Rotate(RotateIntent { from: erin.key.clone(), to })
    };
    for (make, why) in [(revoked, "compromised"), (rotated, "replaced"), (second_anew, "replaced")] {
        let dir = temp();
        let (mut site, _) = with_product(dir.path());
        let erin = pair(&site, "erin", Stage::Release);
        let signers = vec![member(&public(&site, "node-2"), "node-2"), erin.clone()];
        let (name, threshold, separation) = ("node".parse().unwrap(), Some(1), None);
        let product = ProductIntent { name, threshold, signers, separation, drop_pairs: BTreeSet::new() };
        change(&mut site, &Intent::Product(product)).unwrap();
        let intent = make(&site, &erin);
        let proposal = signed(&mut site, &intent).unwrap();
        let goes_on = matches!(&intent, Intent::Rotate(rotate) if rotate.to.key == erin.key);
        assert_eq!(proposal.ends(&erin.key).unwrap(), !goes_on);
        assert!(proposal.ends(erin.pair.as_ref().unwrap()).unwrap());
        assert!(!proposal.ends(&public(&site, "node-2")).unwrap());
        let summary = proposal.summary(site.now).unwrap();
        let lines: Vec<_> = summary.roles.into_iter().flat_map(|role| role.changes).collect();
        let said =
            |start: &str| lines.iter().any(|line| line.starts_with(start) && line.contains(" of erin "));
        assert!(said("ends the second key "), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("one key only")), "{lines:?}");
        change(&mut site, &intent).unwrap();
        refused(&mut site, &erin.pair.unwrap(), why);
    }
}

/// A holder whose first key alone is replaced keeps the second, and so it has not ended.
#[test]
fn a_second_key_that_stays_in_its_holders_hands_goes_on() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let erin = pair(&site, "erin", Stage::Release);
    let (name, threshold, separation) = ("node".parse().unwrap(), Some(1), None);
    let signers = vec![member(&public(&site, "node-2"), "node-2"), erin.clone()];
    let product = ProductIntent { name, threshold, signers, separation, drop_pairs: BTreeSet::new() };
    change(&mut site, &Intent::Product(product)).unwrap();
    let next = member(&new_key(&site, "erin-2", Stage::Release), "erin");
    let intent = Intent::Rotate(RotateIntent { from: erin.key, to: next.clone() });
    change(&mut site, &intent).unwrap();
    // She may say so again.
    let to = Member { pair: erin.pair, ..member(&new_key(&site, "erin-3", Stage::Release), "erin") };
    change(&mut site, &Intent::Rotate(RotateIntent { from: next.key, to })).unwrap();
    site.release("1.0.0", "one").unwrap();
}

/// The summary says so, in words, to whoever signs.
#[test]
fn whoever_signs_reads_which_key_ends() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let intent = revocation(&site, "node-1", Some("node-3"));
    let proposal = signed(&mut site, &intent).unwrap();
    let summary = proposal.summary(site.now).unwrap();
    let ends = |line: &String| line.starts_with("ends the key ") && line.ends_with(": compromised");
    assert!(summary.roles.iter().any(|role| role.changes.iter().any(ends)), "{summary:?}");
    assert!(summary.roles.iter().all(|role| !role.changes.iter().any(|line| line.starts_with("also "))));
}
