//! Refreshing and loading a repository: the honest way, and attacks M01, M02, M04, M07, M08, M16, L02, L11.

use std::fs;

use countersign_base::{Class, Explain, Json};
use countersign_client::{ClientError, MAX_ROOTS_PER_RUN, Want, load, refresh};
use countersign_testkit::sim::{ORIGIN, PRODUCT, Sim, member, object};

use crate::fixture::{Fixture, Served, code, now, tree, versions};

fn changed(trusted: &countersign_client::Trusted) -> Vec<String> {
    trusted.changes.iter().map(|change| format!("{}.{}", change.version, change.role)).collect()
}

/// Makes the timestamp list the current snapshot, and serves both as they are.
fn serve_snapshot_and_timestamp(sim: &mut Sim) {
    let bytes = sim.envelope("snapshot");
    sim.bytes.insert("snapshot".to_owned(), bytes);
    sim.log_and_serve(&["snapshot"]);
    sim.point_timestamp();
    sim.serve_timestamp();
}

#[test]
fn a_refresh_brings_what_is_new_and_an_offline_load_finds_it() {
    let mut fixture = Fixture::trusted();
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
    fixture.release("1.1.0");
    let refreshed = fixture.refresh().unwrap();
    assert_eq!(changed(&refreshed), ["3.timestamp", "3.snapshot", "3.node"]);
    assert_eq!(versions(&refreshed), ["1.0.0", "1.1.0"]);
    let loaded = fixture.load().unwrap();
    assert_eq!(versions(&loaded), ["1.0.0", "1.1.0"]);
    assert!(loaded.changes.is_empty() && loaded.failed.is_empty());
    // The set before is gone, and so are its proofs.
    let mut names: Vec<_> =
        tree(&fixture.state().join("metadata")).into_keys().map(|path| path.display().to_string()).collect();
    names.retain(|name| !name.ends_with(".tlog-proof"));
    assert_eq!(names, ["1.root.json", "1.targets.json", "3.node.json", "3.snapshot.json", "timestamp.json"]);
}

#[test]
fn nothing_new_takes_two_requests_and_writes_nothing() {
    let fixture = Fixture::trusted();
    let before = tree(&fixture.state());
    let served = Served::new(&fixture.sim.files);
    let refreshed = refresh(&fixture.repository(), &served, &Want::All, now()).unwrap();
    assert_eq!(served.asked(), ["metadata/2.root.json", "metadata/timestamp.json"]);
    assert!(refreshed.changes.is_empty());
    assert_eq!(tree(&fixture.state()), before);
}

#[test]
fn a_first_refresh_over_nothing_asks_for_each_file_once() {
    let fixture = Fixture::new();
    let served = Served::new(&fixture.sim.files);
    let location = "file:///repo".parse().unwrap();
    let name = "acme".parse().unwrap();
    fixture.home().add(&name, &location, fixture.sim.anchor(), &served, now()).unwrap();
    let asked = served.asked();
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), asked.len(), "{asked:?}");
}

/// Runs an attack on a fixture that trusts the second version of everything. What it serves is refused with
/// `expected`, again after a restart; what was trusted stays; the honest publisher's next version is taken.
fn refused(expected: &str, attack: impl Fn(&mut Sim)) {
    let mut fixture = Fixture::trusted();
    fixture.sim.publish_next(&["targets"]);
    fixture.release("1.1.0");
    fixture.refresh().unwrap();
    let lineage = fs::read(fixture.state().join("lineage.json")).unwrap();
    attack(&mut fixture.sim);
    for run in ["first", "after a restart"] {
        assert_eq!(code(fixture.refresh()), expected, "{run}");
        assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0", "1.1.0"], "{run}");
        assert_eq!(fs::read(fixture.state().join("lineage.json")).unwrap(), lineage, "{run}");
    }
    fixture.release("1.2.0");
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0", "1.1.0", "1.2.0"]);
}

#[test]
fn m01_a_older_timestamp() {
    let old = Fixture::new().sim.files.remove("metadata/timestamp.json").unwrap();
    refused("tuf-rollback", move |sim| {
        sim.files.insert("metadata/timestamp.json".to_owned(), old.clone());
    });
}

