//! Bytes that are not metadata, or not quite: section 4 and the limits of every number.

use countersign_base::json::Json;
use countersign_testkit::sim::{member, object};

use super::scenarios;
use crate::run::{OK, Run};

/// The timestamp's text after it was signed.
fn text(run: &mut Run<'_>, from: &str, to: &str, expected: &str) {
    run.refresh(OK);
    run.repo.publish(&["timestamp"]);
    run.repo.tamper_text("timestamp", from, to);
    run.refresh(expected);
}

/// The timestamp's bytes.
fn bytes(run: &mut Run<'_>, edit: impl FnOnce(&mut Vec<u8>), expected: &str) {
    run.repo.tamper("timestamp", edit);
    run.refresh(expected);
}

/// A member of the timestamp, signed.
fn value(run: &mut Run<'_>, key: &str, value: Json, expected: &str) {
    run.refresh(OK);
    run.repo.publish(&["timestamp"]);
    run.repo.set("timestamp", key, value);
    serve_as_it_is(run);
    run.refresh(expected);
}

/// The timestamp without a member, signed.
fn without(run: &mut Run<'_>, key: &str, expected: &str) {
    run.refresh(OK);
    run.repo.publish(&["timestamp"]);
    object(run.repo.role("timestamp")).remove(key);
    serve_as_it_is(run);
    run.refresh(expected);
}

fn serve_as_it_is(run: &mut Run<'_>) {
    let bytes = run.repo.envelope("timestamp");
    run.repo.files.insert("metadata/timestamp.json".to_owned(), bytes);
}

