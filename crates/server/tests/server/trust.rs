//! A client that trusts a served repository, over the wire.

use countersign_client::{Home, Location, Want, load, refresh};
use countersign_testkit::sim::{PRODUCT, Sim};

use crate::live::Live;

#[test]
fn a_client_adds_refreshes_and_loads_a_served_repository() {
    let now = "2026-11-21T14:00:00Z".parse().unwrap();
    let mut sim = Sim::new(now);
    sim.add_release("1.0.0", "node", b"one");
    sim.publish_next(&[PRODUCT]);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    sim.write(&root);
    let live = Live::repository(&root);
    let transport = live.transport();
    let home = Home::new(folder.path().join("home"));
    let location: Location = live.url.parse().unwrap();
    let name = "acme".parse().unwrap();
    let (repository, _) = home.add(&name, &location, sim.anchor(), &transport, now).unwrap();
    for version in ["1.1.0", "1.2.0"] {
        sim.add_release(version, "node", version.as_bytes());
        sim.publish_next(&["root", PRODUCT]);
        sim.write(&root);
        let refreshed = refresh(&repository, &transport, &Want::All, now).unwrap();
        assert_eq!(refreshed.changes.len(), 4, "{:?}", refreshed.changes);
    }
    assert!(refresh(&repository, &transport, &Want::All, now).unwrap().changes.is_empty());
    let product = PRODUCT.parse().unwrap();
    let loaded = load(&home.repository(&name).unwrap(), &Want::All, now).unwrap();
    assert_eq!(loaded.set.all(&product).unwrap().len(), 3);
    live.stop().unwrap();
}
