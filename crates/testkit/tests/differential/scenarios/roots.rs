//! The walk from root to root: section 5.3.

use countersign_testkit::hostile::Kind;

use super::scenarios;
use crate::run::OK;

scenarios! {
    fn ten_roots_in_one_walk(run) {
        run.refresh(OK);
        for _ in 0..10 {
            run.repo.publish(&["root"]);
        }
        run.refresh(OK);
        run.trusts([11, 1, 1, 1]);
    }

    fn the_root_key_changes_with_both_signatures(run) {
        run.refresh(OK);
        run.repo.rotate("root", "root-new");
        run.repo.publish_root_by(&["root", "root-new"]);
        run.refresh(OK);
        run.repo.publish_root_by(&["root-new"]);
        run.refresh(OK);
        run.trusts([3, 1, 1, 1]);
    }

    fn a_root_signed_by_its_new_key_only(run) {
        run.refresh(OK);
        run.repo.rotate("root", "root-new");
        run.repo.publish_root_by(&["root-new"]);
        run.refresh("tuf-root-chain");
        run.trusts([1, 1, 1, 1]);
    }

    fn a_root_signed_by_its_old_key_only(run) {
        run.refresh(OK);
        run.repo.rotate("root", "root-new");
        run.repo.publish_root_by(&["root"]);
        run.refresh("tuf-root-chain");
        run.trusts([1, 1, 1, 1]);
    }

    fn a_key_that_was_removed_signs_the_next_root(run) {
        run.repo.rotate("root", "root-new");
        run.repo.publish_root_by(&["root", "root-new"]);
        run.refresh(OK);
        run.repo.publish_root_by(&["root"]);
        run.refresh("tuf-threshold");
        run.trusts([2, 1, 1, 1]);
    }

    fn a_chain_of_rotations(run) {
        let mut before = "root".to_owned();
        for at in 0..5 {
            let name = format!("root-{at}");
            run.repo.rotate("root", &name);
            run.repo.publish_root_by(&[&before, &name]);
            before = name;
        }
        run.refresh(OK);
        run.trusts([6, 1, 1, 1]);
    }

    fn the_threshold_rises_and_two_keys_sign(run) {
        run.repo.add_key("root", "root-2", Kind::Ed25519);
        run.repo.threshold("root", 2);
        run.repo.publish(&["root"]);
        run.refresh(OK);
        run.trusts([2, 1, 1, 1]);
    }

    fn the_threshold_rises_and_one_key_signs(run) {
        run.repo.add_key("root", "root-2", Kind::Ed25519);
        run.repo.threshold("root", 2);
        run.repo.publish_root_by(&["root"]);
        run.refresh("tuf-root-chain");
    }

    fn two_of_three_old_keys_and_the_new_one(run) {
        run.repo.add_key("root", "root-2", Kind::Ed25519);
        run.repo.add_key("root", "root-3", Kind::Ed25519);
        run.repo.threshold("root", 2);
        run.repo.publish(&["root"]);
        run.refresh(OK);
        run.repo.remove_key("root", "root");
        run.repo.add_key("root", "root-4", Kind::Ed25519);
        run.repo.publish_root_by(&["root-2", "root-4"]);
        run.refresh("tuf-root-chain");
        run.repo.set("root", "version", 2);
        run.repo.publish_root_by(&["root-2", "root-3", "root-4"]);
        run.refresh(OK);
        run.trusts([3, 1, 1, 1]);
    }

    /// A root that nobody can reach is not looked for.
    fn a_gap_in_the_chain(run) {
        run.repo.publish(&["root"]);
        run.repo.publish(&["root"]);
        run.repo.files.remove("metadata/2.root.json");
        run.refresh(OK);
        run.trusts([1, 1, 1, 1]);
    }

    fn the_file_of_version_2_says_3(run) {
        run.repo.set("root", "version", 3);
        let bytes = run.repo.envelope("root");
        run.repo.files.insert("metadata/2.root.json".to_owned(), bytes);
        run.refresh("tuf-root-chain");
        run.trusts([1, 0, 0, 0]);
    }

    fn the_file_of_version_2_says_1(run) {
        let bytes = run.repo.files["metadata/1.root.json"].clone();
        run.repo.files.insert("metadata/2.root.json".to_owned(), bytes);
        run.refresh("tuf-root-chain");
        run.trusts([1, 0, 0, 0]);
    }

    fn an_expired_root_on_the_way(run) {
        run.repo.expire("root", -2);
        run.repo.publish(&["root"]);
        run.repo.expire("root", 30);
        run.repo.publish(&["root"]);
        run.refresh(OK);
        run.trusts([3, 1, 1, 1]);
    }

    fn an_expired_root_at_the_end(run) {
        run.refresh(OK);
        run.repo.expire("root", -2);
        run.repo.publish(&["root"]);
        run.refresh("tuf-expired");
        run.trusts([2, 1, 1, 1]);
    }

    fn an_expired_first_root_with_a_good_successor(run) {
        run.repo.expire("root", -2);
        let first = run.repo.envelope("root");
        run.repo.files.insert("metadata/1.root.json".to_owned(), first.clone());
        run.init(&first);
        run.repo.expire("root", 30);
        run.repo.publish(&["root"]);
        run.refresh(OK);
        run.trusts([2, 1, 1, 1]);
    }

    fn a_first_root_without_signatures(run) {
        run.repo.tamper_json("root", |json| {
            countersign_testkit::sim::object(json)
                .insert("signatures".to_owned(), countersign_base::json::Json::Array(Vec::new()));
        });
        run.refresh("tuf-threshold");
    }

    fn a_first_root_that_is_no_json(run) {
        run.init(b"{\"signed\": 1");
        run.refresh("tuf-malformed");
    }

    fn a_first_root_that_is_a_timestamp(run) {
        let other = run.repo.files["metadata/timestamp.json"].clone();
        run.init(&other);
        run.refresh("tuf-role-confusion");
    }

    fn a_root_that_is_no_json(run) {
        run.repo.files.insert("metadata/2.root.json".to_owned(), b"no".to_vec());
        run.refresh("tuf-malformed");
        run.trusts([1, 0, 0, 0]);
    }

    /// 404 ends the walk; whoever answers with something else has not said that there is no such root.
    fn the_next_root_is_forbidden(run) {
        run.repo.statuses.insert("metadata/2.root.json".to_owned(), 403);
        run.refresh(OK);
    }

    fn the_next_root_is_an_error_of_the_server(run) {
        run.repo.statuses.insert("metadata/2.root.json".to_owned(), 500);
        run.refresh("fetch-failed");
    }

    fn a_root_without_one_of_the_four_roles(run) {
        countersign_testkit::sim::member(run.repo.role("root"), "roles").remove("snapshot");
        run.repo.publish(&["root"]);
        run.refresh("tuf-key-invalid");
    }

    fn a_root_with_a_fifth_role(run) {
        let entry = run.repo.entry("snapshot").clone();
        countersign_testkit::sim::member(run.repo.role("root"), "roles").insert("mirrors".to_owned(), entry);
        run.repo.publish(&["root"]);
        run.refresh(OK);
    }

    fn a_root_without_consistent_snapshot(run) {
        countersign_testkit::sim::object(run.repo.role("root")).remove("consistent_snapshot");
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
    }

    /// 600,000 bytes of nothing after a good file.
    fn a_root_beyond_every_limit(run) {
        run.repo.publish(&["root"]);
        run.repo.tamper("root", |bytes| bytes.resize(600_000, b' '));
        run.refresh("fetch-too-large");
        run.trusts([1, 0, 0, 0]);
    }

    fn a_new_timestamp_key(run) {
        run.refresh(OK);
        run.repo.rotate("timestamp", "timestamp-new");
        run.repo.publish(&["root", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 1, 1]);
    }

    fn a_new_timestamp_key_and_the_old_one_signs(run) {
        run.refresh(OK);
        run.repo.rotate("timestamp", "timestamp-new");
        run.repo.publish(&["root"]);
        run.repo.signers.insert("timestamp".to_owned(), vec!["timestamp".to_owned()]);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-key-revoked");
    }

    fn a_new_snapshot_key(run) {
        run.refresh(OK);
        run.repo.rotate("snapshot", "snapshot-new");
        run.repo.publish(&["root", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 2, 1]);
    }

    fn a_new_targets_key(run) {
        run.refresh(OK);
        run.repo.rotate("targets", "targets-new");
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 2, 2]);
    }

    /// The new key has not signed the targets that everyone has.
    fn a_new_targets_key_without_new_targets(run) {
        run.refresh(OK);
        run.repo.rotate("targets", "targets-new");
        run.repo.publish(&["root", "snapshot", "timestamp"]);
        run.refresh("tuf-key-revoked");
    }

    /// Section 5.3.11: after a rotation versions may begin again.
    fn a_timestamp_that_was_fast_forwarded(run) {
        run.repo.set("timestamp", "version", 999);
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
        run.repo.set("timestamp", "version", 1);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-rollback");
        run.repo.rotate("timestamp", "timestamp-new");
        run.repo.publish(&["root", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 3, 1, 1]);
    }

    fn a_snapshot_that_was_fast_forwarded(run) {
        run.repo.set("snapshot", "version", 999);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh(OK);
        run.repo.rotate("snapshot", "snapshot-new");
        run.repo.rotate("timestamp", "timestamp-new");
        run.repo.set("snapshot", "version", 1);
        run.repo.publish(&["root", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 3, 2, 1]);
    }

    fn targets_that_were_fast_forwarded(run) {
        run.repo.set("targets", "version", 999);
        run.repo.release(&["targets"]);
        run.refresh(OK);
        run.repo.rotate("snapshot", "snapshot-new");
        run.repo.set("targets", "version", 1);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 3, 3, 2]);
    }
}
