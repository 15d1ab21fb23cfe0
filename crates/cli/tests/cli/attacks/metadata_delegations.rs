//! Rows M: who has a say over which names, and what names may be.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use countersign_base::code;
use countersign_base::json::Json;
use countersign_testkit::sim::{Sim, member, object};

use super::forge::{
    Case, case, delegated_keys, delegation, delegations, next_targets, publish_edited, publish_sealed,
    refuse_all, refuse_case, set,
};
use super::{honest_update, installed_from};
use crate::lab::{Lab, REPO, first_release, second_release};

/// A delegation in the words of node's, under another name.
fn delegation_to(sim: &Sim, name: &str, paths: &[&str], terminating: bool) -> Json {
    let mut targets = sim.signed["targets"].clone();
    let mut role = delegation(&mut targets).clone();
    set(&mut role, "name", name);
    set(&mut role, "paths", paths.to_vec());
    set(&mut role, "terminating", terminating);
    role
}

/// Makes and serves a role of node's signers that lists what `node` lists, without delegations.
fn add_role(sim: &mut Sim, name: &str) {
    let mut signed = sim.signed["node"].clone();
    set(&mut signed, "version", 1_i64);
    sim.signed.insert(name.to_owned(), signed);
    sim.signers.insert(name.to_owned(), sim.signers["node"].clone());
    seal_role(sim, name);
}

/// Signs, logs and serves a role as it is.
fn seal_role(sim: &mut Sim, name: &str) {
    let bytes = sim.envelope(name);
    sim.bytes.insert(name.to_owned(), bytes);
    sim.log_and_serve(&[name]);
}

/// Lets a role list nothing.
fn emptied(sim: &mut Sim, name: &str) {
    set(sim.role(name), "targets", Json::object::<String>([]));
}

/// Lets a role delegate to these.
fn delegating(sim: &mut Sim, name: &str, to: Vec<Json>) {
    let keys = Json::Object(delegated_keys(&mut sim.signed["targets"].clone()).clone());
    set(sim.role(name), "delegations", Json::object([("keys", keys), ("roles", Json::Array(to))]));
}

/// Puts delegations before node's.
fn before_node(sim: &mut Sim, names: &[&str], terminating: bool) {
    let roles: Vec<Json> =
        names.iter().map(|name| delegation_to(sim, name, &["node/*/*/*"], terminating)).collect();
    next_targets(sim, |targets| {
        set(delegation(targets), "terminating", false);
        delegations(targets).splice(0..0, roles);
    });
}

/// How long a search may take, writing the served files and comparing the machine included. The catalogue's second is
/// that of an optimised build on a machine with nothing else to do.
const BOUND: Duration = Duration::from_secs(5);

