//! What a parent lists about a child, and what is served in its place: sections 5.4 to 5.6.

use countersign_base::json::Json;
use countersign_testkit::hostile::Delegation;
use countersign_testkit::sim::{member, object};

use super::scenarios;
use crate::run::{OK, Run};

/// Changes the entry of `child` in its parent, then publishes snapshot or timestamp around it.
fn listed(run: &mut Run<'_>, child: &str, edit: impl Fn(&mut Json)) {
    run.repo.lengths_and_hashes = true;
    run.repo.publish(&["targets", "snapshot"]);
    let parent = if child == "snapshot" { "timestamp" } else { "snapshot" };
    edit(member(run.repo.role(parent), "meta").get_mut(&format!("{child}.json")).unwrap());
    if child == "snapshot" {
        run.repo.publish(&["timestamp"]);
    } else {
        run.repo.publish(&["snapshot", "timestamp"]);
    }
}

fn length(entry: &mut Json, more: i64) {
    let length = entry.get("length").and_then(Json::as_integer).unwrap();
    object(entry).insert("length".to_owned(), Json::Integer(length + more));
}

fn hashes(entry: &mut Json, hashes: Json) {
    object(entry).insert("hashes".to_owned(), hashes);
}

/// A hash that no file has.
fn nothing() -> Json {
    Json::object([("sha256", Json::from("00".repeat(32)))])
}

