//! SHA-256 and SHA-512, FIPS 180-4: of a slice, or of a stream.

use aws_lc_rs::digest;
use countersign_base::{Sha256Digest, Sha512Digest};

use crate::algorithm::Algorithm;

macro_rules! hasher {
    ($(#[$doc:meta])* $hasher:ident, $(#[$function_doc:meta])* $function:ident, $output:ident, $algorithm:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $hasher(digest::Context);

        impl $hasher {
            /// Starts with no bytes.
            pub fn new() -> Self {
                Self(digest::Context::new(&digest::$algorithm))
            }

            /// Goes on with `data`.
            pub fn update(&mut self, data: &[u8]) {
                self.0.update(data);
            }

            /// The digest of all bytes so far.
            pub fn finish(self) -> $output {
                fixed(&self.0.finish(), $output)
            }
        }

        impl Default for $hasher {
            fn default() -> Self {
                Self::new()
            }
        }

        impl core::fmt::Debug for $hasher {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($hasher))
            }
        }

        $(#[$function_doc])*
        pub fn $function(data: &[u8]) -> $output {
            fixed(&digest::digest(&digest::$algorithm, data), $output)
        }
    };
}

hasher!(
    /// SHA-256 of bytes that come in pieces.
    Sha256,
    /// SHA-256 of `data`.
    sha256,
    Sha256Digest,
    SHA256
);
hasher!(
    /// SHA-512 of bytes that come in pieces.
    Sha512,
    /// SHA-512 of `data`.
    sha512,
    Sha512Digest,
    SHA512
);

/// The digest that an ECDSA signature of this scheme is made on, for tokens that are given the digest only; `None` for
/// schemes that sign the message itself.
pub fn ecdsa_prehash(algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
    let hash = match algorithm {
        Algorithm::EcdsaP256Sha256 => &digest::SHA256,
        Algorithm::EcdsaP384Sha384 => &digest::SHA384,
        _ => return None,
    };
    Some(digest::digest(hash, message).as_ref().to_vec())
}

/// The provider's digest as an array; both lengths are constants of FIPS 180-4.
fn fixed<const N: usize, T>(digest: &digest::Digest, wrap: fn([u8; N]) -> T) -> T {
    let mut bytes = [0; N];
    bytes.copy_from_slice(digest.as_ref());
    wrap(bytes)
}
