//! The log for many writers: what is acknowledged, refused, published, and finished when it stops.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use countersign_base::code::{self, Explain as _};
use countersign_log::pipeline::{Accepted, Clock, Ticket};
use countersign_log::{
    CosignError, Cosigner, LocalCosigner, Log, LogError, MAX_ENTRY_BYTES, Publication, Settings, Trust,
    Witness, fsck,
};
use countersign_tlog::NoteSignature;
use countersign_tlog::witness::AddCheckpoint;

use crate::support::{entry, log_vkey, now, open, policy, quick, scratch, witness};

fn clock() -> Clock {
    Arc::new(now)
}

/// Short waits, so that a test which waits for retries does not.
fn settings() -> Settings {
    Settings {
        retry_first: Duration::from_millis(1),
        retry_longest: Duration::from_millis(5),
        stop_within: Duration::from_millis(50),
        ..Settings::default()
    }
}

fn start(root: &Path, publication: Publication, settings: Settings) -> Log {
    let sequencer = open(quick(root), root).expect("a log");
    Log::start(sequencer, publication, settings, clock()).expect("threads")
}

/// A witness in this process, which may be sent to another thread.
struct Nearby {
    witness: Arc<Witness>,
    /// Answers "unavailable" so many times first.
    failures: u32,
    /// The old sizes of the requests so far.
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Cosigner for Nearby {
    fn name(&self) -> &str {
        self.witness.name()
    }

    fn cosign(&mut self, request: &AddCheckpoint) -> Result<Vec<NoteSignature>, CosignError> {
        self.asked.lock().expect("unpoisoned").push(request.old());
        if let Some(left) = self.failures.checked_sub(1) {
            self.failures = left;
            return Err(CosignError::Unavailable("no route".to_owned()));
        }
        LocalCosigner::new(Arc::clone(&self.witness), now()).cosign(request)
    }
}

fn witnessed(root: &Path, failures: u32) -> Publication {
    let nearby = Nearby { witness: witness(quick(root), root), failures, asked: Arc::default() };
    Publication::Witnessed { policy: policy(), cosigners: vec![Box::new(nearby)] }
}

fn accepted(log: &Log, number: u64) -> Accepted {
    log.ticket(entry(number)).expect("taken").wait().expect("durable")
}

#[test]
fn entries_of_many_writers_get_an_index_each_and_are_published() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, witnessed(root, 0), settings());
    let (writers, each) = (8, 150);
    let mut told: Vec<(u64, u64)> = thread::scope(|scope| {
        let write = |writer: u64| {
            let log = &log;
            move || {
                let numbers = (0..each).map(|place| writer * 1000 + place);
                numbers.map(|number| (accepted(log, number).index, number)).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(write(writer))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a writer")).collect()
    });
    told.sort_unstable();
    let size = writers * each;
    assert!(told.iter().map(|(index, _)| *index).eq(0..size), "each index once, without a gap");
    let published = log.await_published(size - 1).wait().unwrap();
    assert_eq!(published.signed.checkpoint().size(), size);
    policy().check_checkpoint(&published.bytes, now()).unwrap();
    assert_eq!(std::fs::read(root.join("log/checkpoint")).unwrap(), published.bytes);
    for (index, number) in &told {
        assert_eq!(log.entry(*index).unwrap(), entry(*number));
    }
    let status = log.status();
    assert_eq!((status.acknowledged, status.signed, status.published), (size, size, Some(size)));
    assert!(status.batches <= size && status.failure.is_none() && status.failing.is_none());
    assert!(log.stop().is_none());
    fsck(&root.join("log"), Trust::Policy(&policy(), now())).unwrap();
    let reopened = open(quick(root), root).unwrap();
    assert_eq!((reopened.size(), reopened.recovered()), (size, 0));
}

#[test]
fn l15_an_entry_offered_at_once_by_many_is_in_the_log_once() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, Publication::Unwitnessed, settings());
    let tickets: Vec<Ticket<Accepted>> = (0..400).map(|n| log.ticket(entry(n % 20)).unwrap()).collect();
    let answers: Vec<Accepted> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 20);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.index, number as u64 % 20);
    }
    // In one offer, and after it was stopped.
    let (sender, receiver) = std::sync::mpsc::channel();
    let twice = vec![entry(100), entry(3), entry(100)];
    log.submit_all(twice, move |outcome| sender.send(outcome).unwrap()).unwrap();
    let places: Vec<u64> = receiver.recv().unwrap().unwrap().iter().map(|answer| answer.index).collect();
    assert_eq!(places, [20, 3, 20]);
    assert_eq!(log.status().duplicates, 382);
    log.stop();
    let log = start(root, Publication::Unwitnessed, settings());
    assert_eq!(accepted(&log, 100), Accepted { index: 20, duplicate: true });
    assert_eq!(accepted(&log, 101), Accepted { index: 21, duplicate: false });
}

