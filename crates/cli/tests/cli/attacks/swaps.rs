//! Row D11: files, links and folders that are swapped between check and use.
//!
//! The attacker is another process of the same user, at the moments that a mirror can tell: when the next file is asked
//! for, and without pause while programs are run.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use countersign_base::code;

use crate::lab::{Lab, REPO, Run};
use crate::mirror::{Answer, Mirror};
use crate::publisher::{Publisher, active, file_url, files, text};

const EVIL: &[u8] = b"#!/bin/sh\necho evil\n";

/// A publisher with 1.1.0 released, and a machine that has 1.0.0.
fn outdated() -> (Publisher, Lab) {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    machine.node("install").ok();
    publisher.release("1.1.0").ok();
    (publisher, machine)
}

/// `update` from an honest mirror, with the attacker at work when a file of the release is asked for, by its name.
fn update_while(publisher: &Publisher, machine: &Lab, act: impl Fn(&str) + Send + Sync + 'static) -> Run {
    let mirror = Mirror::start(&publisher.repo(), move |request| {
        if let Some(name) = request.path.strip_prefix("targets/") {
            act(name.rsplit('/').next().and_then(|name| name.split_once('.')).map_or("", |(_, name)| name));
        }
        Answer::Honest
    });
    machine.run(&["trust", "set-url", REPO, &mirror.url()]).ok();
    machine.node("update")
}

/// The one file of the store that is wanted.
fn in_store(store: &Path, is_wanted: impl Fn(&Path) -> bool) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_wanted(path))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "partial")
}

/// The content of 1.1.0's data.bin.
fn data() -> Vec<u8> {
    files("1.1.0")["data.bin"].0.clone()
}

/// A way to put something else where a file is.
type Swap = (&'static str, fn(&Path));

fn swaps() -> Vec<Swap> {
    fn beside(path: &Path) -> PathBuf {
        path.with_extension("evil")
    }
    vec![
        ("another file", |path| {
            fs::write(beside(path), vec![b'?'; data().len()]).unwrap();
            fs::set_permissions(beside(path), fs::metadata(path).unwrap().permissions()).unwrap();
            fs::rename(beside(path), path).unwrap();
        }),
        ("other bytes in the same file", |path| {
            let honest = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            let mut file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(b"????").unwrap();
            fs::set_permissions(path, honest).unwrap();
        }),
        ("a link to a file elsewhere", |path| {
            let elsewhere = path.parent().unwrap().join("../../../evil");
            fs::write(&elsewhere, data()).unwrap();
            fs::remove_file(path).unwrap();
            symlink(elsewhere, path).unwrap();
        }),
        ("nothing", |path| fs::remove_file(path).unwrap()),
    ]
}

/// (a) What was downloaded, or is being downloaded, is replaced before it is used.
#[test]
fn d11_a_a_file_replaced_in_the_download_cache_is_not_installed() {
    for (what, swap) in swaps() {
        for at_download in [false, true] {
            if at_download && what == "nothing" {
                // A file that vanishes under the hands is the disk's failure.
                continue;
            }
            let (publisher, machine) = outdated();
            let before = active(&machine.path("root"));
            let store = machine.path("root/.countersign/store");
            let run = update_while(&publisher, &machine, move |name| match (name, at_download) {
                // data.bin is complete when the program is asked for.
                ("node", false) => {
                    let is_data = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes == data());
                    swap(&in_store(&store, is_data));
                }
                ("data.bin", true) => swap(&in_store(&store, is_partial)),
                _ => {}
            });
            // While it is written, other bytes at its beginning are overwritten by the honest ones: nothing happened.
            if run.status() == Some(0) {
                assert!(at_download && what == "other bytes in the same file", "{what}: {}", run.text());
                assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")), "{what}");
                continue;
            }
            assert_eq!(run.json()["code"], code::INSTALL_CONTENT_CHANGED.name(), "{what}: {}", run.text());
            assert_eq!(run.status(), Some(1), "{what}");
            assert_eq!(active(&machine.path("root")), before, "{what}");
            assert_eq!(machine.installed(), "node 1.0.0\n", "{what}");
            update_while(&publisher, &machine, |_| {}).ok();
            assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.1.0")), "{what}");
        }
    }
}

/// The program of 1.1.0, opened for writing before it was complete.
fn held_open(publisher: &Publisher, machine: &Lab) -> File {
    let held = Arc::new(Mutex::new(None));
    let (holder, store) = (Arc::clone(&held), machine.path("root/.countersign/store"));
    update_while(publisher, machine, move |name| {
        if name == "node" {
            let file = OpenOptions::new().write(true).open(in_store(&store, is_partial)).unwrap();
            *holder.lock().unwrap() = Some(file);
        }
    })
    .ok();
    let held = held.lock().unwrap().take();
    held.unwrap()
}

/// `run` of the installed program.
fn run(machine: &Lab) -> Run {
    let root = text(&machine.path("root"));
    machine.run(&["run", "acme/node", "--root", &root])
}

