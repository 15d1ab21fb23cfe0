//! What a summary warns of.

use countersign_keys::Stage;
use countersign_publish::Intent;
use countersign_publish::proposal::{RenewIntent, RootChange, Summary};

use crate::support::{PRODUCT, Site, with_product};
use crate::trust_support::{new_key, role_change, signed, temp};

fn summary(site: &mut Site, intent: &Intent) -> Summary {
    signed(site, intent).unwrap().summary(site.now).unwrap()
}

fn warnings(site: &mut Site, change: RootChange) -> Vec<String> {
    let roles = summary(site, &Intent::Root(change)).roles;
    let lines = roles.into_iter().flat_map(|role| role.changes);
    lines.filter(|line| line.contains("WARNING")).collect()
}

/// Three keys in two hands are two people, whatever the threshold says.
#[test]
fn keys_of_one_holder_do_not_pass_for_people() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let keys: Vec<_> = (1..=4).map(|number| new_key(&site, &format!("k{number}"), Stage::Root)).collect();
    let with = |threshold, holders: [&str; 4]| {
        role_change("targets", threshold, &keys.iter().zip(holders).collect::<Vec<_>>())
    };
    assert_eq!(
        warnings(&mut site, with(2, ["alice", "bob", "Alice", "carol"])),
        ["WARNING: one person, alice, can meet this threshold alone"]
    );
    assert_eq!(
        warnings(&mut site, with(3, ["alice", "bob", "alice", "carol"])),
        ["WARNING: 2 people, alice, bob, can meet this threshold of 3 among themselves"]
    );
    // The twins: as many people as signatures; and one of one is one person, as it says.
    assert_eq!(warnings(&mut site, with(2, ["alice", "bob", "carol", "dora"])), [""; 0]);
    assert_eq!(warnings(&mut site, with(1, ["alice", "bob", "alice", "carol"])), [""; 0]);
}

#[test]
fn a_timestamp_that_has_expired_is_noted() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let intent = Intent::Renew(RenewIntent { roles: [PRODUCT.to_owned()].into() });
    let proposal = signed(&mut site, &intent).unwrap();
    let fresh = proposal.summary(site.now).unwrap();
    assert_eq!(fresh.notes, [""; 0]);
    let late = proposal.summary(site.now.plus_days(20)).unwrap();
    assert!(late.notes[0].contains("expired on"), "{:?}", late.notes);
    assert!(late.to_string().contains("NOTE: the timestamp"), "{late}");
}

/// A change that was logged and never published used a number up.
#[test]
fn numbers_that_are_skipped_are_told() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let intent = Intent::Renew(RenewIntent { roles: [PRODUCT.to_owned()].into() });
    let skips =
        |summary: Summary| summary.roles[0].changes.iter().any(|line| line.contains("skips the version"));
    assert!(!skips(summary(&mut site, &intent)));
    // As if the last step of a release had not been reached.
    let timestamp = site.repo().join("metadata/timestamp.json");
    let old = std::fs::read(&timestamp).unwrap();
    site.release("1.0.0", "one").unwrap();
    std::fs::write(&timestamp, old).unwrap();
    assert!(skips(summary(&mut site, &intent)));
}
