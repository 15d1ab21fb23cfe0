//! Rows D: mirrors, downgrades, crashes, disks and other processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign_base::json::Json;
use countersign_base::{Code, code};
use countersign_testkit::sim::{Sim, object};

use crate::lab::{Lab, REPO, Run, first_release, program, second_release};
use crate::mirror::{Answer, Mirror, Request};
use crate::publisher::{Publisher, active, cut_short, everything, file_url, files, text};

/// Whether this is the file that mirrors tamper with: the first that an update fetches.
fn is_data(request: &Request) -> bool {
    request.path.ends_with(".data.bin")
}

/// A machine with 1.0.0 installed from `publisher`, which has released 1.1.0 since.
fn outdated() -> (Publisher, Lab) {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    machine.node("install").ok();
    publisher.release("1.1.0").ok();
    (publisher, machine)
}

/// `update` from a mirror that tampers is refused with `code`, in bounded time, and nothing is kept of the file.
#[track_caller]
fn refuse_mirror(code: Code, tamper: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
    let (publisher, machine) = outdated();
    let mirror = Mirror::start(&publisher.repo(), tamper);
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    let before = everything(&machine.path("root"));
    let started = Instant::now();
    machine.node("update").refused(code);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(everything(&machine.path("root")) == before, "a refused file leaves nothing behind");
    // (g) A good mirror, and no cleaning.
    let good = Mirror::start(&publisher.repo(), |_| Answer::Honest);
    machine.run(&["trust", "set-url", REPO, &good.url()]).ok();
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
}

#[test]
fn d01_a_mirror_with_other_bytes_installs_nothing() {
    // (a) a bit flip
    refuse_mirror(code::ARTIFACT_DIGEST_MISMATCH, |request| match &request.honest {
        Some(bytes) if is_data(request) => {
            let mut bytes = bytes.clone();
            bytes[1234] ^= 4;
            Answer::File(bytes)
        }
        _ => Answer::Honest,
    });
    // (b) truncated
    refuse_mirror(code::ARTIFACT_DIGEST_MISMATCH, |request| match &request.honest {
        Some(bytes) if is_data(request) => Answer::File(bytes[..bytes.len() - 1].to_vec()),
        _ => Answer::Honest,
    });
    // (c) appended
    refuse_mirror(code::FETCH_TOO_LARGE, |request| match &request.honest {
        Some(bytes) if is_data(request) => Answer::File([&bytes[..], b"\n"].concat()),
        _ => Answer::Honest,
    });
    // (d) two files swapped
    refuse_mirror(code::ARTIFACT_DIGEST_MISMATCH, |request| match is_data(request) {
        true => Answer::File(program("1.1.0")),
        false => Answer::Honest,
    });
    // (e) endless
    refuse_mirror(code::FETCH_TOO_LARGE, |request| match is_data(request) {
        true => Answer::Endless,
        false => Answer::Honest,
    });
}

/// (f) A download that broke off is gone on with, and what comes then is not what began.
#[test]
fn d01_a_resumed_download_with_other_bytes_installs_nothing() {
    // The rest is of another file, and so is the whole when it is asked for again.
    resume(|request| match (&request.honest, request.from) {
        (Some(bytes), Some(from)) => Answer::Part(vec![b'?'; bytes.len() - from]),
        (Some(bytes), None) => Answer::File(vec![b'?'; bytes.len()]),
        (None, _) => Answer::Honest,
    });
    // The file was replaced meanwhile, and the mirror sends the new one whole.
    resume(|request| match &request.honest {
        Some(bytes) => Answer::File(bytes.iter().rev().copied().collect()),
        None => Answer::Honest,
    });
}

#[track_caller]
fn resume(tamper: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
    let (publisher, machine) = outdated();
    let before = everything(&machine.path("root"));
    let (broken, honest) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (breaks, gives) = (Arc::clone(&broken), Arc::clone(&honest));
    let mirror = Mirror::start(&publisher.repo(), move |request| {
        if !is_data(request) || gives.load(Ordering::SeqCst) {
            Answer::Honest
        } else if breaks.load(Ordering::SeqCst) {
            Answer::Broken(2000)
        } else {
            tamper(request)
        }
    });
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    machine.node("update").refused(code::FETCH_FAILED);
    let parts = |machine: &Lab| {
        let store = everything(&machine.path("root/.countersign/store"));
        store.into_keys().filter(|path| path.extension().is_some()).count()
    };
    assert_eq!(parts(&machine), 1, "what arrived is kept to go on with");
    broken.store(false, Ordering::SeqCst);
    machine.node("update").refused(code::ARTIFACT_DIGEST_MISMATCH);
    assert!(everything(&machine.path("root")) == before, "a refused file leaves nothing behind");
    // Honest twin: broken off once more, then resumed from an honest mirror.
    broken.store(true, Ordering::SeqCst);
    machine.node("update").refused(code::FETCH_FAILED);
    honest.store(true, Ordering::SeqCst);
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
}

