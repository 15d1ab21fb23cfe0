//! What every database must keep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use countersign_base::code::{self, Explain as _};
use countersign_crypto::sha256;
use countersign_index::{Change, IndexError, Kind, Place, Query};
use countersign_testkit::sim::Sim;

use crate::places::Backend;
use crate::support::{Fixture, find, indices, now, plain, record, scratch};

pub(crate) fn all(backend: &Backend<'_>) {
    entries_are_found_by_everything_that_is_indexed(backend);
    an_index_grows_with_its_log(backend);
    another_log_and_another_history_are_refused(backend);
    a_check_finds_whatever_was_changed(backend);
    readers_see_whole_trees_while_it_grows(backend);
    two_that_index_at_once_leave_one_index(backend);
    what_is_typed_is_never_a_statement(backend);
    documents_that_are_not_at_hand_are_said_to_be_missing(backend);
    an_index_is_made_anew_and_one_that_is_none_is_told(backend);
}

/// A repository with two releases of node, a signed record, and an entry of no kind.
fn repository() -> Sim {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", b"one");
    sim.publish_next(&["node"]);
    sim.log.entries.push(record(b"some content", b"some key"));
    sim.log.entries.push(b"anything".to_vec());
    sim.add_release("1.1.0", "node", b"two");
    sim.publish_next(&["node"]);
    sim
}

