//! What our repositories add to TUF: yanked versions, holders of keys, and the rule of separation.

use countersign_base::Explain as _;
use countersign_base::json::Json;
use countersign_testkit::sim::{PRODUCT, Sim, object};

use crate::catalogue::{load, select};
use crate::transparency::now;

/// Sets the whole `x-countersign` of a role.
fn extend(sim: &mut Sim, role: &str, members: impl IntoIterator<Item = (&'static str, Json)>) {
    object(sim.role(role)).insert("x-countersign".to_owned(), Json::object(members));
}

/// The version that is chosen, or the code of the refusal.
fn chosen(sim: &Sim, version: Option<&str>) -> String {
    match select(&load(sim), version, "stable") {
        Ok(files) => files[0].path.version.to_string(),
        Err(error) => error.code().to_string(),
    }
}

#[test]
fn a_yanked_version_is_chosen_by_nobody() {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", b"one");
    sim.add_release("1.1.0", "node", b"two");
    sim.publish_next(&[PRODUCT]);
    assert_eq!(chosen(&sim, None), "1.1.0");
    assert_eq!(chosen(&sim, Some("1.1.0")), "1.1.0");
    let yanked = |versions: &[&str]| {
        let each = versions.iter().map(|version| ((*version).to_owned(), Json::from("it eats files")));
        ("yanked", Json::object(each))
    };
    extend(&mut sim, PRODUCT, [yanked(&["1.1.0"])]);
    sim.publish_next(&[PRODUCT]);
    assert_eq!(chosen(&sim, None), "1.0.0");
    assert_eq!(chosen(&sim, Some("1.1.0")), "install-yanked");
    // What was taken back makes nothing else old, and who has it is told why.
    let set = load(&sim);
    assert!(select(&set, None, "stable").unwrap()[0].is_newest());
    let all = set.all(&PRODUCT.parse().unwrap()).unwrap();
    let reasons: Vec<_> = all.iter().map(|release| release.value().yanked.as_deref()).collect();
    assert_eq!(reasons, [None, Some("it eats files")]);
    // All of them: not as if there were none.
    extend(&mut sim, PRODUCT, [yanked(&["1.0.0", "1.1.0"])]);
    sim.publish_next(&[PRODUCT]);
    assert_eq!(chosen(&sim, None), "install-yanked");
    assert_eq!(chosen(&sim, Some("9.0.0")), "install-version-unknown");
}

#[test]
fn yanks_that_are_not_understood_are_refused() {
    for (yanked, outcome) in [
        (Json::object([("0.9.0", Json::from("old"))]), "1.0.0"),
        (Json::object([("v1", Json::from("old"))]), "tuf-malformed"),
        (Json::object([("1.0.0", Json::Null)]), "tuf-malformed"),
        (Json::object([("1.0.0", Json::from("x".repeat(501)))]), "tuf-malformed"),
        (Json::from(vec!["1.0.0".to_owned()]), "tuf-malformed"),
        (Json::Null, "tuf-malformed"),
    ] {
        let mut sim = Sim::new(now());
        sim.add_release("1.0.0", "node", b"one");
        extend(&mut sim, PRODUCT, [("yanked", yanked.clone())]);
        sim.publish_next(&[PRODUCT]);
        assert_eq!(chosen(&sim, None), outcome, "{yanked:?}");
    }
}

/// A product signed by two keys, of these holders, proposed by that one, under this rule.
fn judged(holders: [Option<&str>; 2], proposer: Option<&str>, separation: Json) -> String {
    let mut sim = Sim::new(now());
    sim.add_release("1.0.0", "node", b"one");
    let of = |(key, holder): (&str, Option<&str>)| Some((sim.key_id(key), Json::from(holder?)));
    let named: Vec<_> = ["node-1", "node-2"].into_iter().zip(holders).filter_map(of).collect();
    let product = Json::object([(PRODUCT, Json::object([("separation", separation)]))]);
    extend(&mut sim, "targets", [("holders", Json::object(named)), ("products", product)]);
    extend(&mut sim, PRODUCT, proposer.map(|name| ("proposer", Json::from(name))));
    sim.publish_next(&["targets", PRODUCT]);
    chosen(&sim, None)
}

#[test]
fn d23_a_change_takes_two_people_where_the_product_says_so() {
    let (alice, bob, carol) = (Some("alice"), Some("bob"), Some("carol"));
    let two = || Json::from(true);
    assert_eq!(judged([alice, bob], alice, two()), "1.0.0");
    assert_eq!(judged([alice, bob], carol, two()), "1.0.0");
    // Two keys of one holder are one person, whoever is said to have proposed it.
    assert_eq!(judged([alice, alice], alice, two()), "approval-self");
    assert_eq!(judged([alice, alice], carol, two()), "approval-self");
    // A key of nobody is nobody's approval.
    // As somebody else writes the same names.
    let upper = Some("Alice");
    assert_eq!(judged([alice, upper], carol, two()), "approval-self");
    assert_eq!(judged([alice, alice], upper, two()), "approval-self");
    assert_eq!(judged([alice, None], alice, two()), "approval-self");
    assert_eq!(judged([None, None], carol, two()), "approval-self");
    // Nor is a change that nobody has proposed, or whoever looks like alice and is not.
    assert_eq!(judged([alice, bob], None, two()), "approval-self");
    assert_eq!(judged([alice, bob], Some("alice "), two()), "approval-self");
    // Without the rule all of these are as good as their signatures.
    assert_eq!(judged([alice, alice], alice, Json::from(false)), "1.0.0");
    assert_eq!(judged([None, None], None, Json::from(false)), "1.0.0");
}

#[test]
fn a_rule_that_is_not_understood_is_no_permission() {
    let (alice, bob) = (Some("alice"), Some("bob"));
    for odd in [Json::Null, Json::from("true"), Json::Integer(1)] {
        assert_eq!(judged([alice, bob], alice, odd.clone()), "tuf-malformed", "{odd:?}");
    }
    for odd in [Json::Null, Json::from("yes"), Json::object([(PRODUCT, Json::from(true))])] {
        let mut sim = Sim::new(now());
        sim.add_release("1.0.0", "node", b"one");
        extend(&mut sim, "targets", [("products", odd.clone())]);
        sim.publish_next(&["targets", PRODUCT]);
        assert_eq!(chosen(&sim, None), "tuf-malformed", "{odd:?}");
    }
}
