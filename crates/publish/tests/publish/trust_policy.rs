//! Other witnesses, another quorum, other keys of the log.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use countersign_base::{Explain as _, Timestamp};
use countersign_crypto::{Algorithm, SecretKey};
use countersign_keys::Stage;
use countersign_log::{CosignError, Cosigner, LocalCosigner, LogList, Witness};
use countersign_publish::proposal::RootChange;
use countersign_publish::{Intent, PolicyEdit, PublishError, WitnessSpec};
use countersign_tlog::policy::{Policy, PolicyWitness};
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{NoteSignature, VerifierKey};

use crate::support::{Site, code, files, with_product};
use crate::trust_support::{Client, change, lose, new_key, signed, temp};

/// Witnesses that others run, some of which are down.
#[derive(Clone)]
struct Operators {
    witnesses: Vec<Arc<Witness>>,
    down: Rc<RefCell<BTreeSet<String>>>,
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
            let name = format!("witness.example/w{number}");
            let state = root.join(format!("w{number}"));
            Arc::new(Witness::open(&state, &name, vec![Box::new(key)], LogList::default()).unwrap())
        };
        Self { witnesses: (1..=count).map(witness).collect(), down: Rc::default() }
    }

    fn learn(&self, logs: &[VerifierKey]) {
        self.witnesses.iter().for_each(|witness| witness.replace_logs(LogList::new(logs.iter().cloned())));
    }

    fn attach(&self, site: &mut Site, now: Timestamp) {
        let all = self.clone();
        site.remote = Some(Box::new(move |asked: &PolicyWitness| -> Box<dyn Cosigner> {
            let name = asked.key.name();
            if all.down.borrow().contains(name) {
                return Box::new(Unreachable(name.to_owned()));
            }
            let witness = all.witnesses.iter().find(|witness| witness.name() == name).unwrap();
            Box::new(LocalCosigner::new(Arc::clone(witness), now))
        }));
    }

    fn specs(&self) -> Vec<WitnessSpec> {
        let spec = |witness: &Arc<Witness>| WitnessSpec {
            key: witness.verifiers()[0].clone(),
            url: format!("https://{}", witness.name()),
        };
        self.witnesses.iter().map(spec).collect()
    }
}

/// The root with the edited policy.
fn edited(site: &mut Site, edit: &PolicyEdit) -> Result<Intent, PublishError> {
    let policy = site.act(|publisher| publisher.policy())?;
    let lines = edit.apply(&policy)?;
    Ok(Intent::Root(RootChange { policy: Some(lines), ..RootChange::default() }))
}

fn log_keys(site: &mut Site) -> Vec<VerifierKey> {
    let policy = site.act(|publisher| publisher.policy()).unwrap();
    policy.logs().iter().map(|log| log.key.clone()).collect()
}

/// From the local witness to two of three that others run, then another log key, then one witness less.
#[test]
fn witnesses_and_quorum_are_changed_and_clients_follow() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let (awake, asleep) = (Client::new(&site, anchor, "awake"), Client::new(&site, anchor, "asleep"));
    let operators = Operators::new(dir.path(), 3);
    let now = site.now;
    operators.attach(&mut site, now);
    operators.learn(&log_keys(&mut site));
    let local = site.act(|publisher| publisher.policy()).unwrap().witnesses()[0].name.to_string();
    let edit = PolicyEdit {
        add_witnesses: operators.specs(),
        remove_witnesses: vec![local.clone()],
        ..PolicyEdit::default()
    };
    let intent = edited(&mut site, &edit).unwrap();
    let published = change(&mut site, &intent).unwrap();
    assert_eq!(published.cosigners.len(), 3, "{:?}", published.cosigners);
    assert_eq!(awake.refresh(&site).0, 2);
    lose(&site, "witness");
    operators.down.borrow_mut().insert("witness.example/w2".to_owned());
    site.release("1.1.0", "two").unwrap();
    awake.refresh(&site);

    let log = new_key(&site, "log-2", Stage::Log);
    let old = site.act(|publisher| publisher.policy()).unwrap().logs()[0].key.clone();
    let new = VerifierKey::for_log(old.name(), &log).unwrap();
    operators.learn(&[old.clone(), new.clone()]);
    let edit = PolicyEdit {
        add_log_keys: vec![log],
        remove_log_keys: vec![old.public_key().clone()],
        ..PolicyEdit::default()
    };
    let intent = edited(&mut site, &edit).unwrap();
    change(&mut site, &intent).unwrap();
    assert_eq!(awake.refresh(&site).0, 3);
    lose(&site, "log");
    operators.learn(&[new]);

    let edit = PolicyEdit {
        remove_witnesses: vec!["witness.example/w2".to_owned()],
        quorum: Some(1),
        ..PolicyEdit::default()
    };
    let intent = edited(&mut site, &edit).unwrap();
    change(&mut site, &intent).unwrap();
    site.release("1.2.0", "three").unwrap();
    assert_eq!(awake.refresh(&site), asleep.refresh(&site));
    assert_eq!(Client::new(&site, anchor, "new").refresh(&site).0, 4);
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0", "1.2.0"]);
}