#[test]
fn m01_b_older_snapshot_under_a_newer_timestamp() {
    refused("tuf-rollback", |sim| {
        let mut listed = sim.describe("snapshot");
        object(&mut listed).insert("version".to_owned(), Json::Integer(2));
        sim.point_timestamp();
        member(sim.role("timestamp"), "meta").insert("snapshot.json".to_owned(), listed);
        let bytes = sim.envelope("timestamp");
        sim.bytes.insert("timestamp".to_owned(), bytes);
        sim.serve_timestamp();
    });
}

#[test]
fn m01_c_d_older_targets_or_role_under_a_newer_snapshot() {
    for role in ["targets", PRODUCT] {
        refused("tuf-rollback", |sim| {
            let older = Json::Integer(sim.version(role) - 1);
            let next = sim.version("snapshot") + 1;
            sim.set_version("snapshot", next);
            let listed = member(sim.role("snapshot"), "meta").get_mut(&format!("{role}.json")).unwrap();
            object(listed).insert("version".to_owned(), older);
            serve_snapshot_and_timestamp(sim);
        });
    }
}

#[test]
fn a_refresh_that_is_cut_or_refused_leaves_the_set_as_it_was() {
    let mut fixture = Fixture::trusted();
    let before = tree(&fixture.state());
    fixture.release("1.1.0");
    // The timestamp arrives, the snapshot does not.
    let mut cut = fixture.sim.files.clone();
    cut.remove("metadata/3.snapshot.json");
    assert_eq!(code(fixture.refresh_from(&cut)), "fetch-not-found");
    assert_eq!(tree(&fixture.state()), before);
    // A good snapshot of a product that is not logged.
    let mut refused = fixture.sim.files.clone();
    refused.remove("metadata/3.node.json.tlog-proof");
    assert_eq!(code(fixture.refresh_from(&refused)), "log-proof-missing");
    assert_eq!(tree(&fixture.state()), before, "not even the snapshot, which was good");
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
    let served = Served::new(&fixture.sim.files);
    let refreshed = refresh(&fixture.repository(), &served, &Want::All, now()).unwrap();
    assert_eq!(versions(&refreshed), ["1.0.0", "1.1.0"]);
}

#[test]
fn m02_a_planted_timestamp_and_snapshot_are_never_believed() {
    let mut fixture = Fixture::trusted();
    fixture.release("1.1.0");
    let metadata = fixture.state().join("metadata");
    // A far newer timestamp, signed by nobody; and one by the right role's keys of another repository.
    let planted = fs::read_to_string(metadata.join("timestamp.json")).unwrap();
    let planted = planted.replace("\"version\":2", "\"version\":2000");
    fs::write(metadata.join("timestamp.json"), &planted).unwrap();
    fs::write(metadata.join("2.snapshot.json"), "{}").unwrap();
    assert_eq!(code(fixture.load()), "tuf-threshold");
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0", "1.1.0"]);
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0", "1.1.0"]);
}

#[test]
fn m02_b_a_planted_root_is_reported_and_set_aside() {
    for first_seen_by_a_refresh in [true, false] {
        let fixture = Fixture::trusted();
        // Signed by the attacker's keys alone, which it lists.
        let mut attacker = Sim::new(now());
        attacker.add_key("evil");
        attacker.signers.insert("root".to_owned(), vec!["evil".to_owned()]);
        let (id, key) = (attacker.key_id("evil"), attacker.key_json("evil"));
        member(attacker.role("root"), "keys").insert(id.clone(), key);
        let roles = member(attacker.role("root"), "roles");
        let root = object(roles.get_mut("root").unwrap());
        root.insert("keyids".to_owned(), vec![id].into());
        root.insert("threshold".to_owned(), Json::Integer(1));
        attacker.publish_next(&["root"]);
        for suffix in ["", ".tlog-proof"] {
            let name = format!("metadata/2.root.json{suffix}");
            fs::write(fixture.state().join(&name), &attacker.files[&name]).unwrap();
        }
        let error = if first_seen_by_a_refresh { fixture.refresh() } else { fixture.load() }.unwrap_err();
        assert_eq!(error.code().name(), "tuf-root-chain");
        assert_eq!(error.class(), Class::Refused);
        assert!(matches!(error, ClientError::SetAside { .. }), "{error}");
        assert!(fixture.state().join("refused/2.root.json").exists(), "evidence is kept");
        assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0"]);
        assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
    }
}

