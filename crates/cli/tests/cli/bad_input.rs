//! What goes wrong around a command: one clear error with its code and exit status, and nothing changed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use countersign_base::{Class, Code, code};

use crate::lab::{Lab, REPO, Run};
use crate::publisher::{Publisher, Tree, active, cut_short, every_file, everything, file_url, files, text};

/// A publisher whose machine also trusts the repository and has its release installed.
fn busy_machine() -> Publisher {
    let publisher = Publisher::with(&["1.0.0"]);
    publisher.trusted_by(publisher.lab(), &file_url(&publisher.repo())).ok();
    publisher.lab().node("install").ok();
    fs::write(publisher.path("file"), "not a folder\n").unwrap();
    fs::create_dir(publisher.path("folder")).unwrap();
    fs::write(publisher.path("folder/file"), "something\n").unwrap();
    publisher
}

/// Runs `line` (split at spaces, `%` is the machine's folder) and expects the refusal, and nothing changed.
#[track_caller]
fn refuse(publisher: &Publisher, line: &str, code: Code) {
    let folder = text(&publisher.path(""));
    let args: Vec<String> = line.split(' ').map(|arg| arg.replace('%', &folder)).collect();
    let before = everything(&publisher.path(""));
    publisher.lab().run(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused(code);
    let after = everything(&publisher.path(""));
    assert_same(&before, &after, line);
}

#[track_caller]
fn assert_same(before: &Tree, after: &Tree, what: &str) {
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).collect();
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

#[test]
fn publishing_commands_refuse_what_is_not_there() {
    let publisher = busy_machine();
    let other = Publisher::new();
    let refuse = |line: &str, code| refuse(&publisher, line, code);
    refuse("init %repo --keys %new --unencrypted", code::PUBLISH_REPO_EXISTS);
    refuse("init %folder --keys %new --unencrypted", code::PUBLISH_DIR_NOT_EMPTY);
    refuse("init %new --keys %new-keys", code::KEY_PASSPHRASE_MISSING);
    refuse("init %new --keys %new-keys --unencrypted --root-threshold 4", code::USAGE);
    refuse("init %new --keys %new-keys --unencrypted --witness nonsense", code::USAGE);
    refuse("init %new", code::USAGE);

    refuse("product add %none other --keys %keys --unencrypted", code::PUBLISH_REPO_MISSING);
    refuse("product add %repo node --keys %keys --unencrypted", code::PUBLISH_PRODUCT_EXISTS);
    refuse("product add %repo NODE --keys %keys --unencrypted", code::NAME_INVALID);
    refuse("product add %repo other --keys %none --unencrypted", code::KEY_NOT_FOUND);
    refuse("product add %repo other --keys %keys --signer %none.pub", code::FILE_NOT_FOUND);
    refuse("product add %repo other --keys %keys --signer %file", code::KEY_MALFORMED);
    refuse("product add %repo other --keys %keys --signer ed25519:00", code::KEY_MALFORMED);

    refuse("release %repo node 1.1.0 %none --keys %keys", code::FILE_NOT_FOUND);
    refuse("release %repo node 1.1.0 %folder --keys %keys", code::FILE_NOT_REGULAR);
    refuse("release %repo node 1.1.0 %file %folder/file --keys %keys", code::USAGE);
    refuse("release %repo node one %file --keys %keys", code::NAME_INVALID);
    refuse("release %repo other 1.1.0 %file --keys %keys", code::PUBLISH_PRODUCT_UNKNOWN);
    refuse("release %none node 1.1.0 %file --keys %keys", code::PUBLISH_REPO_MISSING);
    refuse("release %file node 1.1.0 %file --keys %keys", code::PUBLISH_REPO_MISSING);
    refuse("release %repo node 1.1.0 %file --keys %none", code::KEY_NOT_FOUND);
    let stranger = format!("release %repo node 1.1.0 %file --keys {}", other.keys().display());
    refuse(&stranger, code::PUBLISH_THRESHOLD_NOT_MET);
    refuse("renew %none --keys %keys", code::PUBLISH_REPO_MISSING);
    refuse("renew %repo --keys %none", code::KEY_NOT_FOUND);

    refuse("serve %none --listen 127.0.0.1:0", code::PUBLISH_REPO_MISSING);
    refuse("serve %repo --listen nowhere", code::USAGE);
    refuse("serve %repo --listen 192.0.2.1:80", code::SERVE_FAILED);
    refuse("sign %none --key %keys/node-1.key", code::FILE_NOT_FOUND);
    refuse("proposal show %none", code::FILE_NOT_FOUND);
    refuse("publish %repo %none --keys %keys", code::FILE_NOT_FOUND);
    refuse("propose yank %repo node 9.9.9 --reason x --out %new", code::PUBLISH_VERSION_UNKNOWN);
    refuse("log fsck %none", code::PUBLISH_REPO_MISSING);
    refuse("log fsck %repo/log --vkey nonsense", code::USAGE);
    refuse("witness serve %new --listen 127.0.0.1:0 --unencrypted", code::USAGE);
    refuse("witness serve %new --name w.example --listen 127.0.0.1:0", code::KEY_PASSPHRASE_MISSING);
    refuse("witness serve %new --name w.example --listen nowhere --unencrypted", code::USAGE);
    refuse("witness serve %new --name w+1 --listen 127.0.0.1:0 --unencrypted", code::USAGE);
    let witness = "witness serve %new --name w.example --listen 127.0.0.1:0 --unencrypted";
    refuse(&format!("{witness} --log nonsense"), code::USAGE);
    refuse(&format!("{witness} --logs %none"), code::FILE_NOT_FOUND);
    refuse(
        "witness serve %file --name w.example --listen 127.0.0.1:0 --unencrypted",
        code::KEY_STORAGE_FAILED,
    );
    refuse("explain no-such-code", code::EXPLAIN_UNKNOWN);
    refuse("no-such-command", code::USAGE);
}

#[test]
fn using_commands_refuse_what_is_not_there() {
    let publisher = busy_machine();
    let other = Publisher::new();
    let refuse = |line: &str, code| refuse(&publisher, line, code);
    let (good, wrong) = (publisher.anchor(), other.anchor());
    refuse("trust add new file://%repo", code::TRUST_ANCHOR_MISSING);
    let typo = if good.ends_with('x') { 'y' } else { 'x' };
    refuse(
        &format!("trust add new file://%repo {}{typo}", &good[..good.len() - 1]),
        code::TRUST_ANCHOR_MALFORMED,
    );
    refuse(&format!("trust add new file://%repo {wrong}"), code::TRUST_ANCHOR_UNTRUSTED);
    refuse(&format!("trust add {REPO} file://%repo {wrong}"), code::TRUST_REPO_EXISTS);
    refuse(&format!("trust add N/A file://%repo {good}"), code::NAME_INVALID);
    refuse(&format!("trust add new file://%none {good}"), code::FETCH_FAILED);
    refuse(&format!("trust add new file://%folder {good}"), code::FETCH_NOT_FOUND);
    refuse(&format!("trust add new ftp://example.com {good}"), code::FETCH_URL_REFUSED);
    refuse(&format!("trust add new http://example.com {good}"), code::FETCH_TLS_REQUIRED);
    refuse(&format!("trust add new http://127.0.0.1:1 {good}"), code::FETCH_FAILED);
    refuse("trust remove none", code::TRUST_REPO_UNKNOWN);
    refuse("trust set-url none file://%repo", code::TRUST_REPO_UNKNOWN);

    refuse("verify %none", code::FILE_NOT_FOUND);
    refuse("verify %folder", code::FILE_NOT_REGULAR);
    refuse("verify %file", code::VERIFY_UNKNOWN_FILE);
    refuse("verify %file --repo none", code::TRUST_REPO_UNKNOWN);

    refuse("install none/node", code::TRUST_REPO_UNKNOWN);
    refuse("install acme/none", code::INSTALL_PRODUCT_UNKNOWN);
    refuse("install none", code::INSTALL_PRODUCT_UNKNOWN);
    refuse("install acme/node@9.9.9", code::INSTALL_VERSION_UNKNOWN);
    refuse("install acme/node --platform linux/s390x", code::INSTALL_VERSION_UNKNOWN);
    refuse("install acme/node --channel none", code::INSTALL_VERSION_UNKNOWN);
    refuse("install acme/node@", code::NAME_INVALID);
    refuse("install acme/node --platform linux/amd64 --root %file", code::INSTALL_STORAGE_FAILED);
    refuse("install acme/node --platform linux/amd64 --root %file/below", code::INSTALL_STORAGE_FAILED);
    refuse("update acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("rollback acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("rollback acme/node --root %root", code::INSTALL_NO_PREVIOUS);
    refuse("status acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("history acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("fsck acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("run acme/node --root %none", code::INSTALL_NOT_INSTALLED);
    refuse("run acme/node --root %root --file none", code::FILE_NOT_FOUND);
    refuse("run acme/node --root %root --file data.bin", code::FILE_UNREADABLE);
    refuse("list none/node", code::TRUST_REPO_UNKNOWN);
}

/// A file stands where a folder must be made: what root, too, cannot write.
#[test]
fn a_place_that_cannot_be_written_is_unavailable() {
    let publisher = busy_machine();
    let refuse = |line: &str, code| refuse(&publisher, line, code);
    refuse("init %file/repo --keys %new-keys --unencrypted", code::PUBLISH_STORAGE_FAILED);
    refuse("init %new --keys %file --unencrypted", code::KEY_STORAGE_FAILED);
    refuse("init %new --keys %file/keys --unencrypted", code::KEY_STORAGE_FAILED);
    refuse("product add %repo other --keys %file --unencrypted", code::KEY_NOT_FOUND);
    let url = file_url(&publisher.repo());
    for home in ["file", "file/below"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["--json", "trust", "add", REPO, &url, publisher.anchor()]);
        command.arg("--home").arg(publisher.path(home));
        Run::of(&["trust add --home", home], command.output().unwrap()).refused(code::STORAGE_FAILED);
    }
}

#[test]
fn log_fsck_does_not_ask_a_root_that_no_chain_leads_to() {
    let publisher = Publisher::with(&["1.0.0"]);
    fs::write(publisher.repo().join("metadata/9.root.json"), "{}").unwrap();
    publisher.fsck().ok();
    fs::write(publisher.repo().join("metadata/2.root.json"), "{}").unwrap();
    publisher.fsck().refused(code::TUF_MALFORMED);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let lab = Lab::new();
    let pipe = lab.path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    lab.run(&["verify", &text(&pipe)]).refused(code::FILE_NOT_REGULAR);
    lab.run(&["key", "recover", &text(&pipe), "--keys", &text(&lab.path("keys")), "--unencrypted"])
        .refused(code::FILE_NOT_REGULAR);
    assert!(!lab.path("keys").exists());
}

#[test]
fn no_home_is_a_question_of_usage() {
    let lab = Lab::new();
    for args in [&["list"][..], &["install", "acme/node"], &["trust", "list"], &["status"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.env_clear().current_dir(lab.path("")).arg("--json").args(args).output().unwrap();
        Run::of(args, output).refused(code::USAGE);
    }
    assert!(everything(&lab.path("")).is_empty());
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let lab = Lab::new();
    let (right, wrong) = (lab.path("right"), lab.path("wrong"));
    let mode = |file: &Path, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    for (file, secret) in [(&right, "correct horse battery staple\n"), (&wrong, "incorrect horse\n")] {
        fs::write(file, secret).unwrap();
        mode(file, 0o600);
    }
    fs::write(lab.path("node"), "x").unwrap();
    let with = |file: &Path, line: &str| {
        let line = line.replace('%', &text(&lab.path("")));
        let args: Vec<&str> = line.split(' ').collect();
        lab.run_with(&args, |command| {
            command.env("COUNTERSIGN_PASSPHRASE_FILE", file);
        })
    };
    with(&right, "init %repo --keys %keys").ok();
    let before = everything(&lab.path(""));
    with(&wrong, "renew %repo --keys %keys").refused(code::KEY_PASSPHRASE_WRONG);
    with(&wrong, "product add %repo node --keys %keys").refused(code::KEY_PASSPHRASE_WRONG);
    with(&lab.path("none"), "renew %repo --keys %keys").refused(code::KEY_PASSPHRASE_MISSING);
    // One that others can get at, like a key file; also by a link.
    std::os::unix::fs::symlink(&right, lab.path("link")).unwrap();
    for open in [0o604, 0o640, 0o620, 0o644] {
        mode(&right, open);
        for file in [&right, &lab.path("link")] {
            let run = with(file, "renew %repo --keys %keys").refused(code::KEY_STORAGE_FAILED);
            assert!(run.text().contains("chmod 600"), "{}", run.text());
        }
        with(&right, "init %other --keys %other-keys").refused(code::KEY_STORAGE_FAILED);
    }
    mode(&right, 0o600);
    fs::remove_file(lab.path("link")).unwrap();
    with(&lab.path("repo"), "renew %repo --keys %keys").refused(code::KEY_PASSPHRASE_MISSING);
    // It has no end, and says that it has no bytes.
    with(Path::new("/dev/zero"), "renew %repo --keys %keys").refused(code::KEY_PASSPHRASE_MISSING);
    lab.run(&["renew", &text(&lab.path("repo")), "--keys", &text(&lab.path("keys"))])
        .refused(code::KEY_PASSPHRASE_MISSING);
    assert_same(&before, &everything(&lab.path("")), "without the passphrase");
    with(&right, "renew %repo --keys %keys").ok();
}

/// Every file that the publisher's commands read, damaged in turn.
#[test]
fn a_damaged_repository_is_not_built_upon() {
    let publisher = busy_machine();
    let args = publisher.release_args("1.1.0");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut refused = 0;
    for file in every_file(&publisher.repo()) {
        let path = publisher.repo().join(&file);
        let whole = fs::read(&path).unwrap();
        // What is only served, or only locks, has no say in what is signed next.
        if whole.is_empty() || file.starts_with("targets") {
            continue;
        }
        let name = file.file_name().unwrap().to_str().unwrap();
        if !matches!(
            name,
            "timestamp.json"
                | "checkpoint"
                | "2.targets.json"
                | "3.snapshot.json"
                | "2.node.json"
                | "1.root.json"
        ) {
            continue;
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let before = everything(&publisher.repo());
        let run = publisher.lab().run(&args);
        let json = run.json();
        let class = json["code"].as_str().and_then(Code::find).map(Code::class);
        assert_eq!(class, Some(Class::Refused), "{}: {}", file.display(), run.text());
        assert_eq!(run.status(), Some(1), "{}: {}", file.display(), run.text());
        assert_same(&before, &everything(&publisher.repo()), name);
        fs::write(&path, &whole).unwrap();
        refused += 1;
    }
    assert_eq!(refused, 7);
    publisher.lab().run(&args).ok();
    publisher.fsck().ok();
}

#[test]
fn an_output_that_cannot_be_written_is_told_by_the_exit_status() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
    let publisher = busy_machine();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("--home").arg(publisher.path("home")).arg("list").stdout(full);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error[storage-failed]: "));
    // A reader that has read enough is no failure.
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let mut child = command.arg("explain").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The file-size limit makes every longer write fail like a full disk does.
#[test]
fn a_full_disk_publishes_nothing_and_the_next_release_works() {
    let publisher = busy_machine();
    let args = publisher.release_args("1.1.0");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    let served = everything(&publisher.repo().join("metadata"));
    for blocks in [0, 1, 2, 4, 8] {
        let run = publisher.lab().run_limited(&args, blocks);
        if run.status() == Some(0) {
            assert!(blocks > 4, "nothing of that release needs more than {blocks} blocks?");
            break;
        }
        let json = run.json();
        let class = json["code"].as_str().and_then(Code::find).map(Code::class);
        assert_eq!(class, Some(Class::Unavailable), "{}", run.text());
        assert_eq!(run.status(), Some(3), "{}", run.text());
        let now = everything(&publisher.repo().join("metadata"));
        assert!(served.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "what was served is served");
        machine.node("install").ok();
        assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.0.0")));
    }
    publisher.release("1.2.0").ok();
    publisher.fsck().ok();
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("1.2.0")));
}

/// Ctrl-C at many moments: what is served is always whole, and the next command goes on.
#[test]
fn ctrl_c_in_a_release_leaves_the_repository_usable() {
    let publisher = Publisher::with(&["1.0.0"]);
    let machine = Lab::new();
    publisher.trusted_by(&machine, &file_url(&publisher.repo())).ok();
    machine.node("install").ok();
    let mut interrupted = 0;
    for step in 0..24_u32 {
        let args = publisher.release_args(&format!("1.0.{}", step + 1));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = publisher.lab().command(&args);
        let ended = cut_short(&mut command, "INT", Duration::from_micros(700) * step);
        assert!(matches!(ended, None | Some(0)), "step {step}: exit status {ended:?}");
        interrupted += u32::from(ended.is_none());
        publisher.fsck().ok();
        machine.node("update").ok();
        machine.run(&["status", "--root", &text(&machine.path("root"))]).ok();
    }
    println!("{interrupted} of 24 releases were interrupted");
    assert!(interrupted > 1, "the interruptions come too late");
    publisher.release("2.0.0").ok();
    publisher.fsck().ok();
    machine.node("update").ok();
    assert_eq!(active(&machine.path("root")).as_ref(), Some(&files("2.0.0")));
}

/// Ctrl-C during `init`: the same command goes on with it.
#[test]
fn ctrl_c_in_init_is_finished_by_running_it_again() {
    for step in 0..12_u32 {
        let lab = Lab::new();
        let (repo, keys) = (text(&lab.path("repo")), text(&lab.path("keys")));
        let args = ["init", &repo, "--keys", &keys, "--unencrypted"];
        let ended = cut_short(&mut lab.command(&args), "INT", Duration::from_micros(900) * step);
        let run = lab.run(&args);
        if ended == Some(0) {
            run.refused(code::PUBLISH_REPO_EXISTS);
        } else {
            // Interrupted after its last step it is done, and only its answer was lost.
            assert!(run.status() == Some(0) || run.json()["code"] == "publish-repo-exists", "{}", run.text());
        }
        lab.run(&["log", "fsck", &repo]).ok();
    }
}

#[test]
fn ctrl_c_in_the_first_install_leaves_nothing_half_done() {
    let publisher = Publisher::with(&["1.0.0"]);
    let mut interrupted = 0;
    for step in 0..16_u32 {
        let machine = Lab::new();
        let url = file_url(&publisher.repo());
        let add = ["trust", "add", REPO, &url, publisher.anchor()];
        let root = text(&machine.path("root"));
        let install = ["install", "acme/node", "--root", &root, "--platform", "linux/amd64"];
        for args in [&add[..], &install] {
            let ended = cut_short(&mut machine.command(args), "INT", Duration::from_micros(500) * step);
            interrupted += u32::from(ended.is_none());
            let whole = active(Path::new(&root));
            assert!(whole.is_none_or(|found| found == files("1.0.0")), "step {step}");
            machine.run(args).ok();
        }
        assert_eq!(active(Path::new(&root)).as_ref(), Some(&files("1.0.0")));
        machine.run(&["fsck", "--root", &root]).ok();
    }
    println!("{interrupted} of 32 commands were interrupted");
    assert!(interrupted > 1, "the interruptions come too late");
}

#[test]
fn status_tells_of_the_others_when_one_record_is_damaged() {
    let publisher = busy_machine();
    let root = publisher.path("root");
    let status = || publisher.lab().run(&["status", "--root", &text(&root)]);
    status().ok();
    fs::create_dir_all(root.join("another/generations")).unwrap();
    fs::write(root.join(".countersign/products/another.json"), "not a record").unwrap();
    let json = status().refused(code::INSTALL_STATE_DAMAGED).json();
    assert_eq!(json["products"][0]["product"], "node", "{json}");
    assert_eq!(json["damaged"][0]["product"], "another", "{json}");
}

/// Legal, and perhaps not meant: the second repository shares its people with the first.
#[test]
fn init_tells_which_keys_were_there_already() {
    let publisher = Publisher::new();
    let again = publisher.path("again");
    let args = ["init", &text(&again), "--keys", &text(&publisher.path("keys")), "--unencrypted"];
    let json = publisher.lab().run(&args).ok().json();
    let found: Vec<&str> =
        json["found_keys"].as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
    assert_eq!(found, ["root-1", "root-2", "root-3", "snapshot", "timestamp", "log", "witness"]);
    let other =
        ["init", &text(&publisher.path("other")), "--keys", &text(&publisher.path("new")), "--unencrypted"];
    assert!(publisher.lab().run(&other).ok().json().get("found_keys").is_none());
}
