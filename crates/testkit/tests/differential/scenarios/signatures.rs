//! Who signed, how often, and for what: sections 4.2.1, 5.3.4, 5.4.2, 5.5.3, 5.6.3.

use countersign_base::json::Json;
use countersign_testkit::hostile::{Delegation, Kind};
use countersign_testkit::sim::object;

use super::scenarios;
use crate::run::{OK, Run};

/// The signatures of an envelope.
fn signatures(json: &mut Json) -> &mut Vec<Json> {
    match object(json).get_mut("signatures") {
        Some(Json::Array(items)) => items,
        other => panic!("no signatures: {other:?}"),
    }
}

/// A timestamp that two keys must sign, published with both.
fn two_keys(run: &mut Run<'_>) {
    run.repo.add_key("timestamp", "timestamp-2", Kind::Ed25519);
    run.repo.threshold("timestamp", 2);
    run.repo.publish(&["root", "timestamp"]);
}

fn unsigned(run: &mut Run<'_>, role: &str) {
    run.refresh(OK);
    run.repo.publish(&["targets", "snapshot", "timestamp"]);
    run.repo.tamper_json(role, |json| signatures(json).clear());
    run.refresh("tuf-threshold");
}

/// The role is signed by a key that nobody lists.
fn foreign(run: &mut Run<'_>, role: &str) {
    run.refresh(OK);
    let key = countersign_testkit::hostile::TufKey::new("foreign", Kind::Ed25519);
    run.repo.keys.insert("foreign".to_owned(), key);
    run.repo.signers.insert(role.to_owned(), vec!["foreign".to_owned()]);
    run.repo.publish(&["targets", "snapshot", "timestamp"]);
    run.refresh("tuf-threshold");
}