#[test]
fn m08_a_a_replaced_first_root_is_not_the_anchors() {
    let fixture = Fixture::trusted();
    let path = fixture.state().join("metadata/1.root.json");
    let other = fs::read_to_string(&path).unwrap().replace("2026-12", "2027-12");
    fs::write(&path, other).unwrap();
    assert_eq!(code(fixture.load()), "trust-anchor-untrusted");
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0"]);
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
}

#[test]
fn m08_d_f_a_repository_that_is_not_the_anchors_is_not_remembered() {
    let fixture = Fixture::new();
    let mut files = fixture.sim.files.clone();
    let root = files.get_mut("metadata/1.root.json").unwrap();
    root.push(b' ');
    assert_eq!(code(fixture.add(&files)), "trust-anchor-untrusted");
    assert!(fixture.home().repositories().unwrap().is_empty());
    assert_eq!(tree(&fixture.folder.path().join("home/repos")).len(), 0, "nothing is left behind");
    fixture.add(&fixture.sim.files).unwrap();
}

/// Gives the timestamp role to another key, or to the same one again.
pub(crate) fn next_root(sim: &mut Sim, timestamp_key: &str) {
    if !sim.keys.contains_key(timestamp_key) {
        sim.add_key(timestamp_key);
    }
    let (id, key) = (sim.key_id(timestamp_key), sim.key_json(timestamp_key));
    member(sim.role("root"), "keys").insert(id.clone(), key);
    let role = member(sim.role("root"), "roles").get_mut("timestamp").unwrap();
    object(role).insert("keyids".to_owned(), vec![id].into());
    sim.signers.insert("timestamp".to_owned(), vec![timestamp_key.to_owned()]);
}

#[test]
fn m03_rotated_online_keys_undo_a_fast_forward() {
    for rotated in [false, true] {
        let mut fixture = Fixture::trusted();
        let honest = (fixture.sim.version("timestamp"), fixture.sim.version("snapshot"));
        // Stolen online keys drive both versions up, and the client follows.
        fixture.sim.set_version("timestamp", i64::from(i32::MAX) - 1);
        fixture.sim.set_version("snapshot", i64::from(i32::MAX) - 1);
        fixture.sim.publish_next(&[]);
        fixture.refresh().unwrap();
        // The publisher goes on from the last honest numbers under a new root.
        next_root(&mut fixture.sim, if rotated { "timestamp-2" } else { "timestamp" });
        fixture.sim.set_version("timestamp", honest.0);
        fixture.sim.set_version("snapshot", honest.1);
        fixture.sim.add_release("1.1.0", "node", b"two");
        fixture.sim.publish_next(&["root", PRODUCT]);
        if !rotated {
            assert_eq!(code(fixture.refresh()), "tuf-rollback", "same keys: it could be the thief again");
            continue;
        }
        // Also if the run that saw the new root was cut short.
        let mut cut = fixture.sim.files.clone();
        cut.remove("metadata/timestamp.json");
        assert_eq!(code(fixture.refresh_from(&cut)), "fetch-not-found");
        assert_eq!(code(fixture.load()), "state-damaged");
        assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0", "1.1.0"]);
        assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0", "1.1.0"]);
    }
}

#[test]
fn m04_what_is_kept_expires_too() {
    let fixture = Fixture::trusted();
    let day = |days| now().plus_days(days);
    let repository = fixture.repository();
    assert_eq!(code(load(&repository, &Want::All, day(29))), "ok");
    assert_eq!(code(load(&repository, &Want::All, day(30))), "tuf-expired", "at the very second");
    let served = Served::new(&fixture.sim.files);
    assert_eq!(code(refresh(&repository, &served, &Want::All, day(31))), "tuf-expired");
    assert_eq!(code(load(&repository, &Want::All, now())), "ok", "nothing was deleted");
}

#[test]
fn m05_a_clock_behind_what_witnesses_proved() {
    let fixture = Fixture::trusted();
    let past = "2025-10-17T14:00:00Z".parse().unwrap();
    assert_eq!(code(load(&fixture.repository(), &Want::All, past)), "clock-behind-evidence");
    let served = Served::new(&fixture.sim.files);
    assert_eq!(code(refresh(&fixture.repository(), &served, &Want::All, past)), "clock-behind-evidence");
    assert_eq!(code(fixture.load()), "ok", "nothing was set aside");
}

