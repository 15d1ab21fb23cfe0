//! The server dies and comes back under load.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use countersign_store::{Cell as _, Objects as _, Put, StoreError};

use crate::support::{bucket, hasty, server, value};

#[test]
fn what_was_acknowledged_is_there_after_the_server_was_killed_under_load() {
    let Some(mut server) = server() else { return };
    let endpoint = server.endpoint();
    let acknowledged = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (endpoint, acknowledged, done) = (&endpoint, &acknowledged, &done);
            scope.spawn(move || {
                let store = bucket(endpoint);
                let mut n = 0;
                while !done.load(Ordering::SeqCst) {
                    let name = format!("wal/{writer}-{n}");
                    let put = store.put_if_absent(&name, name.as_bytes()).unwrap();
                    assert_eq!(put, Put::Created, "nobody else writes `{name}`");
                    acknowledged.lock().unwrap().push(name);
                    n += 1;
                }
            });
        }
        for round in 1..=3 {
            wait_for(|| acknowledged.lock().unwrap().len() > round * 40);
            server.kill();
            server.restart();
        }
        let so_far = acknowledged.lock().unwrap().len();
        wait_for(|| acknowledged.lock().unwrap().len() > so_far + 10);
        done.store(true, Ordering::SeqCst);
    });
    let store = bucket(&endpoint);
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut expected = acknowledged.clone();
    expected.sort();
    assert_eq!(store.list("wal").unwrap(), expected, "acknowledged, and nothing else");
    for name in &acknowledged {
        assert_eq!(store.get(name).unwrap().unwrap(), name.as_bytes());
    }
}

#[test]
fn a_counter_counts_each_increment_once_while_its_server_is_killed() {
    let Some(mut server) = server() else { return };
    let endpoint = server.endpoint();
    bucket(&endpoint).cell("n").unwrap().create(b"0").unwrap();
    let counted = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let cell = bucket(&endpoint).cell("n").unwrap();
                while !done.load(Ordering::SeqCst) {
                    let held = cell.load().unwrap().unwrap();
                    let next = std::str::from_utf8(held.bytes()).unwrap().parse::<u32>().unwrap() + 1;
                    match cell.replace(held, next.to_string().as_bytes()) {
                        Ok(_) => drop(counted.fetch_add(1, Ordering::SeqCst)),
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for round in 1..=3 {
            wait_for(|| counted.load(Ordering::SeqCst) > round * 30);
            server.kill();
            server.restart();
        }
        let so_far = counted.load(Ordering::SeqCst);
        wait_for(|| counted.load(Ordering::SeqCst) > so_far + 10);
        done.store(true, Ordering::SeqCst);
    });
    // A write whose answer was lost and that was then overtaken is told "conflict", though it counted for a moment: the
    // value may be ahead of what was acknowledged, never behind.
    let value: u32 = value(&bucket(&endpoint).cell("n").unwrap()).parse().unwrap();
    let counted = counted.load(Ordering::SeqCst);
    assert!((counted..=counted + 9).contains(&value), "{counted} acknowledged, {value} counted");
}

#[test]
fn a_server_that_stays_away_is_an_error_in_time() {
    let Some(mut server) = server() else { return };
    let store = hasty(&server.endpoint(), Duration::from_millis(500));
    store.put_if_absent("wal/0", b"x").unwrap();
    server.kill();
    for error in [
        store.put_if_absent("wal/1", b"x").map(drop).unwrap_err(),
        store.get("wal/0").map(drop).unwrap_err(),
        store.list("").map(drop).unwrap_err(),
        store.cell("lease").unwrap().create(b"1").map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }
    server.restart();
    assert_eq!(store.list("").unwrap(), ["wal/0"]);
}

/// Waits until `ready`; the tests' own patience is long, as the machine may be loaded.
fn wait_for(ready: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing happened in a minute");
}
