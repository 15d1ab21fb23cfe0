//! The home: adding, listing, forgetting; damage; crashes at every write.

use std::fs;

use countersign_base::Explain;
use countersign_base::name::RepoName;
use countersign_client::{Home, Location, Want, load, refresh};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};

use crate::fixture::{Fixture, Served, code, now, scratch, tree, versions};
use crate::refreshing::next_root;

#[test]
fn repositories_are_added_listed_and_forgotten() {
    let fixture = Fixture::new();
    let home = fixture.home();
    let name: RepoName = "acme".parse().unwrap();
    assert!(home.repositories().unwrap().is_empty());
    assert_eq!(code(home.repository(&name)), "trust-repo-unknown");
    assert_eq!(code(home.remove(&name)), "trust-repo-unknown");
    let (added, trusted) = fixture.add(&fixture.sim.files).unwrap();
    assert_eq!(versions(&trusted), ["1.0.0"]);
    assert_eq!((added.anchor(), added.added()), (fixture.sim.anchor(), now()));
    assert_eq!(added.locations()[0].to_string(), "file:///repo");
    let listed = home.repositories().unwrap();
    assert_eq!(listed.iter().map(|repository| repository.name().as_str()).collect::<Vec<_>>(), ["acme"]);
    // Again the same: no harm. Another under its name: refused.
    fixture.add(&fixture.sim.files).unwrap();
    let other: Location = "file:///other".parse().unwrap();
    let served = Served::new(&fixture.sim.files);
    let clash = home.add(&name, &other, fixture.sim.anchor(), &served, now());
    assert_eq!(code(clash), "trust-repo-exists");
    home.remove(&name).unwrap();
    assert!(home.repositories().unwrap().is_empty());
    assert_eq!(tree(home.path()).len(), 0);
    fixture.add(&fixture.sim.files).unwrap();
}

#[test]
fn a_damaged_record_is_named_and_can_be_forgotten() {
    for content in ["", "{}", "{\"apiVersion\":\"0.0.2\"}", &"x".repeat(20_000)] {
        let fixture = Fixture::trusted();
        fs::write(fixture.state().join("repo.json"), content).unwrap();
        let name: RepoName = "acme".parse().unwrap();
        let error = fixture.home().repository(&name).unwrap_err();
        assert_eq!(error.code().name(), "state-damaged");
        assert!(error.to_string().contains("repo.json"), "{error}");
        assert_eq!(code(fixture.home().repositories()), "state-damaged");
        fixture.home().remove(&name).unwrap();
        fixture.add(&fixture.sim.files).unwrap();
    }
}

#[test]
fn a_record_that_is_no_file_is_damaged() {
    let fixture = Fixture::trusted();
    let record = fixture.state().join("repo.json");
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert_eq!(code(fixture.home().repositories()), "state-damaged");
}

#[test]
fn a_home_that_cannot_be_written_is_said() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("home"), "a file").unwrap();
    assert_eq!(code(fixture.add(&fixture.sim.files)), "storage-failed");
}

#[test]
fn two_refreshes_at_once_take_turns() {
    let mut fixture = Fixture::trusted();
    fixture.release("1.1.0");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| code(fixture_refresh(&fixture)))).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), "ok");
        }
    });
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0", "1.1.0"]);
}

fn fixture_refresh(
    fixture: &Fixture,
) -> Result<countersign_client::Trusted, countersign_client::ClientError> {
    let repository = Home::new(fixture.folder.path().join("home")).repository(&"acme".parse().unwrap())?;
    refresh(&repository, &Served::new(&fixture.sim.files), &Want::All, now())
}

