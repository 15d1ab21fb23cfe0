//! A log whose key changes: in between, what is published is good for those who know the old key and the new.

use std::path::Path;
use std::sync::Arc;

use countersign_base::{Explain as _, code};
use countersign_log::{Cosigner, LocalCosigner, LogKey, LogList, Sequencer, Witness};
use countersign_testkit::faulty_disk::{Fault, FaultyDisk, Loss, Then};
use countersign_tlog::VerifierKey;
use countersign_tlog::policy::Policy;

use crate::support::{
    ORIGIN, WITNESS, cosigners, entries, log_of, log_vkey, now, policy, quick, scratch, secret, witness,
};

fn new_vkey() -> VerifierKey {
    VerifierKey::for_log(ORIGIN, secret(9).public_key()).expect("a log key")
}

/// The new log key, and another witness beside the first, both of which must cosign.
fn new_policy() -> Policy {
    let key = |name: &str, number| {
        VerifierKey::for_witness(name, secret(number).public_key()).expect("a witness key")
    };
    let text = format!(
        "log {}\nwitness w1 {}\nwitness w2 {}\ngroup both all w1 w2\nquorum both\n",
        new_vkey(),
        key(WITNESS, 2),
        key("witness.example/w2", 3),
    );
    Policy::parse(text.as_bytes()).expect("a policy")
}

/// Both witnesses, which know these keys of the log.
fn both(root: &Path, known: &[VerifierKey]) -> Vec<Box<dyn Cosigner>> {
    let witness = |name: &str, number, state: &str| {
        let logs = LogList::new(known.iter().cloned());
        let witness =
            Witness::open_on(quick(root), &root.join(state), name, vec![Box::new(secret(number))], logs);
        Box::new(LocalCosigner::new(Arc::new(witness.expect("a witness")), now())) as Box<dyn Cosigner>
    };
    vec![witness(WITNESS, 2, "witness"), witness("witness.example/w2", 3, "witness-2")]
}

fn open_with(root: &Path, number: u8) -> Result<Sequencer, countersign_log::LogError> {
    let key = LogKey::new(ORIGIN, Box::new(secret(number))).expect("a log key");
    Sequencer::open_on(quick(root), &root.join("private"), &root.join("log"), key, now())
}

#[test]
fn one_checkpoint_meets_the_old_and_the_new_policy() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    log.publish(&mut cosigners(&witness(quick(root), root)), &policy(), now()).unwrap();
    log.add_key(Box::new(secret(9)), now()).unwrap();
    log.append(&entries(5, 7), now()).unwrap();
    let (old, new) = (policy(), new_policy());
    let known = [log_vkey(), new_vkey()];
    let bytes = log.publish_under(&mut both(root, &known), &[&old, &new], now()).unwrap();
    for policy in [&old, &new] {
        assert_eq!(policy.check_checkpoint(&bytes, now()).unwrap().checkpoint().size(), 7);
    }
    drop(log);
    // Either key opens it now; a third does not.
    drop(open_with(root, 1).unwrap());
    let error = open_with(root, 8).unwrap_err();
    assert_eq!(error.code(), code::LOG_KEY_UNKNOWN);
    let mut log = open_with(root, 9).unwrap();
    log.append(&entries(7, 8), now()).unwrap();
    let bytes = log.publish(&mut both(root, &[new_vkey()]), &new, now()).unwrap();
    assert_eq!(new.check_checkpoint(&bytes, now()).unwrap().checkpoint().size(), 8);
    assert_eq!(old.check_checkpoint(&bytes, now()).unwrap_err().code(), code::LOG_KEY_UNKNOWN);
}

#[test]
fn without_the_old_key_the_new_one_does_not_open_the_log() {
    let temp = scratch();
    drop(log_of(temp.path(), 5));
    assert_eq!(open_with(temp.path(), 9).unwrap_err().code(), code::LOG_KEY_UNKNOWN);
}

#[test]
fn a_policy_that_is_not_met_publishes_nothing() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    let before = log.publish(&mut cosigners(&witness(quick(root), root)), &policy(), now()).unwrap();
    log.add_key(Box::new(secret(9)), now()).unwrap();
    log.append(&entries(5, 7), now()).unwrap();
    let (old, new) = (policy(), new_policy());
    // The first witness alone: enough for the old policy.
    let mut first = both(root, &[log_vkey(), new_vkey()]);
    first.truncate(1);
    let error = log.publish_under(&mut first, &[&old, &new], now()).unwrap_err();
    assert_eq!(error.code(), code::LOG_QUORUM_NOT_MET);
    assert_eq!(log.published().unwrap().unwrap().encode(), before);
}

/// A witness that knows only the old key would cosign the handover, and nothing after it.
#[test]
fn a_rehearsal_finds_a_witness_that_does_not_know_the_new_key() {
    let temp = scratch();
    let root = temp.path();
    let mut log = log_of(root, 5);
    let before = log.publish(&mut cosigners(&witness(quick(root), root)), &policy(), now()).unwrap();
    log.add_key(Box::new(secret(9)), now()).unwrap();
    let new = new_policy();
    let error = log.rehearse(&new_vkey(), &mut both(root, &[log_vkey()]), &new, now()).unwrap_err();
    assert_eq!(error.code(), code::WITNESS_LOG_UNKNOWN);
    log.rehearse(&new_vkey(), &mut both(root, &[log_vkey(), new_vkey()]), &new, now()).unwrap();
    assert_eq!(log.published().unwrap().unwrap().encode(), before, "nothing is published");
}

/// The second signature is on the stored checkpoint or it is not; in either case the log opens with the old
/// key.
#[test]
fn a_crash_while_a_key_is_added_leaves_the_log_whole() {
    let base = scratch();
    drop(log_of(base.path(), 5));
    let disk = FaultyDisk::counting(base.path());
    let work = |root: &Path, disk: Arc<FaultyDisk>| {
        let key = LogKey::new(ORIGIN, Box::new(secret(1))).unwrap();
        let mut log = Sequencer::open_on(disk, &root.join("private"), &root.join("log"), key, now())?;
        log.add_key(Box::new(secret(9)), now())
    };
    let copy = || {
        let temp = scratch();
        disk.after(Loss::Nothing, temp.path());
        temp
    };
    let steps = {
        let temp = copy();
        let disk = FaultyDisk::counting(temp.path());
        work(temp.path(), disk.clone()).unwrap();
        disk.steps()
    };
    assert!(steps > 2);
    for at in 0..steps {
        for fault in [Fault::Lost, Fault::Torn] {
            let temp = copy();
            let disk = FaultyDisk::failing(temp.path(), at, fault, Then::Dies);
            let _ = work(temp.path(), disk.clone());
            for loss in Loss::ALL {
                let left = scratch();
                disk.after(loss, left.path());
                let mut log = open_with(left.path(), 1)
                    .unwrap_or_else(|error| panic!("step {at} {fault:?} {loss:?}: {error}"));
                assert_eq!(log.size(), 5);
                log.add_key(Box::new(secret(9)), now()).unwrap();
                drop(log);
                open_with(left.path(), 9).unwrap();
            }
        }
    }
}
