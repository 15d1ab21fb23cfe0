//! tlog-proof files: shape, limits, round trips.

use countersign_tlog::TlogProof;
use countersign_tlog::merkle::{Hash, MAX_PROOF_HASHES};
use countersign_tlog::proof::{MAX_EXTRA_BYTES, MAX_PROOF_BYTES};
use countersign_tlog::tile::TileSet;
use proptest::prelude::*;

use crate::support::{code, entries, now, policy, signed, strings, text, tiles, vectors};

#[test]
fn proof_vectors() {
    use base64::Engine as _;
    let base64 = |hash: &Hash| base64::engine::general_purpose::STANDARD.encode(hash.as_bytes());
    for (_, cases) in vectors("tlog/proof", "proofs.json") {
        for case in cases.as_array().unwrap() {
            let (id, input) = (text(case, "id"), text(case, "proof"));
            let parsed = TlogProof::parse(input.as_bytes());
            assert_eq!(parsed.is_ok(), text(case, "expect") != "reject", "{id}: {parsed:?}");
            let Ok(proof) = parsed else { continue };
            assert_eq!(proof.encode(), input.as_bytes(), "{id}");
            // The example of the specification has its signatures elided: its layout alone can be read.
            if text(case, "expect") == "layout" {
                let result = policy(&["w1"], 1).check_checkpoint(&proof.checkpoint, now());
                assert_eq!(code(&result), "log-proof-malformed");
                continue;
            }
            assert_eq!(Some(proof.index), case["index"].as_u64(), "{id}");
            assert_eq!(proof.hashes.iter().map(base64).collect::<Vec<_>>(), strings(&case["hashes"]), "{id}");
            assert_eq!(proof.checkpoint, text(case, "checkpoint").as_bytes(), "{id}");
            assert_eq!(proof.extra.as_deref(), case["extra"].as_str().map(str::as_bytes), "{id}");
        }
    }
}

/// The proof of entry `index` in a log of `size` entries, cosigned by two witnesses.
fn proof(index: u64, size: u64) -> TlogProof {
    let (all, root) = tiles(size);
    let hashes = TileSet::verified(size, &root, &all).unwrap().inclusion_proof(index, size).unwrap();
    let checkpoint = signed(size, root, &["w1", "w2"]).encode();
    TlogProof { extra: Some(entries(size)[index as usize].clone()), index, hashes, checkpoint }
}

fn check(proof: &TlogProof, entry: &[u8]) -> &'static str {
    let parsed = match TlogProof::parse(&proof.encode()) {
        Ok(parsed) => parsed,
        error => return code(&error),
    };
    code(&parsed.check(&policy(&["w1", "w2", "w3"], 2), entry, now()))
}

#[test]
fn a_proof_shows_one_entry_at_one_place_in_one_tree() {
    // Attacks L08 and L10.
    let good = proof(3, 11);
    let entry = entries(11)[3].clone();
    assert_eq!(check(&good, &entry), "ok");
    assert_eq!(check(&good, b"entry 4"), "log-inclusion-invalid");
    assert_eq!(check(&TlogProof { index: 2, ..good.clone() }, &entry), "log-inclusion-invalid");
    assert_eq!(
        check(&TlogProof { hashes: proof(4, 11).hashes, ..good.clone() }, &entry),
        "log-inclusion-invalid"
    );
    let larger = proof(3, 12).checkpoint;
    assert_eq!(check(&TlogProof { checkpoint: larger, ..good.clone() }, &entry), "log-inclusion-invalid");
    // The entry is not in the older tree, whatever place in it is claimed.
    assert_eq!(check(&proof(1, 3), &entry), "log-inclusion-invalid");
}

#[test]
fn a_shape_that_cannot_be_is_malformed() {
    // Attack L09: index, number of hashes and tree size contradict each other.
    let good = proof(3, 11);
    let entry = entries(11)[3].clone();
    let mut few = good.clone();
    few.hashes.pop();
    let mut many = good.clone();
    many.hashes.push(good.hashes[0]);
    let outside = TlogProof { index: 11, ..good.clone() };
    let empty = TlogProof {
        checkpoint: signed(0, countersign_tlog::merkle::EMPTY_ROOT, &["w1", "w2"]).encode(),
        ..good.clone()
    };
    for bad in [few, many, outside, empty] {
        assert_eq!(check(&bad, &entry), "log-proof-malformed");
    }
    let most = TlogProof { hashes: vec![good.hashes[0]; MAX_PROOF_HASHES + 1], ..good };
    assert_eq!(check(&most, &entry), "limit-exceeded");
}

