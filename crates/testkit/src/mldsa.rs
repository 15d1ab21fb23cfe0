//! ML-DSA signatures in all forms of FIPS 204, made by a second implementation: the product knows but one form.

use countersign_crypto::{Algorithm, SecretKey, sha512};
use fips204::pre_hash;
use fips204::traits::{KeyGen as _, Signer as _};
use fips204::{ml_dsa_44, ml_dsa_65};

/// A form of signing, FIPS 204 section 5, with its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// ML-DSA, over the message.
    Pure(&'a [u8]),
    /// HashML-DSA, over the message's SHA-512.
    Prehash(&'a [u8]),
}

/// The deterministic signature of `key`, which must be ML-DSA, in this form.
///
/// # Panics
/// For a key of another kind, or a context of more than 255 bytes.
pub fn sign(key: &SecretKey, message: &[u8], form: Form<'_>) -> Vec<u8> {
    macro_rules! sign_with {
        ($module:ident) => {{
            let (_, secret) = $module::KG::keygen_from_seed(&key.seed());
            let signature = match form {
                Form::Pure(context) => secret.try_sign_with_seed(&[0; 32], message, context),
                Form::Prehash(context) => secret.try_hash_sign_with_seed(
                    &[0; 32],
                    sha512(message).as_bytes(),
                    context,
                    &pre_hash::SHA2_512,
                ),
            };
            signature.expect("an ML-DSA key signs").to_vec()
        }};
    }
    match key.public_key().algorithm() {
        Algorithm::MlDsa44 => sign_with!(ml_dsa_44),
        Algorithm::MlDsa65 => sign_with!(ml_dsa_65),
        other => panic!("not an ML-DSA key: {other}"),
    }
}
