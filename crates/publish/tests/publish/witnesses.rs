//! Witnesses that others run: unknown logs, outages, quorums.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign_base::Explain as _;
use countersign_crypto::{Algorithm, SecretKey, Signer};
use countersign_keys::Protection;
use countersign_log::{CosignError, Cosigner, LocalCosigner, LogList, Witness};
use countersign_publish::{InitOptions, Initialised, PublishError, WitnessSpec};
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{NoteSignature, VerifierKey};

use crate::support::{Site, code, files, start, temp};

/// Witnesses in this process, some of which are down.
#[derive(Clone)]
struct Operators {
    witnesses: Vec<Arc<Witness>>,
    down: Arc<Mutex<BTreeSet<String>>>,
    /// What these say instead of an answer: that they have seen a larger tree.
    lying: Arc<Mutex<BTreeSet<String>>>,
}

struct Liar(String);

impl Cosigner for Liar {
    fn name(&self) -> &str {
        &self.0
    }

    fn cosign(&mut self, _: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        Err(CosignError::Conflict { size: 1000 })
    }
}

struct Unreachable(String);

impl Cosigner for Unreachable {
    fn name(&self) -> &str {
        &self.0
    }

    fn cosign(&mut self, _: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        Err(CosignError::Unavailable("connection refused".to_owned()))
    }
}

impl Operators {
    fn new(root: &Path, count: u8) -> Self {
        let witness = |number: u8| {
            let key = SecretKey::from_seed(Algorithm::Ed25519, &[number; 32]).unwrap();
            let signers: Vec<Box<dyn Signer>> = vec![Box::new(key)];
            let name = format!("witness.example/w{number}");
            let state = root.join(format!("w{number}"));
            Arc::new(Witness::open(&state, &name, signers, LogList::default()).unwrap())
        };
        Self { witnesses: (1..=count).map(witness).collect(), down: Arc::default(), lying: Arc::default() }
    }

    fn learn(&self, log: &VerifierKey) {
        for witness in &self.witnesses {
            witness.replace_logs(LogList::new([log.clone()]));
        }
    }

    fn stop(&self, names: &[&str]) {
        *self.down.lock().unwrap() = names.iter().map(|name| format!("witness.example/{name}")).collect();
    }

    fn site(&self, root: &Path) -> Site {
        let all = self.clone();
        let remote = move |asked: &countersign_tlog::policy::PolicyWitness| -> Box<dyn Cosigner> {
            let name = asked.key.name();
            if all.down.lock().unwrap().contains(name) {
                return Box::new(Unreachable(name.to_owned()));
            }
            if all.lying.lock().unwrap().contains(name) {
                return Box::new(Liar(name.to_owned()));
            }
            let witness = all.witnesses.iter().find(|witness| witness.name() == name).unwrap();
            Box::new(LocalCosigner::new(Arc::clone(witness), start()))
        };
        Site { remote: Some(Box::new(remote)), ..Site::new(root) }
    }

    fn init(&self, site: &mut Site) -> Result<Initialised, PublishError> {
        let spec = |witness: &Arc<Witness>| WitnessSpec {
            key: witness.verifiers()[0].clone(),
            url: format!("https://{}", witness.name()),
        };
        let witnesses = self.witnesses.iter().map(spec).collect();
        let options = InitOptions { witnesses, ..InitOptions::new(Protection::Unencrypted) };
        site.act(|publisher| publisher.init(&options))
    }
}

/// The log's verifier key, as the message for the operator has it.
fn log_line(error: &PublishError) -> VerifierKey {
    error.fix().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn init_is_completed_once_the_witness_knows_the_log() {
    let dir = temp();
    let operators = Operators::new(dir.path(), 1);
    let mut site = operators.site(dir.path());
    let error = operators.init(&mut site).unwrap_err();
    assert_eq!(error.code().name(), "witness-log-unknown");
    assert!(!site.repo().join("metadata/timestamp.json").exists());
    assert_eq!(code(site.add_product()), "publish-repo-missing");
    operators.learn(&log_line(&error));
    let made = operators.init(&mut site).unwrap();
    assert_eq!(made.publication.cosigners, ["witness.example/w1"]);
    assert!(!site.keys().join("witness.key").exists());
    site.add_product().unwrap();
    site.release("1.0.0", "one").unwrap();
    assert_eq!(site.view(made.anchor).releases(), ["1.0.0"]);
}

#[test]
fn an_unfinished_init_is_not_completed_with_other_witnesses() {
    let dir = temp();
    let operators = Operators::new(dir.path(), 1);
    let mut site = operators.site(dir.path());
    operators.init(&mut site).unwrap_err();
    let error = site.init().unwrap_err();
    assert!(matches!(error, PublishError::InitDiffers { .. }), "{error}");
    assert_eq!(error.code().name(), "publish-repo-exists");
}

/// D31 (b): witnesses below the quorum. Nothing is visible half-way, and the same command completes it.
#[test]
fn d31_too_few_witnesses_block_and_the_next_run_completes() {
    let dir = temp();
    let operators = Operators::new(dir.path(), 3);
    let mut site = operators.site(dir.path());
    let error = operators.init(&mut site).unwrap_err();
    operators.learn(&log_line(&error));
    let anchor = operators.init(&mut site).unwrap().anchor;
    site.add_product().unwrap();

    // Two of three are enough.
    operators.stop(&["w2"]);
    let released = site.release("1.0.0", "one").unwrap();
    assert_eq!(released.publication.cosigners, ["witness.example/w1", "witness.example/w3"]);
    let before = site.view(anchor);

    operators.stop(&["w2", "w3"]);
    let error = site.release("1.1.0", "two").unwrap_err();
    assert_eq!(error.code().name(), "publish-blocked");
    assert_eq!(error.code().class().exit_status(), 3);
    assert!(error.to_string().contains("witness.example/w2"), "{error}");
    assert_eq!(site.view(anchor), before);

    operators.stop(&[]);
    let released = site.release("1.1.0", "two").unwrap();
    assert_eq!(released.publication.cosigners.len(), 3);
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}

#[test]
fn without_the_local_witness_key_nothing_is_published() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    let anchor = site.init().unwrap().anchor;
    let before = site.view(anchor);
    let key = site.keys().join("witness.key");
    let kept = dir.path().join("kept");
    std::fs::rename(&key, &kept).unwrap();
    assert_eq!(code(site.add_product()), "publish-blocked");
    assert_eq!(site.view(anchor), before);
    std::fs::rename(&kept, &key).unwrap();
    site.add_product().unwrap();
}

