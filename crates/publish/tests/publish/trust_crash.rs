//! A fault at every write of a change of root: clients of both roots are served, and the next renewal completes it.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use countersign_base::code::Class;
use countersign_base::{Anchor, Explain as _};
use countersign_keys::Stage;
use countersign_publish::{Intent, PolicyEdit, Proposal};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::support::{Seen, Site, code, copy, files, view, view_up_to, with_product};
use crate::trust_support::{Client, lose, new_key, role_change, signed, temp};

/// A repository with a release, and a signed proposal that changes it.
struct Case {
    base: tempfile::TempDir,
    anchor: Anchor,
    proposal: std::path::PathBuf,
    /// Whether the old online keys are at hand, so that no client is ever refused.
    gapless: bool,
    /// What was judged already.
    seen: RefCell<Seen>,
}

/// A new log key and a new timestamp key in one root.
fn both_keys(gapless: bool) -> Case {
    let base = temp();
    let (mut site, anchor) = with_product(base.path());
    site.release("1.0.0", "one").unwrap();
    Client::new(&site, anchor, "home");
    let log = new_key(&site, "log-2", Stage::Log);
    let timestamp = new_key(&site, "timestamp-2", Stage::Timestamp);
    let policy = site.act(|publisher| publisher.policy()).unwrap();
    let edit = PolicyEdit {
        add_log_keys: vec![log],
        remove_log_keys: vec![policy.logs()[0].key.public_key().clone()],
        ..PolicyEdit::default()
    };
    let mut root = role_change("timestamp", 1, &[(&timestamp, "ci")]);
    root.policy = Some(edit.apply(&policy).unwrap());
    if !gapless {
        lose(&site, "timestamp");
    }
    let proposal = signed(&mut site, &Intent::Root(root)).unwrap().path().to_owned();
    let proposal = proposal.strip_prefix(base.path()).unwrap().to_owned();
    Case { base, anchor, proposal, gapless, seen: RefCell::default() }
}

impl Case {
    fn publish(&self, site: &mut Site) -> Result<(), countersign_publish::PublishError> {
        let proposal = Proposal::open(&site.root.join(&self.proposal), site.now)?;
        site.act(|publisher| publisher.publish_proposal(&proposal)).map(drop)
    }

    fn run(&self) {
        let steps = {
            let dir = temp();
            copy(self.base.path(), dir.path());
            let disk = FaultyDisk::counting(dir.path());
            self.publish(&mut Site::on(dir.path(), disk.clone())).unwrap();
            disk.steps()
        };
        assert!(steps > 30, "{steps} steps");
        let mut completed = 0;
        for at in 0..steps {
            completed += self.fail(at, Fault::Torn, Then::Dies, &Loss::ALL);
            if at % 5 == 0 {
                completed += self.fail(at, Fault::NoSpace, Then::GoesOn, &[Loss::Nothing]);
            }
        }
        assert!(completed > 3, "the renewal had {completed} times something to complete");
    }

    /// How often there was something to complete.
    fn fail(&self, at: usize, fault: Fault, then: Then, losses: &[Loss]) -> usize {
        let dir = temp();
        copy(self.base.path(), dir.path());
        let disk = FaultyDisk::failing(dir.path(), at, fault, then);
        let name = format!("step {at}, {fault:?}, {then:?}");
        if let Err(error) = self.publish(&mut Site::on(dir.path(), disk.clone())) {
            assert_eq!(error.code().class(), Class::Unavailable, "{name}: {}: {error}", error.code());
        }
        let judge = |loss: &Loss| {
            let left = temp();
            disk.after(*loss, left.path());
            if !self.seen.borrow_mut().is_new(left.path()) {
                return 0;
            }
            usize::from(self.judge(left.path(), &format!("{name}, {loss:?}")))
        };
        losses.iter().map(judge).sum()
    }

