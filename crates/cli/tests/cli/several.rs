//! Several repositories and products on one machine: what is wrong with one is no reason to leave another behind.

use std::fs;
use std::time::Duration;

use countersign_base::code;
use countersign_base::json::Json;
use countersign_testkit::sim::object;

use crate::lab::{Lab, first_release, now, program, second_release};

/// Installs a product from a repository of that name, made by the real commands.
fn install_from(machine: &Lab, name: &str, product: &str) {
    let (repo, keys) = (machine.path(&format!("{name}-repo")), machine.path(&format!("{name}-keys")));
    let (repo, keys) = (repo.to_str().unwrap(), keys.to_str().unwrap());
    let made = machine.run(&["init", repo, "--keys", keys, "--unencrypted"]).ok();
    let anchor = made.json()["anchor"].as_str().unwrap().to_owned();
    machine.run(&["product", "add", repo, product, "--keys", keys, "--unencrypted"]).ok();
    release(machine, name, product, "1.0.0");
    machine.run(&["trust", "add", name, repo, &anchor]).ok();
    let (target, root) = (format!("{name}/{product}"), machine.path("root"));
    machine.run(&["install", &target, "--root", root.to_str().unwrap()]).ok();
}

fn release(machine: &Lab, name: &str, product: &str, version: &str) {
    let (repo, keys) = (machine.path(&format!("{name}-repo")), machine.path(&format!("{name}-keys")));
    let file = machine.path(product);
    fs::write(&file, program(version)).unwrap();
    let (repo, keys, file) = (repo.to_str().unwrap(), keys.to_str().unwrap(), file.to_str().unwrap());
    machine.run(&["release", repo, product, version, file, "--keys", keys]).ok();
}

#[test]
fn one_repository_that_is_gone_keeps_no_other_product_from_its_update() {
    let machine = Lab::new();
    install_from(&machine, "alpha", "one");
    install_from(&machine, "beta", "two");
    release(&machine, "beta", "two", "1.1.0");
    fs::rename(machine.path("alpha-repo"), machine.path("away")).unwrap();
    let root = machine.path("root");
    let update = || machine.run(&["update", "--root", root.to_str().unwrap()]);
    let run = update().refused(code::FETCH_FAILED);
    let report = run.json();
    assert_eq!(report["failed"][0]["product"], "one", "{}", run.text());
    assert_eq!(report["updated"][0]["version"], "1.1.0", "{}", run.text());
    assert_eq!(fs::read(root.join("two/current/two")).unwrap(), program("1.1.0"));
    // So does a damaged record, which is a refusal and outweighs an outage.
    for record in ["root/.countersign/products/one.json", "root/one/history.json"] {
        fs::write(machine.path(record), "{").unwrap();
    }
    release(&machine, "beta", "two", "1.2.0");
    let run = update().refused(code::INSTALL_STATE_DAMAGED);
    assert_eq!(run.json()["updated"][0]["version"], "1.2.0", "{}", run.text());
}

#[test]
fn a_product_is_found_by_its_own_name_after_the_machine_was_off_for_long() {
    let machine = Lab::new();
    let mut sim = first_release();
    let expires = now().plus_seconds(3);
    object(sim.role("timestamp")).insert("expires".to_owned(), Json::from(expires.to_string()));
    sim.publish(&[]);
    machine.serve(&sim);
    machine.trust(&sim).ok();
    let root = machine.path("root");
    let install =
        || machine.run(&["install", "node", "--root", root.to_str().unwrap(), "--platform", "linux/amd64"]);
    while now() <= expires {
        std::thread::sleep(Duration::from_millis(200));
    }
    install().refused(code::TUF_EXPIRED);
    let renewed = now().plus_days(7);
    object(sim.role("timestamp")).insert("expires".to_owned(), Json::from(renewed.to_string()));
    sim.publish(&[]);
    machine.serve(&sim);
    install().ok();
    assert_eq!(machine.installed(), "node 1.0.0\n");
}

/// Attack D05 (e): a floor that the machine has verified holds after the metadata that says so has expired.
#[test]
fn a_floor_outlives_the_metadata_that_set_it() {
    let machine = Lab::new();
    let first = first_release();
    machine.serve(&first);
    machine.trust(&first).ok();
    machine.node("install").ok();
    let mut sim = second_release(&first);
    sim.publish_next(&["node"]);
    machine.serve(&sim);
    machine.node("update").ok();
    let extension = [("apiVersion", Json::from("0.0.1")), ("floor", Json::from("1.1.0"))];
    object(sim.role("node")).insert("x-countersign".to_owned(), Json::object(extension));
    let expires = now().plus_seconds(3);
    object(sim.role("timestamp")).insert("expires".to_owned(), Json::from(expires.to_string()));
    sim.publish_next(&["node"]);
    machine.serve(&sim);
    machine.trust(&sim).ok();
    while now() <= expires {
        std::thread::sleep(Duration::from_millis(200));
    }
    machine.node("rollback").refused(code::INSTALL_BELOW_FLOOR);
    assert_eq!(machine.installed(), "node 1.1.0\n");
}

/// Attack D05 (b), design section 4: an older version than the active one is taken only when the user names it.
#[test]
fn a_version_that_nobody_named_is_no_downgrade_that_was_asked_for() {
    let machine = Lab::new();
    let first = first_release();
    let mut second = second_release(&first);
    second.publish_next(&["node"]);
    machine.serve(&second);
    machine.trust(&second).ok();
    machine.node("install").ok();
    // A mirror serves the older repository to a machine that has forgotten the newer metadata.
    fs::remove_dir_all(machine.path("home")).unwrap();
    machine.serve(&first);
    machine.trust(&first).ok();
    let root = machine.path("root");
    let install = |target| {
        let root = root.to_str().unwrap();
        machine.run(&["install", target, "--root", root, "--platform", "linux/amd64", "--downgrade"])
    };
    install("acme/node").refused(code::INSTALL_DOWNGRADE);
    assert_eq!(machine.installed(), "node 1.1.0\n");
    let refused = machine.node("update").refused(code::INSTALL_DOWNGRADE);
    assert_eq!(refused.status(), Some(1));
    install("acme/node@1.0.0").ok();
    assert_eq!(machine.installed(), "node 1.0.0\n");
}
