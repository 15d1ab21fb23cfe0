//! Holders of two keys, both of which must sign (ADR 0009, attacks V22, M10).

use countersign_base::canonical::olpc;
use countersign_base::{Class, Explain as _, Json, json};
use countersign_crypto::{Algorithm, PublicKey, SecretKey, Signer, sha256};
use countersign_testkit::mldsa::{self, Form};
use countersign_tuf::editor::{Draft, EditError, NewDelegation, RootEditor, TargetsEditor};
use countersign_tuf::limits::{MAX_PAIRS, MAX_ROOT_BYTES, MAX_TIMESTAMP_BYTES};
use countersign_tuf::metadata::{MetaFile, key_id, key_json};
use countersign_tuf::{Envelope, Half, Root, Targets, TrustedSet, TufError};
use proptest::prelude::*;

use crate::world::{
    NODE, ROOT, TARGETS, World, at, change, code, envelope, key, now, paths, public, remove, root_editor,
    sign, signature,
};

/// The second key of the holder whose first one has this seed.
fn second(seed: u8) -> SecretKey {
    second_of(Algorithm::MlDsa65, seed)
}

fn second_of(algorithm: Algorithm, seed: u8) -> SecretKey {
    SecretKey::from_seed(algorithm, &[seed; 32]).unwrap()
}

fn id(seed: u8) -> String {
    key_id(key(seed).public_key())
}

/// Signs with first and second keys of these seeds.
fn signed_by(draft: &Draft, firsts: &[u8], seconds: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> =
        firsts.iter().map(|&seed| key(seed)).chain(seconds.iter().map(|&seed| second(seed))).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    draft.clone().signed_by(&signers).unwrap()
}

/// Top-level targets whose delegation to node has these pairs of first and second keys.
fn targets_with(pairs: &[(u8, &PublicKey)]) -> Result<Vec<u8>, EditError> {
    let mut targets = TargetsEditor::new("targets", now().plus_days(30));
    targets.set_delegation(&NewDelegation {
        name: "node",
        keys: &public(NODE),
        threshold: 2,
        coverage: paths(&["node/*/*/*"]),
        terminating: true,
    })?;
    for (first, second) in pairs {
        targets.set_pair(key(*first).public_key(), Some(second))?;
    }
    Ok(sign(targets.finish()?, TARGETS))
}

/// A repository whose node keys 41 and 42 have second keys; 43 stands alone.
fn hybrid() -> World {
    let mut world = World::new();
    let (one, two) = (second(41), second(42));
    world.targets = targets_with(&[(41, one.public_key()), (42, two.public_key())]).unwrap();
    world
}

/// The refresh when node's file has these signatures.
fn node_by(world: &World, firsts: &[u8], seconds: &[u8]) -> Result<TrustedSet, TufError> {
    let mut other = world.clone();
    other.node = signed_by(&Draft::parse("node", &unsigned(&world.node)).unwrap(), firsts, seconds);
    other.list(1);
    other.refresh()
}

/// The file without its signatures.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    envelope(Vec::new(), json::parse(bytes).unwrap().get("signed").unwrap().clone())
}

#[test]
fn v22_a_holder_of_two_keys_counts_once_both_have_signed() {
    let world = hybrid();
    let set = node_by(&world, &[41, 42], &[41, 42]).unwrap();
    let signers = set.signers("node").unwrap();
    assert_eq!((signers.signed.clone(), signers.halves.len()), (vec![id(41), id(42)], 0));
    // A holder of one key beside one of two.
    assert_eq!(code(node_by(&world, &[41, 43], &[41])), "ok");
    // Half a holder does no harm beside enough whole ones.
    let set = node_by(&world, &[41, 42, 43], &[41]).unwrap();
    let signers = set.signers("node").unwrap();
    assert_eq!((signers.halves[0].keyid.as_str(), signers.halves[0].missing), (&*id(42), Half::MlDsa));
    // The two keys of one holder are not two holders.
    assert_eq!(code(node_by(&world, &[41], &[41])), "tuf-threshold");
}

