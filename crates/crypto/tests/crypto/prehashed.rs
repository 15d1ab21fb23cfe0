//! Signatures over a digest that somebody else made. P-521 and RSA are in the tests of `attest`.

use countersign_crypto::{Algorithm, Prehash, PrehashKey, SecretKey, ecdsa_prehash};

const PAIRS: [(Algorithm, Prehash); 2] = [
    (Algorithm::EcdsaP256Sha256, Prehash::EcdsaP256Sha256),
    (Algorithm::EcdsaP384Sha384, Prehash::EcdsaP384Sha384),
];

#[test]
fn what_a_key_signed_verifies_over_the_digest_and_over_no_other() {
    for (algorithm, scheme) in PAIRS {
        let secret = SecretKey::from_seed(algorithm, &[7; 32]).unwrap();
        let signature = secret.sign(b"message").unwrap();
        let key = PrehashKey::from_spki_der(scheme, &secret.public_key().to_spki_der()).unwrap();
        let digest = ecdsa_prehash(algorithm, b"message").unwrap();
        assert_eq!(digest.len(), scheme.digest_len());
        key.verify(&digest, &signature).unwrap();
        let other = ecdsa_prehash(algorithm, b"massage").unwrap();
        assert!(key.verify(&other, &signature).is_err());
        assert!(key.verify(&digest[1..], &signature).is_err(), "a digest of another length");
        assert!(key.verify(&digest, &signature[..signature.len() - 1]).is_err());
    }
}

#[test]
fn a_key_of_another_kind_is_not_taken_for_one_of_the_scheme() {
    for (algorithm, _) in PAIRS {
        let spki = SecretKey::from_seed(algorithm, &[7; 32]).unwrap().public_key().to_spki_der();
        for scheme in [
            Prehash::EcdsaP256Sha256,
            Prehash::EcdsaP384Sha384,
            Prehash::EcdsaP521Sha512,
            Prehash::RsaPkcs1Sha256,
        ] {
            let own = PAIRS.contains(&(algorithm, scheme));
            assert_eq!(PrehashKey::from_spki_der(scheme, &spki).is_ok(), own, "{algorithm} as {scheme:?}");
        }
    }
}
