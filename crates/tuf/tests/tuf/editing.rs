//! Authoring: stable bytes, kept members, drafts that collect signatures.

use countersign_base::{Explain as _, Json, json};
use countersign_crypto::{PublicKey, SecretKey, Signer, SignerError};
use countersign_tuf::editor::{
    Draft, EditError, NewDelegation, RootEditor, SnapshotEditor, TargetsEditor, TimestampEditor,
};
use countersign_tuf::metadata::{Hashes, MetaFile, TargetFile, key_id};
use countersign_tuf::{Envelope, Role as _, Root, Snapshot, Targets, Timestamp, TrustedSet};

use crate::world::{NODE, ROOT, World, key, now, paths, public, root_editor, sign, target};

#[test]
fn the_same_content_and_signers_give_the_same_bytes() {
    let draft = root_editor().finish().unwrap();
    let one = sign(draft.clone(), &[1, 2]);
    assert_eq!(one, sign(draft.clone(), &[2, 1]));
    let text = String::from_utf8(one.clone()).unwrap();
    assert!(text.starts_with("{\"signatures\":[{\"keyid\":\""), "{text}");
    assert!(text.contains("\"expires\":\"2027-11-21T14:00:00Z\""), "{text}");
    assert!(text.contains("\"spec_version\":\"1.0.34\""), "{text}");
    assert!(!text.contains([' ', '\n']));
    let again = Draft::parse("root", &one).unwrap();
    assert_eq!(again.to_bytes().unwrap(), one);
    let ids: Vec<&str> = again.signatures().map(|(keyid, _)| keyid).collect();
    assert!(ids.is_sorted());
}

#[test]
fn a_draft_tells_who_must_still_sign() {
    let world = World::new();
    let set = TrustedSet::new(&world.root, now()).unwrap();
    let (table, keys) = (set.root().keys(), set.root().role_keys("root").unwrap());
    let mut draft = RootEditor::next(set.root()).finish().unwrap();
    assert_eq!((draft.role(), draft.version()), ("root", 2));
    assert_eq!(draft.status(table, keys).missing(), 2);
    draft.sign(&[&key(1) as &dyn Signer]).unwrap();
    // It travels, and a second person signs; a stranger's signature does not count.
    let mut draft = Draft::parse("root", &draft.to_bytes().unwrap()).unwrap();
    draft.sign(&[&key(99) as &dyn Signer]).unwrap();
    let status = draft.status(table, keys);
    assert_eq!((status.missing(), status.signed.len(), status.unsigned.len()), (1, 1, 2));
    draft.add_signature(&key_id(key(2).public_key()), vec![0; 64]);
    assert_eq!(draft.status(table, keys).missing(), 1);
    draft.sign(&[&key(2) as &dyn Signer]).unwrap();
    assert_eq!(draft.status(table, keys).missing(), 0);
    let mut set = set;
    set.update_root(&draft.to_bytes().unwrap()).unwrap();
}

#[test]
fn what_is_not_known_survives_an_edit() {
    let mut root = root_editor();
    let policy =
        Json::object([("apiVersion", Json::from("0.0.1")), ("policy", Json::from("log x\n\"é\\\u{1}"))]);
    root.set_extension("x-countersign", policy.clone());
    let bytes = sign(root.finish().unwrap(), &ROOT[..2]);
    let mut set = TrustedSet::new(&bytes, now()).unwrap();
    assert_eq!(set.root().extension("x-countersign"), Some(&policy));
    let mut next = RootEditor::next(set.root());
    next.set_expires(now().plus_days(2)).set_role("targets", &public(&[12, 13]), 1).unwrap();
    assert_eq!(next.version(), 2);
    set.update_root(&sign(next.finish().unwrap(), &ROOT[..2])).unwrap();
    assert_eq!(set.root().extension("x-countersign"), Some(&policy));
    assert!(!set.root().keys().contains_key(&key_id(key(11).public_key())), "a key of no role goes");
    assert!(set.root().keys().contains_key(&key_id(key(12).public_key())));
    assert_eq!(set.root().check_strict(), Ok(()));
}

