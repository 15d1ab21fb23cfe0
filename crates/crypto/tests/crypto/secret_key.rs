//! Secret keys: made from a seed, sign what verifies, show nothing.

use countersign_base::{Explain, code};
use countersign_crypto::{Algorithm, KeyError, PublicKey, SecretKey, SignatureError, Signer};

fn signing() -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.into_iter().filter(|algorithm| algorithm.can_sign())
}

#[test]
fn signatures_verify_for_the_same_key_and_message_only() {
    for algorithm in signing() {
        let key = SecretKey::from_seed(algorithm, &[1; 32]).unwrap();
        let other = SecretKey::from_seed(algorithm, &[2; 32]).unwrap();
        let signer: &dyn Signer = &key;
        let signature = signer.sign(b"message").unwrap();
        assert_eq!(signer.public_key().verify(b"message", &signature), Ok(()), "{algorithm}");
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(key.public_key().verify(b"messagf", &signature), invalid, "{algorithm}: message");
        assert_eq!(other.public_key().verify(b"message", &signature), invalid, "{algorithm}: key");
        let mut flipped = signature.clone();
        flipped[signature.len() / 4] ^= 1;
        assert!(key.public_key().verify(b"message", &flipped).is_err(), "{algorithm}: bit");
        let longer = [&signature[..], &[0]].concat();
        assert!(key.public_key().verify(b"message", &longer).is_err(), "{algorithm}: longer");
        assert!(key.public_key().verify(b"message", b"").is_err(), "{algorithm}: empty");
    }
}

#[test]
fn a_seed_always_gives_the_same_key_and_comes_back() {
    for algorithm in signing() {
        let seed = [9; 32];
        let key = SecretKey::from_seed(algorithm, &seed).unwrap();
        let again = SecretKey::from_seed(algorithm, &key.seed()).unwrap();
        assert_eq!(key.public_key(), again.public_key(), "{algorithm}");
        assert_eq!(*key.seed(), seed);
        let signature = again.sign(b"").unwrap();
        assert_eq!(key.public_key().verify(b"", &signature), Ok(()), "{algorithm}");
    }
}

/// RFC 8032 section 7.1, TEST 2, and the base points' first multiples: a stored key must mean the same for ever.
#[test]
fn seeds_mean_what_their_specifications_say() {
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = SecretKey::from_seed(Algorithm::Ed25519, seed.as_slice().try_into().unwrap()).unwrap();
    assert_eq!(
        key.public_key().to_string(),
        "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    );
    assert_eq!(
        hex::encode(key.sign(&[0x72]).unwrap()),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
    let mut one = [0; 32];
    one[31] = 1;
    let key = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &one).unwrap();
    assert_eq!(
        key.public_key().to_string(),
        "ecdsa-p256:046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    );
}

#[test]
fn seeds_that_give_no_ecdsa_key_are_refused() {
    let algorithm = Algorithm::EcdsaP256Sha256;
    for seed in [[0; 32], [0xff; 32]] {
        let error = SecretKey::from_seed(algorithm, &seed).unwrap_err();
        assert_eq!(error, KeyError::Seed(algorithm));
        assert_eq!(error.code(), code::KEY_MALFORMED);
    }
}

#[test]
fn the_secret_is_never_shown() {
    for algorithm in signing() {
        let seed = [0xab; 32];
        let key = SecretKey::from_seed(algorithm, &seed).unwrap();
        let shown = format!("{key:?} {key:#?}").to_lowercase();
        assert!(shown.contains(&key.public_key().to_string()));
        assert!(!shown.contains("abababab") && !shown.contains("171, 171"), "{algorithm}");
    }
}

#[test]
fn v21_ecdsa_zeroes_are_refused() {
    let key = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[1; 32]).unwrap();
    let public: &PublicKey = key.public_key();
    let der = key.sign(b"message").unwrap();
    let fixed = fixed_form(&der);
    assert_eq!(public.verify_fixed(b"message", &fixed), Ok(()));
    let (mut zero_r, mut zero_s) = (fixed, fixed);
    zero_r[..32].fill(0);
    zero_s[32..].fill(0);
    for bad in [zero_r, zero_s, [0; 64]] {
        assert_eq!(public.verify_fixed(b"message", &bad), Err(SignatureError::Invalid));
    }
    assert_eq!(public.verify(b"message", &[0x30, 6, 2, 1, 0, 2, 1, 0]), Err(SignatureError::Invalid));
    assert_eq!(public.verify(b"message", &fixed), Err(SignatureError::Invalid), "fixed form for DER");
    assert_eq!(public.verify_fixed(b"message", &der), Err(SignatureError::Invalid), "DER for fixed form");
}

/// `(r, n - s)` verifies wherever `(r, s)` does: FIPS 186-5 asks for no low s. It is a signature by the same key,
/// so it adds nothing to a count of signers; signatures must not be told apart by their bytes.
#[test]
fn v21_the_high_s_twin_is_by_the_same_key() {
    let key = SecretKey::from_seed(Algorithm::EcdsaP256Sha256, &[1; 32]).unwrap();
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut twin = fixed_form(&key.sign(b"message").unwrap());
    let mut borrow = 0;
    for (byte, from) in twin[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(from) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference as u8;
    }
    assert_eq!(borrow, 0);
    assert_eq!(key.public_key().verify_fixed(b"message", &twin), Ok(()));
    assert_eq!(key.public_key().verify_fixed(b"messagf", &twin), Err(SignatureError::Invalid));
}

/// `r || s` of a DER signature with two positive integers.
fn fixed_form(der: &[u8]) -> [u8; 64] {
    let mut fixed = [0; 64];
    let mut rest = &der[2..];
    for half in fixed.chunks_exact_mut(32) {
        let len = usize::from(rest[1]);
        let number = &rest[2..2 + len];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        half[32 - number.len()..].copy_from_slice(number);
        rest = &rest[2 + len..];
    }
    fixed
}
