//! The content of a `.key` file: the seed, and what the key is for, as JSON.

use std::path::Path;

use countersign_crypto::{SEED_BYTES, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::files::MAX_KEY_FILE_BYTES;
use crate::info::{Document, DocumentError, KeyInfo};

const API_VERSION: &str = "0.0.1";
const KIND: &str = "secretkey";
const SEED_CHARS: usize = SEED_BYTES * 2;

/// Everything borrowed: the seed is copied nowhere but into the key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecretDocument<'a> {
    api_version: &'a str,
    kind: &'a str,
    info: Document,
    seed: &'a str,
}

/// The file's content, before it is sealed.
pub(crate) fn encode(info: &KeyInfo, key: &SecretKey, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let malformed = |reason| KeysError::Malformed { path: path.to_owned(), reason };
    let mut digits = Zeroizing::new([0u8; SEED_CHARS]);
    hex::encode_to_slice(*key.seed(), digits.as_mut()).map_err(|_| malformed("its seed has no hex form"))?;
    let seed = core::str::from_utf8(digits.as_ref()).map_err(|_| malformed("its seed has no hex form"))?;
    let document = SecretDocument { api_version: API_VERSION, kind: KIND, info: info.to_document(), seed };
    // All of its room at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_BYTES));
    serde_json::to_writer_pretty(&mut *bytes, &document).map_err(|_| malformed("it has no JSON form"))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The key in a file's content, checked against its own description.
///
/// # Errors
/// `key-malformed`, always with a fixed reason: what a parser says may quote the secret.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<(KeyInfo, SecretKey), KeysError> {
    let malformed = |reason| KeysError::Malformed { path: path.to_owned(), reason };
    let document: SecretDocument<'_> = serde_json::from_slice(bytes)
        .map_err(|_| malformed("it is neither age-encrypted nor a secret key"))?;
    if document.api_version != API_VERSION || document.kind != KIND {
        return Err(malformed("it is of another kind or version"));
    }
    let info = KeyInfo::try_from(document.info).map_err(|error| match error {
        DocumentError::Shape(reason) => malformed(reason),
        DocumentError::Key(_) => malformed("its public half is not valid"),
    })?;
    let mut seed = Zeroizing::new([0u8; SEED_BYTES]);
    hex::decode_to_slice(document.seed, seed.as_mut())
        .map_err(|_| malformed("its seed is not 32 bytes of hex"))?;
    let key = SecretKey::from_seed(info.public.algorithm(), &seed)
        .map_err(|_| malformed("its seed does not give a key of its scheme"))?;
    if *key.public_key() != info.public {
        return Err(malformed("its public half belongs to another secret"));
    }
    Ok((info, key))
}