/// A witness that is down, or does not know the log's new key: it shows before anything is logged, and everything else
/// goes on as before.
#[test]
fn a_policy_that_could_not_be_met_is_not_put_in_force() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let operators = Operators::new(dir.path(), 1);
    let now = site.now;
    operators.attach(&mut site, now);
    let edit = PolicyEdit { add_witnesses: operators.specs(), ..PolicyEdit::default() };
    let intent = edited(&mut site, &edit).unwrap();
    let proposal = signed(&mut site, &intent).unwrap();
    let metadata = |site: &Site| files(&site.repo().join("metadata"));
    let before = metadata(&site);
    let error = site.act(|publisher| publisher.publish_proposal(&proposal)).unwrap_err();
    assert_eq!(error.code().name(), "witness-log-unknown");
    operators.learn(&log_keys(&mut site));
    operators.down.borrow_mut().insert("witness.example/w1".to_owned());
    assert_eq!(code(site.act(|publisher| publisher.publish_proposal(&proposal))), "publish-blocked");
    assert_eq!(metadata(&site), before);
    // There is a way back: another change is published as if this one had never been tried.
    site.release("1.0.0", "one").unwrap();
    operators.down.borrow_mut().clear();
    site.act(|publisher| publisher.publish_proposal(&proposal)).unwrap();
    assert_eq!(site.view(anchor).version("root"), 2);
}

/// A repository keeps its log: the history of everything is in it.
#[test]
fn another_log_is_refused() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let policy = site.act(|publisher| publisher.policy()).unwrap().to_string();
    let key = new_key(&site, "log-2", Stage::Log);
    let other = VerifierKey::for_log("log.example/other", &key).unwrap();
    let lines = policy.lines().map(|line| match line.strip_prefix("log ") {
        Some(_) => format!("log {other}"),
        None => line.to_owned(),
    });
    let change_ = RootChange { policy: Some(lines.collect()), ..RootChange::default() };
    assert_eq!(code(signed(&mut site, &Intent::Root(change_))), "log-origin-mismatch");
    for (lines, expected) in
        [(vec!["quorum none".to_owned()], "log-policy-invalid"), (vec![], "log-policy-invalid")]
    {
        let change_ = RootChange { policy: Some(lines), ..RootChange::default() };
        assert_eq!(code(signed(&mut site, &Intent::Root(change_))), expected);
    }
}

/// A second key of the log in the safe: when the first is lost, the second is enough to go on and to replace it.
#[test]
fn a_spare_log_key_saves_the_repository() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let spare = new_key(&site, "log-spare", Stage::Log);
    let edit = PolicyEdit { add_log_keys: vec![spare], ..PolicyEdit::default() };
    let intent = edited(&mut site, &edit).unwrap();
    change(&mut site, &intent).unwrap();
    lose(&site, "log");
    site.release("1.0.0", "one").unwrap();
    assert_eq!(client.refresh(&site).0, 2);
    let first = log_keys(&mut site)[0].public_key().clone();
    let edit = PolicyEdit { remove_log_keys: vec![first], ..PolicyEdit::default() };
    let intent = edited(&mut site, &edit).unwrap();
    change(&mut site, &intent).unwrap();
    assert_eq!(client.refresh(&site).0, 3);
}