#[test]
fn m14_cycles_in_the_search_end() {
    // (a) a -> a, a -> b -> a, all before node in the order of the search.
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    let loops = [
        (
            "a",
            vec![
                delegation_to(&sim, "a", &["node/*/*/*"], false),
                delegation_to(&sim, "b", &["*/*/*/*"], false),
            ],
        ),
        ("b", vec![delegation_to(&sim, "a", &["node/*/*/*"], false)]),
    ];
    for (name, to) in loops {
        add_role(&mut sim, name);
        emptied(&mut sim, name);
        delegating(&mut sim, name, to);
        seal_role(&mut sim, name);
    }
    before_node(&mut sim, &["a"], false);
    sim.publish_next(&["node"]);
    lab.serve(&sim);
    let start = Instant::now();
    lab.node("update").ok();
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m14_searches_are_bounded() {
    let first = first_release();
    let lab = installed_from(&first);
    // (b) Depth: each role delegates to the next; visits: all of them beside each other.
    let names: Vec<String> = (0..80).map(|number| format!("r{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for deep in [true, false] {
        let mut sim = second_release(&first);
        for (index, name) in names.iter().enumerate() {
            let mut signed = sim.signed["node"].clone();
            set(&mut signed, "version", 1_i64);
            sim.signed.insert((*name).to_owned(), signed);
            sim.signers.insert((*name).to_owned(), sim.signers["node"].clone());
            emptied(&mut sim, name);
            if let (true, Some(next)) = (deep, names.get(index + 1)) {
                let to = vec![delegation_to(&sim, next, &["node/*/*/*"], false)];
                delegating(&mut sim, name, to);
            }
            let bytes = sim.envelope(name);
            sim.bytes.insert((*name).to_owned(), bytes);
        }
        sim.log_and_serve(&names);
        before_node(&mut sim, if deep { &names[..1] } else { &names }, false);
        sim.publish_next(&["node"]);
        let start = Instant::now();
        refuse_case(&lab, &sim, code::TUF_DELEGATION_LIMIT, if deep { "(b) depth" } else { "(b) visits" });
        assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    }
    // (c) A hundred thousand delegations, below the limit of a file's length.
    let mut sim = second_release(&first);
    let bare = |number: u32| {
        let name = format!("d{number:05}");
        let members = [
            ("keyids", Json::Array(Vec::new())),
            ("name", Json::from(name)),
            ("paths", Json::Array(Vec::new())),
            ("terminating", Json::Bool(false)),
            ("threshold", Json::Integer(1)),
        ];
        Json::object(members)
    };
    next_targets(&mut sim, |targets| delegations(targets).extend((0..100_000).map(bare)));
    sim.publish_next(&["node"]);
    assert!(sim.bytes["targets"].len() < 8 << 20);
    let start = Instant::now();
    refuse_case(&lab, &sim, code::TUF_DELEGATION_LIMIT, "(c)");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    honest_update(&lab, &first);
}

#[test]
fn m14_a_terminating_role_ends_the_search() {
    // (d) x is asked before node, covers its paths, lists none of them and ends the search.
    let first = first_release();
    let lab = installed_from(&first);
    let with_x = |terminating| {
        let mut sim = second_release(&first);
        add_role(&mut sim, "x");
        emptied(&mut sim, "x");
        seal_role(&mut sim, "x");
        before_node(&mut sim, &["x"], terminating);
        sim.publish_next(&["node"]);
        sim
    };
    refuse_case(&lab, &with_x(true), code::TUF_TARGET_NOT_FOUND, "(d)");
    lab.serve(&with_x(false));
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m14_roles_are_asked_in_preorder() {
    // (e) The order is a, then b, then c under b. A product is installed only from its own role, so node plays each
    // part in turn: it is believed as a, and refused as long as anyone before it lists the same names.
    let first = first_release();
    let lab = installed_from(&first);
    let with_before = |lists: &str| {
        let mut sim = second_release(&first);
        for name in ["b", "c"] {
            add_role(&mut sim, name);
            if name != lists {
                emptied(&mut sim, name);
            }
        }
        let to = vec![delegation_to(&sim, "c", &["node/*/*/*"], false)];
        delegating(&mut sim, "b", to);
        seal_role(&mut sim, "b");
        seal_role(&mut sim, "c");
        before_node(&mut sim, &["b"], false);
        sim.publish_next(&["node"]);
        sim
    };
    refuse_case(&lab, &with_before("b"), code::TUF_DELEGATION_PATH, "b lists it");
    refuse_case(&lab, &with_before("c"), code::TUF_DELEGATION_PATH, "c under b lists it");
    lab.serve(&with_before("nobody"));
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    // As a: first of all, whatever b and c list.
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    for name in ["b", "c"] {
        let other = format!("node/1.1.0/linux-amd64/{name}");
        add_role(&mut sim, name);
        let entry = member(sim.role(name), "targets").remove("node/1.1.0/linux-amd64/node").unwrap();
        member(sim.role(name), "targets").insert(other, entry.clone());
        member(sim.role(name), "targets").insert("node/1.1.0/linux-amd64/node".to_owned(), entry);
        seal_role(&mut sim, name);
    }
    let after =
        [delegation_to(&sim, "b", &["node/*/*/*"], false), delegation_to(&sim, "c", &["node/*/*/*"], false)];
    next_targets(&mut sim, |targets| {
        set(delegation(targets), "terminating", false);
        delegations(targets).extend(after);
    });
    sim.publish_next(&["node"]);
    lab.serve(&sim);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    assert!(!lab.path("root/node/current/b").exists());
}

/// Publishes 1.1.0 where node's delegation is changed.
fn delegated_otherwise(edit: impl Fn(&mut Json)) -> impl Fn(&mut Sim) {
    move |sim| publish_edited(sim, "targets", |targets| edit(delegation(targets)))
}

/// Publishes 1.1.0 with one more name in node's list, which the delegation covers with these patterns.
fn listing(name: &'static str, patterns: &'static [&str]) -> impl Fn(&mut Sim) {
    move |sim| {
        next_targets(sim, |targets| set(delegation(targets), "paths", patterns.to_vec()));
        publish_edited(sim, "node", |node| {
            let targets = member(node, "targets");
            let entry = targets["node/1.1.0/linux-amd64/node"].clone();
            targets.insert(name.to_owned(), entry);
        });
    }
}

const OWN: &[&str] = &["node/*/*/*"];

#[test]
fn m15_a_role_has_no_say_over_other_paths() {
    let paths = |patterns: &'static [&str]| {
        delegated_otherwise(move |delegation| set(delegation, "paths", patterns.to_vec()))
    };
    let prefixes = |prefixes: Vec<String>| {
        delegated_otherwise(move |delegation| {
            object(delegation).remove("paths");
            set(delegation, "path_hash_prefixes", prefixes.clone());
        })
    };
    let succinct = |bits: i64| {
        move |sim: &mut Sim| {
            publish_edited(sim, "targets", |targets| {
                let mut bins = delegation(targets).clone();
                for gone in ["name", "paths", "terminating"] {
                    object(&mut bins).remove(gone);
                }
                set(&mut bins, "bit_length", bits);
                set(&mut bins, "name_prefix", "node");
                member(targets, "delegations").remove("roles");
                member(targets, "delegations").insert("succinct_roles".to_owned(), bins);
            });
        }
    };
    refuse_all(
        code::TUF_DELEGATION_PATH,
        &[
            case("(a) * does not cross a slash", paths(&["node/*"])),
            case("(a) nor does it from the top", paths(&["*"])),
            case("(b) [^a] is not negated", paths(&["[^a]ode/*/*/*"])),
            case("(b) [!n] is", paths(&["[!n]ode/*/*/*"])),
            case("(c) dir/../foo", listing("node/1.1.0/linux-amd64/../node", OWN)),
            case("(c) from elsewhere", listing("other/../node/1.1.0/linux-amd64/node", OWN)),
            case("(d) case", listing("Node/1.1.0/linux-amd64/node", OWN)),
            case("(d) trailing slash", listing("node/1.1.0/linux-amd64/node/", OWN)),
            case("(e) hash prefix of another name", prefixes(vec!["00ff00ff".to_owned()])),
            case("(f) bit_length 0", succinct(0)),
            case("(f) bit_length 33", succinct(33)),
        ],
    );
    // The honest twins of (b) and (e).
    for twin in [
        Box::new(paths(&["[!a]ode/*/*/*"])) as Box<dyn Fn(&mut Sim)>,
        Box::new(prefixes("0123456789abcdef".chars().map(String::from).collect())),
    ] {
        let first = first_release();
        let lab = installed_from(&first);
        let mut sim = second_release(&first);
        twin(&mut sim);
        lab.serve(&sim);
        lab.node("update").ok();
    }
}

#[test]
fn m15_a_bin_has_no_say_over_other_bins() {
    // (e) Products are delegated to by name, never by bins: a bin is nobody's product here. That a bin of another
    // number is not heard: tests of the metadata, with vectors.
    let bins = |sim: &mut Sim| {
        publish_edited(sim, "targets", |targets| {
            let mut bins = delegation(targets).clone();
            for gone in ["name", "paths", "terminating"] {
                object(&mut bins).remove(gone);
            }
            set(&mut bins, "bit_length", 4_i64);
            set(&mut bins, "name_prefix", "node");
            member(targets, "delegations").remove("roles");
            member(targets, "delegations").insert("succinct_roles".to_owned(), bins);
        });
    };
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    bins(&mut sim);
    lab.serve(&sim);
    lab.node("update").refused(code::INSTALL_PRODUCT_UNKNOWN);
    assert_eq!(lab.installed(), "node 1.0.0\n");
    // That metadata is honest, so the machine has gone on to it; the next delegates to node again.
    let named = first.signed["targets"].get("delegations").unwrap().clone();
    publish_edited(&mut sim, "targets", |targets| set(targets, "delegations", named));
    lab.serve(&sim);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

/// A repository with one more role of that name, and its file under the given one.
fn with_role_named(name: &str, file: &str) -> Sim {
    let mut sim = second_release(&first_release());
    add_role(&mut sim, "odd");
    emptied(&mut sim, "odd");
    let bytes = sim.envelope("odd");
    sim.bytes.insert("odd".to_owned(), bytes);
    let to = delegation_to(&sim, name, &["odd/*/*/*"], false);
    next_targets(&mut sim, |targets| delegations(targets).push(to));
    // Listed and logged under its own name, served under the file name.
    sim.files.retain(|path, _| !path.contains("odd"));
    let leaf = String::from_utf8(sim.leaf("odd", &sim.bytes["odd"])).unwrap();
    let json = serde_json::to_string(name).unwrap();
    sim.log.entries.push(leaf.replace(r#""role":"odd""#, &format!(r#""role":{json}"#)).into_bytes());
    let size = sim.log.size();
    let checkpoint = sim.checkpoint(&sim.log, size);
    let proof = sim.log.proof(size - 1, size, &checkpoint);
    sim.files.insert(format!("metadata/1.{file}.json"), sim.bytes["odd"].clone());
    sim.files.insert(format!("metadata/1.{file}.json.tlog-proof"), proof);
    let described = sim.describe("odd");
    sim.bytes.remove("odd");
    publish_edited(&mut sim, "snapshot", |snapshot| {
        member(snapshot, "meta").insert(format!("{name}.json"), described);
    });
    sim
}

#[test]
fn m16_role_names_cannot_leave_the_cache() {
    for (name, file) in [
        ("../x", "..%2Fx"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("..%2f..%2fx", "..%252f..%252fx"),
        ("..\\x", "..%5Cx"),
        ("c:x", "c%3Ax"),
        ("a/../../b", "a%2F..%2F..%2Fb"),
        ("é", "%C3%A9"),
    ] {
        let sim = with_role_named(name, file);
        let lab = Lab::new();
        lab.serve(&sim);
        lab.trust(&sim).ok();
        let metadata = lab.path("home/repos").join(REPO).join("metadata");
        assert!(metadata.join(format!("1.{file}.json")).is_file(), "{name}");
        let outside = lab.state().into_keys().filter(|path| {
            let text = path.strip_prefix(lab.path("home")).unwrap().to_string_lossy().into_owned();
            !text.starts_with("repos/acme/metadata/") && (text.contains('x') || text.contains('b'))
        });
        assert_eq!(outside.count(), 0, "{name}: no file outside the cache");
        lab.node("install").ok();
    }
}

#[test]
fn m16_unsafe_names_are_refused() {
    // A backslash and a drive letter are legal in a role's name, see above; in a target's they are not.
    const ANY: &[&str] = &["*/*/*/*", "*/*/*/*/*"];
    let role = |name: &'static str| {
        move |sim: &mut Sim| {
            let to = delegation_to(sim, name, &["odd/*/*/*"], false);
            publish_edited(sim, "targets", |targets| delegations(targets).push(to));
        }
    };
    let cases: Vec<Case<'_>> = vec![
        case("role: begins with a digit and a dot", role("1.root")),
        case("role: too", role("2.node")),
        case("role: empty", role("")),
        case("target: ../x", listing("../x/linux-amd64/node", ANY)),
        case("target: .. inside", listing("node/../linux-amd64/node", ANY)),
        case("target: absolute", listing("/1.1.0/linux-amd64/node", ANY)),
        case("target: backslash", listing("node/1.1.0/linux-amd64/..\\node", ANY)),
        case("target: drive letter", listing("c:/1.1.0/linux-amd64/node", ANY)),
    ];
    refuse_all(code::TUF_NAME_UNSAFE, &cases);
}

#[test]
fn m16_control_characters_in_names_are_refused() {
    // Canonical JSON as TUF signs it leaves them unescaped, so that no signature can be on such a name.
    let first = first_release();
    let lab = installed_from(&first);
    for text in ["a\\u0000b", "a\\nb"] {
        let mut sim = second_release(&first);
        publish_sealed(&mut sim, "targets", |sim| {
            let text = String::from_utf8(sim.envelope("targets"))
                .unwrap()
                .replace(r#""name":"node""#, &format!(r#""name":"{text}""#));
            text.into_bytes()
        });
        refuse_case(&lab, &sim, code::TUF_NAME_UNSAFE, text);
    }
    honest_update(&lab, &first);
}

#[test]
fn m16_odd_target_names_are_no_releases() {
    // Legal, and covered by the delegation: nothing is wrong, and nothing of that name is ever a file here.
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    for name in
        ["node/1.1.0/linux-amd64/..%2f..%2fx", "node/1.1.0/linux-amd64/é", "node/1.1.0/linux-amd64/.x"]
    {
        listing(name, OWN)(&mut sim);
        lab.serve(&sim);
        lab.node("update").ok();
        let files = fs::read_dir(lab.path("root/node/current")).unwrap().count();
        assert_eq!(files, 1, "{name}");
    }
    assert_eq!(lab.installed(), "node 1.1.0\n");
}

#[test]
fn m16_repository_names_are_checked_before_they_are_used() {
    // What the user types is a matter of usage: exit status 2.
    let first = first_release();
    let lab = Lab::new();
    lab.serve(&first);
    let (url, anchor) = (lab.url(), first.anchor().to_string());
    for name in ["../x", "/x", "..%2fx", "a\\b", "c:x", ".", "a/b", ""] {
        lab.run(&["trust", "add", name, &url, &anchor]).refused(code::NAME_INVALID);
        assert!(lab.state().is_empty(), "{name}: nothing is written");
    }
    lab.trust(&first).ok();
}

#[test]
fn m16_planted_links_are_not_followed() {
    let first = first_release();
    let lab = installed_from(&first);
    let canary = lab.path("canary");
    let metadata = lab.path("home/repos").join(REPO).join("metadata");
    // Where a file will be written: replaced, not written through.
    fs::write(&canary, "canary").unwrap();
    for name in ["3.snapshot.json", "3.node.json", "3.node.json.tlog-proof", "3.targets.json"] {
        symlink(&canary, metadata.join(name)).unwrap();
    }
    let before = lab.state();
    let mut next = second_release(&first);
    next.publish_next(&["node"]);
    lab.serve(&next);
    let run = lab.node("update");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "canary");
    run.refused(code::STATE_DAMAGED);
    assert_eq!(lab.state(), before);
    // The one repair that the message names.
    lab.run(&["trust", "remove", REPO]).ok();
    lab.trust(&next).ok();
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    // Where a file is read: the other way round.
    let timestamp = metadata.join("timestamp.json");
    fs::rename(&timestamp, &canary).unwrap();
    symlink(&canary, &timestamp).unwrap();
    let before = fs::read(&canary).unwrap();
    lab.node("update").refused(code::STATE_DAMAGED);
    assert_eq!(fs::read(&canary).unwrap(), before);
}
