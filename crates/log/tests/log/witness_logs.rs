//! The lists of logs that a witness reads.

use std::path::Path;

use countersign_log::witness::Rate;
use countersign_log::{LogList, LogListError};
use countersign_tlog::VerifierKey;

use crate::support::{ORIGIN, WITNESS, log_vkey, secret};

fn vkey(name: &str, number: u8) -> VerifierKey {
    VerifierKey::for_log(name, secret(number).public_key()).expect("a key")
}

#[test]
fn a_list_of_logs_is_a_vkey_a_line() {
    let vkey = log_vkey();
    let list = LogList::parse(format!("# logs\n\n{vkey}\n{vkey}\n").as_bytes()).unwrap();
    assert_eq!(list.iter().count(), 1);
    assert_eq!(list.find(ORIGIN).unwrap().keys, [vkey]);
    let witness = VerifierKey::for_witness(WITNESS, secret(2).public_key()).unwrap();
    for bad in ["log.example".to_owned(), witness.to_string()] {
        let error = LogList::parse(format!("# x\n{bad}\n").as_bytes()).unwrap_err();
        assert!(matches!(error, LogListError::Line { line: 2, .. }), "{error}");
    }
    assert!(matches!(LogList::parse(b"\xff"), Err(LogListError::NotText)));
    assert!(matches!(LogList::read(Path::new("/nonexistent/logs")), Err(LogListError::Missing(_))));
}

#[test]
fn a_list_of_a_witness_network_is_read() {
    let (one, two) = (vkey("log.example/1", 1), vkey("key.example/2", 2));
    let text = format!(
        "# test list\n\nlogs/v0\n\nvkey {one}\nqpd 86400\ncontact someone@example.com\n\n\
         vkey {two}\norigin log.example/2\nfuture thing\n"
    );
    let list = LogList::parse(text.as_bytes()).unwrap();
    assert_eq!(list.iter().count(), 2);
    assert_eq!(list.find("log.example/1").unwrap().keys, [one]);
    assert_eq!(list.rate("log.example/1"), Some(Rate::per_day(86400)));
    assert_eq!(list.find("log.example/2").unwrap().keys, [two]);
    assert_eq!(list.rate("log.example/2"), None);
    assert!(list.find("key.example/2").is_none(), "the origin is what the list says");
    assert!(list.skipped().is_empty());
    assert_eq!(LogList::parse(b"logs/v0\n").unwrap(), LogList::default());
}

/// A log of a network's list does not get another's origin, and one that is unusable does not spoil the list.
#[test]
fn a_network_log_that_cannot_be_had_is_left_out() {
    let (one, two) = (vkey("log.example/1", 1), vkey("log.example/2", 2));
    let witness = VerifierKey::for_witness(WITNESS, secret(2).public_key()).unwrap();
    let text = format!(
        "logs/v0\nvkey {one}\nvkey {two}\norigin log.example/1\nvkey {witness}\nvkey x+00000000+AAAA\nvkey {two}\n"
    );
    let list = LogList::parse(text.as_bytes()).unwrap();
    assert_eq!(list.skipped(), [3, 5, 6]);
    assert_eq!(list.find("log.example/1").unwrap().keys, [one]);
    assert_eq!(list.find("log.example/2").unwrap().keys, [two]);
}

#[test]
fn a_network_list_with_a_line_out_of_place_is_refused() {
    let key = vkey("log.example/1", 1);
    for (text, at) in [
        ("logs/v0\nqpd 1\n".to_owned(), 2),
        ("logs/v0\norigin x\n".to_owned(), 2),
        (format!("logs/v0\nvkey {key}\nqpd -1\n"), 3),
        (format!("logs/v0\nvkey {key}\nqpd 99999999999\n"), 3),
        (format!("logs/v0\nvkey {key}\norigin\n"), 3),
        (format!("logs/v0\nvkey {key}\norigin a\norigin b\n"), 4),
    ] {
        let error = LogList::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, LogListError::Entry { line } if line == at), "{text}: {error}");
    }
    // Another version of the format is no list of keys either.
    assert!(matches!(LogList::parse(b"logs/v1\n"), Err(LogListError::Line { line: 1, .. })));
}