#[test]
fn m07_e_a_long_walk_stops_at_the_cap_and_goes_on_next_time() {
    let mut fixture = Fixture::trusted();
    let target = MAX_ROOTS_PER_RUN + 5;
    for _ in 0..target {
        let next = fixture.sim.version("root") + 1;
        fixture.sim.set_version("root", next);
        let bytes = fixture.sim.envelope("root");
        fixture.sim.bytes.insert("root".to_owned(), bytes);
        fixture.sim.log_and_serve(&["root"]);
    }
    assert_eq!(code(fixture.refresh()), "limit-exceeded");
    let kept = |version: usize| fixture.state().join(format!("metadata/{version}.root.json")).exists();
    assert!(kept(MAX_ROOTS_PER_RUN + 1) && !kept(MAX_ROOTS_PER_RUN + 2));
    let refreshed = fixture.refresh().unwrap();
    assert_eq!(refreshed.changes.len(), 5);
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
}

#[test]
fn m07_what_was_verified_before_a_bad_root_is_kept() {
    let mut fixture = Fixture::trusted();
    fixture.sim.publish_next(&["root"]);
    let honest = fixture.sim.files.clone();
    fixture.sim.signers.insert("root".to_owned(), vec!["root-1".to_owned()]);
    fixture.sim.publish_next(&["root"]);
    assert_eq!(code(fixture.refresh()), "tuf-threshold");
    assert!(fixture.state().join("metadata/2.root.json").exists());
    assert!(!fixture.state().join("metadata/3.root.json").exists());
    assert_eq!(code(fixture.refresh_from(&honest)), "ok");
}

#[test]
fn a_new_policy_asks_for_new_proofs_of_what_is_kept() {
    let mut fixture = Fixture::trusted();
    fixture.sim.add_key("witness-2");
    fixture.sim.witnesses = vec![("witness.example/w2".to_owned(), "witness-2".to_owned())];
    let log = fixture.sim.policy();
    let named = countersign_testkit::sim::log::Named {
        name: "witness.example/w2",
        key: &fixture.sim.keys["witness-2"],
    };
    let policy = [log.lines().next().unwrap(), &format!("witness w2 {}", named.vkey(4)), "quorum w2"];
    // Root 2 changes the policy; its own proof must still meet the old one.
    member(fixture.sim.role("root"), "x-countersign").insert("policy".to_owned(), policy.to_vec().into());
    fixture.sim.witnesses.push(("witness.example/w1".to_owned(), "witness".to_owned()));
    fixture.sim.publish_next(&["root"]);
    // Fresh proofs for what did not change.
    let size = fixture.sim.log.size();
    let checkpoint = fixture.sim.checkpoint(&fixture.sim.log, size);
    let at = |role: &str| {
        let leaf = fixture.sim.leaf(role, &fixture.sim.bytes[role]);
        fixture.sim.log.entries.iter().position(|entry| *entry == leaf).unwrap() as u64
    };
    let before = fixture.sim.files.clone();
    for (role, at) in ["targets", PRODUCT].map(|role| (role, at(role))) {
        let proof = fixture.sim.log.proof(at, size, &checkpoint);
        let name = format!("metadata/{}.{role}.json.tlog-proof", fixture.sim.version(role));
        fixture.sim.files.insert(name, proof);
    }
    let error = fixture.refresh_from(&before).unwrap_err();
    assert_eq!(error.code().name(), "log-quorum-not-met", "old proofs do not meet it: {error}");
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0"]);
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
}

#[test]
fn l02_a_log_that_went_back_is_refused_also_after_a_restart() {
    let mut fixture = Fixture::trusted();
    let kept = fs::read(fixture.state().join("lineage.json")).unwrap();
    let before = fixture.load().unwrap().set.lineage().newest_size(ORIGIN);
    fixture.sim.log.entries.truncate(usize::try_from(before).unwrap() - 2);
    fixture.sim.publish_next(&[]);
    for _ in 0..2 {
        assert_eq!(code(fixture.refresh()), "log-rollback");
        assert_eq!(fs::read(fixture.state().join("lineage.json")).unwrap(), kept);
    }
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
}

#[test]
fn l02_a_forked_log_is_refused() {
    let mut fixture = Fixture::trusted();
    let kept = fs::read(fixture.state().join("lineage.json")).unwrap();
    // The log forgets one entry, puts another in its place, and grows on from there.
    fixture.sim.log.entries[1] = b"another history".to_vec();
    fixture.release("1.1.0");
    assert_eq!(code(fixture.refresh()), "log-consistency-invalid");
    assert_eq!(fs::read(fixture.state().join("lineage.json")).unwrap(), kept);
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
}

