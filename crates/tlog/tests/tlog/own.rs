//! Own vectors, in files that others can run too: what no public set has.
//!
//! Header lines `key: value`, an empty line, then the signed note byte for byte. `log` and `witness` are the only
//! keys of the policy, which asks for that witness; `now` is the time at which the note is checked. The cosignatures
//! were also checked with another library (pyca/cryptography 48), which agrees on every one.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_base::Timestamp;
use countersign_tlog::policy::{Policy, PolicyLog, PolicyWitness};

use crate::support::{code, name};

#[test]
fn own_cosignature_vectors() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cosignature");
    for (file, path) in countersign_testkit::vectors::files(&dir, ".txt") {
        let text = std::fs::read_to_string(path).unwrap();
        let (head, note) = text.split_once("\n\n").unwrap();
        let head: BTreeMap<&str, &str> = head.lines().filter_map(|line| line.split_once(": ")).collect();
        let now: Timestamp = head["now"].parse().unwrap();
        let log = PolicyLog { key: head["log"].parse().unwrap(), url: None };
        let witness = PolicyWitness { name: name("w"), key: head["witness"].parse().unwrap(), url: None };
        let policy = Policy::k_of_n(vec![log], vec![witness], 1).unwrap();
        let result = policy.check_checkpoint(note.as_bytes(), now);
        assert_eq!(code(&result), head["expect"], "{file}: {} {result:?}", head["comment"]);
    }
}