#[test]
fn targets_are_edited_by_path() {
    let mut editor = TargetsEditor::new("node", now().plus_days(1));
    let custom = Json::object([("x-countersign", Json::object([("channel", Json::from("stable"))]))]);
    let file = TargetFile { custom: Some(custom.clone()), ..target(b"x") };
    editor.set_target("node/b", &file).unwrap().set_target("node/a", &target(b"a")).unwrap();
    let bytes = sign(editor.finish().unwrap(), NODE);
    let one = Envelope::<Targets>::parse("node", &bytes).unwrap().signed;
    assert_eq!(one.target("node/b").unwrap().custom, Some(custom));
    assert_eq!(one.targets().map(|(path, _)| path).collect::<Vec<_>>(), ["node/a", "node/b"]);
    assert!(one.delegations().is_none());
    let mut next = TargetsEditor::next("node", &one);
    assert!(next.remove_target("node/a") && !next.remove_target("node/a"));
    next.set_version(7);
    let two = next.finish().unwrap();
    assert_eq!(two.version(), 7);
    for (path, code) in [("../x", "tuf-name-unsafe"), ("/x", "tuf-name-unsafe")] {
        let error = TargetsEditor::new("node", now()).set_target(path, &file).unwrap_err();
        assert_eq!(error.code().name(), code);
    }
    let no_hash = TargetFile { hashes: Hashes::default(), ..target(b"x") };
    let error = TargetsEditor::new("node", now()).set_target("x", &no_hash).unwrap_err();
    assert_eq!(error.code().name(), "tuf-target-mismatch");
}

#[test]
fn delegations_are_edited_by_name() {
    let delegation = |name: &'static str, keys: &'static [PublicKey], threshold| NewDelegation {
        name,
        keys,
        threshold,
        coverage: paths(&["x/*"]),
        terminating: false,
    };
    let keys: &'static [PublicKey] = public(NODE).leak();
    let mut editor = TargetsEditor::new("targets", now().plus_days(1));
    editor.set_delegation(&delegation("a", &keys[..1], 1)).unwrap();
    editor.set_delegation(&delegation("b", &keys[1..], 2)).unwrap();
    // Replaced where it stands.
    editor.set_delegation(&delegation("a", &keys[..2], 2)).unwrap();
    let read = |editor: &TargetsEditor| {
        let draft = editor.clone().finish().unwrap();
        Targets::from_signed(draft.signed().clone()).unwrap()
    };
    let targets = read(&editor);
    let delegations = targets.delegations().unwrap();
    assert_eq!(delegations.roles().iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(targets.role_keys("a").unwrap().threshold, 2);
    assert_eq!(delegations.keys().len(), 3);
    assert!(editor.remove_delegation("b") && !editor.remove_delegation("b"));
    assert_eq!(read(&editor).delegations().unwrap().keys().len(), 2);
    assert!(editor.remove_delegation("a"));
    assert!(read(&editor).delegations().is_none(), "python-tuf writes no empty delegations");
    for (new, code) in [
        (delegation("root", keys, 1), "tuf-role-confusion"),
        (delegation("1.x", keys, 1), "tuf-name-unsafe"),
        (delegation("a", keys, 0), "tuf-threshold-invalid"),
        (delegation("a", keys, 4), "tuf-threshold-invalid"),
    ] {
        assert_eq!(editor.set_delegation(&new).unwrap_err().code().name(), code);
    }
    let twice: &'static [PublicKey] = public(&[41, 41]).leak();
    let error = editor.set_delegation(&delegation("a", twice, 1)).unwrap_err();
    assert_eq!(error.code().name(), "tuf-key-duplicate");
}

#[test]
fn online_files_follow_each_other() {
    let world = World::new();
    let snapshot = Envelope::<Snapshot>::parse("snapshot", &world.snapshot).unwrap().signed;
    let mut next = SnapshotEditor::next(&snapshot);
    next.set_meta("other", &MetaFile { version: 3, length: None, hashes: None }).remove_meta("node");
    let draft = next.set_expires(now().plus_days(3)).clone().finish().unwrap();
    let read = Snapshot::from_signed(draft.signed().clone()).unwrap();
    assert_eq!(read.files().map(|(role, _)| role).collect::<Vec<_>>(), ["other", "targets"]);
    assert_eq!(read.version(), 2);
    let timestamp = Envelope::<Timestamp>::parse("timestamp", &world.timestamp).unwrap().signed;
    let mut next = TimestampEditor::next(&timestamp);
    next.set_snapshot(&draft.describe().unwrap()).set_expires(now().plus_days(1));
    let stamped = Timestamp::from_signed(next.finish().unwrap().signed().clone()).unwrap();
    assert_eq!((stamped.version(), stamped.snapshot().version), (2, 2));
    assert_eq!(stamped.snapshot().mismatch(&draft.to_bytes().unwrap()), None);
}

/// A token that signs with another key than it shows.
struct Liar(SecretKey, SecretKey);

impl Signer for Liar {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Signer::sign(&self.1, message)
    }
}

