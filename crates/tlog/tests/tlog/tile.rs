//! Tiles, entry bundles and proofs from them, against public logs.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_testkit::vectors::{dir, files};
use countersign_tlog::merkle::*;
use countersign_tlog::note::VerifierKey;
use countersign_tlog::tile::*;
use countersign_tlog::{Checkpoint, SignedCheckpoint};
use proptest::prelude::*;

use crate::support::{code, entries, leaves, tiles, vectors};

type Tiles = BTreeMap<TileId, Vec<u8>>;

fn read(dir: &Path, path: &str) -> Vec<u8> {
    std::fs::read(dir.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tiles of a folder that a log of this size has.
fn stored(dir: &Path, size: u64) -> Tiles {
    tiles_for_append(0, size).map(|id| (id, read(dir, &id.path()))).collect()
}

#[test]
fn tessera_log_vectors() {
    let Some(dir) = dir("tlog/tiles/tessera-log") else { return };
    let vkey = String::from_utf8(read(&dir, "verifier.vkey.txt")).unwrap();
    let key: VerifierKey = vkey.trim().parse().unwrap();
    let mut sizes = Vec::new();
    for (name, path) in files(&dir, "") {
        let Some(suffix) = name.strip_prefix("checkpoint.") else { continue };
        let note = std::fs::read(path).unwrap();
        let signed = SignedCheckpoint::open(&note, key.name(), std::slice::from_ref(&key)).unwrap();
        let checkpoint = signed.checkpoint().clone();
        assert_eq!(checkpoint.size().to_string(), suffix);
        check_log(&dir, &checkpoint);
        sizes.push(checkpoint);
    }
    sizes.sort_by_key(Checkpoint::size);
    for (old, new) in sizes.iter().flat_map(|old| sizes.iter().map(move |new| (old, new))) {
        if old.size() > 0 && old.size() <= new.size() {
            let set = TileSet::verified(new.size(), new.root(), &stored(&dir, new.size())).unwrap();
            let proof = set.consistency_proof(old.size(), new.size()).unwrap();
            verify_consistency(old.size(), new.size(), old.root(), new.root(), &proof).unwrap();
            assert_eq!(set.root_at(old.size()).unwrap(), *old.root());
        }
    }
}

/// Tiles, bundles and every inclusion proof at one size; and appending the entries makes the same files.
fn check_log(dir: &Path, checkpoint: &Checkpoint) {
    let (size, root) = (checkpoint.size(), checkpoint.root());
    let set = TileSet::verified(size, root, &stored(dir, size)).unwrap();
    let mut all: Vec<Vec<u8>> = Vec::new();
    for bundle in bundles_for_append(0, size) {
        let bytes = read(dir, &bundle.path());
        let found = check_bundle(bundle, &bytes, set.hashes(bundle.tile()).unwrap()).unwrap();
        all.extend(found.into_iter().map(<[u8]>::to_vec));
    }
    assert_eq!(all.len() as u64, size);
    for (index, entry) in all.iter().enumerate() {
        let proof = set.inclusion_proof(index as u64, size).unwrap();
        verify_inclusion(index as u64, size, &leaf_hash(entry), root, &proof).unwrap();
    }
    let hashes: Vec<Hash> = all.iter().map(|entry| leaf_hash(entry)).collect();
    let mut edge = RightEdge::new();
    for tile in edge.append(&hashes).unwrap() {
        assert_eq!(tile.bytes, read(dir, &tile.id.path()), "{}", tile.id);
    }
    assert_eq!(edge.root(), *root);
    for (bundle, bytes) in append_to_bundles(0, &[], &all).unwrap() {
        assert_eq!(bytes, read(dir, &bundle.path()), "{bundle}");
    }
}

#[test]
fn sunlight_mirror_vectors() {
    let Some(dir) = dir("tlog/tiles/sunlight-mirror-300") else { return };
    let signed = SignedCheckpoint::parse(&read(&dir, "checkpoint")).unwrap();
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    let paths: Vec<String> = tiles_for_append(0, size).map(TileId::path).collect();
    assert_eq!(paths, ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]);
    let tiles = stored(&dir, size);
    let set = TileSet::verified(size, root, &tiles).unwrap();
    for index in 0..size {
        let proof = set.inclusion_proof(index, size).unwrap();
        verify_inclusion(index, size, &set.leaf(index).unwrap(), root, &proof).unwrap();
    }
    for (id, bytes) in &tiles {
        let mut wrong = tiles.clone();
        let mut bytes = bytes.clone();
        bytes[7] ^= 1;
        wrong.insert(*id, bytes);
        let result = TileSet::verified(size, root, &wrong);
        assert_eq!(code(&result), "log-tile-mismatch", "{id}");
        assert!(result.unwrap_err().to_string().contains(&id.path()), "{id}");
    }
}

#[test]
fn path_vectors() {
    for (_, vector) in vectors("tlog/tiles", "tile-paths.json") {
        for case in vector["c2sp_tlog_tiles_height_8"].as_array().unwrap() {
            let number = |field: &str| case[field].as_u64();
            if let (Some(index), Some(element)) = (number("index"), case["path_element"].as_str()) {
                assert_eq!(
                    TileId::at(0, index, (index + 1) * 256).unwrap().path(),
                    format!("tile/0/{element}")
                );
            }
            let Some(size) = number("tree_size") else { continue };
            let widths = |level: u8| {
                let all = tiles_for_append(0, size).filter(move |tile| tile.level() == level);
                let (full, partial): (Vec<_>, Vec<_>) = all.partition(|tile| tile.is_full());
                (full.len() as u64, partial.first().map_or(0, |tile| u64::from(tile.width())))
            };
            for level in 0..3 {
                let (full, partial) = widths(level);
                let expect = |what: &str| number(&format!("level{level}_{what}"));
                assert_eq!(full, expect("full").unwrap_or(0), "{size} level {level}");
                assert_eq!(partial, expect("partial_width").unwrap_or(0), "{size} level {level}");
            }
        }
        // The Go checksum database has the tile height in its paths; the elements after the level are the same.
        for case in vector["go_sumdb_paths_with_height"].as_array().unwrap() {
            let path = case["path"].as_str().unwrap();
            let parts: Vec<&str> = path.splitn(4, '/').collect();
            let [_, _, level, rest] = parts[..] else { panic!("{path}") };
            let accept = case["expect"].as_str() == Some("accept");
            let text = format!("tile/{level}/{rest}");
            if level == "data" {
                let bundle: BundleId = format!("tile/entries/{rest}").parse().unwrap();
                assert_eq!(Some(bundle.index()), case["index"].as_u64());
            } else {
                let tile = text.parse::<TileId>();
                assert_eq!(tile.is_ok(), accept, "{path}");
                if let Ok(tile) = tile {
                    assert_eq!(Some(tile.index()), case["index"].as_u64());
                    assert_eq!(Some(u64::from(tile.level())), case["level"].as_u64());
                }
            }
        }
    }
    let mirror = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(EMPTY_ROOT.to_string(), mirror);
}

#[test]
fn only_canonical_paths_parse() {
    for good in [
        "tile/0/000",
        "tile/0/999",
        "tile/0/x001/000",
        "tile/0/x001/x234/067",
        "tile/0/000.p/1",
        "tile/7/000.p/255",
        "tile/63/000",
        "tile/0/x036/x028/x797/x018/x963/967",
    ] {
        assert_eq!(good.parse::<TileId>().unwrap().to_string(), good);
        if let Some(rest) = good.strip_prefix("tile/0/") {
            let bundle = format!("tile/entries/{rest}");
            assert_eq!(bundle.parse::<BundleId>().unwrap().to_string(), bundle);
        }
    }
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1.p/1",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000 ",
        "tile/0/../000",
        "tile/0/x36/000",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/00a",
        "tile/0/xx01/000",
        "tile/0/x-01/000",
    ] {
        assert_eq!(code(&bad.parse::<TileId>()), "log-proof-malformed", "{bad:?}");
    }
}

