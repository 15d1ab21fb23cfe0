//! Witnesses that lie to a log: a few of them stop nothing, and as many as a quorum needs are believed.

use std::path::Path;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

use countersign_base::code::{self, Code, Explain as _};
use countersign_log::{CosignError, Cosigner, Log, LogError, Publication, Settings};
use countersign_tlog::policy::Policy;
use countersign_tlog::witness::AddCheckpoint;
use countersign_tlog::{NoteSignature, SignedCheckpoint, VerifierKey, cosignature};

use crate::support::{copy, entry, log_of, log_vkey, now, open, quick, scratch, secret};

/// What a witness does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Cosigns,
    /// Says that it has seen more than there is.
    Ahead,
    Away,
    /// Says each time that it has seen another size, none of which is too large.
    Restless,
    /// Cosigns a hundred times, at different times.
    Floods,
    /// Cosigns once two others are being asked as well.
    Meets,
    /// Answers nothing before the gate is open.
    Hangs,
}

use Manner::{Ahead, Away, Cosigns, Floods, Hangs, Meets, Restless};

struct Actor {
    name: String,
    number: u8,
    manners: Arc<Mutex<Vec<Manner>>>,
    /// How often it was asked.
    asked: Arc<Mutex<u64>>,
    meeting: Arc<Barrier>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Cosigner for Actor {
    fn name(&self) -> &str {
        &self.name
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        let asked = {
            let mut asked = self.asked.lock().expect("unpoisoned");
            *asked += 1;
            *asked
        };
        let manner = self.manners.lock().expect("unpoisoned")[usize::from(self.number)];
        let sign = |seconds: u64| {
            let checkpoint = request.signed().checkpoint();
            cosignature::cosign(checkpoint, &self.name, &key(self.number), now().plus_seconds(seconds))
                .expect("well-formed")
        };
        match manner {
            Cosigns => Ok(vec![sign(0)]),
            Ahead => Err(CosignError::Conflict { size: u64::MAX }),
            Away => Err(CosignError::Unavailable("no route".to_owned())),
            Restless => Err(CosignError::Conflict { size: asked % 5 }),
            Floods => Ok((0..100).map(sign).collect()),
            Meets => {
                self.meeting.wait();
                Ok(vec![sign(0)])
            }
            Hangs => {
                let (open, opened) = &*self.gate;
                let open = open.lock().expect("unpoisoned");
                drop(opened.wait_while(open, |open| !*open).expect("unpoisoned"));
                Ok(vec![sign(0)])
            }
        }
    }
}

fn key(number: u8) -> countersign_crypto::SecretKey {
    secret(10 + number)
}

fn name(number: usize) -> String {
    format!("witness.example/w{number}")
}

/// Witnesses who do as `manners` say at the moment, and the policy that asks for `quorum` of them.
struct Cast {
    manners: Arc<Mutex<Vec<Manner>>>,
    asked: Vec<Arc<Mutex<u64>>>,
    meeting: Arc<Barrier>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    policy: Policy,
}

impl Cast {
    fn new(quorum: usize, manners: &[Manner]) -> Self {
        let mut text = format!("log {}\n", log_vkey());
        for number in 0..manners.len() {
            let key = key(number as u8);
            let vkey = VerifierKey::for_witness(&name(number), key.public_key()).expect("well-formed");
            text += &format!("witness w{number} {vkey}\n");
        }
        let members: Vec<String> = (0..manners.len()).map(|number| format!("w{number}")).collect();
        text += &format!("group all-of-them {quorum} {}\nquorum all-of-them\n", members.join(" "));
        Self {
            manners: Arc::new(Mutex::new(manners.to_vec())),
            asked: manners.iter().map(|_| Arc::default()).collect(),
            meeting: Arc::new(Barrier::new(3)),
            gate: Arc::default(),
            policy: Policy::parse(text.as_bytes()).expect("well-formed"),
        }
    }

    fn actors(&self) -> impl Iterator<Item = Actor> {
        self.asked.iter().enumerate().map(|(number, asked)| Actor {
            name: name(number),
            number: number as u8,
            manners: Arc::clone(&self.manners),
            asked: Arc::clone(asked),
            meeting: Arc::clone(&self.meeting),
            gate: Arc::clone(&self.gate),
        })
    }

    fn cosigners(&self) -> Vec<Box<dyn Cosigner>> {
        self.actors().map(|actor| Box::new(actor) as Box<dyn Cosigner>).collect()
    }

