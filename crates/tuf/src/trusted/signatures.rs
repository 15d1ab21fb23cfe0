//! Counting signatures towards a threshold, and saying why they do not suffice.

use std::collections::{BTreeMap, BTreeSet};

use countersign_base::text::escape;
use countersign_crypto::PublicKey;

use super::retired::Retired;
use crate::error::TufError;
use crate::metadata::{Envelope, Key, KeyTable, Pair, Role, RoleKeys, Signature, payload};

/// Who signed a file, of those who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    /// How many must sign.
    pub threshold: u32,
    /// Ids of the keys that signed, in the role's order.
    pub signed: Vec<String>,
    /// Ids of the role's keys that did not, or whose holder signed with one key of two.
    pub unsigned: Vec<String>,
    /// Who signed with one key of two, and so does not count.
    pub halves: Vec<HalfSigned>,
}

/// A holder of two keys who signed with one of them (ADR 0009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfSigned {
    /// Id of the holder: the one of the classical key.
    pub keyid: String,
    /// Which signature is absent or does not verify.
    pub missing: Half,
}

/// One key of a holder of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The Ed25519 or ECDSA key, which the role lists.
    Classical,
    /// The ML-DSA key, its pair.
    MlDsa,
}

impl Half {
    const fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::MlDsa => "ML-DSA",
        }
    }
}

impl Signers {
    /// Nobody yet.
    pub(crate) const fn none(threshold: u32) -> Self {
        Self { threshold, signed: Vec::new(), unsigned: Vec::new(), halves: Vec::new() }
    }

    /// How many signatures are still missing; 0 once the threshold is met.
    pub fn missing(&self) -> usize {
        (self.threshold as usize).saturating_sub(self.signed.len())
    }

    /// Why a file with these signatures is refused; `None` once the threshold is met.
    pub fn shortage(&self, role: &str) -> Option<TufError> {
        // A threshold of 0 is refused where it is read; nobody has signed enough for it.
        let short = self.missing() > 0 || self.threshold == 0;
        short.then(|| self.downgrade(role).unwrap_or_else(|| self.too_few(role)))
    }

    fn too_few(&self, role: &str) -> TufError {
        TufError::Threshold {
            role: role.to_owned(),
            have: self.signed.len(),
            need: self.threshold,
            missing: self.unsigned.clone(),
        }
    }

    /// The refusal, if the threshold is missed only because holders signed with one key of two.
    pub(crate) fn downgrade(&self, role: &str) -> Option<TufError> {
        let missing = self.missing();
        (missing > 0 && self.halves.len() >= missing).then(|| TufError::Downgrade {
            role: role.to_owned(),
            have: self.signed.len(),
            need: self.threshold,
            halves: self.halves.clone(),
        })
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

    /// What the holder of the key under `keyid` did: all keys signed, one of two, or none.
    fn by_holder(&self, keyid: &str, first: &PublicKey, pair: Option<&Pair>) -> Holder {
        let classical = self.is_by(keyid, first);
        let second = pair.map(|pair| self.is_by(pair.keyid(), pair.key()));
        match (classical, second) {
            (true, None | Some(true)) => Holder::Signed,
            (true, Some(false)) => Holder::Half(Half::MlDsa),
            (false, Some(true)) => Holder::Half(Half::Classical),
            (false, _) => Holder::Silent,
        }
    }
}

impl Delegator<'_> {
    /// Counts distinct holders who signed: with their one public key, or with both of two. A bad signature counts
    /// nothing and spoils nothing; unknown ids are ignored.
    ///
    /// # Errors
    /// [`TufError::DuplicateSignature`].
    pub(crate) fn count(&self, role: &str, signed: Signed<'_>) -> Result<Signers, TufError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = signed.signatures.iter().find(|signature| !seen.insert(&signature.keyid)) {
            return Err(TufError::DuplicateSignature { role: role.to_owned(), keyid: twice.keyid.clone() });
        }
        let mut counted = BTreeSet::new();
        let mut out = Signers::none(self.keys.threshold);
        for keyid in &self.keys.keyids {
            let Some(key) = self.table.get(keyid) else {
                continue;
            };
            let holder =
                key.usable().map_or(Holder::Silent, |first| signed.by_holder(keyid, first, key.pair()));
            match holder {
                Holder::Signed if key.usable().is_some_and(|first| counted.insert(first)) => {
                    out.signed.push(keyid.clone());
                    continue;
                }
                Holder::Half(missing) => out.halves.push(HalfSigned { keyid: keyid.clone(), missing }),
                Holder::Signed | Holder::Silent => {}
            }
            out.unsigned.push(keyid.clone());
        }
        Ok(out)
    }
}

/// What a holder did with a file.
enum Holder {
    Signed,
    Half(Half),
    Silent,
}

/// Holders who signed with one key of two, for an error message.
pub(crate) fn one_sided(halves: &[HalfSigned]) -> String {
    let shown = halves.iter().take(4).map(|half| {
        let keyid: String = half.keyid.chars().take(80).collect();
        format!("`{}` lacks its {} signature", escape(&keyid), half.missing.name())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Says why a file below its threshold is refused.
///
/// - holders who would suffice signed with one key of two: `signature-algorithm-downgrade` (attack V22);
/// - a key that was once this very role's signed it: `tuf-key-revoked` (attack M22);
/// - no key of this role signed it, but enough keys of one other role did: `tuf-role-confusion` (attack M13);
/// - else: `tuf-threshold`, also for a mix of own and foreign keys (attack M09) and for foreign keys of several roles
///   (attack M21).
pub(crate) fn refuse<'a>(
    role: &str,
    signers: &Signers,
    signed: Signed<'_>,
    retired: &Retired,
    others: impl Iterator<Item = (String, Delegator<'a>)>,
) -> TufError {
    if let Some(downgrade) = signers.downgrade(role) {
        return downgrade;
    }
    let listed = |keyid: &String| signers.signed.contains(keyid) || signers.unsigned.contains(keyid);
    for (keyid, key) in retired.of(role).filter(|(keyid, _)| !listed(keyid)) {
        if signed.is_by(keyid, key) {
            return TufError::KeyRevoked { role: role.to_owned(), keyid: keyid.clone() };
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
    signers.too_few(role)
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