#[test]
fn a_lone_entry_does_not_wait_for_an_interval() {
    let temp = scratch();
    let root = temp.path();
    let hour = Duration::from_secs(3600);
    let log = start(root, Publication::Unwitnessed, Settings { interval: hour, ..settings() });
    let published = log.await_published(accepted(&log, 0).index).wait().unwrap();
    assert_eq!(published.signed.checkpoint().size(), 1);
}

#[test]
fn l15_a_full_queue_says_so_and_loses_nothing() {
    let temp = scratch();
    let root = temp.path();
    // The writer asks for the time before it signs: so it can be held up.
    let held = Arc::new(Mutex::new(()));
    let clock: Clock = {
        let held = Arc::clone(&held);
        Arc::new(move || {
            let _turn = held.lock();
            now()
        })
    };
    let small = Settings { queue_entries: 4, pending_bytes: 64, ..settings() };
    let log = Log::start(open(quick(root), root).unwrap(), Publication::Unwitnessed, small, clock).unwrap();
    let turn = held.lock().unwrap();
    let mut tickets = Vec::new();
    let refusal = loop {
        match log.ticket(entry(tickets.len() as u64)) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
        assert!(tickets.len() < 1_000_000, "it takes everything");
    };
    assert_eq!(refusal.code(), code::LOG_BUSY);
    let status = log.status();
    assert!(status.busy == 1 && status.waiting_entries <= 4, "{status:?}");
    drop(turn);
    let taken = tickets.len() as u64;
    let indices: BTreeSet<u64> = tickets.into_iter().map(|ticket| ticket.wait().unwrap().index).collect();
    assert!(indices.into_iter().eq(0..taken));
    assert_eq!(accepted(&log, 9_999_999).index, taken, "and it goes on");
}

#[test]
fn l15_wrong_lengths_are_refused_before_they_are_queued() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, Publication::Unwitnessed, settings());
    assert_eq!(log.ticket(Vec::new()).unwrap_err().code(), code::LOG_ENTRY_MALFORMED);
    assert_eq!(log.ticket(vec![7; MAX_ENTRY_BYTES + 1]).unwrap_err().code(), code::LOG_ENTRY_TOO_LARGE);
    assert_eq!(log.ticket(vec![7; MAX_ENTRY_BYTES]).unwrap().wait().unwrap().index, 0, "the honest twin");
    for error in [log.proof(1, 1), log.proof(0, 2), log.consistency(2, 1)] {
        assert!(matches!(error, Err(LogError::ProofRange { .. })));
    }
}

#[test]
fn below_the_quorum_nothing_is_published_and_the_next_attempt_does() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, witnessed(root, 40), settings());
    let index = accepted(&log, 0).index;
    let ticket = log.await_published(index);
    // Entries are taken all the while.
    let mut number = 1;
    while log.status().failing.is_none_or(|failing| failing.attempts < 3) {
        accepted(&log, number);
        number += 1;
        assert!(log.published().is_none() && !root.join("log/checkpoint").exists());
    }
    let failing = log.status().failing.unwrap();
    assert_eq!(failing.error.code(), code::WITNESS_UNAVAILABLE);
    assert!(failing.error.to_string().contains("no route"), "{}", failing.error);
    let published = ticket.wait().unwrap();
    policy().check_checkpoint(&published.bytes, now()).unwrap();
    log.await_published(number - 1).wait().unwrap();
    assert!(log.status().failing.is_none());
}

