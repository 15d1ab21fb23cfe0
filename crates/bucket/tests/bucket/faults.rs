//! L19 (c): answers that are lost, late, doubled or wrong. Nothing is lost, and nothing is done that is said not to be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_store::{Cell as _, Objects as _, Put, StoreError};
use countersign_testkit::s3::{Fault, FaultProxy, Flaw, FlawedS3};

use crate::support::{bucket, hasty, value};

/// What can happen to a write that then succeeds when it is repeated or read back.
const FAULTS: [Fault; 10] = [
    Fault::Answer(500, "InternalError"),
    Fault::Answer(503, "SlowDown"),
    Fault::Answer(409, "ConditionalRequestConflict"),
    Fault::ExecutedThenAnswer(500, "InternalError"),
    Fault::ExecutedThenAnswer(503, "SlowDown"),
    Fault::ExecutedThenAnswer(412, "PreconditionFailed"),
    Fault::HangUp,
    Fault::ExecutedThenHangUp,
    Fault::Twice,
    Fault::CutAnswer,
];

/// A proxy whose first PUT has `fault`.
fn first_put(server: &FlawedS3, fault: Fault) -> FaultProxy {
    let puts = AtomicUsize::new(0);
    FaultProxy::start(server.address(), move |seen| match seen.method {
        "PUT" if puts.fetch_add(1, Ordering::SeqCst) == 0 => fault,
        _ => Fault::None,
    })
}

#[test]
fn l19_c_a_put_is_ours_whatever_its_answer() {
    for fault in FAULTS {
        let server = FlawedS3::start(Flaw::None);
        let proxy = first_put(&server, fault);
        let store = bucket(&proxy.endpoint());
        assert_eq!(store.put_if_absent("wal/0", b"entry").unwrap(), Put::Created, "{fault:?}");
        assert_eq!(store.get("wal/0").unwrap().unwrap(), b"entry", "{fault:?}");
    }
}

#[test]
fn l19_c_a_put_that_lost_is_not_said_to_have_won() {
    for fault in FAULTS {
        let server = FlawedS3::start(Flaw::None);
        bucket(&server.endpoint()).put_if_absent("wal/0", b"theirs").unwrap();
        let proxy = first_put(&server, fault);
        let error = bucket(&proxy.endpoint()).put_if_absent("wal/0", b"ours").unwrap_err();
        assert!(matches!(error, StoreError::Different { .. }), "{fault:?}: {error}");
        let proxy = first_put(&server, fault);
        let put = bucket(&proxy.endpoint()).put_if_absent("wal/0", b"theirs").unwrap();
        assert_eq!(put, Put::AlreadySame, "{fault:?}: the same bytes are not the same write");
    }
}

#[test]
fn l19_c_a_cell_is_replaced_once_whatever_the_answer() {
    for fault in FAULTS {
        let server = FlawedS3::start(Flaw::None);
        let direct = bucket(&server.endpoint()).cell("lease").unwrap();
        direct.create(b"1").unwrap();
        let proxy = first_put(&server, fault);
        let cell = bucket(&proxy.endpoint()).cell("lease").unwrap();
        let held = cell.load().unwrap().unwrap();
        let held = cell.replace(held, b"2").unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(value(&direct), "2", "{fault:?}");
        cell.replace(held, b"3").unwrap_or_else(|error| panic!("{fault:?}, then: {error}"));
        assert_eq!(value(&direct), "3", "{fault:?}");
    }
}

/// Two want to write the very same value: the bytes do not tell whose it is, the mark does.
#[test]
fn l19_c_of_two_who_write_the_same_value_one_is_told_that_it_lost() {
    for fault in FAULTS {
        let server = FlawedS3::start(Flaw::None);
        let proxy = first_put(&server, fault);
        let (direct, lossy) = (bucket(&server.endpoint()), bucket(&proxy.endpoint()));
        direct.cell("lease").unwrap().create(b"free").unwrap();
        let (ours, theirs) = (lossy.cell("lease").unwrap(), direct.cell("lease").unwrap());
        let (seen, also_seen) = (ours.load().unwrap().unwrap(), theirs.load().unwrap().unwrap());
        theirs.replace(also_seen, b"taken").unwrap();
        let error = ours.replace(seen, b"taken").unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{fault:?}: {error}");
    }
}