fn entries_are_found_by_everything_that_is_indexed(backend: &Backend<'_>) {
    let (temp, sim) = (scratch(), repository());
    let fixture = Fixture::of(&sim, temp.path());
    let place = (backend.fresh)();
    let built = fixture.build(&place).unwrap();
    assert_eq!((built.from, built.size), (0, sim.log.size()));
    let mut database = place.open().unwrap();
    let database = &mut *database;

    let all = find(database, &[]);
    assert_eq!(indices(&all), (0..sim.log.size()).collect::<Vec<_>>());
    let every = find(database, &["role:node"]);
    assert_eq!(every.iter().map(|row| row.version).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert!(every.iter().all(|row| row.kind == Kind::Metadata && row.logged_by.is_some()));
    // The first one lists no file.
    let node = &every[1..];
    let second = find(database, &["role:node@3"]);
    assert_eq!(second[0], node[1]);
    assert_eq!(indices(&find(database, &["product:node"])), indices(node));
    let release = find(database, &["product:node@1.1.0"]);
    assert_eq!(indices(&release), [node[1].index]);
    let file = release[0].artifacts.iter().find(|file| file.version.as_deref() == Some("1.1.0")).unwrap();
    assert_ne!(file.change, Change::Removed);
    assert_eq!(file.digest, sha256(b"two").to_string());
    assert_eq!(indices(&find(database, &[&format!("digest:{}", file.digest)])), [node[1].index]);
    assert_eq!(
        indices(&find(database, &[&format!("digest:{}", file.digest.to_uppercase())])),
        [node[1].index]
    );
    let document = node[1].digest.clone().unwrap();
    assert_eq!(indices(&find(database, &[&format!("digest:{document}")])), [node[1].index]);
    let key = sim.key_id("node-1");
    assert_eq!(indices(&find(database, &[&format!("key:{key}")])), indices(&every));
    assert_eq!(indices(&find(database, &[&format!("leaf:{}", node[0].leaf)])), [node[0].index]);
    let anchor = format!("repository:{}", sim.anchor());
    let metadata = find(database, &[&anchor]);
    assert_eq!(metadata.len() as u64, sim.log.size() - 2);
    assert_eq!(indices(&find(database, &[&anchor, "role:node@2"])), [node[0].index], "all terms are met");
    assert_eq!(find(database, &["role:node@1", "role:node@2"]), []);

    let signed = find(database, &[&format!("digest:{}", sha256(b"some content"))]);
    assert_eq!((signed.len(), signed[0].kind), (1, Kind::HashedRekord));
    assert_eq!(indices(&find(database, &[&format!("key:{}", sha256(b"some key"))])), indices(&signed));

    let later = now().plus_seconds(1);
    assert_eq!(find(database, &[&format!("time:..{}", now())]).len() as u64, sim.log.size());
    assert_eq!(find(database, &[&format!("time:{later}..")]), []);
    let (head, some) = database.find(&Query { terms: Vec::new(), after: Some(2), limit: 2 }).unwrap();
    assert_eq!((head.size, indices(&some)), (sim.log.size(), vec![3, 4]));
    let checked = fixture.check(&place).unwrap();
    assert_eq!((checked.size, checked.behind), (sim.log.size(), 0));
}

fn an_index_grows_with_its_log(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    for (from, to) in [(0, 0), (0, 1), (1, 255), (255, 256), (256, 5000), (5000, 5000), (5000, 9000)] {
        let fixture = plain(temp.path(), "entry", to);
        let built = fixture.build(&place).unwrap();
        assert_eq!((built.from, built.size), (from, to));
        assert_eq!(fixture.check(&place).unwrap().size, to);
        let head = place.open().unwrap().head().unwrap().unwrap();
        assert_eq!((head.size, head.root), (to, *fixture.signed.checkpoint().root()));
    }
    // The log is ahead.
    let fixture = plain(temp.path(), "entry", 9100);
    assert_eq!(fixture.check(&place).unwrap().behind, 100);
}

fn another_log_and_another_history_are_refused(backend: &Backend<'_>) {
    let (temp, other, place) = (scratch(), scratch(), (backend.fresh)());
    plain(temp.path(), "entry", 600).build(&place).unwrap();
    for size in [700, 600, 500] {
        let fork = plain(&other.path().join(size.to_string()), "other", size);
        assert_eq!(fork.build(&place).unwrap_err().code(), code::LOG_INDEX_MISMATCH, "{size}");
        assert_eq!(fork.check(&place).unwrap_err().code(), code::LOG_INDEX_MISMATCH, "{size}");
    }
    let stranger = scratch();
    let fixture = Fixture::of(&repository(), stranger.path());
    assert_eq!(fixture.build(&place).unwrap_err().code(), code::LOG_INDEX_MISMATCH);
    let fixture = plain(temp.path(), "entry", 700);
    assert_eq!(fixture.build(&place).unwrap().from, 600, "it is as it was");
    fixture.check(&place).unwrap();
}

fn a_check_finds_whatever_was_changed(backend: &Backend<'_>) {
    let (temp, sim) = (scratch(), repository());
    let fixture = Fixture::of(&sim, temp.path());
    let size = sim.log.size();
    let other = "ab".repeat(32);
    let table = "countersign_index_";
    for statement in [
        format!("UPDATE {table}entries SET leaf = '{other}' WHERE entry = 1"),
        format!("UPDATE {table}entries SET digest = '{other}' WHERE entry = 2"),
        format!("UPDATE {table}entries SET role = 'x' WHERE role = 'node' AND version = 3"),
        format!("UPDATE {table}entries SET version = 7 WHERE role = 'node' AND version = 3"),
        format!("UPDATE {table}entries SET repository = NULL WHERE entry = 0"),
        format!("UPDATE {table}entries SET kind = 'other' WHERE kind = 'hashedrekord'"),
        format!("UPDATE {table}entries SET kind = 'nonsense' WHERE entry = 3"),
        format!("UPDATE {table}entries SET entry = 1000 WHERE entry = 3"),
        format!("DELETE FROM {table}entries WHERE entry = 3"),
        format!("DELETE FROM {table}entries WHERE entry = {}", size - 1),
        format!(
            "INSERT INTO {table}entries (entry, leaf, kind, has_document) VALUES ({size}, '{other}', 'other', 0)"
        ),
        format!("UPDATE {table}artifacts SET digest = '{other}' WHERE version = '1.1.0'"),
        format!("DELETE FROM {table}artifacts WHERE version = '1.1.0'"),
        format!(
            "INSERT INTO {table}artifacts (entry, change, digest, path) VALUES (1, 'added', '{other}', 'x')"
        ),
        format!("UPDATE {table}keys SET key_id = 'x' WHERE entry = 1"),
        format!("DELETE FROM {table}keys WHERE entry = 1"),
        format!("INSERT INTO {table}keys (entry, key_id) VALUES (1, 'x')"),
        format!("UPDATE {table}head SET root = '{other}'"),
        format!("UPDATE {table}head SET size = size - 1"),
        format!("UPDATE {table}head SET origin = 'x'"),
        format!("UPDATE {table}head SET size = NULL"),
    ] {
        let place = (backend.fresh)();
        fixture.build(&place).unwrap();
        fixture.check(&place).unwrap();
        (backend.run)(&place, &statement);
        let error = fixture.check(&place).expect_err(&statement);
        assert_eq!(error.code(), code::LOG_INDEX_MISMATCH, "{statement}: {error}");
        // Made anew it is right.
        place.open().unwrap().clear().unwrap();
        fixture.build(&place).unwrap();
        fixture.check(&place).unwrap();
    }
}

fn readers_see_whole_trees_while_it_grows(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    let fixture = plain(temp.path(), "entry", 60_000);
    let limit = 10_000;
    drop(place.open().unwrap());
    let done = AtomicBool::new(false);
    let sizes = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut database = place.open_existing().unwrap();
            let mut sizes = Vec::new();
            loop {
                let last = done.load(Ordering::SeqCst);
                if let Some(head) = database.head().unwrap() {
                    // All that is behind the last entries of the tree that is stated, which may have
                    // grown by more than one answer holds.
                    let after = head.size.saturating_sub(3);
                    let (head, rows) =
                        database.find(&Query { terms: Vec::new(), after: Some(after), limit }).unwrap();
                    let end = head.size.min(after + 1 + limit as u64);
                    assert_eq!(rows.last().map(|row| row.index + 1), Some(end), "no more and no less");
                    sizes.push(head.size);
                }
                if last {
                    return sizes;
                }
            }
        });
        fixture.build(&place).unwrap();
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    assert_eq!(sizes.last(), Some(&60_000));
    assert!(sizes.is_sorted());
}