    fn publication(&self) -> Publication {
        let cosigners = self.actors().map(|actor| Box::new(actor) as Box<dyn Cosigner + Send>).collect();
        Publication::Witnessed { policy: self.policy.clone(), cosigners }
    }

    fn open_the_gate(&self) {
        *self.gate.0.lock().expect("unpoisoned") = true;
        self.gate.1.notify_all();
    }

    fn set(&self, number: usize, manner: Manner) {
        self.manners.lock().expect("unpoisoned")[number] = manner;
    }
}

/// What publishing a log of 5 entries comes to.
fn publish(quorum: usize, manners: &[Manner]) -> Result<SignedCheckpoint, LogError> {
    let temp = scratch();
    let cast = Cast::new(quorum, manners);
    let outcome = log_of(temp.path(), 5).publish(&mut cast.cosigners(), &cast.policy, now());
    assert_eq!(temp.path().join("log/checkpoint").exists(), outcome.is_ok());
    outcome.map(|bytes| cast.policy.check_checkpoint(&bytes, now()).expect("well-formed").signed().clone())
}

#[test]
fn l03_one_witness_that_says_it_has_seen_more_stops_nothing() {
    publish(3, &[Cosigns, Cosigns, Ahead, Cosigns, Cosigns]).unwrap();
    publish(3, &[Ahead, Ahead, Cosigns, Cosigns, Cosigns]).unwrap();
    publish(2, &[Ahead, Cosigns, Cosigns]).unwrap();
}

/// The copy of yesterday: those who cosigned what was published since are a quorum, and all others are too
/// few.
#[test]
fn as_many_as_a_quorum_needs_are_believed() {
    let cases: [(usize, &[Manner]); 7] = [
        (3, &[Ahead, Cosigns, Ahead, Cosigns, Ahead]),
        (3, &[Ahead, Away, Ahead, Cosigns, Ahead]),
        (2, &[Ahead, Cosigns, Ahead]),
        (1, &[Ahead]),
        (2, &[Ahead, Cosigns]),
        // Too few are left.
        (4, &[Ahead, Ahead, Cosigns, Cosigns, Cosigns]),
        // Readers believe any of them: what this one cosigned may be public.
        (1, &[Cosigns, Ahead, Cosigns]),
    ];
    for (quorum, manners) in cases {
        let error = publish(quorum, manners).unwrap_err();
        assert!(matches!(error, LogError::StorageRollback(_)), "{quorum} of {manners:?}: {error}");
        let place = manners.iter().position(|manner| *manner == Ahead).unwrap();
        let says = format!("witness `{}` has cosigned size {}", name(place), u64::MAX);
        assert!(error.to_string().contains(&says), "{error}");
    }
}

#[test]
fn where_others_are_away_it_is_named_and_tried_again() {
    let named = |manners: &[Manner], expected: Code| {
        let error = publish(3, manners).unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
        let LogError::Quorum { failed, .. } = &error else { panic!("{error}") };
        assert_eq!(failed.len(), manners.iter().filter(|manner| **manner != Cosigns).count());
        assert!(failed.iter().all(|(name, _)| error.to_string().contains(name)), "{error}");
    };
    named(&[Ahead, Away, Away, Cosigns, Cosigns], code::LOG_STORAGE_ROLLBACK);
    named(&[Away, Away, Away, Cosigns, Cosigns], code::WITNESS_UNAVAILABLE);
}

#[test]
fn a_witness_that_names_another_size_each_time_is_asked_twice() {
    let temp = scratch();
    let cast = Cast::new(2, &[Restless, Cosigns, Cosigns]);
    let mut log = log_of(temp.path(), 5);
    log.publish(&mut cast.cosigners(), &cast.policy, now()).unwrap();
    assert_eq!(*cast.asked[0].lock().unwrap(), 2);
    assert_eq!(publish(3, &[Restless, Cosigns, Cosigns]).unwrap_err().code(), code::WITNESS_CONFLICT);
}

/// A note has room for a hundred signatures.
#[test]
fn a_witness_that_cosigns_a_hundred_times_counts_once() {
    let signed = publish(2, &[Floods, Cosigns, Cosigns]).unwrap();
    assert_eq!(signed.note().signatures().len(), 1 + 3);
}

fn start(root: &Path, cast: &Cast) -> Log {
    let settings = Settings {
        retry_first: Duration::from_millis(1),
        retry_longest: Duration::from_millis(5),
        stop_within: Duration::from_millis(50),
        ..Settings::default()
    };
    let sequencer = open(quick(root), root).expect("a log");
    Log::start(sequencer, cast.publication(), settings, Arc::new(now)).expect("threads")
}

fn accepted(log: &Log, number: u64) -> u64 {
    log.ticket(entry(number)).expect("taken").wait().expect("durable").index
}

#[test]
fn l03_a_running_log_goes_on_beside_a_witness_that_lies() {
    let temp = scratch();
    let cast = Cast::new(2, &[Ahead, Cosigns, Cosigns]);
    // Also when it is started again.
    for number in 0..2 {
        let log = start(temp.path(), &cast);
        log.await_published(accepted(&log, number)).wait().unwrap();
        assert!(log.stop().is_none());
    }
    // Another is away: what comes in is taken, and published when it is back.
    cast.set(1, Away);
    let log = start(temp.path(), &cast);
    let mut number = 2;
    while log.status().failing.is_none_or(|failing| failing.attempts < 3) {
        accepted(&log, number);
        number += 1;
    }
    assert_eq!(log.status().failing.unwrap().error.code(), code::LOG_STORAGE_ROLLBACK);
    cast.set(1, Cosigns);
    log.await_published(number - 1).wait().unwrap();
    // The twin: both that it needs have seen more.
    cast.set(2, Ahead);
    let index = accepted(&log, number);
    assert_eq!(log.await_published(index).wait().unwrap_err().code(), code::LOG_STORAGE_FAILED);
    assert!(matches!(&*log.stop().unwrap(), LogError::StorageRollback(_)));
}

/// Asked one after the other they would wait for each other for ever.
#[test]
fn witnesses_are_asked_at_the_same_time() {
    let temp = scratch();
    let cast = Cast::new(3, &[Meets, Meets, Meets]);
    let log = start(temp.path(), &cast);
    let published = log.await_published(accepted(&log, 0)).wait().unwrap();
    assert_eq!(published.signed.note().signatures().len(), 1 + 3);
    assert!(log.stop().is_none());
}

#[test]
fn a_witness_that_hangs_holds_up_nobody() {
    let temp = scratch();
    let cast = Cast::new(2, &[Cosigns, Hangs, Cosigns]);
    let log = start(temp.path(), &cast);
    for number in 0..5 {
        let published = log.await_published(accepted(&log, number)).wait().unwrap();
        let signers: Vec<&str> =
            published.signed.note().signatures().iter().map(NoteSignature::name).collect();
        assert!(!signers.contains(&name(1).as_str()), "{signers:?}");
    }
    assert_eq!(*cast.asked[1].lock().unwrap(), 1, "it is still at the first question");
    // When it is done with that, it is asked the newest, and counts again.
    cast.set(1, Cosigns);
    cast.open_the_gate();
    let counts = |number| {
        let published = log.await_published(accepted(&log, number)).wait().unwrap();
        published.signed.note().signatures().iter().any(|signature| signature.name() == name(1))
    };
    assert!((5..500).any(counts));
    assert!(log.stop().is_none());
}

/// The copy of yesterday is put back, and the log started: nothing is acknowledged, and nothing signed.
#[test]
fn l18_a_restored_log_takes_nothing_in() {
    let temp = scratch();
    let root = temp.path().join("site");
    std::fs::create_dir(&root).unwrap();
    let cast = Cast::new(2, &[Cosigns, Cosigns, Cosigns]);
    let log = start(&root, &cast);
    log.await_published(accepted(&log, 0)).wait().unwrap();
    assert!(log.stop().is_none());
    let yesterday = temp.path().join("yesterday");
    copy(&root, &yesterday);
    let log = start(&root, &cast);
    log.await_published(accepted(&log, 1)).wait().unwrap();
    assert!(log.stop().is_none());
    // As it is it starts.
    assert!(start(&root, &cast).stop().is_none());

    for manner in [Cosigns, Ahead] {
        (0..3).for_each(|witness| cast.set(witness, manner));
        let sequencer = open(quick(&yesterday), &yesterday).expect("it looks like a log");
        let started = Log::start(sequencer, cast.publication(), Settings::default(), Arc::new(now));
        match manner {
            // The twin: witnesses that have seen no more.
            Cosigns => assert!(started.unwrap().stop().is_none()),
            _ => assert!(matches!(started.unwrap_err(), LogError::StorageRollback(_))),
        }
    }
}