/// A machine with 1.1.0 installed, whose publisher allows nothing below 1.1.0 any more.
fn floored() -> (Lab, Sim) {
    let machine = Lab::new();
    let first = first_release();
    let mut second = second_release(&first);
    object(second.role("node")).insert("x-countersign".to_owned(), floor("1.1.0"));
    second.publish_next(&["node"]);
    machine.serve(&first);
    machine.trust(&first).ok();
    machine.node("install").ok();
    machine.serve(&second);
    machine.node("update").ok();
    assert_eq!(machine.installed(), "node 1.1.0\n");
    (machine, first)
}

fn floor(version: &str) -> Json {
    Json::object([("apiVersion", Json::from("0.0.1")), ("floor", Json::from(version))])
}

fn install_old(machine: &Lab, more: &[&str]) -> Run {
    let root = text(&machine.path("root"));
    let args = ["install", "acme/node@1.0.0", "--root", &root, "--platform", "linux/amd64"];
    machine.run(&[&args[..], more].concat())
}

#[test]
fn d05_nothing_below_the_floor_becomes_active() {
    let (machine, first) = floored();
    let root = text(&machine.path("root"));
    let before = machine.state();
    // (b) the user asks for it, also with --downgrade
    install_old(&machine, &[]).refused(code::INSTALL_BELOW_FLOOR);
    install_old(&machine, &["--downgrade"]).refused(code::INSTALL_BELOW_FLOOR);
    // (e) rollback's target is below the floor; the health gate will call the same rollback
    machine.run(&["rollback", "acme/node", "--root", &root]).refused(code::INSTALL_BELOW_FLOOR);
    assert!(machine.state() == before);
    // (a) a mirror serves the older release to a machine that has forgotten the newer metadata
    fs::remove_dir_all(machine.path("home")).unwrap();
    machine.serve(&first);
    machine.trust(&first).ok();
    let before = everything(&machine.path("root"));
    machine.node("update").refused(code::INSTALL_BELOW_FLOOR);
    install_old(&machine, &["--downgrade"]).refused(code::INSTALL_BELOW_FLOOR);
    assert!(everything(&machine.path("root")) == before);
    assert_eq!(machine.installed(), "node 1.1.0\n");
}

/// (b) Above the floor an older version needs to be meant.
#[test]
fn d05_an_older_version_needs_downgrade() {
    let machine = Lab::new();
    let mut sim = first_release();
    machine.serve(&sim);
    machine.trust(&sim).ok();
    sim.add_release("1.1.0", "node", &program("1.1.0"));
    sim.publish_next(&["node"]);
    machine.serve(&sim);
    machine.node("install").ok();
    let before = machine.state();
    install_old(&machine, &[]).refused(code::INSTALL_DOWNGRADE);
    assert!(machine.state() == before);
    install_old(&machine, &["--downgrade"]).ok();
    assert_eq!(machine.installed(), "node 1.0.0\n");
}

/// (c) The record that holds the floor is edited or deleted; (d) the product is removed and installed again.
#[test]
fn d05_a_damaged_record_does_not_lower_the_floor() {
    for damage in ["edited", "cut", "deleted"] {
        let (machine, _) = floored();
        let root = text(&machine.path("root"));
        let record = machine.path("root/.countersign/products/node.json");
        let whole = fs::read_to_string(&record).unwrap();
        match damage {
            "edited" => fs::write(&record, whole.replace("1.1.0", "1.0.0")).unwrap(),
            "cut" => fs::write(&record, &whole[..whole.len() / 2]).unwrap(),
            _ => fs::remove_file(&record).unwrap(),
        }
        install_old(&machine, &["--downgrade"]).refused(code::INSTALL_STATE_DAMAGED);
        assert_eq!(machine.installed(), "node 1.1.0\n", "what runs, runs on");
        machine.run(&["fsck", "--root", &root, "--repair"]).ok();
        install_old(&machine, &["--downgrade"]).refused(code::INSTALL_BELOW_FLOOR);
        machine.node("update").ok();
    }
    // (d)
    let (machine, _) = floored();
    fs::remove_dir_all(machine.path("root/node")).unwrap();
    let run = install_old(&machine, &["--downgrade"]);
    assert_eq!(run.status(), Some(1), "{}", run.text());
    assert!(active(&machine.path("root")).is_none());
}