#[test]
fn only_what_changed_is_listed() {
    let paths = |old, new| tiles_for_append(old, new).map(TileId::path).collect::<Vec<_>>();
    assert!(paths(5, 5).is_empty());
    assert_eq!(paths(0, 1), ["tile/0/000.p/1"]);
    assert_eq!(paths(255, 256), ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(paths(256, 257), ["tile/0/001.p/1"]);
    assert_eq!(paths(250, 520), ["tile/0/000", "tile/0/001", "tile/0/002.p/8", "tile/1/000.p/2"]);
    assert_eq!(paths(65_535, 65_536), ["tile/0/255", "tile/1/000", "tile/2/000.p/1"]);
    // Whatever size is claimed, listing costs nothing until it is walked.
    assert_eq!(tiles_for_append(0, MAX_TREE_SIZE).next().map(TileId::path).as_deref(), Some("tile/0/000"));
    let edge = |size| right_edge(size).into_iter().map(TileId::path).collect::<Vec<_>>();
    assert!(edge(0).is_empty());
    assert_eq!(edge(256), ["tile/1/000.p/1"]);
    assert_eq!(edge(70_000), ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    let bundles = bundles_for_append(255, 257).map(BundleId::path).collect::<Vec<_>>();
    assert_eq!(bundles, ["tile/entries/000", "tile/entries/001.p/1"]);
    assert_eq!([0, 1, 256, 257].map(last_bundle_width), [None, Some(1), Some(256), Some(1)]);
}

#[test]
fn appending_needs_the_right_edge_alone() {
    let leaves = leaves(70_000);
    let mut whole = RightEdge::new();
    let mut store: Tiles = BTreeMap::new();
    let mut size = 0;
    for batch in [1u64, 254, 1, 1, 255, 256, 700, 64_068, 1, 4_463] {
        let old = size;
        size += batch;
        let mut edge = RightEdge::load(old, &whole.root(), |id| store.get(&id).cloned()).unwrap();
        let made = edge.append(&leaves[old as usize..size as usize]).unwrap();
        let ids: Vec<TileId> = made.iter().map(|tile| tile.id).collect();
        assert_eq!(ids, tiles_for_append(old, size).collect::<Vec<_>>());
        store.extend(made.into_iter().map(|tile| (tile.id, tile.bytes)));
        whole.append(&leaves[old as usize..size as usize]).unwrap();
        assert_eq!(edge, whole);
        assert_eq!(edge.root(), root_of_leaves(&leaves[..size as usize]));
    }
    assert_eq!(size, 70_000);
    // From the final files and the root alone: everything else can be proven.
    let at_end: Tiles = tiles_for_append(0, size).map(|id| (id, store[&id].clone())).collect();
    let set = TileSet::verified(size, &whole.root(), &at_end).unwrap();
    assert_eq!(set.leaf(65_536).unwrap(), leaves[65_536]);
}

#[test]
fn the_tiles_that_are_said_to_be_needed_are_enough() {
    let size = 66_000;
    let (all, root) = tiles(size);
    let pick = |ids: Vec<TileId>| -> Tiles {
        assert!(ids.len() <= 12, "{}", ids.len());
        ids.into_iter().map(|id| (id, all[&id].clone())).collect()
    };
    let leaves = leaves(size);
    for index in [0, 1, 255, 256, 30_000, 65_535, 65_536, 65_999] {
        let set = TileSet::verified(size, &root, &pick(needed_for_inclusion(index, size).unwrap())).unwrap();
        let proof = set.inclusion_proof(index, size).unwrap();
        assert_eq!(set.leaf(index).unwrap(), leaves[index as usize]);
        verify_inclusion(index, size, &leaves[index as usize], &root, &proof).unwrap();
    }
    for old in [0, 1, 2, 255, 256, 257, 30_000, 65_535, 65_536, 65_999, 66_000] {
        let set = TileSet::verified(size, &root, &pick(needed_for_consistency(old, size).unwrap())).unwrap();
        let old_root = set.root_at(old).unwrap();
        assert_eq!(old_root, root_of_leaves(&leaves[..old as usize]));
        if old > 0 {
            let proof = set.consistency_proof(old, size).unwrap();
            verify_consistency(old, size, &old_root, &root, &proof).unwrap();
        }
    }
    assert!(needed_for_inclusion(size, size).is_err());
    assert!(needed_for_consistency(size + 1, size).is_err());
}

#[test]
fn wrong_tiles_are_named() {
    let (all, root) = tiles(1_000);
    let id = |path: &str| path.parse::<TileId>().unwrap();
    let check = |change: &dyn Fn(&mut Tiles)| {
        let mut tiles = all.clone();
        change(&mut tiles);
        let result = TileSet::verified(1_000, &root, &tiles);
        (code(&result), result.map_or_else(|error| error.to_string(), |_| String::new()))
    };
    let flip = |path: &str| {
        let path = path.to_owned();
        move |tiles: &mut Tiles| tiles.get_mut(&id(&path)).unwrap()[40] ^= 4
    };
    assert_eq!(check(&|_| ()), ("ok", String::new()));
    // Attack L11 (c): a full tile that its parent does not know.
    let (found, message) = check(&flip("tile/0/001"));
    assert_eq!((found, message.contains("`tile/0/001`")), ("log-tile-mismatch", true), "{message}");
    // The right edge as a whole: the root cannot tell which.
    let (found, message) = check(&flip("tile/1/000.p/3"));
    assert_eq!(found, "log-tile-mismatch");
    assert_eq!(
        message,
        "`tile/0/003.p/232` and `tile/1/000.p/3` together do not hash to the root of the tree"
    );
    let (found, message) = check(&|tiles| {
        tiles.get_mut(&id("tile/0/002")).unwrap().pop();
    });
    assert_eq!((found, message.as_str()), ("log-tile-mismatch", "`tile/0/002` has 8191 bytes, not 8192"));
    let (found, message) = check(&|tiles| {
        tiles.remove(&id("tile/0/003.p/232"));
    });
    assert_eq!((found, message.as_str()), ("log-tile-missing", "`tile/0/003.p/232` is needed and missing"));
    // A tile of another size of the log.
    let (found, _) = check(&|tiles| {
        tiles.insert(id("tile/0/003.p/7"), vec![0; 7 * 32]);
    });
    assert_eq!(found, "log-tile-mismatch");
    let wrong_root = TileSet::verified(1_000, &EMPTY_ROOT, &all);
    assert_eq!(code(&wrong_root), "log-tile-mismatch");
    assert_eq!(code(&TileSet::verified(0, &EMPTY_ROOT, &BTreeMap::new())), "ok");
    assert_eq!(code(&TileSet::verified(0, &root, &BTreeMap::new())), "log-tile-mismatch");
}

#[test]
fn bundles_hold_exactly_their_entries() {
    let all = entries(300);
    let bundles = append_to_bundles(0, &[], &all).unwrap();
    assert_eq!(bundles.len(), 2);
    let (id, bytes) = &bundles[1];
    assert_eq!(id.path(), "tile/entries/001.p/44");
    let leaves = &leaves(300)[256..];
    assert_eq!(check_bundle(*id, bytes, leaves).unwrap(), all[256..]);
    // Attack L11 (a), (e).
    let mut wrong = bytes.clone();
    wrong[5] ^= 1;
    for bad in [&wrong[..], &bytes[..bytes.len() - 1], &bytes[..1], &[], &[&bytes[..], &[0]].concat()[..]] {
        let result = check_bundle(*id, bad, leaves);
        assert_eq!(code(&result), "log-tile-mismatch");
        assert!(result.unwrap_err().to_string().contains("`tile/entries/001.p/44`"));
    }
    assert_eq!(code(&check_bundle(*id, bytes, &leaves[..43])), "log-tile-mismatch");
    assert_eq!(code(&encode_bundle(&[vec![0; MAX_ENTRY_BYTES]])), "ok");
    assert_eq!(code(&encode_bundle(&[vec![0; MAX_ENTRY_BYTES + 1]])), "log-entry-too-large");
}

#[test]
fn bundles_grow_from_the_last_one() {
    let all = entries(600);
    let mut store: BTreeMap<BundleId, Vec<u8>> = BTreeMap::new();
    let mut size = 0u64;
    for batch in [1u64, 255, 1, 10, 300, 33] {
        let partial = BundleId::at(size / 256, size).map_or_else(Vec::new, |id| store[&id].clone());
        let now = &all[size as usize..(size + batch) as usize];
        let made = append_to_bundles(size, &partial, now).unwrap();
        let ids: Vec<BundleId> = made.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, bundles_for_append(size, size + batch).collect::<Vec<_>>());
        store.extend(made);
        size += batch;
    }
    for (id, bytes) in append_to_bundles(0, &[], &all[..size as usize]).unwrap() {
        assert_eq!(store[&id], bytes);
    }
    // What is said to be the last bundle must be it.
    assert_eq!(code(&append_to_bundles(3, &[], &all[..1])), "log-tile-mismatch");
    assert_eq!(code(&append_to_bundles(256, &[0, 0], &all[..1])), "log-tile-mismatch");
    assert!(append_to_bundles(3, &encode_bundle(&all[..3]).unwrap(), &all[..0]).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_proof_from_tiles_verifies(size in 1u64..2_000, a in any::<u64>(), b in any::<u64>()) {
        let (all, root) = tiles(size);
        let set = TileSet::verified(size, &root, &all).unwrap();
        let new = 1 + a % size;
        let index = b % new;
        let new_root = set.root_at(new).unwrap();
        let proof = set.inclusion_proof(index, new).unwrap();
        verify_inclusion(index, new, &set.leaf(index).unwrap(), &new_root, &proof).unwrap();
        let proof = set.consistency_proof(index + 1, new).unwrap();
        let old_root = set.root_at(index + 1).unwrap();
        verify_consistency(index + 1, new, &old_root, &new_root, &proof).unwrap();
    }

    #[test]
    fn one_flipped_bit_in_a_tile_is_found(size in 1u64..2_000, which in any::<usize>(), bit in any::<usize>()) {
        let (mut all, root) = tiles(size);
        let id = *all.keys().nth(which % all.len()).unwrap();
        let bytes = all.get_mut(&id).unwrap();
        let length = bytes.len();
        bytes[bit / 8 % length] ^= 1 << (bit % 8);
        let result = TileSet::verified(size, &root, &all);
        prop_assert_eq!(code(&result), "log-tile-mismatch");
        prop_assert!(result.unwrap_err().to_string().contains(&id.path()));
    }

    #[test]
    fn paths_round_trip(level in 0u8..64, index in 0u64..1 << 55, width in 1u16..=256) {
        let suffix = if width == 256 { String::new() } else { format!(".p/{width}") };
        let digits = format!("{index:018}");
        let parts: Vec<&str> = (0..6).map(|at| &digits[at * 3..at * 3 + 3]).collect();
        let first = parts.iter().position(|part| *part != "000").unwrap_or(5);
        let text = format!("tile/{level}/{}{suffix}", parts[first..].join("/x"));
        let text = if first < 5 { text.replacen(&format!("/{level}/"), &format!("/{level}/x"), 1) } else { text };
        // The last element has no `x`.
        let at = text.rfind("/x").filter(|_| first < 5);
        let text = at.map_or(text.clone(), |at| format!("{}/{}", &text[..at], &text[at + 2..]));
        let id: TileId = text.parse().unwrap();
        prop_assert_eq!((id.level(), id.index(), id.width()), (level, index, width));
        prop_assert_eq!(id.path(), text);
    }

    #[test]
    fn any_bundle_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600), width in 1u64..300) {
        let id = BundleId::at(0, width).unwrap();
        if let Ok(entries) = decode_bundle(id, &bytes) {
            prop_assert_eq!(encode_bundle(&entries).unwrap(), bytes);
        }
    }
}
