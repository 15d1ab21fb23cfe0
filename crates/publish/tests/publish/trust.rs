//! Keys that are rotated, revoked and lost, before clients that keep up, sleep, or are new.

use std::fs;
use std::sync::Arc;

use countersign_base::Explain as _;
use countersign_keys::Stage;
use countersign_log::{Admission, Cosigner, LocalCosigner, LogKey, LogList, Sequencer, Submission, Witness};
use countersign_publish::Intent;
use countersign_publish::proposal::{RevokeIntent, RevokeReason, RootChange, RotateIntent};
use countersign_tlog::TlogProof;
use countersign_tuf::editor::{Draft, SnapshotEditor, TargetsEditor, TimestampEditor};
use countersign_tuf::metadata::MetaFile;
use countersign_tuf::{Envelope, Snapshot, Targets, Timestamp};

use crate::support::{PRODUCT, Site, code, copy, files, view_up_to, with_product};
use crate::trust_support::{
    Client, ROTATED, change, lose, member, new_key, pair, public, revocation, role_change, rotation, signed,
    signer, temp,
};

/// Every kind of key, one after the other: no client is ever refused, whenever it looks.
#[test]
fn any_key_is_rotated_and_every_client_follows() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let awake = Client::new(&site, anchor, "awake");
    let asleep = Client::new(&site, anchor, "asleep");
    let mut roots = 1;
    for (number, (name, stage)) in ROTATED.into_iter().enumerate() {
        let itself = Intent::Rotate(RotateIntent {
            from: public(&site, name),
            to: member(&public(&site, name), name),
        });
        assert_eq!(change(&mut site, &itself).unwrap_err().code().name(), "usage", "{name}");
        let naps = awake.twin(&format!("naps-{number}"));
        let intent = rotation(&site, name, &format!("{name}-new"));
        change(&mut site, &intent).unwrap_or_else(|error| panic!("{name}: {}: {error}", error.code()));
        // A product's key stands in targets, all others in root.
        roots += u64::from(stage != Stage::Release);
        assert_eq!(awake.refresh(&site).0, roots, "{name}");
        assert_eq!(Client::new(&site, anchor, &format!("new-{number}")).refresh(&site).0, roots, "{name}");
        lose(&site, name);
        site.release(&format!("1.0.{}", number + 1), name).unwrap_or_else(|error| panic!("{name}: {error}"));
        awake.refresh(&site);
        assert_eq!(naps.refresh(&site).0, roots, "{name}");
    }
    assert_eq!(asleep.refresh(&site), awake.refresh(&site));
    assert_eq!(site.view(anchor).releases().len(), 7);
    site.renew().unwrap();
}

/// It adds nothing and takes nothing away: a root must be renewed before it expires.
#[test]
fn a_root_is_renewed_as_it_is() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let change_ = RootChange { expires_days: Some(100), ..RootChange::default() };
    let published = change(&mut site, &Intent::Root(change_)).unwrap();
    let new: Vec<_> = published.documents.iter().map(|new| (new.role.as_str(), new.version)).collect();
    assert_eq!(new, [("root", 2), ("snapshot", 3)]);
    assert_eq!(client.refresh(&site).0, 2);
    let due = site.act(|publisher| publisher.due()).unwrap();
    let root = due.iter().find(|due| due.role == "root").unwrap();
    assert_eq!((root.expires, root.is_due), (site.now.plus_days(100), false));
}

/// Who signed targets stays or goes: they are signed again only if too few stay.
#[test]
fn targets_are_signed_again_if_too_few_of_their_signers_stay() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    // All three signed, two must.
    let intent = rotation(&site, "root-1", "root-4");
    let first = change(&mut site, &intent).unwrap();
    assert!(first.documents.iter().all(|new| new.role != "targets"));
    client.refresh(&site);
    let intent = rotation(&site, "root-2", "root-5");
    let second = change(&mut site, &intent).unwrap();
    assert!(second.documents.iter().any(|new| new.role == "targets"));
    assert_eq!(client.refresh(&site).0, 3);
}

/// Everybody leaves at once. Those who leave sign root and, for clients that do not know the new root yet, targets.
#[test]
fn all_signers_are_replaced_and_no_client_is_refused() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let new: Vec<_> = (4..7).map(|number| new_key(&site, &format!("root-{number}"), Stage::Root)).collect();
    let keys: Vec<_> = new.iter().zip(["dora", "emil", "fine"]).collect();
    let mut all = role_change("root", 2, &keys);
    all.roles.extend(role_change("targets", 2, &keys).roles);
    let published = change(&mut site, &Intent::Root(all)).unwrap();
    assert!(published.documents.iter().any(|new| new.role == "targets"));
    // One that looked for the new root before it was there, and then for the rest.
    assert!(view_up_to(&site.repo(), anchor, site.now, 1).is_ok());
    assert_eq!(client.refresh(&site).0, 2);
    for name in ["root-1", "root-2", "root-3"] {
        lose(&site, name);
    }
    let intent = rotation(&site, "node-1", "node-3");
    change(&mut site, &intent).unwrap();
    client.refresh(&site);
}