#[test]
fn a_signature_that_does_not_verify_is_not_added() {
    let mut draft = root_editor().finish().unwrap();
    let error = draft.sign(&[&Liar(key(1), key(2)) as &dyn Signer]).unwrap_err();
    assert_eq!(error.code().name(), "signature-invalid");
    assert!(matches!(error, EditError::BadSignature { .. }));
    assert_eq!(draft.signatures().count(), 0);
}

#[test]
fn a_root_without_keys_is_not_made() {
    let error = RootEditor::new(now().plus_days(1)).finish().unwrap_err();
    assert_eq!(error.code().name(), "tuf-key-invalid");
    let error = root_editor().set_role("node", &public(NODE), 1).unwrap_err();
    assert_eq!(error.code().name(), "tuf-malformed");
    let root = Envelope::<Root>::parse("root", &World::new().root).unwrap();
    assert!(json::parse(&root.message()).is_ok());
}

#[test]
fn a_key_is_replaced_in_every_role_that_lists_it() {
    let mut root = root_editor();
    root.set_role("snapshot", &public(&[3, 21]), 2).unwrap();
    let changed = root.clone().replace_key(key(99).public_key(), key(4).public_key()).unwrap_err();
    assert_eq!(changed.code().name(), "tuf-key-invalid");
    let both = root.clone().replace_key(key(3).public_key(), key(21).public_key()).unwrap_err();
    assert_eq!(both.code().name(), "tuf-key-duplicate");
    assert_eq!(root.replace_key(key(3).public_key(), key(4).public_key()).unwrap(), ["root", "snapshot"]);
    let set = TrustedSet::new(&sign(root.finish().unwrap(), &ROOT[..2]), now()).unwrap();
    let ids = |seeds: &[u8]| seeds.iter().map(|&seed| key_id(key(seed).public_key())).collect::<Vec<_>>();
    let role = set.root().role_keys("root").unwrap();
    assert_eq!((&role.keyids, role.threshold), (&ids(&[1, 2, 4]), 2));
    assert_eq!(set.root().role_keys("snapshot").unwrap().keyids, ids(&[4, 21]));
    assert!(!set.root().keys().contains_key(&ids(&[3])[0]), "nobody lists it any more");
}

#[test]
fn a_key_is_replaced_in_every_delegation_that_lists_it() {
    let mut editor = TargetsEditor::new("targets", now().plus_days(9));
    let (from, to) = (key(51).public_key().clone(), key(52).public_key().clone());
    assert_eq!(editor.replace_key(&from, &to).unwrap_err().code().name(), "tuf-key-invalid");
    assert!(editor.clone().finish().is_ok(), "a refusal changes nothing");
    for (name, seeds, pattern) in [("a", &[51, 41][..], "a/*"), ("b", &[42], "b/*"), ("c", &[51], "c/*")] {
        let (keys, coverage) = (&public(seeds)[..], paths(&[pattern]));
        let new = NewDelegation { name, keys, threshold: 1, coverage, terminating: false };
        editor.set_delegation(&new).unwrap();
    }
    assert_eq!(editor.replace_key(&from, &to).unwrap(), ["a", "c"]);
    let targets = Targets::from_signed(editor.finish().unwrap().signed().clone()).unwrap();
    let ids = |role: &str| targets.role_keys(role).unwrap().keyids.clone();
    assert_eq!(ids("a"), [key_id(&to), key_id(key(41).public_key())]);
    assert_eq!((ids("b"), ids("c")), (vec![key_id(key(42).public_key())], vec![key_id(&to)]));
    assert!(!targets.delegations().unwrap().keys().contains_key(&key_id(&from)));

    let mut bins = TargetsEditor::new("targets", now().plus_days(9));
    bins.set_succinct("bin", 3, &public(&[51, 41]), 2).unwrap();
    assert_eq!(bins.replace_key(&from, &to).unwrap(), ["bin"]);
    let targets = Targets::from_signed(bins.finish().unwrap().signed().clone()).unwrap();
    let keys = targets.role_keys("bin-7").unwrap();
    assert_eq!((&keys.keyids[0], keys.threshold), (&key_id(&to), 2));
}
