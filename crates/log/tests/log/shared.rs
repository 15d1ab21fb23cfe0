//! A log on storage that several machines share: who leads, and how the lead changes hands.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::code::{self, Code, Explain as _};
use countersign_log::pipeline::Accepted;
use countersign_log::{
    Admission, Candidate, LogError, LogKey, MAX_TAKEOVER, MIN_TAKEOVER, Seen, Sequencer, SharedPlace,
    Submission, Turn,
};
use countersign_testkit::shared_store::Script;
use countersign_testkit::sim::Sim;
use countersign_tlog::SignedCheckpoint;

use crate::shared_stage::{LONG, Stage, accepted, eventually, lead, note_of, place, run, wait_and_lead};
use crate::support::{ORIGIN, entries, entry, log_key, now, secret};

fn code_of<T: core::fmt::Debug>(outcome: Result<T, LogError>) -> Code {
    outcome.expect_err("it is refused").code()
}

fn refused(outcome: Result<Candidate, LogError>) {
    assert_eq!(code_of(outcome), code::USAGE);
}

#[test]
fn a_standby_takes_over_when_the_cell_has_been_silent_for_the_takeover_time() {
    let stage = Stage::new();
    let (first, second) = (stage.store.process(Script::good()), stage.store.process(Script::good()));
    let mut candidate = stage.candidate(&second, Duration::from_secs(5));
    let start = Instant::now();
    let at = |tenths: u32| start + Duration::from_millis(100) * tenths;
    assert_eq!(candidate.look(at(0)).unwrap(), Seen::Free, "there is no log yet");
    let mut log = lead(&stage, &first).unwrap().unwrap();
    assert_eq!((log.size(), log.recovered()), (0, 0));
    let led = Seen::Led { epoch: 1, url: Some("http://127.0.0.1:4000/".to_owned()) };
    assert_eq!(candidate.look(at(100)).unwrap(), led);
    // When the answer before was made is not known, so time runs from this look on.
    assert_eq!(candidate.look(at(150)).unwrap(), led);
    assert_eq!(candidate.look(at(199)).unwrap(), led);
    stage.append(&mut log, 0, 3).unwrap();
    log.integrate(now()).unwrap();
    for tenths in [200, 201, 250] {
        assert_eq!(candidate.look(at(tenths)).unwrap(), led, "it has signed");
    }
    assert_eq!(candidate.look(at(251)).unwrap(), Seen::Free);
    let Turn::Ours(mut taken) = candidate.lead(now()).unwrap() else { panic!("it was free") };
    assert_eq!(taken.size(), 3);
    assert_eq!(code_of(stage.append(&mut log, 10, 11)), code::LOG_WRITER_CONFLICT);
    assert_eq!(code_of(stage.append(&mut log, 11, 12)), code::LOG_STORAGE_FAILED, "it has stopped");
    stage.append(&mut taken, 20, 21).unwrap();
    drop((log, taken));
    stage.check("taken over");
}

#[test]
fn a_log_that_is_given_back_is_free_at_once() {
    let stage = Stage::prepared();
    let process = stage.store.process(Script::good());
    for round in 0..3 {
        let mut candidate = stage.candidate(&process, LONG);
        assert_eq!(candidate.look(Instant::now()).unwrap(), Seen::Free, "round {round}");
        let Turn::Ours(mut log) = candidate.lead(now()).unwrap() else { panic!("it was free") };
        // Not in tiles when it is given back: the next one finds it in the journal.
        stage.append(&mut log, 300 + round, 301 + round).unwrap();
        assert_eq!(log.recovered(), usize::from(round > 0));
    }
    stage.check("given back");
}