#[test]
fn l11_wrong_and_missing_tiles_are_named() {
    let mut fixture = Fixture::trusted();
    for _ in 0..260 {
        fixture.sim.publish_next(&[]);
    }
    fixture.release("1.1.0");
    let size = fixture.sim.log.size();
    let tiles: Vec<String> =
        fixture.sim.log.tiles(size).into_keys().filter(|path| !path.contains("entries")).collect();
    assert!(tiles.len() >= 3, "{tiles:?}");
    let mut named = 0;
    for tile in &tiles {
        let path = format!("log/{tile}");
        let mut wrong = fixture.sim.files.clone();
        wrong.get_mut(&path).unwrap()[20] ^= 1;
        if let Err(error) = fixture.refresh_from(&wrong) {
            assert_eq!(error.code().name(), "log-tile-mismatch");
            assert!(error.to_string().contains(tile.as_str()), "{error}");
            named += 1;
        }
        assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"], "{tile}");
        let mut missing = fixture.sim.files.clone();
        missing.remove(&path);
        assert_eq!(code(fixture.refresh_from(&missing)), "log-tile-missing", "{tile}");
    }
    assert_eq!(named, tiles.len());
    // A partial tile may be gone once the full one is there.
    let mut pruned = fixture.sim.files.clone();
    let partial = tiles.iter().find(|tile| tile.starts_with("tile/0/001.p/")).unwrap();
    let mut full = pruned.remove(&format!("log/{partial}")).unwrap();
    full.resize(8192, 7);
    pruned.insert("log/tile/0/001".to_owned(), full);
    assert_eq!(versions(&fixture.refresh_from(&pruned).unwrap()), ["1.0.0", "1.1.0"]);
}

#[test]
fn signed_but_not_logged_is_refused() {
    let mut fixture = Fixture::trusted();
    fixture.release("1.1.0");
    for name in ["3.snapshot.json", "3.node.json"] {
        let mut files = fixture.sim.files.clone();
        files.remove(&format!("metadata/{name}.tlog-proof"));
        assert_eq!(code(fixture.refresh_from(&files)), "log-proof-missing", "{name}");
    }
    assert_eq!(versions(&fixture.load().unwrap()), ["1.0.0"]);
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0", "1.1.0"]);
}

/// Adds a second delegated role with the first one's keys, and publishes it.
fn add_role(sim: &mut Sim, name: &str) {
    let roles = member(sim.role("targets"), "delegations").get_mut("roles").unwrap();
    let Json::Array(roles) = roles else { panic!("roles are a list") };
    let mut role = roles[0].clone();
    object(&mut role).insert("name".to_owned(), name.into());
    object(&mut role).insert("paths".to_owned(), vec!["odd/*/*/*"].into());
    roles.push(role);
    let mut signed = sim.signed[PRODUCT].clone();
    object(&mut signed).insert("targets".to_owned(), Json::object::<String>([]));
    sim.signed.insert(name.to_owned(), signed);
    sim.signers.insert(name.to_owned(), sim.signers[PRODUCT].clone());
    sim.set_version(name, 0);
    sim.publish_next(&["targets", name]);
}

#[test]
fn m16_an_odd_role_name_stays_in_its_folder() {
    let mut fixture = Fixture::trusted();
    add_role(&mut fixture.sim, "../../odd");
    for suffix in ["", ".tlog-proof"] {
        let bytes = fixture.sim.files.remove(&format!("metadata/1.../../odd.json{suffix}")).unwrap();
        fixture.sim.files.insert(format!("metadata/1...%2F..%2Fodd.json{suffix}"), bytes);
    }
    let refreshed = fixture.refresh().unwrap();
    assert!(refreshed.set.tuf().role("../../odd").is_some());
    assert!(fixture.load().unwrap().set.tuf().role("../../odd").is_some());
    let outside: Vec<_> =
        tree(fixture.folder.path()).into_keys().filter(|path| path.ends_with("odd.json")).collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn m16_a_folder_of_the_state_that_is_a_link_is_not_written_through() {
    let mut fixture = Fixture::trusted();
    fixture.release("1.1.0");
    let (metadata, outside) = (fixture.state().join("metadata"), fixture.folder.path().join("outside"));
    fs::rename(&metadata, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &metadata).unwrap();
    let before = tree(&outside);
    assert_eq!(code(fixture.refresh()), "state-damaged");
    assert!(tree(&outside) == before, "a refresh wrote outside of the state");
    // A file that is refused is not moved out of the state either.
    fs::remove_file(&metadata).unwrap();
    fs::rename(&outside, &metadata).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, fixture.state().join("refused")).unwrap();
    fs::write(metadata.join("1.root.json"), "{}").unwrap();
    assert_eq!(code(fixture.load()), "trust-anchor-untrusted");
    assert!(tree(&outside).is_empty(), "a refused file was moved out of the state");
}

