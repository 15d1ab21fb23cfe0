//! What a publisher refuses, each with its code, and that nothing changes then.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use countersign_base::Explain as _;
use countersign_base::name::ProductName;
use countersign_crypto::{Algorithm, PublicKey, SecretKey};
use countersign_keys::Protection;
use countersign_publish::{InitOptions, ProductOptions, Publisher};
use countersign_store::Lock;
use countersign_tuf::editor::TargetsEditor;
use countersign_tuf::{Envelope, Role as _, Targets};

use crate::support::{PRODUCT, Site, code, files, temp, with_product};

/// Runs `attempt`, which must fail with `want` and leave every public file as it was.
fn refused<T>(
    site: &mut Site,
    want: &str,
    attempt: impl FnOnce(&mut Site) -> Result<T, countersign_publish::PublishError>,
) {
    let public = |site: &Site| {
        let mut all = files(&site.repo());
        all.retain(|path, _| !path.starts_with(".countersign"));
        all
    };
    let before = public(site);
    assert_eq!(code(attempt(site)), want);
    assert!(before == public(site), "{want} changed what is served");
}

fn stranger(byte: u8) -> PublicKey {
    SecretKey::from_seed(Algorithm::Ed25519, &[byte; 32]).unwrap().public_key().clone()
}

#[test]
fn init_writes_over_nothing() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    fs::create_dir(site.repo()).unwrap();
    fs::write(site.repo().join("notes.txt"), "mine").unwrap();
    refused(&mut site, "publish-dir-not-empty", Site::init);
    fs::remove_file(site.repo().join("notes.txt")).unwrap();
    let anchor = site.init().unwrap().anchor;
    refused(&mut site, "publish-repo-exists", Site::init);
    site.view(anchor);
    // A repository that lost its timestamp is damaged, not new.
    fs::remove_file(site.repo().join("metadata/timestamp.json")).unwrap();
    refused(&mut site, "publish-repo-exists", Site::init);
}

#[test]
fn init_takes_only_thresholds_that_can_be_met() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    for (root_keys, root_threshold) in [(3, 0), (3, 4), (0, 0)] {
        let options = InitOptions { root_keys, root_threshold, ..InitOptions::new(Protection::Unencrypted) };
        assert_eq!(code(site.act(|publisher| publisher.init(&options))), "usage");
    }
    assert!(!site.repo().exists());
    let options =
        InitOptions { root_keys: 1, root_threshold: 1, ..InitOptions::new(Protection::Unencrypted) };
    let anchor = site.act(|publisher| publisher.init(&options)).unwrap().anchor;
    site.view(anchor);
}

#[test]
fn without_a_repository_nothing_is_done() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    assert_eq!(code(site.renew()), "publish-repo-missing");
    assert_eq!(code(site.add_product()), "publish-repo-missing");
    assert_eq!(code(site.release("1.0.0", "one")), "publish-repo-missing");
    assert!(!site.repo().exists());
}

#[test]
fn a_product_is_added_once_and_to_signers_who_are_there() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    refused(&mut site, "publish-product-exists", Site::add_product);
    let name: ProductName = "tool".parse().unwrap();
    let add = |site: &mut Site, threshold, signers: Vec<PublicKey>| {
        let options =
            ProductOptions { threshold, signers, ..ProductOptions::new(&name, Protection::Unencrypted) };
        site.act(|publisher| publisher.product_add(&options))
    };
    refused(&mut site, "usage", |site| add(site, 0, vec![]));
    refused(&mut site, "usage", |site| add(site, 3, vec![stranger(1), stranger(2)]));
    refused(&mut site, "publish-threshold-not-met", |site| add(site, 1, vec![stranger(1)]));
    let ours: PublicKey = public(&site, "node-1");
    refused(&mut site, "publish-threshold-not-met", |site| add(site, 2, vec![ours.clone(), stranger(1)]));
    refused(&mut site, "tuf-key-duplicate", |site| add(site, 2, vec![ours.clone(), ours.clone()]));
    let added = add(&mut site, 1, vec![ours, stranger(1)]).unwrap();
    assert_eq!((added.signers.len(), added.threshold), (2, 1));
    assert_eq!(site.view(anchor).version("tool"), 1);
}

fn public(site: &Site, name: &str) -> PublicKey {
    countersign_keys::KeyDir::open(site.keys()).unwrap().find(name).unwrap().public
}

