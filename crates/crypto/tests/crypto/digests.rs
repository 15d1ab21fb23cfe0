//! SHA-2 known answers (FIPS 180-4 examples) and the streaming forms.

use countersign_crypto::{Sha256, Sha512, sha256, sha512};

#[test]
fn known_answers() {
    assert_eq!(
        sha256(b"abc").to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        sha512(b"abc").to_string(),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    );
    assert_eq!(Sha256::default().finish(), sha256(b""));
    assert_eq!(Sha512::default().finish(), sha512(b""));
}

#[test]
fn pieces_hash_as_the_whole() {
    let data: Vec<u8> = (0..1000u32).map(|number| number as u8).collect();
    for split in [0, 1, 63, 64, 65, 127, 128, 129, 999, 1000] {
        let (head, tail) = data.split_at(split);
        let mut hasher = Sha256::new();
        hasher.update(head);
        let copy = hasher.clone();
        hasher.update(tail);
        assert_eq!(hasher.finish(), sha256(&data), "split at {split}");
        assert_eq!(copy.finish(), sha256(head), "a copy goes its own way");
        let mut hasher = Sha512::new();
        hasher.update(head);
        hasher.update(tail);
        assert_eq!(hasher.finish(), sha512(&data), "split at {split}");
    }
}
