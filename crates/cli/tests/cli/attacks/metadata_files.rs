//! Rows M: files as bytes. What does not parse in one way only, and what is listed about a target.

use countersign_base::json::{self, Json};
use countersign_base::{canonical, code};
use countersign_testkit::sim::{Sim, member, object};

use super::forge::{Case, case, publish_edited, publish_forged, publish_sealed, refuse_all, resigned, set};
use super::installed_from;
use crate::lab::{Lab, first_release, program, second_release};

/// The file of `role` is well signed, then changed as text.
fn written(role: &'static str, change: impl Fn(String) -> Vec<u8>) -> impl Fn(&mut Sim) {
    move |sim| {
        publish_sealed(sim, role, |sim| change(String::from_utf8(sim.envelope(role)).unwrap()));
    }
}

/// The signed part of `role` is changed as text, then signed as it stands.
fn spelled(role: &'static str, from: &'static str, to: &'static str) -> impl Fn(&mut Sim) {
    move |sim| {
        publish_sealed(sim, role, |sim| {
            resigned(sim, role, |text| {
                assert!(text.contains(from), "{text}");
                text.replacen(from, to, 1)
            })
        });
    }
}

#[test]
fn m18_what_is_not_strict_json_is_not_read() {
    let mut cases: Vec<Case<'_>> = Vec::new();
    // The timestamp is not in the log and listed by nobody, so that nothing but the parser stands before it; node's
    // file stands for those that are; root for the one whose signatures decide about keys.
    for role in ["timestamp", "node", "root"] {
        let bytes = |prefix: &'static [u8], suffix: &'static [u8]| {
            move |text: String| [prefix, text.as_bytes(), suffix].concat()
        };
        cases.extend([
            case("duplicate key", spelled(role, r#""spec_version""#, r#""version":1,"spec_version""#)),
            case(
                "duplicate key, escaped",
                spelled(role, r#""spec_version""#, r#""v\u0065rsion":1,"spec_version""#),
            ),
            case("trailing bytes", written(role, bytes(b"", b"{}"))),
            case("trailing NUL", written(role, bytes(b"", b"\0"))),
            case("BOM", written(role, bytes(b"\xef\xbb\xbf", b""))),
            case(
                "bad UTF-8",
                written(role, |text| {
                    let bytes = text.into_bytes().into_iter();
                    bytes.map(|byte| if byte == b'Z' { 0xff } else { byte }).collect()
                }),
            ),
            case("lone surrogate", spelled(role, r#""spec_version""#, r#""x":"\ud800","spec_version""#)),
            case("1e400", spelled(role, r#""spec_version""#, r#""x":1e400,"spec_version""#)),
            case("2^64", spelled(role, r#""spec_version""#, r#""x":18446744073709551616,"spec_version""#)),
            case("-0", spelled(role, r#""spec_version""#, r#""x":-0,"spec_version""#)),
            case("1.0", spelled(role, r#""spec_version""#, r#""x":1.0,"spec_version""#)),
            case("null for object", written(role, |_| br#"{"signatures":[],"signed":null}"#.to_vec())),
            case("null for a file", written(role, |_| b"null".to_vec())),
            case("empty file", written(role, |_| Vec::new())),
            case(
                "signature not hex",
                written(role, |text| text.replacen(r#""sig":""#, r#""sig":"zz"#, 1).into_bytes()),
            ),
            case("version is text", publish(role, |signed| set(signed, "version", "4"))),
            case("version is 0", publish(role, |signed| set(signed, "version", 0_i64))),
            case("no expiry", publish(role, |signed| drop(object(signed).remove("expires")))),
            case(
                "spec_version is no version",
                publish(role, |signed| set(signed, "spec_version", "1.0.34\n")),
            ),
        ]);
    }
    cases.extend([
        case("consistent_snapshot is text", publish("root", |root| set(root, "consistent_snapshot", "true"))),
        case("consistent_snapshot is 1", publish("root", |root| set(root, "consistent_snapshot", 1_i64))),
        case("depth of 100,000", |sim| {
            publish_sealed(sim, "node", |_| {
                let deep = |bracket: &str| bracket.repeat(100_000);
                format!(r#"{{"signatures":[],"signed":{}{}}}"#, deep("["), deep("]")).into_bytes()
            });
        }),
    ]);
    refuse_all(code::TUF_MALFORMED, &cases);
}

/// Publishes with an edited signed part; the version in the log and in the file's name stays.
fn publish(role: &'static str, edit: impl Fn(&mut Json) + Copy) -> impl Fn(&mut Sim) {
    move |sim| {
        publish_sealed(sim, role, |sim| {
            let mut other = sim.clone();
            edit(other.role(role));
            other.envelope(role)
        });
    }
}

#[test]
fn m18_another_major_version_of_the_specification_is_not_read() {
    let major = |role: &'static str| {
        move |sim: &mut Sim| publish_edited(sim, role, |signed| set(signed, "spec_version", "2.0.0"))
    };
    let roles = ["root", "timestamp", "snapshot", "targets", "node"];
    refuse_all(code::TUF_SPEC_UNSUPPORTED, &roles.map(|role| case(role, major(role))));
}

/// The same content in another writing: members turned round and a letter escaped.
fn rewritten(bytes: &[u8]) -> Vec<u8> {
    let value = json::parse(bytes).unwrap();
    let part = |key: &str| String::from_utf8(canonical::rfc8785(value.get(key).unwrap())).unwrap();
    let signed = part("signed").replacen("spec_version", r"spec_\u0076ersion", 1);
    let text = format!(r#"{{ "signed": {signed}, "signatures": {} }}"#, part("signatures"));
    assert_eq!(json::parse(text.as_bytes()).unwrap(), value);
    text.into_bytes()
}

#[test]
fn m19_hash_and_leaf_bind_the_exact_bytes() {
    // (a) The signature is good either way: it is on the canonical form.
    let serve_rewritten = |role: &'static str| {
        move |sim: &mut Sim| {
            publish_edited(sim, role, |_| {});
            let name = format!("metadata/{}.{role}.json", sim.version(role));
            let other = rewritten(&sim.files[&name]);
            sim.files.insert(name, other);
        }
    };
    // Root is listed by nobody: its leaf in the log is what binds it.
    refuse_all(code::TUF_NONCANONICAL, &[case("(a) root", serve_rewritten("root"))]);
    // The others are listed with their length too; so that the hash decides, the new writing is no longer.
    let same_length = |role: &'static str| {
        move |sim: &mut Sim| {
            publish_edited(sim, role, |_| {});
            let name = format!("metadata/{}.{role}.json", sim.version(role));
            let value = json::parse(&sim.files[&name]).unwrap();
            let part = |key: &str| String::from_utf8(canonical::rfc8785(value.get(key).unwrap())).unwrap();
            let text = format!(r#"{{"signed":{},"signatures":{}}}"#, part("signed"), part("signatures"));
            assert_eq!(text.len(), sim.files[&name].len());
            sim.files.insert(name, text.into_bytes());
        }
    };
    refuse_all(
        code::TUF_META_MISMATCH,
        &["snapshot", "targets", "node"].map(|role| case(role, same_length(role))),
    );
}

#[test]
fn m19_names_compare_bytewise() {
    // (b) One name in two normal forms is two names: neither can be had in place of the other. No release has a name
    // beyond ASCII, so that this is about a repository's odd entries only, which are passed over.
    let (composed, decomposed) = ("node/1.1.0/linux-amd64/\u{e9}", "node/1.1.0/linux-amd64/e\u{301}");
    let first = first_release();
    let lab = installed_from(&first);
    let mut sim = second_release(&first);
    publish_edited(&mut sim, "node", |node| {
        let targets = member(node, "targets");
        let entry = targets["node/1.1.0/linux-amd64/node"].clone();
        let mut other = entry.clone();
        set(&mut other, "length", 7_i64);
        targets.insert(composed.to_owned(), entry);
        targets.insert(decomposed.to_owned(), other);
    });
    lab.serve(&sim);
    lab.node("update").ok();
    assert_eq!(lab.installed(), "node 1.1.0\n");
    // The name that a person gives is held to ASCII before anything is looked for.
    for name in ["acme/nod\u{e9}", "acme/node\u{301}"] {
        lab.run(&["install", name]).refused(code::NAME_INVALID);
    }
}

#[test]
fn m19_two_parsers_see_one_value() {
    // (c) A parser that folds case, as Go's, takes these for members that another one ignores. What any strict
    // parser refuses, such as a member twice, is M18.
    let mut cases: Vec<Case<'_>> = vec![
        case("threshold", spelled("targets", r#""threshold""#, r#""Threshold":1,"threshold""#)),
        case("key ids", spelled("root", r#""threshold""#, r#""keyIDs":[],"threshold""#)),
        case("length of a target", spelled("node", r#""length""#, r#""Length":9,"length""#)),
        case("hashes of a target", spelled("node", r#""length""#, r#""HASHES":{},"length""#)),
        case("version of a listed file", spelled("snapshot", r#""version""#, r#""VERSION":9,"version""#)),
        case("the Kelvin sign", spelled("root", r#""keys""#, "\"\u{212a}eys\":{},\"keys\"")),
    ];
    for role in ["root", "timestamp", "snapshot", "targets", "node"] {
        cases.push(case(role, spelled(role, r#""spec_version""#, r#""Version":9,"spec_version""#)));
    }
    refuse_all(code::TUF_NONCANONICAL, &cases);
}

/// Changes the entry of the new release's file.
fn entry(edit: impl Fn(&mut Json)) -> impl Fn(&mut Sim) {
    move |sim| {
        publish_forged(
            sim,
            "node",
            |sim| edit(member(sim.role("node"), "targets").get_mut("node/1.1.0/linux-amd64/node").unwrap()),
            |sim| sim.envelope("node"),
        );
    }
}

#[test]
fn m20_every_listed_hash_and_the_length_must_match() {
    let hashes = |members: Vec<(&'static str, String)>| {
        entry(move |entry| {
            let hashes = members.iter().map(|(name, digest)| (*name, Json::from(digest.as_str())));
            set(entry, "hashes", Json::object(hashes));
        })
    };
    let length = |length: i64| entry(move |entry| set(entry, "length", length));
    let right = countersign_crypto::sha256(&program("1.1.0")).to_string();
    refuse_all(
        code::TUF_TARGET_MISMATCH,
        &[
            case("(a) no hash", hashes(Vec::new())),
            case("(a) no hashes", entry(|entry| drop(object(entry).remove("hashes")))),
            case("(b) unknown algorithm only", hashes(vec![("blake3", "ab".repeat(32))])),
            case("(c) SHA-512 is no digest", hashes(vec![("sha256", right), ("sha512", "ab".repeat(32))])),
            case("(d) negative", length(-1)),
            case("(d) absent", entry(|entry| drop(object(entry).remove("length")))),
        ],
    );
    // SHA-256 is required of releases, though TUF would do with the other.
    let only512 = hashes(vec![("sha512", countersign_crypto::sha512(&program("1.1.0")).to_string())]);
    refuse_all(code::TUF_TARGET_MISMATCH, &[case("(b) no SHA-256", only512)]);
}

#[test]
fn m20_what_is_listed_is_compared_with_what_arrives() {
    // (c) and (d): the metadata is in order as far as metadata goes, so that the machine goes on to it, and no file
    // of the release is kept or active. The next metadata puts it right.
    //
    // (d) A wrong length cannot be told from a server that sends more or less (D01) by one who stops at the first
    // sign of it, so the codes are those. Compared whole, the entry is at fault: tests of the metadata.
    let wrong512 = Json::object([
        ("sha256", Json::from(countersign_crypto::sha256(&program("1.1.0")).to_string())),
        ("sha512", Json::from("ab".repeat(64))),
    ]);
    for (name, wrong, expected) in [
        ("(c) SHA-512 wrong", ("hashes", wrong512), code::TUF_TARGET_MISMATCH),
        ("(d) too large", ("length", Json::Integer(27)), code::ARTIFACT_DIGEST_MISMATCH),
        ("(d) too small", ("length", Json::Integer(25)), code::FETCH_TOO_LARGE),
    ] {
        let first = first_release();
        let lab = installed_from(&first);
        let mut sim = second_release(&first);
        let right = member(sim.role("node"), "targets")["node/1.1.0/linux-amd64/node"].clone();
        entry(|entry| set(entry, wrong.0, wrong.1.clone()))(&mut sim);
        let installed = |lab: &Lab| -> Vec<_> {
            lab.state().into_iter().filter(|(path, _)| path.starts_with(lab.path("root"))).collect()
        };
        let before = installed(&lab);
        lab.serve(&sim);
        let run = lab.node("update");
        assert_eq!(run.json()["code"], expected.name(), "{name}: {}", run.text());
        run.refused(expected);
        assert_eq!(installed(&lab), before, "{name}");
        assert_eq!(lab.installed(), "node 1.0.0\n");
        entry(|entry| *entry = right.clone())(&mut sim);
        lab.serve(&sim);
        lab.node("update").ok();
        assert_eq!(lab.installed(), "node 1.1.0\n");
    }
}

#[test]
fn m20_honest_entries_install() {
    // The twin: unknown algorithms beside known ones are ignored, and SHA-256 alone is enough.
    for more in [vec![("blake3", "ab".repeat(32))], Vec::new()] {
        let first = first_release();
        let lab = installed_from(&first);
        let mut sim = second_release(&first);
        entry(|entry| {
            let sha256 = countersign_crypto::sha256(&program("1.1.0")).to_string();
            let hashes = [("sha256", sha256)].into_iter().chain(more.clone());
            set(entry, "hashes", Json::object(hashes.map(|(name, digest)| (name, Json::from(digest)))));
        })(&mut sim);
        lab.serve(&sim);
        lab.node("update").ok();
        assert_eq!(lab.installed(), "node 1.1.0\n");
    }
}