#[test]
fn who_is_missing_is_said() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let missing = public(&site, "node-2").to_string();
    for ending in ["key", "pub"] {
        fs::remove_file(site.keys().join(format!("node-2.{ending}"))).unwrap();
    }
    let error = site.release("1.0.0", "one").unwrap_err();
    assert_eq!(error.code().name(), "publish-threshold-not-met");
    assert_eq!(error.to_string(), "`node` needs 2 signatures, and 1 of its keys are at hand");
    assert!(error.fix().unwrap().contains(&missing));
}

#[test]
fn a_released_file_is_never_replaced() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    refused(&mut site, "publish-version-exists", |site| site.release("1.0.0", "two"));
    refused(&mut site, "publish-version-exists", |site| site.release("1.0.0", "one"));
    site.release("1.0.1", "two").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.0.1"]);
}

#[test]
fn only_regular_files_with_plain_names_are_released() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let good = site.file("good", b"good");
    let link = good.with_file_name("link");
    symlink(&good, &link).unwrap();
    let folder = good.with_file_name("folder");
    fs::create_dir(&folder).unwrap();
    let again = folder.join("good");
    fs::write(&again, "other").unwrap();
    let release = |site: &mut Site, files: &[&Path]| {
        let files: Vec<_> = files.iter().map(|file| file.to_path_buf()).collect();
        site.release_files("1.0.0", "linux/amd64", &files)
    };
    refused(&mut site, "usage", |site| release(site, &[]));
    refused(&mut site, "usage", |site| release(site, &[&good, &again]));
    refused(&mut site, "file-not-regular", |site| release(site, &[&good, &link]));
    refused(&mut site, "file-not-regular", |site| release(site, &[&folder]));
    refused(&mut site, "file-not-found", |site| release(site, &[&good.with_file_name("absent")]));
    let odd = site.file("odd name", b"odd");
    refused(&mut site, "name-invalid", |site| release(site, &[&odd]));
    release(&mut site, &[&good]).unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn an_unknown_product_is_not_released() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    site.init().unwrap();
    refused(&mut site, "publish-product-unknown", |site| site.release("1.0.0", "one"));
}

#[test]
fn one_publisher_at_a_time() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let lock = Lock::try_acquire(&site.repo().join(".countersign/lock")).unwrap();
    refused(&mut site, "publish-locked", |site| site.release("1.0.0", "one"));
    drop(lock);
    site.release("1.0.0", "one").unwrap();
}

#[test]
fn damaged_metadata_is_not_built_on() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    for name in ["1.root.json", "timestamp.json", "3.snapshot.json", "2.targets.json", "2.node.json"] {
        let path = site.repo().join("metadata").join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&path, &bad).unwrap();
        refused(&mut site, "publish-repo-damaged", |site| site.release("1.1.0", "two"));
        fs::write(&path, &good).unwrap();
    }
    let path = site.repo().join("metadata/2.targets.json");
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    refused(&mut site, "publish-repo-damaged", |site| site.release("1.1.0", "two"));
    fs::write(&path, &good).unwrap();
    site.release("1.1.0", "two").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}

#[test]
fn metadata_without_its_proof_is_not_built_on() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    for name in ["1.root", "3.snapshot", "2.targets", "2.node"] {
        let path = site.repo().join(format!("metadata/{name}.json.tlog-proof"));
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        refused(&mut site, "publish-repo-damaged", |site| site.release("1.1.0", "two"));
        let other = site.repo().join("metadata/1.targets.json.tlog-proof");
        fs::copy(other, &path).unwrap();
        refused(&mut site, "publish-repo-damaged", |site| site.release("1.1.0", "two"));
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        refused(&mut site, "publish-repo-damaged", |site| site.release("1.1.0", "two"));
        fs::write(&path, &good).unwrap();
    }
    site.release("1.1.0", "two").unwrap();
    assert_eq!(site.view(anchor).version(PRODUCT), 3);
}

#[test]
fn a_clock_before_the_witnesses_time_is_noticed() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.now = "2026-11-20T14:00:00Z".parse().unwrap();
    refused(&mut site, "log-cosignature-time", |site| site.release("1.0.0", "one"));
    site.now = crate::support::start();
    site.release("1.0.0", "one").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