/// Half of a new online key is not at hand: that shows before the root is logged, and can be dropped.
#[test]
fn a_root_whose_keys_are_not_at_hand_is_not_logged() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let mut root = role_change("timestamp", 1, &[]);
    root.roles.get_mut("timestamp").unwrap().signers.push(pair(&site, "timestamp-2", Stage::Timestamp));
    let proposal = signed(&mut site, &Intent::Root(root)).unwrap();
    lose(&site, "timestamp-2-pq");
    let publish = |site: &mut Site| code(site.act(|publisher| publisher.publish_proposal(&proposal)));
    assert_eq!(publish(&mut site), "signature-algorithm-downgrade");
    lose(&site, "timestamp-2");
    assert_eq!(publish(&mut site), "publish-threshold-not-met");
    site.release("1.0.0", "one").unwrap();
    assert_eq!(site.view(anchor).version("root"), 1);
}

/// A hybrid signer and a hybrid online key: both halves sign, a half is rotated alone, and the other half stays.
#[test]
fn pairs_follow_their_keys() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    let online = pair(&site, "timestamp-2", Stage::Timestamp);
    let mut root = role_change("timestamp", 1, &[]);
    root.roles.get_mut("timestamp").unwrap().signers.push(online);
    change(&mut site, &Intent::Root(root)).unwrap();
    client.refresh(&site);
    let signer = pair(&site, "node-3", Stage::Release);
    let from = public(&site, "node-1");
    change(&mut site, &Intent::Rotate(RotateIntent { from, to: signer })).unwrap();
    client.refresh(&site);
    site.release("1.1.0", "two").unwrap();
    client.refresh(&site);
    // The classical half alone.
    let from = public(&site, "node-3");
    let to = member(&new_key(&site, "node-4", Stage::Release), "node-3");
    change(&mut site, &Intent::Rotate(RotateIntent { from, to })).unwrap();
    assert_eq!(client.refresh(&site).0, 2);
    site.release("1.2.0", "three").unwrap();
    client.refresh(&site);
    lose(&site, "node-3-pq");
    let error = site.release("1.3.0", "four").unwrap_err();
    assert_eq!(error.code().name(), "signature-algorithm-downgrade", "{error}");
    lose(&site, "timestamp-2-pq");
    assert_eq!(code(site.renew()), "signature-algorithm-downgrade");
}

#[test]
fn a_key_that_is_needed_does_not_go_without_another() {
    let dir = temp();
    let (mut site, _) = with_product(dir.path());
    let before = files(&site.repo());
    for name in ["node-1", "snapshot", "timestamp", "log", "witness"] {
        let intent = revocation(&site, name, None);
        let error = signed(&mut site, &intent).unwrap_err();
        assert_eq!(error.code().name(), "usage", "{name}: {error}");
        assert!(error.fix().unwrap().contains("replacement"), "{name}: {:?}", error.fix());
    }
    let stranger = new_key(&site, "stranger", Stage::Release);
    let intent =
        Intent::Revoke(RevokeIntent { key: stranger, reason: RevokeReason::Lost, replacement: None });
    assert_eq!(code(signed(&mut site, &intent)), "usage");
    assert_eq!(files(&site.repo()), before);
}

/// One of three root keys goes, and two of the others must still sign.
#[test]
fn a_key_that_can_be_spared_goes_without_another() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    let client = Client::new(&site, anchor, "home");
    let intent = revocation(&site, "root-3", None);
    change(&mut site, &intent).unwrap();
    assert_eq!(client.refresh(&site).0, 2);
    let intent = revocation(&site, "root-2", None);
    assert_eq!(code(signed(&mut site, &intent)), "usage");
}

/// A stolen timestamp key: what only it vouches for is refused by whoever has refreshed.
#[test]
fn a_revoked_online_key_vouches_for_nothing() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    // What the thief has: the key, and the repository as it was.
    let theirs = Site::new(&dir.path().join("thief"));
    copy(&site.keys(), &theirs.keys());
    copy(&site.repo(), &theirs.repo());
    let intent = revocation(&site, "timestamp", Some("timestamp-2"));
    change(&mut site, &intent).unwrap();
    client.refresh(&site);
    // They go on with it, and cannot hide the new root.
    let mut theirs = theirs;
    theirs.renew().unwrap();
    for name in ["2.root.json", "2.root.json.tlog-proof"] {
        fs::copy(site.repo().join("metadata").join(name), theirs.repo().join("metadata").join(name)).unwrap();
    }
    assert_eq!(client.code(&theirs.repo(), site.now), "tuf-key-revoked");
    assert_eq!(client.code(&site.repo(), site.now), "ok");
}