#[test]
fn a_tree_that_does_not_grow_is_cosigned_again() {
    let temp = scratch();
    let root = temp.path();
    let asked = Arc::default();
    let nearby = Nearby { witness: witness(quick(root), root), failures: 0, asked: Arc::clone(&asked) };
    let publication = Publication::Witnessed { policy: policy(), cosigners: vec![Box::new(nearby)] };
    let renew = Some(Duration::from_millis(1));
    let log = start(root, publication, Settings { renew, ..settings() });
    let first = log.await_published(accepted(&log, 0).index).wait().unwrap();
    while asked.lock().unwrap().iter().filter(|old| **old == 1).count() < 3 {
        thread::yield_now();
    }
    let again = log.published().unwrap();
    assert_eq!(again.signed.checkpoint(), first.signed.checkpoint());
    policy().check_checkpoint(&again.bytes, now()).unwrap();
}

#[test]
fn stopping_finishes_what_was_taken_and_says_what_it_could_not() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, witnessed(root, 0), settings());
    let tickets: Vec<_> = (0..300).map(|number| log.ticket(entry(number)).unwrap()).collect();
    let published = log.await_published(299);
    let never = log.await_published(300);
    assert!(log.stop().is_none());
    for (index, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().unwrap().index, index as u64);
    }
    assert_eq!(published.wait().unwrap().signed.checkpoint().size(), 300);
    assert_eq!(never.wait().unwrap_err().code(), code::LOG_BUSY);
    assert_eq!(log.ticket(entry(300)).unwrap_err().code(), code::LOG_BUSY);
    assert_eq!(log.await_published(299).wait().unwrap().signed.checkpoint().size(), 300);
    drop(log);

    // The witness is away for good: what is acknowledged is kept, and published when it runs again.
    let log = start(root, witnessed(root, u32::MAX), settings());
    let index = accepted(&log, 300).index;
    let ticket = log.await_published(index);
    assert!(log.stop().is_none());
    assert_eq!(ticket.wait().unwrap_err().code(), code::LOG_BUSY);
    let log = start(root, witnessed(root, 0), settings());
    assert_eq!(log.await_published(index).wait().unwrap().signed.checkpoint().size(), 301);
}

#[test]
fn a_witness_that_has_seen_more_stops_the_log() {
    let temp = scratch();
    let root = temp.path();
    drop(start(root, witnessed(root, 0), settings()));
    let old = temp.path().join("old");
    crate::support::copy(&root.join("private"), &old.join("private"));
    crate::support::copy(&root.join("log"), &old.join("log"));
    let log = start(root, witnessed(root, 0), settings());
    log.await_published(accepted(&log, 1).index).wait().unwrap();
    log.await_published(accepted(&log, 2).index).wait().unwrap();
    log.stop();
    // The log of before, and the witness of now.
    let log = start(&old, witnessed(root, 0), settings());
    let ticket = log.await_published(accepted(&log, 3).index);
    assert_eq!(ticket.wait().unwrap_err().code(), code::LOG_STORAGE_FAILED);
    assert_eq!(log.stop().unwrap().code(), code::LOG_STORAGE_ROLLBACK);
    assert_eq!(log.ticket(entry(4)).unwrap_err().code(), code::LOG_STORAGE_FAILED);
    assert!(!old.join("log/checkpoint").exists(), "nothing was published");
}

#[test]
fn an_answer_that_panics_stops_the_log_and_nobody_waits_for_ever() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, Publication::Unwitnessed, settings());
    log.submit(entry(0), |_| panic!("a bug of the caller")).unwrap();
    let outcome = log.await_published(5).wait();
    assert_eq!(outcome.unwrap_err().code(), code::LOG_STORAGE_FAILED);
    assert!(log.stop().is_some());
    let log = start(root, Publication::Unwitnessed, settings());
    assert_eq!(accepted(&log, 0), Accepted { index: 0, duplicate: true });
}

#[test]
fn l19_while_it_runs_no_other_opens_it_and_after_it_any_may() {
    let temp = scratch();
    let root = temp.path();
    let log = start(root, Publication::Unwitnessed, settings());
    assert_eq!(open(quick(root), root).unwrap_err().code(), code::LOG_WRITER_CONFLICT);
    log.stop();
    open(quick(root), root).unwrap();
    let vkey = log_vkey();
    fsck(&root.join("log"), Trust::Keys(&[vkey])).unwrap();
}
