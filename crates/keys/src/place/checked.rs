//! The check that stands between every signer outside this process and whoever uses its signatures.

use countersign_crypto::{PublicKey, Signer, SignerError};

use super::error::PlaceError;

/// Something outside this process that signs, not believed yet.
pub(super) trait Unchecked: Send + Sync {
    /// A signature on `message` in the form that [`PublicKey::verify`] reads, if all is well.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PlaceError>;

    /// The place, for messages.
    fn place(&self) -> String;
}

/// A signer whose signatures were each verified by its public key before anybody saw them.
pub(super) struct Checked<S> {
    public: PublicKey,
    signer: S,
}

impl<S: Unchecked> Checked<S> {
    /// Wraps `signer`, whose key `public` is said to be.
    pub(super) const fn new(public: PublicKey, signer: S) -> Self {
        Self { public, signer }
    }
}

impl<S: Unchecked> Signer for Checked<S> {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self.signer.sign(message).map_err(|error| SignerError::external(&error))?;
        if self.public.verify(message, &signature).is_err() {
            return Err(SignerError::external(&PlaceError::BadSignature { place: self.signer.place() }));
        }
        Ok(signature)
    }
}

/// Refuses a key that is not the expected one.
pub(super) fn check_expected(
    place: &str,
    found: &PublicKey,
    expected: Option<&PublicKey>,
) -> Result<(), PlaceError> {
    match expected {
        Some(expected) if expected != found => Err(PlaceError::KeyMismatch {
            place: place.to_owned(),
            expected: expected.clone(),
            found: found.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use countersign_base::{Explain as _, code};
    use countersign_crypto::{Algorithm, SecretKey};

    use super::*;

    struct Held(SecretKey);

    impl Unchecked for Held {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PlaceError> {
            self.0.sign(message).map_err(|source| PlaceError::Public { place: self.place(), source })
        }

        fn place(&self) -> String {
            "test".to_owned()
        }
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(Algorithm::Ed25519, &[seed; 32]).unwrap()
    }

    #[test]
    fn only_a_signature_by_the_key_comes_out() {
        let good = Checked::new(key(1).public_key().clone(), Held(key(1)));
        let signature = Signer::sign(&good, b"message").unwrap();
        good.public_key().verify(b"message", &signature).unwrap();

        let lying = Checked::new(key(1).public_key().clone(), Held(key(2)));
        assert_eq!(Signer::sign(&lying, b"message").unwrap_err().code(), code::SIGNER_KEY_MISMATCH);
    }
}