/// A stolen product key signs a release together with one that is still good: one of two is not enough, and the log
/// takes nothing that the key vouches for.
#[test]
fn a_revoked_product_key_vouches_for_nothing() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    let intent = revocation(&site, "node-1", Some("node-3"));
    let published = change(&mut site, &intent).unwrap();
    let new: Vec<_> = published.documents.iter().map(|new| new.role.as_str()).collect();
    assert_eq!(new, ["targets", PRODUCT, "snapshot"], "the release is signed again in the same act");
    client.refresh(&site);
    assert_eq!(site.view(anchor).releases(), ["1.0.0"]);
    // The thief has the online keys too, and lists a file of the product that the revoked key signed.
    let theirs = Site::new(&dir.path().join("thief"));
    copy(&site.keys(), &theirs.keys());
    copy(&site.repo(), &theirs.repo());
    // A client knows of former keys of roots; of former targets it keeps nothing.
    forge(&theirs, &["node-1", "node-2"]);
    assert_eq!(client.code(&theirs.repo(), site.now), "tuf-threshold");
    let theirs = Site::new(&dir.path().join("other-thief"));
    copy(&site.keys(), &theirs.keys());
    copy(&site.repo(), &theirs.repo());
    forge(&theirs, &["node-2"]);
    assert_eq!(client.code(&theirs.repo(), site.now), "tuf-threshold");
    // The twin: with both keys of today the same forgery lacks only its place in the log.
    let theirs = Site::new(&dir.path().join("insider"));
    copy(&site.keys(), &theirs.keys());
    copy(&site.repo(), &theirs.repo());
    forge(&theirs, &["node-2", "node-3"]);
    assert_eq!(client.code(&theirs.repo(), site.now), "log-proof-missing");
    // Without the new key nobody can release.
    lose(&site, "node-3");
    assert_eq!(code(site.release("1.1.0", "theirs")), "publish-threshold-not-met");
}

/// Lists the next version of the product, signed by these keys, in a logged snapshot and a timestamp.
fn forge(site: &Site, keys: &[&str]) {
    let metadata = |name: &str| site.repo().join("metadata").join(name);
    let timestamp = fs::read(metadata("timestamp.json")).unwrap();
    let timestamp = Envelope::<Timestamp>::parse("timestamp", &timestamp).unwrap().signed;
    let snapshot = fs::read(metadata(&format!("{}.snapshot.json", timestamp.snapshot().version))).unwrap();
    let snapshot = Envelope::<Snapshot>::parse("snapshot", &snapshot).unwrap().signed;
    let version = snapshot.file(PRODUCT).unwrap().version;
    let product = fs::read(metadata(&format!("{version}.{PRODUCT}.json"))).unwrap();
    let product = Envelope::<Targets>::parse(PRODUCT, &product).unwrap().signed;

    let product = sign(site, TargetsEditor::next(PRODUCT, &product).finish().unwrap(), keys);
    fs::write(metadata(&format!("{}.{PRODUCT}.json", version + 1)), &product).unwrap();
    let mut editor = SnapshotEditor::next(&snapshot);
    editor.set_meta(PRODUCT, &MetaFile::describe(version + 1, &product));
    let number = editor.version();
    let snapshot = sign(site, editor.finish().unwrap(), &["snapshot"]);
    let path = metadata(&format!("{number}.snapshot.json"));
    fs::write(&path, &snapshot).unwrap();
    fs::write(format!("{}.tlog-proof", path.display()), log_snapshot(site, &snapshot)).unwrap();
    let mut editor = TimestampEditor::next(&timestamp);
    editor.set_snapshot(&MetaFile::describe(number, &snapshot));
    fs::write(metadata("timestamp.json"), sign(site, editor.finish().unwrap(), &["timestamp"])).unwrap();
}

fn sign(site: &Site, mut draft: Draft, keys: &[&str]) -> Vec<u8> {
    for name in keys {
        draft.sign(&[&*signer(site, name)]).unwrap();
    }
    draft.to_bytes().unwrap()
}

