//! Repositories that follow the specification: every client agrees.

use countersign_base::json::Json;
use countersign_testkit::sim::object;

use super::scenarios;
use crate::run::OK;

scenarios! {
    fn first_refresh(run) {
        run.refresh(OK);
        run.trusts([1, 1, 1, 1]);
    }

    fn nothing_new(run) {
        run.refresh(OK);
        run.refresh(OK);
        run.trusts([1, 1, 1, 1]);
    }

    fn only_a_timestamp_is_new(run) {
        run.refresh(OK);
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
        run.trusts([1, 2, 1, 1]);
    }

    fn everything_is_new(run) {
        run.refresh(OK);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 2, 2]);
    }

    fn many_releases_between_two_refreshes(run) {
        run.refresh(OK);
        for _ in 0..7 {
            run.repo.release(&["targets"]);
        }
        run.refresh(OK);
        run.trusts([1, 8, 8, 8]);
    }

    fn lengths_and_hashes_are_listed(run) {
        run.repo.lengths_and_hashes = true;
        run.repo.release(&["targets"]);
        run.refresh(OK);
        run.repo.release(&["targets"]);
        run.refresh(OK);
        run.trusts([1, 3, 3, 3]);
    }

    fn without_consistent_snapshots(run) {
        run.repo.set("root", "consistent_snapshot", false);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.repo.add_target("targets", "a/b.txt", b"one");
        run.repo.release(&["targets"]);
        run.download("a/b.txt", OK);
        run.has(&[b"one"]);
    }

    fn consistent_snapshots_are_switched_off_and_on(run) {
        run.refresh(OK);
        run.repo.set("root", "consistent_snapshot", false);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.repo.set("root", "consistent_snapshot", true);
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([3, 3, 3, 3]);
    }

    /// Section 4.1: unknown members must be kept, and signed over.
    fn members_that_nobody_knows(run) {
        for role in ["root", "targets", "snapshot", "timestamp"] {
            let odd = Json::object([("a", Json::Null), ("b", Json::from("ü\u{1}\"\\"))]);
            run.repo.set(role, "x-other", odd);
        }
        object(run.repo.entry("snapshot")).insert("x-other".to_owned(), Json::Bool(true));
        run.repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 2, 2]);
    }

    fn a_member_beside_the_signed_part(run) {
        run.repo.tamper_json("timestamp", |json| {
            object(json).insert("unsigned".to_owned(), Json::from("x"));
        });
        run.refresh(OK);
    }

    fn a_file_with_white_space(run) {
        run.repo.tamper_text("timestamp", "\"version\":", "\n\t\"version\" : \r\n");
        run.refresh(OK);
    }

    fn a_later_minor_version_of_the_specification(run) {
        run.repo.set("timestamp", "spec_version", "1.99.0");
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
    }

    fn a_root_that_says_which_digests_make_key_ids(run) {
        let key = run.repo.keys.get_mut("timestamp").unwrap();
        let names = Json::Array(vec![Json::from("sha256"), Json::from("sha512")]);
        object(&mut key.json).insert("keyid_hash_algorithms".to_owned(), names);
        key.id = countersign_crypto::sha256(&countersign_base::canonical::olpc(&key.json)).to_string();
        object(run.repo.entry("timestamp"))
            .insert("keyids".to_owned(), Json::Array(Vec::new()));
        run.repo.list_key("timestamp", "timestamp");
        run.repo.publish(&["root", "timestamp"]);
        run.refresh(OK);
        run.trusts([2, 2, 1, 1]);
    }
}
