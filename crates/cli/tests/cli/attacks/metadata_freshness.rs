//! Rows M: old metadata, expired metadata, wrong clocks, poisoned state. Each run is a new process, so all that
//! guards against going back comes from the machine's disk.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use countersign_base::json::Json;
use countersign_base::{Timestamp, code};
use countersign_testkit::peers;
use countersign_testkit::sim::{Sim, member, object};

use super::forge::{
    case, publish_edited, publish_forged, publish_sealed, refuse_all, refuse_all_of, refuse_case, set,
};
use super::{honest_update, installed_from};
use crate::lab::{Lab, REPO, Run, first_release, now, program, second_release};

/// The same instant, this many seconds earlier.
fn before(time: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_unix(time.as_unix() - seconds).unwrap()
}

/// Takes over a role's file from an older state of the repository.
fn bring_back(sim: &mut Sim, older: &Sim, role: &str) {
    sim.signed.insert(role.to_owned(), older.signed[role].clone());
    sim.bytes.insert(role.to_owned(), older.bytes[role].clone());
}

#[test]
fn m01_nothing_older_than_what_was_trusted() {
    let old = Sim::new(now());
    let mut first = old.clone();
    first.add_release("1.0.0", "node", &program("1.0.0"));
    first.publish_next(&["targets", "node"]);
    let listed_back = |role: &'static str| {
        let old = old.clone();
        move |sim: &mut Sim| {
            let next = sim.version("snapshot");
            bring_back(sim, &old, role);
            sim.set_version("snapshot", next);
            sim.point_snapshot();
            sim.log_and_serve(&["snapshot"]);
            sim.point_timestamp();
            sim.serve_timestamp();
        }
    };
    refuse_all_of(
        &first,
        code::TUF_ROLLBACK,
        &[
            case("(a) all of the repository as it was", |sim| sim.files.clone_from(&old.files)),
            case("(a) only the timestamp", |sim| {
                sim.files.insert("metadata/timestamp.json".to_owned(), old.bytes["timestamp"].clone());
            }),
            case("(b) a new timestamp lists the old snapshot", |sim| {
                bring_back(sim, &old, "snapshot");
                sim.point_timestamp();
                sim.serve_timestamp();
            }),
            case("(b) the old snapshot in place of the listed one", |sim| {
                publish_forged(sim, "snapshot", |_| {}, |sim| sim.envelope("snapshot"));
                let name = format!("metadata/{}.snapshot.json", sim.version("snapshot"));
                sim.files.insert(name, old.bytes["snapshot"].clone());
            }),
            case("(c) a new snapshot lists the old targets", listed_back("targets")),
            case("(c) the old targets in place of the listed ones", |sim| {
                publish_edited(sim, "targets", |_| {});
                sim.files.insert("metadata/3.targets.json".to_owned(), old.bytes["targets"].clone());
            }),
            case("(d) a new snapshot lists node's old file", listed_back("node")),
            case("(d) node's old file in place of the listed one", |sim| {
                sim.publish_next(&["node"]);
                sim.files.insert("metadata/3.node.json".to_owned(), old.bytes["node"].clone());
            }),
        ],
    );
}