scenarios! {
    fn an_empty_file(run) { bytes(run, Vec::clear, "tuf-malformed"); }
    fn a_file_cut_short(run) { bytes(run, |bytes| bytes.truncate(bytes.len() - 10), "tuf-malformed"); }
    fn a_file_with_more_after_its_end(run) { bytes(run, |bytes| bytes.extend(b"{}"), "tuf-malformed"); }
    fn a_byte_order_mark(run) {
        bytes(run, |bytes| drop(bytes.splice(0..0, *b"\xef\xbb\xbf")), "tuf-malformed");
    }

    fn a_page_in_place_of_a_file(run) { bytes(run, |bytes| *bytes = b"<html>".to_vec(), "tuf-malformed"); }
    fn a_list_in_place_of_an_object(run) { bytes(run, |bytes| *bytes = b"[]".to_vec(), "tuf-malformed"); }
    fn nothing_in_place_of_an_object(run) { bytes(run, |bytes| *bytes = b"null".to_vec(), "tuf-malformed"); }
    fn a_depth_of_100_000(run) { bytes(run, |bytes| *bytes = vec![b'['; 16_000], "tuf-malformed"); }
    fn a_timestamp_beyond_every_limit(run) {
        bytes(run, |bytes| bytes.resize(20_000, b' '), "fetch-too-large");
    }

    fn bytes_that_are_no_text(run) {
        run.repo.set("timestamp", "x", "XX");
        run.repo.publish(&["timestamp"]);
        bytes(run, |bytes| {
            let at = bytes.windows(2).position(|two| two == b"XX").unwrap();
            bytes[at] = 0xff;
        }, "tuf-malformed");
    }

    /// Which of the two is meant depends on who reads.
    fn a_member_twice(run) { text(run, "\"version\":2}", "\"version\":1,\"version\":2}", "tuf-malformed"); }
    fn a_member_twice_in_the_envelope(run) {
        text(run, "{\"signatures\"", "{\"signatures\":[],\"signatures\"", "tuf-malformed");
    }

    /// The same member for a parser that takes case lightly.
    fn a_member_in_capitals(run) {
        run.repo.set("timestamp", "VERSION", 7);
        run.repo.publish(&["timestamp"]);
        run.refresh("tuf-noncanonical");
    }

    fn a_version_as_text(run) { value(run, "version", Json::from("2"), "tuf-malformed"); }
    fn a_version_of_0(run) { value(run, "version", Json::Integer(0), "tuf-malformed"); }
    fn a_version_below_0(run) { value(run, "version", Json::Integer(-1), "tuf-malformed"); }
    fn a_version_of_nothing(run) { value(run, "version", Json::Null, "tuf-malformed"); }
    fn a_version_that_is_true(run) { value(run, "version", Json::Bool(true), "tuf-malformed"); }
    fn a_version_of_2_to_the_53(run) { value(run, "version", Json::Integer(1 << 53), "tuf-malformed"); }
    fn a_version_of_2_to_the_64(run) {
        text(run, "\"version\":2}", "\"version\":18446744073709551616}", "tuf-malformed");
    }
    fn a_version_of_1e400(run) { text(run, "\"version\":2}", "\"version\":1e400}", "tuf-malformed"); }
    fn a_version_with_a_fraction(run) { text(run, "\"version\":2}", "\"version\":2.0}", "tuf-malformed"); }
    fn a_version_of_minus_nothing(run) { text(run, "\"version\":2}", "\"version\":-0}", "tuf-malformed"); }
    fn no_version(run) { without(run, "version", "tuf-malformed"); }
    fn no_expiry(run) { without(run, "expires", "tuf-malformed"); }
    fn no_type(run) { without(run, "_type", "tuf-malformed"); }
    fn no_spec_version(run) { without(run, "spec_version", "tuf-malformed"); }
    fn no_meta(run) { without(run, "meta", "tuf-malformed"); }

    fn another_major_version_of_the_specification(run) {
        value(run, "spec_version", Json::from("2.0.0"), "tuf-spec-unsupported");
    }
    fn a_spec_version_of_two_numbers(run) { value(run, "spec_version", Json::from("1.0"), OK); }
    fn a_spec_version_that_is_none(run) {
        value(run, "spec_version", Json::from("one"), "tuf-malformed");
    }

    fn an_expiry_without_a_zone(run) {
        value(run, "expires", Json::from("2999-01-01T00:00:00"), "tuf-malformed");
    }
    fn an_expiry_in_another_zone(run) {
        value(run, "expires", Json::from("2999-01-01T00:00:00+02:00"), "tuf-malformed");
    }
    fn an_expiry_with_a_fraction(run) {
        value(run, "expires", Json::from("2999-01-01T00:00:00.5Z"), "tuf-malformed");
    }
    fn an_expiry_without_a_time(run) { value(run, "expires", Json::from("2999-01-01"), "tuf-malformed"); }
    fn an_expiry_that_never_comes(run) { value(run, "expires", Json::from("2999-02-30T00:00:00Z"), "tuf-malformed"); }
    fn an_expiry_as_a_number(run) { value(run, "expires", Json::Integer(32_000_000_000), "tuf-malformed"); }

    fn signatures_that_are_no_list(run) {
        run.repo.tamper_json("timestamp", |json| {
            object(json).insert("signatures".to_owned(), Json::object::<String>([]));
        });
        run.refresh("tuf-malformed");
    }

    fn no_signatures_at_all(run) {
        run.repo.tamper_json("timestamp", |json| drop(object(json).remove("signatures")));
        run.refresh("tuf-malformed");
    }

    fn a_signature_without_a_key_id(run) {
        run.repo.tamper_json("timestamp", |json| {
            let Some(Json::Array(signatures)) = object(json).get_mut("signatures") else { return };
            object(&mut signatures[0]).remove("keyid");
        });
        run.refresh("tuf-malformed");
    }

    fn half_a_character(run) {
        text(run, "\"_type\"", "\"x\":\"\\ud800\",\"_type\"", "tuf-malformed");
    }

    fn consistent_snapshot_as_text(run) {
        run.repo.set("root", "consistent_snapshot", "true");
        run.repo.publish(&["root"]);
        run.refresh("tuf-malformed");
    }

    fn keys_that_are_a_list(run) {
        run.repo.set("root", "keys", Json::Array(Vec::new()));
        run.repo.publish(&["root"]);
        run.refresh("tuf-malformed");
    }

    fn a_snapshot_whose_meta_is_a_list(run) {
        run.repo.set("snapshot", "meta", Json::Array(Vec::new()));
        let bytes = run.repo.envelope("snapshot");
        run.repo.files.insert("metadata/1.snapshot.json".to_owned(), bytes);
        run.refresh("tuf-malformed");
    }

    fn a_snapshot_that_lists_no_file_name(run) {
        let entry = Json::object([("version", Json::Integer(1))]);
        member(run.repo.role("snapshot"), "meta").insert("targets".to_owned(), entry);
        run.repo.publish(&["snapshot", "timestamp"]);
        run.refresh("tuf-malformed");
    }

    fn targets_that_are_a_list(run) {
        run.repo.set("targets", "targets", Json::Array(Vec::new()));
        run.repo.release(&["targets"]);
        run.refresh("tuf-malformed");
    }

    fn no_targets(run) {
        object(run.repo.role("targets")).remove("targets");
        run.repo.release(&["targets"]);
        run.refresh("tuf-malformed");
    }

    fn delegations_without_keys(run) {
        let empty = Json::object([("roles", Json::Array(Vec::new()))]);
        run.repo.set("targets", "delegations", empty);
        run.repo.release(&["targets"]);
        run.refresh("tuf-malformed");
    }

    fn empty_delegations(run) {
        let empty = Json::object([("roles", Json::Array(Vec::new())), ("keys", Json::object::<String>([]))]);
        run.repo.set("targets", "delegations", empty);
        run.repo.release(&["targets"]);
        run.refresh(OK);
    }
}