#[test]
fn m16_a_link_planted_in_the_state_is_not_followed() {
    let fixture = Fixture::trusted();
    let path = fixture.state().join("metadata/timestamp.json");
    let outside = fixture.folder.path().join("outside");
    fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    assert_eq!(code(fixture.load()), "state-damaged");
}

#[test]
fn one_products_trouble_is_not_anothers() {
    let mut fixture = Fixture::trusted();
    add_role(&mut fixture.sim, "other");
    assert_eq!(versions(&fixture.refresh().unwrap()), ["1.0.0"]);
    fixture.sim.signers.insert("other".to_owned(), vec!["node-1".to_owned()]);
    fixture.sim.publish_next(&["other"]);
    assert_eq!(code(fixture.refresh()), "tuf-threshold", "asked for all");
    let served = Served::new(&fixture.sim.files);
    let products = [PRODUCT.parse().unwrap()];
    let want = Want::Products(&products);
    let refreshed = refresh(&fixture.repository(), &served, &want, now()).unwrap();
    assert_eq!(refreshed.failed.len(), 1);
    assert_eq!(
        (refreshed.failed[0].0.as_str(), refreshed.failed[0].1.code().name()),
        ("other", "tuf-threshold")
    );
    assert_eq!(versions(&refreshed), ["1.0.0"]);
    fixture.sim.signers.insert("other".to_owned(), vec!["node-1".to_owned(), "node-2".to_owned()]);
    fixture.sim.publish_next(&["other"]);
    let served = Served::new(&fixture.sim.files);
    let refreshed = refresh(&fixture.repository(), &served, &want, now()).unwrap();
    assert!(refreshed.failed.is_empty() && refreshed.set.tuf().role("other").is_some(), "still known");
}

#[test]
fn only_the_products_asked_for_are_fetched() {
    let mut fixture = Fixture::trusted();
    add_role(&mut fixture.sim, "other");
    let served = Served::new(&fixture.sim.files);
    let want = Want::Products(&[]);
    let refreshed = refresh(&fixture.repository(), &served, &want, now()).unwrap();
    assert!(!served.asked().iter().any(|path| path.contains("other")));
    assert_eq!(versions(&refreshed), ["1.0.0"], "what is known comes along");
    let other = ["other".parse().unwrap()];
    let want = Want::Products(&other);
    let refreshed = refresh(&fixture.repository(), &served, &want, now()).unwrap();
    assert!(refreshed.set.tuf().role("other").is_some());
    assert_eq!(
        served.asked(),
        [
            "metadata/2.root.json",
            "metadata/timestamp.json",
            "metadata/1.other.json",
            "metadata/1.other.json.tlog-proof"
        ]
    );
}

#[test]
fn damaged_records_are_told_from_attacks() {
    for (name, content, expected) in [
        ("lineage.json", Some("{}"), "state-damaged"),
        ("lineage.json", None, "state-damaged"),
        ("metadata/timestamp.json", None, "state-damaged"),
        ("metadata/2.snapshot.json", None, "state-damaged"),
        ("metadata/2.snapshot.json.tlog-proof", None, "log-proof-missing"),
        ("metadata/1.targets.json", None, "state-damaged"),
        ("metadata/1.root.json", None, "state-damaged"),
    ] {
        let fixture = Fixture::trusted();
        let path = fixture.state().join(name);
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert_eq!(code(fixture.load()), expected, "{name}");
        // Without its memory the client cannot tell whether the log went back; all else is fetched anew.
        let healed = if name == "lineage.json" { "state-damaged" } else { "ok" };
        assert_eq!(code(fixture.refresh()), healed, "{name}");
    }
}
