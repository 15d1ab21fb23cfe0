//! The suite on each database, and what a place may be.

use countersign_base::code::{self, Explain as _};
use countersign_index::{Place, Term};

use crate::server::{self, Server};
use crate::suite;

/// Where the suite runs.
pub(crate) struct Backend<'a> {
    /// An empty database.
    pub(crate) fresh: &'a dyn Fn() -> Place,
    /// Runs any statement on one.
    pub(crate) run: fn(&Place, &str),
}

fn run_sqlite(place: &Place, statement: &str) {
    let Place::Sqlite(path) = place else { panic!("{place}") };
    rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir_in(countersign_testkit::faulty_disk::scratch()).unwrap();
    let number = std::cell::Cell::new(0);
    let fresh = || {
        number.set(number.get() + 1);
        format!("sqlite:{}/{}.sqlite", folder.path().display(), number.get()).parse().unwrap()
    };
    suite::all(&Backend { fresh: &fresh, run: run_sqlite });
}

#[test]
fn postgresql_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    suite::all(&Backend { fresh: &|| server.fresh(), run: server::run });
}

#[test]
fn only_places_of_this_machine_are_places_and_no_password_is_shown() {
    for good in [
        "sqlite:/x/y",
        "sqlite:y",
        "postgres://u@localhost/d",
        "postgresql://u:secret@127.0.0.1:5433/d",
        "postgres://u@%2Frun%2Fpg/d",
    ] {
        let place: Place = good.parse().unwrap_or_else(|error| panic!("{good}: {error}"));
        assert!(!place.to_string().contains("secret") && !format!("{place:?}").contains("secret"), "{place}");
    }
    for bad in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "/x",
        "mysql://u:secret@localhost/d",
        "u:secret@h",
        "postgres://u:secret@db.example.org/d",
        "postgres://u:secret@10.0.0.1/d",
        "postgres:///d",
        "postgres://u:secret@localhost,10.0.0.1/d",
        "postgres://u:secret@localhost:x/d",
    ] {
        let error = bad.parse::<Place>().unwrap_err();
        assert_eq!(error.code(), code::USAGE, "{bad}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn only_questions_are_questions() {
    let digest = "ab".repeat(32);
    for good in [
        &format!("digest:{digest}"),
        "product:node",
        "product:node@1.4.0",
        "role:root",
        "role:node@7",
        "key:abc",
        &format!("leaf:{digest}"),
        "time:2026-11-21T14:00:00Z..",
        "time:..2026-11-21T14:00:00Z",
        &format!("digest:sha256:{digest}"),
        "time:2026-11-21..2026-11-22",
    ] {
        good.parse::<Term>().unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "",
        "x",
        "digest:",
        "digest:xyz",
        "digest:abcd",
        "role:node@x",
        "leaf:00",
        "time:..",
        "time:now..",
        "time:2026-11-32..",
        "time:2026-1-21..",
        &format!("digest:md5:{digest}"),
        "repository:x",
        "nothing:x",
        "product:a\nb",
        &"product:".repeat(400),
    ] {
        assert_eq!(bad.parse::<Term>().unwrap_err().code(), code::USAGE, "{bad}");
    }
}
