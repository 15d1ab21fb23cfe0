//! Secret keys, each made from a 32-byte seed.

use core::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as provider, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::error::KeyError;
use crate::public::PublicKey;

/// Bytes of the seed of a secret key of any scheme.
pub const SEED_BYTES: usize = 32;

/// Separates the derivation of a P-384 scalar from every other use of a seed.
const P384_LABEL: &[u8] = b"countersign ecdsa-p384 scalar v1\0";

/// A secret key in memory. Not `Clone`; `Debug` shows the public key; the seed is wiped when it is dropped.
pub struct SecretKey {
    public: PublicKey,
    pair: Pair,
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    MlDsa(PqdsaKeyPair),
}

impl SecretKey {
    /// The key of this seed, which must be 32 bytes from a secure random source.
    ///
    /// The seed is RFC 8032's private key for Ed25519, FIPS 204's xi for ML-DSA, the scalar itself for P-256, and
    /// for P-384 (whose scalars are longer) the scalar is SHA-384 of a label and the seed.
    ///
    /// # Errors
    /// `key-malformed` if the seed gives no key (P-256: one in 2^32); draw another. `usage` for RSA.
    pub fn from_seed(algorithm: Algorithm, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let error = KeyError::Seed(algorithm);
        let (pair, raw) = match algorithm {
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| error)?;
                let raw = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), raw)
            }
            Algorithm::EcdsaP256Sha256 => {
                ecdsa(&provider::ECDSA_P256_SHA256_ASN1_SIGNING, seed).ok_or(error)?
            }
            Algorithm::EcdsaP384Sha384 => {
                let mut context = digest::Context::new(&digest::SHA384);
                context.update(P384_LABEL);
                context.update(seed);
                let mut scalar = Zeroizing::new([0u8; 48]);
                scalar.copy_from_slice(context.finish().as_ref());
                ecdsa(&provider::ECDSA_P384_SHA384_ASN1_SIGNING, scalar.as_ref()).ok_or(error)?
            }
            Algorithm::MlDsa44 => ml_dsa(&provider::ML_DSA_44_SIGNING, seed).ok_or(error)?,
            Algorithm::MlDsa65 => ml_dsa(&provider::ML_DSA_65_SIGNING, seed).ok_or(error)?,
            Algorithm::RsaPssSha256 => return Err(KeyError::VerifyOnly(algorithm)),
        };
        Ok(Self { public: PublicKey::from_raw(algorithm, &raw)?, pair, seed: Zeroizing::new(*seed) })
    }

    /// Its public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The seed, for storing the key. Handle with care.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_BYTES]> {
        self.seed.clone()
    }

    /// Signs `message` and verifies the signature before it is given out, so that a fault in computing it cannot
    /// leak the key or be published.
    ///
    /// Ed25519 is deterministic; ECDSA and ML-DSA signatures differ each time.
    ///
    /// # Errors
    /// `internal-error` if the provider fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let error = KeyError::Signing(self.public.algorithm());
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
            }
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature).map(|_| signature)
            }
        };
        let signature = signature.map_err(|_| error.clone())?;
        self.public.verify(message, &signature).map_err(|_| error)?;
        Ok(signature)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public)
    }
}

/// An ECDSA pair of a big-endian scalar, as wide as the curve's order.
///
/// It goes in as an RFC 5915 `ECPrivateKey` without curve and point: the provider computes the point.
fn ecdsa(algorithm: &'static provider::EcdsaSigningAlgorithm, scalar: &[u8]) -> Option<(Pair, Vec<u8>)> {
    let width = u8::try_from(scalar.len()).ok()?;
    let mut der = Zeroizing::new(vec![0x30, width + 5, 0x02, 0x01, 0x01, 0x04, width]);
    // One allocation that is wiped: growing would leave a copy of the scalar behind.
    der.reserve_exact(scalar.len());
    der.extend_from_slice(scalar);
    let pair = EcdsaKeyPair::from_private_key_der(algorithm, &der).ok()?;
    let raw = pair.public_key().as_ref().to_vec();
    Some((Pair::Ecdsa(pair), raw))
}

fn ml_dsa(algorithm: &'static provider::PqdsaSigningAlgorithm, seed: &[u8]) -> Option<(Pair, Vec<u8>)> {
    let pair = PqdsaKeyPair::from_seed(algorithm, seed).ok()?;
    let raw = pair.public_key().as_ref().to_vec();
    Some((Pair::MlDsa(pair), raw))
}
