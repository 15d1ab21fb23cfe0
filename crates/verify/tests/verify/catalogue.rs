//! Which files a product's role offers: channels, pre-releases, floors.

use countersign_base::Explain as _;
use countersign_base::json::Json;
use countersign_base::name::{Channel, Platform, ProductName, Version};
use countersign_testkit::sim::{PRODUCT, Sim, member};
use countersign_verify::{Release, TransparentSet, Verified, VerifyError, Wanted};

use crate::transparency::now;

/// What a client has after a first run, consistency proofs included.
pub(crate) fn load(sim: &Sim) -> TransparentSet {
    let mut set = crate::transparency::load(sim).unwrap();
    for link in set.lineage().open_links() {
        set.lineage_mut().prove(&link, &sim.log.consistency(link.old_size, link.new_size)).unwrap();
    }
    set
}

/// A release to another channel than stable.
fn release_to(sim: &mut Sim, channel: &str, version: &str, name: &str) {
    sim.add_release(version, name, name.as_bytes());
    let path = format!("{PRODUCT}/{version}/linux-amd64/{name}");
    let entry = member(sim.role(PRODUCT), "targets").get_mut(&path).unwrap();
    let custom = member(entry, "custom").get_mut("x-countersign").unwrap();
    countersign_testkit::sim::object(custom).insert("channel".to_owned(), Json::from(channel));
}

pub(crate) fn select(
    set: &TransparentSet,
    version: Option<&str>,
    channel: &str,
) -> Result<Vec<Release>, VerifyError> {
    let product: ProductName = PRODUCT.parse().unwrap();
    let platform: Platform = "linux/amd64".parse().unwrap();
    let channel: Channel = channel.parse().unwrap();
    let version: Option<Version> = version.map(|text| text.parse().unwrap());
    let wanted =
        Wanted { product: &product, platform: &platform, version: version.as_ref(), channel: &channel };
    Ok(set.select(&wanted)?.iter().map(Verified::value).cloned().collect())
}

fn names(files: &[Release]) -> Vec<&str> {
    files.iter().map(|file| file.path.name.as_str()).collect()
}

#[test]
fn one_version_in_two_channels_is_two_releases() {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", b"node");
    release_to(&mut sim, "beta", "1.0.0", "experiment");
    release_to(&mut sim, "beta", "0.9.0", "old");
    sim.publish_next(&[PRODUCT]);
    let set = load(&sim);
    assert_eq!(names(&select(&set, None, "stable").unwrap()), ["node"]);
    assert_eq!(names(&select(&set, Some("1.0.0"), "stable").unwrap()), ["node"]);
    assert_eq!(names(&select(&set, None, "beta").unwrap()), ["experiment"]);
    assert_eq!(names(&select(&set, Some("1.0.0"), "beta").unwrap()), ["experiment"]);
    assert_eq!(names(&select(&set, Some("0.9.0"), "stable").unwrap()), ["old"], "named, so of any channel");
}

#[test]
fn a_pre_release_in_the_stable_channel_makes_no_release_old() {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", b"node");
    sim.add_release("1.1.0-rc.1", "node", b"candidate");
    sim.publish_next(&[PRODUCT]);
    let set = load(&sim);
    assert!(select(&set, None, "stable").unwrap()[0].is_newest());
    assert!(select(&set, Some("1.1.0-rc.1"), "stable").unwrap()[0].is_newest());
}

#[test]
fn a_floor_that_is_no_version_is_refused() {
    for (floor, accepted) in [
        (Json::from("1.0.0"), true),
        (Json::from("v1"), false),
        (Json::Integer(1), false),
        (Json::Null, false),
    ] {
        let mut sim = Sim::new(now());
        sim.add_release("1.0.0", "node", b"node");
        let extension = Json::object([("apiVersion", Json::from("0.0.1")), ("floor", floor)]);
        countersign_testkit::sim::object(sim.role(PRODUCT)).insert("x-countersign".to_owned(), extension);
        sim.publish_next(&[PRODUCT]);
        let selected = select(&load(&sim), None, "stable");
        match accepted {
            true => assert!(selected.unwrap()[0].floor.is_some()),
            false => assert_eq!(selected.unwrap_err().code().name(), "tuf-target-mismatch"),
        }
    }
}
