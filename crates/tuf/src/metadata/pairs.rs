//! Holders of two keys, a classical one and an ML-DSA one, who count once and only if both signed (ADR 0009).
//!
//! A file that lists keys may carry `x-countersign.pairs`: the second key of a holder, by the id of the first. The
//! role's `keyids` and thresholds list first keys only, so other clients see an ordinary role and ignore the further
//! signatures, as specification 5.3.4 has them ignore ids that they do not know. A second key signs under the SHA-256
//! of its key object, and as TAP 21 says: ML-DSA in its pure form with an empty context.

use std::collections::BTreeMap;

use countersign_base::Json;
use countersign_base::canonical::olpc;
use countersign_crypto::{Algorithm, PublicKey, sha256};

use super::key::{Key, KeyTable};
use crate::error::{TufError, check_count};
use crate::limits::MAX_PAIRS;

/// The member that is Countersign's, of a `signed` object and of a target's `custom`.
pub const EXTENSION: &str = "x-countersign";
/// The member of it that names second keys.
pub(crate) const PAIRS: &str = "pairs";

/// The second key of a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    keyid: String,
    key: PublicKey,
}

impl Pair {
    /// The id that its signatures carry: SHA-256 of the key object as listed, in hex.
    pub fn keyid(&self) -> &str {
        &self.keyid
    }

    /// The key, ML-DSA-44 or ML-DSA-65.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Gives the keys of `table` the second keys that `signed` names for them.
///
/// Nothing here is skipped: a pair that cannot be checked would leave its holder with the classical key alone.
///
/// # Errors
/// `tuf-malformed`, `limit-exceeded`; `tuf-key-invalid` for a first key that is not listed, or for a half of the wrong
/// kind; `tuf-key-duplicate` for a second key that stands elsewhere in the file too;
/// `signature-algorithm-downgrade` for a second key that this build cannot check (attack V22 e).
pub(super) fn attach(signed: &Json, table: &mut KeyTable) -> Result<(), TufError> {
    let Some(pairs) = signed.get(EXTENSION).and_then(|extension| extension.get(PAIRS)) else {
        return Ok(());
    };
    let malformed = TufError::Malformed {
        at: format!("signed.{EXTENSION}.{PAIRS}"),
        reason: "is not an object of keys by key id",
    };
    let pairs = pairs.as_object().ok_or(malformed)?;
    check_count("the number of key pairs", pairs.len(), MAX_PAIRS)?;
    let mut holders: BTreeMap<PublicKey, &str> = BTreeMap::new();
    for (keyid, key) in table.iter() {
        if let Some(material) = key.material() {
            holders.insert(material.clone(), keyid);
        }
    }
    let mut found = Vec::with_capacity(pairs.len());
    for (keyid, json) in pairs {
        check_first(keyid, table)?;
        let pair = read_second(keyid, json)?;
        let other = table.get_key_value(&pair.keyid).map(|(id, _)| id.as_str());
        let other = other.or_else(|| holders.insert(pair.key.clone(), keyid));
        if let Some(other) = other {
            return Err(TufError::PairShared { first: other.to_owned(), second: keyid.clone() });
        }
        found.push((keyid, pair));
    }
    for (keyid, pair) in found {
        if let Some(key) = table.get_mut(keyid) {
            key.set_pair(pair);
        }
    }
    Ok(())
}

/// Refuses a pair whose first key is not a classical one of this file.
fn check_first(keyid: &str, table: &KeyTable) -> Result<(), TufError> {
    let algorithm = table.get(keyid).and_then(Key::usable).map(PublicKey::algorithm);
    match algorithm {
        Some(Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha384) => Ok(()),
        _ => Err(TufError::KeyForm {
            keyid: keyid.chars().take(80).collect(),
            reason: "has a second key but is not an Ed25519 or ECDSA key of this file",
        }),
    }
}

fn read_second(keyid: &str, json: &Json) -> Result<Pair, TufError> {
    let second = Key::read(keyid, json)?;
    let Some(key) = second.usable() else {
        let scheme = json.get("scheme").and_then(Json::as_str).unwrap_or_default();
        return Err(TufError::PairUnsupported {
            keyid: keyid.to_owned(),
            scheme: scheme.chars().take(40).collect(),
        });
    };
    if !matches!(key.algorithm(), Algorithm::MlDsa44 | Algorithm::MlDsa65) {
        let reason = "has a second key that is not an ML-DSA key";
        return Err(TufError::KeyForm { keyid: keyid.to_owned(), reason });
    }
    Ok(Pair { keyid: sha256(&olpc(json)).to_string(), key: key.clone() })
}
