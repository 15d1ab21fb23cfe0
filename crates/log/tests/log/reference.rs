//! A Merkle tree as RFC 6962 section 2.1 defines it, word for word, and the tiles that follow from it.

use std::collections::BTreeMap;

use countersign_base::Sha256Digest;
use countersign_crypto::sha256;

/// MTH(D[n]).
pub(crate) fn mth(entries: &[Vec<u8>]) -> Sha256Digest {
    match entries {
        [] => sha256(b""),
        [entry] => sha256(&[&[0], entry.as_slice()].concat()),
        _ => {
            let split = entries.len().next_power_of_two() / 2;
            let (left, right) = (mth(&entries[..split]), mth(&entries[split..]));
            sha256(&[&[1], left.as_bytes().as_slice(), right.as_bytes()].concat())
        }
    }
}

/// Every tile and bundle of the tree of exactly these entries, by path (tlog-tiles).
pub(crate) fn files(entries: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (index, bundle) in entries.chunks(256).enumerate() {
        let bytes =
            bundle.iter().flat_map(|e| [&(e.len() as u16).to_be_bytes(), e.as_slice()].concat()).collect();
        files.insert(path("entries", index, bundle.len()), bytes);
    }
    let (mut level, mut span) = (0, 1);
    while entries.len() / span > 0 {
        let hashes: Vec<Sha256Digest> = entries.chunks_exact(span).map(mth).collect();
        for (index, tile) in hashes.chunks(256).enumerate() {
            let bytes = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
            files.insert(path(&level.to_string(), index, tile.len()), bytes);
        }
        (level, span) = (level + 1, span * 256);
    }
    files
}

fn path(level: &str, index: usize, width: usize) -> String {
    assert!(index < 1_000_000, "two path elements are enough for a test");
    let index = match index {
        0..1000 => format!("{index:03}"),
        _ => format!("x{:03}/{:03}", index / 1000, index % 1000),
    };
    if width == 256 { format!("tile/{level}/{index}") } else { format!("tile/{level}/{index}.p/{width}") }
}