/// What a run of the program printed; `None` if it was refused, with the code that says so.
#[track_caller]
fn printed(run: Run) -> Option<String> {
    if run.status() == Some(0) {
        return Some(run.stdout());
    }
    run.refused(code::INSTALL_CONTENT_CHANGED);
    None
}

/// (b) Who opened the file while it came in goes on writing to it.
#[test]
fn d11_b_an_open_descriptor_does_not_change_what_runs() {
    // Before the file is in use: noticed where it is linked.
    let (publisher, machine) = outdated();
    let before = active(&machine.path("root"));
    let (held, store) = (Arc::new(Mutex::new(None)), machine.path("root/.countersign/store"));
    let run_ended = update_while(&publisher, &machine, move |name| {
        let mut held = held.lock().unwrap();
        match name {
            "data.bin" => {
                let file = OpenOptions::new().write(true).open(in_store(&store, is_partial)).unwrap();
                *held = Some(file);
            }
            "node" => held.as_mut().unwrap().write_all(b"????").unwrap(),
            _ => {}
        }
    });
    run_ended.refused(code::INSTALL_CONTENT_CHANGED);
    assert_eq!(active(&machine.path("root")), before);
    update_while(&publisher, &machine, |_| {}).ok();
    assert_eq!(printed(run(&machine)).as_deref(), Some("node 1.1.0\n"));

    // After it was verified: what is open for writing is not run, and what was written is not run.
    let (publisher, machine) = outdated();
    let mut held = held_open(&publisher, &machine);
    assert_eq!(printed(run(&machine)), None, "somebody may still write");
    held.rewind().unwrap();
    held.write_all(EVIL).unwrap();
    held.set_len(EVIL.len() as u64).unwrap();
    assert_eq!(printed(run(&machine)), None, "somebody wrote");
    drop(held);
    assert_eq!(printed(run(&machine)), None, "somebody wrote");
    update_while(&publisher, &machine, |_| {}).ok();
    assert_eq!(printed(run(&machine)).as_deref(), Some("node 1.1.0\n"));
}

/// Runs the program again and again while another process swaps; it prints what was released, or is refused.
#[track_caller]
fn run_while(machine: &Lab, what: &str, swap: impl Fn(bool) + Sync) {
    let stop = AtomicBool::new(false);
    let (mut good, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut evil = false;
            while !stop.load(Ordering::SeqCst) || evil {
                evil = !evil;
                swap(evil);
            }
        });
        for _ in 0..60 {
            let ended = run(machine);
            match ended.status() {
                Some(0) => {
                    assert_eq!(ended.stdout(), "node 1.1.0\n", "{what}");
                    good += 1;
                }
                _ => {
                    let code = ended.json()["code"].clone();
                    assert_eq!(ended.status(), Some(1), "{what}: {}", ended.text());
                    assert_eq!(code, code::INSTALL_CONTENT_CHANGED.name(), "{what}: {}", ended.text());
                    refused += 1;
                }
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    println!("{what}: {good} ran what was released, {refused} were refused");
    assert_eq!(printed(run(machine)).as_deref(), Some("node 1.1.0\n"), "{what}");
}

/// A machine with 1.1.0 active, and a folder of the attacker's with a program of the same name.
fn updated() -> (Publisher, Lab, PathBuf) {
    let (publisher, machine) = outdated();
    update_while(&publisher, &machine, |_| {}).ok();
    let evil = machine.path("evil");
    fs::create_dir(&evil).unwrap();
    for (name, (content, program)) in files("1.1.0") {
        let path = evil.join(&name);
        fs::write(&path, if name == "node" { EVIL } else { &content }).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o555 } else { 0o444 })).unwrap();
    }
    (publisher, machine, evil)
}

/// (c) The link that says which generation is active is flipped.
#[test]
fn d11_c_a_flipped_link_of_the_generation_runs_nothing_else() {
    let (_publisher, machine, evil) = updated();
    let current = machine.path("root/node/current");
    let honest = fs::read_link(&current).unwrap();
    let place = |target: &Path| {
        let new = current.with_extension("new");
        symlink(target, &new).unwrap();
        fs::rename(&new, &current).unwrap();
    };
    run_while(&machine, "link", |is_evil| place(if is_evil { &evil } else { &honest }));
}

/// (d) A folder above the program is another one.
#[test]
fn d11_d_a_swapped_folder_runs_nothing_else() {
    let (_publisher, machine, evil) = updated();
    let generation = fs::canonicalize(machine.path("root/node/current")).unwrap();
    let aside = machine.path("aside");
    // The evil folder in its place, or a link to it.
    run_while(&machine, "folder", |is_evil| {
        let (out, back) = if is_evil { (&aside, &evil) } else { (&evil, &aside) };
        fs::rename(&generation, out).unwrap();
        fs::rename(back, &generation).unwrap();
    });
    run_while(&machine, "link to a folder", |is_evil| {
        if is_evil {
            fs::rename(&generation, &aside).unwrap();
            symlink(&evil, &generation).unwrap();
        } else {
            fs::remove_file(&generation).unwrap();
            fs::rename(&aside, &generation).unwrap();
        }
    });
}
