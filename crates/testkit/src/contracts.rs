//! What both storage contracts promise, as tests that every backend must pass.
//!
//! A backend's test binary calls [`storage_contracts!`](crate::storage_contracts) once.
#![expect(clippy::unwrap_used, reason = "a test suite: each of them is an assertion")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use countersign_store::{Cell, Held, MAX_CELL_BYTES, MAX_OBJECT_BYTES, Objects, Put, StoreError};

/// A store that is empty at first. Each call opens it anew, as another process would.
pub trait Backend: Sync {
    /// Its objects.
    fn objects(&self) -> Box<dyn Objects>;
    /// Its cell of that name.
    fn cell(&self, name: &str) -> Box<dyn Cell>;
}

/// A test a promise. `$backend` is an expression for an `Option` of a [`Backend`], evaluated in each test; `None` passes.
#[macro_export]
macro_rules! storage_contracts {
    ($backend:expr) => {
        $crate::storage_contracts!(@tests $backend;
            an_object_is_created_once_and_never_changes
            list_shows_objects_in_order
            odd_names_stay_apart
            bad_names_are_refused
            what_is_too_large_is_refused
            of_writers_of_one_object_one_wins
            equal_objects_put_at_once_are_one
            of_objects_put_together_one_that_differs_is_refused_and_unchanged
            many_objects_are_put_together
            a_cell_is_replaced_only_by_who_has_seen_the_latest
            of_writers_of_a_first_value_one_wins
            of_many_writers_of_a_cell_each_increment_counts_once
        );
    };
    (@tests $backend:expr; $($test:ident)*) => {
        $(#[test]
        fn $test() {
            if let Some(backend) = $backend {
                $crate::contracts::$test(&backend);
            }
        })*
    };
}

/// Absent, created, there with the same bytes, there with others.
pub fn an_object_is_created_once_and_never_changes(backend: &dyn Backend) {
    let store = backend.objects();
    assert_eq!(store.get("tile/0/000").unwrap(), None);
    assert_eq!(store.put_if_absent("tile/0/000", b"one").unwrap(), Put::Created);
    assert_eq!(store.put_if_absent("tile/0/000", b"one").unwrap(), Put::AlreadySame);
    for other in [&b"two"[..], b"longer than one", b""] {
        let error = store.put_if_absent("tile/0/000", other).unwrap_err();
        assert!(matches!(error, StoreError::Different { .. }), "{error}");
    }
    assert_eq!(backend.objects().get("tile/0/000").unwrap().unwrap(), b"one");
    assert_eq!(store.put_if_absent("empty", b"").unwrap(), Put::Created);
    assert_eq!(store.get("empty").unwrap().unwrap(), b"");
    assert_eq!(store.get("tile/0").unwrap_or(None), None, "a folder is no object");
}

/// Bytewise, whole store or one folder, and a folder is not a prefix.
pub fn list_shows_objects_in_order(backend: &dyn Backend) {
    let store = backend.objects();
    assert!(store.list("").unwrap().is_empty());
    for name in ["b/2", "b/1", "a", "b/c/3", "b-1", "bb/1", "b/10"] {
        store.put_if_absent(name, b"x").unwrap();
    }
    assert_eq!(store.list("").unwrap(), ["a", "b-1", "b/1", "b/10", "b/2", "b/c/3", "bb/1"]);
    assert_eq!(store.list("b").unwrap(), ["b/1", "b/10", "b/2", "b/c/3"]);
    assert_eq!(store.list("b/c").unwrap(), ["b/c/3"]);
    assert_eq!(store.list_after("b", "b/10").unwrap(), ["b/2", "b/c/3"]);
    assert!(store.list_after("b", "b/c/3").unwrap().is_empty());
    assert!(store.list("absent").unwrap().is_empty());
    assert!(store.list("b/1").unwrap_or_default().is_empty(), "an object is no folder");
}