scenarios! {
    fn a_timestamp_without_signatures(run) { unsigned(run, "timestamp"); }
    fn a_snapshot_without_signatures(run) { unsigned(run, "snapshot"); }
    fn targets_without_signatures(run) { unsigned(run, "targets"); }
    fn a_timestamp_by_a_foreign_key(run) { foreign(run, "timestamp"); }
    fn a_snapshot_by_a_foreign_key(run) { foreign(run, "snapshot"); }
    fn targets_by_a_foreign_key(run) { foreign(run, "targets"); }

    fn a_root_without_signatures(run) {
        run.repo.publish(&["root"]);
        run.repo.tamper_json("root", |json| signatures(json).clear());
        run.refresh("tuf-threshold");
    }

    /// The content changed after it was signed.
    fn a_timestamp_that_was_changed(run) {
        run.refresh(OK);
        run.repo.publish(&["timestamp"]);
        run.repo.tamper_text("timestamp", "\"version\":2", "\"version\":3");
        run.refresh("tuf-threshold");
    }

    fn two_of_two(run) {
        two_keys(run);
        run.refresh(OK);
    }

    fn one_of_two(run) {
        two_keys(run);
        run.repo.tamper_json("timestamp", |json| drop(signatures(json).pop()));
        run.refresh("tuf-threshold");
    }

    fn one_signature_listed_twice(run) {
        two_keys(run);
        run.repo.tamper_json("timestamp", |json| {
            let first = signatures(json)[0].clone();
            signatures(json)[1] = first;
        });
        run.refresh("tuf-threshold");
    }

    /// ECDSA signs differently each time.
    fn two_signatures_of_one_key(run) {
        run.repo.rotate("timestamp", "timestamp-2");
        run.repo.keys.insert(
            "timestamp-2".to_owned(),
            countersign_testkit::hostile::TufKey::new("timestamp-2", Kind::P256),
        );
        object(run.repo.entry("timestamp")).insert("keyids".to_owned(), Json::Array(Vec::new()));
        run.repo.list_key("timestamp", "timestamp-2");
        run.repo.add_key("timestamp", "timestamp-3", Kind::Ed25519);
        run.repo.threshold("timestamp", 2);
        run.repo.signers.insert("timestamp".to_owned(), vec!["timestamp-2".to_owned(); 2]);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-threshold");
    }

    fn one_good_and_one_bad(run) {
        two_keys(run);
        run.repo.tamper_json("timestamp", |json| {
            object(&mut signatures(json)[1]).insert("sig".to_owned(), Json::from("00".repeat(64)));
        });
        run.refresh("tuf-threshold");
    }

    fn one_good_and_one_of_another_role(run) {
        run.repo.add_key("timestamp", "timestamp-2", Kind::Ed25519);
        run.repo.threshold("timestamp", 2);
        run.repo.signers.insert("timestamp".to_owned(), vec!["timestamp".to_owned(), "snapshot".to_owned()]);
        run.repo.publish(&["root", "timestamp"]);
        run.refresh("tuf-threshold");
    }

    /// The threshold is met; what else is there does no harm.
    fn enough_good_ones_and_a_bad_one(run) {
        run.repo.add_key("timestamp", "timestamp-2", Kind::Ed25519);
        run.repo.publish(&["root", "timestamp"]);
        run.repo.tamper_json("timestamp", |json| {
            object(&mut signatures(json)[1]).insert("sig".to_owned(), Json::from("00".repeat(64)));
        });
        run.refresh(OK);
    }

    fn enough_good_ones_and_an_empty_one(run) {
        run.repo.add_key("timestamp", "timestamp-2", Kind::Ed25519);
        run.repo.publish(&["root", "timestamp"]);
        run.repo.tamper_json("timestamp", |json| {
            object(&mut signatures(json)[1]).insert("sig".to_owned(), Json::from(""));
        });
        run.refresh(OK);
    }

    fn enough_good_ones_and_a_foreign_one(run) {
        let key = countersign_testkit::hostile::TufKey::new("foreign", Kind::Ed25519);
        run.repo.keys.insert("foreign".to_owned(), key);
        run.repo.signers.insert("timestamp".to_owned(), vec!["foreign".to_owned(), "timestamp".to_owned()]);
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
    }

    fn a_signature_that_is_not_hex(run) {
        run.repo.tamper_json("timestamp", |json| {
            object(&mut signatures(json)[0]).insert("sig".to_owned(), Json::from("zz"));
        });
        run.refresh("tuf-malformed");
    }

    /// Section 4.2.1: key ids must be unique among the signatures.
    fn a_key_id_twice_where_one_is_enough(run) {
        run.repo.tamper_json("timestamp", |json| {
            let first = signatures(json)[0].clone();
            signatures(json).push(first);
        });
        run.refresh("tuf-threshold");
    }

    fn the_same_in_a_snapshot(run) {
        run.repo.tamper_json("snapshot", |json| {
            let first = signatures(json)[0].clone();
            signatures(json).push(first);
        });
        run.refresh("tuf-threshold");
    }

    fn the_timestamp_key_signs_the_snapshot(run) {
        run.repo.signers.insert("snapshot".to_owned(), vec!["timestamp".to_owned()]);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-role-confusion");
    }

    fn the_snapshot_key_signs_targets(run) {
        run.repo.signers.insert("targets".to_owned(), vec!["snapshot".to_owned()]);
        run.repo.release(&["targets"]);
        run.refresh("tuf-role-confusion");
    }

    fn a_snapshot_in_place_of_the_timestamp(run) {
        let other = run.repo.files["metadata/1.snapshot.json"].clone();
        run.repo.files.insert("metadata/timestamp.json".to_owned(), other);
        run.refresh("tuf-role-confusion");
    }

    fn a_timestamp_in_place_of_the_snapshot(run) {
        let other = run.repo.files["metadata/timestamp.json"].clone();
        run.repo.files.insert("metadata/1.snapshot.json".to_owned(), other);
        run.refresh("tuf-role-confusion");
    }

    /// Signed by the right key, of the wrong type.
    fn a_timestamp_of_type_snapshot(run) {
        run.repo.set("timestamp", "_type", "snapshot");
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-role-confusion");
    }

    fn targets_of_type_root(run) {
        run.repo.set("targets", "_type", "root");
        run.repo.release(&["targets"]);
        run.refresh("tuf-role-confusion");
    }

    fn a_delegated_role_without_signatures(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.repo.tamper_json("a", |json| signatures(json).clear());
        run.download("one", "tuf-threshold");
    }

    fn a_delegated_role_by_the_key_of_targets(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.signers.insert("a".to_owned(), vec!["targets".to_owned()]);
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-role-confusion");
    }

    fn a_delegated_role_with_two_of_three(run) {
        run.repo.delegate_with("targets", "a", &Delegation::default(), &["a", "b", "c"]);
        run.repo.delegation("targets", "a").insert("threshold".to_owned(), Json::Integer(2));
        run.repo.signers.insert("a".to_owned(), vec!["a".to_owned(), "c".to_owned()]);
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.download("one", OK);
        run.repo.signers.insert("a".to_owned(), vec!["b".to_owned()]);
        run.repo.release(&["a"]);
        run.download("one", "tuf-threshold");
    }
}