#[test]
fn l19_a_of_candidates_that_start_together_one_leads() {
    for round in 0..40 {
        let stage = if round % 2 == 0 { Stage::new() } else { Stage::prepared() };
        let logs: Vec<Option<Sequencer>> = thread::scope(|scope| {
            let start = || {
                let mut candidate = stage.candidate(&stage.store.process(Script::good()), LONG);
                scope.spawn(move || {
                    candidate.look(Instant::now()).unwrap();
                    match candidate.lead(now()).unwrap() {
                        Turn::Ours(log) => Some(*log),
                        Turn::Theirs(_) => None,
                    }
                })
            };
            let threads: Vec<_> = (0..4).map(|_| start()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut leading: Vec<Sequencer> = logs.into_iter().flatten().collect();
        assert_eq!(leading.len(), 1, "round {round}");
        stage.append(&mut leading[0], 500, 510).unwrap();
        drop(leading);
        stage.check(&format!("round {round}"));
    }
}

#[test]
fn who_is_not_free_to_be_taken_is_not_taken() {
    let stage = Stage::prepared();
    let process = stage.store.process(Script::good());
    let log = lead(&stage, &process).unwrap().unwrap();
    let Turn::Theirs(mut candidate) = stage.candidate(&process, LONG).lead(now()).unwrap() else {
        panic!("it has not even looked")
    };
    assert!(matches!(candidate.look(Instant::now()).unwrap(), Seen::Led { epoch: 2, .. }));
    assert!(matches!(candidate.lead(now()).unwrap(), Turn::Theirs(_)));
    drop(log);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let stage = Stage::new();
    let place = || place(&stage.store.process(Script::good()), Path::new("unused"));
    let new =
        |url: Option<&str>, takeover| Candidate::new(place(), log_key(), url.map(str::to_owned), takeover);
    assert!(new(None, MIN_TAKEOVER).is_ok() && new(Some("http://a"), MAX_TAKEOVER).is_ok());
    refused(new(None, MIN_TAKEOVER - Duration::from_nanos(1)));
    refused(new(None, MAX_TAKEOVER + Duration::from_nanos(1)));
    for url in ["", "-", "http://a b", "http://a\n", "http://é", &"a".repeat(2049)] {
        refused(new(Some(url), LONG));
    }
}

#[test]
fn a_key_of_another_log_does_not_even_take_the_lead() {
    let stage = Stage::prepared();
    let before = stage.store.history(SharedPlace::LEADER).len();
    for (key, expected) in [
        (LogKey::new("other.example", Box::new(secret(1))).unwrap(), code::LOG_ORIGIN_MISMATCH),
        (LogKey::new(ORIGIN, Box::new(secret(9))).unwrap(), code::LOG_KEY_UNKNOWN),
    ] {
        let process = stage.store.process(Script::good());
        let mut candidate = Candidate::new(place(&process, Path::new("unused")), key, None, LONG).unwrap();
        assert_eq!(candidate.look(Instant::now()).unwrap(), Seen::Free);
        assert_eq!(code_of(candidate.lead(now())), expected);
    }
    assert_eq!(stage.store.history(SharedPlace::LEADER).len(), before);
}

/// Cells and objects that are lost or restored from an older copy.
#[test]
fn a_store_that_lacks_what_was_signed_is_refused() {
    let first = Stage::prepared();
    let attempt = |stage: &Stage| lead(stage, &stage.store.process(Script::good())).map(drop);
    let older = first.fork();
    let mut log = lead(&first, &first.store.process(Script::good())).unwrap().unwrap();
    first.append(&mut log, 300, 310).unwrap();
    first.publish(&mut log).unwrap();
    drop(log);
    attempt(&first.fork()).unwrap();
    let tile = first.store.names().into_iter().find(|name| name.ends_with("tile/0/000")).unwrap();
    for damage in [
        |stage: &Stage, _: &str| stage.store.forget_cell(SharedPlace::LEADER),
        |stage: &Stage, tile: &str| stage.store.tamper(tile, None),
    ] {
        let stage = first.fork();
        damage(&stage, &tile);
        assert_eq!(code_of(attempt(&stage)), code::LOG_STORAGE_ROLLBACK);
    }
    let stage = first.fork();
    stage.store.tamper(&tile, Some(vec![0; 8192]));
    assert_eq!(code_of(attempt(&stage)), code::LOG_STORAGE_CORRUPT);
    // The cell from an older copy, the rest as it is: what is published is newer, or the journal is.
    let value = older.store.history(SharedPlace::LEADER).pop().unwrap();
    for forget in [false, true] {
        let stage = first.fork();
        stage.store.forget_cell(SharedPlace::LEADER);
        if forget {
            stage.store.forget_cell(SharedPlace::CHECKPOINT);
        }
        stage.store.process(Script::good()).cell(SharedPlace::LEADER).create(&value).unwrap();
        assert_eq!(code_of(attempt(&stage)), code::LOG_STORAGE_ROLLBACK);
    }
}

#[test]
fn a_damaged_cell_or_journal_is_refused() {
    let stage = Stage::prepared();
    let mut log = lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap();
    stage.append(&mut log, 300, 302).unwrap();
    drop(log);
    let journal = ".countersign/wal/2/00000000000000000254".to_owned();
    assert!(stage.store.names().contains(&journal));
    let damaged = stage.fork();
    damaged.store.tamper(&journal, Some(b"something else".to_vec()));
    let outcome = lead(&damaged, &damaged.store.process(Script::good()));
    assert_eq!(code_of(outcome.map(drop)), code::LOG_STORAGE_CORRUPT);
    let cell = stage.store.process(Script::good()).cell(SharedPlace::LEADER);
    cell.replace(cell.load().unwrap().unwrap(), b"countersign-leader 2\n\n").unwrap();
    let process = stage.store.process(Script::good());
    assert_eq!(code_of(stage.candidate(&process, LONG).look(Instant::now())), code::LOG_STORAGE_CORRUPT);
}

/// A lifecycle rule that removes object by object, a person, or a store that denies to have one.
#[test]
fn a_hole_in_the_journal_is_not_its_end() {
    let stage = Stage::prepared();
    let mut log = lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap();
    for from in [300, 310, 320, 330] {
        stage.append(&mut log, from, from + 10).unwrap();
    }
    drop(log);
    let journal = |first: u64| format!(".countersign/wal/2/{first:020}");
    let signed = |stage: &Stage| {
        let value = stage.store.history(SharedPlace::LEADER).pop().unwrap();
        SignedCheckpoint::parse(note_of(&value)).unwrap().checkpoint().size()
    };
    for first in [254, 264, 274] {
        let stage = stage.fork();
        stage.store.tamper(&journal(first), None);
        let names = stage.store.names();
        for _ in 0..2 {
            let error = lead(&stage, &stage.store.process(Script::good())).map(drop).unwrap_err();
            assert_eq!(error.code(), code::LOG_STORAGE_ROLLBACK);
            assert!(error.to_string().contains(&format!("`{}` is missing", journal(first))), "{error}");
        }
        assert_eq!(signed(&stage), 254);
        assert_eq!(stage.store.names(), names, "nothing was written");
    }
    // Without a hole, and when what was signed before has been removed.
    let mut log = lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap();
    assert_eq!((log.size(), log.recovered()), (294, 40));
    stage.append(&mut log, 340, 350).unwrap();
    log.integrate(now()).unwrap();
    stage.append(&mut log, 350, 360).unwrap();
    drop(log);
    stage.store.tamper(".countersign/wal/3/00000000000000000294", None);
    stage.check("the journal of what is in tiles may go");
}

#[test]
fn an_idle_leader_beats_and_one_that_stops_hands_over_at_once() {
    let stage = Stage::prepared();
    let process = stage.store.process(Script::good());
    let beats = || stage.store.history(SharedPlace::LEADER).len();
    let candidate = stage.candidate(&process, MIN_TAKEOVER);
    let log = run(wait_and_lead(candidate, MIN_TAKEOVER).unwrap().unwrap());
    let before = beats();
    eventually("a beat", || beats() >= before + 5);
    let signed: Vec<u64> = stage.store.history(SharedPlace::LEADER)[before..]
        .iter()
        .map(|value| SignedCheckpoint::parse(note_of(value)).unwrap().checkpoint().size())
        .collect();
    assert!(signed.iter().all(|size| *size == 254));
    assert_eq!(accepted(&log, 300).unwrap(), Accepted { index: 254, duplicate: false });
    assert!(log.stop().is_none());
    let after = beats();
    let mut candidate = stage.candidate(&process, LONG);
    assert_eq!(candidate.look(Instant::now()).unwrap(), Seen::Free, "without a wait");
    let Turn::Ours(next) = candidate.lead(now()).unwrap() else { panic!("it was free") };
    assert_eq!((next.size(), next.recovered()), (255, 0));
    assert_eq!(beats(), after + 2, "taken, and signed in its epoch; the old one beats no more");
    drop((log, next));
    stage.check("handed over");
}

#[test]
fn an_idle_leader_that_lost_the_lead_stops_by_itself() {
    let stage = Stage::prepared();
    let process = stage.store.process(Script::good());
    let takeover = Duration::from_millis(300);
    let log = run(wait_and_lead(stage.candidate(&process, takeover), takeover).unwrap().unwrap());
    // Somebody whose clock runs ten thousand times faster, or who saw the cell from behind a partition.
    let other = || lead(&stage, &stage.store.process(Script::good())).unwrap();
    let other = core::iter::repeat_with(other).find_map(|log| log).unwrap();
    eventually("the failure", || log.status().failure.is_some());
    assert_eq!(log.status().failure.unwrap().code(), code::LOG_WRITER_CONFLICT);
    assert!(accepted(&log, 1).is_err());
    assert_eq!(log.stop().unwrap().code(), code::LOG_WRITER_CONFLICT);
    let beats = stage.store.history(SharedPlace::LEADER).len();
    drop(log);
    assert_eq!(
        stage.store.history(SharedPlace::LEADER).len(),
        beats,
        "it gives nothing back that it has not"
    );
    drop(other);
    stage.check("lost");
}

#[test]
fn a_running_log_that_lost_the_lead_acknowledges_nothing() {
    let stage = Stage::prepared();
    let log = run(lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap());
    accepted(&log, 300).unwrap();
    // It may be signing at first.
    let other = || lead(&stage, &stage.store.process(Script::good())).unwrap();
    let mut other = core::iter::repeat_with(other).find_map(|log| log).unwrap();
    assert!(accepted(&log, 301).is_err());
    assert_eq!(log.stop().unwrap().code(), code::LOG_WRITER_CONFLICT);
    stage.append(&mut other, 302, 303).unwrap();
    assert_eq!(other.append(&[entry(300)], now()).unwrap(), [254]);
    drop((log, other));
    stage.check("lost");
}

#[test]
fn what_was_admitted_by_one_leader_is_known_to_the_next() {
    let stage = Stage::new();
    let sim = Sim::new(now());
    let root = Submission { role: "root".to_owned(), bytes: sim.bytes["root"].clone() };
    let mut log = lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap();
    let mut admission = Admission::open_shared(&log, now()).unwrap();
    let admitted = admission.admit(&mut log, std::slice::from_ref(&root), now()).unwrap();
    drop(log);
    let log = lead(&stage, &stage.store.process(Script::good())).unwrap().unwrap();
    let admission = Admission::open_shared(&log, now()).unwrap();
    assert_eq!(admission.highest_version("root"), 1);
    assert_eq!(admission.find(&log, "root", 1).unwrap().unwrap(), admitted[0]);
    assert_eq!(admission.document(&admitted[0].sha256).unwrap().unwrap(), root.bytes);
    let document = format!(".countersign/documents/{}", admitted[0].sha256);
    assert_eq!(log.public().get(&document).unwrap().unwrap(), root.bytes);
}

/// More entries than one generation of the index of duplicates, found by a leader on another machine.
#[test]
fn duplicates_are_found_whoever_leads_and_with_whatever_cache() {
    let stage = Stage::new();
    let process = stage.store.process(Script::good());
    let count = 66_000;
    let mut log = lead(&stage, &process).unwrap().unwrap();
    log.append(&entries(0, count / 2), now()).unwrap();
    log.append(&entries(count / 2, count), now()).unwrap();
    log.integrate(now()).unwrap();
    let known = [entry(5), entry(65_535), entry(65_999)];
    assert_eq!(log.append(&known, now()).unwrap(), [5, 65_535, 65_999]);
    // The first leader is still there, and has its folder of the cache.
    let mut other = lead(&stage, &process).unwrap().unwrap();
    assert_eq!(other.append(&known, now()).unwrap(), [5, 65_535, 65_999]);
    let caches = std::fs::read_dir(stage.folder.path().join("cache")).unwrap();
    let caches: Vec<PathBuf> = caches.map(|log| log.unwrap().path()).collect();
    let [ours] = &caches[..] else { panic!("one log: {caches:?}") };
    for number in ["0", "1"] {
        assert!(ours.join(number).join("index/0/0").exists());
    }
    drop((log, other));
    std::fs::remove_dir_all(ours).unwrap();
    let mut log = lead(&stage, &process).unwrap().unwrap();
    assert_eq!(log.append(&known, now()).unwrap(), [5, 65_535, 65_999]);
}