/// Names that look alike after somebody's encoding, or that mean something to somebody.
pub fn odd_names_stay_apart(backend: &dyn Backend) {
    let store = backend.objects();
    let long = format!("long/{}", "x".repeat(200));
    let mut names = [
        "a b",
        "a+b",
        "a%20b",
        "a%2Fb",
        "a%2fb",
        "%",
        "%25",
        "..a",
        "a..",
        "é",
        "e\u{301}",
        "~",
        "a#b",
        "a?b=c",
        "a&b",
        "a=b",
        "a'b",
        "a\"b",
        "<a>",
        "{a}",
        "[a]",
        "^",
        "`",
        "|",
        "*",
        "a:b",
        "a;b",
        "a,b",
        "@",
        "$a",
        "!",
        "(a)",
        "A",
        "日本",
        ".hidden/x",
        "x001/002",
        "acl",
        "tagging",
        "versions/1",
        &long,
    ];
    for name in names {
        assert_eq!(store.put_if_absent(name, name.as_bytes()).unwrap(), Put::Created, "{name:?}");
    }
    for name in names {
        assert_eq!(store.get(name).unwrap().as_deref(), Some(name.as_bytes()), "{name:?}");
    }
    names.sort_unstable();
    assert_eq!(store.list("").unwrap(), names);
}

/// The rules of `store::name`, in every operation.
pub fn bad_names_are_refused(backend: &dyn Backend) {
    let store = backend.objects();
    let long = "x".repeat(256);
    for name in ["/a", "../a", "a/../b", "a//b", "a/", ".", "a/.", "a\\b", "a\0b", "a\nb", ".tmp-1", &long] {
        let is_name = |error: StoreError| matches!(error, StoreError::Name { .. });
        assert!(is_name(store.put_if_absent(name, b"x").unwrap_err()), "{name:?}");
        assert!(is_name(store.get(name).unwrap_err()), "{name:?}");
        assert!(is_name(store.list(name).unwrap_err()), "{name:?}");
    }
    assert!(store.put_if_absent("", b"x").is_err());
    assert!(store.list("").unwrap().is_empty());
}

/// Limits are checked before anything is stored.
pub fn what_is_too_large_is_refused(backend: &dyn Backend) {
    let bytes = vec![0; usize::try_from(MAX_OBJECT_BYTES).unwrap() + 1];
    let error = backend.objects().put_if_absent("large", &bytes).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: MAX_OBJECT_BYTES, .. }), "{error}");
    let value = &bytes[..usize::try_from(MAX_CELL_BYTES).unwrap() + 1];
    let error = backend.cell("cell").create(value).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: MAX_CELL_BYTES, .. }), "{error}");
    assert!(backend.objects().list("").unwrap().iter().all(|name| name.ends_with(".lock")));
    let mib = vec![7; 1 << 20];
    backend.objects().put_if_absent("1 MiB", &mib).unwrap();
    assert_eq!(backend.objects().get("1 MiB").unwrap().unwrap(), mib);
}

/// Runs `work` on as many threads, all starting together.
fn together<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    let (start, work) = (&start, &work);
    thread::scope(|scope| {
        let begun: Vec<_> = (0..threads)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    work(n)
                })
            })
            .collect();
        begun.into_iter().map(|thread| thread.join().expect("no writer panics")).collect()
    })
}

/// Exactly one is told that it created the object, and its bytes are there.
pub fn of_writers_of_one_object_one_wins(backend: &dyn Backend) {
    for round in 0..10 {
        let name = format!("wal/{round}");
        let content = |writer: usize| format!("writer {writer} ").repeat(2_000).into_bytes();
        let ended = together(6, |writer| backend.objects().put_if_absent(&name, &content(writer)));
        let winners: Vec<usize> = (0..6).filter(|n| matches!(ended[*n], Ok(Put::Created))).collect();
        let [winner] = winners[..] else { panic!("round {round}: {winners:?} won") };
        for (writer, end) in ended.into_iter().enumerate().filter(|(writer, _)| *writer != winner) {
            assert!(matches!(end, Err(StoreError::Different { .. })), "writer {writer}: {end:?}");
        }
        assert_eq!(backend.objects().get(&name).unwrap().unwrap(), content(winner));
    }
}

/// All succeed, and one is told that it created the object.
pub fn equal_objects_put_at_once_are_one(backend: &dyn Backend) {
    for round in 0..10 {
        let name = format!("tile/0/{round}");
        let ended = together(6, |_| backend.objects().put_if_absent(&name, b"the same").unwrap());
        assert_eq!(ended.iter().filter(|put| **put == Put::Created).count(), 1, "round {round}");
    }
}

