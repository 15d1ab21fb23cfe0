//! The same content for another term, for what nobody changes for a year.

use countersign_base::Explain as _;
use countersign_publish::proposal::{RenewIntent, RootChange};
use countersign_publish::{Intent, PublishError};

use crate::support::{PRODUCT, code, start, with_product};
use crate::trust_support::{Client, change, new_key, role_change, signed, temp};

fn renewal(roles: &[&str]) -> Intent {
    Intent::Renew(RenewIntent { roles: roles.iter().map(|role| (*role).to_owned()).collect() })
}

/// What is due a year later is renewed by the people whose it is, and says what it said before.
#[test]
fn what_takes_people_is_renewed_as_it_is() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    site.now = start().plus_days(320);
    site.renew().unwrap();
    let due = site.act(|publisher| publisher.due()).unwrap();
    let due: Vec<_> = due.iter().filter(|due| due.is_due).map(|due| due.role.as_str()).collect();
    assert_eq!(due, ["targets", PRODUCT]);

    let proposal = signed(&mut site, &renewal(&due)).unwrap();
    let summary = proposal.summary(site.now).unwrap();
    assert_eq!(summary.what, format!("renewal of {PRODUCT}, targets"));
    for role in &summary.roles {
        assert_eq!(role.changes, ["changes nothing but its version and its expiry"]);
        assert_eq!(role.good_until, site.now.plus_days(365));
    }
    let done = site.act(|publisher| publisher.publish_proposal(&proposal)).unwrap();
    let new: Vec<_> = done.documents.iter().map(|new| (new.role.as_str(), new.version)).collect();
    assert_eq!(new, [("targets", 3), (PRODUCT, 3), ("snapshot", 5)]);
    assert_eq!(client.refresh(&site), (1, 3));
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    assert!(site.act(|publisher| publisher.due()).unwrap().iter().all(|due| !due.is_due));
}

/// Nobody looked for fourteen months: clients refuse, until people have met.
#[test]
fn what_has_expired_is_renewed_too() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    site.now = start().plus_days(425);
    assert_eq!(client.code(&site.repo(), site.now), "tuf-expired");
    assert_eq!(code(site.renew()), "tuf-expired");
    assert_eq!(code(change(&mut site, &renewal(&[PRODUCT]))), "tuf-expired", "targets are still expired");
    change(&mut site, &renewal(&["targets", PRODUCT])).unwrap();
    assert_eq!(client.refresh(&site), (1, 3));
}

/// Root goes with targets in one proposal, and is the renewal that `Intent::Root` makes.
#[test]
fn root_is_renewed_with_the_others() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    change(&mut site, &renewal(&["root", "targets", PRODUCT])).unwrap();
    assert_eq!(client.refresh(&site), (2, 2));
    change(&mut site, &Intent::Root(RootChange::default())).unwrap();
    assert_eq!(client.refresh(&site), (3, 2));
}

/// Root 2 was given to others, and targets with it: renewing both asks for each of them once.
#[test]
fn targets_that_root_brings_along_are_not_made_twice() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let key = new_key(&site, "erin", countersign_keys::Stage::Root);
    change(&mut site, &Intent::Root(role_change("targets", 1, &[(&key, "erin")]))).unwrap();
    change(&mut site, &renewal(&["root", "targets"])).unwrap();
    assert_eq!(Client::new(&site, anchor, "home").refresh(&site), (3, 1));
}

#[test]
fn what_no_people_sign_is_refused() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    for (roles, wanted) in [
        (&["snapshot"][..], "usage"),
        (&["targets", "timestamp"], "usage"),
        (&["nod"], "publish-product-unknown"),
        (&[], "usage"),
    ] {
        let error: PublishError = signed(&mut site, &renewal(roles)).unwrap_err();
        assert_eq!(error.code().name(), wanted, "{roles:?}: {error}");
    }
}