/// The lines about witnesses in the summary of that change of the policy.
fn told(site: &mut Site, lines: Vec<String>) -> Vec<String> {
    let intent = Intent::Root(RootChange { policy: Some(lines), ..RootChange::default() });
    let summary = signed(site, &intent).unwrap().summary(site.now).unwrap();
    let lines = summary.roles.into_iter().flat_map(|role| role.changes);
    lines.filter(|line| line.contains("cosign")).collect()
}

/// Four of four and one more: four of five, never three.
#[test]
fn a_quorum_is_never_lowered_unasked() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let specs = Operators::new(dir.path(), 6).specs();
    let mut policy = site.act(|publisher| publisher.policy()).unwrap();
    let local = policy.witnesses()[0].name.to_string();
    let first = PolicyEdit {
        add_witnesses: specs[..4].to_vec(),
        remove_witnesses: vec![local],
        quorum: Some(4),
        ..PolicyEdit::default()
    };
    let apply = |edit: &PolicyEdit, policy: &Policy| -> Result<Policy, PublishError> {
        Ok(Policy::parse((edit.apply(policy)?.join("\n") + "\n").as_bytes()).unwrap())
    };
    policy = apply(&first, &policy).unwrap();
    for (number, threshold) in [(4, 4), (5, 4)] {
        let add_witnesses = vec![specs[number].clone()];
        policy = apply(&PolicyEdit { add_witnesses, ..PolicyEdit::default() }, &policy).unwrap();
        assert_eq!(policy.groups()[0].threshold(), threshold);
    }
    let names: Vec<_> = policy.witnesses().iter().map(|witness| witness.name.to_string()).collect();
    let mut less = PolicyEdit { remove_witnesses: names[..3].to_vec(), ..PolicyEdit::default() };
    assert_eq!(apply(&less, &policy).unwrap_err().code().name(), "usage");
    // The twin: asked for.
    less.quorum = Some(2);
    assert_eq!(apply(&less, &policy).unwrap().groups()[0].threshold(), 2);
}

/// Whatever the groups look like, the summary says how few witnesses are enough.
#[test]
fn a_summary_says_how_many_witnesses_suffice() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let present = site.act(|publisher| publisher.policy()).unwrap();
    let own = present.encode();
    let own: Vec<String> = String::from_utf8(own).unwrap().lines().map(str::to_owned).collect();
    let local = present.witnesses()[0].name.to_string();
    let mut lines: Vec<String> =
        own.iter().filter(|line| line.starts_with("log ") || line.starts_with("witness ")).cloned().collect();
    for (number, spec) in Operators::new(dir.path(), 3).specs().into_iter().enumerate() {
        lines.push(format!("witness w{number} {} {}", spec.key, spec.url));
    }
    let with =
        |groups: &[&str]| lines.iter().cloned().chain(groups.iter().map(|line| (*line).to_owned())).collect();
    let any = format!("group others any w0 w1 w2\ngroup quorum-group any {local} others");
    let any: Vec<&str> = any.lines().collect();
    let any = with(&[any.as_slice(), &["quorum quorum-group"]].concat());
    let line = "as few as 1 of 4 witnesses suffice to cosign; it was 1 of 1";
    assert_eq!(told(&mut site, any), [line]);
    let all = format!("group all-of-them all {local} w0 w1 w2");
    let line = "all 4 of 4 witnesses must cosign; it was 1 of 1";
    assert_eq!(told(&mut site, with(&[&all, "quorum all-of-them"])), [line]);
    let nested = format!("group few 2 w0 w1 w2\ngroup both all {local} few");
    let nested: Vec<&str> = nested.lines().collect();
    let line = "as few as 3 of 4 witnesses suffice to cosign; it was 1 of 1";
    assert_eq!(told(&mut site, with(&[nested.as_slice(), &["quorum both"]].concat())), [line]);
    // One of those that are listed is never asked.
    assert_eq!(
        told(&mut site, with(&["group few any w0 w1", "quorum few"])),
        ["as few as 1 of 2 witnesses suffice to cosign; it was 1 of 1"]
    );
}
