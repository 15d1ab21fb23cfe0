//! Sealed keys: who is asked for a passphrase, when, and what a wrong one does.

use std::collections::BTreeMap;

use countersign_base::Explain as _;
use countersign_keys::{KeyInfo, KeysError, Passphrase, Protection};
use countersign_log::Cosigner;
use countersign_publish::{InitOptions, PublishError, Publisher};
use countersign_tlog::policy::PolicyWitness;

use crate::support::{files, start, temp};

/// Runs `act` with this passphrase and counts how often each key's is asked for.
fn act<T>(
    root: &std::path::Path,
    passphrase: &str,
    act: impl FnOnce(&mut Publisher<'_>) -> Result<T, PublishError>,
) -> (Result<T, PublishError>, BTreeMap<String, u32>) {
    let mut asked = BTreeMap::new();
    let mut ask = |info: &KeyInfo| -> Result<Passphrase, KeysError> {
        *asked.entry(info.name.to_string()).or_default() += 1;
        Passphrase::new(passphrase.to_owned())
    };
    let mut connect = |_: &PolicyWitness| -> Box<dyn Cosigner> { panic!("no remote witness here") };
    let (repo, keys) = (root.join("repo"), root.join("keys"));
    let outcome = act(&mut Publisher::new(&repo, &keys, start(), &mut ask, &mut connect));
    (outcome, asked)
}

#[test]
fn each_key_is_asked_for_once_and_a_wrong_passphrase_changes_nothing() {
    let dir = temp();
    let right = Passphrase::new("correct horse".to_owned()).unwrap();
    let options =
        InitOptions { root_keys: 1, root_threshold: 1, ..InitOptions::new(Protection::Passphrase(&right)) };
    let (made, asked) = act(dir.path(), "correct horse", |publisher| publisher.init(&options));
    made.unwrap();
    let names: Vec<_> = asked.iter().map(|(name, times)| (name.as_str(), *times)).collect();
    assert_eq!(names, [("log", 1), ("root-1", 1), ("snapshot", 1), ("timestamp", 1), ("witness", 1)]);

    let before = files(&dir.path().join("repo"));
    let (renewed, asked) = act(dir.path(), "battery staple", |publisher| publisher.renew());
    assert_eq!(renewed.unwrap_err().code().name(), "key-passphrase-wrong");
    assert_eq!(asked.values().sum::<u32>(), 1, "a wrong passphrase is not asked for again");
    assert!(before == files(&dir.path().join("repo")));

    // Renewing the timestamp alone logs nothing: no key of root's or of the witness is opened.
    let (renewed, asked) = act(dir.path(), "correct horse", |publisher| publisher.renew());
    renewed.unwrap();
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["log", "timestamp"]);
}
