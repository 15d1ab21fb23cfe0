//! A log on storage that two machines share, on what really keeps the contracts: a folder, and a bucket.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use countersign_base::code::{self, Explain as _};
use countersign_bucket::{Bucket, BucketUrl, Settings};
use countersign_log::{Candidate, Seen, SharedPlace, Trust, Turn, fsck};
use countersign_store::{Cell, Dir};
use countersign_testkit::s3::{ACCESS_KEY, Fault, FaultProxy, SECRET_KEY, Versity};

use crate::shared_stage::{LONG, accepted, eventually, run};
use crate::support::{cosigners, entries, entry, log_key, now, policy, quick, scratch, witness};

/// The same on whatever keeps both contracts: `open` gives another process's view, the public files are in
/// `folder`.
fn two_machines(open: &dyn Fn() -> SharedPlace, takeover: Duration) {
    let temp = scratch();
    let witness = witness(quick(temp.path()), temp.path());
    let lead = || {
        let mut candidate = Candidate::new(open(), log_key(), None, takeover).expect("no fault");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(60), "nobody can lead");
            if candidate.look(Instant::now()).expect("no fault") == Seen::Free {
                match candidate.lead(now()).expect("no fault") {
                    Turn::Ours(log) => return *log,
                    Turn::Theirs(back) => candidate = *back,
                }
            }
            thread::sleep(takeover / 10);
        }
    };
    let mut first = lead();
    let told = first.append(&entries(0, 300), now()).expect("no fault");
    assert!(told.into_iter().eq(0..300));
    first.publish(&mut cosigners(&witness), &policy(), now()).expect("no fault");
    // Released without tiles for the last.
    first.append(&entries(300, 305), now()).expect("no fault");
    drop(first);
    let second = lead();
    assert_eq!((second.size(), second.recovered()), (305, 5));
    let second = run(second);
    assert_eq!(accepted(&second, 305).expect("no fault").index, 305);
    thread::sleep(takeover * 2);
    assert_eq!(accepted(&second, 306).expect("no fault").index, 306, "it beats while it is idle");
    second.await_published(306).wait().expect("no fault");
    // As one whose process is stopped: its lead is lost without a word.
    let place = open();
    let mut third = Candidate::new(place.clone(), log_key(), None, LONG).expect("no fault");
    let far = Instant::now() + LONG * 2;
    let mut third = loop {
        third.look(Instant::now()).expect("no fault");
        third.look(Instant::now()).expect("no fault");
        if third.look(far).expect("no fault") != Seen::Free {
            continue;
        }
        match third.lead(now()).expect("no fault") {
            Turn::Ours(log) => break *log,
            Turn::Theirs(back) => third = *back,
        }
    };
    assert_eq!(third.size(), 307);
    eventually("the conflict", || second.status().failure.is_some());
    assert_eq!(second.stop().expect("no fault").code(), code::LOG_WRITER_CONFLICT);
    assert_eq!(third.append(&[entry(305), entry(307)], now()).expect("no fault"), [305, 307]);
    let bytes = third.publish(&mut cosigners(&witness), &policy(), now()).expect("no fault");
    assert_eq!(place.checkpoint.load().expect("no fault").expect("no fault").bytes(), bytes);
}

#[test]
fn two_machines_share_a_folder() {
    let temp = scratch();
    let root = temp.path().join("log");
    let open = || {
        let dir = Dir::open(&root).expect("no fault");
        let cell = |name| Arc::new(dir.cell(name).expect("no fault")) as Arc<dyn Cell>;
        SharedPlace {
            leader: cell(SharedPlace::LEADER),
            checkpoint: cell(SharedPlace::CHECKPOINT),
            objects: Arc::new(dir.clone()),
            cache: temp.path().join("cache"),
        }
    };
    two_machines(&open, Duration::from_millis(300));
    let report = fsck(&root, Trust::Policy(&policy(), now())).expect("no fault");
    assert_eq!(report.size, 308);
}

const BUCKET: &str = "transparency";

fn bucket(endpoint: &str) -> Bucket {
    let url: BucketUrl = format!("s3://{BUCKET}/log").parse().expect("a bucket's URL");
    let settings = Settings::new(ACCESS_KEY, SECRET_KEY).expect("good keys");
    Bucket::open(&url, &settings.with_endpoint(endpoint).expect("it is on loopback")).expect("it is good")
}

fn place_in(bucket: &Bucket, cache: &std::path::Path) -> SharedPlace {
    let cell = |name| Arc::new(bucket.cell(name).expect("a good name")) as Arc<dyn Cell>;
    SharedPlace {
        leader: cell(SharedPlace::LEADER),
        checkpoint: cell(SharedPlace::CHECKPOINT),
        objects: Arc::new(bucket.clone()),
        cache: cache.to_owned(),
    }
}

fn server() -> Option<Versity> {
    let server = Versity::start()?;
    server.make_bucket(BUCKET);
    Some(server)
}

/// Each machine goes through a gateway of its own.
#[test]
fn two_machines_share_a_bucket() {
    let Some(server) = server() else { return };
    let second = server.beside();
    let buckets = [bucket(&server.endpoint()), bucket(&second.endpoint())];
    let (temp, turn) = (scratch(), std::cell::Cell::new(0));
    let open = || {
        turn.set(turn.get() + 1);
        place_in(&buckets[turn.get() % 2], &temp.path().join("cache"))
    };
    two_machines(&open, Duration::from_millis(500));
    let report = fsck(&server.bucket(BUCKET).join("log"), Trust::Policy(&policy(), now())).unwrap();
    assert_eq!(report.size, 308);
}

/// Answers that are lost, doubled or late on the way: the bucket sees to it that the log does not even
/// notice.
#[test]
fn l19_c_a_log_runs_on_a_bucket_behind_a_bad_network() {
    let Some(server) = server() else { return };
    let proxy = FaultProxy::start(server.address(), |seen| match (seen.method, seen.number % 11) {
        ("PUT", 0) => Fault::ExecutedThenAnswer(412, "PreconditionFailed"),
        ("PUT", 3) => Fault::ExecutedThenHangUp,
        ("PUT", 6) => Fault::Twice,
        ("PUT", 8) => Fault::Late,
        (_, 9) => Fault::Answer(503, "SlowDown"),
        _ => Fault::None,
    });
    let temp = scratch();
    let place = place_in(&bucket(&proxy.endpoint()), temp.path());
    for round in 0..3 {
        let mut candidate = Candidate::new(place.clone(), log_key(), None, LONG).unwrap();
        assert_eq!(candidate.look(Instant::now()).unwrap(), Seen::Free);
        let Turn::Ours(log) = candidate.lead(now()).unwrap() else { panic!("it was free") };
        let log = run(*log);
        for number in round * 50..round * 50 + 50 {
            assert_eq!(accepted(&log, number).unwrap().index, number);
            if number % 20 == 0 {
                proxy.release();
            }
        }
        assert!(log.stop().is_none());
    }
    proxy.release();
    let direct = place_in(&bucket(&server.endpoint()), temp.path());
    let mut candidate = Candidate::new(direct, log_key(), None, LONG).unwrap();
    assert_eq!(candidate.look(Instant::now()).unwrap(), Seen::Free);
    let Turn::Ours(log) = candidate.lead(now()).unwrap() else { panic!("it was free") };
    assert_eq!(log.size(), 150);
    let keys = [log.key().verifier().clone()];
    assert_eq!(fsck(&server.bucket(BUCKET).join("log"), Trust::Keys(&keys)).unwrap().size, 150);
}