#[test]
fn l19_c_a_late_write_changes_nothing_any_more() {
    let server = FlawedS3::start(Flaw::None);
    let direct = bucket(&server.endpoint());
    let proxy = first_put(&server, Fault::Late);
    let store = bucket(&proxy.endpoint());
    assert_eq!(store.put_if_absent("wal/0", b"entry").unwrap(), Put::Created);
    assert_eq!(proxy.release(), [412]);
    assert_eq!(direct.get("wal/0").unwrap().unwrap(), b"entry");

    let proxy = first_put(&server, Fault::Late);
    let cell = bucket(&proxy.endpoint()).cell("lease").unwrap();
    direct.cell("lease").unwrap().create(b"1").unwrap();
    let held = cell.load().unwrap().unwrap();
    let held = cell.replace(held, b"2").unwrap();
    assert_eq!(proxy.release(), [412]);
    cell.replace(held, b"3").unwrap();
    assert_eq!(value(&direct.cell("lease").unwrap()), "3");
}

/// Between a lost answer and the next try another writer replaces what was written.
#[test]
fn l19_c_who_was_overtaken_is_told_so() {
    let server = FlawedS3::start(Flaw::None);
    let direct = bucket(&server.endpoint());
    direct.cell("lease").unwrap().create(b"1").unwrap();
    let (other, address) = (direct.cell("lease").unwrap(), server.address());
    let puts = AtomicUsize::new(0);
    let gets = AtomicUsize::new(0);
    let proxy = FaultProxy::start(address, move |seen| match seen.method {
        "PUT" if puts.fetch_add(1, Ordering::SeqCst) == 0 => Fault::ExecutedThenHangUp,
        // The second GET is the one that reads back.
        "GET" if gets.fetch_add(1, Ordering::SeqCst) == 1 => {
            let seen = other.load().unwrap().unwrap();
            assert_eq!(seen.bytes(), b"ours");
            other.replace(seen, b"theirs").unwrap();
            Fault::None
        }
        _ => Fault::None,
    });
    let cell = bucket(&proxy.endpoint()).cell("lease").unwrap();
    let held = cell.load().unwrap().unwrap();
    let error = cell.replace(held, b"ours").unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(value(&direct.cell("lease").unwrap()), "theirs");
}

