//! Expiry and rollback: what was true once.

use countersign_base::json::Json;
use countersign_testkit::hostile::Delegation;
use countersign_testkit::sim::{member, object};

use super::scenarios;
use crate::run::OK;

scenarios! {
    fn an_expired_timestamp(run) {
        run.refresh(OK);
        run.repo.expire("timestamp", -1);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-expired");
    }

    fn an_expired_snapshot(run) {
        run.refresh(OK);
        run.repo.expire("snapshot", -1);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-expired");
    }

    fn expired_targets(run) {
        run.refresh(OK);
        run.repo.expire("targets", -1);
        run.repo.release(&["targets"]);
        run.refresh("tuf-expired");
    }

    fn an_expired_delegated_role(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.add_target("a", "one", b"one");
        run.repo.expire("a", -1);
        run.repo.release(&["targets", "a"]);
        run.download("one", "tuf-expired");
        run.repo.expire("a", 1);
        run.repo.release(&["a"]);
        run.download("one", OK);
    }

    /// A frozen repository: nothing new comes, and what there is grows old.
    fn a_repository_that_is_frozen(run) {
        run.refresh(OK);
        run.clock(29);
        run.refresh(OK);
        run.clock(31);
        run.refresh("tuf-expired");
        run.clock(0);
        run.refresh(OK);
    }

    /// Everything that the client has is expired; what it fetches is not.
    fn a_client_that_was_away(run) {
        for role in ["targets", "snapshot", "timestamp"] {
            run.repo.expire(role, 5);
        }
        run.repo.release(&["targets"]);
        run.refresh(OK);
        run.clock(10);
        for role in ["targets", "snapshot", "timestamp"] {
            run.repo.expire(role, 25);
        }
        run.repo.release(&["targets"]);
        run.refresh(OK);
        run.trusts([1, 3, 3, 3]);
    }

    /// An expired timestamp that the client has still says what is a rollback.
    fn a_rollback_below_an_expired_timestamp(run) {
        run.repo.expire("timestamp", 5);
        for _ in 0..2 {
            run.repo.publish(&["timestamp"]);
        }
        run.refresh(OK);
        run.clock(10);
        run.repo.expire("timestamp", 25);
        run.repo.set("timestamp", "version", 1);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-rollback");
    }

    fn an_older_timestamp(run) {
        let old = run.repo.files["metadata/timestamp.json"].clone();
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
        run.repo.files.insert("metadata/timestamp.json".to_owned(), old);
        run.refresh("tuf-rollback");
        run.trusts([1, 2, 1, 1]);
    }

    /// Section 5.4.3.1: the same version is no update, whatever else it says.
    fn another_timestamp_of_the_same_version(run) {
        run.refresh(OK);
        run.repo.publish(&["snapshot"]);
        run.repo.set("timestamp", "version", 0);
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
        run.trusts([1, 1, 1, 1]);
    }

    fn a_new_timestamp_lists_an_older_snapshot(run) {
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh(OK);
        let entry = Json::object([("version", Json::Integer(1))]);
        member(run.repo.role("timestamp"), "meta").insert("snapshot.json".to_owned(), entry);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-rollback");
        run.trusts([1, 2, 2, 1]);
    }

    fn a_new_snapshot_lists_older_targets(run) {
        run.repo.release(&["targets"]);
        run.refresh(OK);
        let entry = Json::object([("version", Json::Integer(1))]);
        member(run.repo.role("snapshot"), "meta").insert("targets.json".to_owned(), entry);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-rollback");
    }

    fn a_new_snapshot_lists_an_older_delegated_role(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.release(&["targets", "a"]);
        run.repo.release(&["a"]);
        run.refresh(OK);
        let entry = Json::object([("version", Json::Integer(1))]);
        member(run.repo.role("snapshot"), "meta").insert("a.json".to_owned(), entry);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-rollback");
    }

    /// Section 5.5.5: a role that was listed stays listed.
    fn a_new_snapshot_drops_targets(run) {
        run.refresh(OK);
        object(run.repo.role("snapshot")).insert("meta".to_owned(), Json::object::<String>([]));
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-meta-mismatch");
    }

    fn a_new_snapshot_drops_a_delegated_role(run) {
        run.repo.delegate("targets", "a", &Delegation::default());
        run.repo.release(&["targets", "a"]);
        run.refresh(OK);
        member(run.repo.role("snapshot"), "meta").remove("a.json");
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-meta-mismatch");
    }

    /// A day's notice is a second's, to whoever asks in that second.
    fn a_date_far_away(run) {
        run.repo.set("timestamp", "expires", "9999-12-31T23:59:59Z");
        run.repo.publish(&["timestamp"]);
        run.refresh(OK);
    }

    /// What came late in an attempt that failed is not lost, and no other version of it is taken later.
    fn a_snapshot_is_withheld_and_comes_later(run) {
        run.refresh(OK);
        run.repo.publish(&["snapshot", "timestamp"]);
        let path = run.repo.path("snapshot");
        let bytes = run.repo.files.remove(&path).unwrap();
        run.refresh("fetch-not-found");
        run.repo.files.insert(path, bytes);
        run.refresh(OK);
        run.trusts([1, 2, 2, 1]);
    }
}
