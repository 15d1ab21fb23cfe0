//! Properties that hold for any input.

use countersign_base::{Json, json};
use countersign_tuf::metadata::matches;
use countersign_tuf::name::{check_role, check_target, file_name, target_url_path};
use countersign_tuf::{Envelope, Role as _, Root, TrustedSet};
use proptest::prelude::*;

use crate::world::{World, now};

proptest! {
    /// One flipped bit is refused, or nothing that is read has changed (the case of hex in a signature).
    #[test]
    fn a_flipped_bit_changes_nothing_that_is_trusted(place in 0..1_000_000_usize, bit in 0..8_u32) {
        let root = World::new().root;
        let honest = Envelope::<Root>::parse("root", &root).unwrap().signed;
        let mut flipped = root;
        let place = place % flipped.len();
        flipped[place] ^= 1 << bit;
        if let Ok(set) = TrustedSet::new(&flipped, now()) {
            prop_assert_eq!(set.root(), &honest);
        }
    }

    /// What a client may use as a file name stays one component; nothing else gets through.
    #[test]
    fn role_names_become_one_component(name in any::<String>(), version in proptest::option::of(1..1000_u64)) {
        if check_role(&name).is_ok() {
            let file = file_name(&name, version).unwrap();
            prop_assert!(file.len() <= 255 && file.ends_with(".json"));
            prop_assert!(file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-~%".contains(&byte)));
            let root = file.strip_suffix(".root.json").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            prop_assert!(!root && file != "root.json" && file != "timestamp.json", "{}", file);
        }
    }

    /// A target's URL path has as many components as its path, none of them special.
    #[test]
    fn target_paths_keep_their_components(path in "[a-z./\\\\%é :]{0,12}") {
        if check_target(&path).is_ok() {
            let url = target_url_path(&path, None).unwrap();
            prop_assert_eq!(url.split('/').count(), path.split('/').count());
            prop_assert!(url.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
    }

    /// A pattern without wildcards covers exactly itself; `*` covers one component and no more.
    #[test]
    fn patterns_cover_components(path in "[a-c/]{0,8}", other in "[a-c/]{0,8}") {
        prop_assert_eq!(matches(&path, &other), path == other);
        let stars: Vec<&str> = path.split('/').map(|_| "*").collect();
        prop_assert_eq!(matches(&stars.join("/"), &other), path.split('/').count() == other.split('/').count());
    }

    /// An extension of any content is read back as it was written.
    #[test]
    fn extensions_survive(text in any::<String>(), number in any::<i64>()) {
        let value = Json::object([("text", Json::from(text)), ("number", Json::from(number))]);
        let mut editor = crate::world::root_editor();
        editor.set_extension("x-countersign", value.clone());
        let bytes = crate::world::sign(editor.finish().unwrap(), &[1, 2]);
        prop_assert!(json::parse(&bytes).is_ok());
        let set = TrustedSet::new(&bytes, now()).unwrap();
        prop_assert_eq!(set.root().extension("x-countersign"), Some(&value));
    }
}

#[test]
fn a_play_in_the_plain_order_trusts_everything() {
    // Each by its first key: root 2, timestamp 1 with snapshot 1 listed, snapshot 1, targets 1, node 1.
    let trusted = crate::universe::play(&[0, 0, 6, 1, 2, 0, 3, 0, 4, 0]);
    assert_eq!(trusted, ["node", "root", "snapshot", "targets", "timestamp"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever files come in whatever order, the state is one that the order of section 5 reaches.
    #[test]
    fn any_order_of_files_ends_where_the_plain_order_does(
        choices in proptest::collection::vec(any::<u8>(), 16..128)
    ) {
        crate::universe::play(&choices);
    }
}