#[test]
fn v22_a_stripped_half_is_a_downgrade_and_names_its_holder() {
    let world = hybrid();
    // (a) ML-DSA stripped, (b) the classical one stripped, each of one holder or of both.
    for (firsts, seconds) in
        [(&[41, 42][..], &[41][..]), (&[41, 42], &[]), (&[41], &[41, 42]), (&[], &[41, 42]), (&[41], &[42])]
    {
        let error = node_by(&world, firsts, seconds).unwrap_err();
        assert_eq!(error.code().name(), "signature-algorithm-downgrade", "{firsts:?} {seconds:?}");
        assert_eq!(error.class(), Class::Refused);
    }
    let error = node_by(&world, &[41, 42], &[41]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`node` is signed by 1 of the 2 holders it needs: `{}` lacks its ML-DSA signature", id(42))
    );
    // Where halves are not the reason, they are not the code.
    assert_eq!(code(node_by(&world, &[42], &[])), "tuf-threshold");
    assert_eq!(code(node_by(&world, &[], &[])), "tuf-threshold");
}

#[test]
fn v22_a_second_signature_is_pure_and_of_this_message() {
    let world = hybrid();
    let signed = json::parse(&world.node).unwrap().get("signed").unwrap().clone();
    let message = olpc(&signed);
    let payload = countersign_tuf::metadata::payload(second(42).public_key(), &message).into_owned();
    let with_bytes = |bytes: &[u8], keyid: &str| {
        let mut other = world.clone();
        let mut signatures: Vec<Json> =
            [41, 42].iter().map(|&seed| signature(&id(seed), &key(seed), &message)).collect();
        signatures.push(signature(&key_id(second(41).public_key()), &second(41), &payload));
        let sig: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        signatures.push(Json::object([("keyid", Json::from(keyid)), ("sig", Json::from(sig))]));
        other.node = envelope(signatures, signed.clone());
        other.list(1);
        code(other.refresh())
    };
    let with = |signed: &[u8], keyid: &str| with_bytes(&second(42).sign(signed).unwrap(), keyid);
    let keyid = key_id(second(42).public_key());
    assert_eq!(with(&payload, &keyid), "ok");
    let downgrade = "signature-algorithm-downgrade";
    // The message itself in place of what TAP 21 has ML-DSA sign; its digest alone; under another id.
    assert_eq!(with(&message, &keyid), downgrade);
    assert_eq!(with(&payload[4..], &keyid), downgrade);
    assert_eq!(with(&payload, &id(99)), downgrade);
    assert_eq!(with(&payload, &key_id(second_of(Algorithm::MlDsa44, 42).public_key())), downgrade);
    // (c), (d) The other forms of FIPS 204; the one that is used, made by another implementation, is taken.
    for (form, expected) in [
        (Form::Pure(b""), "ok"),
        (Form::Pure(b"tuf"), downgrade),
        (Form::Prehash(b""), downgrade),
        (Form::Prehash(b"tuf"), downgrade),
    ] {
        assert_eq!(with_bytes(&mldsa::sign(&second(42), &payload, form), &keyid), expected, "{form:?}");
        let form_of_message = mldsa::sign(&second(42), &message, form);
        assert_eq!(with_bytes(&form_of_message, &keyid), downgrade, "{form:?}");
    }
}

#[test]
fn m10_a_second_key_belongs_to_one_holder() {
    let one = second(41);
    assert!(targets_with(&[(41, one.public_key())]).is_ok());
    let twice = targets_with(&[(41, one.public_key()), (42, one.public_key())]).unwrap_err();
    assert_eq!(twice.code().name(), "tuf-key-duplicate");
    // A second key that is also a key of a role in the same file: it would sign for two.
    let mut root = root_editor();
    let mut keys = public(ROOT);
    keys.push(one.public_key().clone());
    root.set_role("root", &keys, 2).unwrap();
    root.set_pair(key(1).public_key(), Some(one.public_key())).unwrap();
    assert_eq!(root.finish().unwrap_err().code().name(), "tuf-key-duplicate");
}

#[test]
fn pairs_of_the_wrong_kind_are_refused() {
    // A second key that is classical, a first key that is not listed or is no classical one.
    let classical = targets_with(&[(41, key(77).public_key())]).unwrap_err();
    assert_eq!(classical.code().name(), "tuf-key-invalid");
    let unlisted = targets_with(&[(77, second(77).public_key())]).unwrap_err();
    assert_eq!(unlisted.code().name(), "tuf-key-invalid");
    let mut root = root_editor();
    let lone = second(5);
    root.set_role("snapshot", &[lone.public_key().clone()], 1).unwrap();
    root.set_pair(lone.public_key(), Some(second(6).public_key())).unwrap();
    assert_eq!(root.finish().unwrap_err().code().name(), "tuf-key-invalid");
}