#[test]
fn expired_offline_roles_are_not_built_on() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.now = site.now.plus_days(366);
    refused(&mut site, "tuf-expired", |site| site.release("1.0.0", "one"));
    refused(&mut site, "tuf-expired", Site::renew);
    // A new product is a new version of targets, which root's keys sign.
    let name: ProductName = "tool".parse().unwrap();
    site.act(|publisher| publisher.product_add(&ProductOptions::new(&name, Protection::Unencrypted)))
        .unwrap();
    site.release("1.0.0", "one").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
}

/// M22 (a): one of a product's keys signs what two must. The log does not take it, and no number is used up.
#[test]
fn m22_one_signer_alone_gets_nothing_into_the_log() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let bytes = fs::read(site.repo().join("metadata/2.node.json")).unwrap();
    let role = Envelope::<Targets>::parse(PRODUCT, &bytes).unwrap().signed;
    assert_eq!(role.version(), 2);
    let mut draft = TargetsEditor::next(PRODUCT, &role).finish().unwrap();
    let keys = countersign_keys::KeyDir::open(site.keys()).unwrap();
    let mut ask = |_: &countersign_keys::KeyInfo| panic!("not sealed");
    let now = crate::support::start();
    let signer = keys.signer(&keys.find("node-1").unwrap(), &mut ask, now).unwrap();
    draft.sign(&[&*signer]).unwrap();
    let log = keys.signer(&keys.find("log").unwrap(), &mut ask, now).unwrap();
    let checkpoint = fs::read_to_string(site.repo().join("log/checkpoint")).unwrap();
    let key = countersign_log::LogKey::new(checkpoint.lines().next().unwrap(), log).unwrap();
    let private = site.repo().join(".countersign/log");
    let mut log =
        countersign_log::Sequencer::open(&private, &site.repo().join("log"), key, site.now).unwrap();
    let mut admission = countersign_log::Admission::open(&private, &log, site.now).unwrap();
    let submission =
        countersign_log::Submission { role: PRODUCT.to_owned(), bytes: draft.to_bytes().unwrap() };
    let error = admission.admit(&mut log, &[submission], site.now).unwrap_err();
    assert_eq!(error.code().name(), "log-entry-unauthorised");
    drop(log);
    site.release("1.1.0", "two").unwrap();
    assert_eq!(site.view(anchor).version(PRODUCT), 3);
}

/// What is in a repository's folder is copied to servers and mirrors, secret keys too.
#[test]
fn keys_are_not_kept_in_the_repository() {
    let dir = temp();
    let repo = dir.path().join("repo");
    let mut ask = |_: &countersign_keys::KeyInfo| panic!("nothing is sealed here");
    let mut connect = |_: &_| panic!("no remote witness here");
    for keys in ["repo", "repo/keys", "repo/targets/old"] {
        let keys = dir.path().join(keys);
        let mut publisher = Publisher::new(&repo, &keys, crate::support::start(), &mut ask, &mut connect);
        assert_eq!(code(publisher.init(&InitOptions::new(Protection::Unencrypted))), "usage");
        assert!(!repo.exists(), "{}", keys.display());
    }
    let mut site = Site::new(dir.path());
    site.init().unwrap();
    // Nor are they moved there later.
    fs::rename(site.keys(), repo.join("keys")).unwrap();
    symlink(repo.join("keys"), site.keys()).unwrap();
    refused(&mut site, "usage", Site::add_product);
}

/// What is released is what somebody saw, and not the half of one file and the half of the next.
#[test]
fn a_file_that_is_changed_while_it_is_read_is_not_released() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let old = vec![1; 600 * 1024];
    let file = site.file(PRODUCT, &old);
    for (content, length) in [(2, 600 * 1024), (1, 700 * 1024), (1, 300 * 1024)] {
        fs::write(&file, &old).unwrap();
        let attempt = |site: &mut Site| {
            let mut changed = false;
            site.release_hearing("1.0.0", std::slice::from_ref(&file), &mut || {
                if !std::mem::replace(&mut changed, true) {
                    // File systems tell times apart by a few milliseconds.
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    fs::write(&file, vec![content; length]).unwrap();
                }
            })
        };
        refused(&mut site, "file-unreadable", attempt);
    }
    site.release_files("1.0.0", "linux/amd64", &[file]).unwrap();
}