fn two_that_index_at_once_leave_one_index(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    let fixture = plain(temp.path(), "entry", 40_000);
    drop(place.open().unwrap());
    let run = |place: &Place| match fixture.build(place) {
        Ok(_) => true,
        Err(IndexError::Conflict | IndexError::Database(_)) => false,
        Err(error) => panic!("{error}"),
    };
    let ended = thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&place))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).filter(|done| *done).count()
    });
    assert!(ended >= 1, "one of them gets to the end");
    assert_eq!(fixture.check(&place).unwrap().size, fixture.size());
}

fn what_is_typed_is_never_a_statement(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    let fixture = Fixture::of(&repository(), temp.path());
    fixture.build(&place).unwrap();
    let mut database = place.open().unwrap();
    for evil in ["x' OR '1'='1", "x'); DROP TABLE countersign_index_entries; --", "\\", "%", "_", "$1", "?"] {
        for kind in ["product", "role", "key"] {
            assert_eq!(find(&mut *database, &[&format!("{kind}:{evil}")]), [], "{kind} {evil}");
        }
    }
    fixture.check(&place).unwrap();
}

fn documents_that_are_not_at_hand_are_said_to_be_missing(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    let sim = repository();
    let fixture = Fixture::of(&sim, temp.path()).without_documents();
    let built = fixture.build(&place).unwrap();
    assert_eq!(built.without_document, sim.log.size() - 2);
    let mut database = place.open().unwrap();
    let node = find(&mut *database, &["role:node@3"]);
    assert!(!node[0].has_document && node[0].keys.is_empty());
    // What could not be compared is counted, with the documents and without.
    assert_eq!(fixture.check(&place).unwrap().unchecked, sim.log.size() - 2);
    let with = Fixture::of(&sim, temp.path());
    assert_eq!(with.check(&place).unwrap().unchecked, sim.log.size() - 2);
    // A document that is not the one that the entry names is as good as none.
    for file in std::fs::read_dir(temp.path().join("metadata")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let place = (backend.fresh)();
    assert_eq!(with.build(&place).unwrap().without_document, sim.log.size() - 2);
}

fn an_index_is_made_anew_and_one_that_is_none_is_told(backend: &Backend<'_>) {
    let (temp, place) = (scratch(), (backend.fresh)());
    let fixture = plain(temp.path(), "entry", 300);
    assert_eq!(place.open_existing().unwrap_err().code(), code::USAGE, "nothing is there yet");
    let mut database = place.open().unwrap();
    assert_eq!(database.find(&Query { limit: 1, ..Query::default() }).unwrap_err().code(), code::USAGE);
    assert_eq!(fixture.check(&place).unwrap_err().code(), code::USAGE);
    fixture.build(&place).unwrap();
    database.clear().unwrap();
    assert_eq!(database.head().unwrap(), None);
    assert_eq!(fixture.build(&place).unwrap().from, 0);
    (backend.run)(&place, "UPDATE countersign_index_head SET form = 2");
    assert_eq!(place.open().unwrap_err().code(), code::USAGE);
}