    /// Judges what is left and goes on; whether there was something to complete.
    fn judge(&self, root: &Path, name: &str) -> bool {
        let mut site = Site::on(root, FaultyDisk::counting(root));
        let shown = site.repo().join("metadata/2.root.json").exists();
        if self.gapless {
            self.look(&site, name);
        } else if let Err(error) = view(&site.repo(), self.anchor, site.now) {
            // The price of a lost key, and only while the new root is there and its timestamp is not.
            assert!(shown, "{name}: {error}");
            assert_eq!(error.code().name(), "tuf-key-revoked", "{name}: {error}");
        }
        let blocked = match site.release("1.1.0", "two") {
            Ok(_) => false,
            Err(error) if error.code().name() == "publish-unfinished" => true,
            // The old timestamp key is lost, and the new root is not in the log: nothing can be signed.
            Err(error) if error.code().name() == "publish-threshold-not-met" => {
                assert!(!self.gapless && !shown, "{name}: {error}");
                false
            }
            Err(error) => panic!("{name}: {}: {error}", error.code()),
        };
        if blocked {
            site.renew().unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()));
            assert!(site.repo().join("metadata/2.root.json").exists(), "{name}");
            site.release("1.1.0", "two").unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()));
        } else if !site.repo().join("metadata/2.root.json").exists() {
            // Nothing of it was logged. A release came between only where one could.
            if let Err(error) = self.publish(&mut site) {
                panic!("{name}: {}: {error}", error.code());
            }
        }
        assert_eq!(view(&site.repo(), self.anchor, site.now).unwrap().version("root"), 2, "{name}");
        self.old_client(&site, name);
        nothing_is_left(&site, name);
        blocked
    }

    /// A client that is new, one that knows the old root and looks for the next, and one that has just looked and not
    /// found it: none is refused.
    fn look(&self, site: &Site, name: &str) {
        let refused = |error: countersign_verify::VerifyError| panic!("{name}: {}: {error}", error.code());
        view(&site.repo(), self.anchor, site.now).unwrap_or_else(refused);
        view_up_to(&site.repo(), self.anchor, site.now, 1).unwrap_or_else(refused);
        self.old_client(site, name);
    }

    fn old_client(&self, site: &Site, name: &str) {
        let home = temp();
        copy(&self.base.path().join("home"), home.path());
        let client = Client::at(home.path());
        assert_eq!(client.code(&site.repo(), site.now), "ok", "{name}");
    }
}

fn nothing_is_left(site: &Site, name: &str) {
    for path in files(&site.repo()).keys() {
        let text = path.to_string_lossy();
        assert!(!text.starts_with("metadata/.tmp-") && !text.contains("staging/"), "{name}: {text} is left");
    }
}

#[test]
fn an_interrupted_change_of_root_refuses_no_client_and_is_completed() {
    both_keys(true).run();
}

#[test]
fn without_the_old_key_an_interrupted_change_of_root_is_completed() {
    both_keys(false).run();
}

/// What is logged and not complete is nobody's to change.
#[test]
fn an_unfinished_root_is_not_published_around() {
    let case = both_keys(true);
    let steps = {
        let dir = temp();
        copy(case.base.path(), dir.path());
        let disk = FaultyDisk::counting(dir.path());
        case.publish(&mut Site::on(dir.path(), disk.clone())).unwrap();
        disk.steps()
    };
    let unfinished = (0..steps).find_map(|at| {
        let dir = temp();
        copy(case.base.path(), dir.path());
        let disk = FaultyDisk::failing(dir.path(), at, Fault::Lost, Then::Dies);
        case.publish(&mut Site::on(dir.path(), disk)).unwrap_err();
        let mut site = Site::new(dir.path());
        let error = site.release("1.1.0", "two").err()?;
        assert_eq!(error.code().name(), "publish-unfinished");
        assert!(error.fix().unwrap().contains("countersign renew"));
        Some(dir)
    });
    let dir = unfinished.unwrap();
    let mut site = Site::new(dir.path());
    let before = fs::read(site.repo().join("metadata/timestamp.json")).unwrap();
    assert_eq!(site.add_product().unwrap_err().code().class(), Class::Usage, "it is there already");
    assert_eq!(fs::read(site.repo().join("metadata/timestamp.json")).unwrap(), before);
    // Also when it has expired in the meantime: only then can people renew what has.
    let late = temp();
    copy(dir.path(), late.path());
    let mut late = Site { now: site.now.plus_days(400), ..Site::new(late.path()) };
    late.renew().unwrap();
    assert!(late.repo().join("metadata/2.root.json").exists());
    assert_eq!(code(late.release("1.1.0", "two")), "tuf-expired");
    // The same proposal completes it as well as a renewal does.
    case.publish(&mut site).unwrap();
    assert_eq!(site.view(case.anchor).version("root"), 2);
}
