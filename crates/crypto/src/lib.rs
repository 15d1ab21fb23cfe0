//! Keys, signatures and digests behind one provider (aws-lc-rs).
//!
//! Pure: no file, no socket, no clock. Secret keys are made from a seed that the caller drew; the only randomness
//! is the one that ECDSA and ML-DSA signing need inside the provider.
//!
//! - [`PublicKey`]: one value a key, whatever encoding it was read from, so that equal keys compare equal.
//! - [`SecretKey`] and [`Signer`]: who can sign; a secret never shows in `Debug`.
//! - [`sha256`], [`sha512`] and their streaming forms.
//!
//! Too weak to be named here: MD5, SHA-1, DSA, RSA under 2048 bits. They are refused by name.
#![forbid(unsafe_code)]

mod algorithm;
mod digest;
mod ed25519;
mod error;
mod prehashed;
mod public;
mod rsa;
mod secret;
mod signer;
mod spki;

pub use algorithm::Algorithm;
pub use digest::{Sha256, Sha512, ecdsa_prehash, sha256, sha512};
pub use error::{KeyError, SignatureError};
pub use prehashed::{Prehash, PrehashKey};
pub use public::{MAX_PUBLIC_KEY_TEXT_BYTES, PublicKey};
pub use rsa::{MAX_RSA_BITS, MIN_RSA_BITS};
pub use secret::{SEED_BYTES, SecretKey};
pub use signer::{Signer, SignerError};