#[test]
fn only_canonical_files_parse() {
    let good = String::from_utf8(proof(3, 11).encode()).unwrap();
    let hash = good.lines().nth(3).unwrap().to_owned();
    let parse = |text: &str| code(&TlogProof::parse(text.as_bytes()));
    assert_eq!(parse(&good), "ok");
    for (from, to) in [
        ("index 3", "index 03"),
        ("index 3", "index +3"),
        ("index 3", "index -3"),
        ("index 3", "index 9223372036854775808"),
        ("index 3", "index 18446744073709551616"),
        ("index 3", "index  3"),
        ("index 3", "index 3 "),
        ("index 3\n", ""),
        ("tlog-proof@v1", "tlog-proof@v2"),
        ("c2sp.org", " c2sp.org"),
        ("extra ", "extra  "),
        ("extra ", "Extra "),
        (hash.as_str(), &hash[..43]),
        (hash.as_str(), &format!("{}AA=", &hash[..40])),
        (hash.as_str(), &hash[4..]),
        (hash.as_str(), &format!("{hash} ")),
    ] {
        assert_eq!(parse(&good.replacen(from, to, 1)), "log-proof-malformed", "{from:?} to {to:?}");
    }
    for bad in [
        good.replace('\n', "\r\n"),
        good.replace("\n\n", "\n"),
        good.split("\n\n").next().unwrap().to_owned() + "\n\n",
        good.replacen("extra ", "extra \nextra ", 1),
        String::new(),
    ] {
        assert_eq!(parse(&bad), "log-proof-malformed", "{bad:.60}");
    }
    // A last newline that is missing is the checkpoint's.
    let cut = TlogProof::parse(&good.as_bytes()[..good.len() - 1]).unwrap();
    let result = policy(&["w1", "w2"], 2).check_checkpoint(&cut.checkpoint, now());
    assert_eq!(code(&result), "log-proof-malformed");
}

#[test]
fn what_is_too_long_is_not_read() {
    let good = proof(3, 11);
    let longest = TlogProof { extra: Some(vec![7; MAX_EXTRA_BYTES]), ..good.clone() };
    assert_eq!(code(&TlogProof::parse(&longest.encode())), "ok");
    for length in [MAX_EXTRA_BYTES + 1, 1 << 20] {
        let bad = TlogProof { extra: Some(vec![7; length]), ..good.clone() };
        assert_eq!(code(&TlogProof::parse(&bad.encode())), "limit-exceeded", "{length}");
    }
    assert_eq!(code(&TlogProof::parse(&vec![b'\n'; MAX_PROOF_BYTES + 1])), "limit-exceeded");
    let lines = TlogProof { checkpoint: b"\xe2\x80\x94 a AAAAAAA=\n".repeat(100_000), ..good.clone() };
    assert_eq!(code(&TlogProof::parse(&lines.encode())), "limit-exceeded");
    let mut note = b"log\n\n".to_vec();
    note.extend("\u{2014} a AAAAAAA=\n".repeat(1_000).bytes());
    let lines = TlogProof { checkpoint: note, ..good };
    assert_eq!(check(&lines, b""), "limit-exceeded");
}

proptest! {
    #[test]
    fn proofs_round_trip(
        extra in prop::option::of(prop::collection::vec(any::<u8>(), 1..200)), index in 0u64..1 << 63,
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=MAX_PROOF_HASHES),
        checkpoint in prop::collection::vec(any::<u8>(), 1..100)
    ) {
        let hashes = hashes.into_iter().map(countersign_base::Sha256Digest).collect();
        let proof = TlogProof { extra, index, hashes, checkpoint };
        prop_assert_eq!(TlogProof::parse(&proof.encode()), Ok(proof));
    }

    #[test]
    fn one_flipped_bit_is_refused_or_means_the_same(bit in any::<usize>()) {
        let good = proof(3, 11);
        let mut bytes = good.encode();
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        let policy = policy(&["w1", "w2"], 2);
        let entry = &entries(11)[3];
        if let Ok(other) = TlogProof::parse(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            // The extra line alone is authenticated by nothing.
            if let Ok(verified) = other.check(&policy, entry, now()) {
                prop_assert!(other.extra != good.extra);
                prop_assert_eq!(verified.checkpoint().size(), 11);
            }
        }
    }
}
