//! Row L11: static tiles that are not what the checkpoint says.
//!
//! The client reads hash tiles, for consistency with the tree that it saw before. `log fsck` reads everything.

use std::collections::BTreeMap;

use countersign_base::code;
use countersign_testkit::sim::Sim;

use super::{installed, refuse_served, refuse_update};
use crate::lab::{Lab, first_release, second_release};

/// An honest repository with `entries` more entries in its log, of any kind, and 1.0.0 and 1.1.0 released.
fn with_entries(first: &Sim, entries: u64) -> Sim {
    let mut sim = second_release(first);
    for number in 0..entries {
        sim.log.entries.push(format!("entry {number} of somebody else").into_bytes());
    }
    sim.publish_next(&["node"]);
    sim
}

/// `log fsck` proves `honest`, and after `attack` on its log's files names `file`.
#[track_caller]
fn fsck_names(honest: &Sim, file: &str, attack: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
    let lab = Lab::new();
    lab.serve(honest);
    let served = lab.served();
    let fsck = ["log", "fsck", served.to_str().unwrap()];
    lab.run(&fsck).ok();
    let mut evil = honest.clone();
    attack(&mut evil.files);
    lab.serve(&evil);
    let run = lab.run(&fsck).refused(code::LOG_TILE_MISMATCH);
    assert!(run.text().contains(&format!("`{file}`")), "{file} is named: {}", run.text());
    lab.serve(honest);
    lab.run(&fsck).ok();
}

fn flip(files: &mut BTreeMap<String, Vec<u8>>, path: &str, at: usize) {
    files.get_mut(path).unwrap()[at] ^= 1;
}

#[test]
fn l11_a_an_entry_bundle_that_does_not_hash_to_its_tile() {
    let small = first_release();
    let bundle = format!("tile/entries/000.p/{}", small.log.size());
    let path = format!("log/{bundle}");
    fsck_names(&small, &bundle, |files| flip(files, &path, 9));
    fsck_names(&small, &bundle, |files| {
        let bytes = files.get_mut(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
    });
}

#[test]
fn l11_e_an_entry_bundle_with_a_cut_length() {
    let small = first_release();
    let bundle = format!("tile/entries/000.p/{}", small.log.size());
    let path = format!("log/{bundle}");
    // One byte of the two that tell the next entry's length; an entry cut; one too few; one too many.
    fsck_names(&small, &bundle, |files| files.get_mut(&path).unwrap().push(0));
    fsck_names(&small, &bundle, |files| files.get_mut(&path).unwrap().truncate(1));
    fsck_names(&small, &bundle, |files| {
        files.get_mut(&path).unwrap().pop();
    });
    fsck_names(&small, &bundle, |files| {
        let last = small.log.entries.last().unwrap().len() + 2;
        let bytes = files.get_mut(&path).unwrap();
        bytes.truncate(bytes.len() - last);
    });
    fsck_names(&small, &bundle, |files| files.get_mut(&path).unwrap().extend([0, 1, b'x']));
}

#[test]
fn l11_b_a_partial_tile_that_contradicts_the_full_one() {
    let first = first_release();
    // The partial tile and bundle of the first release's tree still lie there when the full ones exist.
    let full = with_entries(&first, 300);
    let (tile, bundle) =
        (format!("tile/0/000.p/{}", first.log.size()), format!("tile/entries/000.p/{}", first.log.size()));
    assert!(full.files.contains_key(&format!("log/{tile}")) && full.files.contains_key("log/tile/0/000"));
    fsck_names(&full, &tile, |files| flip(files, &format!("log/{tile}"), 40));
    fsck_names(&full, &bundle, |files| flip(files, &format!("log/{bundle}"), 9));
}

#[test]
fn l11_c_an_upper_tile_that_is_not_the_hash_of_the_lower() {
    let full = with_entries(&first_release(), 300);
    let upper = "tile/1/000.p/1";
    fsck_names(&full, upper, |files| flip(files, &format!("log/{upper}"), 3));
    // A lower one that its bundle agrees with is found by its own name.
    fsck_names(&full, "tile/0/000", |files| flip(files, "log/tile/0/000", 3));
}

#[test]
fn l11_a_c_the_client_names_the_tile() {
    // The tree of the update has one partial tile: a flipped hash that it has already, and one that is new to it.
    for at in [0, 32, 5 * 32] {
        refuse_update(code::LOG_TILE_MISMATCH, |sim| {
            sim.publish_next(&["node"]);
            let tile = format!("log/tile/0/000.p/{}", sim.log.size());
            flip(&mut sim.files, &tile, at);
        });
    }
    // The tree has a full tile, a partial one beside it, and one above.
    let (lab, first) = installed();
    let honest = with_entries(&first, 300);
    for tile in ["tile/0/000", "tile/1/000.p/1"] {
        let mut evil = honest.clone();
        flip(&mut evil.files, &format!("log/{tile}"), 3);
        let run = refuse_served(&lab, &evil, code::LOG_TILE_MISMATCH);
        assert!(run.text().contains(tile), "{tile} is named: {}", run.text());
    }
    lab.serve(&honest);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn l11_d_a_stale_tile() {
    // A cache on the way answers with what it had under that name when the log was another.
    refuse_update(code::LOG_TILE_MISMATCH, |sim| {
        let mut other = sim.clone();
        other.log.entries[1] = b"what was there before".to_vec();
        other.publish_next(&["node"]);
        sim.publish_next(&["node"]);
        let tile = format!("log/tile/0/000.p/{}", sim.log.size());
        sim.files.insert(tile.clone(), other.files[&tile].clone());
    });
    // Or with the partial tile of the tree before, in the new one's place.
    refuse_update(code::LOG_TILE_MISMATCH, |sim| {
        let old = sim.files[&format!("log/tile/0/000.p/{}", sim.log.size())].clone();
        sim.publish_next(&["node"]);
        let tile = format!("log/tile/0/000.p/{}", sim.log.size());
        sim.files.insert(tile, old);
    });
}