/// The refresh when targets' `x-countersign.pairs` passes through `edit`.
fn with_pairs(edit: impl FnOnce(&mut Json)) -> Result<TrustedSet, TufError> {
    let mut world = hybrid();
    world.targets = change(&world.targets, TARGETS, |signed| edit(at(signed, &["x-countersign", "pairs"])));
    world.node = signed_by(&Draft::parse("node", &unsigned(&world.node)).unwrap(), &[41, 42], &[41, 42]);
    world.list(1);
    world.refresh()
}

#[test]
fn pairs_are_read_strictly() {
    assert_eq!(code(with_pairs(|_| {})), "ok");
    let refused = |edit: &dyn Fn(&mut Json)| code(with_pairs(edit));
    assert_eq!(refused(&|pairs| *pairs = Json::from("none")), "tuf-malformed");
    assert_eq!(refused(&|pairs| *pairs = Json::Null), "tuf-malformed");
    assert_eq!(refused(&|pairs| *at(pairs, &[&id(41)]) = Json::Null), "tuf-malformed");
    assert_eq!(refused(&|pairs| remove(pairs, &[&id(41)], "keyval")), "tuf-malformed");
    assert_eq!(refused(&|pairs| *at(pairs, &["ab"]) = key_json(second(7).public_key())), "tuf-key-invalid");
    let public = [&id(41), "keyval", "public"];
    assert_eq!(refused(&|pairs| *at(pairs, &public) = Json::from("00")), "tuf-key-invalid");
    let many = |pairs: &mut Json| {
        for number in 0..=MAX_PAIRS {
            *at(pairs, &[&format!("{number:064x}")]) = Json::from("not looked at");
        }
    };
    assert_eq!(refused(&many), "limit-exceeded");
}

/// (e) A scheme that this build lacks does not leave the holder with the classical key.
#[test]
fn v22_a_second_key_that_cannot_be_checked_is_a_downgrade_of_configuration() {
    for (keytype, scheme) in [("ml-dsa", "ml-dsa-87/1"), ("slh-dsa", "slh-dsa-sha2-128s/1"), ("", "")] {
        let error = with_pairs(|pairs| {
            *at(pairs, &[&id(41), "keytype"]) = Json::from(keytype);
            *at(pairs, &[&id(41), "scheme"]) = Json::from(scheme);
        })
        .unwrap_err();
        assert_eq!((error.code().name(), error.class()), ("signature-algorithm-downgrade", Class::Usage));
        assert!(error.to_string().contains(scheme), "{error}");
    }
}

/// Root 1 of five holders of two keys, all of whom signed; 3 must.
fn five() -> (RootEditor, [u8; 5]) {
    let holders = [51, 52, 53, 54, 55];
    let mut root = root_editor();
    root.set_role("root", &public(&holders), 3).unwrap();
    root.set_role("targets", &public(&holders), 3).unwrap();
    for holder in holders {
        root.set_pair(key(holder).public_key(), Some(second(holder).public_key())).unwrap();
    }
    (root, holders)
}

#[test]
fn each_root_is_judged_by_its_own_pairs() {
    let (root, holders) = five();
    let first = signed_by(&root.finish().unwrap(), &holders, &holders);
    let set = TrustedSet::new(&first, now()).unwrap();
    // Root 2 takes the pair from 51, gives 52 another second key and makes 56 a new holder of two.
    let mut next = RootEditor::next(set.root());
    next.set_role("root", &public(&[51, 52, 53, 56]), 3).unwrap();
    next.set_pair(key(51).public_key(), None).unwrap();
    next.set_pair(key(52).public_key(), Some(second(152).public_key())).unwrap();
    next.set_pair(key(56).public_key(), Some(second(56).public_key())).unwrap();
    let draft = next.finish().unwrap();
    let step = |firsts: &[u8], seconds: &[u8]| {
        let mut set = set.clone();
        code(set.update_root(&signed_by(&draft, firsts, seconds)))
    };
    let all = [51, 52, 53, 56];
    assert_eq!(step(&all, &[51, 52, 53, 152, 56]), "ok");
    // Enough for both: the old root knows 51, 52, 53 by both keys; the new one 51 by one, 52 by 152, 53 by both.
    assert_eq!(step(&[51, 52, 53], &[51, 52, 53, 152]), "ok");
    // The old side lacks a half that the new side does not ask for.
    assert_eq!(step(&[51, 52, 53], &[52, 53, 152]), "signature-algorithm-downgrade");
    // The new side lacks a half that the old side does not know.
    assert_eq!(step(&[51, 52, 53], &[51, 52, 53]), "signature-algorithm-downgrade");
    assert_eq!(step(&[51, 52], &[51, 52, 152]), "tuf-threshold");
    assert_eq!(step(&[51, 52, 54], &[51, 52, 54, 152]), "tuf-root-chain");
}

