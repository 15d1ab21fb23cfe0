//! Second keys: nobody loses one by being named without it, and nobody gets another's.

use std::collections::BTreeSet;

use countersign_base::Explain as _;
use countersign_keys::Stage;
use countersign_publish::proposal::{Member, ProductIntent, RotateIntent};
use countersign_publish::{Intent, PublishError};
use countersign_tuf::metadata::key_id;

use crate::support::{PRODUCT, Site, with_product};
use crate::trust_support::{Client, change, lose, member, new_key, pair, public, role_change, signed, temp};

/// The lines about second keys in the summary of that change.
fn told(site: &mut Site, intent: &Intent) -> Result<Vec<String>, PublishError> {
    let summary = signed(site, intent)?.summary(site.now)?;
    let lines = summary.roles.into_iter().flat_map(|role| role.changes);
    Ok(lines.filter(|line| line.contains("one key only") || line.contains("second key")).collect())
}

fn product(name: &str, signers: &[&Member], drop: &[&Member]) -> Intent {
    Intent::Product(ProductIntent {
        name: name.parse().unwrap(),
        threshold: Some(1),
        signers: signers.iter().map(|member| (*member).clone()).collect(),
        separation: Some(false),
        drop_pairs: ids(drop),
    })
}

fn ids(members: &[&Member]) -> BTreeSet<String> {
    members.iter().map(|member| key_id(&member.key)).collect()
}

fn alone(member: &Member) -> Member {
    Member { pair: None, ..member.clone() }
}

#[test]
fn a_member_named_without_the_second_key_keeps_it() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let erin = pair(&site, "erin", Stage::Release);
    let other = pair(&site, "other", Stage::Release);
    change(&mut site, &product(PRODUCT, &[&erin], &[])).unwrap();
    change(&mut site, &product("other", &[&erin, &other], &[])).unwrap();
    // As the signer of one product, and in place of a key of the other.
    let intent = product(PRODUCT, &[&alone(&erin)], &[]);
    assert_eq!(told(&mut site, &intent).unwrap(), [""; 0]);
    let rotate = RotateIntent { from: other.key.clone(), to: alone(&erin) };
    assert_eq!(told(&mut site, &Intent::Rotate(rotate)).unwrap_err().code().name(), "tuf-key-duplicate");
    change(&mut site, &product("other", &[&other], &[])).unwrap();
    let intent = Intent::Rotate(RotateIntent { from: other.key, to: alone(&erin) });
    let lines = told(&mut site, &intent).unwrap();
    assert!(!lines.iter().any(|line| line.contains("asks erin")), "{lines:?}");
    change(&mut site, &intent).unwrap();
    lose(&site, "erin-pq");
    let error = site.release("1.0.0", "one").unwrap_err();
    assert_eq!(error.code().name(), "signature-algorithm-downgrade", "{error}");
}

#[test]
fn a_root_signer_named_without_the_second_key_keeps_it() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let erin = pair(&site, "erin", Stage::Root);
    let mut root = role_change("targets", 1, &[]);
    root.roles.get_mut("targets").unwrap().signers.push(erin.clone());
    change(&mut site, &Intent::Root(root)).unwrap();
    // She goes from one role to another, which is written first.
    let mut moved = role_change("root", 1, &[(&erin.key, "erin")]);
    moved.roles.extend(role_change("targets", 1, &[(&public(&site, "root-1"), "alice")]).roles);
    assert_eq!(told(&mut site, &Intent::Root(moved.clone())).unwrap(), [""; 0]);
    // The twin: in so many words.
    moved.drop_pairs = ids(&[&erin]);
    let intent = Intent::Root(moved.clone());
    assert_eq!(told(&mut site, &intent).unwrap(), ["asks erin for one key only; it was two"]);
    change(&mut site, &intent).unwrap();
    Client::new(&site, anchor, "home").refresh(&site);
    // There is none any more.
    assert_eq!(told(&mut site, &intent).unwrap_err().code().name(), "usage");
}

#[test]
fn a_second_key_goes_when_that_is_said() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let erin = pair(&site, "erin", Stage::Release);
    change(&mut site, &product(PRODUCT, &[&erin], &[])).unwrap();
    let both = product(PRODUCT, &[&erin], &[&erin]);
    assert_eq!(told(&mut site, &both).unwrap_err().code().name(), "usage");
    let intent = product(PRODUCT, &[&alone(&erin)], &[&erin]);
    assert_eq!(told(&mut site, &intent).unwrap(), ["asks erin for one key only; it was two"]);
    change(&mut site, &intent).unwrap();
    lose(&site, "erin-pq");
    site.release("1.0.0", "one").unwrap();
}

/// Erin leaves: who comes for her signs with his own keys, never with hers.
#[test]
fn nobody_gets_the_second_key_of_another() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let erin = pair(&site, "erin", Stage::Release);
    change(&mut site, &product(PRODUCT, &[&erin], &[])).unwrap();
    let to = member(&new_key(&site, "frank", Stage::Release), "frank");
    let intent = Intent::Rotate(RotateIntent { from: erin.key.clone(), to });
    // She goes, so nothing is said of how many keys she is asked for: only that both end.
    let lines = told(&mut site, &intent).unwrap();
    assert!(matches!(&lines[..], [line] if line.starts_with("ends the second key ")), "{lines:?}");
    change(&mut site, &intent).unwrap();
    lose(&site, "erin");
    lose(&site, "erin-pq");
    site.release("1.0.0", "one").unwrap();
    client.refresh(&site);
}

/// A second key is owed in every product that lists the first: those that she signed with one are signed again.
#[test]
fn a_second_key_reaches_all_products() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let erin = pair(&site, "erin", Stage::Release);
    change(&mut site, &product("other", &[&alone(&erin)], &[])).unwrap();
    let done = change(&mut site, &product(PRODUCT, &[&erin], &[])).unwrap();
    let roles: Vec<_> = done.documents.iter().map(|document| document.role.as_str()).collect();
    assert_eq!(roles, ["targets", PRODUCT, "other", "snapshot"]);
    client.refresh(&site);
    change(&mut site, &product("third", &[&alone(&erin)], &[])).unwrap();
    client.refresh(&site);
}