/// The one that differs keeps its bytes; of the others each is absent or whole.
pub fn of_objects_put_together_one_that_differs_is_refused_and_unchanged(backend: &dyn Backend) {
    let store = backend.objects();
    store.put_if_absent("a/2", b"two").unwrap();
    let objects = |second: &[u8]| {
        [("a/1", b"one".as_slice()), ("a/2", second), ("b/3", b"three")]
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    };
    let error = store.put_all_if_absent(&objects(b"other")).unwrap_err();
    assert!(matches!(error, StoreError::Different { path } if path.ends_with("a/2")));
    for (name, bytes) in objects(b"two") {
        assert!(store.get(&name).unwrap().is_none_or(|held| held == bytes), "{name}");
    }
    store.put_all_if_absent(&objects(b"two")).unwrap();
    assert_eq!(store.list("").unwrap(), ["a/1", "a/2", "b/3"]);
    assert_eq!(store.get("a/2").unwrap().unwrap(), b"two");
    store.put_all_if_absent(&[]).unwrap();
}

/// More than any page of a listing and any bound on what is under way at once.
pub fn many_objects_are_put_together(backend: &dyn Backend) {
    let store = backend.objects();
    let objects: Vec<_> =
        (0..1_100_u16).map(|n| (format!("{}/{n}", n % 7), n.to_be_bytes().to_vec())).collect();
    store.put_all_if_absent(&objects).unwrap();
    let expected: BTreeMap<_, _> = objects.iter().cloned().collect();
    let names: Vec<_> = expected.keys().cloned().collect();
    assert_eq!(store.list("").unwrap(), names);
    assert_eq!(store.list_after("", &names[30]).unwrap(), names[31..]);
    for (name, bytes) in expected.iter().step_by(13) {
        assert_eq!(store.get(name).unwrap().as_ref(), Some(bytes));
    }
}

/// Two holders of one cell: who saw an older value changes nothing.
pub fn a_cell_is_replaced_only_by_who_has_seen_the_latest(backend: &dyn Backend) {
    let (one, two) = (backend.cell("lease"), backend.cell("lease"));
    let conflicts = |ended: Result<Held, StoreError>| matches!(ended, Err(StoreError::Conflict { .. }));
    assert!(one.load().unwrap().is_none());
    let held = one.create(b"1").unwrap();
    assert!(conflicts(two.create(b"1")));
    assert!(conflicts(two.create(b"other")));
    let stale = two.load().unwrap().unwrap();
    let held = one.replace(held, b"2").unwrap();
    assert!(conflicts(two.replace(stale, b"3")));
    assert_eq!(held.bytes(), b"2");
    assert_eq!(two.load().unwrap().unwrap().bytes(), b"2");
    let held = one.replace(held, b"").unwrap();
    assert_eq!(two.load().unwrap().unwrap().bytes(), b"");
    let seen = two.load().unwrap().unwrap();
    assert_eq!(two.replace(seen, b"4").unwrap().bytes(), b"4", "who read the latest may go on");
    assert!(conflicts(one.replace(held, b"5")));
    assert!(backend.cell("other").load().unwrap().is_none());
}

/// Exactly one creates it.
pub fn of_writers_of_a_first_value_one_wins(backend: &dyn Backend) {
    for round in 0..10 {
        let name = format!("cell-{round}");
        let value = |writer: usize| format!("owner {writer}").into_bytes();
        let ended = together(6, |writer| backend.cell(&name).create(&value(writer)));
        let winners: Vec<usize> = (0..6).filter(|n| ended[*n].is_ok()).collect();
        let [winner] = winners[..] else { panic!("round {round}: {winners:?} won") };
        assert_eq!(backend.cell(&name).load().unwrap().unwrap().bytes(), value(winner));
    }
}

/// No update is lost and none is done twice.
pub fn of_many_writers_of_a_cell_each_increment_counts_once(backend: &dyn Backend) {
    backend.cell("n").create(b"0").unwrap();
    together(4, |_| {
        let cell = backend.cell("n");
        let mut done = 0;
        while done < 10 {
            let held = cell.load().unwrap().unwrap();
            let next: u32 = std::str::from_utf8(held.bytes()).unwrap().parse::<u32>().unwrap() + 1;
            match cell.replace(held, next.to_string().as_bytes()) {
                Ok(_) => done += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(backend.cell("n").load().unwrap().unwrap().bytes(), b"40");
}
