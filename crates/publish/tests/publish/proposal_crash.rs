//! A fault at every write of making, signing, merging and publishing a proposal.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use countersign_base::Explain as _;
use countersign_base::code::Class;
use countersign_publish::PublishError;
use countersign_publish::proposal::Proposal;
use countersign_store::Disk;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::proposal::with_team;
use crate::support::{Seen, Site, code, copy, temp};

/// Fails each step of `work` in each way, in a copy of `base`, and has `judge` look at what is left.
fn at_every_step(
    base: &Path,
    work: &dyn Fn(&mut Site) -> Result<(), PublishError>,
    judge: &dyn Fn(&mut Site, &str),
) {
    let steps = {
        let dir = temp();
        copy(base, dir.path());
        let disk = FaultyDisk::counting(dir.path());
        work(&mut Site::on(dir.path(), disk.clone())).unwrap();
        disk.steps()
    };
    assert!(steps > 3, "{steps} steps");
    let mut seen = Seen::default();
    for at in 0..steps {
        for (fault, then, losses) in [
            (Fault::Torn, Then::Dies, Loss::ALL.as_slice()),
            (Fault::NoSpace, Then::GoesOn, &[Loss::Nothing]),
            (Fault::DoneButFailed, Then::GoesOn, &[Loss::Nothing]),
        ] {
            let dir = temp();
            copy(base, dir.path());
            let disk = FaultyDisk::failing(dir.path(), at, fault, then);
            let name = format!("step {at}, {fault:?}, {then:?}");
            if let Err(error) = work(&mut Site::on(dir.path(), disk.clone())) {
                assert_eq!(error.code().class(), Class::Unavailable, "{name}: {}: {error}", error.code());
            }
            for loss in losses {
                let left = temp();
                disk.after(*loss, left.path());
                if !seen.is_new(left.path()) {
                    continue;
                }
                let mut site = Site::on(left.path(), FaultyDisk::counting(left.path()));
                judge(&mut site, &format!("{name}, {loss:?}"));
            }
        }
    }
}

fn open(site: &Site, name: &str) -> Result<Proposal, PublishError> {
    let disk: Arc<dyn Disk> = site.disk.clone();
    Proposal::open_on(disk, &site.root.join(name), site.now)
}

#[test]
fn an_interrupted_proposal_is_whole_or_unfinished() {
    let base = temp();
    let (site, _, _) = with_team(base.path());
    site.file("node", b"one");
    let propose = |site: &mut Site| {
        let out = site.root.join("proposal");
        site.propose_release_in("1.0.0", "one", "alice", &out).map(drop)
    };
    at_every_step(base.path(), &propose, &|site, name| {
        let whole = match open(site, "proposal") {
            Ok(_) => true,
            Err(error) => {
                let refused = ["proposal-malformed", "file-not-found"];
                assert!(refused.contains(&error.code().name()), "{name}: {error}");
                false
            }
        };
        // The same command again.
        match (whole, code(propose(site))) {
            (true, "publish-dir-not-empty") | (false, "ok") => {}
            (_, other) => panic!("{name}: {other}"),
        }
        open(site, "proposal").unwrap_or_else(|error| panic!("{name}: {error}"));
    });
}

#[test]
fn an_interrupted_signature_is_there_or_not() {
    let base = temp();
    let (mut site, _, team) = with_team(base.path());
    let out = base.path().join("proposal-2");
    site.propose_release_in("1.0.0", "one", "alice", &out).unwrap().sign(&team.alice).unwrap();
    let sign = |site: &mut Site| open(site, "proposal-2")?.sign(&team.bob).map(drop);
    at_every_step(base.path(), &sign, &|site, name| {
        let proposal = open(site, "proposal-2").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(proposal.bad().unwrap().is_empty(), "{name}");
        let signed = proposal.status().unwrap()[0].groups[0].signed.len();
        assert!((1..=2).contains(&signed), "{name}: {signed}");
        sign(site).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(open(site, "proposal-2").unwrap().status().unwrap()[0].is_complete(), "{name}");
    });
}

#[test]
fn an_interrupted_merge_loses_no_signature() {
    let base = temp();
    let (mut site, _, team) = with_team(base.path());
    let (here, there) = (base.path().join("here"), base.path().join("there"));
    site.propose_release_in("1.0.0", "one", "alice", &here).unwrap();
    copy(&here, &there);
    site.opened(&here).unwrap().sign(&team.alice).unwrap();
    for person in [&team.bob, &team.carol] {
        site.opened(&there).unwrap().sign(person).unwrap();
    }
    let merge = |site: &mut Site| open(site, "here")?.merge(&open(site, "there")?).map(drop);
    at_every_step(base.path(), &merge, &|site, name| {
        let proposal = open(site, "here").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(proposal.bad().unwrap().is_empty(), "{name}");
        let signed = &proposal.status().unwrap()[0].groups[0].signed;
        assert!(signed.iter().any(|one| one.name == "alice"), "{name}: {signed:?}");
        merge(site).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(open(site, "here").unwrap().status().unwrap()[0].groups[0].signed.len(), 3, "{name}");
    });
}

#[test]
fn an_interrupted_publication_goes_on_without_new_signatures() {
    let base = temp();
    let (mut site, anchor, team) = with_team(base.path());
    let out = base.path().join("signed");
    let mut proposal = site.propose_release_in("1.0.0", "one", "alice", &out).unwrap();
    proposal.sign(&team.alice).unwrap();
    proposal.sign(&team.bob).unwrap();
    let old = site.view(anchor);
    let publish = |site: &mut Site| {
        let proposal = open(site, "signed")?;
        site.publish(&proposal).map(drop)
    };
    at_every_step(base.path(), &publish, &|site, name| {
        let seen = site.view(anchor);
        assert!(seen == old || seen.releases() == ["1.0.0"], "{name}: {seen:?}");
        match (seen == old, code(publish(site))) {
            (true, "ok") | (false, "proposal-stale") => {}
            (_, other) => panic!("{name}: {other}"),
        }
        let after = site.view(anchor);
        assert_eq!(after.releases(), ["1.0.0"], "{name}");
        assert_eq!(after.version("node"), old.version("node") + 1, "{name}");
        // The proposal is as it was.
        assert!(fs::read(site.root.join("signed/proposal.json")).is_ok(), "{name}");
    });
}