#[test]
fn a_new_pair_of_an_online_key_is_a_new_online_key() {
    let world = World::new();
    let mut set = TrustedSet::new(&world.root, now()).unwrap();
    set.update_timestamp(&world.timestamp).unwrap();
    let mut next = RootEditor::next(set.root());
    next.set_pair(key(31).public_key(), Some(second(31).public_key())).unwrap();
    set.update_root(&sign(next.finish().unwrap(), &ROOT[..2])).unwrap();
    assert_eq!(set.online_keys_since(), 2);
    assert!(set.timestamp().is_none());
    // What only the old key signed is refused now.
    assert_eq!(code(set.update_timestamp(&world.timestamp)), "signature-algorithm-downgrade");
    let draft = Draft::parse("timestamp", &unsigned(&world.timestamp)).unwrap();
    set.update_timestamp(&signed_by(&draft, &[31], &[31])).unwrap();
}

#[test]
fn drafts_tell_who_signed_with_one_key_of_two() {
    let (root, _) = five();
    let mut draft = root.finish().unwrap();
    let keys = |draft: &Draft| Envelope::<Root>::parse("root", &draft.to_bytes().unwrap()).unwrap().signed;
    let root = keys(&draft);
    let status = |draft: &Draft| draft.status(root.keys(), root.role_keys("root").unwrap());
    draft.sign(&[&key(51) as &dyn Signer, &second(52)]).unwrap();
    let half = status(&draft);
    let told: Vec<_> = half.halves.iter().map(|half| (half.keyid.clone(), half.missing)).collect();
    let mut expected = vec![(id(51), Half::MlDsa), (id(52), Half::Classical)];
    expected.sort_by_key(|(id, _)| root.role_keys("root").unwrap().keyids.iter().position(|one| one == id));
    assert_eq!(told, expected);
    assert_eq!((half.signed.len(), half.unsigned.len(), half.missing()), (0, 5, 3));
    draft.sign(&[&second(51) as &dyn Signer, &key(52)]).unwrap();
    assert_eq!((status(&draft).signed.len(), status(&draft).missing()), (2, 1));
    assert_eq!(status(&draft).shortage("root").unwrap().code().name(), "tuf-threshold");
    draft.sign(&[&key(53) as &dyn Signer]).unwrap();
    assert_eq!(status(&draft).shortage("root").unwrap().code().name(), "signature-algorithm-downgrade");
    draft.sign(&[&second(53) as &dyn Signer]).unwrap();
    assert!(status(&draft).shortage("root").is_none());
    // The id under which a second key signs is the one that the pair tells.
    let pair = root.keys()[&id(51)].pair().unwrap();
    assert_eq!(pair.keyid(), key_id(second(51).public_key()));
    assert_eq!(pair.keyid(), sha256(&olpc(&key_json(pair.key()))).to_string());
}

#[test]
fn editors_keep_pairs_through_other_changes() {
    let (mut root, _) = five();
    let policy = Json::object([("apiVersion", Json::from("0.0.1"))]);
    root.set_extension("x-countersign", policy.clone());
    let draft = root.finish().unwrap();
    let pairs = |signed: &Json| {
        let pairs = signed.get("x-countersign").and_then(|extension| extension.get("pairs"));
        pairs.and_then(Json::as_object).map_or(0, std::collections::BTreeMap::len)
    };
    assert_eq!(pairs(draft.signed()), 5);
    assert_eq!(draft.signed().get("x-countersign").unwrap().get("apiVersion"), policy.get("apiVersion"));
    // A pair goes when no role lists its holder any more, and not before.
    let bytes = draft.to_bytes().unwrap();
    let mut next = RootEditor::next(&Envelope::<Root>::parse("root", &bytes).unwrap().signed);
    next.set_role("root", &public(&[51, 52, 53]), 2).unwrap();
    assert_eq!(pairs(next.clone().finish().unwrap().signed()), 5);
    next.set_role("targets", &public(&[52, 53]), 2).unwrap();
    assert_eq!(pairs(next.finish().unwrap().signed()), 3);
    // Targets without delegations have no pairs, and no empty extension.
    let bytes = targets_with(&[(41, second(41).public_key())]).unwrap();
    let mut targets =
        TargetsEditor::next("targets", &Envelope::<Targets>::parse("targets", &bytes).unwrap().signed);
    assert!(targets.remove_delegation("node"));
    assert_eq!(targets.finish().unwrap().signed().get("x-countersign"), None);
}

