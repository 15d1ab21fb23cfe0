//! Random sets of keys, thresholds and signatures: a file is taken exactly if enough distinct keys signed it well.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use countersign_base::Json;
use countersign_base::canonical::olpc;
use countersign_crypto::{Algorithm, SecretKey};
use countersign_tuf::TrustedSet;
use countersign_tuf::editor::Draft;
use countersign_tuf::metadata::{key_id, payload};
use proptest::prelude::*;

use crate::world::{ROOT, World, code, envelope, now, root_editor};

/// Keys to choose from, of every kind that can sign.
static KEYS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
    let kinds = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign());
    kinds.flat_map(|kind| [61, 62].map(|seed| SecretKey::from_seed(kind, &[seed; 32]).unwrap())).collect()
});

/// What stands under a key's id on the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Absent,
    Good,
    /// On other bytes.
    OtherBytes,
    /// By the key after it.
    OtherKey,
    Empty,
    OneBitFlipped,
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        2 => Just(Mark::Absent),
        6 => Just(Mark::Good),
        1 => Just(Mark::OtherBytes),
        1 => Just(Mark::OtherKey),
        1 => Just(Mark::Empty),
        1 => Just(Mark::OneBitFlipped),
    ]
}

fn sign(key: &SecretKey, message: &[u8]) -> Vec<u8> {
    key.sign(&payload(key.public_key(), message)).unwrap()
}

fn signature(place: usize, mark: Mark, message: &[u8]) -> Option<(String, Vec<u8>)> {
    let key = &KEYS[place];
    let bytes = match mark {
        Mark::Absent => return None,
        Mark::Good => sign(key, message),
        Mark::OtherBytes => sign(key, b"{}"),
        Mark::OtherKey => sign(&KEYS[(place + 1) % KEYS.len()], message),
        Mark::Empty => Vec::new(),
        Mark::OneBitFlipped => {
            let mut bytes = sign(key, message);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }
    };
    Some((key_id(key.public_key()), bytes))
}

/// The top-level targets by these marks, under a root that lists these keys for them: what a client says, and how many
/// signatures the editor says are missing.
fn refresh(listed: &BTreeSet<usize>, threshold: u32, marks: &[Mark]) -> (&'static str, usize) {
    let mut world = World::new();
    let mut root = root_editor();
    let keys: Vec<_> = listed.iter().map(|&place| KEYS[place].public_key().clone()).collect();
    root.set_role("targets", &keys, threshold).unwrap();
    world.root = crate::world::sign(root.finish().unwrap(), &ROOT[..2]);
    let signed = Draft::parse("targets", &world.targets).unwrap().signed().clone();
    let message = olpc(&signed);
    let marked = marks.iter().enumerate().filter_map(|(place, &mark)| signature(place, mark, &message));
    let signatures = marked.map(|(keyid, bytes)| {
        let sig: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Json::object([("keyid", Json::from(keyid)), ("sig", Json::from(sig))])
    });
    world.targets = envelope(signatures.collect(), signed);
    world.list(1);
    let set = TrustedSet::new(&world.root, now()).unwrap();
    let role = set.root().role_keys("targets").unwrap();
    let status = Draft::parse("targets", &world.targets).unwrap().status(set.root().keys(), role);
    (code(world.refresh()), status.missing())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_file_is_taken_exactly_if_enough_distinct_keys_signed_it(
        listed in proptest::collection::btree_set(0..KEYS.len(), 1..=6),
        wanted in 1..=6_u32,
        marks in proptest::collection::vec(mark(), KEYS.len()),
    ) {
        let threshold = wanted.min(u32::try_from(listed.len()).unwrap());
        let good = listed.iter().filter(|&&place| marks[place] == Mark::Good).count();
        let (got, missing) = refresh(&listed, threshold, &marks);
        let enough = good >= threshold as usize;
        prop_assert_eq!(got == "ok", enough, "{} of {}: {}", good, threshold, got);
        prop_assert_eq!(missing, (threshold as usize).saturating_sub(good), "the editor says the same");
        prop_assert!(enough || matches!(got, "tuf-threshold" | "tuf-role-confusion"), "{}", got);
    }
}

#[test]
fn every_kind_of_key_is_among_the_random_ones() {
    let kinds: BTreeSet<String> = KEYS.iter().map(|key| key.public_key().algorithm().to_string()).collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    let all: BTreeSet<usize> = (0..KEYS.len().min(6)).collect();
    assert_eq!(refresh(&all, 6, &vec![Mark::Good; KEYS.len()]), ("ok", 0));
}
