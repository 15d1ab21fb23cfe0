//! What a renewal mends without any person.

use countersign_base::Explain as _;

use countersign_publish::{Publication, PublishError};

use crate::support::{Site, code, files, view, with_product};
use crate::trust_support::{Client, change, rotation, temp};

/// Renews after a person has looked at the clock.
fn mend(site: &mut Site) -> Result<Publication, PublishError> {
    site.act(|publisher| {
        publisher.clock_was_ahead();
        publisher.renew()
    })
}

/// No proof lies in the future, and still nothing is dated back: the clock is behind its own last timestamp.
#[test]
fn a_timestamp_never_expires_before_the_one_in_force() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let made = site.now;
    site.now = made.plus_days(5);
    site.renew().unwrap();
    site.now = made.plus_days(2);
    let before = files(&site.repo().join("metadata"));
    for result in [code(site.renew()), code(site.release("1.0.0", "one"))] {
        assert_eq!(result, "clock-behind-evidence");
    }
    assert_eq!(files(&site.repo().join("metadata")), before);
    // The twins: a clock that is corrected by a minute, and one that a person answers for.
    site.now = made.plus_days(4).plus_seconds(86_340);
    site.renew().unwrap();
    site.now = made.plus_days(2);
    mend(&mut site).unwrap();
    site.release("1.0.0", "one").unwrap();
    Client::new(&site, anchor, "home").refresh(&site);
}

/// Published while the clock was ahead, then the honest clock: clients refuse what is dated in their future.
#[test]
fn a_clock_that_was_ahead_is_mended() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    let honest = site.now;
    site.now = honest.plus_days(300);
    site.release("1.1.0", "two").unwrap();
    site.now = honest;
    let refused = view(&site.repo(), anchor, site.now).unwrap_err();
    assert_eq!(refused.code().name(), "log-cosignature-time");
    assert_eq!(client.code(&site.repo(), site.now), "log-cosignature-time");
    let before = files(&site.repo());
    let error = site.release("1.2.0", "three").unwrap_err();
    assert_eq!(error.code().name(), "log-cosignature-time");
    assert!(error.fix().unwrap().contains("countersign renew"), "{:?}", error.fix());
    assert_eq!(files(&site.repo()), before);

    // Nothing here can tell whether this clock is behind or was ahead.
    assert_eq!(code(site.renew()), "log-cosignature-time");
    assert_eq!(files(&site.repo()), before);

    let renewed = mend(&mut site).unwrap();
    assert!(renewed.documents.is_empty(), "indices and leaves stay: {renewed:?}");
    assert_eq!(client.refresh(&site), (1, 3));
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
    site.release("1.2.0", "three").unwrap();
    assert_eq!(client.refresh(&site), (1, 4));
    // The twin: with nothing to mend no proof is touched.
    let proofs = |all: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        all.into_iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with(".tlog-proof"))
            .collect::<Vec<_>>()
    };
    let before = proofs(files(&site.repo()));
    site.renew().unwrap();
    assert_eq!(proofs(files(&site.repo())), before);
}

/// The whole repository was made, and its root replaced, under a clock that was ahead: proofs of roots are mended too,
/// each under the policy that it must meet.
#[test]
fn proofs_of_roots_are_mended_too() {
    let dir = temp();
    let mut site = crate::support::Site::new(dir.path());
    let honest = site.now;
    site.now = honest.plus_days(200);
    let anchor = site.init().unwrap().anchor;
    site.add_product().unwrap();
    let intent = rotation(&site, "log", "log-2");
    change(&mut site, &intent).unwrap();
    site.now = honest;
    assert_eq!(view(&site.repo(), anchor, site.now).unwrap_err().code().name(), "log-cosignature-time");
    assert_eq!(code(site.release("1.0.0", "one")), "log-cosignature-time");
    assert_eq!(code(site.renew()), "log-cosignature-time");
    mend(&mut site).unwrap();
    assert_eq!(Client::new(&site, anchor, "home").refresh(&site).0, 2);
    site.release("1.0.0", "one").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

/// A timer hears of what needs it and of what needs people.
#[test]
fn what_is_due_is_told_in_time() {
    use countersign_publish::RenewedBy;
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let mut due = |days: u64| {
        site.now = crate::support::start().plus_days(days);
        let all = site.act(|publisher| publisher.due()).unwrap();
        assert!(all.is_sorted_by_key(|due| due.expires));
        assert_eq!(all.len(), 5);
        let due = all.into_iter().filter(|due| due.is_due);
        due.map(|due| (due.role, due.by)).collect::<Vec<_>>()
    };
    let machine = |role: &str| (role.to_owned(), RenewedBy::Machine);
    let people = |role: &str| (role.to_owned(), RenewedBy::People);
    assert_eq!(due(0), []);
    assert_eq!(due(9), []);
    assert_eq!(due(10), [machine("timestamp")]);
    assert_eq!(due(60), [machine("timestamp"), machine("snapshot")]);
    assert_eq!(due(305)[2..], [people("targets"), people("node")]);
    assert_eq!(due(640)[4..], [people("root")]);
}
