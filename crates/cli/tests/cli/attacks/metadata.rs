//! Rows M: metadata and keys.

use countersign_base::code;

use super::refuse_update;

#[test]
fn m09_threshold_counts_distinct_keys_of_the_role() {
    // (a) one signature listed twice (b) two signatures of one key: the format has room for one per key id
    refuse_update(code::TUF_THRESHOLD, |sim| {
        sim.signers.insert("node".to_owned(), vec!["node-1".to_owned(), "node-1".to_owned()]);
        sim.publish_next(&["node"]);
    });
    // (d) one good and one by a key of another role
    refuse_update(code::TUF_THRESHOLD, |sim| {
        sim.signers.insert("node".to_owned(), vec!["node-1".to_owned(), "snapshot".to_owned()]);
        sim.publish_next(&["node"]);
    });
}
