//! Target files: section 5.7.

use countersign_base::json::Json;
use countersign_crypto::{sha256, sha512};

use super::scenarios;
use crate::run::{OK, Run};

/// Downloads `one`, listed with these hashes and the length of its bytes.
fn hashes(run: &mut Run<'_>, hashes: Json, expected: &str) {
    run.repo.add_target_as("targets", "one", b"one", hashes);
    run.repo.release(&["targets"]);
    run.download("one", expected);
}

/// Downloads `one` after an edit of its entry.
fn entry(run: &mut Run<'_>, key: &str, value: Option<Json>, expected: &str) {
    run.repo.add_target("targets", "one", b"one");
    match value {
        Some(value) => drop(run.repo.target("targets", "one").insert(key.to_owned(), value)),
        None => drop(run.repo.target("targets", "one").remove(key)),
    }
    run.repo.release(&["targets"]);
    run.download("one", expected);
}

/// Serves other bytes for `one` than are listed.
fn served(run: &mut Run<'_>, bytes: &[u8], expected: &str) {
    run.repo.add_target("targets", "one", b"one");
    run.repo.release(&["targets"]);
    for (path, file) in &mut run.repo.files {
        if path.starts_with("targets/") {
            *file = bytes.to_vec();
        }
    }
    run.download("one", expected);
    run.has(&[]);
}

scenarios! {
    fn a_target(run) {
        run.repo.add_target("targets", "a/one.txt", b"one");
        run.repo.release(&["targets"]);
        run.download("a/one.txt", OK);
        run.has(&[b"one"]);
    }

    fn a_target_that_is_there_already(run) {
        run.repo.add_target("targets", "one", b"one");
        run.repo.release(&["targets"]);
        run.download("one", OK);
        run.repo.files.retain(|path, _| !path.starts_with("targets/"));
        run.download("one", OK);
    }

    fn a_target_that_changes(run) {
        run.repo.add_target("targets", "one", b"one");
        run.repo.release(&["targets"]);
        run.download("one", OK);
        run.repo.add_target("targets", "one", b"two, and longer");
        run.repo.release(&["targets"]);
        run.download("one", OK);
        run.has(&[b"two, and longer"]);
    }

    fn an_empty_target(run) {
        run.repo.add_target("targets", "one", b"");
        run.repo.release(&["targets"]);
        run.download("one", OK);
    }

    fn a_large_target(run) {
        run.repo.add_target("targets", "one", &vec![7; 3_000_000]);
        run.repo.release(&["targets"]);
        run.download("one", OK);
    }

    fn a_target_that_nobody_lists(run) {
        run.download("one", "tuf-target-not-found");
    }

    fn a_target_that_is_not_served(run) {
        run.repo.add_target("targets", "one", b"one");
        run.repo.release(&["targets"]);
        run.repo.files.retain(|path, _| !path.starts_with("targets/"));
        run.download("one", "fetch-not-found");
    }

    fn a_target_is_removed(run) {
        run.repo.add_target("targets", "one", b"one");
        run.repo.release(&["targets"]);
        run.refresh(OK);
        countersign_testkit::sim::member(run.repo.role("targets"), "targets").clear();
        run.repo.release(&["targets"]);
        run.download("one", "tuf-target-not-found");
    }

    fn other_bytes_of_the_same_length(run) { served(run, b"two", "tuf-target-mismatch"); }
    fn more_bytes_than_listed(run) { served(run, b"one and more", "fetch-too-large"); }
    fn fewer_bytes_than_listed(run) { served(run, b"on", "artifact-digest-mismatch"); }

    fn sha512_alone(run) {
        hashes(run, Json::object([("sha512", Json::from(sha512(b"one").to_string()))]), OK);
    }

    fn both_hashes(run) {
        let both = [("sha256", sha256(b"one").to_string()), ("sha512", sha512(b"one").to_string())];
        hashes(run, Json::object(both.map(|(name, hash)| (name, Json::from(hash)))), OK);
    }

    /// Section 5.7.3: all that is listed must fit.
    fn one_hash_of_two_is_wrong(run) {
        let both = [("sha256", sha256(b"one").to_string()), ("sha512", "00".repeat(64))];
        let both = Json::object(both.map(|(name, hash)| (name, Json::from(hash))));
        hashes(run, both, "tuf-target-mismatch");
    }

    fn a_known_hash_and_one_that_nobody_knows(run) {
        let both = [("sha256", sha256(b"one").to_string()), ("sha7", "00".to_owned())];
        hashes(run, Json::object(both.map(|(name, hash)| (name, Json::from(hash)))), OK);
    }

    fn only_a_hash_that_nobody_knows(run) {
        hashes(run, Json::object([("sha7", Json::from(sha256(b"one").to_string()))]), "tuf-target-mismatch");
    }

    fn no_hash(run) { hashes(run, Json::object::<String>([]), "tuf-target-mismatch"); }
    fn no_list_of_hashes(run) { entry(run, "hashes", None, "tuf-target-mismatch"); }
    fn no_length(run) { entry(run, "length", None, "tuf-target-mismatch"); }
    fn a_length_below_0(run) { entry(run, "length", Some(Json::Integer(-1)), "tuf-target-mismatch"); }
    fn a_length_as_text(run) { entry(run, "length", Some(Json::from("3")), "tuf-target-mismatch"); }
    fn a_length_that_is_too_small(run) { entry(run, "length", Some(Json::Integer(2)), "fetch-too-large"); }
    fn a_length_that_is_too_large(run) { entry(run, "length", Some(Json::Integer(4)), "artifact-digest-mismatch"); }

    fn custom_members(run) {
        let custom = Json::object([("a", Json::Null), ("b", Json::Array(vec![Json::Integer(1)]))]);
        entry(run, "custom", Some(custom), OK);
    }

    /// Hex in capitals names another file, or the same one; nobody writes it.
    fn a_hash_in_capitals(run) {
        let hash = sha256(b"one").to_string().to_uppercase();
        run.repo.files.insert(format!("targets/{hash}.one"), b"one".to_vec());
        hashes(run, Json::object([("sha256", Json::from(hash))]), "tuf-target-mismatch");
    }

    fn two_targets_in_one_folder(run) {
        run.repo.add_target("targets", "a/one", b"one");
        run.repo.add_target("targets", "a/two", b"two");
        run.repo.release(&["targets"]);
        run.download("a/one", OK);
        run.download("a/two", OK);
        run.has(&[b"one", b"two"]);
    }

    fn the_same_bytes_under_two_names(run) {
        run.repo.add_target("targets", "a", b"one");
        run.repo.add_target("targets", "b", b"one");
        run.repo.release(&["targets"]);
        run.download("a", OK);
        run.download("b", OK);
        run.has(&[b"one", b"one"]);
    }
}