scenarios! {
    fn the_snapshot_is_longer_than_listed(run) {
        listed(run, "snapshot", |entry| length(entry, -1));
        run.refresh("fetch-too-large");
    }

    fn the_snapshot_is_shorter_than_listed(run) {
        listed(run, "snapshot", |entry| length(entry, 1));
        run.refresh("tuf-meta-mismatch");
    }

    fn the_snapshot_has_another_hash(run) {
        listed(run, "snapshot", |entry| hashes(entry, nothing()));
        run.refresh("tuf-meta-mismatch");
    }

    fn targets_are_longer_than_listed(run) {
        listed(run, "targets", |entry| length(entry, -1));
        run.refresh("fetch-too-large");
    }

    fn targets_are_shorter_than_listed(run) {
        listed(run, "targets", |entry| length(entry, 1));
        run.refresh("tuf-meta-mismatch");
    }

    fn targets_have_another_hash(run) {
        listed(run, "targets", |entry| hashes(entry, nothing()));
        run.refresh("tuf-meta-mismatch");
    }

    /// Every hash that is listed must fit, not one of them.
    fn one_of_two_hashes_of_targets_is_another(run) {
        listed(run, "targets", |entry| {
            let known = entry.get("hashes").and_then(|hashes| hashes.get("sha256")).unwrap().clone();
            hashes(entry, Json::object([("sha256", known), ("sha512", Json::from("00".repeat(64)))]));
        });
        run.refresh("tuf-meta-mismatch");
    }

    /// There is nothing that the bytes could be compared with.
    fn targets_have_hashes_that_nobody_knows(run) {
        listed(run, "targets", |entry| hashes(entry, Json::object([("sha7", Json::from("00"))])));
        run.refresh("tuf-meta-mismatch");
    }

    fn targets_have_an_empty_list_of_hashes(run) {
        listed(run, "targets", |entry| hashes(entry, Json::object::<String>([])));
        run.refresh("tuf-malformed");
    }

    fn the_length_of_targets_is_negative(run) {
        listed(run, "targets", |entry| {
            object(entry).insert("length".to_owned(), Json::Integer(-1));
        });
        run.refresh("tuf-malformed");
    }

    /// The same JSON in other bytes: a signature says nothing against it, the hash does.
    fn targets_are_written_otherwise(run) {
        listed(run, "targets", |_| {});
        run.repo.tamper("targets", |bytes| bytes.push(b'\n'));
        run.refresh("fetch-too-large");
    }

    fn the_timestamp_is_not_there(run) {
        run.repo.files.remove("metadata/timestamp.json");
        run.refresh("fetch-not-found");
    }

    fn the_snapshot_is_not_there(run) {
        run.repo.files.remove("metadata/1.snapshot.json");
        run.refresh("fetch-not-found");
        run.trusts([1, 1, 0, 0]);
    }

    fn targets_are_not_there(run) {
        run.repo.files.remove("metadata/1.targets.json");
        run.refresh("fetch-not-found");
        run.trusts([1, 1, 1, 0]);
    }

    fn the_snapshot_has_another_version_than_listed(run) {
        run.refresh(OK);
        run.repo.publish(&["snapshot", "timestamp"]);
        let old = run.repo.files["metadata/1.snapshot.json"].clone();
        run.repo.files.insert("metadata/2.snapshot.json".to_owned(), old);
        run.refresh("tuf-meta-mismatch");
        run.trusts([1, 2, 1, 1]);
    }

    fn targets_have_another_version_than_listed(run) {
        run.refresh(OK);
        run.repo.release(&["targets"]);
        let old = run.repo.files["metadata/1.targets.json"].clone();
        run.repo.files.insert("metadata/2.targets.json".to_owned(), old);
        run.refresh("tuf-meta-mismatch");
    }

    /// Mix and match: the targets of a release that this snapshot does not belong to.
    fn newer_targets_than_listed(run) {
        run.repo.release(&["targets"]);
        run.repo.publish(&["targets"]);
        let newer = run.repo.files["metadata/3.targets.json"].clone();
        run.repo.files.insert("metadata/2.targets.json".to_owned(), newer);
        run.refresh("tuf-meta-mismatch");
    }

    /// Without consistent snapshots files change under the reader's hands.
    fn files_change_between_two_fetches(run) {
        run.repo.set("root", "consistent_snapshot", false);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.repo.publish(&["targets"]);
        run.repo.set("targets", "version", 2);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.repo.set("targets", "version", 8);
        run.repo.publish(&["targets"]);
        run.refresh("tuf-meta-mismatch");
    }

    fn a_timestamp_without_a_snapshot(run) {
        object(run.repo.role("timestamp")).insert("meta".to_owned(), Json::object::<String>([]));
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-malformed");
    }

    /// Section 4.6: the timestamp describes the snapshot and no other file.
    fn a_timestamp_that_lists_more(run) {
        let entry = Json::object([("version", Json::Integer(1))]);
        member(run.repo.role("timestamp"), "meta").insert("targets.json".to_owned(), entry);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-malformed");
    }

    fn a_snapshot_without_targets(run) {
        object(run.repo.role("snapshot")).insert("meta".to_owned(), Json::object::<String>([]));
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-meta-mismatch");
    }

    fn a_snapshot_that_lists_what_is_not_there(run) {
        let entry = Json::object([("version", Json::Integer(7))]);
        member(run.repo.role("snapshot"), "meta").insert("nobody.json".to_owned(), entry);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh(OK);
    }

    fn a_version_that_is_listed_is_zero(run) {
        let entry = Json::object([("version", Json::Integer(0))]);
        member(run.repo.role("snapshot"), "meta").insert("targets.json".to_owned(), entry);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-malformed");
    }

    fn a_delegated_role_that_the_snapshot_lacks(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.publish(&["targets", "a"]);
        member(run.repo.role("snapshot"), "meta").remove("a.json");
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh(OK);
        run.download("one", "tuf-meta-mismatch");
    }

    fn a_delegated_role_that_is_not_there(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.repo.files.remove("metadata/1.a.json");
        run.download("one", "fetch-not-found");
    }

    fn a_delegated_role_of_another_version(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.repo.release(&["a"]);
        let old = run.repo.files["metadata/1.a.json"].clone();
        run.repo.files.insert("metadata/2.a.json".to_owned(), old);
        run.download("one", "tuf-meta-mismatch");
    }

    fn a_delegated_role_with_another_hash(run) {
        run.repo.lengths_and_hashes = true;
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.release(&["targets", "a"]);
        run.repo.tamper_text("a", "signatures\":[", "signatures\": [");
        run.download("one", "fetch-too-large");
    }
}