#[test]
fn m02_a_refused_root_on_disk_is_set_aside() {
    // (a), refused bytes that were cached before they were checked: no refused update leaves a byte, in all rows.
    // (b) the forged root is on disk, as a client would have left it that stores before it verifies.
    let first = first_release();
    let lab = installed_from(&first);
    let mut forged = first.clone();
    forged.add_key("evil");
    publish_sealed(&mut forged, "root", |sim| sim.envelope_by("root", &["evil", "node-1"]));
    let mut honest = second_release(&first);
    honest.publish_next(&["root", "node"]);
    // Signed by enough keys of its own, by none of root 1.
    let mut own = first.clone();
    let ids = vec![own.key_id("node-1"), own.key_id("node-2")];
    let keys = [own.key_json("node-1"), own.key_json("node-2")];
    publish_forged(
        &mut own,
        "root",
        |sim| {
            member(sim.role("root"), "keys").extend(ids.iter().cloned().zip(keys));
            set(member(sim.role("root"), "roles").get_mut("root").unwrap(), "keyids", ids.clone());
        },
        |sim| sim.envelope_by("root", &["node-1", "node-2"]),
    );
    let metadata = lab.path("home/repos").join(REPO).join("metadata");
    for (name, forged, expected) in
        [("unsigned", &forged, code::TUF_THRESHOLD), ("by its own keys", &own, code::TUF_ROOT_CHAIN)]
    {
        let before = lab.state();
        for suffix in ["", ".tlog-proof"] {
            let file = format!("2.root.json{suffix}");
            fs::write(metadata.join(&file), &forged.files[&format!("metadata/{file}")]).unwrap();
        }
        lab.serve(&first);
        let run = lab.node("update");
        assert_eq!(run.json()["code"], expected.name(), "{name}: {}", run.text());
        run.refused(expected);
        assert!(!metadata.join("2.root.json").exists(), "{name}: it would be read again");
        assert_eq!(lab.installed(), "node 1.0.0\n");
        fs::remove_dir_all(lab.path("home/repos").join(REPO).join("refused")).unwrap();
        assert_eq!(lab.state(), before, "{name}: nothing else has changed");
    }
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m02_killed_anywhere_trusts_nothing_that_was_not_verified() {
    // (c) At every write: tests of the client on a disk that fails. Here the process is killed for real.
    let first = first_release();
    let lab = installed_from(&first);
    let mut honest = first.clone();
    let root = lab.path("root");
    let args = ["update", "acme/node", "--root", root.to_str().unwrap()];
    let kill_after = |milliseconds| {
        let mut child = lab.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for round in 1..=10_u64 {
        let (before, old) = (format!("1.{}.0", round - 1), format!("node 1.{}.0\n", round - 1));
        let (version, new) = (format!("1.{round}.0"), format!("node 1.{round}.0\n"));
        assert_eq!(lab.installed(), old, "{before}");
        honest.add_release(&version, "node", &program(&version));
        let mut evil = honest.clone();
        publish_sealed(&mut evil, "node", |sim| sim.envelope_by("node", &["node-1"]));
        lab.serve(&evil);
        kill_after(round * 2);
        assert_eq!(lab.installed(), old);
        honest.publish_next(&["node"]);
        lab.serve(&honest);
        kill_after(round * 3);
        assert!([&old, &new].contains(&&lab.installed()), "one of the two, whole");
        lab.run(&["list"]).ok();
        lab.node("update").ok();
        assert_eq!(lab.installed(), new);
    }
}

#[test]
fn m03_fast_forward_ends_with_the_rotation_of_the_stolen_keys() {
    let first = first_release();
    let lab = installed_from(&first);
    // The thief drives both versions to the end of what some clients count.
    let mut honest = second_release(&first);
    let mut evil = first.clone();
    evil.set_version("snapshot", 2_147_483_646);
    evil.set_version("timestamp", 2_147_483_646);
    evil.publish_next(&["node"]);
    lab.serve(&evil);
    lab.node("update").ok();
    // The publisher goes on, on the same log: nothing it has logged is logged again.
    honest.log = evil.log.clone();
    honest.set_version("node", evil.version("node"));
    honest.publish_next(&["node"]);
    refuse_case(&lab, &honest, code::TUF_ROLLBACK, "before the rotation");
    let installed = lab.state();
    honest.add_key("snapshot-2");
    honest.add_key("timestamp-2");
    for role in ["snapshot", "timestamp"] {
        let new = format!("{role}-2");
        let (id, key) = (honest.key_id(&new), honest.key_json(&new));
        let root = honest.role("root");
        member(root, "keys").insert(id.clone(), key);
        set(member(root, "roles").get_mut(role).unwrap(), "keyids", vec![id]);
        honest.signers.insert(role.to_owned(), vec![new]);
    }
    honest.publish_next(&["root"]);
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    assert!(honest.version("snapshot") < 10, "the honest numbers went on");
    // The old copies are gone: no file of the fast-forwarded versions is left.
    assert!(installed.keys().any(|path| path.to_string_lossy().contains("2147483647")));
    assert!(!lab.state().keys().any(|path| path.to_string_lossy().contains("2147483647")));
    // What is installed did not depend on them: going below it is refused as ever.
    let root = lab.path("root");
    lab.run(&["install", "acme/node@1.0.0", "--root", root.to_str().unwrap(), "--platform", "linux/amd64"])
        .refused(code::INSTALL_DOWNGRADE);
    // No number of a role is in the log twice.
    let mut leaves: Vec<String> = honest.log.entries.iter().map(|entry| identity(entry)).collect();
    let count = leaves.len();
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len(), count);
}

/// Role and version of a log entry.
fn identity(entry: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(entry).unwrap();
    format!("{} {}", value["spec"]["role"], value["spec"]["version"])
}

/// Sets when a role expires.
fn expiring(role: &'static str, at: Timestamp) -> impl Fn(&mut Sim) {
    move |sim| publish_edited(sim, role, |signed| set(signed, "expires", at.to_string()))
}

#[test]
fn m04_expired_metadata_is_refused_by_role_and_age() {
    let first = first_release();
    let lab = installed_from(&first);
    let expired = before(first.now, 3 * 86_400);
    for (letter, role) in [("(a)", "timestamp"), ("(b)", "snapshot"), ("(c)", "targets"), ("(d)", "node")] {
        let mut evil = second_release(&first);
        expiring(role, expired)(&mut evil);
        let error = refuse_case(&lab, &evil, code::TUF_EXPIRED, letter);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{role}` expired 3 days ago")), "{message}");
    }
    honest_update(&lab, &first);
}

#[test]
fn m04_an_expired_root_is_refused_unless_a_newer_one_follows() {
    // (e) The root itself verifies and is kept, which is what lets the walk go on from it.
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    let fresh = sim.signed["root"].get("expires").and_then(Json::as_str).unwrap().to_owned();
    expiring("root", before(first.now, 40 * 86_400))(&mut sim);
    let state = lab.state();
    lab.serve(&sim);
    let run = lab.node("update").refused(code::TUF_EXPIRED);
    let message = run.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`root` expired 40 days ago"), "{message}");
    assert_eq!(lab.installed(), "node 1.0.0\n");
    for (path, text) in &state {
        let kept = path.ends_with("lineage.json") || lab.state().get(path) == Some(text);
        assert!(kept, "{} has changed", path.display());
    }
    // (g) The next root is fresh: for this machine, and for one that sees the expired root on its way.
    publish_edited(&mut sim, "root", |root| set(root, "expires", fresh));
    lab.serve(&sim);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    let other = Lab::new();
    other.serve(&sim);
    other.trust(&sim).ok();
}

/// Runs `update` where the clock shows what `faketime -f` makes of `clock`; `None` where that is not installed.
fn update_at(lab: &Lab, clock: &str) -> Option<Run> {
    let faketime: PathBuf = peers::find("faketime")?;
    let root = lab.path("root");
    let args = ["update", "acme/node", "--root", root.to_str().unwrap(), "--platform", "linux/amd64"];
    let inner = lab.command(&args);
    let mut outer = Command::new(faketime);
    // Patience is measured on another clock, which no one sets.
    outer.args(["--exclude-monotonic", "-f", clock]).arg(inner.get_program()).args(inner.get_args());
    outer.env_clear().env("TZ", "UTC");
    outer.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Some(Run::of(&args, outer.output().unwrap()))
}

/// An instant as `faketime` takes it; the clock stands still there.
fn standing(time: Timestamp) -> String {
    time.to_string().replace('T', " ").replace('Z', "")
}

#[test]
fn m04_expiring_this_very_second_is_expired() {
    // (f)
    let first = first_release();
    let lab = installed_from(&first);
    let expires = first.now.plus_days(1);
    let mut sim = second_release(&first);
    expiring("timestamp", expires)(&mut sim);
    let state = lab.state();
    lab.serve(&sim);
    let Some(run) = update_at(&lab, &standing(expires)) else { return };
    run.refused(code::TUF_EXPIRED);
    assert_eq!(lab.state(), state);
    update_at(&lab, &standing(before(expires, 1))).unwrap().ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m05_a_clock_that_was_set_is_found_out() {
    let first = first_release();
    let lab = installed_from(&first);
    let state = lab.state();
    // (a) Behind, so that what has expired looks fresh: witnesses have proven a later time already.
    let mut stale = second_release(&first);
    expiring("timestamp", before(first.now, 100 * 86_400))(&mut stale);
    lab.serve(&stale);
    let Some(run) = update_at(&lab, "-400d") else { return };
    run.refused(code::CLOCK_BEHIND_EVIDENCE);
    assert_eq!(lab.state(), state);
    // (b) Ahead: all looks expired; nothing is deleted.
    update_at(&lab, "+400d").unwrap().refused(code::TUF_EXPIRED);
    assert_eq!(lab.state(), state);
    assert_eq!(lab.installed(), "node 1.0.0\n");
    // Right again once the clock is.
    honest_update(&lab, &first);
}

#[test]
fn m05_the_time_of_a_run_is_fixed_at_its_start() {
    // (c) The clock runs a thousand times too fast, and the run waits a second for the lock of its repository: what
    // was fresh when it began has expired by the time it is looked at.
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    expiring("timestamp", sim.now.plus_seconds(600))(&mut sim);
    lab.serve(&sim);
    let fast = |from: Timestamp| format!("@{} x1000", standing(from));
    let lock = fs::File::open(lab.path("home/repos").join(REPO).join("lock")).unwrap();
    lock.lock().unwrap();
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| update_at(&lab, &fast(sim.now)));
        sleep(Duration::from_secs(1));
        lock.unlock().unwrap();
        run.join().unwrap()
    });
    let Some(run) = run else { return };
    run.ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    update_at(&lab, &standing(sim.now.plus_seconds(1000))).unwrap().refused(code::TUF_EXPIRED);
}

#[test]
fn m06_files_of_two_releases_do_not_mix() {
    let wrong = |parent: &'static str, child: &'static str, member_name: &'static str, value: Json| {
        move |sim: &mut Sim| {
            publish_edited(sim, parent, |signed| {
                let entry = member(signed, "meta").get_mut(&format!("{child}.json")).unwrap();
                object(entry).insert(member_name.to_owned(), value.clone());
            });
            // What is fetched has the name of the listed version.
            let entry = sim.signed[parent].get("meta").and_then(|meta| meta.get(&format!("{child}.json")));
            let listed = entry.and_then(|entry| entry.get("version")).and_then(Json::as_integer).unwrap();
            let name = format!("metadata/{}.{child}.json", sim.version(child));
            let listed_name = format!("metadata/{listed}.{child}.json");
            if listed_name != name {
                for suffix in ["", ".tlog-proof"] {
                    let bytes = sim.files[&format!("{name}{suffix}")].clone();
                    sim.files.insert(format!("{listed_name}{suffix}"), bytes);
                }
            }
        }
    };
    let digest = Json::object([("sha256", Json::from("ab".repeat(32)))]);
    let first = first_release();
    let files = first.files.clone();
    let mut cases = vec![
        case("(a) snapshot of the new release, node's file of the old", |sim| {
            sim.publish_next(&["node"]);
            sim.files.insert("metadata/3.node.json".to_owned(), files["metadata/2.node.json"].clone());
        }),
        case("(a) snapshot of one release, node's file of another", |sim| {
            // As long as the listed one: a longer body is M17.
            let mut other = first.clone();
            other.add_release("1.1.1", "node", &program("1.1.1"));
            other.publish_next(&["node"]);
            sim.publish_next(&["node"]);
            sim.files.insert("metadata/3.node.json".to_owned(), other.files["metadata/3.node.json"].clone());
        }),
        case("(c) a new snapshot drops a role", |sim| {
            publish_edited(sim, "snapshot", |signed| {
                member(signed, "meta").remove("node.json").unwrap();
            });
        }),
    ];
    for (parent, child) in [("timestamp", "snapshot"), ("snapshot", "targets"), ("snapshot", "node")] {
        cases.push(case("(b) version", wrong(parent, child, "version", Json::Integer(9))));
        cases.push(case("(b) longer", wrong(parent, child, "length", Json::Integer(9_999))));
        cases.push(case("(b) hash", wrong(parent, child, "hashes", digest.clone())));
    }
    refuse_all(code::TUF_META_MISMATCH, &cases);
}

#[test]
fn m06_a_delegated_role_must_be_in_the_snapshot() {
    // (d) For a machine that knows nothing yet; for others it is (c).
    let mut sim = first_release();
    let honest = sim.clone();
    publish_edited(&mut sim, "snapshot", |signed| {
        member(signed, "meta").remove("node.json").unwrap();
    });
    let lab = Lab::new();
    lab.serve(&sim);
    lab.trust(&sim).refused(code::TUF_META_MISMATCH);
    lab.serve(&honest);
    lab.trust(&honest).ok();
    lab.node("install").ok();
}

/// The newest file of each role once more under the name without a version.
fn without_versions(sim: &mut Sim) {
    for role in ["snapshot", "targets", "node"] {
        for suffix in [".json", ".json.tlog-proof"] {
            let name = format!("metadata/{}.{role}{suffix}", sim.version(role));
            let bytes = sim.files[&name].clone();
            sim.files.insert(format!("metadata/{role}{suffix}"), bytes);
        }
    }
}

#[test]
fn m06_files_replaced_between_two_fetches_are_noticed() {
    // (e) Without consistent snapshots a name stands for other bytes after each publication. What the second fetch
    // meets: the publication before, or the one after.
    let mut first = Sim::prepared(now(), |sim| set(sim.role("root"), "consistent_snapshot", false));
    first.add_release("1.0.0", "node", &program("1.0.0"));
    first.publish_next(&["node"]);
    without_versions(&mut first);
    let lab = installed_from(&first);
    let mut second = second_release(&first);
    second.publish_next(&["node"]);
    without_versions(&mut second);
    let mut third = second.clone();
    third.publish_next(&["node"]);
    without_versions(&mut third);
    for (name, role, from) in [
        ("node not replaced yet", "node", &first),
        ("node replaced already", "node", &third),
        ("snapshot not replaced yet", "snapshot", &first),
        ("snapshot replaced already", "snapshot", &third),
    ] {
        let mut mixed = second.clone();
        for suffix in [".json", ".json.tlog-proof"] {
            let name = format!("metadata/{role}{suffix}");
            mixed.files.insert(name.clone(), from.files[&name].clone());
        }
        refuse_case(&lab, &mixed, code::TUF_META_MISMATCH, name);
    }
    lab.serve(&second);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}
