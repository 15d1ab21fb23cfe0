//! A fault at every write: clients see the old repository or the new one, and the next publication works.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use countersign_base::code::Class;
use countersign_base::{Anchor, Explain as _};
use countersign_publish::PublishError;
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::support::{PRODUCT, Seen, Site, View, code, copy, files, temp, view, with_product};

/// What a fault run may leave: which views are allowed, and how to go on.
struct Case<'a> {
    /// The folder that each run begins with a copy of.
    base: &'a Path,
    /// What is interrupted.
    work: &'a dyn Fn(&mut Site) -> Result<(), PublishError>,
    /// Judges what is left, and goes on.
    judge: &'a dyn Fn(&mut Site, &str),
    /// What was judged already.
    seen: RefCell<Seen>,
}

impl Case<'_> {
    /// Fails each step in each way, then judges what each kind of crash leaves.
    fn run(&self) {
        let steps = {
            let dir = temp();
            copy(self.base, dir.path());
            let disk = FaultyDisk::counting(dir.path());
            (self.work)(&mut Site::on(dir.path(), disk.clone())).unwrap();
            disk.steps()
        };
        assert!(steps > 20, "{steps} steps");
        for at in 0..steps {
            // Torn: half of a write, or all of another step. What dies before a step has done all before it.
            self.fail(at, Fault::Torn, Then::Dies, &Loss::ALL);
            // Errors that are met with the disk going on, so that cleaning up works.
            self.fail(at, Fault::NoSpace, Then::GoesOn, &[Loss::Nothing]);
            self.fail(at, Fault::DoneButFailed, Then::GoesOn, &[Loss::Nothing]);
        }
    }

    fn fail(&self, at: usize, fault: Fault, then: Then, losses: &[Loss]) {
        let dir = temp();
        copy(self.base, dir.path());
        let disk = FaultyDisk::failing(dir.path(), at, fault, then);
        let outcome = (self.work)(&mut Site::on(dir.path(), disk.clone()));
        let name = format!("step {at}, {fault:?}, {then:?}");
        if let Err(error) = outcome {
            assert_eq!(error.code().class(), Class::Unavailable, "{name}: {}: {error}", error.code());
        }
        for loss in losses {
            let left = temp();
            disk.after(*loss, left.path());
            if !self.seen.borrow_mut().is_new(left.path()) {
                continue;
            }
            // No real fsync is needed to judge: the machine stays up from here.
            let mut site = Site::on(left.path(), FaultyDisk::counting(left.path()));
            (self.judge)(&mut site, &format!("{name}, {loss:?}"));
        }
    }
}

#[test]
fn an_interrupted_release_is_seen_whole_or_not_at_all() {
    let base = temp();
    let (mut site, anchor) = with_product(base.path());
    site.release("1.0.0", "one").unwrap();
    let old = site.view(anchor);
    let file = site.file(PRODUCT, b"two");
    let release = |site: &mut Site, version: &str| {
        site.release_files(version, "linux/amd64", std::slice::from_ref(&file)).map(drop)
    };
    let case = Case {
        base: base.path(),
        work: &|site| release(site, "1.1.0"),
        judge: &|site, name| {
            let seen = look(site, anchor, name);
            assert!(seen == old || seen.releases() == ["1.0.0", "1.1.0"], "{name}: {seen:?}");
            // The same command again: it is done now, or was done already and the next release is.
            match (seen == old, code(release(site, "1.1.0"))) {
                (true, "ok") => {}
                (false, "publish-version-exists") => release(site, "1.2.0").unwrap(),
                (_, other) => panic!("{name}: {other}"),
            }
            let after = look(site, anchor, name);
            assert!(after.releases().starts_with(&["1.0.0", "1.1.0"]), "{name}: {after:?}");
            assert!(after.version("snapshot") > seen.version("snapshot"), "{name}");
            nothing_is_left(site, name);
        },
        seen: RefCell::default(),
    };
    case.run();
}

#[test]
fn an_interrupted_init_is_completed_by_the_next() {
    let base = temp();
    {
        // Keys are made past the faulty disk, so they are there before.
        let made = temp();
        let mut site = Site::new(made.path());
        site.init().unwrap();
        fs::remove_dir_all(site.keys().join("witness")).unwrap();
        copy(&site.keys(), &base.path().join("keys"));
    }
    let case = Case {
        base: base.path(),
        work: &|site| site.init().map(drop),
        judge: &|site, name| {
            let anchor = match site.init() {
                Ok(made) => made.anchor,
                Err(error) if error.code().name() == "publish-repo-exists" => Anchor(
                    countersign_crypto::sha256(&fs::read(site.repo().join("metadata/1.root.json")).unwrap()),
                ),
                Err(error) => panic!("{name}: {}: {error}", error.code()),
            };
            look(site, anchor, name);
            site.add_product().unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()));
            assert_eq!(look(site, anchor, name).version(PRODUCT), 1, "{name}");
            nothing_is_left(site, name);
        },
        seen: RefCell::default(),
    };
    case.run();
}

fn look(site: &Site, anchor: Anchor, name: &str) -> View {
    view(&site.repo(), anchor, site.now).unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()))
}

/// No unfinished file stays, and all that is logged is there.
fn nothing_is_left(site: &Site, name: &str) {
    let all = files(&site.repo());
    for path in all.keys() {
        let text = path.to_string_lossy();
        assert!(!text.starts_with("metadata/.tmp-") && !text.contains("staging/"), "{name}: {text} is left");
    }
}

/// Lost between logging and publishing: the numbers are used, and the metadata is there for monitors.
#[test]
fn a_number_that_was_logged_is_never_used_again() {
    let base = temp();
    let (mut site, anchor) = with_product(base.path());
    site.release("1.0.0", "one").unwrap();
    let old = site.view(anchor);
    let checkpoint = site.repo().join("log/checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    // The step after the log's public checkpoint changed is the first of those that place files.
    let steps = {
        let dir = temp();
        copy(base.path(), dir.path());
        let disk = FaultyDisk::counting(dir.path());
        Site::on(dir.path(), disk.clone()).release("1.1.0", "two").unwrap();
        disk.steps()
    };
    let stopped = (0..steps).find_map(|at| {
        let dir = temp();
        copy(base.path(), dir.path());
        let disk = FaultyDisk::failing(dir.path(), at, Fault::Lost, Then::Dies);
        Site::on(dir.path(), disk).release("1.1.0", "two").unwrap_err();
        (fs::read(dir.path().join("repo/log/checkpoint")).unwrap() != before).then_some(dir)
    });
    let dir = stopped.unwrap();
    let mut site = Site::new(dir.path());
    assert_eq!(site.view(anchor), old);
    let released = site.release("1.1.0", "other").unwrap().publication;
    let versions: Vec<_> = released.documents.iter().map(|new| (new.role.as_str(), new.version)).collect();
    // 2 and 3 were logged for the first release, 3 and 4 for the interrupted one.
    assert_eq!(versions, [(PRODUCT, old.version(PRODUCT) + 2), ("snapshot", old.version("snapshot") + 2)]);
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
    for (role, version) in [(PRODUCT, old.version(PRODUCT) + 1), ("snapshot", old.version("snapshot") + 1)] {
        assert!(site.repo().join(format!("metadata/{version}.{role}.json")).is_file(), "{version}.{role}");
    }
}