#[test]
fn a_server_that_keeps_failing_is_given_up_in_time_and_nothing_is_claimed() {
    for fault in [
        Fault::Answer(503, "SlowDown"),
        Fault::HangUp,
        Fault::Slow(Duration::from_secs(2)),
        Fault::ExecutedThenHangUp,
        Fault::ExecutedThenAnswer(500, "InternalError"),
    ] {
        let server = FlawedS3::start(Flaw::None);
        let proxy = FaultProxy::start(server.address(), move |_| fault);
        let store = hasty(&proxy.endpoint(), Duration::from_millis(400));
        let start = std::time::Instant::now();
        let error = store.put_if_absent("wal/0", b"entry").unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{fault:?}: {error}");
        assert!(store.get("wal/0").is_err() && store.list("").is_err(), "{fault:?}");
        store.cell("lease").unwrap().create(b"1").unwrap_err();
        store.put_all_if_absent(&[("a".to_owned(), vec![]), ("b".to_owned(), vec![])]).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(12), "{fault:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_refuses_is_asked_once() {
    let server = FlawedS3::start(Flaw::None);
    for (status, code) in [
        (403, "AccessDenied"),
        (400, "InvalidRequest"),
        (404, "NoSuchBucket"),
        (301, "PermanentRedirect"),
        (507, "QuotaExceeded"),
    ] {
        let proxy = FaultProxy::start(server.address(), move |_| Fault::Answer(status, code));
        let store = bucket(&proxy.endpoint());
        let error = store.put_if_absent("wal/0", b"entry").unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{code}: {error}");
        assert_eq!(proxy.requests(), 1, "{code}");
        assert!(store.get("wal/0").is_err(), "{code}: not the same as an absent object");
    }
}

#[test]
fn a_read_that_is_cut_short_is_repeated_and_never_given() {
    let server = FlawedS3::start(Flaw::None);
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    bucket(&server.endpoint()).put_if_absent("tile/0/000", &bytes).unwrap();
    let proxy = FaultProxy::start(server.address(), |seen| match seen.number {
        0 => Fault::CutAnswer,
        1 => Fault::Answer(500, "InternalError"),
        2 => Fault::HangUp,
        _ => Fault::None,
    });
    assert_eq!(bucket(&proxy.endpoint()).get("tile/0/000").unwrap().unwrap(), bytes);
    assert_eq!(proxy.requests(), 4);
}

/// Many objects over a network where every fault happens, against a real server where it is installed.
#[test]
fn many_puts_over_a_bad_network_are_all_there() {
    let flawed = FlawedS3::start(Flaw::None);
    let real = crate::support::server();
    let address = real.as_ref().map_or(flawed.address(), |server| server.address());
    let proxy = FaultProxy::start(address, |seen| match (seen.method, seen.number % 3) {
        ("PUT", 0) => FAULTS[seen.number / 3 % FAULTS.len()],
        ("GET", 1) => Fault::HangUp,
        _ => Fault::None,
    });
    let store = bucket(&proxy.endpoint());
    let objects: Vec<_> = (0..120_u32).map(|n| (format!("wal/{n}"), n.to_be_bytes().repeat(50))).collect();
    store.put_all_if_absent(&objects).unwrap();
    let direct = bucket(&format!("http://{address}"));
    for (name, bytes) in &objects {
        assert_eq!(direct.get(name).unwrap().as_ref(), Some(bytes), "{name}");
    }
}

/// Writers of one cell over a bad network: no value is acknowledged to two, and none that was acknowledged is lost.
#[test]
fn l19_c_writers_of_a_cell_over_a_bad_network_are_never_both_right() {
    let server = FlawedS3::start(Flaw::None);
    let direct = bucket(&server.endpoint()).cell("n").unwrap();
    direct.create(b"0").unwrap();
    let proxy = FaultProxy::start(server.address(), |seen| match (seen.method, seen.number % 4) {
        ("PUT", 0 | 1) => FAULTS[seen.number / 4 % FAULTS.len()],
        ("GET", 2) => Fault::HangUp,
        _ => Fault::None,
    });
    let count = || {
        let cell = bucket(&proxy.endpoint()).cell("n").unwrap();
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 25 {
            let held = cell.load().unwrap().unwrap();
            let next = std::str::from_utf8(held.bytes()).unwrap().parse::<u32>().unwrap() + 1;
            match cell.replace(held, next.to_string().as_bytes()) {
                Ok(_) => acknowledged.push(next),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        acknowledged
    };
    let mut all: Vec<u32> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3).map(|_| scope.spawn(count)).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "acknowledged twice: {all:?}");
    let value: u32 = value(&direct).parse().unwrap();
    assert!(all.last().is_some_and(|last| *last <= value), "{value} is there, {all:?} acknowledged");
}

/// A server that says something after each request, the listings' tokens.
fn lister(tokens: &'static [&'static str]) -> (String, std::sync::Arc<AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                request.push(byte[0]);
            }
            let token = tokens[count.fetch_add(1, Ordering::SeqCst) % tokens.len()];
            let body = format!(
                "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
            );
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 -\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
        }
    });
    (endpoint, asked)
}

#[test]
fn a_listing_without_an_end_is_given_up_and_is_never_taken_for_a_whole_one() {
    let (endpoint, asked) = lister(&["a"]);
    let error = bucket(&endpoint).list("wal").unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let (endpoint, asked) = lister(&["a", "b"]);
    let error = bucket(&endpoint).list("wal").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 20_000);
}