/// Logs a snapshot as the log's own keys can, and has it cosigned; its proof.
fn log_snapshot(site: &Site, snapshot: &[u8]) -> Vec<u8> {
    let policy = Site::new(&site.root).act(|publisher| publisher.policy()).unwrap();
    let key = LogKey::new(policy.logs()[0].key.name(), signer(site, "log")).unwrap();
    let private = site.repo().join(".countersign/log");
    let mut log = Sequencer::open(&private, &site.repo().join("log"), key, site.now).unwrap();
    let mut admission = Admission::open(&private, &log, site.now).unwrap();
    let submission = Submission { role: "snapshot".to_owned(), bytes: snapshot.to_vec() };
    let entry = admission.admit(&mut log, &[submission], site.now).unwrap().remove(0);
    let logs = LogList::new([log.key().verifier().clone()]);
    let name = policy.witnesses()[0].key.name();
    let witness =
        Witness::open(&site.keys().join("witness"), name, vec![signer(site, "witness")], logs).unwrap();
    let mut cosigners: Vec<Box<dyn Cosigner>> =
        vec![Box::new(LocalCosigner::new(Arc::new(witness), site.now))];
    let checkpoint = log.publish(&mut cosigners, &policy, site.now).unwrap();
    let hashes = log.proof(entry.index, log.size()).unwrap();
    TlogProof { extra: Some(entry.leaf), index: entry.index, hashes, checkpoint }.encode()
}

/// Fast-forward (attack M03): the thief's number is the highest that there is, and after the rotation clients go on.
#[test]
fn m03_rotated_online_keys_end_a_fast_forward() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    let honest = fs::read(site.repo().join("metadata/timestamp.json")).unwrap();
    fast_forward(&site, "timestamp");
    client.refresh(&site);
    // The publisher puts its own back: whoever saw the thief's refuses it.
    let driven = fs::read(site.repo().join("metadata/timestamp.json")).unwrap();
    fs::write(site.repo().join("metadata/timestamp.json"), honest).unwrap();
    assert_eq!(client.code(&site.repo(), site.now), "tuf-rollback");
    // Or has only the thief's: either way a rotation ends it.
    fs::write(site.repo().join("metadata/timestamp.json"), driven).unwrap();
    let intent = revocation(&site, "timestamp", Some("timestamp-2"));
    let published = change(&mut site, &intent).unwrap();
    assert!(published.timestamp_version < 100, "{}", published.timestamp_version);
    assert_eq!(client.refresh(&site).0, 2);
    site.release("1.1.0", "two").unwrap();
    client.refresh(&site);
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}

/// More must sign than the thief has keys of: that is a rotation for clients (ADR 0010), and for the publisher.
#[test]
fn m03_a_higher_threshold_ends_a_fast_forward_too() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    fast_forward(&site, "timestamp");
    client.refresh(&site);
    let (old, new) = (public(&site, "timestamp"), new_key(&site, "timestamp-2", Stage::Timestamp));
    let both = role_change("timestamp", 2, &[(&old, "timestamp"), (&new, "timestamp-2")]);
    let published = change(&mut site, &Intent::Root(both)).unwrap();
    assert!(published.timestamp_version < 100, "{}", published.timestamp_version);
    assert_eq!(client.refresh(&site).0, 2);
    site.release("1.1.0", "two").unwrap();
    assert_eq!(client.refresh(&site).0, 2);
}

/// Writes a timestamp with the highest number that other clients can read, signed by that key.
fn fast_forward(site: &Site, key: &str) {
    let path = site.repo().join("metadata/timestamp.json");
    let file = Envelope::<Timestamp>::parse("timestamp", &fs::read(&path).unwrap()).unwrap();
    let mut editor = TimestampEditor::next(&file.signed);
    editor.set_version((1 << 31) - 1);
    fs::write(path, sign(site, editor.finish().unwrap(), &[key])).unwrap();
}

/// The old online keys are gone: nobody can sign for those who know only them, and the change goes through.
#[test]
fn lost_online_keys_are_replaced() {
    let dir = temp();
    let (mut site, anchor) = with_product(dir.path());
    site.release("1.0.0", "one").unwrap();
    let client = Client::new(&site, anchor, "home");
    lose(&site, "snapshot");
    lose(&site, "timestamp");
    assert_eq!(code(site.renew()), "publish-threshold-not-met");
    let new =
        [new_key(&site, "snapshot-2", Stage::Snapshot), new_key(&site, "timestamp-2", Stage::Timestamp)];
    let mut both = role_change("snapshot", 1, &[(&new[0], "ci")]);
    both.roles.extend(role_change("timestamp", 1, &[(&new[1], "ci")]).roles);
    change(&mut site, &Intent::Root(both)).unwrap();
    assert_eq!(client.refresh(&site).0, 2);
    site.release("1.1.0", "two").unwrap();
    client.refresh(&site);
    assert_eq!(site.view(anchor).releases(), ["1.0.0", "1.1.0"]);
}
