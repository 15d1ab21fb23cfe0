//! Counting signatures towards a threshold, and saying why they do not suffice.

use std::collections::{BTreeMap, BTreeSet};

use countersign_crypto::PublicKey;

use crate::error::TufError;
use crate::metadata::{Envelope, Key, KeyTable, Role, RoleKeys, Signature, payload};

/// Who signed a file, of those who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    /// How many must sign.
    pub threshold: u32,
    /// Ids of the keys that signed, in the role's order.
    pub signed: Vec<String>,
    /// Ids of the role's keys that did not.
    pub unsigned: Vec<String>,
}

impl Signers {
    /// How many signatures are still missing; 0 once the threshold is met.
    pub fn missing(&self) -> usize {
        (self.threshold as usize).saturating_sub(self.signed.len())
    }
}

/// A role's keys as its delegator lists them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delegator<'a> {
    pub(crate) table: &'a KeyTable,
    pub(crate) keys: &'a RoleKeys,
}

/// What is signed and by whom it claims to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) signatures: &'a [Signature],
    pub(crate) message: &'a [u8],
}

impl Signed<'_> {
    /// The signature under `keyid` verifies with `key`.
    fn is_by(&self, keyid: &str, key: &PublicKey) -> bool {
        let signature = self.signatures.iter().find(|signature| signature.keyid == keyid);
        signature.is_some_and(|signature| key.verify(&payload(key, self.message), &signature.bytes).is_ok())
    }
}

impl Delegator<'_> {
    /// Counts distinct public keys of the role with a good signature. A bad signature counts nothing and spoils
    /// nothing; unknown ids are ignored.
    ///
    /// # Errors
    /// [`TufError::DuplicateSignature`].
    pub(crate) fn count(&self, role: &str, signed: Signed<'_>) -> Result<Signers, TufError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = signed.signatures.iter().find(|signature| !seen.insert(&signature.keyid)) {
            return Err(TufError::DuplicateSignature { role: role.to_owned(), keyid: twice.keyid.clone() });
        }
        let mut counted = BTreeSet::new();
        let mut out = Signers { threshold: self.keys.threshold, signed: Vec::new(), unsigned: Vec::new() };
        for keyid in &self.keys.keyids {
            let Some(key) = self.table.get(keyid) else {
                continue;
            };
            let good = key.usable().is_some_and(|key| signed.is_by(keyid, key) && counted.insert(key));
            if good { out.signed.push(keyid.clone()) } else { out.unsigned.push(keyid.clone()) }
        }
        Ok(out)
    }
}

/// A key that an earlier file listed for a role. Whether it is listed now is seen when it matters.
#[derive(Debug, Clone)]
pub(crate) struct Retired {
    pub(crate) role: String,
    pub(crate) keyid: String,
    pub(crate) key: PublicKey,
}

/// Says why a file below its threshold is refused.
///
/// - a key that was once this very role's signed it: `tuf-key-revoked` (attack M22);
/// - no key of this role signed it, but enough keys of one other role did: `tuf-role-confusion` (attack M13);
/// - else: `tuf-threshold`, also for a mix of own and foreign keys (attack M09) and for foreign keys of several roles
///   (attack M21).
pub(crate) fn refuse<'a>(
    role: &str,
    signers: Signers,
    signed: Signed<'_>,
    retired: &[Retired],
    others: impl Iterator<Item = (String, Delegator<'a>)>,
) -> TufError {
    let listed = |keyid: &String| signers.signed.contains(keyid) || signers.unsigned.contains(keyid);
    let former = retired.iter().filter(|former| former.role == role && !listed(&former.keyid));
    for former in former {
        if signed.is_by(&former.keyid, &former.key) {
            return TufError::KeyRevoked { role: role.to_owned(), keyid: former.keyid.clone() };
        }
    }
    if signers.signed.is_empty() {
        let mut cache = BTreeMap::new();
        for (other, delegator) in others.filter(|(other, _)| other != role) {
            if count_foreign(delegator, signed, &mut cache) >= signers.threshold as usize {
                return TufError::SignedByOther { role: role.to_owned(), other };
            }
        }
    }
    TufError::Threshold {
        role: role.to_owned(),
        have: signers.signed.len(),
        need: signers.threshold,
        missing: signers.unsigned,
    }
}

/// How many keys of another role signed. Each signature is tried once with each key, however many roles share it.
fn count_foreign<'a>(
    other: Delegator<'a>,
    signed: Signed<'_>,
    cache: &mut BTreeMap<(&'a str, &'a PublicKey), bool>,
) -> usize {
    let mut counted = BTreeSet::new();
    for keyid in &other.keys.keyids {
        let Some(key) = other.table.get(keyid).and_then(Key::usable) else {
            continue;
        };
        if *cache.entry((keyid, key)).or_insert_with(|| signed.is_by(keyid, key)) {
            counted.insert(key);
        }
    }
    counted.len()
}

/// The signatures of an envelope with the bytes they are on.
pub(crate) fn signed<'a, T: Role>(envelope: &'a Envelope<T>, message: &'a [u8]) -> Signed<'a> {
    Signed { signatures: &envelope.signatures, message }
}