/// Runs `work` on a home with a crash at each of its steps, then `check` on what each kind of crash leaves.
fn crash_everywhere(fixture: &Fixture, work: impl Fn(&Home) -> &'static str, check: impl Fn(&Home, &str)) {
    let start = fixture.folder.path().join("start");
    let original = fixture.folder.path().join("home");
    let fresh = || {
        let _ = fs::remove_dir_all(&start);
        fs::create_dir_all(start.join("home")).unwrap();
        if original.exists() {
            copy(&original, &start.join("home"));
        }
        start.join("home")
    };
    let home = fresh();
    let counting = FaultyDisk::counting(&start);
    assert_eq!(work(&Home::on(&home, counting.clone())), "ok");
    let steps = counting.steps();
    assert!(steps > 10, "{steps}");
    for at in 0..steps {
        // With a process that dies, a full disk is a lost write, and a failure after the fact a torn one.
        for fault in [Fault::Lost, Fault::Torn] {
            let home = fresh();
            let disk = FaultyDisk::failing(&start, at, fault, Then::Dies);
            let result = work(&Home::on(&home, disk.clone()));
            for loss in Loss::ALL {
                let left = scratch();
                disk.after(loss, left.path());
                check(&Home::new(left.path().join("home")), &format!("{at} {fault:?} {loss:?} {result}"));
            }
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for (path, bytes) in tree(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn m02_c_a_crash_during_a_refresh_leaves_the_old_or_the_new_set() {
    let mut fixture = Fixture::trusted();
    fixture.sim.publish_next(&["root"]);
    fixture.release("1.1.0");
    let served = Served::new(&fixture.sim.files);
    let name: RepoName = "acme".parse().unwrap();
    crash_everywhere(
        &fixture,
        |home| code(home.repository(&name).and_then(|held| refresh(&held, &served, &Want::All, now()))),
        |home, crash| {
            let repository = home.repository(&name).unwrap_or_else(|error| panic!("{crash}: {error}"));
            let loaded =
                load(&repository, &Want::All, now()).unwrap_or_else(|error| panic!("{crash}: {error}"));
            let found = versions(&loaded);
            assert!(found == ["1.0.0"] || found == ["1.0.0", "1.1.0"], "{crash}: {found:?}");
            let refreshed = refresh(&repository, &served, &Want::All, now());
            let refreshed = refreshed.unwrap_or_else(|error| panic!("{crash}: {error}"));
            assert_eq!(versions(&refreshed), ["1.0.0", "1.1.0"], "{crash}");
        },
    );
}

#[test]
fn m02_c_a_crash_while_keys_are_rotated_is_mended_by_the_next_refresh() {
    let mut fixture = Fixture::trusted();
    next_root(&mut fixture.sim, "timestamp-2");
    fixture.sim.publish_next(&["root"]);
    fixture.release("1.1.0");
    let served = Served::new(&fixture.sim.files);
    let name: RepoName = "acme".parse().unwrap();
    let run = |home: &Home| refresh(&home.repository(&name)?, &served, &Want::All, now());
    crash_everywhere(
        &fixture,
        |home| code(run(home)),
        |home, crash| {
            let refreshed = run(home).unwrap_or_else(|error| panic!("{crash}: {error}"));
            assert_eq!(versions(&refreshed), ["1.0.0", "1.1.0"], "{crash}");
        },
    );
}

#[test]
fn m02_c_a_crash_while_adding_leaves_nothing_or_all() {
    let fixture = Fixture::new();
    let served = Served::new(&fixture.sim.files);
    let name: RepoName = "acme".parse().unwrap();
    let location: Location = "file:///repo".parse().unwrap();
    let anchor = fixture.sim.anchor();
    let add = |home: &Home| home.add(&name, &location, anchor, &served, now());
    crash_everywhere(
        &fixture,
        |home| code(add(home)),
        |home, crash| {
            for repository in home.repositories().unwrap_or_else(|error| panic!("{crash}: {error}")) {
                assert_eq!(versions(&load(&repository, &Want::All, now()).unwrap()), ["1.0.0"], "{crash}");
            }
            add(home).unwrap_or_else(|error| panic!("{crash}: {error} {}", error.code()));
        },
    );
}