/// kill -9 at many moments of update and rollback: one whole generation is active, and the next command goes on.
#[test]
fn d13_kill_leaves_the_old_or_the_new_generation_whole() {
    let (publisher, machine) = outdated();
    let root = text(&machine.path("root"));
    let place = ["--root", &root, "--platform", "linux/amd64"];
    let args = |words: &[&'static str]| [words, &place[..]].concat();
    let (update, rollback) = (args(&["update", "acme/node"]), args(&["rollback", "acme/node"]));
    let (old, new) = (files("1.0.0"), files("1.1.0"));
    let mut killed = 0;
    for step in 0..40_u32 {
        for command in [&update, &rollback] {
            // What is fetched and switched must be new each time.
            let ended = cut_short(&mut machine.command(command), "KILL", Duration::from_micros(200) * step);
            killed += u32::from(ended.is_none());
            let now = active(Path::new(&root)).unwrap();
            assert!(now == old || now == new, "step {step}: neither the old nor the new release");
            machine.run(&["status", "--root", &root]).ok();
            let done = if command == &update { &new } else { &old };
            if now != *done {
                machine.run(command).ok();
            }
            assert!(active(Path::new(&root)).as_ref() == Some(done), "step {step}");
        }
        machine.run(&["fsck", "--root", &root]).ok();
    }
    println!("{killed} of 80 commands were killed");
    assert!(killed > 4, "the kills come too late");
    let unfinished = everything(Path::new(&root)).into_keys().filter(|path| {
        path.to_str().unwrap().contains(".tmp") || path.extension().is_some_and(|end| end == "partial")
    });
    assert_eq!(unfinished.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    drop(publisher);
}

/// The same for the first installation and for `trust add`, and a floor on record stays.
#[test]
fn d13_kill_in_the_first_install_leaves_all_or_nothing() {
    let publisher = Publisher::with(&["1.0.0"]);
    let url = file_url(&publisher.repo());
    let mut killed = 0;
    for step in 0..24_u32 {
        let machine = Lab::new();
        let root = text(&machine.path("root"));
        let add = ["trust", "add", REPO, &url, publisher.anchor()];
        let install = ["install", "acme/node", "--root", &root, "--platform", "linux/amd64"];
        for command in [&add[..], &install] {
            let ended = cut_short(&mut machine.command(command), "KILL", Duration::from_micros(300) * step);
            killed += u32::from(ended.is_none());
            assert!(active(Path::new(&root)).is_none_or(|now| now == files("1.0.0")), "step {step}");
            machine.run(command).ok();
        }
        assert_eq!(active(Path::new(&root)).as_ref(), Some(&files("1.0.0")));
        machine.run(&["fsck", "--root", &root]).ok();
    }
    assert!(killed > 4, "the kills come too late");
}

#[test]
fn d14_a_full_disk_leaves_the_old_generation_running() {
    let (_publisher, machine) = outdated();
    let root = text(&machine.path("root"));
    let args = ["update", "acme/node", "--root", &root, "--platform", "linux/amd64"];
    // The metadata fits, the files do not.
    let before = everything(&machine.path("root/node"));
    machine.run_limited(&args, 8).refused(code::INSTALL_STORAGE_FAILED);
    assert!(everything(&machine.path("root/node")) == before);
    assert_eq!(machine.installed(), "node 1.0.0\n");
    // Nothing fits at all.
    let run = machine.run_limited(&args, 0);
    assert_eq!(run.status(), Some(3), "{}", run.text());
    assert_eq!(machine.installed(), "node 1.0.0\n");
    machine.run(&args).ok();
    assert_eq!(machine.installed(), "node 1.1.0\n");
}

/// Install, update and rollback of one root; `gc` joins them when it is a command.
#[test]
fn d15_fifty_at_once_end_in_one_order() {
    let (_publisher, machine) = outdated();
    let root = text(&machine.path("root"));
    let place = ["--root", &root, "--platform", "linux/amd64"];
    let install = [&["install", "acme/node"][..], &place].concat();
    let update = [&["update", "acme/node"][..], &place].concat();
    let rollback = [&["rollback", "acme/node"][..], &place].concat();
    let children: Vec<_> = (0..50)
        .map(|number| {
            let args = [&install, &update, &rollback][number % 3];
            let mut command = machine.command(args);
            (args, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (args, child) in children {
        let run = Run::of(args, child.wait_with_output().unwrap());
        match run.status() {
            Some(0) => {}
            Some(3) => drop(run.refused(code::INSTALL_LOCKED)),
            // Nothing to go back to, as long as nothing was installed.
            _ => drop(run.refused(code::INSTALL_NO_PREVIOUS)),
        }
    }
    machine.run(&["fsck", "--root", &root]).ok();
    machine.run(&update).ok();
    assert_eq!(active(Path::new(&root)).as_ref(), Some(&files("1.1.0")));
    // The holder of the lock is killed: it is not missed.
    cut_short(&mut machine.command(&rollback), "KILL", Duration::from_millis(2));
    machine.run(&update).ok();
    machine.run(&["fsck", "--root", &root]).ok();
}

/// Runs `script` with `sh` where mounts are its own and vanish with it; `$0` is the binary. `None` where that needs
/// rights that this test does not have.
fn with_mounts(machine: &Lab, script: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(format!("mount -t tmpfs none /mnt || exit 77\n{script}"));
    command.arg(env!("CARGO_BIN_EXE_countersign")).current_dir(machine.path("")).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let Ok(output) = command.output() else {
        println!("not run: there is no `unshare` here");
        return None;
    };
    if matches!(output.status.code(), Some(1 | 77)) && output.stdout.is_empty() {
        println!("not run: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The `error[CODE]` lines and exit statuses that a script printed.
fn outcomes(seen: &str) -> Vec<&str> {
    let head = |line: &'_ str| line.starts_with("error[") || line.starts_with("exit ");
    seen.lines().filter(|line| head(line)).map(|line| line.split(": ").next().unwrap()).collect()
}

const UPDATE: &str = "\"$0\" --home home update acme/node --root $ROOT >/dev/null; echo exit $?";

#[test]
fn d14_a_disk_that_is_full_read_only_or_another_one_blocks_nothing_that_runs() {
    let (_publisher, machine) = outdated();
    // A real full disk: room for what is installed and for the new metadata, not for the new files.
    let full = format!(
        "exec 2>&1; ROOT=small; mkdir small; mount -t tmpfs -o size=48k none small; cp -a root/. small/
        head -c 1m /dev/zero > small/filler; {UPDATE}; small/node/current/node
        rm small/filler; mount -o remount,size=1m small; {UPDATE}; small/node/current/node"
    );
    let Some(seen) = with_mounts(&machine, &full) else { return };
    assert_eq!(outcomes(&seen), ["error[install-storage-failed]", "exit 3", "exit 0"], "{seen}");
    assert!(seen.contains("\nnode 1.0.0\n") && seen.ends_with("node 1.1.0\n"), "{seen}");

    // Read-only: looking works, changing does not.
    let read_only = format!(
        "exec 2>&1; ROOT=root; mount --bind root root; mount -o remount,ro,bind root; {UPDATE}; root/node/current/node
        for look in list status fsck; do \"$0\" --home home $look --root root >/dev/null; echo exit $?; done"
    );
    let seen = with_mounts(&machine, &read_only).unwrap();
    assert_eq!(
        outcomes(&seen),
        ["error[install-storage-failed]", "exit 3", "exit 0", "exit 0", "exit 0"],
        "{seen}"
    );

    // The store on another file system: its files cannot be linked into a generation.
    let other = format!(
        "exec 2>&1; ROOT=root; cp -a root/.countersign/store kept; mount -t tmpfs none root/.countersign/store
        cp -a kept/. root/.countersign/store/; {UPDATE}; root/node/current/node"
    );
    let seen = with_mounts(&machine, &other).unwrap();
    assert_eq!(outcomes(&seen), ["error[install-storage-failed]", "exit 3"], "{seen}");
    assert!(seen.ends_with("node 1.0.0\n"), "{seen}");
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")));
}