/// L18 (a): storage from yesterday. The witness has seen a larger tree, or another one of the size. That is found
/// before the log signs anything on top of it, and before a new timestamp makes what is old look fresh.
#[test]
fn l18_a_log_restored_from_an_older_copy_signs_nothing_more() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    site.init().unwrap();
    let copy = dir.path().join("copy");
    crate::support::copy(&site.repo(), &copy);
    site.add_product().unwrap();
    site.release("1.0.0", "one").unwrap();
    std::fs::remove_dir_all(site.repo()).unwrap();
    crate::support::copy(&copy, &site.repo());
    let before = files(&site.repo());
    site.now = site.now.plus_seconds(1);
    assert_eq!(code(site.add_product()), "log-storage-rollback");
    assert_eq!(code(site.renew()), "log-storage-rollback");
    assert!(before == files(&site.repo()), "a log that is behind went on");
}

/// As above where the restored log has since been made as large by somebody whom the witness did not see.
#[test]
fn a_log_that_is_another_than_the_witness_saw_signs_nothing_more() {
    let dir = temp();
    let mut site = Site::new(dir.path());
    site.init().unwrap();
    let (repo, state) = (dir.path().join("copy"), dir.path().join("state"));
    crate::support::copy(&site.repo(), &repo);
    crate::support::copy(&site.keys().join("witness"), &state);
    site.add_product().unwrap();
    let seen = dir.path().join("seen");
    crate::support::copy(&site.keys().join("witness"), &seen);
    for (from, to) in [(&repo, site.repo()), (&state, site.keys().join("witness"))] {
        std::fs::remove_dir_all(&to).unwrap();
        crate::support::copy(from, &to);
    }
    site.now = site.now.plus_seconds(1);
    site.add_product().unwrap();
    site.release("1.0.0", "one").unwrap();
    crate::support::copy(&seen, &site.keys().join("witness"));
    let before = files(&site.repo());
    assert_eq!(code(site.release("1.1.0", "two")), "log-storage-rollback");
    assert_eq!(code(site.renew()), "log-storage-rollback");
    assert!(before == files(&site.repo()), "a forked log went on");
}

/// One of three witnesses says that it has seen more. Two must have cosigned what was published, and the others have not:
/// it lies, and keeps nothing from being renewed. Where another is silent, it may be right.
#[test]
fn one_witness_that_lies_stops_no_renewal() {
    let dir = temp();
    let operators = Operators::new(dir.path(), 3);
    let mut site = operators.site(&dir.path().join("machine"));
    let error = operators.init(&mut site).unwrap_err();
    operators.learn(&log_line(&error));
    operators.init(&mut site).unwrap();
    operators.lying.lock().unwrap().insert("witness.example/w2".to_owned());
    site.renew().unwrap();
    operators.stop(&["w3"]);
    assert_eq!(code(site.renew()), "log-storage-rollback");
    operators.lying.lock().unwrap().clear();
    site.renew().unwrap();
}

/// The whole machine is restored from yesterday, keys directory and all. Only the witnesses elsewhere know what has been
/// published since, and are asked before anything is signed: also for a renewal, which needs no cosignature.
#[test]
fn l18_a_machine_restored_as_a_whole_is_told_by_its_witnesses() {
    let dir = temp();
    let operators = Operators::new(dir.path(), 2);
    let mut site = operators.site(&dir.path().join("machine"));
    let error = operators.init(&mut site).unwrap_err();
    operators.learn(&log_line(&error));
    operators.init(&mut site).unwrap();
    site.add_product().unwrap();
    let keep = |site: &Site, name: &str| {
        crate::support::copy(&site.repo(), &dir.path().join(name).join("repo"));
        crate::support::copy(&site.keys(), &dir.path().join(name).join("keys"));
    };
    keep(&site, "yesterday");
    site.release("1.0.0", "one").unwrap();
    keep(&site, "today");
    let restore = |site: &Site, name: &str| {
        for (from, to) in [("repo", site.repo()), ("keys", site.keys())] {
            std::fs::remove_dir_all(&to).unwrap();
            crate::support::copy(&dir.path().join(name).join(from), &to);
        }
    };
    restore(&site, "yesterday");
    let before = files(&site.repo());
    assert_eq!(code(site.renew()), "log-storage-rollback");
    assert_eq!(code(site.release("1.0.0", "another")), "log-storage-rollback");
    // One of them is enough, and one that is down says nothing.
    operators.stop(&["w1"]);
    let error = site.renew().unwrap_err();
    assert!(error.to_string().contains("witness `witness.example/w2` has cosigned a tree of"), "{error}");
    assert!(before == files(&site.repo()), "a machine that is behind went on");
    // The twin: what is restored is the newest, whoever is up.
    restore(&site, "today");
    site.renew().unwrap();
    operators.stop(&["w1", "w2"]);
    site.renew().unwrap();
}
