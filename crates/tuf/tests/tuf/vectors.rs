//! The public vectors, by folder; verdicts from their README.

use std::path::Path;

use countersign_base::{Json, Timestamp, json};
use countersign_testkit::vectors::{dir, files};
use countersign_tuf::{Envelope, Role as _, Root, Search, Targets, TrustedSet, TufError};

use crate::world::code;

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Refreshes from a folder of metadata as a client does, beginning with `root`.
fn refresh(metadata: &Path, root: &Path, now: Timestamp) -> Result<TrustedSet, TufError> {
    let mut set = TrustedSet::new(&read(root), now)?;
    while let Ok(next) = std::fs::read(metadata.join(set.next_root().path)) {
        set.update_root(&next)?;
    }
    set.update_timestamp(&read(&metadata.join("timestamp.json")))?;
    let wanted = set.wanted_snapshot().unwrap();
    set.update_snapshot(&read(&metadata.join(wanted.path)))?;
    let wanted = set.wanted_targets("targets")?;
    set.update_targets(&read(&metadata.join(wanted.path)))?;
    Ok(set)
}

/// Searches as a client does; the role and the file's entry as JSON.
fn find(set: &mut TrustedSet, metadata: &Path, path: &str) -> Result<(String, Json), TufError> {
    loop {
        let (role, delegator) = match set.find_target(path)? {
            Search::Found(found) => return Ok((found.role.to_owned(), found.file.to_json())),
            Search::Load { role, delegator } => (role, delegator),
        };
        let wanted = set.wanted_targets(&role)?;
        set.update_delegated(&role, &delegator, &read(&metadata.join(wanted.path)))?;
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

const NOW: &str = "2026-11-21T14:00:00Z";

#[test]
fn conformance_static() {
    let Some(dir) = dir("tuf/conformance-static") else { return };
    for (name, faketime) in files(&dir, "faketime") {
        let case = faketime.parent().unwrap();
        let text = String::from_utf8(read(&faketime)).unwrap();
        // `2025-02-09 09:17:23+00:00`
        let now = at(&text.trim().replace(' ', "T").replace("+00:00", "Z"));
        let metadata = case.join("metadata");
        let mut set = refresh(&metadata, &case.join("initial_root.json"), now)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let path = String::from_utf8(read(&case.join("targetpath"))).unwrap();
        let (_, entry) = find(&mut set, &metadata, path.trim()).unwrap();
        let sha256 = entry.get("hashes").unwrap().get("sha256").unwrap().as_str().unwrap();
        let (folder, file) = path.trim().rsplit_once('/').unwrap();
        let bytes = read(&case.join("targets").join(folder).join(format!("{sha256}.{file}")));
        let Ok(Search::Found(found)) = set.find_target(path.trim()) else { panic!("{name}") };
        found.file.check_bytes(path.trim(), &bytes).unwrap();
    }
}

#[test]
fn generated_bins() {
    let Some(dir) = dir("tuf/generated-bins") else { return };
    for (name, expected) in files(&dir, "expected.json") {
        let metadata = expected.parent().unwrap().join("metadata");
        let mut set = refresh(&metadata, &metadata.join("1.root.json"), at(NOW))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = json::parse(&read(&expected)).unwrap();
        let (mut found, mut absent) = (0, 0);
        for (path, want) in expected.as_object().unwrap() {
            let got = find(&mut set, &metadata, path);
            if want.get("expect").unwrap().as_str() == Some("found") {
                let (role, entry) = got.unwrap_or_else(|e| panic!("{name} {path}: {e}"));
                assert_eq!(want.get("role").unwrap().as_str(), Some(role.as_str()), "{name} {path}");
                assert_eq!(want.get("sha256"), entry.get("hashes").unwrap().get("sha256"), "{name} {path}");
                found += 1;
            } else {
                let got = code(got);
                assert!(
                    matches!(got, "tuf-target-not-found" | "tuf-delegation-path"),
                    "{name} {path}: {got}"
                );
                absent += 1;
            }
        }
        assert!(found > 10 && absent >= 2, "{name}: {found} {absent}");
    }
}

#[test]
fn python_tuf() {
    let Some(dir) = dir("tuf/python-tuf") else { return };
    let metadata = dir.join("repository/metadata");
    let mut set = refresh(&metadata, &metadata.join("1.root.json"), at(NOW)).unwrap();
    for (path, role) in [("file1.txt", "targets"), ("file2.txt", "targets"), ("file3.txt", "role1")] {
        assert_eq!(find(&mut set, &metadata, path).unwrap().0, role);
        let bytes = read(&dir.join("repository/targets").join(path));
        let Ok(Search::Found(found)) = set.find_target(path) else { panic!("{path}") };
        found.file.check_bytes(path, &bytes).unwrap();
        let mut wrong = bytes;
        wrong[0] ^= 1;
        assert_eq!(code(found.file.check_bytes(path, &wrong)), "tuf-target-mismatch");
    }
    let ed25519 = dir.join("ed25519_metadata");
    let file = |role: &str| read(&ed25519.join(format!("{role}_with_ed25519.json")));
    let mut set = TrustedSet::new(&file("root"), at(NOW)).unwrap();
    set.update_timestamp(&file("timestamp")).unwrap();
    set.update_snapshot(&file("snapshot")).unwrap();
    set.update_targets(&file("targets")).unwrap();
}

#[test]
fn tough_roots() {
    let Some(dir) = dir("tuf/tough") else { return };
    for (case, want) in [
        ("simple-rsa", "ok"),
        ("pem-encoded-ecdsa-sig-keys", "ok"),
        ("ecdsa-new-type-sig-keys", "ok"),
        ("expired-root-json-signature", "ok"),
        // Its keys in hex are read, but its expiry has a fraction of a second, which specification 4.2.3 excludes.
        ("hex-encoded-ecdsa-sig-keys", "tuf-malformed"),
        ("duplicate-sigs", "tuf-threshold-invalid"),
        ("duplicate-keyid", "tuf-malformed"),
        ("invalid-root-json-signature", "tuf-threshold"),
        ("no-root-json-signatures", "tuf-threshold"),
    ] {
        let root = read(&dir.join(case).join("root.json"));
        assert_eq!(code(TrustedSet::new(&root, at(NOW))), want, "{case}");
    }
    let root = read(&dir.join("expired-root-json-signature/root.json"));
    let mut set = TrustedSet::new(&root, at(NOW)).unwrap();
    assert_eq!(code(set.update_timestamp(b"{}")), "tuf-expired");
}

#[test]
fn tough_repositories() {
    let Some(dir) = dir("tuf/tough") else { return };
    for (case, want) in [
        ("consistent-snapshots", "ok"),
        ("tuf-reference-impl", "ok"),
        ("safe-target-paths", "ok"),
        ("expired-repository", "tuf-expired"),
    ] {
        let metadata = dir.join(case).join("metadata");
        assert_eq!(code(refresh(&metadata, &metadata.join("1.root.json"), at(NOW))), want, "{case}");
    }
    let rotated = dir.join("rotated-root");
    let set = refresh(&rotated, &rotated.join("1.root.json"), at(NOW)).unwrap();
    assert_eq!(set.root().version(), 2);
    // Targets with `..` in their path are in the file; as a name to fetch or write they are refused.
    let metadata = dir.join("safe-target-paths/metadata");
    let mut set = refresh(&metadata, &metadata.join("1.root.json"), at(NOW)).unwrap();
    let unsafe_path = "foo/../bar/../baz/../data1.txt";
    assert!(set.targets().unwrap().target(unsafe_path).is_some());
    assert_eq!(code(find(&mut set, &metadata, unsafe_path)), "tuf-name-unsafe");
}

#[test]
fn sigstore_root_walk() {
    let Some(dir) = dir("tuf/sigstore-production/metadata") else { return };
    let mut set = TrustedSet::new(&read(&dir.join("5.root.json")), at("2026-08-28T00:00:00Z")).unwrap();
    while let Ok(next) = std::fs::read(dir.join(set.next_root().path)) {
        let version = set.root().version() + 1;
        set.update_root(&next).unwrap_or_else(|error| panic!("root {version}: {error}"));
    }
    assert_eq!(set.root().version(), 15);
    set.update_timestamp(&read(&dir.join("timestamp.json"))).unwrap();
    assert!(set.signers("timestamp").unwrap().missing() == 0);
    // The early roots, whose times are not of the specification's form, are refused, not crashed on.
    for version in 1..=4 {
        let got = code(TrustedSet::new(&read(&dir.join(format!("{version}.root.json"))), at(NOW)));
        let want = if version == 4 { ["ok", "tuf-threshold"] } else { ["tuf-malformed"; 2] };
        assert!(want.contains(&got), "root {version}: {got}");
    }
    // A step left out, and the walk backwards.
    let mut set = TrustedSet::new(&read(&dir.join("5.root.json")), at(NOW)).unwrap();
    assert_ne!(code(set.update_root(&read(&dir.join("7.root.json")))), "ok");
    assert_ne!(code(set.update_root(&read(&dir.join("5.root.json")))), "ok");
}

#[test]
fn sigstore_history_does_not_go_back() {
    let (Some(roots), Some(history)) = (dir("tuf/sigstore-production/metadata"), dir("tuf/sigstore-history"))
    else {
        return;
    };
    let timestamps = files(&history, ".timestamp.json");
    let walk = |to: u64| {
        let mut set =
            TrustedSet::new(&read(&roots.join("12.root.json")), at("2026-08-01T00:00:00Z")).unwrap();
        while set.root().version() < to {
            set.update_root(&read(&roots.join(set.next_root().path))).unwrap();
        }
        set
    };
    let mut set = walk(15);
    for (name, path) in &timestamps {
        set.update_timestamp(&read(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (name, path) in timestamps.iter().rev().skip(1) {
        assert_eq!(code(set.update_timestamp(&read(path))), "tuf-rollback", "{name}");
    }
    assert!(timestamps.len() > 15);
    // Targets 5 and 6 are signed by the keys of roots 5 and 6.
    for version in [5, 6] {
        let root = Envelope::<Root>::parse("root", &read(&roots.join(format!("{version}.root.json"))))
            .unwrap()
            .signed;
        let bytes = read(&history.join(format!("{version}.targets.json")));
        let draft = countersign_tuf::editor::Draft::parse("targets", &bytes).unwrap();
        let status = draft.status(root.keys(), root.role_keys("targets").unwrap());
        assert_eq!(status.missing(), 0, "targets {version}");
        assert!(Envelope::<Targets>::parse("targets", &bytes).is_ok());
    }
}

/// Every file parses or is refused, and any one byte flipped or cut does not crash.
#[test]
fn no_file_crashes_the_parser() {
    let Some(dir) = dir("tuf") else { return };
    for (_, path) in files(&dir, ".json") {
        let bytes = read(&path);
        for step in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            let mut flipped = bytes.clone();
            flipped[step] ^= 1 << (step % 8);
            for input in [&flipped[..], &bytes[..step]] {
                let _ = TrustedSet::new(input, at(NOW));
                let _ = Envelope::<Targets>::parse("targets", input);
            }
        }
    }
}
