//! What a publisher does on good days.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign_keys::Protection;
use countersign_publish::{InitOptions, ReleaseOptions};
use countersign_verify::Leaf;

use countersign_base::Explain as _;

use crate::support::{PRODUCT, Site, View, files, temp, with_product};

#[test]
fn a_client_sees_what_was_released() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    assert_eq!(site.view(anchor).releases(), Vec::<&str>::new());
    let one = site.release("1.0.0", "one").unwrap();
    assert_eq!(one.publication.cosigners.len(), 1);
    assert_eq!((one.signers.len(), one.threshold), (2, 2));
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    site.release("1.1.0", "two").unwrap();
    let view = site.view(anchor);
    assert_eq!(view.releases(), ["1.0.0", "1.1.0"]);
    // init, product, two releases: each has a snapshot and a timestamp.
    assert_eq!((view.version("snapshot"), view.version("timestamp")), (4, 4));
    assert_eq!((view.version("targets"), view.version(PRODUCT), view.version("root")), (2, 3, 1));
}

#[test]
fn platforms_and_files_add_up_to_one_version() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let program = site.file("node", b"#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let (empty, large) = (site.file("empty.txt", b""), site.file("large", &vec![7; 1_000_000]));
    let released = site.release_files("1.0.0", "linux/amd64", &[program.clone(), empty, large]).unwrap();
    let modes: Vec<_> = released.files.iter().map(|file| file.mode.to_string()).collect();
    assert_eq!(modes, ["755", "644", "644"]);
    site.release_files("1.0.0", "linux/arm64", &[program]).unwrap();
    let targets = site.view(anchor).targets;
    let paths: Vec<_> = targets.keys().map(String::as_str).collect();
    let amd64 =
        ["node/1.0.0/linux-amd64/empty.txt", "node/1.0.0/linux-amd64/large", "node/1.0.0/linux-amd64/node"];
    assert_eq!(paths, [&amd64[..], &["node/1.0.0/linux-arm64/node"]].concat());
}

#[test]
fn the_same_content_can_be_released_again_under_another_version() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "same").unwrap();
    site.release("1.0.1", "same").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.0.1"]);
}

#[test]
fn progress_is_heard_to_the_end() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let files = [site.file("large", &vec![7; 1_000_000])];
    let (product, version) = (PRODUCT.parse().unwrap(), "1.0.0".parse().unwrap());
    let (platform, channel) = ("linux/amd64".parse().unwrap(), "stable".parse().unwrap());
    let options = ReleaseOptions {
        product: &product,
        version: &version,
        platform: &platform,
        channel: &channel,
        files: &files,
    };
    let mut heard = Vec::new();
    site.act(|publisher| publisher.release(&options, &mut |step| heard.push((step.done, step.total))))
        .unwrap();
    assert!(heard.len() > 1 && heard.is_sorted());
    assert_eq!(heard.last(), Some(&(1_000_000, 1_000_000)));
}

#[test]
fn secrets_and_unfinished_files_stay_out_of_what_is_served() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let served = files(&site.repo());
    let public = |path: &std::path::Path| !path.starts_with(".countersign");
    for (path, bytes) in served.iter().filter(|(path, _)| public(path)) {
        let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
        assert!(["metadata", "targets", "log"].contains(&first), "{}", path.display());
        assert!(!path.to_string_lossy().contains(".tmp-"), "{}", path.display());
        assert!(!String::from_utf8_lossy(bytes).contains("seed"), "{}", path.display());
    }
    assert!(!served.keys().any(|path| path.starts_with(".countersign/staging")));
    assert!(!served.keys().any(|path| path.ends_with("unfinished")));
}

#[test]
fn every_logged_version_is_there_for_monitors() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let served = files(&site.repo());
    let bundle = served
        .keys()
        .filter(|path| path.starts_with("log/tile/entries"))
        .max_by_key(|path| served[*path].len());
    let mut rest = served[bundle.unwrap()].as_slice();
    let mut leaves = 0;
    while let [high, low, tail @ ..] = rest {
        let (entry, after) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        let leaf = Leaf::parse(entry).unwrap();
        let file = format!("metadata/{}.{}.json", leaf.version, leaf.role);
        assert_eq!(countersign_crypto::sha256(&served[std::path::Path::new(&file)]), leaf.sha256, "{file}");
        leaves += 1;
        rest = after;
    }
    // root, targets, snapshot; targets, node, snapshot; node, snapshot
    assert_eq!(leaves, 8);
}

#[test]
fn renewing_keeps_a_repository_fresh() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let before = site.view(anchor);
    site.now = site.now.plus_days(20);
    assert!(
        crate::support::view(&site.repo(), anchor, site.now).is_err(),
        "the timestamp expired after 14 days"
    );
    let renewed = site.renew().unwrap();
    assert!(renewed.documents.is_empty() && renewed.tree_size.is_none());
    let after = site.view(anchor);
    assert_eq!(after.version("timestamp"), before.version("timestamp") + 1);
    assert_eq!(View { versions: before.versions.clone(), ..after.clone() }, before);
    // Two thirds of the snapshot's 90 days.
    site.now = site.now.plus_days(45);
    assert_eq!(site.renew().unwrap().documents.len(), 1);
    assert_eq!(site.view(anchor).version("snapshot"), before.version("snapshot") + 1);
    site.release("1.1.0", "two").unwrap();
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}

#[test]
fn keys_that_exist_are_used() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    let first = site.init().unwrap();
    fs::rename(site.repo(), dir.path().join("old")).unwrap();
    let keys = files(&site.keys());
    let options = InitOptions {
        origin: Some("log.example/second".to_owned()),
        ..InitOptions::new(Protection::Unencrypted)
    };
    let second = site.act(|publisher| publisher.init(&options)).unwrap();
    assert_ne!(first.anchor, second.anchor);
    let now = files(&site.keys());
    assert!(
        keys.iter()
            .filter(|(path, _)| !path.starts_with("witness") && !path.starts_with("usage"))
            .all(|(path, bytes)| now[path] == *bytes)
    );
    site.view(second.anchor);
}

/// A use that cannot be recorded is of a signature that does not leave.
#[test]
fn what_cannot_be_recorded_is_not_published() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let before = site.view(anchor);
    let (recent, aside) = (site.keys().join("usage/recent"), site.keys().join("usage/aside"));
    std::fs::rename(&recent, &aside).unwrap();
    std::fs::create_dir(&recent).unwrap();
    for outcome in [site.release("1.0.0", "one").map(drop), site.renew().map(drop), site.init().map(drop)] {
        let error = outcome.unwrap_err();
        let known = ["log-storage-failed", "publish-repo-exists"];
        assert!(known.contains(&error.code().name()), "{}: {error}", error.code());
    }
    assert_eq!(site.view(anchor), before);
    std::fs::remove_dir(&recent).unwrap();
    std::fs::rename(&aside, &recent).unwrap();
    site.release("1.0.0", "one").unwrap();
}