#[test]
fn files_of_five_holders_of_two_keys_are_within_their_limits() {
    let (root, holders) = five();
    let first = signed_by(&root.finish().unwrap(), &holders, &holders);
    // A step in which all five are replaced, so that ten holders sign.
    let set = TrustedSet::new(&first, now()).unwrap();
    let others = [61, 62, 63, 64, 65];
    let mut next = RootEditor::next(set.root());
    for role in ["root", "targets", "snapshot", "timestamp"] {
        next.set_role(role, &public(&others), 3).unwrap();
    }
    for holder in others {
        next.set_pair(key(holder).public_key(), Some(second(holder).public_key())).unwrap();
    }
    let signers = [holders, others].concat();
    let bytes = signed_by(&next.finish().unwrap(), &signers, &signers);
    set.clone().update_root(&bytes).unwrap();
    // ADR 0009 has these figures.
    assert!((48_000..52_000).contains(&first.len()), "{}", first.len());
    assert!((84_000..88_000).contains(&bytes.len()), "{}", bytes.len());
    assert!(bytes.len() < MAX_ROOT_BYTES / 5);
    // A timestamp is small by its limit: one holder of two keys signs it, with ML-DSA-65 too, and even a second.
    let timestamp = |holders: &[u8]| {
        let listed = MetaFile::describe(1, b"snapshot");
        let editor = countersign_tuf::editor::TimestampEditor::new(now().plus_days(1), &listed);
        signed_by(&editor.finish().unwrap(), holders, holders).len()
    };
    assert!(timestamp(&[61]) < 7_500 && timestamp(&[61, 62]) < MAX_TIMESTAMP_BYTES);
}

/// Keys of ten possible holders, made once: ML-DSA-44 is the quicker.
fn ring() -> &'static [(SecretKey, SecretKey)] {
    static RING: std::sync::OnceLock<Vec<(SecretKey, SecretKey)>> = std::sync::OnceLock::new();
    RING.get_or_init(|| (1..=10).map(|seed| (key(seed), second_of(Algorithm::MlDsa44, seed))).collect())
}

proptest! {
    /// Whoever signs with what: those count whose every key signed, once each.
    #[test]
    fn counted_are_the_holders_whose_keys_all_signed(
        holders in proptest::collection::btree_map(0..10_usize, any::<bool>(), 1..6),
        threshold in 1..6_u32,
        signatures in proptest::collection::btree_set((0..10_usize, any::<bool>()), 0..14),
    ) {
        let threshold = threshold.min(u32::try_from(holders.len()).unwrap());
        let keys: Vec<PublicKey> = holders.keys().map(|&at| ring()[at].0.public_key().clone()).collect();
        let mut root = root_editor();
        root.set_role("root", &keys, threshold).unwrap();
        for at in holders.iter().filter(|(_, paired)| **paired).map(|(at, _)| *at) {
            root.set_pair(ring()[at].0.public_key(), Some(ring()[at].1.public_key())).unwrap();
        }
        let mut draft = root.finish().unwrap();
        for &(at, is_second) in &signatures {
            let (first, second) = &ring()[at];
            draft.sign(&[if is_second { second } else { first } as &dyn Signer]).unwrap();
        }
        let has = |at: usize, is_second| signatures.contains(&(at, is_second));
        let whole = holders.iter().filter(|(at, paired)| has(**at, false) && (!**paired || has(**at, true)));
        let half = holders.iter().filter(|(at, paired)| **paired && has(**at, false) != has(**at, true));
        let (whole, half) = (whole.count(), half.count());

        let bytes = draft.to_bytes().unwrap();
        let parsed = Envelope::<Root>::parse("root", &bytes).unwrap().signed;
        let status = draft.status(parsed.keys(), parsed.role_keys("root").unwrap());
        prop_assert_eq!((status.signed.len(), status.halves.len()), (whole, half));
        prop_assert_eq!(status.signed.len() + status.unsigned.len(), holders.len());
        let need = threshold as usize;
        let expected = match (whole >= need, whole + half >= need) {
            (true, _) => "ok",
            (false, true) => "signature-algorithm-downgrade",
            (false, false) => "tuf-threshold",
        };
        let got = code(TrustedSet::new(&bytes, now()));
        // Signed by the keys of another role alone, it is called so; the world's other roles sign nothing here.
        prop_assert_eq!(got, expected);
    }
}
