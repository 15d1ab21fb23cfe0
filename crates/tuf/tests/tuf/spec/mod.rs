//! Every MUST of specification 1.0.34 that a client or its metadata can break, by section: a test's name begins with the
//! section's number, `s5_4_3_1_...` for the first point of 5.4.3.
//!
//! | section | what it demands | where |
//! | --- | --- | --- |
//! | 2.1.1 | a client ships with trusted root keys | [`TrustedSet::new`] takes a root; there is no other way in |
//! | 4.2.1 to 4.6 | the formats | `formats` |
//! | 5.2, 5.3, 6.1 | the walk of roots | `roots` |
//! | 5.4, 5.5 | timestamp and snapshot | `online` |
//! | 5.6, 5.7 | targets, delegations, the target itself | `targets` |
//! | 5.3.8, 5.4.5, 5.5.7, 5.6.6, 5.7.3 | what is trusted is written as FILENAME.EXT | the clients: `countersign-client`, testkit's |
//! | 6.2 | what a repository writes | names in `targets`; files in `countersign-publish` |
//!
//! Attacks beyond the specification's words are in the files beside this one, by their ids.
//!
//! [`TrustedSet::new`]: countersign_tuf::TrustedSet::new

mod formats;
mod online;
mod roots;
mod targets;

use countersign_base::Json;

use crate::world::{World, at, change, code};

/// A refresh from nothing of a world whose snapshot is changed so and listed again.
fn with_snapshot(seeds: &[u8], edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.snapshot = change(&world.snapshot, seeds, edit);
    world.stamp(1);
    code(world.refresh())
}

/// A refresh from nothing of a world whose timestamp is changed so.
fn with_timestamp(seeds: &[u8], edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.timestamp = change(&world.timestamp, seeds, edit);
    code(world.refresh())
}

/// A refresh from nothing of a world whose top-level targets are changed so and listed again.
fn with_targets(seeds: &[u8], edit: impl FnOnce(&mut Json)) -> &'static str {
    let mut world = World::new();
    world.targets = change(&world.targets, seeds, edit);
    world.list(1);
    code(world.refresh())
}

/// The file's signature repeated, or beside others, as `edit` makes of the list.
fn with_signatures(bytes: &[u8], edit: impl FnOnce(&mut Vec<Json>)) -> Vec<u8> {
    let mut file = countersign_base::json::parse(bytes).unwrap();
    match at(&mut file, &["signatures"]) {
        Json::Array(items) => edit(items),
        _ => panic!("no signatures"),
    }
    countersign_base::canonical::rfc8785(&file)
}
